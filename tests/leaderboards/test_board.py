"""Boards: known orders, shared ranks, coverage, versions that must not meet, and what changed."""

import numpy as np
import pytest
from small_results import figure, measured, result, stored, system

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.board import Boards, board_csv, board_markdown, build_boards, read_boards
from doppelbench.leaderboards.board_diff import diff_boards
from doppelbench.leaderboards.result import StoredResult

NOISE = np.random.default_rng(0).normal(0, 1, 60)


def ranks(board):
    return {row.id: row.rank for row in board.rows}


def only(*results):
    [board] = build_boards(results)
    return board


def test_systems_are_ranked_by_the_pessimistic_bound():
    narrow, wide, low = figure(5.0, 0.1), figure(6.0, 2.0), figure(1.0, 0.5)
    systems = [system("low", low), system("wide", wide), system("narrow", narrow)]
    board = only(stored(systems))
    assert [row.system.key for row in board.rows] == ["narrow", "wide", "low"]
    assert [row.bound for row in board.rows] == [4.9, 4.0, 0.5]
    assert ranks(board) == {"narrow": 1, "wide": 1, "low": 3}
    assert "items were not kept" in board.rule
    metrics = [{"name": "score", "signature": "score|v1", "direction": "lower"}]
    turned = only(
        stored([system("low", low), system("wide", wide), system("narrow", narrow)], metrics=metrics)
    )
    assert [row.system.key for row in turned.rows] == ["low", "narrow", "wide"]
    assert [row.bound for row in turned.rows] == [1.5, 5.1, 8.0]


def test_a_difference_on_the_same_trials_is_shown_where_intervals_overlap():
    hard = 10 * NOISE
    values = {
        "best": list(hard + 2.0 + 0.1 * NOISE[::-1]),
        "equal": list(hard + 2.0 + 0.1 * np.roll(NOISE, 7)),
        "worse": list(hard + 1.0 + 0.1 * np.roll(NOISE, 3)),
    }
    board = only(measured(values))
    rank = ranks(board)
    assert (rank["best"], rank["equal"], rank["worse"]) == (1, 1, 3)
    last = board.rows[2]
    assert last.tie == "difference shown"
    assert last.p is not None
    assert last.p < 1e-4
    assert last.leader in {"best", "equal"}


def test_identical_outputs_share_a_rank():
    board = only(measured({name: list(NOISE) for name in ("one", "two", "three")}))
    assert set(ranks(board).values()) == {1}
    assert [row.p for row in board.rows] == [None, 1.0, 1.0]


def test_systems_below_full_coverage_follow_whatever_they_score():
    whole = list(NOISE)
    partial = [value + 50 if index else None for index, value in enumerate(whole)]
    board = only(measured({"partial": partial, "whole": whole}))
    assert [(row.id, row.section, row.rank) for row in board.rows] == [
        ("whole", "ranked", 1),
        ("partial", "incomplete", 2),
    ]


def test_a_system_that_expects_fewer_items_than_others_is_not_complete():
    whole = system("whole", figure(1.0, n=20, expected=20))
    short = system("short", figure(9.0, n=5, expected=5))
    assert [row.section for row in only(stored([short, whole])).rows] == ["ranked", "incomplete"]


def test_without_an_interval_or_a_figure_there_is_no_rank():
    board = only(stored([system("none"), system("single", figure(9.0, None)), system("one", figure(1.0))]))
    assert ranks(board) == {"one": 1, "none": None, "single": None}
    assert board.rows[0].id == "one"


def test_reference_rows_are_pinned_apart():
    board = only(stored([system("row", figure(99.0), reference_row=True), system("one", figure(1.0))]))
    assert [(row.id, row.section, row.rank) for row in board.rows] == [
        ("one", "ranked", 1),
        ("row", "reference", None),
    ]


def test_the_newest_result_is_ranked_and_the_older_ones_are_history():
    old = stored([system("one", figure(1.0))])
    new = stored([system("one", figure(2.0))], created="2026-02-01T00:00:00+00:00")
    board = only(new, old, old)
    assert [entry.value for entry in board.rows[0].history] == [2.0, 1.0]
    assert board.rows[0].figures[0].value == 2.0
    other = stored([system("one", figure(3.0), preset="paper")])
    assert [row.id for row in only(old, other).rows] == ["one@paper", "one"]


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": [{"name": "score", "signature": "score|v2", "direction": "higher"}]},
        {"corpus": {"label": "talkers", "hash": "c" * 16}},
        {"trials": {"count": 20, "hash": "c" * 16}},
    ],
)
def test_another_signature_corpus_or_set_of_trials_is_another_board(change):
    old = stored([system("one", figure(1.0))])
    new = stored([system("one", figure(2.0))], created="2026-02-01T00:00:00+00:00", **change)
    boards = build_boards([old, new])
    assert len(boards) == 2
    assert boards[0].superseded_by is None
    assert boards[1].superseded_by == boards[0].id
    assert boards[1].rows[0].figures[0].value == 1.0
    assert boards[1].id == only(old).id, "the old board keeps its id"


def test_another_recipe_does_not_supersede():
    old = stored([system("one", figure(1.0))])
    new = stored(
        [system("one", figure(2.0))],
        created="2026-02-01T00:00:00+00:00",
        recipe="other",
        trials={"count": 9, "hash": "c" * 16},
    )
    assert [board.superseded_by for board in build_boards([old, new])] == [None, None]


def test_other_metrics_of_another_signature_stand_in_another_column():
    def with_other(key, version, created):
        metrics = [
            {"name": "score", "signature": "score|v1", "direction": "higher"},
            {"name": "other", "signature": f"other|{version}", "direction": "lower"},
        ]
        figures = figure(1.0), {**figure(7.0), "metric": "other"}
        return stored([system(key, *figures)], metrics=metrics, created=created)

    board = only(
        with_other("one", "v1", "2026-01-01T00:00:00Z"), with_other("two", "v2", "2026-02-01T00:00:00Z")
    )
    assert [column.name for column in board.columns] == ["score", "other", "other"]
    assert len({column.id for column in board.columns}) == 3
    for row in board.rows:
        [shown] = [one.metric for one in row.figures if one.metric != "score"]
        signature = next(column.signature for column in board.columns if column.id == shown)
        assert signature == ("other|v1" if row.id == "one" else "other|v2")


def test_results_with_and_without_items_meet_and_the_board_says_how():
    values = {"one": list(NOISE), "two": list(NOISE + 5)}
    one = measured(values)
    bare = StoredResult("bare", result([system("three", figure(0.0, n=60, expected=60))]))
    board = only(one, bare)
    assert board.ties == "paired test or overlapping intervals"
    assert {row.id: row.tie for row in board.rows} == {
        "two": "",
        "one": "difference shown",
        "three": "intervals overlap",
    }


def test_a_board_comes_back_and_is_the_same_bytes(tmp_path):
    made = [measured({"one": list(NOISE), "two": list(NOISE + 1)}), stored([system("b", figure(1.0))])]
    board = only(*made)
    assert board.as_json() == only(*reversed(made)).as_json()
    path = tmp_path / "board.json"
    path.write_text(board.as_json())
    assert read_boards(path) == [board]
    path.write_text(Boards(schema=1, boards=(board,)).as_json())
    assert read_boards(path) == [board]


@pytest.mark.parametrize("text", ["", "[]", '{"boards": 1}', '{"schema": 1}', '{"boards": [{}]}'])
def test_a_malformed_board_is_refused(tmp_path, text):
    path = tmp_path / "board.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"board\.json"):
        read_boards(path)


def test_names_do_not_break_the_tables_of_text():
    board = only(stored([system("=1+1", figure(1.0)), system("a|b\n<script>", figure(0.5))]))
    assert "'=1+1" in board_csv(board)
    lines = board_markdown(board).splitlines()
    [row] = [line for line in lines if "a\\|b" in line]
    assert "<script>" not in row


def diff(old, new):
    return [(change.kind, change.system, change.grave) for change in diff_boards([only(old)], [only(new)])]


def test_equal_boards_have_no_difference():
    one = stored([system("one", figure(1.0)), system("two", figure(9.0))])
    assert diff(one, one) == []


def test_a_newcomer_at_the_top_moves_nobody():
    old = stored([system("one", figure(5.0)), system("two", figure(1.0))])
    new = stored([system("one", figure(5.0)), system("two", figure(1.0)), system("new", figure(9.0))])
    assert diff(old, new) == [("added", "new", False)]


def test_moved_ranks_figures_and_dropped_systems_are_named():
    old = stored([system("one", figure(9.0)), system("two", figure(5.0)), system("gone", figure(1.0))])
    new = stored([system("one", figure(2.0)), system("two", figure(5.5))])
    assert diff(old, new) == [
        ("dropped", "gone", True),
        ("rank", "one", True),
        ("rank", "two", True),
        ("figure", "one", True),
    ]


def test_a_figure_within_its_interval_has_not_moved():
    assert diff(stored([system("one", figure(1.0))]), stored([system("one", figure(1.9))])) == []


def test_a_new_version_replaces_a_board_and_no_figures_are_compared():
    old = stored([system("one", figure(1.0))])
    new = stored([system("one", figure(9.0))], corpus={"label": "talkers", "hash": "c" * 16})
    assert diff(old, new) == [("board replaced", "", True)]
    other = stored([system("one", figure(9.0))], track="detection")
    assert [entry[0] for entry in diff(old, other)] == ["board dropped", "board added"]
