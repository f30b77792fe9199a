"""Rows are printed for people, Markdown, programs and spreadsheets without losing anything."""

import csv
import io
import json

import pytest

from doppelbench.benchmark.tables import figures_table, format_value, render

ROWS = [
    {
        "name": "a|b",
        "needs": ["ref", "text"],
        "note": "[Errno 2] no [such] file",
        "value": 0.12345,
        "coverage": 0.5,
    },
    {"name": "ü", "needs": [], "note": "two\nlines", "value": None, "coverage": 1.0},
]


def test_json_gives_the_rows_back():
    assert json.loads(render(ROWS, "json")) == ROWS


def test_json_writes_sets_as_lists():
    assert json.loads(render([{"needs": frozenset({"b", "a"})}], "json")) == [{"needs": ["a", "b"]}]


def test_csv_gives_the_values_back_unrounded_with_lists_joined():
    found = list(csv.DictReader(io.StringIO(render(ROWS, "csv"))))
    assert [row["name"] for row in found] == ["a|b", "ü"]
    assert [row["needs"] for row in found] == ["ref, text", ""]
    assert [row["note"] for row in found] == [row["note"] for row in ROWS]
    assert [row["value"] for row in found] == ["0.12345", ""]


def test_markdown_has_one_line_a_row_and_one_cell_a_column():
    lines = render(ROWS, "md").splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert {len(line.replace("\\|", "").split("|")) for line in lines} == {len(ROWS[0]) + 2}


def test_a_table_shows_brackets_and_rounds():
    text = render(ROWS, "table")
    assert "[Errno 2] no [such] file" in text
    assert "0.123" in text
    assert "0.12345" not in text
    assert "50%" in text
    assert "–" in text


@pytest.mark.parametrize("kind", ["table", "md", "csv", "json"])
def test_no_rows_are_no_error(kind):
    text = render([], kind)
    assert text.strip() == "[]" if kind == "json" else "name" not in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "", "–"), (12.345, "%", "12.3"), (5.678, "dB", "5.68"), (0.98765, "", "0.988")],
)
def test_a_figure_has_the_digits_of_its_unit(value, unit, text):
    assert format_value(value, unit) == text


def test_signatures_are_left_to_formats_that_have_room():
    figure = dict.fromkeys(
        ("system", "metric", "value", "low", "high", "unit", "n", "expected", "coverage"), None
    )
    rows = figures_table([{**figure, "signature": "mcd|v1", "details": {}}])
    assert "mcd|v1" not in render(rows, "table")
    assert "mcd\\|v1" in render(rows, "md")
    assert json.loads(render(rows, "json"))[0]["signature"] == "mcd|v1"
