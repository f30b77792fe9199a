"""Detection runs: planted generators, resume, shortcuts, and what cannot be used."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from scipy.signal import butter, sosfiltfilt
from synthetic_corpus import RATE, TALKERS, speak
from typer.testing import CliRunner

from doppelbench.benchmark import detection_material, detection_run
from doppelbench.benchmark.cli import app
from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.detection_casework import in_words, read_calibration, score_folder
from doppelbench.benchmark.detection_data import from_folders, from_run, from_table, join
from doppelbench.benchmark.detection_folder import TRIALS, read_record
from doppelbench.benchmark.detection_recipe import DetectionRecipe, DetectorChoice, MaterialChoice
from doppelbench.benchmark.detection_run import execute
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.engine.errors import RunError
from doppelbench.engine.pool import run_pool
from doppelbench.engine.run import Run

SENTENCES = 24
VOICES = TALKERS[:2]
# A quieter file is a shortcut that the common form takes away.
QUIET = 0.2
SERRA = DetectorChoice(name="serra-statistics", preset="tiny")
RUNNER = CliRunner()


def muffled(samples: np.ndarray) -> np.ndarray:
    filters = butter(8, 2500, fs=RATE, output="sos")
    return np.asarray(sosfiltfilt(filters, samples), np.float32)


def write_material(folder: Path) -> Path:
    """A table of two voices: one generator that muffles and is quieter, one whose fakes are real speech."""
    rows = []
    for voice in VOICES:
        for number in range(SENTENCES):
            text = f"sentence {number}"
            made = {
                "": speak(voice, text, 0.8),
                "muffling": QUIET * muffled(speak(voice, f"{text} again", 0.8)),
                "nothing": speak(voice, f"{text} once more", 0.8),
            }
            for attack, samples in made.items():
                path = folder / (attack or "real") / voice.name / f"{number}.flac"
                write_audio(path, Audio(samples.astype(np.float32), RATE))
                label = "spoof" if attack else "bonafide"
                rows.append([path.relative_to(folder), label, attack, voice.name, "cleo", text])
    table = folder / "clips.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "attack", "speaker", "source_speaker", "text"])
        writer.writerows(rows)
    return table


@pytest.fixture(scope="module")
def in_process() -> Any:
    """Do the work of the pool here, because workers would load everything again in each test."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (detection_run, detection_material):
            patch.setattr(module, "run_pool", partial(run_pool, in_process=True))
        yield


def recipe_of(table: Path, **more: Any) -> DetectionRecipe:
    given = {"detectors": (SERRA, DetectorChoice(name="loudness-only", preset="tiny"))} | more
    return DetectionRecipe(tables=(table,), draws=20, device="cpu", jobs=1, **given)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, in_process: Any) -> tuple[DetectionRecipe, Path]:
    """One finished run; read it, do not change it."""
    folder = tmp_path_factory.mktemp("detection")
    recipe = recipe_of(write_material(folder), degradations=("mulaw",))
    execute(recipe, folder / "run")
    return recipe, folder / "run"


def figure(folder: Path, **place: str) -> float:
    with (folder / "figures.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if all(row[name] == place[name] for name in place)]
    assert len(found) == 1, place
    return float(found[0]["value"])


def eer(folder: Path, attack: str, fold: str, detector: str = "serra-statistics") -> float:
    place = {"protocol": "matrix", "fold": fold, "detector": detector, "variant": "plain"}
    return figure(folder, **place, group="attack", name=attack, metric="eer_asvspoof")


def test_a_planted_generator_is_found_and_one_without_information_is_not(done: Any) -> None:
    _, folder = done
    assert eer(folder, "muffling", "muffling") == 0
    assert eer(folder, "muffling", "all") == 0
    assert 0.25 <= eer(folder, "nothing", "nothing") <= 0.75
    assert 0.25 <= eer(folder, "nothing", "muffling") <= 0.75


def test_loudness_tells_the_files_apart_and_not_what_detectors_are_given(done: Any) -> None:
    _, folder = done
    record = read_record(folder)
    flagged = {
        (row["stage"], row["attack"])
        for row in record["audit"]
        if row["feature"] == "level" and row["flagged"]
    }
    assert ("raw", "muffling") in flagged
    assert not any(stage == "as trained" for stage, _ in flagged)
    assert any(item["where"] == "audit, raw" and "level" in item["message"] for item in record["findings"])
    assert eer(folder, "muffling", "muffling", "loudness-only") > 0.2


def test_without_the_common_form_loudness_gives_the_fakes_away(
    done: Any, in_process: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, _ = done
    raw = recipe_of(
        recipe.tables[0],
        material=MaterialChoice(level=False),
        detectors=(DetectorChoice(name="loudness-only", preset="tiny"),),
    )
    execute(raw, tmp_path / "run")
    assert eer(tmp_path / "run", "muffling", "muffling", "loudness-only") == 0
    assert "warning (audit, as trained): level" in capsys.readouterr().err


def test_the_table_of_trials_keeps_its_contract(done: Any) -> None:
    _, folder = done
    rows = read_trials_table(folder)
    assert {row["variant"] for row in rows if row["part"] == "development"} == {"plain"}
    assert {row["variant"] for row in rows if row["part"] == "test"} == {"plain", "mulaw"}
    assert {row["status"] for row in rows} == {"ok"}
    assert all((folder / row["path"]).is_file() for row in rows)
    seen = {
        (row["fold"], row["attack"]): row["attack_seen"]
        for row in rows
        if row["detector"] == "serra-statistics" and not row["bonafide"]
    }
    assert seen["nothing", "nothing"] is True
    assert seen["nothing", "muffling"] is False
    assert {row["attack_seen"] for row in rows if row["bonafide"]} == {None}
    record = read_record(folder)
    assert record["track"] == "detection"
    assert record["protocols"]["matrix"]["folds"] == ["muffling", "nothing", "all"]
    assert set(record["stages"]) == {"prepare", "audit", "train", "score", "evaluate", "report"}


def test_likelihood_ratios_of_a_separable_development_part_are_bounded_and_said(done: Any) -> None:
    _, folder = done
    notes = {
        row["fold"]: row["note"]
        for row in read_record(folder)["calibrations"]
        if row["detector"] == "serra-statistics"
    }
    assert "separates the development set" in notes["muffling"]
    rows = [row for row in read_trials_table(folder) if row["detector"] == "serra-statistics"]
    held = [row for row in rows if row["part"] == "development" and row["fold"] == "muffling"]
    bound = np.log(min(sum(row["bonafide"] for row in held), sum(not row["bonafide"] for row in held)))
    assert max(abs(row["llr"]) for row in rows if row["fold"] == "muffling") <= bound + 1e-9


def test_the_same_command_does_nothing_again(done: Any, in_process: Any, tmp_path: Path) -> None:
    recipe, folder = done
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    kept = ("trials.parquet", "figures.csv")
    content = {name: (copy / name).read_bytes() for name in kept}
    execute(recipe, copy)
    changed = {
        path.name for path, time in before.items() if path.is_file() and path.stat().st_mtime_ns != time
    }
    assert changed <= {"run.json", *kept, "forensics.html", "calibration.json", ".lock"}
    assert {name: (copy / name).read_bytes() for name in kept} == content


def test_another_recording_under_a_name_is_scored_anew(done: Any, in_process: Any, tmp_path: Path) -> None:
    recipe, folder = done
    moved = tmp_path / "clips"
    shutil.copytree(recipe.tables[0].parent, moved, ignore=shutil.ignore_patterns("run"))
    shutil.copytree(folder, tmp_path / "run")
    test = next(r for r in read_trials_table(folder) if r["part"] == "test" and r["bonafide"])
    name = test["id"].removeprefix("real:real/")
    write_audio(moved / "real" / f"{name}.flac", Audio(speak(VOICES[0], "other words", 0.8), RATE))
    execute(recipe_of(moved / "clips.csv", degradations=("mulaw",)), tmp_path / "run")
    place = ("protocol", "fold", "detector", "variant", "id", "part")
    before, after = (
        {tuple(row[key] for key in place): row["score"] for row in read_trials_table(run)}
        for run in (folder, tmp_path / "run")
    )
    assert {key[4] for key in before if before[key] != after[key]} == {test["id"]}


def test_a_silent_clip_has_a_status_and_no_score(done: Any, in_process: Any, tmp_path: Path) -> None:
    recipe, folder = done
    moved = tmp_path / "clips"
    shutil.copytree(recipe.tables[0].parent, moved, ignore=shutil.ignore_patterns("run"))
    test = next(r for r in read_trials_table(folder) if r["part"] == "test" and r["bonafide"])
    name = test["id"].removeprefix("real:real/")
    write_audio(moved / "real" / f"{name}.flac", Audio(np.zeros(RATE, np.float32), RATE))
    execute(recipe_of(moved / "clips.csv", detectors=(SERRA,)), tmp_path / "run")
    rows = [row for row in read_trials_table(tmp_path / "run") if row["id"] == test["id"]]
    assert {(row["status"], row["score"], row["llr"]) for row in rows} == {("silent", None, None)}
    assert any("cannot be used" in item["message"] for item in read_record(tmp_path / "run")["findings"])


def read_trials_table(folder: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(folder / TRIALS).to_pylist()


def fake_run(folder: Path, *, outputs: bool = True, track: str = "voice-conversion") -> Path:
    """A run folder with two systems, a control and the natural row."""
    clips = folder / "clips"
    trials = []
    config = {"corpus": {"reader": "csv", "root": str(folder / "gone.csv")}}
    with Run.resume(folder / "run", config) as run:
        for number in range(4):
            source, reference = clips / f"s{number}.flac", clips / f"t{number}.flac"
            for path, talker in ((source, TALKERS[2]), (reference, TALKERS[0])):
                write_audio(path, Audio(speak(talker, f"{number}", 0.5), RATE))
            clip = {"text": f"word {number}", "split": "test"}
            trials.append(
                {
                    "id": f"t{number}",
                    "target": "ana",
                    "source": {"id": f"s{number}", "speaker": "cleo", "audio": str(source), **clip},
                    "reference": {"id": f"r{number}", "speaker": "ana", "audio": str(reference), **clip},
                }
            )
            for system in ("autovc", "copy-synthesis", "natural") if outputs else ():
                audio = Audio(speak(TALKERS[0], f"{system} {number}", 0.5), RATE)
                write_audio(run.output_path(system, f"t{number}", ".flac"), audio)
        run.info.plan = {
            "track": track,
            "trials": trials,
            "systems": [
                {"key": name, "name": name, "needs": [], "reference_row": name != "autovc"}
                for name in ("autovc", "copy-synthesis", "natural")
            ],
        }
    return folder / "run"


def test_a_run_gives_fakes_controls_and_natural_clips(tmp_path: Path) -> None:
    found = from_run(fake_run(tmp_path), natural="trials")
    attacks = {(sample.attack, sample.control) for sample in found.samples}
    assert attacks == {("", False), ("autovc", False), ("copy-synthesis", True)}
    assert sum(sample.bonafide for sample in found.samples) == 8
    spoof = next(sample for sample in found.samples if sample.attack == "autovc")
    assert (spoof.speaker, spoof.source_speaker) == ("ana", "cleo")
    assert spoof.sentence.startswith("word")


def test_a_corpus_that_is_gone_is_noted(tmp_path: Path) -> None:
    (note,) = from_run(fake_run(tmp_path)).notes
    assert "those of the trials alone" in note[1]


def test_generators_of_one_name_are_told_apart_by_their_run(tmp_path: Path) -> None:
    first, second = fake_run(tmp_path / "one"), fake_run(tmp_path / "two")
    second = second.rename(tmp_path / "two" / "other")
    record = json.loads((second / "run.json").read_text())
    (second / "run.json").write_text(json.dumps({**record, "name": "other"}))
    joined = join([from_run(first, natural="trials"), from_run(second, natural="trials")])
    assert {sample.attack for sample in joined.samples if not sample.control} == {
        "",
        "autovc@run",
        "autovc@other",
    }
    with pytest.raises(InputError, match="two clips are called"):
        join([from_run(first, natural="trials"), from_run(first, natural="trials")])


def from_table_with(folder: Path) -> Any:
    write_audio(folder / "x.flac", Audio(speak(TALKERS[0], "x", 0.5), RATE))
    (folder / "t.csv").write_text("path,label,attack\nx.flac,fake,other\n")
    return from_table(folder / "t.csv")


def test_a_run_of_another_track_or_without_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no outputs"):
        from_run(fake_run(tmp_path / "a", outputs=False), natural="trials")
    with pytest.raises(InputError, match="track weather"):
        from_run(fake_run(tmp_path / "b", track="weather"))
    with pytest.raises(InputError, match="no pictures"):
        from_run(fake_run(tmp_path / "c"), media="video")
    with pytest.raises(RunError, match="is no run"):
        from_run(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path,label\nx.flac,maybe\n", r"line 2: label 'maybe'"),
        ("path,label\nx.flac,1\n", r"line 2: label '1'"),
        ("path,label\ny.flac,fake\n", "line 2: there is no file"),
        ("path\nx.flac\n", "expected the columns path and label"),
        ("path,label,sort\nx.flac,fake,1\n", "expected the columns"),
        ("path,label\nx.flac,fake,more\n", "line 2: 2 fields"),
        ("path,label\n", "no clip in it"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    write_audio(tmp_path / "x.flac", Audio(np.ones(100, np.float32), RATE))
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=complaint):
        from_table(tmp_path / "t.csv")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "fakes").mkdir()
    with pytest.raises(InputError, match="fakes: no sound"):
        from_folders(None, {"a": tmp_path / "fakes"})


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"detectors": (DetectorChoice(name="sera"),)}, "no detector 'sera'"),
        ({"detectors": (DetectorChoice(name="random", preset="huge"),)}, "no preset 'huge'"),
        ({"detectors": (DetectorChoice(name="random", settings={"x": 1}),)}, "no setting 'x'"),
        ({"detectors": (SERRA, SERRA)}, "named twice"),
        ({"detectors": ()}, "needs a detector"),
        ({"protocols": ("table-4",)}, "no protocol"),
        ({"degradations": ("mp4",)}, "mp4"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_before_any_work(
    tmp_path: Path, more: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DoppelbenchError, match=complaint):
        execute(recipe_of(tmp_path / "none.csv", **more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    table = from_table_with(tmp_path).sources[0]["folder"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds files but no run\.json"):
        execute(recipe_of(Path(table)), tmp_path / "run")


@pytest.fixture(scope="module")
def trained(done: Any) -> Path:
    """A detector that the verb train made."""
    recipe, _ = done
    clips = recipe.tables[0].parent
    out = clips / "trained"
    result = RUNNER.invoke(
        app,
        ["detect", "train", "--bonafide", str(clips / "real"), "--spoof", f"m={clips / 'muffling'}",
         "--detector", "serra-statistics", "--preset", "tiny", "--device", "cpu", "--out", str(out),
         "--format", "json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "warning: level" in result.output
    return out


def test_a_trained_detector_scores_explains_and_says_it_in_words(
    done: Any, trained: Path, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_audio(clips / "a.flac", Audio(speak(VOICES[0], "unheard", 0.8), RATE))
    write_audio(clips / "b.flac", Audio(muffled(speak(VOICES[0], "unheard too", 0.8)), RATE))
    (clips / "c.wav").write_text("no sound")
    result = RUNNER.invoke(
        app,
        ["detect", "score", str(trained), str(clips), "--explain", str(tmp_path / "why"), "--format", "json"],
    )
    assert result.exit_code == 4, result.output
    rows = {row["file"]: row for row in json.loads(result.stdout[: result.stdout.rindex("]") + 1])}
    assert rows["a.flac"]["llr"] > 0 > rows["b.flac"]["llr"]
    assert "more likely if it is fake than if it is real" in rows["b.flac"]["words"]
    assert (rows["c.wav"]["status"], rows["c.wav"]["score"]) == ("unreadable", None)
    said = json.loads((tmp_path / "why" / "a.flac.json").read_text())
    assert np.isfinite(said["relevance"]).all()
    assert (tmp_path / "why" / "a.flac.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_calibration_there_is_no_likelihood_ratio(trained: Path, done: Any, tmp_path: Path) -> None:
    copy = tmp_path / "detector"
    shutil.copytree(trained, copy)
    (copy / "calibration.json").unlink()
    clip = next((done[0].tables[0].parent / "real").rglob("*.flac"))
    (row,) = score_folder(copy, clip)
    assert row["llr"] is None
    assert row["score"] is not None
    assert "not calibrated" in row["words"]
    (copy / "calibration.json").write_text('{"map": {"slope": 1}}')
    with pytest.raises(InputError, match="not a calibration"):
        read_calibration(copy)


def test_a_folder_without_a_detector_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained detector"):
        list(score_folder(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (12.0, "12 times more likely if it is real than if it is fake"),
        (0.5, "2.0 times more likely if it is fake than if it is real"),
        (1.0, "as likely if it is real as if it is fake"),
    ],
)
def test_likelihood_ratios_in_words(times: float, words: str) -> None:
    assert in_words(float(np.log(times))) == words


def test_options_that_cannot_be_read_are_refused() -> None:
    from doppelbench.benchmark.detection_options import (
        read_clips,
        read_detectors,
        read_folders,
        split_specs,
    )

    assert read_detectors("lfcc-gmm:components=4,iterations=2,random", "tiny") == (
        DetectorChoice(name="lfcc-gmm", preset="tiny", settings={"components": 4, "iterations": 2}),
        DetectorChoice(name="random", preset="tiny"),
    )
    assert split_specs("noise:snr=10,colour=pink,mulaw") == ("noise:snr=10,colour=pink", "mulaw")
    for wrong in ("1,2", "a,b,c", "0,1,2"):
        with pytest.raises(ConfigError, match="--clips"):
            read_clips(wrong)
    with pytest.raises(ConfigError, match="two folders"):
        read_folders(["a=x", "a=y"])
