"""Rules of a study: each is broken by what it names and by nothing else, with a reason in words."""

from dataclasses import replace

import pytest
from small_studies import scale_study

from doppelbench.corpora.errors import InputError
from doppelbench.listening.join import JoinedVote, join_votes, scale_of, tidy_row
from doppelbench.listening.screening import (
    RULE_TITLES,
    excluded_sittings,
    kept_rows,
    screen,
)
from doppelbench.listening.study import Key, KeyEntry, Rules, Study
from doppelbench.listening.votes import Vote


def sitting(study: Study, *, name: str = "s1", block: int = 0, **changes: dict[str, object]) -> list[Vote]:
    """A careful sitting; ``changes`` are fields of votes by item, ``all`` of every vote."""
    votes = []
    for place, item in enumerate(study.blocks[block].items):
        answer = {"x": "2", "y": "1"}.get(item[0], str(3 + place % 2))
        vote = Vote(
            rater=f"r-{name}",
            sitting=name,
            item=item,
            question="naturalness",
            answer=answer,
            position=place,
            played=1.0,
            seconds=4.0,
            rate=1.0,
            block=study.blocks[block].id,
            sitting_seconds=60.0,
        )
        votes.append(replace(vote, **(changes.get("all", {}) | changes.get(item, {}))))  # type: ignore[arg-type]
    return votes


@pytest.fixture
def pair() -> tuple[Study, Key]:
    return scale_study(["a", "b"], 6, questions=["naturalness"], controls=True)


def findings(study: Study, key: Key, votes: list[Vote]) -> dict[str, str]:
    [found] = screen(join_votes(votes, key), study)
    return dict(found.findings)


def test_a_careful_sitting_breaks_no_rule(pair: tuple[Study, Key]) -> None:
    study, key = pair
    assert study.blocks[0].items[-2:] == ("x0", "y0")
    assert findings(study, key, sitting(study)) == {}


@pytest.mark.parametrize(
    ("changes", "rule", "reason"),
    [
        (
            {"x0": {"answer": "3"}},
            "traps",
            "1 of 1 instructions spoken inside a clip not followed (0 allowed)",
        ),
        ({"y0": {"answer": "3"}}, "gold", "1 of 1 clips with an obvious answer misjudged (0 allowed)"),
        (
            {"i000": {"played": 0.4}},
            "played",
            "1 of 8 clips not heard to their end (the least 40 %, 95 % asked)",
        ),
        ({"i000": {"rate": 2.0}}, "speed", "clips played at up to 2 times their rate"),
        ({"i000": {"seconds": 0.4}}, "speed", "1 of 8 clips answered in less time than they last"),
        (
            {"all": {"seconds": None, "rate": None, "sitting_seconds": 9.0}},
            "speed",
            "done in 9 seconds, while the clips alone last 15",
        ),
    ],
)
def test_each_rule_is_broken_by_what_it_names_alone(
    pair: tuple[Study, Key], changes: dict[str, dict[str, object]], rule: str, reason: str
) -> None:
    study, key = pair
    assert findings(study, key, sitting(study, **changes)) == {rule: reason}


def test_one_answer_throughout_breaks_the_rule_of_variance(pair: tuple[Study, Key]) -> None:
    study, key = pair
    votes = [replace(vote, answer="2") for vote in sitting(study)]
    assert findings(study, key, votes) == {
        "variance": "the 7 answers hardly differ (standard deviation 0.00, 0.1 asked)"
    }


def test_gold_within_its_tolerance_and_rates_within_rounding_pass(pair: tuple[Study, Key]) -> None:
    study, key = pair
    assert findings(study, key, sitting(study, y0={"answer": "2"}, i000={"rate": 1.001})) == {}


def test_what_a_page_could_not_tell_breaks_no_rule(pair: tuple[Study, Key]) -> None:
    study, key = pair
    silent = {"played": None, "seconds": None, "rate": None, "sitting_seconds": None, "block": ""}
    assert findings(study, key, sitting(study, all=silent)) == {}


def test_a_sitting_that_stopped_early_is_incomplete(pair: tuple[Study, Key]) -> None:
    study, key = pair
    assert findings(study, key, sitting(study)[:3]) == {"incomplete": "3 of 8 clips answered (50 % asked)"}
    assert findings(study, key, sitting(study)[:4]) == {}


def test_a_clip_with_a_problem_counts_as_handled_and_not_as_a_vote(pair: tuple[Study, Key]) -> None:
    study, key = pair
    votes = sitting(study, i000={"answer": "", "problem": "noise", "played": 0.1})
    rows = join_votes(votes, key)
    [found] = screen(rows, study)
    assert found.findings == {}
    assert found.votes == 5
    assert len(kept_rows(rows, {})) == 5


def test_rules_are_those_of_the_study() -> None:
    rules = Rules(trap_errors=1, gold_errors=1, minimum_played=0.3, minimum_deviation=0.0)
    study, key = scale_study(["a", "b"], 6, questions=["naturalness"], controls=True, rules=rules)
    votes = sitting(study, x0={"answer": "5"}, y0={"answer": "5"}, i000={"played": 0.4})
    assert findings(study, key, votes) == {}


def test_a_refused_assignment_is_told_apart_and_no_reason_for_exclusion(pair: tuple[Study, Key]) -> None:
    study, key = pair
    [found] = screen(join_votes(sitting(study, all={"rejected": True}), key), study)
    assert found.rejected
    assert found.findings == {}


def test_exclusion_by_any_rule_and_by_one(pair: tuple[Study, Key]) -> None:
    study, key = pair
    votes = [
        *sitting(study, name="good"),
        *sitting(study, name="trapped", x0={"answer": "5"}, i000={"rate": 2.0}),
        *sitting(study, name="fast", i000={"rate": 2.0}),
    ]
    rows = join_votes(votes, key)
    sittings = screen(rows, study)
    assert set(excluded_sittings(sittings)) == {"trapped", "fast"}
    assert excluded_sittings(sittings)["trapped"].startswith("1 of 1 instructions")
    assert set(excluded_sittings(sittings, "traps")) == {"trapped"}
    assert {row.vote.sitting for row in kept_rows(rows, excluded_sittings(sittings))} == {"good"}
    assert set(RULE_TITLES) == {"traps", "gold", "variance", "played", "speed", "incomplete"}


def test_joined_votes_know_system_value_and_choice() -> None:
    entry = KeyEntry("system", ("a", "b"), "t", "v", "s")
    key = replace(scale_study(["a"], 1)[1], entries={"p": entry, "q": replace(entry, systems=("a",))})
    votes = [
        Vote(rater="r", sitting="s", item=item, question="q", answer=answer)
        for item, answer in [("p", "first"), ("p", "second"), ("p", "same"), ("q", "4"), ("q", "")]
    ]
    rows: list[JoinedVote] = join_votes(votes, key)
    assert [row.preferred for row in rows] == ["a", "b", "", None, None]
    assert [row.value for row in rows] == [None, None, None, 4.0, None]
    assert [row.counted for row in rows] == [True, True, True, True, False]
    line = tidy_row(rows[0], excluded={"s": "too fast"})
    assert (line["system"], line["second_system"], line["preferred"], line["excluded"]) == (
        "a",
        "b",
        "a",
        "too fast",
    )


def test_a_vote_the_key_does_not_know_is_refused() -> None:
    _, key = scale_study(["a"], 1)
    with pytest.raises(InputError, match="says nothing of item i9"):
        join_votes([Vote(rater="r", sitting="s", item="i9", question="naturalness", answer="1")], key)


def test_a_scale_has_ends_and_a_pair_has_none() -> None:
    study, _ = scale_study(["a"], 1)
    assert scale_of(study, "naturalness") == (1.0, 5.0)
