"""What worker processes do for detection: bring a clip into the common form, degrade it, train, score.

Arguments and results are JSON-able, as in :mod:`doppelbench.benchmark.work`.
"""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doppelbench.benchmark.work import replace_settings, trainer_settings
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.media import Audio, read_audio, write_audio

# Says in the folder of a trained detector which one it is and what it was trained on.
IDENTITY = "detector.json"
# Status of a clip whose degradation was measured and is not what it says.
NOT_VERIFIED = "not_verified"


def build_detector(name: str, preset: str, settings: Mapping[str, Any]) -> Any:
    """Make an untrained detector: a preset with single hyperparameters replaced.

    Raises:
        DoppelbenchError: no such detector, preset or hyperparameter.
    """
    from doppelbench.detectors.registry import find_detector

    kind = find_detector(name)
    if preset not in kind.spec.presets:
        raise DoppelbenchError(
            f"detector {name} has no preset {preset!r}; known: {', '.join(kind.spec.presets)}"
        )
    return kind(replace_settings(kind.spec.presets[preset], settings, f"detector {name}"))


def prepare_clip(
    *, clip: Mapping[str, Any], output: str, rate: int, level: bool, trim: bool, seconds: float | None
) -> dict[str, Any]:
    """Write a clip in the form that all clips of a detection run have: mono, one rate, 16-bit FLAC.

    Args:
        clip: fields of the clip.
        output: path of the file to write.
        rate: samples per second.
        level: whether its speech is brought to the house's level, and a constant offset taken off.
        trim: whether silence at its ends is cut off.
        seconds: at most so much of its beginning is kept; everything when None.

    Returns:
        Status and reason, and what the shortcut audit measures of the clip ``raw`` and ``as_trained``.
    """
    from doppelbench.corpora.level import normalize_level
    from doppelbench.detectors.audio_input import InputSettings, hear
    from doppelbench.detectors.shortcut_features import measure

    found = Clip(**clip)
    try:
        assert found.audio is not None
        audio = read_audio(found.audio, start=found.start, end=found.end)
        even = Audio(audio.samples - audio.samples.mean(), audio.rate) if level else audio
        heard = hear(even, InputSettings(rate=rate, level=level, trim=trim)).samples
        # Once more, because what was trimmed had a part in the mean. So little changes the level by less than
        # 0.0001 dB, which is still enough for a detector of loudness to find.
        heard = normalize_level(heard - heard.mean(), rate) if level else heard
        kept = heard if seconds is None else heard[: round(seconds * rate)]
        write_audio(output, Audio(kept, rate))
        written = read_audio(output)
        features = {
            "raw": measure(audio.samples, audio.rate),
            "as_trained": measure(written.samples, written.rate),
        }
    except MediaError as error:
        Path(output).unlink(missing_ok=True)
        return {"status": error.status, "reason": error.reason}
    return {"status": "ok", "reason": "", **features}


def measure_clip(*, path: str) -> dict[str, Any]:
    """Measure what the shortcut audit looks at in a film, which detectors are given as it came.

    Returns:
        Status and reason, and the features ``raw``.
    """
    from doppelbench.detectors.video_shortcuts import measure_film_file

    try:
        return {"status": "ok", "reason": "", "raw": measure_film_file(path)}
    except MediaError as error:
        return {"status": error.status, "reason": error.reason}


def degrade_clip(*, path: str, output: str, spec: str, seed: int) -> dict[str, Any]:
    """Degrade a prepared clip, measure whether that was done, and write it.

    Returns:
        Status and reason; ``not_verified`` when the measured effect is not the one that was asked for.
    """
    from doppelbench.detectors.degradations import degrade, verify

    try:
        audio = read_audio(path)
        samples = degrade(audio.samples, audio.rate, spec, seed=seed)
        wrong = [
            check for check in verify(audio.samples, samples, audio.rate, spec, seed=seed) if not check.ok
        ]
        if wrong:
            said = "; ".join(
                f"{check.name} is {check.measured:.4g}, {check.low:.4g} to {check.high:.4g} is right"
                for check in wrong
            )
            return {"status": NOT_VERIFIED, "reason": f"{spec}: {said}"}
        write_audio(output, Audio(samples, audio.rate))
    except MediaError as error:
        return {"status": error.status, "reason": error.reason}
    return {"status": "ok", "reason": ""}


def train_detector(
    *,
    name: str,
    preset: str,
    settings: Mapping[str, Any],
    bonafide: Sequence[Mapping[str, Any]],
    spoof: Sequence[Mapping[str, Any]],
    trainer: Mapping[str, Any],
    key: str,
) -> dict[str, Any]:
    """Train one detector and save it.

    Args:
        name: of the detector.
        preset: its size.
        settings: hyperparameters that replace those of the preset.
        bonafide: fields of the real clips.
        spoof: fields of the fakes.
        trainer: fields of :class:`doppelbench.engine.trainer.TrainerSettings`; the preset's steps when
            ``max_steps`` is None and the detector is trained in steps.
        key: content key of all this, kept with the detector.

    Returns:
        The record that is kept: detector, preset, key, training, and the clips ``left_out`` with the reason;
        or ``failed`` with the reason.
    """
    from doppelbench.corpora.errors import LeftOutWarning
    from doppelbench.engine.files import write_json

    directory = Path(trainer["directory"])
    detector = build_detector(name, preset, settings)
    chosen = trainer_settings(trainer, getattr(detector.settings, "max_steps", None))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeftOutWarning)
        try:
            training = detector.fit(
                [Clip(**clip) for clip in bonafide], [Clip(**clip) for clip in spoof], chosen
            )
        except InputError as error:
            return {"failed": str(error)}
    detector.save(directory)
    # The prepared features of a training are as large as its recordings.
    shutil.rmtree(directory / "features", ignore_errors=True)
    record = {
        "detector": name,
        "preset": preset,
        "key": key,
        "training": None if training is None else asdict(training),
        "left_out": [str(item.message) for item in caught if issubclass(item.category, LeftOutWarning)],
    }
    write_json(directory / IDENTITY, record)
    return record


def score_clips(*, name: str, directory: str, clips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Score clips with a trained detector; a clip that cannot be scored has a status and a reason.

    Returns:
        Id, score, status and reason of each clip, in the order of the clips.
    """
    from doppelbench.detectors.registry import find_detector

    detector = find_detector(name).load(Path(directory))
    return [score_one(detector, Clip(**clip)) for clip in clips]


def score_one(detector: Any, clip: Clip) -> dict[str, Any]:
    """Score one clip: its id, score, status and reason."""
    import math

    try:
        score = detector.score_clip(clip)
    except MediaError as error:
        return {"id": clip.id, "score": None, "status": error.status, "reason": error.reason}
    if not math.isfinite(score):
        return {"id": clip.id, "score": None, "status": "not_finite", "reason": f"the score is {score}"}
    return {"id": clip.id, "score": score, "status": "ok", "reason": ""}
