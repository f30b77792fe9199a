"""Collect bona fide clips and fakes: from finished runs, from a table, from folders.

The fakes of a run are the outputs of its systems. Of its reference rows those that are natural speech of the
target are no attack and are left out; the others (copy-synthesis, the unconverted source ...) are controls: a
detector that calls them fake hears the vocoder, or the file, and not the conversion. Bona fide are the
natural clips of the people of the trials, those of the trials and further ones of the corpus.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from doppelbench.benchmark.config import Recipe
from doppelbench.benchmark.pairs import MEDIA_SUFFIXES
from doppelbench.benchmark.plan import read_clips
from doppelbench.benchmark.work import trial_from_dict
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.corpus import normalize_text
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.media import sha256_of
from doppelbench.detectors.protocols import Sample
from doppelbench.detectors.trials import is_bonafide
from doppelbench.engine.hashing import content_key
from doppelbench.engine.run import Run, output_path

Natural = Literal["corpus", "trials"]
Media = Literal["audio", "video"]
SUFFIXES: Mapping[str, str] = {
    "voice-conversion": ".flac",
    "audio-to-video": ".mkv",
    "video-to-speech": ".flac",
}
# Reference rows that are a recording of the target as it is.
NATURAL_ROWS = frozenset({"natural", "natural-video", "natural-speech", "random-target", "shuffled-speech"})
COLUMNS = ("path", "label", "attack", "speaker", "source_speaker", "style", "text", "id")
CONTROL = "control"
# Of clips whose speaker is not known.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Collected:
    """Labelled clips.

    Attributes:
        samples: with media at their original places.
        sources: one record for each run, table or folder, with its ``hash``.
        notes: what a reader of the figures must know, each with where.
    """

    samples: tuple[Sample, ...]
    sources: tuple[dict[str, Any], ...]
    notes: tuple[tuple[str, str], ...] = ()


def from_run(
    folder: Path, *, media: Media = "audio", natural: Natural = "corpus", jobs: int = 1
) -> Collected:
    """Collect the outputs of a finished run and the natural clips of the people of its trials.

    Args:
        folder: of a run of any track but detection.
        media: what detectors will judge.
        natural: ``trials`` takes the natural clips that are in a trial alone, ``corpus`` further ones of the
            same people; a corpus that cannot be read any more is noted.
        jobs: processes that read the corpus.

    Raises:
        InputError: the run is of another track or has no outputs.
        RunError: the folder holds no run.
    """
    info = Run.open(folder).info
    track = str(info.plan.get("track", "unknown"))
    if track not in SUFFIXES:
        raise InputError(
            f"{folder}: a run of the track {track} has no fakes; tracks that have are {', '.join(SUFFIXES)}"
        )
    if media == "video" and track != "audio-to-video":
        raise InputError(f"{folder}: a run of the track {track} has no pictures for a detector of films")
    notes = []
    if media == "audio" and track == "audio-to-video":
        notes.append((folder.name, "Its sound is judged; systems that only draw pass on the source's."))
    trials = [trial_from_dict(trial) for trial in info.plan.get("trials", [])]
    clips = _natural_clips(trials, media)
    # Films are cut for a run, so that those of the corpus are of another size.
    if natural == "corpus" and media == "audio":
        people = {clip.speaker for clip in clips.values()} | {trial.target for trial in trials}
        try:
            further = _corpus_clips(info.config, people, jobs)
            clips = {(clip.speaker, clip.id): clip for clip in further} | clips
        except (DoppelbenchError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            notes.append((folder.name, f"Natural clips are those of the trials alone: {reason}"))
    samples = [_bonafide(clip) for clip in clips.values()]
    styles = _styles(info.config, list(clips.values()))
    fakes = []
    for system in info.plan.get("systems", []):
        if system["name"] in NATURAL_ROWS:
            continue
        paths = {trial.id: output_path(folder, system["key"], trial.id, SUFFIXES[track]) for trial in trials}
        made = [trial for trial in trials if paths[trial.id].is_file()]
        fakes += [
            _spoof(trial, system["key"], paths[trial.id], system["reference_row"], styles, media)
            for trial in made
        ]
        expected = sum("reference" not in system["needs"] or trial.reference is not None for trial in trials)
        if len(made) < expected:
            notes.append((folder.name, f"{system['key']} made {len(made)} of {expected} outputs."))
    if not fakes:
        raise InputError(f"{folder}: the run has no outputs; finish it with doppelbench run")
    record = {
        "run": info.name,
        "folder": str(folder),
        "track": track,
        "hash": content_key(info.config)[:16],
        "corpus": info.corpus.get("label", ""),
        "bonafide": len(samples),
        "spoof": len(fakes),
    }
    return Collected((*samples, *fakes), (record,), tuple(notes))


def _natural_clips(trials: Sequence[Trial], media: Media) -> dict[tuple[str, str], Clip]:
    """Every natural clip of the trials once."""
    found = {}
    for trial in trials:
        for clip in (trial.source, trial.reference):
            if clip is not None and (clip.audio if media == "audio" else clip.video) is not None:
                found[clip.speaker, clip.id] = clip
    return found


def _corpus_clips(config: Mapping[str, Any], people: set[str], jobs: int) -> list[Clip]:
    if "corpus" not in config:
        raise InputError("the run does not say what its corpus is")
    recipe = Recipe.model_validate(
        {key: value for key, value in config.items() if key in Recipe.model_fields}
    )
    clips: list[Clip] = []
    for part in (recipe.corpus, recipe.sources):
        if part is not None:
            clips += read_clips(part, jobs=jobs)[0]
    return [clip for clip in clips if clip.speaker in people and clip.audio is not None]


def _styles(config: Mapping[str, Any], clips: Sequence[Clip]) -> dict[str, str]:
    """The style of a voice's fakes: that of all the speech it was learned from, where it is one."""
    chosen = config.get("corpus", {}).get("where", {}).get("style")
    found: dict[str, set[str | None]] = {}
    for clip in clips:
        found.setdefault(clip.speaker, set()).add(clip.style)
    one = {name: next(iter(styles)) for name, styles in found.items() if len(styles) == 1}
    return {
        name: style
        for name in found
        if (style := chosen if isinstance(chosen, str) else one.get(name)) is not None
    }


def _bonafide(clip: Clip) -> Sample:
    name = f"real:{clip.speaker}:{clip.id}"
    return Sample(
        clip=replace(clip, id=name),
        bonafide=True,
        recording=f"{clip.speaker}:{clip.id}",
        sentence=normalize_text(clip.text or ""),
    )


def _spoof(
    trial: Trial, attack: str, path: Path, control: bool, styles: Mapping[str, str], media: Media
) -> Sample:
    clip = Clip(
        f"{attack}:{trial.id}",
        trial.target,
        audio=str(path),
        video=str(path) if media == "video" else None,
        text=trial.source.text,
        style=styles.get(trial.target),
        split="test",
    )
    return Sample(
        clip=clip,
        bonafide=False,
        attack=attack,
        control=control,
        source_speaker=trial.source.speaker,
        recording=f"{trial.source.speaker}:{trial.source.id}",
        sentence=normalize_text(trial.source.text or ""),
    )


def from_table(path: Path, *, media: Media = "audio") -> Collected:
    """Read a CSV with the columns ``path`` and ``label`` and perhaps the others of ``COLUMNS``.

    A label is one of the words of public protocols (``bonafide``, ``real``, ``spoof``, ``fake`` ...) or
    ``control``. Relative paths start from the folder of the table. Clips with the same text share a sentence;
    without a text, files of one name in different folders are taken for the same recording.

    Raises:
        InputError: a column, label or file that cannot be used, with its line, or nothing in the table.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    samples = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            unknown = [name for name in columns if name not in COLUMNS]
            if unknown or not {"path", "label"} <= set(columns):
                raise InputError(
                    f"{path}: expected the columns path and label, and of {', '.join(COLUMNS[2:])} what is "
                    f"known; found {', '.join(map(str, columns)) or 'nothing'}"
                )
            for number, row in enumerate(reader, 2):
                if None in row or None in row.values():
                    raise InputError(f"{path}, line {number}: {len(columns)} fields are expected")
                samples.append(_row_sample(path, number, row, media))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a table that can be read ({error})") from None
    if not samples:
        raise InputError(f"{path}: there is no clip in it")
    record = {"run": path.stem, "folder": str(path), "track": "table", **_counts(samples)}
    return Collected(tuple(samples), (record,))


def _row_sample(path: Path, number: int, row: Mapping[str, str], media: Media) -> Sample:
    where = f"{path}, line {number}"
    label = row["label"].strip().lower()
    control = label == CONTROL
    bonafide = False if control else is_bonafide(label)
    if bonafide is None:
        raise InputError(f"{where}: label {row['label']!r} is not known; use bonafide, spoof or control")
    file = path.parent / row["path"]
    if not row["path"] or not file.is_file():
        raise InputError(f"{where}: there is no file {file}")
    attack = "" if bonafide else row.get("attack") or "spoof"
    return _file_sample(
        file,
        row.get("id") or f"{attack or 'real'}:{Path(row['path']).with_suffix('').as_posix()}",
        row.get("speaker") or UNKNOWN,
        attack,
        media,
        control=control,
        source=row.get("source_speaker") or None,
        style=row.get("style") or None,
        text=row.get("text") or "",
        recording=file.stem,
    )


def from_folders(bonafide: Path | None, spoof: Mapping[str, Path], *, media: Media = "audio") -> Collected:
    """Collect the media files of plain folders.

    A voice is known where every file of every folder lies in a folder of its speaker. A fake and a bona fide
    file of one name are taken to be made of the same recording.

    Args:
        bonafide: real recordings; None for none.
        spoof: fakes by the name of their generator.
        media: what detectors will judge.

    Raises:
        InputError: a folder is not there or holds no media file.
    """
    folders = {**({"": bonafide} if bonafide is not None else {}), **spoof}
    files = {attack: media_files(folder) for attack, folder in folders.items()}
    known = all(len(name.parts) > 1 for found in files.values() for name in found)
    samples = []
    for attack, found in files.items():
        for name, path in found.items():
            label = name.with_suffix("").as_posix()
            samples.append(
                _file_sample(
                    path,
                    f"{attack or 'real'}:{label}",
                    name.parts[0] if known else UNKNOWN,
                    attack,
                    media,
                    recording=label,
                )
            )
    records = [
        {"run": folder.name, "folder": str(folder), "track": "folder", "attack": attack, "files": len(found)}
        for (attack, folder), found in zip(folders.items(), files.values(), strict=True)
    ]
    return Collected(tuple(samples), tuple(records))


def media_files(folder: Path) -> dict[Path, Path]:
    """Media files below a folder by their path in it.

    Raises:
        InputError: there is no such folder, or no media file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    found = {
        path.relative_to(folder): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file()
    }
    if not found:
        raise InputError(f"{folder}: no sound or video file in it ({', '.join(MEDIA_SUFFIXES)})")
    return found


def _file_sample(
    path: Path,
    name: str,
    speaker: str,
    attack: str,
    media: Media,
    *,
    recording: str,
    control: bool = False,
    source: str | None = None,
    style: str | None = None,
    text: str = "",
) -> Sample:
    clip = Clip(
        name,
        speaker,
        audio=str(path),
        video=str(path) if media == "video" else None,
        text=text or None,
        style=style,
    )
    return Sample(
        clip=clip,
        bonafide=not attack,
        attack=attack,
        control=control,
        source_speaker=source,
        recording=recording,
        sentence=normalize_text(text),
    )


def join(parts: Sequence[Collected]) -> Collected:
    """Put collections together; a bona fide clip that is in several is taken once.

    A generator of one name in two runs is told apart by the name of the run.

    Raises:
        InputError: there is nothing, or two runs share generator and name.
    """
    if not parts:
        raise InputError("there is nothing to collect from; name a run, a table, or folders")
    owners: dict[str, set[int]] = {}
    for number, part in enumerate(parts):
        for sample in part.samples:
            if not sample.bonafide:
                owners.setdefault(sample.attack, set()).add(number)
    shared = {attack for attack, found in owners.items() if len(found) > 1}
    samples: dict[str, Sample] = {}
    for part in parts:
        for sample in part.samples:
            named = _of_run(sample, part.sources[0]["run"]) if sample.attack in shared else sample
            known = samples.setdefault(named.id, named)
            if known is not named and not (sample.bonafide and _same_recording(known.clip, named.clip)):
                raise InputError(f"two clips are called {named.id}; give the runs or files other names")
    return Collected(
        tuple(samples.values()),
        tuple(source for part in parts for source in part.sources),
        tuple(note for part in parts for note in part.notes),
    )


def _same_recording(first: Clip, second: Clip) -> bool:
    """Whether two clips are the same part of the same file, or of copies of it."""
    if (first.start, first.end) != (second.start, second.end):
        return False
    paths = [str(clip.video or clip.audio) for clip in (first, second)]
    return paths[0] == paths[1] or sha256_of(paths[0]) == sha256_of(paths[1])


def chosen(collected: Collected, generators: Sequence[str]) -> Collected:
    """Keep bona fide clips and the fakes of some generators and controls.

    Raises:
        InputError: a generator that is named made nothing.
    """
    known = {sample.attack for sample in collected.samples if not sample.bonafide}
    for name in generators:
        if name not in known:
            raise InputError(f"no fakes are made by {name!r}; there are {', '.join(sorted(known))}")
    kept = tuple(s for s in collected.samples if s.bonafide or s.attack in generators)
    return replace(collected, samples=kept)


def _of_run(sample: Sample, run: str) -> Sample:
    attack = f"{sample.attack}@{run}"
    rest = sample.id.removeprefix(f"{sample.attack}:")
    return replace(sample, attack=attack, clip=replace(sample.clip, id=f"{attack}:{rest}"))


def _counts(samples: Sequence[Sample]) -> dict[str, int]:
    real = sum(sample.bonafide for sample in samples)
    return {"bonafide": real, "spoof": len(samples) - real}
