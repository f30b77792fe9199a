"""The verbs on files instead of a recipe: train on a recording, convert recordings, score folders or
files."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from doppelbench.benchmark.config import parse_options
from doppelbench.benchmark.figures import compute_figures
from doppelbench.benchmark.progress import TaskProgress, say
from doppelbench.benchmark.tasks import failed_status, score_task
from doppelbench.benchmark.work import IDENTITY, synthesize_trial, train_system, trial_to_dict
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError
from doppelbench.engine.files import write_json
from doppelbench.engine.hashing import canonical_json
from doppelbench.engine.pool import Task, run_pool

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".mp3", ".m4a")


def train_single(
    system: str,
    audio: Path,
    out: Path,
    *,
    target: str | None,
    preset: str,
    settings: Sequence[str],
    device: str,
    max_steps: int | None,
    max_seconds: float | None,
    seed: int,
) -> dict[str, Any]:
    """Train one system on the recordings of one person and save it under ``out``.

    Returns:
        The training record.

    Raises:
        InputError: the recordings cannot be used.
        ConfigError: a hyperparameter is not ``key=value``.
    """
    from doppelbench.corpora.readers.folder import read_folder

    chosen = parse_options(settings)
    person = target or audio.stem
    corpus = read_folder(audio, speaker=person).with_hashes()
    record = train_system(
        name=system,
        preset=preset,
        settings=chosen,
        target=person,
        clips=[asdict(replace(clip, speaker=person)) for clip in corpus.clips()],
        trainer={
            "directory": str(out),
            "device": device,
            "max_steps": max_steps,
            "max_seconds": max_seconds,
            "seed": seed,
        },
    )
    if "failed" in record:
        raise InputError(record["reason"])
    for message in record["left_out"]:
        say(message)
    return record


def synthesize_single(
    directory: Path, sources: Sequence[Path], out: Path
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Convert recordings with a trained system; yields each source with status and reason.

    Raises:
        InputError: the folder holds no trained system, or two sources share a name.
    """
    identity = directory / IDENTITY
    if not identity.is_file():
        raise InputError(
            f"{directory}: there is no {IDENTITY}, so no trained system; make one with doppelbench train"
        )
    try:
        known = json.loads(identity.read_text())
        name, target = known["system"], known["target"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{identity}: damaged; train the system again") from None
    stems = [source.stem for source in sources]
    doubled = sorted({stem for stem in stems if stems.count(stem) > 1})
    if doubled:
        raise InputError(
            f"two sources are called {', '.join(doubled)}; their outputs would overwrite each other"
        )
    for source in sources:
        trial = Trial(source.stem, Clip(source.stem, "source", audio=str(source), split="test"), target)
        yield (
            source,
            synthesize_trial(
                name=name,
                directory=str(directory),
                clips="[]",
                trial=trial_to_dict(trial),
                output=str(out / source.stem),
            ),
        )


def score_files(
    out: Path,
    *,
    ref: Path | None,
    metrics: Sequence[str],
    text: Path | None,
    jobs: int,
    save: Path | None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Score a folder of outputs, or one file, against references matched by file name.

    Args:
        out: a folder, or one file.
        ref: a folder with the same names (any audio suffix), or one file; None where no metric needs it.
        metrics: ``name`` or ``name:option=value,...``.
        text: transcripts by file name, for metrics that need the words.
        jobs: worker processes.
        save: folder for ``items.json`` and ``figures.json``.

    Returns:
        Items and figures.

    Raises:
        InputError: nothing to score, or a metric lacks its references or words altogether.
    """
    from doppelbench.metrics.registry import metric_from_string, metric_options

    pairs = match_files(out, ref)
    known = {} if text is None else read_texts(text)
    scorers = [(*metric_options(name), metric_from_string(name)) for name in metrics]
    for name, _, scorer in scorers:
        if "ref" in scorer.spec.needs and ref is None:
            raise InputError(f"{name} compares with a natural recording; name a file or folder with --ref")
        if "text" in scorer.spec.needs and text is None:
            raise InputError(f"{name} needs the words that should be said; name a table with --text")
        if "target" in scorer.spec.needs and not any(speaker for _, speaker in known.values()):
            raise InputError(
                f"{name} needs the intended speaker; add a column speaker to the table of --text"
            )
    system = out.resolve().name
    tasks: list[Task] = []
    rows: dict[str, dict[str, Any]] = {}
    for identifier, (path, reference) in pairs.items():
        words, speaker = known.get(identifier, (None, None))
        for name, options, scorer in scorers:
            key = f"{identifier}/{name}"
            rows[key] = {"system": system, "trial": identifier, "metric": name}
            clip = Clip(identifier, speaker or "", audio=str(path), text=words, split="test")
            natural = None
            if "ref" in scorer.spec.needs:
                natural = Clip(identifier, speaker or "", audio=str(reference))
            tasks.append(score_task(key, name, options, path, natural, clip, scorer.spec.cost))
    with TaskProgress("scoring", len(tasks)) as progress:
        for result in run_pool(tasks, jobs=jobs, timeout=300.0):
            if result.status == "ok":
                rows[result.key] |= result.value
            else:
                rows[result.key] |= {
                    "value": None,
                    "status": failed_status(result),
                    "reason": result.reason,
                    "statistics": {},
                }
            progress.advance()
    items = [rows[key] for key in sorted(rows)]
    figures = _figures(items, [(name, options) for name, options, _ in scorers], system)
    if save is not None:
        write_json(save / "items.json", items)
        write_json(save / "figures.json", figures)
    return items, figures


def _figures(
    items: Sequence[dict[str, Any]], metrics: Sequence[tuple[str, dict[str, Any]]], system: str
) -> list[dict[str, Any]]:
    import pandas as pd

    table = pd.DataFrame([{**item, "statistics": canonical_json(item["statistics"])} for item in items])
    return compute_figures(table, [{"name": name, "options": options} for name, options in metrics], [system])


def match_files(out: Path, ref: Path | None) -> dict[str, tuple[Path, Path | None]]:
    """Pair outputs with references by file name without suffix.

    A reference without an output is an item with a missing output, and the other way round: both are scored
    as ``missing`` rather than dropped.

    Raises:
        InputError: no such file or folder, no audio in it, a folder beside a file, or two files of one name.
    """
    if out.is_file():
        if ref is not None and not ref.is_file():
            raise InputError(f"{ref}: expected one reference file for the one output {out}")
        return {out.stem: (out, ref)}
    outputs = _audio_files(out)
    if ref is None:
        return {name: (path, None) for name, path in outputs.items()}
    if ref.is_file():
        raise InputError(f"{ref}: expected a folder of references for the folder {out}")
    references = _audio_files(ref)
    if not outputs.keys() & references.keys():
        raise InputError(f"{out} and {ref} have no file name in common (suffixes do not matter)")
    return {
        name: (
            outputs.get(name, out / f"{name}.flac"),
            references.get(name, ref / f"{name}.flac"),
        )
        for name in sorted({*outputs, *references})
    }


def _audio_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such file or folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{folder}: {found[name].name} and {path.name} have the same name")
        found[name] = path
    if not found:
        raise InputError(f"{folder}: no audio file in it ({', '.join(AUDIO_SUFFIXES)})")
    return found


def read_texts(path: Path) -> dict[str, tuple[str, str | None]]:
    """Read transcripts: a CSV with the columns id, text and perhaps speaker, or lines ``<id> <words>``.

    Raises:
        InputError: no such file, a missing column, a line without words (with its number), or a double id.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    texts: dict[str, tuple[str, str | None]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file)
                if not {"id", "text"} <= set(reader.fieldnames or []):
                    raise InputError(f"{path}: expected the columns id and text, found {reader.fieldnames}")
                entries = [(row["id"], row["text"], row.get("speaker")) for row in reader]
            else:
                entries = []
                for number, line in enumerate(file, 1):
                    if line.strip():
                        name, _, words = line.strip().partition(" ")
                        if not words:
                            raise InputError(f"{path}: line {number} has an id and no words")
                        entries.append((name, words, None))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    for name, words, speaker in entries:
        if name in texts:
            raise InputError(f"{path}: the id {name} stands twice")
        texts[name] = (words or "", speaker or None)
    return texts
