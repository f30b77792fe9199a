"""Comparing two systems on the same trials, against closed forms, scipy and simulated truths."""

import csv
import time
from itertools import product

import numpy as np
import pytest
from metric_examples import skip_without_backend, speech_like
from scipy import stats

from doppelbench.corpora.clip import Clip
from doppelbench.metrics import ItemScore, metric_class
from doppelbench.metrics.recognizers import Recognizer
from doppelbench.metrics.registry import BUILT_IN, metric
from doppelbench.metrics.sca import features, train_on_features
from doppelbench.metrics.statistics import (
    holm,
    minimum_detectable_difference,
    paired_difference,
    paired_differences,
)

TEXT = "bin blue at f two now"
HEARD = ("bin blue at f two now", "bin red at", "")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options with which every metric scores the three items without a model."""
    rows = [
        (features(speech_like(seed=seed, voice=voice, seconds=1.0)), f"voice{voice}")
        for voice in range(2)
        for seed in range(4)
    ]
    classifier = train_on_features(np.array([row for row, _ in rows]), [name for _, name in rows])
    transcripts = tmp_path_factory.mktemp("heard") / "heard.csv"
    with transcripts.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *((f"t{i}", text) for i, text in enumerate(HEARD))])
    stored = {"recognizer": f"stored:{transcripts}"}
    # The output is heard first, then its reference.
    heard_in_turn = {"recognizer": InTurn([text for heard in HEARD for text in (heard, TEXT)])}
    return {
        "sca": {"classifier": classifier},
        "wer": stored,
        "cer": stored,
        "wer_heard": heard_in_turn,
    }


class InTurn(Recognizer):
    """Hears one text after the other."""

    name = "in-turn"
    signature = "in-turn-1"

    def __init__(self, texts):
        self.texts = iter(texts)

    def transcribe(self, audio, *, clip=None):
        return next(self.texts)


AUDIO_METRICS = sorted(name for name in BUILT_IN if metric_class(name).spec.media == "audio")


@pytest.mark.parametrize("name", AUDIO_METRICS)
def test_paired_terms_add_up_to_the_figure_of_every_metric_of_sound(name, options):
    skip_without_backend(name)
    scorer = metric(name, **options.get(name, {}))
    items = [
        scorer.item(
            out=speech_like(seed=seed, voice=1, noise_db=-20.0),
            ref=speech_like(seed=seed),
            clip=Clip(id=f"t{seed}", speaker=f"voice{seed % 2}", text=TEXT if seed else f"{TEXT} please"),
        )
        for seed in range(len(HEARD))
    ]
    assert [item.status for item in items] == ["ok"] * 3
    items.append(ItemScore.failed("silent", "nothing but silence"))
    terms = [metric_class(name).paired_terms(item) for item in items]
    assert terms.pop() is None
    numerator, denominator = np.sum(terms, axis=0)
    assert numerator / denominator == pytest.approx(scorer.reduce(items).value, rel=1e-12)


def test_insertions_against_an_empty_reference_count_in_the_pair():
    item = metric("wer", recognizer="pocketsphinx-grid").compare(reference="", transcript="two words")
    assert item.value is None
    assert metric_class("wer").paired_terms(item) == (200.0, 0.0)


def test_all_swaps_of_few_trials_are_enumerated():
    # Differences 1, 2, 3: only all up and all down are as extreme as their sum, 2 of 8.
    assert paired_difference(np.zeros(3), np.array([1.0, 2.0, 3.0])).p == 2 / 8
    # 0.1 + 0.2 - 0.3 is 0 but for rounding: every swap is as extreme.
    assert paired_difference(np.zeros(3), np.array([0.1, 0.2, -0.3])).p == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_exact_p_is_that_of_scipy(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=11), generator.normal(0.5, 1, size=11)
    expected = stats.permutation_test(
        (second, first), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert paired_difference(first, second).p == pytest.approx(expected.pvalue, abs=1e-12)


def test_random_swaps_agree_with_the_t_test_on_normal_differences():
    generator = np.random.default_rng(4)
    first = generator.normal(size=80)
    for shift in (0.0, 0.15, 0.25, 0.4):
        second = first + shift + generator.normal(size=80)
        found = paired_difference(first, second, draws=20_000)
        assert found.p == pytest.approx(stats.ttest_rel(second, first).pvalue, abs=0.012)


def test_random_swaps_never_give_zero():
    found = paired_difference(np.zeros(40), np.ones(40) + np.arange(40), draws=999)
    assert found.p == 1 / 1000


def test_interval_of_normal_differences_is_the_closed_form():
    generator = np.random.default_rng(1)
    first = generator.normal(10, 5, size=400)
    second = first + generator.normal(0.3, 1, size=400)
    found = paired_difference(first, second)
    half = 1.959964 * np.std(second - first) / 20
    assert found.difference == pytest.approx(np.mean(second - first), abs=1e-12)
    assert found.high - found.difference == pytest.approx(half, rel=0.04)
    assert found.difference - found.low == pytest.approx(half, rel=0.04)
    # Unpaired, the spread of the trials themselves would drown the difference.
    assert found.low > 0


def test_dz_is_mean_over_standard_deviation_of_the_differences():
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 5.0, 5.0])
    # Differences 1, 0, 2, 1: mean 1, sample variance 2/3.
    assert paired_difference(first, second).effect == pytest.approx(1 / np.sqrt(2 / 3))


def test_equal_systems_differ_by_nothing():
    values = np.random.default_rng(0).normal(size=30)
    found = paired_difference(values, values)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert found.effect is None


def test_counts_are_pooled_and_swapped_by_trial():
    # 2 errors in 4 words and 0 in 2 against 1 in 4 and 0 in 2: 2/6 against 1/6.
    first, second = np.array([[2, 4], [0, 2]]), np.array([[1, 4], [0, 2]])
    found = paired_difference(first, second)
    assert (found.first, found.second) == pytest.approx((2 / 6, 1 / 6))
    assert found.p == 1.0


def test_swaps_of_ratios_are_those_of_a_plain_loop():
    generator = np.random.default_rng(3)
    first, second = generator.integers(1, 9, size=(2, 7, 2)).astype(float)
    observed = abs(np.divide(*second.sum(0)) - np.divide(*first.sum(0)))
    hits = 0
    for swaps in product([False, True], repeat=7):
        mask = np.array(swaps)[:, None]
        one, other = np.where(mask, second, first).sum(0), np.where(mask, first, second).sum(0)
        hits += abs(np.divide(*other) - np.divide(*one)) >= observed - 1e-12
    assert paired_difference(first, second).p == hits / 2**7


def test_interval_of_a_ratio_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(8)
    hits = 0
    for trial in range(200):
        words = generator.integers(4, 12, size=60)
        sides = [np.stack([generator.binomial(words, rate), words], axis=1) for rate in (0.3, 0.2)]
        found = paired_difference(*sides, draws=500, seed=trial)
        hits += found.low <= -0.1 <= found.high
    assert 180 <= hits <= 198


def test_effect_of_a_ratio_gives_the_spread_that_the_bootstrap_shows():
    generator = np.random.default_rng(2)
    words = generator.integers(4, 12, size=300)
    first, second = (np.stack([generator.binomial(words, rate), words], axis=1) for rate in (0.3, 0.2))
    found = paired_difference(first, second)
    error = found.difference / found.effect / np.sqrt(300)
    assert abs(error) == pytest.approx((found.high - found.low) / (2 * 1.959964), rel=0.05)


def test_clusters_are_resampled_and_swapped_as_one():
    generator = np.random.default_rng(5)
    speakers = np.repeat([f"s{i}" for i in range(8)], 25)
    shift = np.repeat([-0.5, -0.2, 0.1, 0.3, 0.4, 0.6, 0.8, 0.9], 25)
    first = generator.normal(size=200)
    by_item = paired_difference(first, first + shift)
    by_speaker = paired_difference(first, first + shift, clusters=speakers)
    means = shift[::25]
    assert by_item.difference == pytest.approx(by_speaker.difference)
    assert by_speaker.p == paired_difference(np.zeros(8), means).p > 0.05 > by_item.p
    assert by_speaker.high - by_speaker.low > 3 * (by_item.high - by_item.low)
    assert by_speaker.detectable == pytest.approx(paired_difference(np.zeros(8), means).detectable)


def test_holm_has_the_textbook_values():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("n", [5, 20, 200])
def test_detectable_difference_is_found_with_the_power_it_says(n):
    shift = minimum_detectable_difference(1 / np.sqrt(n), n)
    critical = stats.t.ppf(0.975, n - 1)
    power = stats.nct.sf(critical, n - 1, shift * np.sqrt(n)) + stats.nct.cdf(
        -critical, n - 1, shift * np.sqrt(n)
    )
    assert power == pytest.approx(0.8, abs=0.02)


def skewed_scores(generator, size):
    """A floor at which many items lie and a long tail, as error counts and distortions have."""
    return np.where(generator.random(size) < 0.4, 0.0, generator.lognormal(0, 1, size))


def test_splits_of_one_system_differ_as_often_as_the_level_says():
    generator = np.random.default_rng(20)
    items = skewed_scores(generator, 96)
    found = 0
    for split in range(200):
        halves = generator.permutation(items).reshape(2, -1)
        found += paired_difference(*halves, draws=2000, seed=split).p < 0.05
    assert 0.02 <= found / 200 <= 0.08


def test_splits_of_pooled_counts_differ_as_often_as_the_level_says():
    generator = np.random.default_rng(21)
    words = generator.integers(1, 15, size=96)
    items = np.stack([generator.binomial(words, generator.beta(0.5, 1.5, size=96)), words], axis=1)
    found = 0
    for split in range(200):
        order = generator.permutation(96).reshape(2, -1)
        found += paired_difference(items[order[0]], items[order[1]], draws=2000, seed=split).p < 0.05
    assert 0.02 <= found / 200 <= 0.08


def test_a_real_shift_is_found_as_often_as_was_planned():
    generator = np.random.default_rng(22)
    shift = minimum_detectable_difference(1 / np.sqrt(50), 50)
    found = 0
    for trial in range(200):
        first = generator.normal(0, 3, size=50)
        second = first + generator.normal(shift, 1, size=50)
        found += paired_difference(first, second, draws=1000, seed=trial).p < 0.05
    assert 0.72 <= found / 200 <= 0.88


def test_series_compared_together_or_alone_are_the_same():
    generator = np.random.default_rng(6)
    first, second = generator.random((2, 30, 3, 2))
    second[:, 0, 1] = first[:, 0, 1] = 1.0
    together = paired_differences(first, second, draws=500)
    for series, found in enumerate(together):
        alone = paired_difference(first[:, series], second[:, series], draws=500)
        assert (found.p, found.n) == (alone.p, alone.n)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_seed_decides_and_global_state_does_not():
    generator = np.random.default_rng(7)
    first, second = generator.normal(size=(2, 40))
    np.random.seed(1)
    found = paired_difference(first, second, draws=300, seed=3)
    np.random.seed(2)
    assert found == paired_difference(first, second, draws=300, seed=3)
    other = paired_difference(first, second, draws=300, seed=4)
    assert found.low != other.low
    assert found.p != other.p


def test_what_cannot_be_compared_is_none_or_refused():
    assert paired_difference(np.zeros(0), np.zeros(0)).difference is None
    assert paired_difference(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])).p is None
    single = paired_difference(np.array([1.0]), np.array([3.0]))
    assert (single.difference, single.low, single.p, single.detectable) == (2.0, None, 1.0, None)
    with pytest.raises(ValueError, match="shapes"):
        paired_differences(np.zeros((3, 1, 2)), np.zeros((4, 1, 2)))
    with pytest.raises(ValueError, match="2 clusters for 3"):
        paired_difference(np.zeros(3), np.zeros(3), clusters=["a", "b"])


def test_many_trials_and_series_are_quick():
    first, second = np.random.default_rng(0).normal(size=(2, 10_000, 40, 2))
    first[..., 1] = second[..., 1] = 1.0
    started = time.process_time()
    paired_differences(first, second, draws=500)
    # A twentieth of the usual draws.
    assert time.process_time() - started < 1.5
