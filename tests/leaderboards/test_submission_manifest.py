"""Manifests and trial lists of strangers: every mistake has its message, and nothing else can happen."""

import contextlib
import csv
import json
import string
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from submission_examples import filled_manifest, sheet

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_findings import printable
from doppelbench.leaderboards.submission_json import read_strict_json
from doppelbench.leaderboards.submission_manifest import (
    FIELD_HELP,
    ManifestError,
    read_manifest,
    template,
)
from doppelbench.leaderboards.submission_trials import COLUMNS, read_sheet, write_sheet

SHEET = sheet()
MANIFEST = json.dumps(filled_manifest(SHEET)).encode()
TRIALS = write_sheet(SHEET)


def test_a_filled_manifest_is_read() -> None:
    manifest = read_manifest(MANIFEST)
    assert manifest.system.name == "my-system"
    assert manifest.authors == ["A. Author", "Zoë Ø"]
    assert read_manifest(b"\xef\xbb\xbf" + MANIFEST) == manifest


def test_the_template_names_every_field_that_is_still_to_be_filled_in() -> None:
    empty = template(recipe="r", track="t", corpus="c", corpus_hash="a" * 64, trials_hash="b" * 64)
    with pytest.raises(ManifestError) as caught:
        read_manifest(empty)
    said = {problem.field: problem for problem in caught.value.problems}
    assert set(said) == {
        "system.name", "system.description", "authors", "contact", "licence", "training.data",
        "training.zero_shot", "training.extra_data", "parameters", "compute", "consent.voices_and_faces",
        "consent.labelled_synthetic",
    }  # fmt: skip
    assert all(problem.fix == FIELD_HELP[name] for name, problem in said.items())


def values_of(part: object, name: str = "") -> "list[str]":
    if not isinstance(part, dict):
        return [name]
    own = [name] if name else []
    return own + [
        path for key, value in part.items() for path in values_of(value, f"{name}.{key}".strip("."))
    ]


def test_every_field_has_a_help() -> None:
    assert set(values_of(filled_manifest(SHEET))) == set(FIELD_HELP)


WRONG_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"schema_version": 2}, "schema_version", "is 2"),
    ({"schema_version": True}, "schema_version", "is true"),
    ({"corpus_hash": "A" * 64}, "corpus_hash", "string should match"),
    ({"system": {"name": "a/b", "description": "long enough"}}, "system.name", 'is "a/b"'),
    ({"system": "x"}, "system", 'is "x"'),
    ({"authors": "A. Author"}, "authors", "valid list"),
    ({"authors": [7]}, "authors.0", "is 7"),
    ({"authors": ["two\nlines"]}, "authors.0", "string should match"),
    ({"contact": "nobody"}, "contact", 'is "nobody"'),
    ({"parameters": "many"}, "parameters", "valid integer"),
    ({"parameters": -1}, "parameters", "greater than or equal to 0"),
    ({"parameters": 1.5}, "parameters", "is 1.5"),
    ({"code": "javascript:alert(1)"}, "code", "string should match"),
    ({"paper": 'https://x.org/"><script>'}, "paper", "string should match"),
    ({"consent": {"voices_and_faces": 1, "labelled_synthetic": True}}, "consent.voices_and_faces",
     "is 1: input should be a valid boolean"),
    ({"consent": {"voices_and_faces": True, "labelled_synthetic": False}}, "consent.labelled_synthetic",
     "is false: without it nothing is scored or shown"),
    ({"licences": "x"}, "licences", "is no field of a manifest; did you mean licence?"),
    ({"compute": "x" * 301}, "compute", "at most 300"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "field", "what"), WRONG_FIELDS)
def test_a_wrong_field_is_named_with_its_cure(changes, field: str, what: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(json.dumps(filled_manifest(SHEET, **changes)).encode())
    (problem,) = caught.value.problems
    assert problem.field == field
    assert what in problem.what
    assert problem.fix
    assert len(str(caught.value)) < 400


DEEP = b"[" * 100_000 + b"]" * 100_000


WRONG_JSON = {
    "a manifest that is too large": (b" " * (1 << 19), "more than 262144"),
    "a manifest that is not UTF-8": (b"\xff{}", "not a UTF-8 text file"),
    "a manifest that breaks off": (b"{", "line 1: not JSON"),
    "an empty manifest": (b"", "not JSON"),
    "a manifest nested without end": (DEEP, "nested more than 16 deep"),
    "a manifest nested too deep": (b'{"a":' * 20 + b"1" + b"}" * 20, "nested more than 16 deep"),
    "a key of the manifest twice": (b'{"a": 1, "a": 2}', "the key a stands twice"),
    "NaN in the manifest": (b'{"a": NaN}', "NaN is no number that JSON knows"),
    "an infinite number in the manifest": (b"[-Infinity]", "-Infinity is no number"),
    "a number beyond all floats": (b"[1e999]", "the number 1e999 is too large"),
    "a number of 5000 digits": (b"[" + b"9" * 5000 + b"]", "a number that is too large"),
    "a control character in the manifest": (rb'["\u001b[2J"]', r"hidden character U\+001B"),
    "half a surrogate pair in the manifest": (rb'["\ud800"]', r"hidden character U\+D800"),
    "text that runs backwards in the manifest": (rb'{"\u202e": 1}', r"hidden character U\+202E"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_JSON)
def test_json_of_the_wrong_kind_is_refused_at_once(what: str) -> None:
    content, message = WRONG_JSON[what]
    began = time.process_time()
    with pytest.raises(InputError, match=message):
        read_strict_json(content, "submission.json")
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"7"])
def test_a_manifest_is_an_object(content: bytes) -> None:
    with pytest.raises(InputError, match="expected an object"):
        read_manifest(content)


def test_a_trial_list_comes_back_as_it_was_written() -> None:
    assert read_sheet(TRIALS) == SHEET
    film = sheet(film=True)
    assert read_sheet(write_sheet(film)) == film
    assert film.hash != SHEET.hash


def test_a_spreadsheet_may_save_the_list_anew() -> None:
    lines = TRIALS.decode().splitlines()
    saved = "\r\n".join([lines[0], *reversed(lines[1:])]) + "\r\n"
    assert read_sheet(b"\xef\xbb\xbf" + saved.encode()).hash == SHEET.hash


def test_a_list_without_a_trial_has_another_hash() -> None:
    shorter = b"\n".join(TRIALS.splitlines()[:-1]) + b"\n"
    assert read_sheet(shorter).hash != SHEET.hash


def line(**changes: str) -> bytes:
    values = {"trial": "t", "source": "s", "target": "ana", "text_allowed": "no", "output": "outputs/t.flac"}
    values |= {"seconds": "1.0"} | changes
    return (",".join(COLUMNS) + "\n" + ",".join(values.get(name, "") for name in COLUMNS) + "\n").encode()


WRONG_LISTS = {
    "an empty trial list": (b"", "there is no trial in it"),
    "a trial list of other columns": (b"a;b\n", "line 1: expected the columns trial,source"),
    "a line of the list with too few fields": (TRIALS + b"x,y\n", "line 5: 2 fields instead of 9"),
    "a trial of the list twice": (TRIALS + TRIALS.splitlines()[1], "line 5: the trial t0 stands twice"),
    "an output of the list twice": (
        TRIALS + TRIALS.splitlines()[1].replace(b"t0,", b"t9,"), "line 5: the output outputs/t0.flac"),
    "an output of the list outside its folder": (line(output="../t.flac"), "line 2: ../t.flac is no name"),
    "an output of the list of another kind": (line(output="outputs/t.wav"), "outputs/t.wav is no name"),
    "a duration that is no number": (line(seconds="nan"), "seconds is nan; expected a number"),
    "a duration of years": (line(seconds="1e9"), "seconds is 1e9; expected a number"),
    "a permission that is neither yes nor no": (line(text_allowed="maybe"), "text_allowed is yes or no"),
    "a frame rate for a sound": (line(fps="25"), "fps and size belong to films"),
    "a trial without a name": (line(trial=""), "trial is empty"),
    "a film without a frame rate": (line(output="outputs/t.mkv"), "fps is ; expected"),
    "a control character in the list": (line(target="a\x07"), r"hidden character U\+0007"),
    "a list that is not UTF-8": (b"\xff\xfe", "not a UTF-8 text file"),
    "a list of quotation marks": (b'"\n' * 200_000, "not a table that can be read|expected the columns"),
    "a list that is too large": (line() + b"\n" * (1 << 23), "more than 8388608"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_LISTS)
def test_a_broken_trial_list_is_refused_with_its_line(what: str) -> None:
    content, message = WRONG_LISTS[what]
    with pytest.raises(InputError, match=message):
        read_sheet(content)


def test_text_of_strangers_is_shown_without_what_a_terminal_obeys() -> None:
    assert printable("a\x1b[31m\u202eb\n") == "a\\u001b[31m\\u202eb\\u000a"
    assert printable("x" * 200) == "x" * 80 + "…"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(filled_manifest(SHEET))), anything)
@example("parameters", 10**400)
@example("system", {"name": "\ud800", "description": "x" * 20})
@example("authors", [{"a": [[]]}])
def test_whatever_stands_in_a_field_it_is_read_or_refused(name: str, value: object) -> None:
    with contextlib.suppress(InputError):
        read_manifest(json.dumps(filled_manifest(SHEET, **{name: value})).encode())


changes = st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)), max_size=5)


@settings(max_examples=200, deadline=None)
@given(changes, st.booleans())
def test_whatever_becomes_of_the_bytes_they_are_read_or_refused(edits, manifest: bool) -> None:
    content = bytearray(MANIFEST if manifest else TRIALS)
    for place, new, length in edits:
        at = place % (len(content) + 1)
        content[at : at + length] = new
    with contextlib.suppress(InputError):
        read = read_manifest if manifest else read_sheet
        read(bytes(content))


cells = st.text(string.printable, max_size=12) | st.sampled_from(("t0", "outputs/a.flac", "1.0", "no", "yes"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(cells, min_size=8, max_size=10), max_size=4))
def test_whatever_stands_in_a_list_it_is_read_or_refused(rows) -> None:
    import io

    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    with contextlib.suppress(InputError):
        read_sheet(text.getvalue().encode())
