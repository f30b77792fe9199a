"""Results files: four shapes of answers give the same votes, and damage is named by file and line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_studies import pair_study, scale_study, write_rows

from doppelbench.corpora.errors import InputError
from doppelbench.listening.results_csv import read_results
from doppelbench.listening.study import Study
from doppelbench.listening.votes import rename_raters

ANSWERS = {"i000": "4", "i004": "2"}


@pytest.fixture
def study() -> Study:
    return scale_study(["a", "b"], 3, questions=["naturalness"], group=3)[0]


def base(assignment: str = "A1", worker: str = "W1") -> dict[str, str]:
    return {
        "HITId": "H1",
        "AssignmentId": assignment,
        "WorkerId": worker,
        "Input.block": "b0",
        "Input.item_0": "i000",
        "Input.item_2": "i004",
    }


def plain(assignment: str = "A1", worker: str = "W1", **changes: str) -> dict[str, str]:
    answers = {"Answer.naturalness_0": "4", "Answer.naturalness_2": "2"}
    return base(assignment, worker) | answers | changes


def read(path: Path, study: Study, *rows: dict[str, str], **options: object) -> list[tuple[str, str]]:
    votes = read_results([write_rows(path / "results.csv", rows)], study, **options)  # type: ignore[arg-type]
    return [(vote.item, vote.answer) for vote in votes]


def test_the_study_of_these_tests_has_the_items_where_the_rows_put_them(study: Study) -> None:
    assert study.blocks[0].items == ("i000", "i003", "i004")


def test_plain_radio_buttons(study: Study, tmp_path: Path) -> None:
    assert read(tmp_path, study, plain()) == list(ANSWERS.items())


def test_json_of_a_crowd_form(study: Study, tmp_path: Path) -> None:
    form = [
        {
            "naturalness_0": {str(value): value == 4 for value in range(1, 6)},
            "naturalness_2": {str(value): value == 2 for value in range(1, 6)},
            "plays_0": "3",
        }
    ]
    row = base() | {"Answer.taskAnswers": json.dumps(form)}
    assert read(tmp_path, study, row) == list(ANSWERS.items())
    assert read_results([tmp_path / "results.csv"], study)[0].plays == 3


def test_flattened_objects(study: Study, tmp_path: Path) -> None:
    row = base() | {
        f"Answer.naturalness_{place}.{value}": str(value == right).lower()
        for place, right in ((0, 4), (2, 2))
        for value in range(1, 6)
    }
    assert read(tmp_path, study, row) == list(ANSWERS.items())


def test_a_p808_template_names_files_and_how_often_they_were_played(study: Study, tmp_path: Path) -> None:
    row = {
        "AssignmentId": "A1",
        "WorkerId": "W1",
        "Input.Q0": "https://x/i000.wav",
        "Answer.Q0": "4",
        "Answer.q0_url": "https://host.example/media/i000.wav?v=1",
        "Answer.audio_n_play_Q0": "2",
        "Answer.audio_n_finish_q0": "1",
        "Answer.q1": "2",
        "Answer.q1_url": "https://host.example/media/I004.wav",
        "Answer.audio_n_finish_q1": "0",
        "Answer.math": "7",
    }
    assert read(tmp_path, study, row) == list(ANSWERS.items())
    first, second = read_results([tmp_path / "results.csv"], study)
    assert (first.plays, first.played, second.plays, second.played) == (2, 1.0, None, 0.0)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_separators_are_found(study: Study, tmp_path: Path, delimiter: str) -> None:
    path = write_rows(tmp_path / "results.txt", [plain()], delimiter=delimiter)
    assert [vote.answer for vote in read_results([path], study)] == ["4", "2"]


def test_a_byte_order_mark_and_upper_case_are_no_matter(study: Study, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "results.csv", [{name.upper(): value for name, value in plain().items()}])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [vote.answer for vote in read_results([path], study)] == ["4", "2"]


def test_a_turkle_export_without_the_platforms_metadata(study: Study, tmp_path: Path) -> None:
    row = plain() | {"Turkle.Username": "ada", "WorkTimeInSeconds": "61"}
    del row["HITId"]
    assert read(tmp_path, study, row) == list(ANSWERS.items())
    assert read_results([tmp_path / "results.csv"], study)[0].sitting_seconds == 61


def test_an_older_file_without_items_falls_back_on_the_block_or_the_file(
    study: Study, tmp_path: Path
) -> None:
    row = plain()
    del row["Input.item_0"], row["Input.item_2"]
    assert read(tmp_path, study, row) == list(ANSWERS.items())
    del row["Input.block"]
    row |= {"Input.output_0": "i000.wav", "Input.output_2": "i004.wav"}
    assert read(tmp_path, study, row) == list(ANSWERS.items())


def test_evidence_of_listening_is_read(study: Study, tmp_path: Path) -> None:
    row = plain() | {
        "Answer.played_0": "0.97",
        "Answer.rate_0": "1.0",
        "Answer.seconds_0": "4.5",
        "Answer.time_0": "2021-05-03T10:00:00+00:00",
        "SubmitTime": "Wed Nov 20 21:03:26 PST 2019",
    }
    read(tmp_path, study, row)
    first, second = read_results([tmp_path / "results.csv"], study)
    assert (first.position, first.block, first.played, first.rate, first.seconds) == (0, "b0", 0.97, 1.0, 4.5)
    assert first.time == "2021-05-03T10:00:00+00:00"
    assert second.time == "2019-11-21T05:03:26+00:00"
    assert (second.played, second.plays) == (None, None)


def test_a_clip_with_a_problem_gives_a_vote_without_an_answer(study: Study, tmp_path: Path) -> None:
    row = plain(**{"Answer.naturalness_0": "", "Answer.problem_0": "it is silent"})
    read(tmp_path, study, row)
    first, second = read_results([tmp_path / "results.csv"], study)
    assert (first.item, first.answer, first.problem) == ("i000", "", "it is silent")
    assert second.answer == "2"


def test_an_unanswered_question_gives_no_vote(study: Study, tmp_path: Path) -> None:
    assert read(tmp_path, study, plain(**{"Answer.naturalness_0": ""})) == [("i004", "2")]


@pytest.mark.parametrize(
    "cells",
    [
        {"AssignmentStatus": "Rejected"},
        {"RejectionTime": "Wed Nov 20 21:03:26 PST 2019"},
        {"Reject": "x"},
    ],
)
def test_a_refused_assignment_is_flagged_and_kept(
    study: Study, tmp_path: Path, cells: dict[str, str]
) -> None:
    path = write_rows(tmp_path / "results.csv", [plain() | cells, plain("A2", "W2")])
    assert [vote.rejected for vote in read_results([path], study)] == [True, True, False, False]


def test_answers_of_pairs(tmp_path: Path) -> None:
    study = pair_study([("a", "b")], 2, group=2)[0]
    row = {
        "AssignmentId": "A1",
        "WorkerId": "W1",
        "Input.block": "b0",
        "Answer.preference_0": "First",
        "Answer.preference_1": "same",
    }
    assert read(tmp_path, study, row) == [("p000", "first"), ("p001", "same")]


def test_of_a_block_done_twice_the_first_sitting_counts(study: Study, tmp_path: Path) -> None:
    early = plain("A1", **{"SubmitTime": "2020-01-01T00:00:00+00:00"})
    late = plain("A2", **{"SubmitTime": "2020-01-02T00:00:00+00:00", "Answer.naturalness_0": "1"})
    other = plain("A3", "W2", **{"Answer.naturalness_0": "5"})
    assert [answer for _, answer in read(tmp_path, study, late, early, other)] == ["4", "2", "5", "2"]
    assert len(read(tmp_path, study, late, early, other, repeats="all")) == 6
    for row in (early, late):
        row["SubmitTime"] = ""
    assert read(tmp_path, study, late, early)[0] == ("i000", "1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Answer.naturalness_0": "6"}, "line 2: Answer.naturalness_0 is '6', none of 1, 2, 3, 4, 5"),
        ({"Answer.naturalness_0": "4.5"}, "'4.5', none of"),
        ({"Input.item_0": "i999"}, "line 2: the study has no item i999"),
        ({"Input.item_0": "i001"}, "block b0 has no item i001"),
        ({"Input.block": "b9"}, "the study has no block b9"),
        ({"Answer.plays_0": "often"}, "plays_0 is 'often', no number from 0"),
        ({"Answer.seconds_0": "-1"}, "seconds_0 is '-1'"),
        ({"Answer.naturalness_7": "3"}, "naturalness_7 is answered, but Input.item_7 is not there"),
        ({"WorkerId": ""}, "AssignmentId or WorkerId is empty"),
        ({"Answer.taskAnswers": "[1]"}, "no JSON of a crowd form"),
        ({"Answer.taskAnswers": "[" * 100_000}, "no JSON of a crowd form"),
        ({"Answer.naturalness_1.4": "maybe"}, "'maybe', neither true nor false"),
        ({"Answer.naturalness_1.4": "true", "Answer.naturalness_1.5": "true"}, "has both answers 4 and 5"),
        ({"Answer.q0": "4"}, "is about '', no sound of the study"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_line(
    study: Study, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, study, plain(**changes))
    assert message in str(caught.value)
    assert "results.csv, line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no assignment"),
        (b"AssignmentId,WorkerId,Input.block,Answer.naturalness_0\n", "holds no assignment"),
        (b"WorkerId,Answer.naturalness_0\nW1,4\n", "line 1: the columns AssignmentId, Input.* are missing"),
        (b"AssignmentId,WorkerId,Input.block\nA,W,b0\n", "the columns Answer.* are missing"),
        (b"AssignmentId,WorkerId,WorkerId,Input.block,Answer.x\n", "workerid stands there twice"),
        (b"AssignmentId,WorkerId,Input.block,Answer.naturalness_0\nA1,W1,b0,4\nA2,W2", "line 3: has 2 cells"),
        (b'AssignmentId,WorkerId,Input.block,Answer.naturalness_0\nA1,W1,b0,"4', "may be cut off"),
        (b"AssignmentId,WorkerId,Input.block,Answer.x\nA1,Ren\xe9,b0,4\n", "line 2: is not in UTF-8"),
        ("AssignmentId,WorkerId".encode("utf-16"), "is not in UTF-8"),
        ("AssignmentId,WorkerId".encode("utf-16-le"), "holds zero bytes"),
    ],
)
def test_a_damaged_file_is_refused(study: Study, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_results([path], study)
    assert message in str(caught.value)
    assert "results.csv" in str(caught.value)


def test_an_assignment_that_stands_in_two_files_is_refused(study: Study, tmp_path: Path) -> None:
    paths = [write_rows(tmp_path / name, [plain()]) for name in ("one.csv", "two.csv")]
    with pytest.raises(
        InputError, match=r"two.csv, line 2: assignment A1 stands already in .*one.csv, line 2"
    ):
        read_results(paths, study)


def test_a_p808_file_cannot_answer_a_study_with_several_scales(tmp_path: Path) -> None:
    study = scale_study(["a", "b"], 3)[0]
    row = {"AssignmentId": "A", "WorkerId": "W", "Input.block": "b0", "Answer.q0": "4"}
    with pytest.raises(InputError, match="do not say which of naturalness, similarity, consistency"):
        read(tmp_path, study, row)


def test_a_file_that_is_not_there_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.csv: cannot be read"):
        read_results([tmp_path / "gone.csv"], study)


def test_renamed_raters_stay_one_person_and_tell_nothing(study: Study, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "results.csv", [plain(), plain("A2", "simulated-7")])
    votes = read_results([path], study)
    renamed = rename_raters(votes, salt="s")
    assert len({vote.rater for vote in renamed}) == 2
    assert renamed[0].rater == renamed[1].rater
    assert "W1" not in renamed[0].rater
    assert renamed[2].rater.startswith("simulated-")
    assert renamed == rename_raters(votes, salt="s")
    assert renamed[0].rater != rename_raters(votes, salt="t")[0].rater
    assert replace(renamed[0], rater="W1", sitting="A1") == votes[0]
