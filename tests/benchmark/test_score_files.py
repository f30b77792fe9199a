"""Folders with everything that goes wrong: each file gets its status and reason, the others are scored."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import cli, complaint
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.benchmark.pairs import match_files, read_texts
from doppelbench.benchmark.scoring import score_files
from doppelbench.corpora.errors import InputError
from doppelbench.engine.engines import Engine

ONE = Engine(jobs=1)
SPEECH = speak(TALKERS[1], "lay white with f nine again", 1.5)

# What is wrong with the output, the status of its item, and what the reason has to name besides the file.
BAD = {
    "empty": ("unreadable", "empty"),
    "truncated": ("unreadable", "truncated"),
    "text": ("unreadable", "not an audio file"),
    "short": ("too_short", "0.02"),
    "silence": ("silent", "silent"),
    "nan": ("not_finite", "NaN"),
    "no_output": ("missing", "no such file"),
    "no_reference": ("missing", "no such file"),
    "longer": ("length_mismatch", "3.0"),
}
GOOD = ("good", "eight kHz", "stereo 48 kHz ü")


def write_bad_folders(folder: Path) -> tuple[Path, Path]:
    out, ref = folder / "out", folder / "ref"
    out.mkdir()
    ref.mkdir()
    for name in (*BAD, *GOOD):
        soundfile.write(ref / f"{name}.flac", SPEECH, RATE)
        soundfile.write(out / f"{name}.wav", SPEECH, RATE)
    (out / "empty.wav").write_bytes(b"")
    content = (out / "truncated.wav").read_bytes()
    (out / "truncated.wav").write_bytes(content[: len(content) // 2])
    (out / "text.wav").write_text("these are only words")
    soundfile.write(out / "short.wav", SPEECH[:320], RATE)
    soundfile.write(out / "silence.wav", np.zeros_like(SPEECH), RATE)
    holes = SPEECH.copy()
    holes[100:110] = np.nan
    soundfile.write(out / "nan.wav", holes, RATE, subtype="FLOAT")
    soundfile.write(out / "longer.wav", np.concatenate([SPEECH, SPEECH]), RATE)
    (out / "no_output.wav").unlink()
    (ref / "no_reference.flac").unlink()
    soundfile.write(out / "eight kHz.wav", SPEECH[::2], RATE // 2)
    soundfile.write(
        out / "stereo 48 kHz ü.wav", np.repeat(np.stack([SPEECH] * 2, axis=1), 3, axis=0), 3 * RATE
    )
    return out, ref


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Items, figures and the last lines of the command line."""
    folder = tmp_path_factory.mktemp("bad")
    out, ref = write_bad_folders(folder)
    arguments = ("score", out, "--ref", ref, "-m", "stoi", "--jobs", 1, "--format", "json")
    result = cli(*arguments, "--items", "--save", folder / "saved")
    saved = {
        name: json.loads((folder / "saved" / f"{name}.json").read_text()) for name in ("items", "figures")
    }
    return result, {item["trial"]: item for item in saved["items"]}, saved["figures"]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_has_its_status_and_a_reason_that_names_it(scored, name):
    _, items, _ = scored
    status, said = BAD[name]
    assert items[name]["status"] == status
    assert items[name]["value"] is None
    assert said in items[name]["reason"]
    assert name in items[name]["reason"]


@pytest.mark.parametrize("name", GOOD)
def test_the_files_beside_it_are_scored(scored, name):
    _, items, _ = scored
    assert items[name]["status"] == "ok"
    assert items[name]["value"] > (0.99 if name == "good" else 0.8)


def test_figures_count_what_was_scored_and_the_exit_code_tells(scored):
    result, items, figures = scored
    assert [(figure["n"], figure["expected"]) for figure in figures] == [(len(GOOD), len(BAD) + len(GOOD))]
    assert figures[0]["coverage"] == pytest.approx(len(GOOD) / len(items))
    assert result.returncode == 4
    assert f"{len(GOOD)} of {len(items)}" in complaint(result)
    assert {row["trial"] for row in json.loads(result.stdout)} == set(items)


def test_the_coverage_that_the_complaint_suggests_is_enough(scored):
    result, _, figures = scored
    suggested = float(complaint(result).rstrip(".").rsplit(" ", 1)[1])
    assert 0 <= figures[0]["coverage"] - suggested < 0.01


def test_low_coverage_can_be_allowed(tmp_path):
    soundfile.write(tmp_path / "one.wav", SPEECH, RATE)
    (tmp_path / "two.wav").write_bytes(b"")
    allowed = cli(
        "score",
        tmp_path,
        "--ref",
        tmp_path,
        "-m",
        "stoi",
        "--min-coverage",
        0.5,
        "--format",
        "csv",
        "--jobs",
        1,
    )
    assert allowed.returncode == 0, allowed.stderr
    (row,) = csv.DictReader(io.StringIO(allowed.stdout))
    assert (row["metric"], row["n"], row["expected"], float(row["coverage"])) == ("stoi", "1", "2", 0.5)


def test_single_files_are_scored_against_each_other(tmp_path):
    soundfile.write(tmp_path / "one.wav", SPEECH, RATE)
    soundfile.write(tmp_path / "two.flac", SPEECH, RATE)
    items, figures = score_files(
        tmp_path / "one.wav",
        ref=tmp_path / "two.flac",
        metrics=["stoi", "estoi"],
        text=None,
        engine=ONE,
        save=None,
    )
    assert {item["metric"]: item["status"] for item in items} == {"stoi": "ok", "estoi": "ok"}
    assert {figure["system"] for figure in figures} == {"one.wav"}
    with pytest.raises(InputError, match="one reference file"):
        match_files(tmp_path / "one.wav", tmp_path)
    with pytest.raises(InputError, match="folder of references"):
        match_files(tmp_path, tmp_path / "two.flac")


@pytest.mark.slow
def test_ten_minutes_are_scored(tmp_path):
    soundfile.write(tmp_path / "long.flac", np.tile(SPEECH, 400), RATE)
    items, _ = score_files(tmp_path, ref=tmp_path, metrics=["stoi"], text=None, engine=ONE, save=None)
    assert [item["status"] for item in items] == ["ok"]
    assert items[0]["value"] > 0.999


def test_names_are_matched_below_folders_and_across_suffixes(tmp_path):
    for path in ("out/a/x.wav", "out/b/x.flac", "ref/a/x.flac", "ref/b/x.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / path, SPEECH, RATE)
    pairs = match_files(tmp_path / "out", tmp_path / "ref")
    assert {name: (o.suffix, r.suffix) for name, (o, r) in pairs.items()} == {
        "a/x": (".wav", ".flac"),
        "b/x": (".flac", ".wav"),
    }


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: soundfile.write(folder / "out" / "x.flac", SPEECH, RATE), "same name"),
        (
            lambda folder: (folder / "ref" / "x.wav").rename(folder / "ref" / "y.wav"),
            "no file name in common",
        ),
        (lambda folder: (folder / "out" / "x.wav").unlink(), "no sound or video file"),
        (lambda folder: (folder / "ref" / "x.wav").unlink(), "no sound or video file"),
    ],
)
def test_folders_that_cannot_be_matched_are_refused(tmp_path, prepare, said):
    for name in ("out", "ref"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", SPEECH, RATE)
    prepare(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        match_files(tmp_path / "out", tmp_path / "ref")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("metric", "text", "said"),
    [
        ("stoi", None, "--ref"),
        ("wer", None, "--text"),
        ("sca", None, "classifier"),
        ("wer:recognizer=parrot", "id,text\nx,words\n", "parrot"),
        ("wer", "id,words\nx,words\n", "columns id and text"),
        ("wer", "id,text\nx,one\nx,two\n", "the id x stands twice"),
    ],
)
def test_metrics_without_what_they_need_are_refused(tmp_path, metric, text, said):
    soundfile.write(tmp_path / "x.wav", SPEECH, RATE)
    table = tmp_path / "texts.csv"
    table.write_text(text or "id,text\n")
    with pytest.raises(InputError, match=said):
        score_files(
            tmp_path,
            ref=None,
            metrics=[metric],
            text=table if text else None,
            engine=ONE,
            save=None,
        )


def test_words_are_compared_with_those_of_the_table(tmp_path):
    for name in ("right", "wrong", "unknown"):
        soundfile.write(tmp_path / f"{name}.wav", SPEECH, RATE)
    (tmp_path / "said.txt").write_text("right lay white now\nwrong lay red now\n")
    (tmp_path / "heard.csv").write_text("id,text\nright,lay white now\nwrong,lay white now\nunknown,lay\n")
    items, figures = score_files(
        tmp_path,
        ref=None,
        metrics=[f"wer:recognizer=stored:{tmp_path / 'heard.csv'},normalizer=basic"],
        text=tmp_path / "said.txt",
        engine=ONE,
        save=None,
    )
    found = {item["trial"]: (item["status"], item["value"]) for item in items}
    assert found["right"] == ("ok", 0.0)
    assert found["wrong"] == ("ok", pytest.approx(1 / 3))
    assert found["unknown"][0] == "missing"
    assert figures[0]["n"] == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", b"one words\ntwo\n", "line 2"),
        ("t.txt", b"\xff\xfe\x00", "UTF-8"),
        ("t.csv", b"", "columns id and text"),
        ("t.csv", b"id,text\n\n", None),
    ],
)
def test_tables_of_words_that_are_damaged_are_refused_with_the_place(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    if said is None:
        assert read_texts(tmp_path / name) == {}
        return
    with pytest.raises(InputError, match=said) as caught:
        read_texts(tmp_path / name)
    assert name in str(caught.value)


def test_one_and_two_workers_agree(tmp_path):
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", SPEECH, RATE)
    (tmp_path / "d.wav").write_bytes(b"no sound")
    one, two = (
        score_files(
            tmp_path, ref=tmp_path, metrics=["stoi", "estoi"], text=None, engine=Engine(jobs=jobs), save=None
        )
        for jobs in (1, 2)
    )
    assert one == two


def test_a_reference_at_fault_is_the_file_that_is_named(tmp_path):
    for name in ("out", "ref"):
        (tmp_path / name).mkdir()
    soundfile.write(tmp_path / "out" / "x.wav", SPEECH, RATE)
    soundfile.write(tmp_path / "ref" / "x.flac", np.zeros_like(SPEECH), RATE)
    items, _ = score_files(
        tmp_path / "out", ref=tmp_path / "ref", metrics=["stoi"], text=None, engine=ONE, save=None
    )
    assert items[0]["status"] == "silent"
    assert items[0]["reason"].startswith(str(tmp_path / "ref" / "x.flac"))
