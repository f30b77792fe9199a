"""Evaluations give figures by group with intervals, and say what looks wrong without putting it right."""

import json

import numpy as np
import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.detectors.evaluation import evaluate
from doppelbench.detectors.trial_files import read_asv_scores, read_trials, write_scores
from doppelbench.detectors.trials import Trials
from doppelbench.metrics.detection import (
    AsvRates,
    DcfCosts,
    area_under_roc,
    asv_rates,
    equal_error_rate,
    score_curve,
)

FAST = {"draws": 60}


def trials_of(seed=0, separation=2.0, count=40):
    """Two attacks of unequal strength, five speakers and two codecs."""
    generator = np.random.default_rng(seed)
    kinds = ["bonafide", "A01", "A02"]
    attack = [kind for kind in kinds for _ in range(5 * count)]
    shift = {"bonafide": separation, "A01": -separation, "A02": 0.0}
    speakers = [f"spk{n % 5}" for n in range(len(attack))]
    return Trials(
        ids=[f"u{n}" for n in range(len(attack))],
        scores=np.array([shift[name] for name in attack]) + generator.normal(size=len(attack)),
        bonafide=np.array([name == "bonafide" for name in attack]),
        groups={
            "attack": ["" if name == "bonafide" else name for name in attack],
            "speaker": speakers,
            "codec": ["mp3" if n % 2 else "none" for n in range(len(attack))],
        },
        source="made up",
    )


def codes_of(evaluation, group=None):
    return [finding.code for finding in evaluation.findings if group in (None, finding.group)]


def test_rows_are_pooled_then_by_attack_speaker_and_codec():
    rows = evaluate(trials_of(), **FAST).rows
    assert [(row.group, row.name) for row in rows] == [
        ("pooled", ""),
        ("attack", "A01"),
        ("attack", "A02"),
        *(("speaker", f"spk{n}") for n in range(5)),
        ("codec", "mp3"),
        ("codec", "none"),
    ]
    assert [(row.bonafide, row.spoof) for row in rows[:4]] == [(200, 400), (200, 200), (200, 200), (40, 80)]
    assert [row.speakers for row in rows[:4]] == [5, 5, 5, 1]


def test_figures_are_those_of_the_scores_of_each_group():
    trials = trials_of()
    found = evaluate(trials, **FAST)
    speaker, codec = (np.array(trials.groups[name]) for name in ("speaker", "codec"))
    attack = np.array(trials.groups["attack"])
    chosen = {
        ("pooled", ""): np.ones(len(attack), bool),
        ("attack", "A02"): (attack == "A02") | trials.bonafide,
        ("speaker", "spk3"): speaker == "spk3",
        ("codec", "mp3"): codec == "mp3",
    }
    for row in found.rows:
        part = chosen.get((row.group, row.name))
        if part is None:
            continue
        curve = score_curve(trials.scores[part & trials.bonafide], trials.scores[part & ~trials.bonafide])
        assert row.figures["eer_asvspoof"].value == equal_error_rate(curve).rate
        assert row.figures["auc"].value == area_under_roc(curve)


def test_intervals_are_by_trial_and_by_speaker_where_they_are_asked_for():
    found = evaluate(trials_of(), intervals=("pooled", "attack"), **FAST)
    for row in found.rows:
        figure = row.figures["eer_asvspoof"]
        if row.group in ("pooled", "attack"):
            assert figure.low <= figure.value <= figure.high
            assert figure.speaker_low <= figure.value <= figure.speaker_high
        else:
            assert figure.low is None
    assert evaluate(trials_of(), intervals=()).pooled.figures["auc"].low is None


def test_the_summary_tells_macro_mean_and_worst_attack():
    found = evaluate(trials_of(), **FAST)
    rates = {row.name: row.figures["eer_asvspoof"].value for row in found.rows if row.group == "attack"}
    assert found.summary["macro_eer"] == pytest.approx(sum(rates.values()) / 2)
    assert found.summary["worst_attack"] == "A02"
    assert found.summary["worst_eer"] == rates["A02"]


def test_reversed_scores_are_said_and_never_negated():
    trials = trials_of()
    turned = Trials(
        ids=trials.ids, scores=-trials.scores, bonafide=trials.bonafide, groups=trials.groups, source="turned"
    )
    straight, found = evaluate(trials, **FAST), evaluate(turned, **FAST)
    assert "reversed" not in codes_of(straight)
    finding = next(finding for finding in found.findings if finding.code == "reversed")
    assert finding.group == "pooled"
    assert finding.severity == "warning"
    assert f"{100 * straight.pooled.figures['eer_asvspoof'].value:.4f} %" in finding.message
    assert found.pooled.figures["eer_asvspoof"].value > 0.6
    assert found.pooled.figures["auc"].value < 0.5


def test_scores_by_chance_and_few_reversed_trials_are_not_called_reversed():
    assert "reversed" not in codes_of(evaluate(trials_of(separation=0.0), **FAST), "pooled")
    few = Trials(
        ids=["a", "b", "c"], scores=np.array([1.0, 2.0, 3.0]), bonafide=np.array([True, False, False])
    )
    assert "reversed" not in codes_of(evaluate(few, **FAST))


def test_one_talkative_speaker_does_not_make_scores_reversed():
    generator = np.random.default_rng(0)
    counts = {"loud": 600, "a": 100, "b": 100, "c": 100}
    speaker = np.repeat(list(counts), list(counts.values()))
    real = np.arange(len(speaker)) % 2 == 0
    shift = np.where(speaker == "loud", -0.7, 0.7) * np.where(real, 1, -1)
    options = {
        "ids": [f"u{n}" for n in range(len(speaker))],
        "scores": shift + generator.normal(size=len(speaker)),
        "bonafide": real,
    }
    alone = evaluate(Trials(**options), draws=300)
    assert "reversed" in codes_of(alone)
    known = evaluate(Trials(**options, groups={"speaker": speaker.tolist()}), draws=300)
    assert "reversed" not in codes_of(known, "pooled")
    assert "reversed" in codes_of(known, "speaker loud")


def test_one_attack_alone_may_be_reversed():
    trials = trials_of()
    scores = trials.scores.copy()
    scores[np.array(trials.groups["attack"]) == "A02"] += 6
    found = evaluate(
        Trials(ids=trials.ids, scores=scores, bonafide=trials.bonafide, groups=trials.groups), **FAST
    )
    assert "reversed" in codes_of(found, "attack A02")
    assert "reversed" not in codes_of(found, "attack A01")


def test_hard_decisions_are_said():
    trials = trials_of()
    decided = Trials(ids=trials.ids, scores=np.sign(trials.scores), bonafide=trials.bonafide)
    found = evaluate(decided, **FAST)
    assert "hard_decisions" in codes_of(found)
    assert "rules_differ" in codes_of(found)
    assert "hard_decisions" not in codes_of(evaluate(trials, **FAST))


def test_a_group_with_one_class_has_reasons_instead_of_figures():
    trials = trials_of()
    codec = ["none" if real else "mp3" for real in trials.bonafide]
    found = evaluate(
        Trials(ids=trials.ids, scores=trials.scores, bonafide=trials.bonafide, groups={"codec": codec}),
        thresholds=(0.0,),
        **FAST,
    )
    row = next(row for row in found.rows if row.name == "mp3")
    assert row.figures["eer_asvspoof"].value is None
    assert "no bona fide" in row.figures["eer_asvspoof"].reason
    assert codes_of(found, "codec mp3") == ["one_class"]
    # Shares of errors at a threshold need one class only.
    assert 0 < row.accuracies[0].spoof.value < 1
    assert row.accuracies[0].balanced is None


def test_trials_of_one_class_are_no_error_but_have_no_figures():
    found = evaluate(Trials(ids=["a", "b"], scores=np.array([1.0, 2.0]), bonafide=np.array([True, True])))
    assert found.pooled.figures["auc"].value is None
    assert "one_class" in codes_of(found)
    assert json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "map_", "code"),
    [
        (None, lambda s: 1 / (1 + np.exp(-s)), "kind_undeclared"),
        ("posterior", lambda s: 1 / (1 + np.exp(-s)), "not_ratios"),
        ("raw", lambda s: s, "not_ratios"),
    ],
)
def test_figures_of_calibration_are_refused_for_what_is_no_likelihood_ratio(kind, map_, code):
    trials = trials_of()
    mapped = Trials(ids=trials.ids, scores=map_(trials.scores), bonafide=trials.bonafide)
    found = evaluate(mapped, score_kind=kind, **FAST)
    for name in ("actual_dcf", "cllr", "calibration_loss"):
        assert found.pooled.figures[name].value is None
        assert "calibrate" in found.pooled.figures[name].reason
    assert code in codes_of(found)
    straight = evaluate(trials, score_kind="llr", **FAST)
    for name in ("eer_asvspoof", "auc", "min_dcf", "min_cllr"):
        assert found.pooled.figures[name].value == straight.pooled.figures[name].value
    assert straight.pooled.figures["cllr"].value > 0
    assert not {"kind_undeclared", "not_ratios"} & set(codes_of(straight))


def test_calibration_loss_is_the_rest_of_cllr():
    figures = evaluate(trials_of(), score_kind="llr", **FAST).pooled.figures
    assert figures["calibration_loss"].value == pytest.approx(
        figures["cllr"].value - figures["min_cllr"].value
    )
    assert figures["calibration_loss"].value > 0


def test_a_threshold_comes_from_the_development_set():
    development, test = trials_of(1), trials_of(2)
    found = evaluate(test, development=development, thresholds=(0.5,), **FAST)
    fixed, transferred = found.pooled.accuracies
    assert (fixed.origin, fixed.threshold) == ("fixed", 0.5)
    curve = score_curve(development.scores[development.bonafide], development.scores[~development.bonafide])
    assert transferred.origin == "development"
    assert transferred.threshold == equal_error_rate(curve).threshold
    assert transferred.bonafide.value == np.mean(test.scores[test.bonafide] >= transferred.threshold)
    assert found.settings["development"] == "made up"
    single = Trials(ids=["a"], scores=np.zeros(1), bonafide=np.array([True]), source="dev.txt")
    with pytest.raises(InputError, match=r"dev.txt: a threshold needs bona fide and spoofed trials"):
        evaluate(test, development=single)


def test_tandem_costs_are_given_with_the_rates_of_a_speaker_verification():
    found = evaluate(
        trials_of(), asv=AsvRates(miss=0.02, false_alarm=0.02, spoof_false_alarm=0.5), **FAST
    ).pooled.figures
    assert 0 < found["tdcf_legacy"].value < found["tdcf_revised"].value < 1
    with pytest.raises(InputError, match="made up: the t-DCF is not defined"):
        evaluate(trials_of(), asv=AsvRates(miss=1.0, false_alarm=1.0, spoof_false_alarm=0.5), **FAST)


def test_every_attack_has_the_tandem_cost_of_its_own_verification():
    trials = trials_of()
    attacks = sorted({name for name in trials.groups["attack"] if name})
    hard = AsvRates(miss=0.02, false_alarm=0.02, spoof_false_alarm=0.8)
    rates = {attacks[0]: hard, attacks[1]: AsvRates(miss=0.02, false_alarm=0.02, spoof_false_alarm=0.0)}
    found = evaluate(trials, asv=hard, asv_by_attack=rates, **FAST)
    rows = {row.name: row.figures for row in found.rows if row.group == "attack"}
    chosen = trials.bonafide | (np.array(trials.groups["attack"]) == attacks[0])
    alone = Trials(
        ids=[name for name, kept in zip(trials.ids, chosen, strict=True) if kept],
        scores=trials.scores[chosen],
        bonafide=trials.bonafide[chosen],
    )
    pooled = evaluate(alone, asv=hard, **FAST).pooled.figures
    assert rows[attacks[0]]["tdcf_revised"].value == pooled["tdcf_revised"].value
    # A verification that accepts no fake of an attack leaves nothing for the detector to cost.
    assert rows[attacks[1]]["tdcf_revised"].value is None
    assert "not defined" in rows[attacks[1]]["tdcf_revised"].reason
    for name in attacks[2:]:
        assert "no scores of the speaker verification" in rows[name]["tdcf_revised"].reason
    assert all(set(row) == set(found.as_rows()[0]) for row in found.as_rows())


def test_the_result_is_json_and_flat_rows_and_the_same_every_time():
    found = evaluate(trials_of(), thresholds=(0.0,), points=50, **FAST)
    text = json.dumps(found.as_json(), allow_nan=False)
    assert text == json.dumps(evaluate(trials_of(), thresholds=(0.0,), points=50, **FAST).as_json())
    assert json.loads(text)["rows"][0]["figures"]["auc"]["value"] == found.pooled.figures["auc"].value
    rows = found.as_rows()
    assert len(rows) == len(found.rows)
    assert rows[0]["eer_asvspoof"] == found.pooled.figures["eer_asvspoof"].value
    assert all(set(row) == set(rows[0]) for row in rows)
    assert found.roc[0] == (1.0, 1.0)
    assert found.roc[-1] == (0.0, 0.0)


def test_the_order_of_trials_does_not_matter():
    trials = trials_of()
    order = np.random.default_rng(0).permutation(len(trials.ids))
    turned = Trials(
        ids=[trials.ids[n] for n in order],
        scores=trials.scores[order],
        bonafide=trials.bonafide[order],
        groups={name: [column[n] for n in order] for name, column in trials.groups.items()},
        source=trials.source,
    )
    first, second = (evaluate(each, **FAST) for each in (trials, turned))
    assert first.as_json() == second.as_json()


def test_notes_of_reading_become_findings():
    trials = trials_of()
    noted = Trials(ids=trials.ids, scores=trials.scores, bonafide=trials.bonafide, notes=("3 were left out",))
    finding = next(f for f in evaluate(noted, **FAST).findings if f.code == "reading")
    assert finding.message == "3 were left out"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": ("style",)}, "no group is called 'style'"),
        ({"intervals": ("all",)}, "no group is called 'all'"),
        ({"score_kind": "percent"}, "no kind of score is called 'percent'"),
        ({"thresholds": (float("nan"),)}, "thresholds must be finite"),
    ],
)
def test_unknown_choices_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        evaluate(trials_of(), **options)


def test_a_round_trip_through_files_gives_the_same_figures(tmp_path):
    trials = trials_of()
    key = tmp_path / "key.txt"
    rows = zip(trials.groups["speaker"], trials.ids, trials.groups["attack"], trials.bonafide, strict=True)
    key.write_text(
        "".join(
            f"{speaker} {name} - {attack or '-'} {'bonafide' if real else 'spoof'}\n"
            for speaker, name, attack, real in rows
        )
    )
    write_scores(tmp_path / "scores.txt", trials.ids, trials.scores)
    again = evaluate(read_trials(key, tmp_path / "scores.txt"), by=("attack", "speaker"), **FAST)
    first = evaluate(trials, by=("attack", "speaker"), **FAST)
    assert again.as_rows() == first.as_rows()


def test_costs_are_followed_and_kept():
    costs = DcfCosts(spoof_prior=0.5, false_alarm=1.0)
    found = evaluate(trials_of(), costs=costs, intervals=())
    assert found.settings["costs"] == {"miss": 1.0, "false_alarm": 1.0, "spoof_prior": 0.5}
    assert (
        found.pooled.figures["min_dcf"].value
        != evaluate(trials_of(), intervals=()).pooled.figures["min_dcf"].value
    )


@pytest.mark.realdata
def test_a_published_score_file_and_its_negative(realdata):
    folder = realdata / "d_scores/asvspoof2019_toolkit_example"
    asv = read_asv_scores(folder / "asv_dev.txt.gz")
    rates = asv_rates(asv.target, asv.nontarget, asv.spoof)
    options = {"by": ("attack",), "intervals": ("pooled",), "draws": 200}
    found = evaluate(read_trials(folder / "cm_dev.txt.gz", allow_repeats=True), asv=rates, **options)
    figures = found.pooled.figures
    assert 100 * figures["eer_asvspoof"].value == pytest.approx(4.6701, abs=0.01)
    assert figures["eer_asvspoof"].low < 0.046701 < figures["eer_asvspoof"].high
    assert figures["tdcf_legacy"].value == pytest.approx(0.110498, abs=1e-4)
    assert "reversed" not in codes_of(found)
    turned = evaluate(
        read_trials(folder / "cm_dev.txt.gz", allow_repeats=True, higher_is_bonafide=False), **options
    )
    finding = next(f for f in turned.findings if f.code == "reversed" and f.group == "pooled")
    assert "4.67" in finding.message
    assert turned.pooled.figures["eer_rocch"].value == pytest.approx(0.5)
