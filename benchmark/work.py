"""What worker processes do: train one system, answer one trial, score one item.

Arguments and results are JSON-able, so that nothing but paths and numbers crosses the process boundary.
"""

import difflib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import MediaError

if TYPE_CHECKING:
    from doppelbench.engine.trainer import TrainerSettings

# Says in the folder of a trained system which one it is.
IDENTITY = "system.json"
# The vocoder that needs no training, in recipes.
GRIFFIN_LIM = "griffin-lim"


def trial_to_dict(trial: Trial) -> dict[str, Any]:
    """Turn a trial into what JSON can hold."""
    return asdict(trial)


def trial_from_dict(values: Mapping[str, Any]) -> Trial:
    """Inverse of :func:`trial_to_dict`."""
    reference = values["reference"]
    return Trial(
        values["id"],
        Clip(**values["source"]),
        values["target"],
        None if reference is None else Clip(**reference),
    )


def cut_film(*, clip: Mapping[str, Any], framing: Mapping[str, Any], directory: str) -> dict[str, Any]:
    """Cut the film of one clip.

    Returns:
        Fields of the clip with its cut film, or status and reason.
    """
    from doppelbench.corpora.films import Framing, framed_clip

    try:
        return {"clip": asdict(framed_clip(Clip(**clip), Framing(**framing), Path(directory)))}
    except MediaError as error:
        return {"status": error.status, "reason": error.reason}


def build_system(name: str, preset: str | None, settings: Mapping[str, Any], target: str | None) -> Any:
    """Make an untrained system: a preset with single hyperparameters replaced.

    Raises:
        DoppelbenchError: no such system, preset or hyperparameter.
    """
    from doppelbench.baselines.registry import find_system
    from doppelbench.corpora.errors import DoppelbenchError

    kind: Any = find_system(name)
    if not kind.spec.presets:
        if settings:
            raise DoppelbenchError(f"system {name} has no hyperparameters, so no {', '.join(settings)}")
        return kind()
    if preset not in kind.spec.presets:
        raise DoppelbenchError(
            f"system {name} has no preset {preset!r}; known: {', '.join(kind.spec.presets)}"
        )
    chosen = replace_settings(kind.spec.presets[preset], settings, f"system {name}")
    return kind(chosen, target) if "target" in kind.spec.needs else kind(chosen)


def build_vocoder(name: str, preset: str, settings: Mapping[str, Any]) -> Any:
    """Make an untrained vocoder: a preset with single hyperparameters replaced.

    Raises:
        DoppelbenchError: no such vocoder, preset or hyperparameter.
    """
    from doppelbench.baselines.vocoders.registry import make_vocoder

    vocoder: Any = make_vocoder(name, preset)
    if not settings:
        return vocoder
    return type(vocoder)(settings=replace_settings(vocoder.settings, settings, f"vocoder {name}"))


def replace_settings(preset: Any, values: Mapping[str, Any], where: str) -> Any:
    """Replace single hyperparameters of a (nested) settings dataclass.

    Raises:
        DoppelbenchError: an unknown name, with a suggestion, or a value of another type.
    """
    from doppelbench.corpora.errors import DoppelbenchError

    known = {field.name: getattr(preset, field.name) for field in fields(preset)}
    replaced = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise DoppelbenchError(f"{where}: there is no setting {name!r}; {hint}")
        old = known[name]
        if is_dataclass(old) and isinstance(value, Mapping):
            replaced[name] = replace_settings(old, value, f"{where}: {name}")
        elif type(value) is type(old):
            replaced[name] = value
        elif type(old) is float and type(value) is int:
            replaced[name] = float(value)
        else:
            raise DoppelbenchError(
                f"{where}: {name} is of type {type(old).__name__}, such as {old!r}, not {value!r}"
            )
    return replace(preset, **replaced)


def train_system(
    *,
    name: str,
    preset: str | None,
    settings: Mapping[str, Any],
    target: str | None,
    clips: Sequence[Mapping[str, Any]],
    trainer: Mapping[str, Any],
    conditions: int = 1,
) -> dict[str, Any]:
    """Train one system, for one target or for all voices, and save it.

    Args:
        name: of the system.
        preset: its size.
        settings: hyperparameters that replace those of the preset.
        target: the speaker; None for a system with one model for all voices.
        clips: fields of the clips to train on.
        trainer: fields of :class:`doppelbench.engine.trainer.TrainerSettings`; the preset's steps when
            ``max_steps`` is None.
        conditions: simulated recording conditions that the clips are spread over.

    Returns:
        The training record with the clips ``left_out`` and why, or ``failed`` with a status and a reason when
        the clips cannot be used.
    """
    from doppelbench.corpora.conditions import spread_over_conditions
    from doppelbench.corpora.errors import ClipWarning, DoppelbenchError, InputError
    from doppelbench.engine.files import write_json

    directory = Path(trainer["directory"])
    system = build_system(name, preset, settings, target)
    if system.spec.reference_row:
        raise DoppelbenchError(f"{name} is a reference row; it needs no training")
    chosen = trainer_settings(trainer, system.settings.max_steps)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ClipWarning)
        try:
            heard = spread_over_conditions(
                [Clip(**clip) for clip in clips], conditions, directory / "recordings"
            )
            record = system.fit(heard, chosen)
        except InputError as error:
            return {"failed": getattr(error, "status", "missing"), "reason": str(error)}
    system.save(directory)
    write_json(directory / IDENTITY, {"system": name, "target": target})
    left_out = [str(entry.message) for entry in caught if issubclass(entry.category, ClipWarning)]
    return {**({} if record is None else asdict(record)), "left_out": left_out}


def train_vocoder(
    *,
    name: str,
    preset: str,
    settings: Mapping[str, Any],
    clips: Sequence[Mapping[str, Any]],
    trainer: Mapping[str, Any],
) -> dict[str, Any]:
    """Train a vocoder and save it; arguments and result are those of :func:`train_system`."""
    from doppelbench.baselines.vocoders.registry import train_vocoder as train
    from doppelbench.corpora.errors import ClipWarning, InputError
    from doppelbench.engine.files import write_json

    directory = Path(trainer["directory"])
    vocoder = build_vocoder(name, preset, settings)
    chosen = trainer_settings(trainer, vocoder.settings.max_steps)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ClipWarning)
        try:
            record = train(vocoder, [Clip(**clip) for clip in clips], chosen)
        except InputError as error:
            return {"failed": getattr(error, "status", "missing"), "reason": str(error)}
    write_json(directory / IDENTITY, {"vocoder": name})
    left_out = [str(entry.message) for entry in caught if issubclass(entry.category, ClipWarning)]
    return {**({} if record is None else asdict(record)), "left_out": left_out}


def trainer_settings(trainer: Mapping[str, Any], steps: int | None) -> "TrainerSettings":
    """Turn fields that crossed the process boundary into settings; ``steps`` of a preset where they name
    none."""
    from doppelbench.engine.trainer import TrainerSettings

    folders = {name: Path(trainer[name]) for name in ("directory", "features") if name in trainer}
    return TrainerSettings(**{**trainer, **folders, "max_steps": trainer["max_steps"] or steps})


@lru_cache(maxsize=4)
def _trained(name: str, directory: str, target: str, clips: str, vocoder: str | None) -> Any:
    from doppelbench.baselines.registry import find_system

    system: Any = find_system(name).load(Path(directory))
    if vocoder == GRIFFIN_LIM:
        _speak_by_griffin_lim(system)
    elif vocoder is not None:
        system.vocoder = _vocoder(vocoder)
    if "enrolment" in system.spec.needs:
        system.enroll(target, [Clip(**clip) for clip in json.loads(clips)])
    return system


def _speak_by_griffin_lim(system: Any) -> None:
    """Take the vocoder away that a system was trained together with."""
    from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
    from doppelbench.baselines.vocoders.neural import NeuralVocoder

    if isinstance(system.vocoder, NeuralVocoder):
        system.vocoder = GriffinLim(system.vocoder.mel, system.settings.griffin_lim)


@lru_cache(maxsize=2)
def _vocoder(directory: str) -> Any:
    from doppelbench.baselines.vocoders.registry import load_vocoder

    return load_vocoder(Path(directory))


@lru_cache(maxsize=4)
def _reference_row(name: str, clips: str) -> Any:
    from doppelbench.baselines.registry import find_system

    row: Any = find_system(name)()
    row.fit([Clip(**clip) for clip in json.loads(clips)], None)
    return row


def synthesize_trial(
    *,
    name: str,
    directory: str | None,
    clips: str,
    trial: Mapping[str, Any],
    output: str,
    suffix: str = ".flac",
    vocoder: str | None = None,
) -> dict[str, Any]:
    """Answer one trial and write the output, or write why there is none.

    A film has an mp4 beside it for people to look at. Files say in their metadata what made them.

    Args:
        name: of the system.
        directory: of the trained system; None for a reference row.
        clips: natural clips of the target for a system that enrols it or a reference row, as JSON.
        trial: fields of the trial.
        output: path of the output without its suffix.
        suffix: ``.flac`` where sound is asked for, ``.mkv`` where it is a film.
        vocoder: directory of a trained vocoder that takes the place of the system's own, or ``griffin-lim``
            in the place of one that was trained with it.

    Returns:
        Status and reason of the trial.
    """
    from doppelbench.engine.files import write_json

    produced_file, failure = Path(f"{output}{suffix}"), Path(f"{output}.failed.json")
    try:
        if directory is None:
            system = _reference_row(name, clips)
        else:
            system = _trained(name, directory, trial["target"], clips, vocoder)
        produced = system.convert(trial_from_dict(trial))
        _write_output(produced_file, produced, _label(system.spec))
    except MediaError as error:
        result = {"status": error.status, "reason": error.reason}
        produced_file.unlink(missing_ok=True)
        write_json(failure, result)
        return result
    failure.unlink(missing_ok=True)
    return {"status": "ok", "reason": ""}


def _label(spec: Any) -> str:
    """What players show of an output; a reference row may be natural and is not called synthetic."""
    if spec.reference_row:
        return f"doppelbench: reference row {spec.name}"
    return f"doppelbench: synthetic, made by the system {spec.name}; not a recording"


def _write_output(path: Path, produced: Any, label: str) -> None:
    from doppelbench.corpora.media import write_audio, write_preview, write_video

    if path.suffix == ".flac":
        write_audio(path, produced.audio, comment=label)
        return
    if produced.video is None:
        raise MediaError("missing", "the system made no pictures")
    film = replace(produced.video, audio=produced.audio or produced.video.audio)
    # The preview first: an output that is there is whole.
    write_preview(path.with_suffix(".mp4"), film, comment=label)
    write_video(path, film, comment=label)


@lru_cache(maxsize=32)
def _metric(name: str, options: str) -> Any:
    from doppelbench.metrics.registry import metric, metric_options

    base, _ = metric_options(name)
    return metric(base, **json.loads(options))


def score_item(
    *,
    metric: str,
    options: str,
    out: str,
    ref: Mapping[str, Any] | None,
    clip: Mapping[str, Any],
) -> dict[str, Any]:
    """Score one output with one metric; a file that cannot be read becomes a status.

    Args:
        metric: name of the metric, with or without the options that tell it from others of that name.
        options: all its options as JSON.
        out: path of the output, a video where the metric scores pictures.
        ref: path, start and end of the reference, or None.
        clip: fields of the clip that says what should be heard.

    Returns:
        Value, status, reason and statistics.
    """
    score = score_media(_metric(metric, options), out=out, ref=ref, clip=Clip(**clip))
    return {
        "value": score.value,
        "status": score.status,
        "reason": score.reason and _naming_the_file(score.reason, out, ref),
        "statistics": dict(score.stats),
    }


def score_media(scorer: Any, *, out: str | Path, ref: Mapping[str, Any] | None, clip: Clip) -> Any:
    """Read what a metric compares, sound or video as its spec says, and score it.

    Args:
        scorer: a :class:`~doppelbench.metrics.metric.Metric`.
        out: path of the output.
        ref: path, start and end of the reference, or None.
        clip: says what should be heard.

    Returns:
        The item's score; a file that cannot be read is a status.
    """
    from doppelbench.corpora.media import read_audio, read_video
    from doppelbench.metrics.audio_metric import failed_score

    read: Any = read_audio if scorer.spec.media == "audio" else read_video
    try:
        output = read(out)
        reference = None if ref is None else read(ref["path"], start=ref["start"], end=ref["end"])
    except MediaError as error:
        return failed_score(error)
    return scorer.item(out=output, ref=reference, clip=clip)


def _naming_the_file(reason: str, out: str, ref: Mapping[str, Any] | None) -> str:
    """Name the file in a reason that a metric, which sees signals alone, could not name.

    The output goes by its name without its folder, because items do not depend on where a run lies.
    """
    name = Path(out).name
    reason = reason.replace(out, name)
    if name in reason or (ref is not None and ref["path"] in reason):
        return reason
    compared = ref is not None and reason.startswith(("the reference", "the source"))
    blamed = ref["path"] if ref is not None and compared else name
    return f"{blamed}: {reason}"
