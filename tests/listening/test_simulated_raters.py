"""The dry-run crowd: a platform's columns, a known truth, and behaviour that the rules see."""

import csv
from pathlib import Path

import numpy as np
import pytest
from small_studies import pair_study, scale_study

from doppelbench.corpora.errors import InputError
from doppelbench.listening.analysis import ballots_of, choices_of
from doppelbench.listening.join import join_votes
from doppelbench.listening.results_csv import read_results
from doppelbench.listening.screening import screen
from doppelbench.listening.simulated_raters import (
    METADATA,
    Behaviour,
    Crowd,
    simulate_answers,
    write_simulated_results,
)
from doppelbench.listening.study import Key, Study

EFFECTS = {
    system: dict.fromkeys(("naturalness", "similarity", "consistency", "preference"), mean)
    for system, mean in (("a", 2.2), ("b", 3.4), ("c", 4.1), ("natural", 4.6))
}


def crowd(**settings: object) -> Crowd:
    return Crowd(**({"effects": EFFECTS} | settings))  # type: ignore[arg-type]


def test_the_file_has_a_platforms_columns_and_reads_back(tmp_path: Path) -> None:
    study, key = scale_study(["a", "b"])
    path = write_simulated_results(tmp_path / "results.csv", study, key, crowd())
    with path.open(newline="") as file:
        header = next(csv.reader(file))
    assert tuple(header[: len(METADATA)]) == METADATA
    assert header[len(METADATA)] == "Input.block"
    assert header[-2:] == ["Approve", "Reject"]
    votes = read_results([path], study)
    assert len(votes) == 2 * 12 * 3 * 10
    assert all(vote.rater.startswith("simulated-") for vote in votes)
    assert all(vote.played == 1.0 and vote.time and vote.sitting_seconds for vote in votes)


def test_the_file_tells_no_system(tmp_path: Path) -> None:
    study, key = scale_study(["exemplar", "autovc"])
    effects = {name: EFFECTS["a"] for name in ("exemplar", "autovc")}
    text = write_simulated_results(tmp_path / "r.csv", study, key, crowd(effects=effects)).read_text()
    assert "exemplar" not in text
    assert "autovc" not in text


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    study, key = scale_study(["a", "b"])
    texts = [
        write_simulated_results(tmp_path / "r.csv", study, key, crowd(), seed=seed).read_text()
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_every_block_is_done_by_different_raters() -> None:
    study, key = scale_study(["a", "b"])
    rows = simulate_answers(study, key, crowd(raters=12))
    sittings = [(row["Input.block"], row["WorkerId"]) for row in rows]
    assert len(set(sittings)) == len(sittings) == 10 * len(study.blocks)


def test_means_of_many_honest_votes_are_the_expected_ones(tmp_path: Path) -> None:
    study, key = scale_study(["a", "b", "c"], 300, questions=["naturalness"], group=30, raters_per_item=30)
    people = crowd(raters=300)
    votes = read_results([write_simulated_results(tmp_path / "r.csv", study, key, people)], study)
    ballots = ballots_of(join_votes(votes, key))
    for system in "abc":
        mean = np.mean([ballot.value for ballot in ballots if ballot.system == system])
        assert mean == pytest.approx(people.expected_score(system, "naturalness"), abs=0.12)


def test_shares_of_choices_are_the_expected_ones(tmp_path: Path) -> None:
    study, key = pair_study([("a", "b")], 300, group=30, raters_per_item=30)
    people = crowd(raters=200, effects={"a": {"preference": 3.0}, "b": {"preference": 3.4}})
    votes = read_results([write_simulated_results(tmp_path / "r.csv", study, key, people)], study)
    choices = choices_of(join_votes(votes, key), "preference")
    first, same = people.expected_choice("a", "b", "preference")
    assert np.mean([choice.preferred == "a" for choice in choices]) == pytest.approx(first, abs=0.04)
    assert np.mean([choice.preferred == "" for choice in choices]) == pytest.approx(same, abs=0.04)
    assert first < 0.35 < 1 - first - same


def caught(study: Study, key: Key, behaviour: Behaviour, tmp_path: Path) -> dict[str, int]:
    people = crowd(shares={behaviour: 1.0} if behaviour != "honest" else {"honest": 1.0}, raters=20)
    votes = read_results([write_simulated_results(tmp_path / "r.csv", study, key, people)], study)
    sittings = screen(join_votes(votes, key), study)
    counts: dict[str, int] = {}
    for sitting in sittings:
        for rule in sitting.findings:
            counts[rule] = counts.get(rule, 0) + 1
    assert len(sittings) == 40
    return counts | {"any": sum(bool(sitting.findings) for sitting in sittings)}


@pytest.mark.parametrize(
    ("behaviour", "rules"),
    [
        ("lazy", {"played": 40, "speed": 0}),
        ("always-4", {"variance": 40, "traps": 40, "gold": 40}),
        ("speeder", {"speed": 40, "played": 0}),
        ("bot", {"speed": 40, "played": 0}),
    ],
)
def test_the_rules_catch_each_behaviour(tmp_path: Path, behaviour: Behaviour, rules: dict[str, int]) -> None:
    study, key = scale_study(["a", "b"], controls=True)
    counts = caught(study, key, behaviour, tmp_path)
    assert {rule: counts.get(rule, 0) for rule in rules} == rules
    assert counts["any"] == 40


def test_the_rules_let_honest_raters_pass(tmp_path: Path) -> None:
    study, key = scale_study(["a", "b"], controls=True)
    assert caught(study, key, "honest", tmp_path) == {"any": 0}


def test_a_side_biased_crowd_answers_first(tmp_path: Path) -> None:
    study, key = pair_study([("a", "b")], 24)
    people = crowd(shares={"side-biased": 1.0})
    votes = read_results([write_simulated_results(tmp_path / "r.csv", study, key, people)], study)
    assert 0.85 < np.mean([vote.answer == "first" for vote in votes]) < 0.95


def test_shares_give_numbers_of_raters() -> None:
    found = crowd(raters=20, shares={"honest": 0.7, "bot": 0.1, "lazy": 0.2}).behaviours()
    assert {name: found.count(name) for name in set(found)} == {"honest": 14, "bot": 2, "lazy": 4}


@pytest.mark.parametrize("shares", [{"honest": 0.5}, {"honest": 1.5, "bot": -0.5}, {"clever": 1.0}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError):
        crowd(shares=shares).behaviours()


def test_a_crowd_that_is_too_small_or_does_not_know_a_system_is_refused() -> None:
    study, key = scale_study(["a", "b"])
    with pytest.raises(InputError, match="5 simulated raters cannot give 10"):
        simulate_answers(study, key, crowd(raters=5))
    with pytest.raises(InputError, match="not told how b sounds on naturalness"):
        simulate_answers(study, key, crowd(effects={"a": EFFECTS["a"]}))
