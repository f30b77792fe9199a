"""Evaluate the scores of detectors, and audit what they learn from, on files that people bring."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.pairs import MEDIA_SUFFIXES
from doppelbench.benchmark.progress import say
from doppelbench.corpora.errors import InputError, MediaError

if TYPE_CHECKING:
    from doppelbench.detectors.evaluation_rows import Evaluation
    from doppelbench.detectors.shortcut_features import ShortcutResult


def evaluate_files(
    protocol: Path,
    scores: Path | None,
    *,
    higher_is_bonafide: bool = True,
    score_kind: str | None = None,
    phase: str | None = None,
    development: Path | None = None,
    development_scores: Path | None = None,
    asv_scores: Path | None = None,
    intervals: Sequence[str] = ("pooled",),
    allow_missing: bool = False,
) -> "Evaluation":
    """Evaluate a protocol with its scores; see :func:`doppelbench.detectors.evaluation.evaluate`.

    Raises:
        InputError: a file cannot be used, or the files do not fit together.
        ConfigError: scores of a development set without its protocol.
    """
    from doppelbench.detectors.evaluation import evaluate
    from doppelbench.detectors.trial_files import read_asv_scores, read_trials
    from doppelbench.metrics.tandem_costs import asv_rates

    if development is None and development_scores is not None:
        raise ConfigError("--development-scores needs --development, the protocol of that set")
    trials = read_trials(
        protocol,
        scores,
        higher_is_bonafide=higher_is_bonafide,
        phase=phase,
        allow_missing=allow_missing,
    )
    other = None
    if development is not None:
        other = read_trials(development, development_scores, higher_is_bonafide=higher_is_bonafide)
    rates, by_attack = None, None
    if asv_scores is not None:
        found = read_asv_scores(asv_scores)
        rates = asv_rates(found.target, found.nontarget, found.spoof)
        by_attack = {
            str(attack): asv_rates(found.target, found.nontarget, found.spoof[found.attacks == attack])
            for attack in sorted(set(found.attacks))
        }
    kind: Any = score_kind
    return evaluate(
        trials,
        score_kind=kind,
        development=other,
        asv=rates,
        asv_by_attack=by_attack,
        intervals=tuple(intervals),
    )


def audit_folders(bonafide: Path, spoof: Path) -> "list[ShortcutResult]":
    """Measure two folders and judge them by each feature alone; files that cannot be read are named.

    Raises:
        InputError: a folder without a recording that can be read.
    """
    from doppelbench.detectors.shortcut_features import audit

    return audit(_measured(bonafide), _measured(spoof))


def _measured(folder: Path) -> list[dict[str, float | None]]:
    from doppelbench.detectors.shortcut_features import measure_file

    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    measured = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in MEDIA_SUFFIXES:
            continue
        try:
            measured.append(measure_file(path))
        except MediaError as error:
            say(f"{path} is left out: {error.reason}")
    if not measured:
        raise InputError(f"{folder}: holds no recording that can be read")
    return measured


def audit_rows(results: "Sequence[ShortcutResult]") -> list[dict[str, Any]]:
    """Rows of a table, one a feature."""
    return [
        {
            "feature": result.feature,
            "bonafide": result.bonafide,
            "spoof": result.spoof,
            "bonafide_median": result.bonafide_median,
            "spoof_median": result.spoof_median,
            "auc": result.auc,
            "low": result.low,
            "high": result.high,
            "flagged": result.flagged,
            "reason": result.reason,
        }
        for result in results
    ]
