"""``forensics.html``: a detection run on one page that opens from disk without a network.

Everything in it is made from ``run.json``, ``trials.parquet`` and the recordings of the worst trials, and can
be made again. Figures are those of :mod:`doppelbench.detectors.evaluation`; nothing is computed here.
"""

import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from doppelbench.benchmark.forensic_media import Players
from doppelbench.benchmark.forensic_plots import calibration_plot, det_plot, plotting, score_plot, styles
from doppelbench.benchmark.forensic_tables import (
    SHOWN_FOLDS,
    DetectorRow,
    ProtocolTables,
    detector_rows,
    fold_means,
    matrix_tables,
    protocol_tables,
    seen_table,
    speaker_table,
    variant_table,
    worst_trials,
)
from doppelbench.benchmark.forensic_trials import DetectionRun, read_detection_run
from doppelbench.metrics.detection_costs import DcfCosts
from doppelbench.metrics.detection_intervals import DRAWS

PAGE = "forensics.html"
TEMPLATE = "forensics.html.j2"
WORST = 6
SHOWN_FINDINGS = 100
# More notes than these are folded away, warnings never.
OPEN_NOTES = 4
AS_TRAINED = "as trained"
SHOWN_FAILURES = 50
# Equal error rate from which on a cell of the matrix has the darkest shade.
DARKEST = 0.5
LIGHT, DARK = (255, 255, 255), (8, 48, 107)
FEATURE_NAMES = {
    "level": "loudness",
    "duration": "duration",
    "leading_silence": "silence before the first sound",
    "trailing_silence": "silence after the last sound",
    "bandwidth": "bandwidth",
    "dc_offset": "a constant offset of the samples",
    "clipped": "the number of clipped samples",
}


def write_forensic_page(folder: Path, *, draws: int = DRAWS) -> Path:
    """Write ``forensics.html`` into the folder of a detection run.

    Args:
        folder: the run folder, with ``run.json`` and ``trials.parquet``.
        draws: resamples of every interval.

    Returns:
        Path of the page. Previews of recordings that lie elsewhere are in ``forensics/`` beside it.

    Raises:
        InputError: a file is missing, damaged or not of a detection run.
    """
    from jinja2 import Environment, StrictUndefined

    from doppelbench.engine.files import write_bytes

    run = read_detection_run(Path(folder))
    detectors = detector_rows(run)
    protocols = [protocol_tables(run, name, detectors, draws=draws) for name in run.protocols]
    players = Players(run.folder)
    failed = run.trials[(run.trials["status"] != "ok") & (run.trials["part"] == "test")]
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template.filters |= {
        "percent": percent,
        "number": number,
        "points": points,
        "shade": shade,
        "listed": listed,
    }
    page = template.from_string(
        resources.files("doppelbench.benchmark").joinpath(TEMPLATE).read_text(encoding="utf-8")
    ).render(
        record=run.record,
        detectors=detectors,
        shortcuts=shortcuts(run.record["audit"]),
        findings=findings(run.record["findings"], protocols)[:SHOWN_FINDINGS],
        open_notes=OPEN_NOTES,
        feature_name=feature_name,
        protocols=[_protocol(run, tables, players, detectors, draws) for tables in protocols],
        costs=DcfCosts(),
        failures=failed.head(SHOWN_FAILURES).to_dict("records"),
        n_failures=len(failed),
        command=_command(run.record.get("command")),
        draws=draws,
        darkest=DARKEST,
        shown_folds=SHOWN_FOLDS,
    )
    write_bytes(run.folder / PAGE, page.encode("utf-8", errors="replace"))
    players.remove_others()
    return run.folder / PAGE


def percent(value: float | None, digits: int = 2) -> str:
    """A share as a percentage without its sign; a dash for none."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with fixed digits; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign; a dash for none."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def shade(rate: float | None) -> str:
    """Colours of a cell, darker towards chance: one hue, so that the order shows without colour vision."""
    if rate is None:
        return "background:#fff;color:#1b1f24"
    share = min(max(rate / DARKEST, 0.0), 1.0)
    mixed = [round(a + (b - a) * share) for a, b in zip(LIGHT, DARK, strict=True)]
    # Between black and white text, both have a contrast of 4.5 to 1 here.
    text = "#fff" if share > 0.65 else "#000"
    return f"background:#{''.join(f'{part:02x}' for part in mixed)};color:{text}"


def shortcuts(audit: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the audit flagged, by names for people.

    Returns:
        ``told``: features flagged at any stage over all generators; ``removed``: those of them that are clear
        in what the detectors were given; ``single``: for single generators, features that are not among them.
    """
    whole = [row for row in audit if not row.get("attack")]
    trained = {row["feature"]: row["flagged"] for row in whole if row.get("stage") == AS_TRAINED}
    told = {row["feature"]: feature_name(row["feature"]) for row in whole if row["flagged"]}
    single: dict[str, list[str]] = {}
    for row in audit:
        if row.get("attack") and row["flagged"] and row["feature"] not in told:
            names = single.setdefault(str(row["attack"]), [])
            names += [name for name in [feature_name(row["feature"])] if name not in names]
    return {
        "told": list(told.values()),
        "removed": [name for feature, name in told.items() if trained.get(feature) is False],
        "single": single,
    }


def feature_name(feature: Any) -> str:
    """A feature for people."""
    return FEATURE_NAMES.get(feature, str(feature).replace("_", " "))


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def findings(told: Sequence[Mapping[str, Any]], protocols: Sequence[ProtocolTables]) -> list[dict[str, str]]:
    """What the run and the evaluations found, warnings first."""
    found = [
        {
            "severity": str(entry.get("severity") or "note"),
            "where": str(entry.get("where") or ""),
            "message": str(entry["message"]),
        }
        for entry in told
    ]
    # A run may hold what its own evaluation found.
    messages = {entry["message"] for entry in found}
    for tables in protocols:
        for one in tables.slices.values():
            where = " ".join(filter(None, (one.protocol, one.fold, one.detector)))
            found += [
                {"severity": entry.severity, "where": where, "message": entry.message}
                for entry in one.findings
                if entry.message not in messages
            ]
    unique = {(entry["where"], entry["message"]): entry for entry in found}
    return sorted(unique.values(), key=lambda entry: entry["severity"] == "note")


def _protocol(
    run: DetectionRun,
    tables: ProtocolTables,
    players: Players,
    detectors: Sequence[DetectorRow],
    draws: int,
) -> dict[str, Any]:
    """Everything of one protocol as the template wants it."""
    looks = styles(detectors)
    held = tables.of_fold(tables.principal)
    with plotting():
        plots = {
            "det": det_plot(
                [(fold or tables.name, tables.of_fold(fold)) for fold in tables.folds[:SHOWN_FOLDS]],
                looks,
            ),
            "scores": score_plot(held),
            "calibration": calibration_plot(held, looks),
        }
    worst: dict[str, Any] = {}
    if tables.best is not None and (tables.principal, tables.best) in tables.slices:
        chosen = worst_trials(tables.slices[tables.principal, tables.best], WORST)
        worst = {
            kind: [{"trial": trial, "player": players.player(trial)} for trial in trials]
            for kind, trials in chosen.items()
        }
    return {
        "tables": tables,
        "title": lambda fold: fold_title(tables, fold),
        "counts": run.record["protocols"].get(tables.name, {}).get("counts", []),
        "notes": run.record["protocols"].get(tables.name, {}).get("notes", []),
        "means": fold_means(tables),
        "plots": plots,
        "det_text": _det_text(tables),
        "matrices": matrix_tables(tables),
        "speakers": speaker_table(tables),
        "seen": seen_table(tables, draws=draws),
        "variants": variant_table(run, tables, draws=draws),
        "worst": worst,
    }


def _command(told: Any) -> str:
    return shlex.join(map(str, told)) if isinstance(told, list) else str(told or "")


def fold_title(tables: ProtocolTables, fold: str) -> str:
    """A fold for people: the protocol alone where there is one fold."""
    if len(tables.folds) == 1 and not fold:
        return tables.name
    return f"{tables.name}: {fold or 'all'}"


def _det_text(tables: ProtocolTables) -> str:
    """What the curves show, for people who do not see them."""
    told = [
        f"{row.name} {percent(one.eer)} %"
        for row, one in tables.of_fold(tables.principal)
        if one.eer is not None
    ]
    return f"Points of equal error of {fold_title(tables, tables.principal)}: {', '.join(told)}"
