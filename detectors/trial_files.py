"""Protocols and score files of real-vs-fake tests: read, matched trial by trial, and written.

The layout of a file is found from its number of columns and their content, never from its name, and is kept
with what was read. Protocols: ASVspoof 2019 (5 columns), 2021 LA (8), PA (12) and DF (13), ASVspoof 5 (10),
two columns (``id label``), and tables with a header (``id,label`` and the headers of In-the-Wild, DF Arena
and SpoofCeleb). Score files: ``id score``, ``id attack label score`` (peeled from the right, since ids may
hold spaces), the headed ASVspoof 5 table, log lines ``Output, id, label, score``, a bare column in the order
of the protocol, and tables.

Labels that are not known are errors: nothing falls through to "spoof".
"""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.detectors.trial_lines import first_fields, listed, number_of, read_text, rows_of
from doppelbench.detectors.trials import GROUPS, Trials, is_bonafide

# Columns of the challenges' protocols by their number of columns; "_" is not read.
PROTOCOLS: Mapping[int, tuple[str, tuple[str, ...]]] = {
    2: ("two columns", ("id", "label")),
    5: ("ASVspoof 2019", ("speaker", "id", "_", "attack", "label")),
    8: ("ASVspoof 2021 LA", ("speaker", "id", "codec", "_", "attack", "label", "trim", "phase")),
    10: (
        "ASVspoof 5",
        ("speaker", "id", "_", "codec", "_", "_", "_", "attack", "label", "_"),
    ),
    12: ("ASVspoof 2021 PA", ("speaker", "id", *"_______", "label", "trim", "phase")),
    13: (
        "ASVspoof 2021 DF",
        ("speaker", "id", "codec", "_", "attack", "label", "trim", "phase", *"_____"),
    ),
}
HEADERS: Mapping[str, frozenset[str]] = {
    "id": frozenset({"id", "file", "filename", "file_name", "utterance", "utt", "trial", "path"}),
    "label": frozenset({"label", "key", "cm-label", "class"}),
    "score": frozenset({"score", "cm-score", "cm_score"}),
    "attack": frozenset({"attack", "system", "generator"}),
    "speaker": frozenset({"speaker", "spk"}),
    "codec": frozenset({"codec"}),
}
# What SpoofCeleb writes in the column of the attack for real speech.
SPOOFCELEB_REAL = "a00"
EMPTY_NAMES = frozenset({"-", "bonafide", ""})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".mp4", ".aac"})
ASV_KEYS = ("target", "nontarget", "spoof")
TWO_NUMBERS = 2
PEELED, PEELED_LAYOUT = 4, "id attack label score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What each trial truly is, in the order of the file.

    Attributes:
        path: the file.
        layout: name of the layout that was recognised.
        ids: names of the trials, each once.
        bonafide: whether each is bona fide, shape (n,).
        groups: ``attack``, ``speaker`` and ``codec`` of each trial where the layout tells; a constant column
            of ``-`` tells nothing and is left out.
        scores: scores of the same file, shape (n,), for tables that hold both.
        notes: what was left out or joined on reading.
    """

    path: Path
    layout: str
    ids: Sequence[str]
    bonafide: np.ndarray
    groups: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    scores: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFile:
    """Scores of a detector, higher for bona fide, in the order of the file.

    Attributes:
        path: the file.
        layout: name of the layout that was recognised.
        ids: names of the trials, each once; None for a bare column in the order of the protocol.
        scores: shape (n,), finite.
        bonafide: labels, where the file tells them, shape (n,), else None.
    """

    path: Path
    layout: str
    ids: Sequence[str] | None
    scores: np.ndarray
    bonafide: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AsvScores:
    """Scores of a speaker verification system, for the t-DCF; each of shape (n,).

    Attributes:
        path: the file.
        target: of trials of the claimed speaker.
        nontarget: of trials of other people.
        spoof: of spoofed trials.
        attacks: the generator of each spoofed trial, shape of ``spoof``.
    """

    path: Path
    target: np.ndarray
    nontarget: np.ndarray
    spoof: np.ndarray
    attacks: np.ndarray


def read_protocol(
    path: str | os.PathLike[str],
    *,
    labels: Mapping[str, str] | None = None,
    phase: str | None = None,
    higher_is_bonafide: bool = True,
    allow_repeats: bool = False,
) -> Protocol:
    """Read a protocol, or a file that holds labels and scores: ``id attack label score``, or a table
    ``id,label,score[,attack,speaker,codec]``.

    Args:
        path: the file, UTF-8, plain or gzip.
        labels: what further labels mean, such as ``{"1": "bonafide", "0": "spoof"}``.
        phase: of ASVspoof 2021, ``eval``, ``progress`` or ``hidden``; all are kept, and a note says so, when
            None.
        higher_is_bonafide: direction of scores in the file; they are negated when it is false.
        allow_repeats: keep trials that occur more than once, as some files list bona fide trials once for
            each attack; their number becomes a note.

    Raises:
        InputError: the file cannot be used; the message names it, the line and the reason.
    """
    path = Path(path)
    text = read_text(path)
    separator, first = first_fields(path, text)
    if "id" in _header(first) and len(first) > 1:
        table = _table(path, text, separator, first)
        layout = "table"
    elif separator != "," and _is_peeled(first, labels):
        table = _peeled(path, text, separator)
        layout = PEELED_LAYOUT
    elif len(first) in PROTOCOLS and separator != ",":
        layout, names = PROTOCOLS[len(first)]
        table = _columns(path, text, separator, names)
    else:
        known = ", ".join(str(count) for count in sorted(PROTOCOLS))
        raise InputError(
            f"{path}:1: {len(first)} columns are no known protocol; there are protocols of {known} columns "
            "divided by spaces, and tables whose header names id and label"
        )
    return _protocol(path, layout, table, labels, phase, higher_is_bonafide, allow_repeats)


def read_scores(
    path: str | os.PathLike[str],
    *,
    higher_is_bonafide: bool = True,
    score_column: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> ScoreFile:
    """Read a score file in any of its layouts; see the head of this module.

    Args:
        path: the file, UTF-8, plain or gzip.
        higher_is_bonafide: declared direction; scores are negated on reading when it is false.
        score_column: column of the score, counted from 1, for files with two columns of numbers, of which
            none says which is bona fide.
        labels: what further labels mean.

    Raises:
        InputError: the file cannot be used; the message names it, the line and the reason.
    """
    path = Path(path)
    text = read_text(path)
    separator, first = first_fields(path, text)
    sign = 1.0 if higher_is_bonafide else -1.0
    columns = _header(first)
    if {"id", "score"} <= set(columns) and not any(number_of(name) is not None for name in first):
        table = _table(path, text, separator, first)
        bonafide = _labels(path, table, labels) if "label" in table else None
        return _score_file(path, "table", table["id"], table, sign, bonafide)
    if separator == "," and first[0] == "Output":
        table = _columns(path, text, ",", ("_", "id", "label", "score"))
        # -1 stands for "not known" there, and other numbers for whatever the training used.
        return _score_file(path, "log lines", table["id"], table, sign, None)
    if separator == ",":
        raise InputError(f"{path}:1: the header must name id and score, not {', '.join(first)}")
    numeric = sum(number_of(name) is not None for name in first)
    if score_column is not None:
        return _numbered(path, text, separator, len(first), score_column, sign)
    if len(first) == 1:
        table = _columns(path, text, separator, ("score",))
        return _score_file(path, "bare column", None, table, sign, None)
    if len(first) == TWO_NUMBERS:
        table = _columns(path, text, separator, ("id", "score"))
        return _score_file(path, "id score", table["id"], table, sign, None)
    if numeric >= TWO_NUMBERS and number_of(first[-1]) is not None and number_of(first[-2]) is not None:
        raise InputError(
            f"{path}:1: two columns of numbers, and nothing says which is the score of bona fide; name "
            "it with score_column"
        )
    table = _peeled(path, text, separator)
    return _score_file(path, PEELED_LAYOUT, table["id"], table, sign, _labels(path, table, labels))


def read_asv_scores(path: str | os.PathLike[str]) -> AsvScores:
    """Read scores of a speaker verification system in the layout of ASVspoof 2019: ``attack key score``.

    Raises:
        InputError: the file cannot be used, or a key is not ``target``, ``nontarget`` or ``spoof``.
    """
    path = Path(path)
    text = read_text(path)
    table = _columns(path, text, None, ("attack", "key", "score"))
    scores = _numbers(path, table)
    keys = np.asarray(table["key"])
    unknown = ~np.isin(keys, ASV_KEYS)
    if unknown.any():
        place = int(np.argmax(unknown))
        raise InputError(
            f"{path}:{table['line'][place]}: key {table['key'][place]!r} is not target, nontarget or spoof"
        )
    sides = {key: scores[keys == key] for key in ASV_KEYS}
    empty = [key for key in ASV_KEYS if not sides[key].size]
    if empty:
        raise InputError(f"{path}: there are no {empty[0]} trials")
    return AsvScores(path=path, attacks=np.asarray(table["attack"])[keys == "spoof"], **sides)


def match(
    protocol: Protocol,
    scores: ScoreFile | None = None,
    *,
    allow_missing: bool = False,
    allow_extra: bool = False,
) -> Trials:
    """Join scores with the protocol, one to one, in the order of the protocol.

    Folders and audio suffixes of ids are ignored where the ids do not fit as they stand and stay unique
    without.

    Args:
        protocol: what the trials are.
        scores: scores of a detector; those of the protocol's own table when None.
        allow_missing: evaluate the trials that have a score; the coverage becomes a note.
        allow_extra: leave out scores that the protocol does not list; their number becomes a note.

    Raises:
        InputError: trials are missing or extra, or the labels of both files disagree; the message names both
            files and the first five trials.
    """
    notes = list(protocol.notes)
    if scores is None:
        if protocol.scores is None:
            raise InputError(f"{protocol.path}: the table has no column of scores")
        return _trials(protocol, protocol.scores, np.arange(len(protocol.ids)), str(protocol.path), notes)
    source = f"{scores.path} against {protocol.path}"
    if scores.ids is None:
        if len(scores.scores) != len(protocol.ids):
            raise InputError(
                f"{source}: a bare column needs one score for each of {len(protocol.ids)} trials, not "
                f"{len(scores.scores)}"
            )
        notes.append("scores without ids were taken in the order of the protocol")
        return _trials(protocol, scores.scores, np.arange(len(protocol.ids)), source, notes)
    wanted, given = protocol.ids, scores.ids
    places = _places(wanted, given)
    if -1 in places:
        bare_wanted, bare_given = [_bare(name) for name in wanted], [_bare(name) for name in given]
        if len(set(bare_wanted)) == len(wanted) and len(set(bare_given)) == len(given):
            bare = _places(bare_wanted, bare_given)
            if bare.count(-1) < places.count(-1):
                notes.append("folders and suffixes of ids were ignored to match them")
                wanted, given, places = bare_wanted, bare_given, bare
    missing = [name for name, place in zip(wanted, places, strict=True) if place < 0]
    extra = []
    if len(given) > len(wanted) - len(missing):
        known = set(wanted)
        extra = [name for name in given if name not in known]
    if len(missing) == len(wanted):
        raise InputError(f"{source}: no id occurs in both; the first are {given[0]!r} and {wanted[0]!r}")
    if missing and not allow_missing:
        raise InputError(f"{source}: {len(missing)} of {len(wanted)} trials have no score: {listed(missing)}")
    if extra and not allow_extra:
        raise InputError(f"{source}: {len(extra)} scores are of trials not in the protocol: {listed(extra)}")
    if missing:
        notes.append(f"{len(wanted) - len(missing)} of {len(wanted)} trials have a score")
    if extra:
        notes.append(f"{len(extra)} scores of trials not in the protocol were left out: {listed(extra)}")
    order = np.array(places, dtype=np.int64)
    kept = np.flatnonzero(order >= 0)
    order = order[kept]
    if scores.bonafide is not None:
        differ = scores.bonafide[order] != protocol.bonafide[kept]
        if differ.any():
            names = [wanted[place] for place in kept[differ]]
            raise InputError(f"{source}: the labels of {len(names)} trials disagree: {listed(names)}")
    return _trials(protocol, scores.scores[order], kept, source, notes)


def read_trials(
    protocol: str | os.PathLike[str],
    scores: str | os.PathLike[str] | None = None,
    *,
    higher_is_bonafide: bool = True,
    labels: Mapping[str, str] | None = None,
    phase: str | None = None,
    score_column: int | None = None,
    allow_missing: bool = False,
    allow_extra: bool = False,
    allow_repeats: bool = False,
) -> Trials:
    """Read a protocol and a score file and match them, or read one file that holds both.

    With a ``phase`` chosen, scores of the other phases are no surprise and are left out.

    Raises:
        InputError: a file cannot be used, or they do not fit together.
    """
    truth = read_protocol(
        protocol,
        labels=labels,
        phase=phase,
        higher_is_bonafide=higher_is_bonafide if scores is None else True,
        allow_repeats=allow_repeats and scores is None,
    )
    if scores is None:
        return match(truth)
    found = read_scores(
        scores, higher_is_bonafide=higher_is_bonafide, score_column=score_column, labels=labels
    )
    return match(truth, found, allow_missing=allow_missing, allow_extra=allow_extra or phase is not None)


def write_scores(path: str | os.PathLike[str], ids: Sequence[str], scores: np.ndarray) -> None:
    """Write ``id score`` lines with all digits of the scores, atomically; reading gives the same numbers.

    A name that ends in ``.tsv`` gets the headed table of ASVspoof 5.

    Raises:
        InputError: lengths differ, an id holds white space or occurs twice, or a score is not finite.
    """
    path = Path(path)
    if len(ids) != len(scores):
        raise InputError(f"{path}: {len(ids)} ids for {len(scores)} scores")
    spaced = next((name for name in ids if name.split() != [name]), None)
    if spaced is not None:
        raise InputError(f"{path}: id {spaced!r} is empty or holds white space, which divides the columns")
    _check_unique(path, ids, None)
    if not np.isfinite(scores).all():
        raise InputError(f"{path}: scores must be finite numbers")
    headed = path.suffix == ".tsv"
    gap = "\t" if headed else " "
    lines = ["filename\tcm-score"] if headed else []
    lines += [f"{name}{gap}{float(score)!r}" for name, score in zip(ids, scores, strict=True)]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    os.replace(partial, path)


def _header(fields: Sequence[str]) -> dict[str, int]:
    """Place of each column whose name is known."""
    found: dict[str, int] = {}
    for place, name in enumerate(fields):
        for column, words in HEADERS.items():
            if name.lower() in words:
                found.setdefault(column, place)
    return found


def _columns(path: Path, text: str, separator: str | None, names: Sequence[str]) -> dict[str, list]:
    """Columns of a file without header, and the ``line`` of each row."""
    kept = [(place, name) for place, name in enumerate(names) if name != "_"]
    table: dict[str, list] = {name: [] for _, name in kept}
    table["line"] = []
    # Names of groups occur in every row; one object each keeps large files small.
    additions = [(place, table[name].append, name not in ("id", "score")) for place, name in kept]
    add_line = table["line"].append
    intern = sys.intern
    for number, fields in rows_of(path, text, separator):
        if len(fields) != len(names):
            raise InputError(f"{path}:{number}: {len(fields)} columns where the first line has {len(names)}")
        for place, add, repeated in additions:
            add(intern(fields[place]) if repeated else fields[place])
        add_line(number)
    return table


def _table(path: Path, text: str, separator: str | None, header: Sequence[str]) -> dict[str, list]:
    """Columns of a file with header whose names are known, and the ``line`` of each row."""
    places = {place: column for column, place in _header(header).items()}
    names = [places.get(place, "_") for place in range(len(header))]
    table = _columns(path, text, separator, names)
    table = {name: column[1:] for name, column in table.items()}
    if not table["id"]:
        raise InputError(f"{path}: there is a header and no row below it")
    return table


def _protocol(
    path: Path,
    layout: str,
    table: dict[str, list],
    labels: Mapping[str, str] | None,
    phase: str | None,
    higher_is_bonafide: bool,
    allow_repeats: bool,
) -> Protocol:
    notes: list[str] = []
    if "label" not in table:
        if "attack" not in table or SPOOFCELEB_REAL not in table["attack"]:
            raise InputError(f"{path}:1: the header names no column of labels")
        table["label"] = ["bonafide" if name == SPOOFCELEB_REAL else "spoof" for name in table["attack"]]
        notes.append(f"labels follow from the column of attacks, where {SPOOFCELEB_REAL} is real speech")
    if phase is not None:
        table = _of_phase(path, table, phase)
    elif len(set(table.get("phase", ()))) > 1:
        phases = ", ".join(sorted(set(table["phase"])))
        notes.append(f"trials of all phases ({phases}) are together; challenges report eval alone")
    repeats = len(table["id"]) - len(set(table["id"]))
    if repeats and allow_repeats:
        notes.append(f"{repeats} trials are repetitions and were kept, which narrows intervals by trial")
    else:
        _check_unique(path, table["id"], table["line"])
    bonafide = _labels(path, table, labels)
    groups: dict[str, list[str]] = {}
    for name in GROUPS:
        if name not in table or set(table[name]) <= {"-", ""}:
            continue
        groups[name] = table[name]
    if "attack" in groups:
        groups["attack"] = [
            "" if real else ("unknown" if name in EMPTY_NAMES else name)
            for name, real in zip(groups["attack"], bonafide.tolist(), strict=True)
        ]
    scores = None
    if "score" in table:
        scores = _numbers(path, table) * (1.0 if higher_is_bonafide else -1.0)
    return Protocol(
        path=path,
        layout=layout,
        ids=table["id"],
        bonafide=bonafide,
        groups=groups,
        scores=scores,
        notes=tuple(notes),
    )


def _of_phase(path: Path, table: dict[str, list], phase: str) -> dict[str, list]:
    if "phase" not in table:
        raise InputError(f"{path}: only protocols of ASVspoof 2021 have phases, so there is no {phase!r}")
    kept = [place for place, name in enumerate(table["phase"]) if name == phase]
    if not kept:
        found = ", ".join(sorted(set(table["phase"])))
        raise InputError(f"{path}: there is no phase {phase!r}; there are {found}")
    return {name: [column[place] for place in kept] for name, column in table.items()}


def _labels(path: Path, table: dict[str, list], labels: Mapping[str, str] | None) -> np.ndarray:
    meanings = {label: is_bonafide(label, labels) for label in dict.fromkeys(table["label"])}
    for label, meaning in meanings.items():
        if meaning is None:
            line = table["line"][table["label"].index(label)]
            cure = (
                "; numbers mean either in different projects, so say which with labels"
                if number_of(label) is not None
                else ""
            )
            raise InputError(f"{path}:{line}: label {label!r} is neither bona fide nor spoof{cure}")
    return np.array([meanings[label] for label in table["label"]], dtype=bool)


def _numbers(path: Path, table: dict[str, list]) -> np.ndarray:
    try:
        if any("_" in text for text in table["score"]):
            raise ValueError
        scores = np.array(table["score"], dtype=np.str_).astype(np.float64)
    except ValueError:
        place = next(place for place, text in enumerate(table["score"]) if number_of(text) is None)
        raise InputError(
            f"{path}:{table['line'][place]}: score {table['score'][place]!r} is not a number"
        ) from None
    finite = np.isfinite(scores)
    if not finite.all():
        place = int(np.argmin(finite))
        name = f" of trial {table['id'][place]!r}" if "id" in table else ""
        raise InputError(
            f"{path}:{table['line'][place]}: the score{name} is {table['score'][place]}; scores must be "
            "finite numbers"
        )
    return scores


def _score_file(
    path: Path,
    layout: str,
    ids: list[str] | None,
    table: dict[str, list],
    sign: float,
    bonafide: np.ndarray | None,
) -> ScoreFile:
    if ids is not None:
        _check_unique(path, ids, table["line"])
    return ScoreFile(
        path=path, layout=layout, ids=ids, scores=sign * _numbers(path, table), bonafide=bonafide
    )


def _numbered(
    path: Path, text: str, separator: str | None, width: int, column: int, sign: float
) -> ScoreFile:
    if not 2 <= column <= width:
        raise InputError(f"{path}:1: score_column {column} is not one of columns 2 to {width}")
    names = ["id", *(["_"] * (width - 1))]
    names[column - 1] = "score"
    table = _columns(path, text, separator, names)
    return _score_file(path, f"id, score in column {column}", table["id"], table, sign, None)


def _is_peeled(first: Sequence[str], labels: Mapping[str, str] | None) -> bool:
    """Whether a line is ``id attack label score``, where the id may hold spaces."""
    return (
        len(first) >= PEELED
        and number_of(first[-1]) is not None
        and is_bonafide(first[-2], labels) is not None
    )


def _peeled(path: Path, text: str, separator: str | None) -> dict[str, list]:
    """Columns of ``id attack label score``, peeled from the right."""
    table: dict[str, list] = {"id": [], "attack": [], "label": [], "score": [], "line": []}
    gap = " " if separator is None else separator
    for number, fields in rows_of(path, text, separator):
        if len(fields) < PEELED:
            raise InputError(f"{path}:{number}: {len(fields)} columns; expected id, attack, label, score")
        table["id"].append(gap.join(fields[:-3]))
        table["attack"].append(sys.intern(fields[-3]))
        table["label"].append(sys.intern(fields[-2]))
        table["score"].append(fields[-1])
        table["line"].append(number)
    return table


def _check_unique(path: Path, ids: Sequence[str], lines: Sequence[int] | None) -> None:
    if len(set(ids)) == len(ids):
        return
    twice = [name for name, count in Counter(ids).items() if count > 1]
    place = ids.index(twice[0], ids.index(twice[0]) + 1)
    where = f":{lines[place]}" if lines is not None else ""
    raise InputError(f"{path}{where}: trials occur more than once: {listed(twice)}")


def _places(wanted: Sequence[str], given: Sequence[str]) -> list[int]:
    """Place of each wanted name among those given, -1 where it is not."""
    if list(wanted) == list(given):
        return list(range(len(given)))
    known = {name: place for place, name in enumerate(given)}
    return [known.get(name, -1) for name in wanted]


def _bare(name: str) -> str:
    """An id without folder and audio suffix."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in AUDIO_SUFFIXES else name


def _trials(
    protocol: Protocol, scores: np.ndarray, kept: np.ndarray, source: str, notes: Sequence[str]
) -> Trials:
    ids, groups = protocol.ids, protocol.groups
    if len(kept) < len(ids):
        places = kept.tolist()
        ids = [ids[place] for place in places]
        groups = {name: [column[place] for place in places] for name, column in groups.items()}
    return Trials(
        ids=ids,
        scores=scores,
        bonafide=protocol.bonafide[kept],
        groups=groups,
        source=source,
        notes=tuple(notes),
    )
