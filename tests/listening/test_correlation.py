"""Metrics against votes: scipy's correlations, honesty about few systems, and refusal of damaged rows."""

import numpy as np
import pytest
from scipy import stats

from doppelbench.corpora.errors import InputError
from doppelbench.listening.correlation import correlations, objective_scores
from doppelbench.listening.opinion_scores import Ballot


def study(systems: int, trials: int, *, sign: float = 1.0) -> tuple[list[Ballot], list[dict[str, object]]]:
    generator = np.random.default_rng(0)
    quality = generator.uniform(1.5, 4.5, (systems, trials))
    ballots = [
        Ballot(
            f"r{rater}",
            f"t{trial}",
            f"s{system}",
            "naturalness",
            float(np.clip(round(quality[system, trial] + generator.normal(0, 0.5)), 1, 5)),
        )
        for system in range(systems)
        for trial in range(trials)
        for rater in range(4)
    ]
    rows = [
        {
            "system": f"s{system}",
            "trial": f"t{trial}",
            "metric": "dnsmos",
            "value": sign * quality[system, trial] + generator.normal(0, 0.3),
        }
        for system in range(systems)
        for trial in range(trials)
    ]
    return ballots, rows


def means(ballots: list[Ballot]) -> dict[tuple[str, str], float]:
    places = {(ballot.system, str(ballot.item)) for ballot in ballots}
    return {
        place: float(np.mean([b.value for b in ballots if (b.system, b.item) == place])) for place in places
    }


def test_both_levels_are_scipys_correlations() -> None:
    ballots, rows = study(6, 12)
    systems, items = correlations(ballots, objective_scores(rows), ["naturalness"], draws=200)
    heard = means(ballots)
    measured = {(row["system"], row["trial"]): row["value"] for row in rows}
    places = sorted(heard)
    x, y = [measured[place] for place in places], [heard[place] for place in places]
    assert (items.n, items.over) == (72, "items")
    assert items.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert items.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    names = sorted({system for system, _ in places})
    x, y = (
        [np.mean([side[p] for p in places if p[0] == name]) for name in names] for side in (measured, heard)
    )
    assert (systems.n, systems.over) == (6, "systems")
    fit = stats.pearsonr(x, y)
    assert systems.pearson.value == pytest.approx(fit.statistic)
    interval = fit.confidence_interval()
    assert (systems.pearson.low, systems.pearson.high) == pytest.approx((interval.low, interval.high))
    assert systems.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert items.pearson.low is not None
    assert items.pearson.low < (items.pearson.value or 0) < (items.pearson.high or 0)


def test_few_systems_have_no_interval_and_say_so() -> None:
    ballots, rows = study(4, 12)
    systems, items = correlations(ballots, objective_scores(rows), ["naturalness"], draws=50)
    assert systems.note == "too few systems: 4, 5 asked for an interval"
    assert systems.pearson.low is None
    assert systems.pearson.value is not None
    assert items.note == ""
    ballots, rows = study(6, 5)
    assert "too few trials: 5" in correlations(ballots, objective_scores(rows), ["naturalness"])[1].note


def test_a_metric_that_falls_with_quality_correlates_negatively() -> None:
    ballots, rows = study(6, 12, sign=-1.0)
    assert all(
        (entry.pearson.value or 0) < -0.5
        for entry in correlations(ballots, objective_scores(rows), ["naturalness"], draws=20)
        if entry.over == "items"
    )


def test_only_outputs_with_both_count_and_a_constant_metric_has_no_correlation() -> None:
    ballots, rows = study(6, 12)
    for row in rows:
        row["value"] = 2.0
    rows[0]["value"] = None
    rows.append({"system": "s0", "trial": "t99", "metric": "dnsmos", "value": 1.0})
    systems, items = correlations(ballots, objective_scores(rows), ["naturalness", "similarity"], draws=20)
    assert items.n == 71
    assert items.pearson.value is None
    assert systems.spearman.value is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"system": "a", "trial": "t", "value": 1}, "objective score 2: cannot be read"),
        ({"system": "a", "trial": "t", "metric": "m", "value": "good"}, "objective score 2: cannot be read"),
        ({"system": "a", "trial": "t", "metric": "m", "value": 2}, "m of a on t stands there twice"),
    ],
)
def test_damaged_rows_are_refused(row: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        objective_scores([{"system": "a", "trial": "t", "metric": "m", "value": 1}, row])
    assert message in str(caught.value)
