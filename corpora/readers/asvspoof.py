"""ASVspoof 2019 (Wang et al. 2020), 2021 (Liu et al. 2023) and 5 (Wang et al. 2024)."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import SPLITS, Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import (
    AUDIO_SUFFIXES,
    media_files,
    numbered_lines,
    require_folder,
    wrong_layout,
)
from doppelbench.corpora.readers.listed import Row, listed_corpus

LAYOUT = (
    "ASVspoof2019.LA.cm.train.trn.txt, dev.trl.txt and eval.trl.txt (or of PA), CM/trial_metadata.txt "
    "(2021), or ASVspoof5.train.tsv, dev.track_1.tsv and eval.track_1.tsv, and <trial>.flac, all at any depth"
)
# Columns by their number; "_" is not read. The layouts of 2021 are those of the published keys.
PROTOCOLS: Mapping[int, tuple[str, ...]] = {
    5: ("speaker", "id", "environment", "attack", "label"),
    8: ("speaker", "id", "codec", "transmission", "attack", "label", "_", "phase"),
    10: ("speaker", "id", "_", "codec", "_", "_", "_", "attack", "label", "_"),
    12: ("speaker", "id", *"_______", "label", "_", "phase"),
    13: ("speaker", "id", "codec", "_", "attack", "label", "_", "phase", *"_____"),
}
FURTHER = ("attack", "codec", "transmission", "environment", "phase")
LABELS = ("bonafide", "spoof")
EMPTY = frozenset({"-", "bonafide"})


def read_asvspoof(
    root: Path,
    *,
    protocol: str | None = None,
    split: str | None = None,
    phase: Literal["eval", "progress", "hidden", "all"] = "eval",
    skip_missing: bool = False,
) -> Corpus:
    """Read trials of ASVspoof: the column ``label`` says ``bonafide`` or ``spoof``, and ``attack`` which one.

    The style is the attack of a spoof, ``spoof`` where the protocol names none, and ``bonafide`` for real
    speech; ``clips(label="bonafide")`` gives the latter. ``codec``, ``transmission``, ``environment`` and
    ``phase`` are columns where the protocol tells them. The speaker of a spoof is the person it imitates.
    The splits are the challenge's: train, dev and eval (here test), with disjoint speakers; of 2021 there is
    eval alone. There are no texts. No audio file is opened.

    Args:
        root: folder with protocols and audio, at any depth; of one partition (LA, PA or DF) or several.
        protocol: path of one protocol below the root; all that are found when None.
        split: ``train``, ``dev`` or ``test`` for all trials; told by the protocol's name when None.
        phase: of 2021, which trials; the challenge reports ``eval`` alone.
        skip_missing: leave out trials whose file is not there.

    Raises:
        InputError: for a missing root or protocol, another layout, a number of columns that is not known or
            differs within a file, a label that is neither bonafide nor spoof, a trial listed twice or missing
            (each with the line), a split that cannot be told, or a phase without trials.
    """
    require_folder(root, LAYOUT)
    if split is not None and split not in SPLITS:
        raise InputError(f"split is one of {', '.join(SPLITS)}, not {split!r}")
    if phase not in ("eval", "progress", "hidden", "all"):
        raise InputError(f"phase is eval, progress, hidden or all, not {phase!r}")
    protocols = _protocols(root) if protocol is None else [root / protocol]
    sounds = {path.stem: path for path in media_files(root, AUDIO_SUFFIXES)}
    if not protocols or not sounds:
        raise wrong_layout(root, LAYOUT)
    rows = (row for path in protocols for row in _rows(path, split or _split_of(path), phase, sounds))
    return listed_corpus("asvspoof", rows, root, columns=("label", *FURTHER), skip_missing=skip_missing)


def _protocols(root: Path) -> list[Path]:
    """Protocols with labels; those of speaker verification and lists of bare trials have other names."""
    return [
        path
        for path in media_files(root, frozenset({".txt", ".tsv"}))
        if (path.name.startswith("ASVspoof2019.") and ".cm." in path.name)
        or (path.name == "trial_metadata.txt" and path.parent.name == "CM")
        or (path.name.startswith("ASVspoof5.") and ".track_2" not in path.name)
    ]


def _split_of(path: Path) -> str:
    words = path.name.lower().split(".")
    if path.name == "trial_metadata.txt" or "eval" in words:
        return "test"
    found = next((split for split in SPLITS if split in words), None)
    if found is None:
        raise InputError(f"{path}: the name tells no split; pass split=")
    return found


def _rows(path: Path, split: str, phase: str, sounds: Mapping[str, Path]) -> Iterator[Row]:
    width = 0
    phases: set[str] = set()
    for place, line in numbered_lines(path):
        fields = line.split()
        width = width or len(fields)
        if width not in PROTOCOLS:
            known = ", ".join(str(count) for count in PROTOCOLS)
            raise InputError(
                f"{place}: {width} columns are no protocol with labels; there are those of {known} columns"
            )
        if len(fields) != width:
            raise InputError(f"{place}: {len(fields)} columns where the first line has {width}")
        # Everything but the id repeats in many rows; one object each keeps large protocols small.
        trial = {
            column: cell if column == "id" else sys.intern(cell)
            for column, cell in zip(PROTOCOLS[width], fields, strict=True)
        }
        if trial["label"] not in LABELS:
            raise InputError(f"{place}: label {trial['label']!r} is neither bonafide nor spoof")
        phases.add(trial.get("phase", phase))
        if phase in ("all", trial.get("phase", phase)):
            yield place, _clip(trial, split, path, sounds), _further(trial)
    if phase != "all" and phase not in phases:
        raise InputError(f"{path}: there is no phase {phase!r}; there are {', '.join(sorted(phases))}")


def _clip(trial: Mapping[str, str], split: str, path: Path, sounds: Mapping[str, Path]) -> Clip:
    audio = sounds.get(trial["id"], path.parent / f"{trial['id']}.flac")
    is_real = trial["label"] == "bonafide"
    style = "bonafide" if is_real else _attack(trial) or "spoof"
    return Clip(trial["id"], trial["speaker"], audio=str(audio), style=style, split=split)


def _attack(trial: Mapping[str, str]) -> str | None:
    name = trial.get("attack", "-")
    return None if trial["label"] == "bonafide" or name in EMPTY else name


def _further(trial: Mapping[str, str]) -> list[str | None]:
    values = [None if trial.get(column) in (None, "-") else trial[column] for column in FURTHER]
    return [trial["label"], _attack(trial), *values[1:]]
