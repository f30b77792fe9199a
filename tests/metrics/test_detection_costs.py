"""DCF, a-DCF, t-DCF in both versions and t-EER, against hand counts and published score files."""

import csv
import gzip

import numpy as np
import pytest

from doppelbench.metrics.detection import (
    ASVSPOOF5_ADCF,
    ASVSPOOF5_ASV,
    AdcfCosts,
    AsvRates,
    DcfCosts,
    TandemCosts,
    UndefinedError,
    actual_dcf,
    asv_rates,
    cllr,
    equal_error_rate,
    min_adcf,
    min_cllr,
    min_dcf,
    min_tdcf,
    score_curve,
    single_score_rates,
    tandem_eer,
    tandem_floor,
    tandem_terms,
)

SEPARATED = ([3.0, 4.0], [1.0, 2.0])


def normal_scores(seed, *counts_and_means):
    generator = np.random.default_rng(seed)
    return [generator.normal(mean, 1.0, count) for count, mean in counts_and_means]


def test_weights_and_threshold_of_asvspoof_5():
    costs = DcfCosts()
    assert costs.weights == pytest.approx((0.95, 0.50))
    assert costs.bayes_threshold == pytest.approx(-0.641854, abs=1e-6)


def test_minimum_cost_by_hand():
    # The best point rejects one of two bona fide (0.95 / 2) or accepts one of two spoofs (0.5 / 2); over 0.5.
    curve = score_curve([2.0, 4.0], [1.0, 3.0])
    assert min_dcf(curve).value == pytest.approx(0.5)
    assert min_dcf(curve).threshold == 2.0
    assert min_dcf(curve, DcfCosts(false_alarm=100.0)).value == pytest.approx(0.5)
    assert min_dcf(score_curve(*SEPARATED)).value == 0.0


def test_actual_cost_of_rejecting_all_exceeds_one_and_of_accepting_all_is_one():
    assert actual_dcf(score_curve([-9.0, -8.0], [-10.0])) == pytest.approx(1.9)
    assert actual_dcf(score_curve([9.0, 8.0], [10.0])) == pytest.approx(1.0)
    assert actual_dcf(score_curve([9.0], [-9.0])) == 0.0


def test_a_score_at_the_bayes_threshold_is_accepted():
    threshold = DcfCosts().bayes_threshold
    assert actual_dcf(score_curve([threshold], [-9.0])) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_minimum_is_not_above_actual_nor_one_and_follows_a_rising_map(seed):
    real, fake = normal_scores(seed, (50, 1.0), (70, 0.0))
    curve = score_curve(real, fake)
    lowest = min_dcf(curve).value
    assert lowest <= min(actual_dcf(curve), 1.0)
    assert min_dcf(score_curve(np.exp(real), np.exp(fake))).value == lowest


@pytest.mark.parametrize("costs", [{"miss": 0.0}, {"spoof_prior": 1.0}, {"false_alarm": -1.0}])
def test_costs_out_of_their_range_are_refused(costs):
    with pytest.raises(ValueError, match="costs must be positive"):
        DcfCosts(**costs)


def test_constants_of_the_tandem_by_hand():
    asv = AsvRates(miss=0.1, false_alarm=0.2, spoof_false_alarm=0.5)
    c0, c1, c2 = tandem_terms(asv)
    assert c0 == pytest.approx(0.9405 * 0.1 + 0.0095 * 10 * 0.2)
    assert c1 == pytest.approx(0.9405 - c0)
    assert c2 == pytest.approx(0.05 * 10 * 0.5)
    curve = score_curve([2.0, 4.0], [1.0, 3.0])
    # C2 is the smaller, and accepting half of the spoofs costs least.
    assert min_tdcf(curve, asv, version="legacy").value == pytest.approx(0.5)
    assert min_tdcf(curve, asv, version="revised").value == pytest.approx((c0 + c2 / 2) / (c0 + c2))


@pytest.mark.parametrize("seed", range(10))
def test_revised_cost_is_the_floor_plus_the_rest_of_the_legacy_cost(seed):
    real, fake = normal_scores(seed, (80, 1.0), (120, 0.0))
    rates = np.random.default_rng(seed).uniform(0.01, 0.4, 3)
    asv = AsvRates(miss=rates[0], false_alarm=rates[1], spoof_false_alarm=rates[2])
    curve = score_curve(real, fake)
    legacy, revised = (min_tdcf(curve, asv, version=version) for version in ("legacy", "revised"))
    floor = tandem_floor(asv)
    assert revised.value == pytest.approx(floor + (1 - floor) * legacy.value, abs=1e-12)
    assert revised.threshold == legacy.threshold
    assert 0 <= legacy.value <= 1


def test_a_perfect_detector_reaches_the_floor():
    curve = score_curve(*SEPARATED)
    assert min_tdcf(curve, ASVSPOOF5_ASV, version="legacy").value == 0.0
    assert min_tdcf(curve, ASVSPOOF5_ASV, version="revised").value == tandem_floor(ASVSPOOF5_ASV) > 0


def test_a_speaker_verification_without_use_is_refused():
    curve = score_curve(*SEPARATED)
    with pytest.raises(ValueError, match="both must be positive"):
        min_tdcf(curve, AsvRates(miss=1.0, false_alarm=0.5, spoof_false_alarm=0.5), version="legacy")
    with pytest.raises(ValueError, match="both must be positive"):
        min_tdcf(curve, AsvRates(miss=0.1, false_alarm=0.1, spoof_false_alarm=0.0), version="legacy")
    with pytest.raises(ValueError, match="no version '2019'"):
        min_tdcf(curve, ASVSPOOF5_ASV, version="2019")
    with pytest.raises(ValueError, match="between 0 and 1"):
        AsvRates(miss=1.2, false_alarm=0.1, spoof_false_alarm=0.1)
    with pytest.raises(ValueError, match="sum to 1"):
        TandemCosts(spoof_prior=0.1)


def test_rates_of_the_speaker_verification_accept_the_threshold_itself():
    found = asv_rates([0.4, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.5], [0.4, 0.0])
    assert found.threshold == 0.4
    assert (found.miss, found.false_alarm, found.spoof_false_alarm) == (0.0, 0.25, 0.5)
    with pytest.raises(UndefinedError, match="no spoofed trials"):
        asv_rates([1.0], [0.0], [])


def test_adcf_by_hand():
    # Accepting all costs 0.05 * 10 + 0.05 * 20 = 1.5, rejecting all 0.9, which is what divides.
    assert min_adcf([1.0], [2.0], [3.0]).value == pytest.approx(1.0)
    assert min_adcf([3.0], [1.0], [2.0]).value == 0.0
    # One of four targets lost, or one of two spoofs accepted: 0.9 / 4 = 0.225 against 1.0 / 2.
    assert min_adcf([1.5, 3.0, 4.0, 5.0], [0.0], [1.0, 2.0]).value == pytest.approx(0.25)
    assert min_adcf([2.0], [1.0], [3.0], ASVSPOOF5_ADCF).value == pytest.approx(0.5 / 0.595)
    with pytest.raises(UndefinedError):
        min_adcf([1.0], [], [0.0])
    with pytest.raises(ValueError, match="sum to 1"):
        AdcfCosts(target_prior=0.5)


def test_tandem_eer_is_zero_for_perfect_systems_and_that_of_the_verification_without_spoof_errors():
    target, nontarget, spoof = normal_scores(0, (2000, 2.0), (2000, 0.0), (2000, 2.0))
    perfect = tandem_eer(
        asv_target=[5.0, 6.0],
        asv_nontarget=[0.0, 1.0],
        asv_spoof=[5.0, 6.0],
        cm_bonafide=[5.0, 6.0],
        cm_spoof=[0.0, 1.0],
    )
    assert perfect.rate == 0.0
    # With a detector of little error what remains is that of the verification between people.
    good = tandem_eer(
        asv_target=target,
        asv_nontarget=nontarget,
        asv_spoof=spoof,
        cm_bonafide=np.linspace(5, 6, 3000),
        cm_spoof=np.linspace(0, 5.01, 3000),
    )
    assert good.rate == pytest.approx(equal_error_rate(score_curve(target, nontarget)).rate, abs=0.01)


def test_at_the_tandem_eer_all_three_errors_are_equal():
    sides = normal_scores(1, (3000, 2.0), (3000, 0.0), (3000, 1.5), (3000, 2.0), (3000, 0.0))
    names = ("asv_target", "asv_nontarget", "asv_spoof", "cm_bonafide", "cm_spoof")
    given = dict(zip(names, sides, strict=True))
    found = tandem_eer(**given)
    accepted = {
        name: (scores >= (found.asv_threshold if name.startswith("asv") else found.cm_threshold)).mean()
        for name, scores in given.items()
    }
    assert 1 - accepted["cm_bonafide"] * accepted["asv_target"] == pytest.approx(found.rate, abs=2e-3)
    assert accepted["cm_bonafide"] * accepted["asv_nontarget"] == pytest.approx(found.rate, abs=2e-3)
    assert accepted["cm_spoof"] * accepted["asv_spoof"] == pytest.approx(found.rate, abs=2e-3)


# Score files that others published, with figures computed beforehand by independent programs.


def lines_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.split() for line in file]


def sides_of(rows, key, score, names):
    return [np.array([float(row[score]) for row in rows if row[key] == name]) for name in names]


def expected_of(realdata, figure, file):
    with (realdata / "EXPECTED.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["metric"] == figure and file in row["ref_file"]]
    assert len(rows) == 1, rows
    return float(rows[0]["expected"]), float(rows[0]["tolerance"])


@pytest.mark.realdata
def test_rates_of_the_organisers_speaker_verification(realdata):
    rows = lines_of(realdata / "d_scores/asvspoof2019_la/ASVspoof2019.LA.asv.eval.gi.trl.scores.txt.gz")
    found = asv_rates(*sides_of(rows, 1, 2, ("target", "nontarget", "spoof")))
    assert found.threshold == -5.680051
    assert found.miss == pytest.approx(0.0245810, abs=5e-8)
    assert found.false_alarm == pytest.approx(0.0246047, abs=5e-8)
    assert found.spoof_false_alarm == pytest.approx(0.7606525, abs=5e-8)
    assert tandem_floor(found) == pytest.approx(0.06273, abs=5e-6)


@pytest.mark.realdata
def test_example_of_the_challenges_toolkit(realdata):
    folder = realdata / "d_scores/asvspoof2019_toolkit_example"
    curve = score_curve(*sides_of(lines_of(folder / "cm_dev.txt.gz"), 2, 3, ("bonafide", "spoof")))
    asv = asv_rates(*sides_of(lines_of(folder / "asv_dev.txt.gz"), 1, 2, ("target", "nontarget", "spoof")))
    value, tolerance = expected_of(realdata, "EER %", "asvspoof2019_toolkit_example/cm_dev")
    assert 100 * equal_error_rate(curve).rate == pytest.approx(value, abs=tolerance)
    value, tolerance = expected_of(realdata, "min t-DCF", "asvspoof2019_toolkit_example/cm_dev")
    assert min_tdcf(curve, asv, version="legacy").value == pytest.approx(value, abs=tolerance)


@pytest.mark.realdata
def test_figures_of_the_fusion_set_of_asvspoof_5(realdata):
    path = realdata / "d_scores/asvspoof5/sasv_dev_scores_label.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = np.loadtxt(file, delimiter=",", skiprows=1)
    target, nontarget, spoof = (rows[rows[:, 2] == label] for label in (1, 2, 0))
    asv = [side[:, 0] for side in (target, nontarget, spoof)]
    real, fake = np.concatenate([target[:, 1], nontarget[:, 1]]), spoof[:, 1]
    rates = single_score_rates(*asv)
    assert 100 * np.array([rates.sv, rates.spf, rates.sasv]) == pytest.approx(
        [1.870927, 20.282342, 17.378227], abs=1e-6
    )
    for figure, value in (("ASV EER %", rates.sv), ("SPF-EER %", rates.spf)):
        expected, tolerance = expected_of(realdata, figure, "sasv_dev_scores_label")
        assert 100 * value == pytest.approx(expected, abs=tolerance)
    curve = score_curve(real, fake)
    assert 100 * equal_error_rate(curve).rate == pytest.approx(0.619732, abs=1e-6)
    assert [
        min_dcf(curve).value,
        actual_dcf(curve),
        cllr(real, fake),
        min_cllr(curve),
    ] == pytest.approx([0.016319812, 0.018024153, 0.028190618, 0.024536920], abs=1e-9)
    together = [side[:, 0] + side[:, 1] for side in (target, nontarget, spoof)]
    assert [
        min_adcf(*asv).value,
        min_adcf(*asv, ASVSPOOF5_ADCF).value,
        min_adcf(*together).value,
        min_adcf(*together, ASVSPOOF5_ADCF).value,
    ] == pytest.approx([0.379546993, 0.333636857, 0.507064931, 0.156670200], abs=1e-9)
    found = tandem_eer(
        asv_target=asv[0], asv_nontarget=asv[1], asv_spoof=asv[2], cm_bonafide=real, cm_spoof=fake
    )
    # The published program thins its thresholds, which is worth 0.02 points.
    assert 100 * found.rate == pytest.approx(1.98970, abs=0.02)
