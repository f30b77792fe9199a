"""A pytest plugin: metrics against a stored baseline, and the contracts on one's own metric, system or
detector.

pytest finds it by itself where doppelbench is installed. It imports nothing of the suite until it is used.

``doppelbench_baseline`` is a fixture. The first run with ``--doppelbench-update`` stores the items; later
runs fail when the figure is worse by more than the tolerance and the paired difference is significant::

    def test_vocoder_is_as_good_as_ever(doppelbench_baseline):
        doppelbench_baseline("vocoder", "estoi", {"a": ("out/a.wav", "ref/a.wav"), ...}, tolerance=0.01)

``doppelbench_metric``, ``doppelbench_system`` and ``doppelbench_detector`` are marks. The test is run once
for each check of the contract, and calls it::

    @pytest.mark.doppelbench_metric(lambda: MyMetric())
    def test_my_metric_keeps_the_contract(doppelbench_check):
        doppelbench_check()
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

FOLDER = "doppelbench_baselines"
FIXTURE = "doppelbench_check"
KINDS = ("metric", "system", "detector")
SCHEMA = 1
Pair = tuple[str | Path, str | Path | None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--doppelbench-update``."""
    parser.getgroup("doppelbench").addoption(
        "--doppelbench-update", action="store_true", help="store what is measured now as the baseline"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Explain the marks."""
    for kind in KINDS:
        config.addinivalue_line(
            "markers", f"doppelbench_{kind}(make): run the contract of a {kind} on what make() returns"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test once for each check."""
    if FIXTURE not in metafunc.fixturenames:
        return
    for kind in KINDS:
        mark = metafunc.definition.get_closest_marker(f"doppelbench_{kind}")
        if mark is not None:
            checks = _checks(kind)
            cases = [(kind, name, mark.args[0]) for name in checks]
            metafunc.parametrize(FIXTURE, cases, indirect=True, ids=list(checks))
            return
    raise pytest.UsageError(
        f"{metafunc.definition.nodeid}: {FIXTURE} needs the mark doppelbench_metric, doppelbench_system or "
        "doppelbench_detector"
    )


def _checks(kind: str) -> Mapping[str, Callable[..., None]]:
    if kind == "metric":
        from doppelbench.metrics.contract import CHECKS as OF_METRICS

        return OF_METRICS
    if kind == "detector":
        from doppelbench.detectors.contract import CHECKS as OF_DETECTORS

        return OF_DETECTORS
    from doppelbench.baselines.contract import CHECKS as OF_SYSTEMS

    return OF_SYSTEMS


@pytest.fixture
def doppelbench_check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], None]:
    """One check of the contract, ready to be called."""
    kind, name, make = request.param
    check = _checks(kind)[name]
    if kind == "metric":
        return lambda: check(make)
    if kind == "detector":
        from doppelbench.detectors.contract import make_material as material_of_detectors

        return lambda: check(make, material_of_detectors(tmp_path))
    from doppelbench.baselines.contract import make_material

    return lambda: check(make, make_material(tmp_path))


@pytest.fixture
def doppelbench_baseline(request: pytest.FixtureRequest) -> "Baseline":
    """Compare items with those stored beside the test; see :class:`Baseline`."""
    return Baseline(request.path.parent / FOLDER, bool(request.config.getoption("--doppelbench-update")))


class Baseline:
    """Scores files and holds them against what was stored."""

    def __init__(self, folder: Path, update: bool) -> None:
        """Take the folder of stored items, and whether to replace them."""
        self.folder = folder
        self.update = update

    def __call__(
        self,
        name: str,
        metric: str,
        pairs: Mapping[str, Pair],
        *,
        tolerance: float = 0.0,
        significance: float | None = 0.05,
        text: Mapping[str, str] | None = None,
    ) -> Any:
        """Score outputs and fail the test when they are worse than the baseline.

        Args:
            name: of the baseline; its file is ``doppelbench_baselines/<name>.json`` beside the test.
            metric: ``name`` or ``name:option=value,...``.
            pairs: for each item the output and its reference (or None).
            tolerance: how much worse the figure may be, in its unit.
            significance: level of the paired test; None fails whatever the chance of it.
            text: words by item, for metrics that need them.

        Returns:
            The :class:`~doppelbench.metrics.metric.Figure` with its interval.
        """
        from doppelbench.engine.files import write_json
        from doppelbench.metrics.registry import metric_from_string

        scorer = metric_from_string(metric)
        items = {key: _score(scorer, key, pair, (text or {}).get(key)) for key, pair in pairs.items()}
        figure = scorer.reduce(list(items.values()))
        path = self.folder / f"{name}.json"
        measured = {
            "schema": SCHEMA,
            "metric": metric,
            "signature": scorer.signature,
            "figure": {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n},
            "items": {key: scorer.paired_terms(item) for key, item in sorted(items.items())},
        }
        if self.update:
            write_json(path, measured)
            return figure
        failed = {key: f"{item.status}: {item.reason}" for key, item in items.items() if item.value is None}
        reasons = _worse(path, measured, scorer.spec, tolerance, significance, failed)
        assert not reasons, f"{name}: {'; '.join(reasons)}"
        return figure


def _score(scorer: Any, key: str, pair: Pair, words: str | None) -> Any:
    from doppelbench.benchmark.work import score_media
    from doppelbench.corpora.clip import Clip

    out, natural = pair
    ref = None if natural is None else {"path": str(natural), "start": None, "end": None}
    return score_media(scorer, out=out, ref=ref, clip=Clip(key, "", text=words))


def _worse(
    path: Path,
    measured: Mapping[str, Any],
    spec: Any,
    tolerance: float,
    significance: float | None,
    failed: Mapping[str, str],
) -> list[str]:
    """Say in sentences what is worse than the baseline."""
    import numpy as np

    from doppelbench.metrics.statistics import paired_difference

    if not path.is_file():
        return [f"{path} is not there; make it with pytest --doppelbench-update and commit it"]
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.get("schema") != SCHEMA:
        return [f"{path} has the schema {stored.get('schema')}; make it anew with --doppelbench-update"]
    if stored["signature"] != measured["signature"]:
        return [f"the metric has changed: {stored['signature']} there, {measured['signature']} now"]
    before, now = stored["items"], measured["items"]
    reasons = [f"{key} was scored before and is not now" for key in sorted(set(before) - set(now))]
    reasons += [f"{key}: {reason}" for key, reason in failed.items() if before.get(key) is not None]
    common = [key for key in before if before[key] is not None and now.get(key) is not None]
    if not common:
        return [*reasons, "no item is scored on both sides"]
    terms = [np.array([side[key] for key in common], np.float64) for side in (before, now)]
    found = paired_difference(terms[0], terms[1])
    if found.difference is None:
        return reasons
    worse = -found.difference if spec.direction == "higher" else found.difference
    certain = significance is None or (found.p is not None and found.p < significance)
    if worse > tolerance and certain:
        interval = "" if found.low is None else f" [{found.low:.4g}, {found.high:.4g}]"
        p = "" if found.p is None else f", p = {found.p:.3g}"
        reasons.append(
            f"{measured['metric']} went from {found.first:.4g} to {found.second:.4g} {spec.unit}".rstrip()
            + f", a difference of {found.difference:+.4g}{interval} on {found.n} items{p}; "
            f"{tolerance:g} is allowed"
        )
    return reasons
