"""What an evaluation of scored trials gives: rows of figures, findings, and their flat and JSON forms."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from doppelbench.metrics.detection_accuracy import Accuracy


@dataclass(frozen=True, slots=True)
class DetectionFigure:
    """A figure with its intervals by trial and by speaker.

    Attributes:
        value: None where the data do not define it.
        low: lower bound when trials are resampled; None where no interval was asked for or defined.
        high: upper bound.
        speaker_low: lower bound when whole speakers are resampled.
        speaker_high: upper bound.
        reason: why there is no value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    speaker_low: float | None = None
    speaker_high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """Figures of one group of trials.

    Attributes:
        group: ``pooled``, ``attack``, ``speaker`` or ``codec``.
        name: which attack, speaker or codec; empty when pooled.
        bonafide: bona fide trials; those of all attacks together in the row of an attack.
        spoof: spoofed trials.
        speakers: speakers among them, None where they are not known.
        figures: by name.
        accuracies: at the thresholds asked for.
    """

    group: str
    name: str
    bonafide: int
    spoof: int
    speakers: int | None
    figures: Mapping[str, DetectionFigure]
    accuracies: tuple[Accuracy, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reader of the figures must know.

    Attributes:
        code: ``reversed``, ``hard_decisions``, ``one_class``, ``rules_differ``, ``no_errors``,
            ``kind_undeclared``, ``not_ratios`` or ``reading``.
        severity: ``warning`` when figures may not mean what they seem to, else ``note``.
        message: one sentence.
        group: the group it is about, as ``pooled`` or ``attack A07``.
    """

    code: str
    severity: Literal["warning", "note"]
    message: str
    group: str = "pooled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that was computed from one set of scored trials.

    Attributes:
        rows: pooled first, then by attack, speaker and codec in the order of their names.
        findings: what a reader must know.
        summary: ``macro_eer`` (mean over attacks), ``worst_attack`` and ``worst_eer``, by the ``asvspoof``
            rule, where there are attacks.
        roc: false alarm and hit rates of the pooled curve, as many points as were asked for.
        settings: everything the figures depend on besides the trials.
    """

    rows: tuple[EvaluationRow, ...]
    findings: tuple[Finding, ...]
    summary: Mapping[str, float | str]
    roc: tuple[tuple[float, float], ...]
    settings: Mapping[str, Any]

    @property
    def pooled(self) -> EvaluationRow:
        """The row of all trials."""
        return self.rows[0]

    def as_rows(self) -> list[dict[str, Any]]:
        """One flat row for each group, for tables: counts, then value and bounds of every figure.

        A figure that a row does not have is None.
        """
        rows = [_flat(row) for row in self.rows]
        columns = dict.fromkeys(name for row in rows for name in row)
        return [{**columns, **row} for row in rows]

    def as_json(self) -> dict[str, Any]:
        """Everything in types of JSON; no number in it is NaN or infinite."""
        return {
            "schema": 1,
            "settings": dict(self.settings),
            "summary": dict(self.summary),
            "findings": [asdict(finding) for finding in self.findings],
            "rows": [
                {
                    **{key: getattr(row, key) for key in ("group", "name", "bonafide", "spoof", "speakers")},
                    "figures": {name: asdict(figure) for name, figure in row.figures.items()},
                    "accuracies": [asdict(accuracy) for accuracy in row.accuracies],
                }
                for row in self.rows
            ],
            "roc": [list(point) for point in self.roc],
        }


def _flat(row: EvaluationRow) -> dict[str, Any]:
    flat: dict[str, Any] = {
        key: getattr(row, key) for key in ("group", "name", "bonafide", "spoof", "speakers")
    }
    for name, figure in row.figures.items():
        flat[name] = figure.value
        for bound in ("low", "high", "speaker_low", "speaker_high"):
            flat[f"{name}_{bound}"] = getattr(figure, bound)
    for accuracy in row.accuracies:
        name = f"accuracy_{accuracy.origin}_{accuracy.threshold:g}"
        flat[name] = accuracy.balanced
        flat[f"{name}_bonafide"] = accuracy.bonafide.value
        flat[f"{name}_spoof"] = accuracy.spoof.value
    return flat
