"""From a dry-run crowd to tables and the page: the known truth is found and seals hold."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_studies import pair_study, scale_study, sealed

from doppelbench.corpora.errors import InputError
from doppelbench.listening.analysis import Analysis, analyse, write_analysis
from doppelbench.listening.methods_text import methods_paragraph, rater_datasheet
from doppelbench.listening.simulated_raters import Crowd, write_simulated_results
from doppelbench.listening.study import KEY, MEDIA, RATERS, STUDY

QUESTIONS = ("naturalness", "similarity", "consistency", "preference")
EFFECTS = {
    system: dict(zip(QUESTIONS, means, strict=True))
    for system, means in {
        "auto": (2.2, 1.8, 4.2, 2.2),
        "exemplar": (3.2, 3.6, 4.0, 3.2),
        "low": (1.4, 1.4, 2.0, 1.4),
        "natural": (4.6, 4.7, 4.7, 4.6),
    }.items()
}
SHARES = {"honest": 0.75, "lazy": 0.05, "always-4": 0.1, "bot": 0.05, "speeder": 0.05}


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd(effects=EFFECTS, raters=40, shares=SHARES)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, crowd: Crowd) -> Path:
    place = tmp_path_factory.mktemp("study")
    study, key = scale_study(list(EFFECTS), 16, group=8, controls=True)
    sealed(place, study, key)
    write_simulated_results(place / "results.csv", study, key, crowd)
    return place


@pytest.fixture(scope="module")
def found(folder: Path) -> Analysis:
    objective = [
        {
            "system": system,
            "trial": f"t{trial:02d}",
            "metric": "secs",
            "value": EFFECTS[system]["similarity"] + trial / 90,
        }
        for system in ("auto", "exemplar")
        for trial in range(16)
    ]
    return analyse(folder, [folder / "results.csv"], objective=objective, draws=300)


@pytest.fixture(scope="module")
def written(found: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("analysis")
    write_analysis(found, place)
    return place


def test_careless_raters_are_screened_and_the_truth_is_nearer_without_them(
    found: Analysis, crowd: Crowd
) -> None:
    assert 0 < len(found.excluded) < 0.5 * len(found.sittings)
    errors = {"screened": 0.0, "everyone": 0.0}
    for score in found.screened.scores.scores:
        truth = crowd.expected_score(score.system, score.question)
        other = found.everyone.scores.score(score.system, score.question)
        assert other is not None
        errors["screened"] += (score.mean - truth) ** 2
        errors["everyone"] += (other.mean - truth) ** 2
    assert errors["screened"] < errors["everyone"]


def test_intervals_hold_most_truths(found: Analysis, crowd: Crowd) -> None:
    held = [
        score.low <= crowd.expected_score(score.system, score.question) <= score.high
        for score in found.screened.scores.scores
        if score.low is not None and score.high is not None
    ]
    assert len(held) == 12
    assert sum(held) >= 10


def test_anchors_and_references_are_scored_and_not_ranked(found: Analysis) -> None:
    assert found.kinds == {"auto": "system", "exemplar": "system", "low": "anchor", "natural": "reference"}
    assert {score.system for score in found.screened.scores.scores} == set(EFFECTS)
    assert {(entry.first, entry.second) for entry in found.screened.scores.differences} == {
        ("auto", "exemplar")
    }
    assert {share.system for share in found.screened.scores.best} == {"auto", "exemplar"}


def test_the_sensitivity_table_has_each_rule_alone(found: Analysis) -> None:
    effects = {effect.rule: effect for effect in found.sensitivity}
    assert set(effects) == {
        "all rules",
        "traps",
        "gold",
        "variance",
        "played",
        "speed",
        "incomplete",
        "refused on the platform",
    }
    assert effects["all rules"].sittings == len(found.excluded)
    assert effects["all rules"].sittings >= max(
        effects[rule].sittings for rule in ("traps", "variance", "speed")
    )
    assert effects["traps"].sittings > 0
    assert effects["refused on the platform"].sittings == 0
    assert effects["refused on the platform"].largest_change == 0
    assert abs(effects["all rules"].largest_change or 0) > 0.02


def test_correlations_are_joined_by_system_and_trial(found: Analysis) -> None:
    assert {entry.over: entry.n for entry in found.correlations} == {"systems": 2, "items": 32}
    note = next(entry.note for entry in found.correlations if entry.over == "systems")
    assert note.startswith("too few systems: 2")


def test_agreement_is_there_for_every_question(found: Analysis) -> None:
    assert [entry.question for entry in found.screened.agreement] == list(QUESTIONS[:3])
    for entry in found.screened.agreement:
        assert entry.items == 64
        assert entry.blocks == 8
        assert entry.intraclass is not None
        assert 0.1 < (entry.ordinal or 0) < 0.9
        assert entry.intraclass.one_1 < entry.intraclass.one_k


def test_tables_hold_what_the_analysis_says(found: Analysis, written: Path) -> None:

    def table(name: str) -> list[dict[str, str]]:
        with (written / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    votes = table("votes.csv")
    assert len(votes) == len(found.rows)
    own = [
        float(row["value"])
        for row in votes
        if (row["system"], row["question"], row["excluded"]) == ("exemplar", "similarity", "")
    ]
    score = next(
        row
        for row in table("scores.csv")
        if (row["votes_of"], row["system"], row["question"]) == ("screened", "exemplar", "similarity")
    )
    assert float(score["mean"]) == pytest.approx(sum(own) / len(own))
    assert int(score["votes"]) == len(own)
    exclusions = table("exclusions.csv")
    assert {row["sitting"] for row in exclusions} == set(found.excluded)
    assert all(len(row["reason"]) > 10 for row in exclusions)
    assert {row["votes_of"] for row in table("pairs.csv")} == {"screened", "all"}
    record = json.loads((written / "analysis.json").read_text())
    assert record["simulated"] is True
    assert record["screened"]["votes"] == found.screened.votes


def test_the_page_opens_alone_and_says_that_raters_are_simulated(found: Analysis, written: Path) -> None:
    page = (written / "analysis.html").read_text()
    assert 'role="alert">Simulated raters' in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count("<table>") == page.count("<caption>") > 5
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert "too few systems" in page
    for score in found.screened.scores.scores:
        assert f"{score.mean:.2f}" in page


def test_an_analysis_written_twice_is_the_same_bytes(found: Analysis, written: Path, tmp_path: Path) -> None:
    write_analysis(found, tmp_path)
    assert len(list(written.iterdir())) == 6
    for file in written.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_text_of_raters_is_escaped(folder: Path, found: Analysis, tmp_path: Path) -> None:
    bad = replace(found.sittings[0], rater="<script>alert(1)</script>", findings={"traps": "<b>x</b>"})
    page = write_analysis(replace(found, sittings=(bad,), excluded={bad.id: "x"}), tmp_path).read_text()
    assert "<script>" not in page
    assert "&lt;b&gt;x" in page


def test_the_methods_paragraph_tells_counts_pay_and_interval(found: Analysis) -> None:
    text = methods_paragraph(found)
    assert "no person has listened" in text
    assert f"{len(found.sittings)} sittings of {found.everyone.raters} raters" in text
    assert f"{found.screened.votes:,} votes" in text
    assert "$0.50, whether or not it entered the analysis" in text
    assert "more than 98 % of earlier work approved and in US" in text
    assert "two crossed random samples: a bootstrap that draws both (300 resamples" in text
    sheet = rater_datasheet(found)
    assert sheet["instructions"] == "Use headphones. Listen to the end."
    assert "not recorded" in sheet["devices"]
    assert sheet["pay by the hour"].startswith("$")


def test_real_raters_have_no_banner_and_can_be_renamed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text((folder / "results.csv").read_text().replace("simulated-", "W"))
    result = analyse(folder, [path], opaque_raters=True, draws=20)
    assert not result.simulated
    assert all(row.vote.rater.startswith("rater-") for row in result.rows)
    page = write_analysis(result, tmp_path / "out").read_text()
    assert "Simulated raters" not in page
    assert "no person has listened" not in page


def test_a_broken_seal_is_refused(folder: Path, tmp_path: Path) -> None:
    for changed in (Path(RATERS) / STUDY, Path(KEY)):
        copy = tmp_path / changed.name
        (copy / RATERS).mkdir(parents=True)
        for file in (Path(RATERS) / STUDY, Path(KEY)):
            text = (folder / file).read_text()
            if file == changed:
                text = text.replace('"trap_errors": 0', '"trap_errors": 1').replace('"seed": 0', '"seed": 1')
            (copy / file).write_text(text)
        with pytest.raises(InputError, match="changed after the study was sealed"):
            analyse(copy, [folder / "results.csv"])


def test_a_sound_that_was_changed_after_sealing_is_refused(tmp_path: Path, crowd: Crowd) -> None:
    study, key = scale_study(["auto"], 2)
    study = replace(study, media={"i000.wav": "00" * 32})
    sealed(tmp_path, study, key)
    results = write_simulated_results(tmp_path / "r.csv", study, key, crowd)
    assert analyse(tmp_path, [results], draws=10).everyone.votes == 60
    (tmp_path / RATERS / MEDIA).mkdir()
    (tmp_path / RATERS / MEDIA / "i000.wav").write_bytes(b"other")
    with pytest.raises(InputError, match=r"i000.wav: was changed after"):
        analyse(tmp_path, [results])


def test_pairs_are_analysed_with_sides_and_strengths(tmp_path: Path, crowd: Crowd) -> None:
    study, key = pair_study([("auto", "exemplar"), ("auto", "natural"), ("exemplar", "natural")])
    sealed(tmp_path, study, key)
    people = replace(crowd, shares={"honest": 0.6, "side-biased": 0.4})
    results = write_simulated_results(tmp_path / "r.csv", study, key, people)
    found = analyse(tmp_path, [results], draws=100)
    [entry] = found.screened.pairs
    assert [(pair.system, pair.other) for pair in entry.pairs] == [
        ("auto", "exemplar"),
        ("auto", "natural"),
        ("exemplar", "natural"),
    ]
    assert entry.sides is not None
    assert (entry.sides.p or 1) < 0.001
    assert (entry.sides.p_crossed or 1) < 0.01
    assert found.sensitivity[0].largest_share_change == 0.0
    assert entry.strengths is not None
    values = {name: strength.value or 0 for name, strength in entry.strengths.strengths.items()}
    assert values["auto"] < values["exemplar"] < values["natural"]
    assert found.screened.scores.scores == ()
    page = write_analysis(found, tmp_path / "out").read_text()
    assert "Davidson" in page
    assert "decided votes went to what came first" in page
    assert "ties apart" in methods_paragraph(found)


def test_a_crowd_of_which_nobody_passes_still_has_a_page(tmp_path: Path, crowd: Crowd) -> None:
    study, key = scale_study(["auto", "exemplar"], 4, controls=True)
    sealed(tmp_path, study, key)
    results = write_simulated_results(
        tmp_path / "r.csv", study, key, replace(crowd, shares={"always-4": 1.0})
    )
    found = analyse(tmp_path, [results], draws=20)
    assert found.screened.votes == 0
    assert found.everyone.votes == 240
    assert "All sittings" in write_analysis(found, tmp_path / "out").read_text().replace(
        "all sittings", "All sittings"
    )


def test_results_with_traps_alone_are_refused(tmp_path: Path) -> None:
    study, key = scale_study(["auto"], 2, questions=["naturalness"], controls=True)
    sealed(tmp_path, study, key)
    (tmp_path / "r.csv").write_text(
        "AssignmentId,WorkerId,Input.block,Input.item_0,Answer.naturalness_0\nA,W,b0,x0,2\n"
    )
    with pytest.raises(InputError, match="no vote on an item that counts"):
        analyse(tmp_path, [tmp_path / "r.csv"])
