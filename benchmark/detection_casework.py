"""One detector on recordings that somebody brings: training, calibration, scores, and where they came from.

A calibrated score is a likelihood ratio: how many times more likely such a score is from a real recording
than from a fake of the kinds the detector knows. It says nothing of fakes of other kinds.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.detection_data import Collected, from_folders, media_files
from doppelbench.benchmark.detection_work import build_detector, score_one, train_detector
from doppelbench.benchmark.progress import say
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import sha256_of
from doppelbench.detectors.calibration import AffineCalibration, fit_bounded
from doppelbench.detectors.protocols import Choices, Sample, make_folds
from doppelbench.engine.files import write_json
from doppelbench.engine.hashing import content_key

CALIBRATION = "calibration.json"


def train_on_folders(
    detector: str,
    bonafide: Path,
    spoof: Mapping[str, Path],
    out: Path,
    *,
    preset: str = "small",
    settings: Mapping[str, Any] | None = None,
    development_bonafide: Path | None = None,
    development_spoof: Path | None = None,
    device: str = "auto",
    max_steps: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train a detector on folders, save it, and calibrate it on clips it was not trained on.

    Without folders of a development part, voices are held out where four or more are known (a folder for each
    speaker), else recordings.

    Returns:
        The training record with counts of both parts, the calibration (or None) and what is to be said of it.

    Raises:
        ConfigError: one folder of a development part without the other.
        InputError: folders that cannot be used, or a training that failed.
    """
    if (development_bonafide is None) != (development_spoof is None):
        raise ConfigError("a development part needs --development-bonafide and --development-spoof")
    untrained = build_detector(detector, preset, settings or {})
    media = untrained.spec.media
    collected = from_folders(bonafide, spoof, media=media)
    training, development, held_out = _parts(collected, seed)
    if development_bonafide is not None and development_spoof is not None:
        brought = from_folders(development_bonafide, {"development": development_spoof}, media=media)
        training, development, held_out = collected.samples, brought.samples, "folders of their own"
        _check_apart(training, development)
    sides = {side: [asdict(s.clip) for s in training if s.bonafide is side] for side in (True, False)}
    key = content_key(
        detector, preset, dict(settings or {}), seed, max_steps, device, sides[True], sides[False]
    )
    record = train_detector(
        name=detector,
        preset=preset,
        settings=settings or {},
        bonafide=sides[True],
        spoof=sides[False],
        trainer={
            "directory": str(out),
            "device": device,
            "max_steps": max_steps,
            "seed": seed,
            "progress": False,
        },
        key=key,
    )
    if "failed" in record:
        raise InputError(record["failed"])
    for message in record["left_out"]:
        say(message)
    calibration, note = _calibrate(detector, out, development)
    return {
        **{name: record[name] for name in ("detector", "preset", "training")},
        "bonafide": len(sides[True]),
        "spoof": len(sides[False]),
        "development_bonafide": sum(s.bonafide for s in development),
        "development_spoof": sum(not s.bonafide for s in development),
        "held_out": held_out,
        "calibration": calibration,
        "note": note,
    }


def _parts(collected: Collected, seed: int) -> tuple[tuple[Sample, ...], tuple[Sample, ...], str]:
    """Training and development: the fold that is trained on all generators, and its test part."""
    choices = Choices(seed=seed, roles="any", balance=False)
    folds = make_folds("matrix", collected.samples, choices)
    fold = next((one for one in folds if one.name == "all"), folds[0])
    voices = {sample.speaker for sample in fold.development}
    if voices.isdisjoint(fold.speakers):
        # Nothing is tested here, so what the protocol keeps for the test is trained on.
        test = tuple(sample for sample in fold.test if sample.speaker not in voices)
        return (*fold.training, *test), fold.development, "voices"
    return (*fold.training, *fold.test), fold.development, "recordings"


def _check_apart(training: tuple[Sample, ...], development: tuple[Sample, ...]) -> None:
    known = {sha256_of(str(sample.clip.audio)) for sample in training}
    shared = [s.clip.audio for s in development if sha256_of(str(s.clip.audio)) in known]
    if shared:
        raise InputError(f"{shared[0]}: is in the training and in the development part")


def _calibrate(detector: str, out: Path, development: tuple[Sample, ...]) -> tuple[Any, str]:
    loaded = load_detector(out)[0]
    sides: dict[bool, list[float]] = {True: [], False: []}
    for sample in development:
        found = score_one(loaded, sample.clip)
        if found["score"] is None:
            say(f"{sample.clip.audio} is left out of the calibration: {found['reason']}")
        else:
            sides[sample.bonafide].append(found["score"])
    (out / CALIBRATION).unlink(missing_ok=True)
    try:
        calibration, note = fit_bounded(sides[True], sides[False])
    except InputError as error:
        return None, f"{detector} is not calibrated: {error}"
    write_calibration(out, calibration, note)
    return calibration.as_json(), note


def write_calibration(directory: Path, calibration: AffineCalibration, note: str) -> None:
    """Write ``calibration.json`` beside a trained detector."""
    write_json(directory / CALIBRATION, {"schema": 1, "map": calibration.as_json(), "note": note})


def read_calibration(directory: Path) -> AffineCalibration | None:
    """Read the calibration of a trained detector; None where there is none.

    Raises:
        InputError: the file is damaged.
    """
    path = directory / CALIBRATION
    if not path.is_file():
        return None
    try:
        calibration = AffineCalibration(**json.loads(path.read_text(encoding="utf-8"))["map"])
        if not (math.isfinite(calibration.slope) and math.isfinite(calibration.offset)):
            raise ValueError("its map is not finite")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a calibration that can be read ({error})") from None
    return calibration


def load_detector(directory: Path) -> tuple[Any, str]:
    """Load a trained detector from its folder; returns it and its name.

    Raises:
        InputError: the folder holds no trained detector.
    """
    from doppelbench.detectors.registry import find_detector

    path = directory / "config.json"
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["detector"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{directory}: there is no trained detector in it; make one with doppelbench detect train"
        ) from None
    return find_detector(str(name)).load(directory), str(name)


def score_folder(directory: Path, media: Path, *, explain: Path | None = None) -> Iterator[dict[str, Any]]:
    """Score one file, or every media file below a folder.

    Args:
        directory: of a trained detector.
        media: a file or a folder.
        explain: folder for a JSON file and a picture for each file, of where its score came from.

    Yields:
        File, score, llr, words, status and reason.

    Raises:
        InputError: no trained detector, or nothing to score.
        ConfigError: an explanation of a detector of pictures.
    """
    detector, name = load_detector(directory)
    if explain is not None and detector.spec.media == "video":
        raise ConfigError(f"{name} judges pictures; only scores of sound can be explained")
    calibration = read_calibration(directory)
    files = {Path(media.name): media} if media.is_file() else media_files(media)
    for short, path in files.items():
        video = str(path) if detector.spec.media == "video" else None
        found = score_one(detector, Clip(short.as_posix(), "", audio=str(path), video=video))
        llr = None
        if found["score"] is not None and calibration is not None:
            llr = float(calibration([found["score"]])[0])
        row = {
            "file": short.as_posix(),
            "score": found["score"],
            "llr": llr,
            "words": in_words(llr) if found["score"] is not None else "",
            "status": found["status"],
            "reason": found["reason"],
        }
        if explain is not None and found["status"] == "ok":
            row = _explained(detector, row, path, explain / short)
        yield row


def in_words(llr: float | None) -> str:
    """A natural-log likelihood ratio as a sentence of a report."""
    if llr is None:
        return "not calibrated: the score has no meaning in words"
    times = math.exp(abs(llr))
    if times < 1.05:
        return "as likely if it is real as if it is fake"
    said = f"{times:.1f}" if times < 10 else f"{times:.0f}"
    first, second = ("real", "fake") if llr > 0 else ("fake", "real")
    return f"{said} times more likely if it is {first} than if it is {second}"


def _explained(detector: Any, row: dict[str, Any], path: Path, place: Path) -> dict[str, Any]:
    from doppelbench.benchmark.explanation_files import write_explanation
    from doppelbench.corpora.media import read_audio

    try:
        audio = read_audio(path)
        write_explanation(place, audio, detector.explain(audio), row)
    except MediaError as error:
        return {**row, "status": error.status, "reason": f"not explained: {error.reason}"}
    return row
