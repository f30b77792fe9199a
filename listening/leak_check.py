"""Can a rater, or a program, tell the system from anything but the sound?

:func:`find_leaks` looks at everything that raters receive: names, texts, tables and pages, times, headers,
sizes, durations, levels, silence. It ends with a trivial classifier that guesses the system of a sound from
those features, leaving out one trial at a time; a permutation test within trials says whether it does better
than chance.

How long the speech itself lasts is part of what is rated and can be heard, so that what follows from it alone
is a ``note`` and no ``leak``.
"""

import contextlib
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.level import active_level
from doppelbench.corpora.media import probe, read_audio, sha256_of
from doppelbench.listening.containers import film_format, mp4_boxes, wav_chunks
from doppelbench.listening.fields import BLOCK, ITEM, split_numbered
from doppelbench.listening.guessing import guess_system
from doppelbench.listening.plans import CONSENT, INSTRUCTIONS, PLANS, TITLE
from doppelbench.listening.stimuli import speech_span
from doppelbench.listening.study import (
    KEY,
    MEDIA,
    RATERS,
    ROLE_TITLES,
    STUDY,
    Item,
    Key,
    KeyEntry,
    Study,
    read_key,
    read_study,
)

OPAQUE = re.compile(r"[0-9a-f]{12}")
OPAQUE_FILE = re.compile(r"[0-9a-f]{12}\.(wav|mp4)")
# Shorter names stand in any text by chance.
SHORTEST_NAME = 3
# Byte sequences of this length do not stand in compressed media by chance.
SHORTEST_BYTES = 6
LEVEL_TOLERANCE = 0.1
# Differences below these cannot be heard, and are what rounding to 16 bits makes.
STEPS = {"duration": 1e-4, "size": 0.5, "level": 0.05, "lead": 0.015, "trail": 0.015, "inner size": 0.5}
LEAD_TOLERANCE = 0.03
# So rarely is a study found to leak that does not.
LEVEL = 0.001
RATED = frozenset({"system", "reference", "anchor"})
# Written by the muxer whatever the content.
MP4_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "language", "handler_name", "vendor_id"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may tell a rater what is rated.

    Attributes:
        severity: a ``leak`` spoils the study, a ``note`` should be known.
        file: in the study's folder; empty for the study as a whole.
        what: it tells.
    """

    severity: Literal["leak", "note"]
    file: str
    what: str


@dataclass(frozen=True, slots=True)
class _Measured:
    """What can be told of a media file without understanding it; NaN where it has no sound."""

    duration: float
    size: float
    level: float
    lead: float
    trail: float
    inner_size: float


def names_in(text: str, names: Iterable[str]) -> list[str]:
    """Those of the names that stand in a text as words of their own, whatever their case."""
    lowered = text.lower()
    return [
        name
        for name in names
        # Most are not there at all, which is quicker to see.
        if name.lower() in lowered
        and re.search(rf"(?<![a-z0-9]){re.escape(name.lower())}(?![a-z0-9])", lowered)
    ]


def check_no_leaks(folder: Path) -> list[Finding]:
    """Refuse a study that leaks.

    Returns:
        Notes.

    Raises:
        InputError: the first leak, and how many there are.
    """
    findings = find_leaks(folder)
    leaks = [finding for finding in findings if finding.severity == "leak"]
    if leaks:
        first = leaks[0]
        others = f" (and {len(leaks) - 1} further leaks)" if len(leaks) > 1 else ""
        place = f"{folder}/{first.file}" if first.file else str(folder)
        raise InputError(f"{place}: {first.what}{others}")
    return findings


def find_leaks(folder: Path) -> list[Finding]:
    """Examine everything that raters receive.

    Args:
        folder: of a study, with its key.

    Returns:
        What was found, leaks first.

    Raises:
        InputError: no study or key, or one was changed after they were sealed.
    """
    folder = Path(folder)
    study, key = read_study(folder), read_key(folder)
    names = secret_names(key)
    files = sorted(path for path in (folder / RATERS).rglob("*") if path.is_file())
    media = [path for path in files if path.parent == folder / RATERS / MEDIA]
    findings = [
        *_names_of_files(folder, study, files, media, names),
        *_ids(study),
        *_texts(folder, study, key, [path for path in files if path not in media], names),
        *_times(folder, media),
        *_containers(folder, media, names),
    ]
    measured = {}
    for path in media:
        with contextlib.suppress(InputError):
            measured[path.name] = _measure(path)
    findings += _features(study, key, measured)
    findings += _sides(study, key)
    findings += _guesses(study, key, measured)
    short = sorted(name for name in names if len(name) < SHORTEST_NAME)
    if short:
        findings.append(
            Finding("note", "", f"names too short to look for in texts: {', '.join(short)}; look yourself")
        )
    return sorted(set(findings), key=lambda finding: (finding.severity, finding.file, finding.what))


def secret_names(key: Key) -> set[str]:
    """What raters must not read: systems, trials, people, the run, original files, and the salt."""
    names = {key.run, key.salt}
    for entry in key.entries.values():
        names |= {*entry.systems, entry.trial, entry.target, entry.source}
    for source in key.sources.values():
        names |= {source, Path(source).name}
    return names - {""}


def _leak(file: str, what: str) -> Finding:
    return Finding("leak", file, what)


def _place(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _names_of_files(
    folder: Path, study: Study, files: Sequence[Path], media: Sequence[Path], names: set[str]
) -> Iterator[Finding]:
    for path in files:
        place = _place(folder, path)
        inside = path.relative_to(folder / RATERS).as_posix()
        if path.name == KEY:
            yield _leak(place, "is a key, which raters must not get")
        if path in media and not OPAQUE_FILE.fullmatch(path.name):
            yield _leak(place, "has a name that is not opaque")
        for name in names_in(inside, names):
            yield _leak(place, f"its name holds {name!r}")
        if path in media:
            if path.name not in study.media:
                yield _leak(place, "is no file of the study")
            elif sha256_of(path) != study.media[path.name]:
                yield _leak(place, "was changed after the study was sealed")
    for name in sorted(set(study.media) - {path.name for path in media}):
        yield _leak(f"{RATERS}/{MEDIA}/{name}", "is missing")


def _ids(study: Study) -> Iterator[Finding]:
    place = f"{RATERS}/{STUDY}"
    named = [study.id, *(item.id for item in study.items), *(block.id for block in study.blocks)]
    for name in named:
        if not OPAQUE.fullmatch(name):
            yield _leak(place, f"the id {name!r} is not opaque")
    for name in [*study.media, *(one.file for item in study.items for one in item.stimuli)]:
        if not OPAQUE_FILE.fullmatch(name):
            yield _leak(place, f"the file name {name!r} is not opaque")


def _own_words() -> set[str]:
    """Words that stand in every study, whatever its systems are called."""
    texts = [TITLE, CONSENT, *INSTRUCTIONS, *ROLE_TITLES, *ROLE_TITLES.values()]
    for plan in PLANS.values():
        texts.append(plan.alias)
        for question in plan.questions:
            texts += [question.name, question.text, *(answer.word for answer in question.answers)]
            texts += [answer.value for answer in question.answers]
        texts += [field.name for field in fields(plan.rules)]
        texts += [field.name for field in fields(plan.recruitment)]
    texts += [field.name for field in fields(Study)] + [field.name for field in fields(Item)]
    return {word for text in texts for word in re.findall(r"[a-z0-9]+", text.lower())}


def _texts(folder: Path, study: Study, key: Key, files: Sequence[Path], names: set[str]) -> Iterator[Finding]:
    """Search texts for names, but for those that are words of every study ("natural", "source")."""
    long = {name for name in names if len(name) >= SHORTEST_NAME}
    own = _own_words()
    telling = {name for name in long if name.lower() not in own}
    known = {item.id for item in study.items} | {block.id for block in study.blocks} | set(study.media)
    for path in files:
        place = _place(folder, path)
        text = path.read_bytes().decode("utf-8", errors="replace")
        for name in names_in(text, telling):
            shown = "the salt of the key" if name == key.salt else repr(name)
            yield _leak(place, f"holds {shown}")
        if path.suffix.lower() in (".csv", ".tsv"):
            yield from _table(place, text, known, "\t" if path.suffix.lower() == ".tsv" else ",")


def _table(place: str, text: str, known: set[str], delimiter: str) -> Iterator[Finding]:
    """A sheet for raters has blocks, items and files alone."""
    allowed = {ITEM, *ROLE_TITLES}
    for number, row in enumerate(csv.DictReader(io.StringIO(text), delimiter=delimiter), 2):
        for column, value in row.items():
            parts = split_numbered(column or "")
            if column != BLOCK and (parts is None or parts[0] not in allowed):
                yield _leak(place, f"the column {column!r} is none that raters need")
            elif value and str(value).rpartition("/")[2] not in known:
                yield _leak(place, f"line {number}: {value!r} is no id and no file of the study")


def _times(folder: Path, media: Sequence[Path]) -> Iterator[Finding]:
    times = [path.stat().st_mtime_ns for path in media]
    for path, time in zip(media, times, strict=True):
        if time != max(set(times), key=times.count):
            yield _leak(_place(folder, path), "its time differs from that of the other files")


def _containers(folder: Path, media: Sequence[Path], names: set[str]) -> Iterator[Finding]:
    """Headers and metadata: WAV holds a format and samples and nothing else, and all formats are one."""
    formats: dict[Path, Any] = {}
    for path in media:
        place = _place(folder, path)
        try:
            if path.suffix == ".wav":
                chunks = wav_chunks(path)
                if [name for name, _ in chunks] != ["fmt ", "data"]:
                    yield _leak(place, f"holds the chunks {', '.join(name for name, _ in chunks)}")
                formats[path] = next((content for name, content in chunks if name == "fmt "), b"")
            else:
                formats[path], tags = film_format(path)
                for name in sorted(set(tags) - MP4_TAGS):
                    yield _leak(place, f"holds the tag {name}")
        except InputError as error:
            yield _leak(place, f"cannot be read ({error})")
            continue
        if path.suffix == ".mp4":
            content = path.read_bytes().lower()
            for name in sorted(names):
                if len(name) >= SHORTEST_BYTES and name.lower().encode() in content:
                    yield _leak(place, f"holds {name!r}")
    for suffix in {path.suffix for path in formats}:
        found = [kind for path, kind in formats.items() if path.suffix == suffix]
        for path, kind in formats.items():
            if path.suffix == suffix and kind != max(found, key=found.count):
                yield _leak(_place(folder, path), "its format differs from that of the other files")


def _measure(path: Path) -> _Measured:
    info, size = probe(path), path.stat().st_size
    inner = size
    if info.kind == "video":
        inner = sum(length for name, length in mp4_boxes(path) if name != "free")
    if info.rate is None:
        return _Measured(info.seconds, size, math.nan, math.nan, math.nan, inner)
    audio = read_audio(path)
    first, last = speech_span(audio.samples, audio.rate)
    return _Measured(
        duration=info.seconds,
        size=size,
        level=active_level(audio.samples, audio.rate),
        lead=first / audio.rate,
        trail=(audio.samples.size - last) / audio.rate,
        inner_size=inner,
    )


def _rated_files(study: Study, key: Key) -> list[tuple[str, str, KeyEntry, Item]]:
    """File, system, entry and item of every rated sound, each file once."""
    found: dict[str, tuple[str, str, KeyEntry, Item]] = {}
    for item in study.items:
        entry = key.entries.get(item.id)
        if entry is None or entry.kind not in RATED:
            continue
        rated = [one for one in item.stimuli if one.role in ("output", "first", "second")]
        for stimulus, system in zip(rated, entry.systems, strict=False):
            found.setdefault(stimulus.file, (stimulus.file, system, entry, item))
    return list(found.values())


def _features(study: Study, key: Key, measured: Mapping[str, _Measured]) -> Iterator[Finding]:
    """Hold each file against what all should have in common."""
    rated = [one for one in _rated_files(study, key) if one[0] in measured]
    by_trial: dict[str, list[str]] = {}
    for file, _, entry, _ in rated:
        by_trial.setdefault(entry.trial, []).append(file)
    for own in by_trial.values():
        for name in ("duration", "size"):
            values = [getattr(measured[file], name) for file in own]
            usual = max(values, key=values.count)
            for file, value in zip(own, values, strict=True):
                if abs(value - usual) > STEPS[name]:
                    yield _leak(
                        f"{RATERS}/{MEDIA}/{file}",
                        f"its {name} {value:g} differs from {usual:g} of its trial's other sounds",
                    )
    durations = {round(measured[file].duration, 3) for file, *_ in rated}
    stated = {}
    for item in study.items:
        checks = key.entries.get(item.id)
        for stimulus in item.stimuli:
            stated[stimulus.file] = stimulus.seconds
            if (
                checks is not None
                and checks.kind in ("gold", "trap")
                and stimulus.role in ("output", "first", "second")
                and stimulus.file in measured
                and round(measured[stimulus.file].duration, 3) not in durations
            ):
                yield _leak(
                    f"{RATERS}/{MEDIA}/{stimulus.file}",
                    f"its duration {measured[stimulus.file].duration:g} s is that of no rated sound",
                )
    if study.modality == "audio":
        for file, seconds in stated.items():
            if file in measured and abs(measured[file].duration - seconds) > 1e-3:
                yield _leak(f"{RATERS}/{STUDY}", f"states {seconds:g} s for {file}")
        levels = [one.level for one in measured.values()]
        middle = float(np.median(levels)) if levels else 0.0
        leads = [measured[file].lead for file, *_ in rated]
        begin = float(np.median(leads)) if leads else 0.0
        for file, one in measured.items():
            if not abs(one.level - middle) <= LEVEL_TOLERANCE:
                yield _leak(
                    f"{RATERS}/{MEDIA}/{file}",
                    f"its level {one.level:.1f} dB differs from {middle:.1f} dB of the others",
                )
        for file, *_ in rated:
            if abs(measured[file].lead - begin) > LEAD_TOLERANCE:
                yield _leak(
                    f"{RATERS}/{MEDIA}/{file}",
                    f"its speech begins at {measured[file].lead:.2f} s, that of the others at {begin:.2f} s",
                )


def _sides(study: Study, key: Key) -> Iterator[Finding]:
    """Each of two systems comes first in half of the pairs."""
    from scipy.stats import binomtest

    orders: dict[tuple[str, ...], list[bool]] = {}
    for item in study.items:
        entry = key.entries.get(item.id)
        if entry is not None and entry.kind == "system" and len(entry.systems) == 2:
            names = tuple(sorted(entry.systems))
            orders.setdefault(names, []).append(entry.systems[0] == names[0])
    for names, first in orders.items():
        if binomtest(sum(first), len(first)).pvalue < 0.01:
            yield _leak(
                f"{RATERS}/{STUDY}",
                f"{names[0]} comes before {names[1]} in {sum(first)} of {len(first)} pairs",
            )


def _guesses(study: Study, key: Key, measured: Mapping[str, _Measured]) -> Iterator[Finding]:
    """Guess the system of every rated sound from features that are not the sound."""
    rated = [one for one in _rated_files(study, key) if one[0] in measured]
    if not rated:
        return
    systems = [system for _, system, _, _ in rated]
    trials = [entry.trial for _, _, entry, _ in rated]
    places = {item.id: place for place, item in enumerate(study.items)}
    order = {name: place for place, name in enumerate(sorted(study.media))}
    video = study.modality == "video"
    features: dict[str, list[float]] = {
        "duration": [measured[file].duration for file, *_ in rated],
        "size": [measured[file].size for file, *_ in rated],
        "order of names": [order.get(file, 0) for file, *_ in rated],
        "order of items": [places[item.id] for *_, item in rated],
    }
    content = {"trail": [measured[file].trail for file, *_ in rated]}
    if video:
        # The sound of a video keeps its place beside the pictures.
        content["lead"] = [measured[file].lead for file, *_ in rated]
        content["inner size"] = [measured[file].inner_size for file, *_ in rated]
    else:
        features["lead"] = [measured[file].lead for file, *_ in rated]
        features["level"] = [measured[file].level for file, *_ in rated]
    for severity, group in (("leak", features), ("note", content)):
        for name, values in group.items():
            table = np.array(values, np.float64)[:, None]
            if not np.isfinite(table).all() or np.ptp(table) < STEPS.get(name, 0.5):
                continue
            accuracy, p = guess_system(table, systems, trials)
            if p <= LEVEL:
                yield Finding(
                    severity,  # type: ignore[arg-type]
                    "",
                    f"the {name} tells the system of {100 * accuracy:.0f} % of the sounds (p = {p:.2g})",
                )
