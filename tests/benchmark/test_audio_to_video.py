"""The track audio-to-video from films to figures, with rows whose figures are known beforehand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from sync_examples import talking_film

from doppelbench.benchmark.compare import compare_runs
from doppelbench.benchmark.config import ConfigError, load_recipe
from doppelbench.benchmark.plan import make_plan
from doppelbench.benchmark.run import execute, rescore_run
from doppelbench.benchmark.tracks.audio_to_video import TRACK, make_trials
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Video, read_video, write_audio, write_video
from doppelbench.engine.engines import Engine
from doppelbench.metrics.registry import list_metrics, metric_options


def clip(speaker: str, number: int, *, film: bool = True) -> Clip:
    name = f"{speaker}_{number}"
    return Clip(name, speaker, f"{name}.flac", f"{name}.mkv" if film else None, split="test")


def test_the_target_drives_itself_and_others_drive_it_without_a_reference() -> None:
    clips = [clip(speaker, number) for speaker in ("ada", "bob", "cleo") for number in range(3)]
    trials = make_trials(clips, ["ada", "bob"])
    own = [trial for trial in trials if trial.source.speaker == trial.target]
    assert len(own) == 6
    assert all(trial.reference == trial.source for trial in own)
    driven = [trial for trial in trials if trial not in own]
    assert {trial.source.speaker for trial in driven} == {"cleo"}
    assert all(trial.reference is None for trial in driven)
    assert len({trial.id for trial in trials}) == len(trials) == 12


def test_own_sources_are_nobody_else_and_limits_hold_for_each_kind() -> None:
    clips = [clip(speaker, number) for speaker in ("ada", "cleo") for number in range(5)]
    assert len(make_trials(clips, ["ada"], sources="own")) == 5
    assert len(make_trials(clips, ["ada"], per_target=2)) == 4


def test_a_voice_without_a_film_drives_and_a_target_without_one_is_no_trial_of_its_own() -> None:
    clips = [clip("ada", 0, film=False), clip("cleo", 0, film=False)]
    assert [trial.source.speaker for trial in make_trials(clips, ["ada"])] == ["cleo"]


def test_the_metrics_of_the_track_exist() -> None:
    assert {metric_options(name)[0] for name in TRACK.metrics} <= set(list_metrics())
    assert set(TRACK.ranking) <= set(TRACK.metrics)


def write_corpus(folder: Path) -> Path:
    rows = []
    for speaker in ("ada", "felix"):
        for number, split in enumerate(("train", "train", "test", "test")):
            film, truth = talking_film(seed=number, seconds=2.0, name=speaker)
            path = folder / f"{speaker}_{number}.mkv"
            write_video(path, film)
            assert film.audio is not None
            write_audio(path.with_suffix(".flac"), film.audio)
            path.with_suffix(".face.json").write_text(json.dumps({"fps": film.fps, **truth}))
            rows.append((path.stem, speaker, f"{path.stem}.flac", path.name, split))
    broken = folder / "ada_9.mkv"
    broken.write_bytes(b"no film")
    write_audio(broken.with_suffix(".flac"), film.audio)
    rows.append(("ada_9", "ada", "ada_9.flac", "ada_9.mkv", "train"))
    manifest = folder / "films.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "speaker", "audio", "video", "split"), *rows])
    return manifest


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("films")
    patch = pytest.MonkeyPatch()
    patch.setenv("DOPPELBENCH_CACHE", str(folder / "cache"))
    recipe = {
        "name": "films",
        "track": "audio-to-video",
        "corpus": {"reader": "csv", "root": str(write_corpus(folder))},
        "trials": {"targets": ["ada"], "sources": ["felix"]},
        "systems": [],
        "video": {"size": 48, "fps": 20},
        "jobs": 1,
    }
    path = folder / "films.yaml"
    path.write_text(yaml.safe_dump(recipe))
    figures = execute(load_recipe(str(path)), folder / "run")
    yield folder / "run", figures
    patch.undo()


def value(figures, system: str, metric: str):
    (row,) = (row for row in figures if (row["system"], row["metric"]) == (system, metric))
    return row


@pytest.mark.parametrize(
    ("system", "metric", "low", "high"),
    [
        ("natural-video", "video_mse", 0, 0),
        ("natural-video", "psnr_frames:region=mouth", 100, 100),
        ("natural-video", "still_frame_skill", 1, 1),
        ("natural-video", "mouth_following", 0.9, 1),
        ("natural-video", "av_offset", 0, 0),
        ("still-frame", "still_frame_skill:region=mouth", 0, 0),
        ("still-frame", "mouth_following", 0, 0),
        ("mean-frame", "mouth_following", 0, 0),
        ("shifted-video", "av_offset", 160, 240),
        ("shuffled-video", "temporal_error:region=mouth", 50, 1e6),
        ("codec-video", "psnr_frames", 25, 60),
    ],
)
def test_reference_rows_have_the_figures_their_names_promise(finished, system, metric, low, high) -> None:
    assert low <= value(finished[1], system, metric)["value"] <= high


def test_a_trial_without_a_natural_film_has_no_figures_of_comparison(finished) -> None:
    _, figures = finished
    assert value(figures, "mean-frame", "video_mse")["expected"] == 2
    assert value(figures, "mean-frame", "mouth_following")["expected"] == 4
    assert value(figures, "natural-video", "mouth_following")["expected"] == 2


def test_outputs_are_lossless_films_with_sound_and_a_preview(finished) -> None:
    folder, _ = finished
    files = sorted((folder / "outputs" / "natural-video").iterdir())
    assert [file.suffix for file in files] == [".mkv", ".mp4"] * 2
    film = read_video(files[0])
    assert film.frames.shape == (40, 48, 48, 3)
    assert film.fps == 20
    assert film.audio is not None
    assert film.audio.seconds == pytest.approx(2.0, abs=0.01)


def test_a_film_that_cannot_be_read_is_left_out_by_name(finished) -> None:
    record = json.loads((finished[0] / "run.json").read_text())
    assert record["plan"]["left_out"]["ada_9"]["status"] == "unreadable"
    assert "ada_9.mkv" in record["plan"]["left_out"]["ada_9"]["reason"]


def test_the_report_plays_the_films(finished) -> None:
    page = (finished[0] / "report.html").read_text()
    assert page.count("<video controls") >= 5


def test_scoring_again_finds_the_same(finished) -> None:
    folder, figures = finished
    again = rescore_run(folder, metrics=None, engine=Engine("local", 1, None))
    assert [(row["system"], row["metric"], row["value"]) for row in again] == [
        (row["system"], row["metric"], row["value"]) for row in figures
    ]


def test_a_metric_with_options_is_compared_and_gated_like_any_other(finished) -> None:
    folder, _ = finished
    rows = compare_runs(
        [folder],
        systems=["natural-video", "codec-video"],
        metrics=["psnr_frames", "psnr_frames:region=mouth"],
        unit="item",
        alpha=0.05,
        seed=0,
    )
    assert {row.metric for row in rows} == {"psnr_frames", "psnr_frames:region=mouth"}
    assert all(row.n == 2 for row in rows)


def test_a_system_of_another_track_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exemplar is of the track voice-conversion"):
        make_plan(load_recipe("video-rows", ["systems=[exemplar]"]))


def test_a_change_of_pictures_is_told_from_the_mouths_alone(finished) -> None:
    folder, _ = finished
    natural = sorted((folder / "outputs" / "natural-video").glob("*.mkv"))[0]
    film = read_video(natural)
    frames = film.frames.copy()
    frames[:, :4] = 255 - frames[:, :4]
    assert not np.array_equal(frames, film.frames)
    write_video(natural, Video(frames, film.fps, film.audio))
    changed = rescore_run(folder, metrics=None, engine=Engine("local", 1, None))
    assert value(changed, "natural-video", "video_mse")["value"] > 0
    assert value(changed, "natural-video", "psnr_frames:region=mouth")["value"] == 100
