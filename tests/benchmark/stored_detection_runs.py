"""Detection runs as their contract lays them out: two protocols, three detectors, media files of 0.2 s."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from doppelbench.corpora.media import Audio, write_audio

DETECTORS = {"serra-statistics": 3.0, "lfcc-gmm": 1.2, "loudness-only": 0.3}
ATTACKS = ("autovc", "exemplar", "copy-synthesis")
SPEAKERS = ("ana", "ben", "cleo", "dora")
SEEN = ("ana", "ben")
FOLDS = {"speaker-agnostic": ("",), "matrix": ("autovc", "all", "without autovc")}
DEGRADED = "mp3:bitrate=32k"

Change = Callable[[list[dict[str, Any]]], object]


def audit_row(feature: str, *, flagged: bool, stage: str = "raw") -> dict[str, Any]:
    """A row of the shortcut audit."""
    return {
        "feature": feature,
        "stage": stage,
        "bonafide": 40,
        "spoof": 60,
        "bonafide_median": -26.0,
        "spoof_median": -30.25,
        "auc": 0.93 if flagged else 0.51,
        "low": 0.9 if flagged else 0.45,
        "high": 0.96 if flagged else 0.58,
        "flagged": flagged,
        "reason": None,
    }


def seen_attacks(fold: str) -> set[str]:
    """What a fold trained on."""
    if fold == "autovc":
        return {"autovc"}
    return {"exemplar"} if fold == "without autovc" else {"autovc", "exemplar"}


def trial_rows(folder: Path, each: int = 6) -> list[dict[str, Any]]:
    """Rows of every protocol, fold, detector and variant; recordings lie in the run folder, but one attack's
    beside it."""
    generator = np.random.default_rng(5)
    rows = []
    for protocol, folds in FOLDS.items():
        for fold in folds:
            for detector, apart in DETECTORS.items():
                for variant in ("plain", DEGRADED) if protocol == "speaker-agnostic" else ("plain",):
                    for part in ("development", "test") if variant == "plain" else ("test",):
                        rows += _block(
                            folder,
                            generator,
                            {"protocol": protocol, "fold": fold, "detector": detector},
                            variant=variant,
                            part=part,
                            apart=apart if variant == "plain" else apart / 2,
                            each=each,
                        )
    return rows


def _block(
    folder: Path,
    generator: np.random.Generator,
    names: Mapping[str, str],
    *,
    variant: str,
    part: str,
    apart: float,
    each: int,
) -> list[dict[str, Any]]:
    seen, rows = seen_attacks(names["fold"]), []
    for attack in ("", *ATTACKS):
        for speaker in SPEAKERS:
            for number in range(each):
                clip = f"{speaker}-{part[:3]}{number}"
                score = float(generator.normal() + (apart if not attack else 0.0))
                rows.append(
                    {
                        **names,
                        "variant": variant,
                        "id": clip,
                        "part": part,
                        "bonafide": not attack,
                        "attack": attack,
                        "control": attack == "copy-synthesis",
                        "attack_seen": attack in seen if attack else None,
                        "speaker": speaker,
                        "speaker_seen": speaker in SEEN,
                        "source_speaker": "zoë" if attack else None,
                        "style": None,
                        "path": _place(folder, attack, clip),
                        "score": score,
                        # A monotone map, as a calibration is.
                        "llr": 1.3 * score - 0.9,
                        "status": "ok",
                        "reason": "",
                    }
                )
    return rows


def _place(folder: Path, attack: str, clip: str) -> str:
    if attack == "exemplar":
        return str(folder.parent / "elsewhere" / f"{clip}.flac")
    return f"outputs/{attack or 'natural'}/{clip}.flac"


def write_recordings(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write what the rows point at: 0.2 s each."""
    time = np.arange(1600) / 8000
    for number, path in enumerate(sorted({row["path"] for row in rows})):
        tone = 0.1 * np.sin(2 * np.pi * (200 + 5 * number) * time)
        write_audio(folder / path, Audio(tone.astype(np.float32), 8000))


def write_detection_run(
    folder: Path,
    *,
    change: Change | None = None,
    flagged: tuple[str, ...] = (),
    each: int = 6,
    media: bool = True,
    **record: Any,
) -> Path:
    """Write a detection run.

    Args:
        folder: where.
        change: what to do to the rows before they are written.
        flagged: features that the audit flags.
        each: clips of each speaker and attack.
        media: whether to write the recordings.
        record: parts of ``run.json`` instead of the usual ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = trial_rows(folder, each)
    if media:
        write_recordings(folder, rows)
    # One recording that a detector could not judge.
    broken = next(row for row in rows if row["part"] == "test" and not row["bonafide"])
    broken |= {"score": None, "llr": None, "status": "too_short", "reason": "0.05 s are too short"}
    if change is not None:
        change(rows)
    pd.DataFrame(rows).to_parquet(folder / "trials.parquet")
    held = {
        "schema": 1,
        "track": "detection",
        "name": "small detection",
        "command": "doppelbench detect matrix small.yaml",
        "config": {"name": "small"},
        "seeds": {"training": 0},
        "environment": {"python": "3.11"},
        "corpus": {"label": "tones", "hash": "c0ffee"},
        "sources": [{"run": "clones", "track": "voice-conversion", "hash": "0123456789abcdef0123"}],
        "protocols": {
            protocol: {
                "folds": list(folds),
                "counts": [
                    {"fold": fold, "part": "test", "bonafide": 4 * each, "spoof": 12 * each, "speakers": 4}
                    for fold in folds
                ],
            }
            for protocol, folds in FOLDS.items()
        },
        "audit": [
            audit_row(feature, flagged=feature in flagged)
            for feature in ("level", "duration", "leading_silence", "bandwidth")
        ],
        "findings": [{"severity": "warning", "where": "matrix", "message": "One clip was left out."}],
        "detectors": {
            name: {"title": f"{name} for a test", "trivial": name.endswith("-only")} for name in DETECTORS
        },
        "stages": {"train": {"seconds": 12.5, "peak_memory": 1000}},
        **record,
    }
    (folder / "run.json").write_text(json.dumps(held), encoding="utf-8")
    return folder
