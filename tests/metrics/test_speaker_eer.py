import csv
import gzip

import numpy as np
import pytest

from doppelbench.metrics.speaker_eer import speaker_eer


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.9, 0.8], 1.0),
        ([0.5], [0.5], 0.5),
        ([0.3, 0.7], [0.3, 0.7], 0.5),
        # One of four misses against one of four false alarms.
        ([0.4, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.5], 0.25),
        # No threshold makes them equal: (miss 0, alarm 1/2) and (miss 1/3, alarm 0) have 1/5 between them.
        ([0.5, 0.8, 0.9], [0.1, 0.5], 0.2),
    ],
)
def test_small_cases_by_hand(target, nontarget, expected):
    assert speaker_eer(target, nontarget) == pytest.approx(expected)


@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("seed", range(5))
def test_rate_is_where_the_curve_of_scikit_learn_crosses(seed, decimals):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    target = np.round(generator.normal(0.7, 0.1, 37), decimals)
    nontarget = np.round(generator.normal(0.55 + 0.02 * seed, 0.1, 53), decimals)
    alarms, hits, _ = metrics.roc_curve(
        np.repeat([1, 0], [37, 53]), np.concatenate([target, nontarget]), drop_intermediate=False
    )
    rate = np.linspace(0, 1, 200001)
    gap = np.interp(rate, alarms, 1 - hits) - rate
    assert speaker_eer(target, nontarget) == pytest.approx(rate[np.argmax(gap <= 0)], abs=1e-5)


def test_rate_follows_neither_order_nor_scale():
    generator = np.random.default_rng(0)
    target, nontarget = generator.normal(1, 1, 40), generator.normal(0, 1, 60)
    rate = speaker_eer(target, nontarget)
    assert speaker_eer(target[::-1], generator.permutation(nontarget)) == rate
    assert speaker_eer(np.exp(target), np.exp(nontarget)) == rate
    assert speaker_eer(-nontarget, -target) == pytest.approx(rate)


def test_unequal_numbers_of_trials_do_not_matter():
    target, nontarget = [0.4, 0.6, 0.8], [0.1, 0.5]
    assert speaker_eer(target * 7, nontarget) == speaker_eer(target, nontarget * 3)


@pytest.mark.parametrize(("target", "nontarget"), [([], [0.1]), ([0.1], []), ([float("nan")], [0.1])])
def test_scores_that_say_nothing_are_refused(target, nontarget):
    with pytest.raises(ValueError, match="target scores must be"):
        speaker_eer(target, nontarget)


@pytest.mark.realdata
def test_rates_of_a_published_speaker_verification_system(realdata):
    with (realdata / "EXPECTED.csv").open(encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["metric"] == "ASV EER %" and ".trl.scores." in row["ref_file"]
        ]
    assert len(rows) == 2
    for row in rows:
        scores = {"target": [], "nontarget": []}
        with gzip.open(realdata / row["ref_file"], "rt") as file:
            for line in file:
                *_, kind, score = line.split()
                if kind in scores:
                    scores[kind].append(float(score))
        rate = 100 * speaker_eer(scores["target"], scores["nontarget"])
        assert rate == pytest.approx(float(row["expected"]), abs=float(row["tolerance"]))
