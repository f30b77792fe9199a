"""Study and key: what is written is read again, and what was changed is refused."""

import json
from pathlib import Path

import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.listening.study import (
    KEY,
    RATERS,
    STUDY,
    Answer,
    Block,
    Item,
    Key,
    KeyEntry,
    Question,
    Recruitment,
    Rules,
    Stimulus,
    Study,
    read_key,
    read_study,
    write_study,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scale = tuple(Answer(str(value), word) for value, word in enumerate(("Bad", "Good"), 1))
    study = Study(
        id="5a",
        title="Voices",
        plan="small",
        modality="audio",
        instructions=("Listen.",),
        consent="I agree.",
        contact="owner@example.org",
        questions=(Question("naturalness", "How natural is it?", scale),),
        items=(Item("i1", (Stimulus("output", "f1.wav", 2.5),), ("naturalness",)),),
        training=(),
        blocks=(Block("b1", ("i1",)),),
        rules=Rules(),
        recruitment=Recruitment(minimum_approval=98, countries=("US",)),
        media={"f1.wav": "00"},
    )
    key = Key(
        study="5a",
        design_sha256="",
        salt="a1",
        seed=0,
        run="talkers",
        entries={"i1": KeyEntry("system", ("exemplar",), "t1", "ada", "edith")},
        sources={"f1.wav": "outputs/exemplar/t1.flac"},
    )
    write_study(tmp_path, study, key)
    return tmp_path


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_study_and_key_come_back(folder: Path) -> None:
    study = read_study(folder)
    assert study == read_study(folder / RATERS)
    assert study.item("i1").stimuli == (Stimulus("output", "f1.wav", 2.5),)
    assert study.recruitment.countries == ("US",)
    assert read_key(folder).entries["i1"].systems == ("exemplar",)


def test_the_raters_folder_does_not_name_the_system(folder: Path) -> None:
    assert "exemplar" not in (folder / RATERS / STUDY).read_text()


def test_a_rule_that_was_changed_after_sealing_is_refused(folder: Path) -> None:
    path = folder / RATERS / STUDY
    rules = json.loads(path.read_text())["rules"] | {"trap_errors": 5}
    change(path, rules=rules)
    with pytest.raises(InputError, match="rules were changed after the study was sealed"):
        read_key(folder)


def test_a_key_that_was_changed_after_sealing_is_refused(folder: Path) -> None:
    path = folder / KEY
    entries = json.loads(path.read_text())["entries"]
    entries["i1"]["systems"] = ["autovc"]
    change(path, entries=entries)
    with pytest.raises(InputError, match="was changed after the study was sealed"):
        read_key(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": 7}, "schema 7 is not 1"),
        ({"colour": "red"}, "unknown field colour"),
        ({"items": {}}, "expected a list"),
        ({"modality": "smell"}, "'smell' is none of audio, video"),
        ({"title": 5}, "expected str instead of 5"),
    ],
)
def test_a_damaged_study_is_refused_by_name(folder: Path, values: dict[str, object], message: str) -> None:
    change(folder / RATERS / STUDY, **values)
    with pytest.raises(InputError, match=message) as caught:
        read_study(folder)
    assert STUDY in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / RATERS / STUDY).write_bytes(content)
    with pytest.raises(InputError, match="no study that can be read"):
        read_study(folder)
