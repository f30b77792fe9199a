"""Scores with intervals: printed examples, hand-made tables, and what a resample must and must not change."""

import numpy as np
import pytest
from scipy import stats

from doppelbench.listening.crossed import (
    VoteTable,
    crossed_draws,
    crossed_interval,
    crossed_variance,
    small_sample,
    two_sided_p,
    unit_weights,
)
from doppelbench.listening.opinion_scores import (
    Ballot,
    best_shares,
    crowdmos_half_width,
    naive_half_width,
    opinion_scores,
    score_matrix,
    spread_parameter,
)

SCALES = {"naturalness": (1.0, 5.0), "similarity": (1.0, 5.0), "consistency": (1.0, 5.0)}


def ballots(
    means: dict[str, float],
    *,
    raters: int = 12,
    items: int = 15,
    seed: int = 0,
    questions: tuple[str, ...] = ("naturalness",),
) -> list[Ballot]:
    generator = np.random.default_rng(seed)
    bias = generator.normal(0, 0.5, raters)
    return [
        Ballot(
            f"r{rater}",
            f"t{item}",
            system,
            question,
            float(np.clip(round(mean + bias[rater] + generator.normal(0, 0.6)), 1, 5)),
        )
        for system, mean in means.items()
        for question in questions
        for rater in range(raters)
        for item in range(items)
        if (rater + item) % 3
    ]


def test_the_closed_form_of_the_printed_example() -> None:
    nan = np.nan
    ratings = np.array([[4, 5, nan, 4, nan, 3], [4, 4, 4, 5, nan, 4], [nan, 3, 5, 4, nan, 1], [nan] * 6])
    assert np.nanmean(ratings) == pytest.approx(3.85, abs=0.005)
    assert crowdmos_half_width(ratings) == pytest.approx(1.3316, abs=5e-5)


def test_the_closed_form_is_not_defined_where_its_parts_are_not() -> None:
    assert crowdmos_half_width(np.array([[3.0, np.nan], [np.nan, 4.0]])) is None
    assert crowdmos_half_width(np.array([[3.0, 4.0]])) is None


def test_the_naive_interval_is_students() -> None:
    values = np.array([1.0, 4.0, 2.0, 5.0, 3.0, 3.0])
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert naive_half_width(values) == pytest.approx((high - low) / 2)
    assert naive_half_width(values[:1]) is None


def test_where_only_raters_differ_the_error_is_that_of_the_rater_means() -> None:
    means = np.array([2.0, 3.0, 3.5, 4.0, 4.5, 1.5])
    table = VoteTable.of(
        np.repeat(means, 7), series=["a"] * 42, raters=np.repeat(range(6), 7), items=np.tile(range(7), 6)
    )
    error, freedom = crossed_variance(table).error(np.ones(1))
    assert error == pytest.approx(stats.sem(means))
    assert freedom == pytest.approx(5.0)


def test_where_raters_agree_on_every_item_only_items_count() -> None:
    means = np.array([2.0, 3.0, 3.5, 4.0, 4.5, 1.5, 5.0])
    table = VoteTable.of(
        np.tile(means, 6), series=["a"] * 42, raters=np.repeat(range(6), 7), items=np.tile(range(7), 6)
    )
    error, freedom = crossed_variance(table).error(np.ones(1))
    assert error == pytest.approx(stats.sem(means))
    assert freedom == pytest.approx(6.0)


def test_a_difference_that_every_rater_hears_alike_has_no_error() -> None:
    rows = [
        (rater + shift, series, rater, item)
        for rater in range(6)
        for item in range(5)
        for series, shift in (("a", 0.0), ("b", 0.5))
    ]
    values, series, raters, items = zip(*rows, strict=True)
    table = VoteTable.of(values, series=series, raters=raters, items=items)
    variance = crossed_variance(table)
    assert variance.error(np.array([-1.0, 1.0]))[0] == pytest.approx(0.0, abs=1e-7)
    assert variance.error(np.array([0.0, 1.0]))[0] > 0.5


def test_the_small_sample_correction_of_equal_clusters_is_the_known_one() -> None:
    correction, freedom = small_sample(np.full(8, 1 / 8))
    assert (correction, freedom) == pytest.approx((8 / 7, 7))
    assert small_sample(np.array([1.0]))[1] == 0.0
    assert small_sample(np.array([0.7, 0.1, 0.1, 0.1]))[1] < 1.0


def test_drawn_units_sum_to_their_number_and_average_one() -> None:
    weights = unit_weights(np.random.default_rng(0), 4000, 9)
    assert (weights.sum(axis=1) == 9).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(9), abs=0.06)
    assert weights.var(axis=0) == pytest.approx(np.full(9, 8 / 9), abs=0.1)


def test_draws_move_with_the_scale_and_share_their_resamples() -> None:
    votes = ballots({"a": 2.5})
    columns = {name: [getattr(vote, name) for vote in votes] * 2 for name in ("rater", "item")}
    values = [vote.value for vote in votes]
    table = VoteTable.of(
        values + [10 + 2 * value for value in values],
        series=["a"] * len(votes) + ["b"] * len(votes),
        raters=columns["rater"],
        items=columns["item"],
    )
    drawn = crossed_draws(table, draws=50)
    assert drawn[:, 1] == pytest.approx(10 + 2 * drawn[:, 0])
    assert drawn[:, 0].std() > 0


def test_the_variance_of_draws_is_near_the_known_one_of_the_pigeonhole_bootstrap() -> None:
    generator = np.random.default_rng(3)
    scores = (
        generator.normal(0, 1, (12, 1))
        + generator.normal(0, 0.7, (1, 15))
        + generator.normal(0, 0.5, (12, 15))
    )
    table = VoteTable.of(
        scores.ravel(), series=[0] * 180, raters=np.repeat(range(12), 15), items=np.tile(range(15), 12)
    )
    weights = np.ones(1)
    error, _ = crossed_variance(table).error(weights)
    drawn = crossed_draws(table, draws=4000)[:, 0]
    assert drawn.mean() == pytest.approx(scores.mean(), abs=0.03)
    naive = scores.var() / scores.size
    assert drawn.var() == pytest.approx(error**2 + 2 * naive, rel=0.15)


def test_an_interval_has_the_width_of_students_t_and_stays_in_its_bounds() -> None:
    drawn = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    found = crossed_interval(0.0, drawn, (0.2, 9.0))
    assert found.high == pytest.approx(0.2 * stats.t.ppf(0.975, 9), rel=2e-3)
    assert crossed_interval(0.0, drawn, (0.2, 9.0), bounds=(-0.1, 5.0)).low == -0.1
    assert crossed_interval(0.0, drawn, (float("nan"), 9.0)).low is None
    assert two_sided_p(0.5, (0.2, 9.0)) == pytest.approx(2 * stats.t.sf(2.5, 9))
    assert two_sided_p(0.5, (0.0, 9.0)) is None


def test_means_counts_and_histograms() -> None:
    votes = [
        Ballot(rater, item, "a", "naturalness", value)
        for rater, item, value in [("r1", "t1", 4.0), ("r1", "t2", 5.0), ("r2", "t1", 2.0)]
    ]
    score = opinion_scores(votes, SCALES, draws=10).score("a", "naturalness")
    assert score is not None
    assert (score.n, score.raters, score.items) == (3, 2, 2)
    assert score.mean == pytest.approx(11 / 3)
    assert score.histogram == {"1": 0, "2": 1, "3": 0, "4": 1, "5": 1}
    assert score.deviation == pytest.approx(np.std([4, 5, 2], ddof=1))


def test_below_five_raters_or_items_nothing_is_said_about_others() -> None:
    for raters, items in ((4, 20), (20, 4)):
        found = opinion_scores(ballots({"a": 2, "b": 4}, raters=raters, items=items), SCALES, draws=50)
        assert all(score.too_few and score.low is None and score.high is None for score in found.scores)
        assert found.differences[0].p is None
        assert found.scores[0].ranks == (1, 2)
    found = opinion_scores(ballots({"a": 2, "b": 4}, raters=6, items=6), SCALES, draws=50)
    assert all(score.low is not None for score in found.scores)


def test_the_interval_over_raters_and_items_is_wider_than_the_naive_one() -> None:
    score = opinion_scores(ballots({"a": 3.0}), SCALES, draws=500).scores[0]
    assert score.low is not None
    assert score.high is not None
    assert score.naive_half is not None
    assert (score.high - score.low) / 2 > 1.4 * score.naive_half
    assert 1.0 <= score.low < score.mean < score.high <= 5.0


def test_the_order_of_votes_and_the_name_of_raters_do_not_matter() -> None:
    votes = ballots({"a": 2.5, "b": 3.5})
    found = opinion_scores(votes, SCALES, draws=100, seed=3)
    shuffled = [votes[index] for index in np.random.default_rng(5).permutation(len(votes))]
    assert opinion_scores(shuffled, SCALES, draws=100, seed=3) == found
    assert opinion_scores(votes, SCALES, draws=100, seed=4).scores[0].low != found.scores[0].low


def test_differences_are_paired_corrected_and_ranked() -> None:
    votes = ballots({"a": 2.0, "b": 3.0, "c": 3.02, "natural": 4.6})
    found = opinion_scores(votes, SCALES, ranked=["a", "b", "c"], draws=300)
    assert [(entry.first, entry.second) for entry in found.differences] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    first, _, last = found.differences
    assert first.low is not None
    assert first.low > 0
    assert first.p_holm is not None
    assert first.p is not None
    assert first.p <= first.p_holm < 0.05
    assert last.p_holm is not None
    assert last.p_holm > 0.05
    assert first.effect is not None
    assert first.effect > 0.8
    ranks = {score.system: score.ranks for score in found.scores}
    assert ranks == {"a": (3, 3), "b": (1, 2), "c": (1, 2), "natural": None}


def test_the_geometric_mean_is_of_means_and_never_below_that_of_items() -> None:
    votes = ballots({"a": 2.4, "b": 3.6}, questions=("similarity", "consistency"), raters=9, items=9)
    found = opinion_scores(votes, SCALES, draws=200)
    for entry in found.joint:
        means = [found.score(entry.system, name).mean for name in ("similarity", "consistency")]  # type: ignore[union-attr]
        assert entry.of_means.value == pytest.approx(np.sqrt(means[0] * means[1]))
        assert entry.of_items is not None
        assert entry.of_items <= (entry.of_means.value or 0) + 1e-12
        assert entry.of_means.low is not None
        assert entry.of_means.low < (entry.of_means.value or 0)


def test_the_geometric_mean_of_two_equal_scales_has_the_interval_of_one() -> None:
    votes = ballots({"a": 3.0}, questions=("similarity",))
    votes += [vote._replace(question="consistency") for vote in votes]
    found = opinion_scores(votes, SCALES, draws=300)
    score, joint = found.score("a", "similarity"), found.joint[0].of_means
    assert score is not None
    assert (joint.value, joint.low, joint.high) == pytest.approx((score.mean, score.low, score.high))


def test_a_scale_of_four_points_has_no_geometric_mean_with_one_of_five() -> None:
    votes = ballots({"a": 3.0}, questions=("similarity", "consistency"))
    scales = {"similarity": (1.0, 4.0), "consistency": (1.0, 5.0)}
    assert opinion_scores(votes, scales, draws=20).joint == ()


def test_best_shares_name_ties_and_their_denominator() -> None:
    table = {"t1": (5, 3, 3), "t2": (4, 4, 1), "t3": (1, 2, 5), "t4": (2, 2, 2), "t5": (3, 1, 1)}
    votes = [
        Ballot("r", item, system, "naturalness", float(value))
        for item, values in table.items()
        for system, value in zip("abc", values, strict=True)
    ]
    votes.append(Ballot("r", "t6", "a", "naturalness", 5.0))
    found = {share.system: share for share in best_shares(votes, "naturalness", ["a", "b", "c"])}
    assert {name: (share.wins, share.shared) for name, share in found.items()} == {
        "a": (2, 2),
        "b": (0, 2),
        "c": (1, 1),
    }
    assert {(share.ties, share.items) for share in found.values()} == {(2, 5)}
    assert found["a"].share.value == pytest.approx(0.4)
    assert sum(share.split_share or 0 for share in found.values()) == pytest.approx(1.0)
    assert found["a"].split_share == pytest.approx((2 + 1 / 2 + 1 / 3) / 5)


def test_means_that_are_equal_but_for_rounding_are_a_tie() -> None:
    votes = [Ballot(n, "t", "a", "naturalness", value) for n, value in enumerate((1.0, 2.0, 2.0) * 7)]
    votes += [Ballot(n, "t", "b", "naturalness", value) for n, value in enumerate((2.0, 2.0, 1.0))]
    assert best_shares(votes, "naturalness", ["a", "b"])[0].ties == 1


def test_the_sos_parameter_is_found_from_items_that_follow_it() -> None:
    votes = []
    for item, (low, high, share) in enumerate([(1.0, 5.0, 0.25), (1.0, 5.0, 0.5), (1.0, 5.0, 0.75)]):
        votes += [
            Ballot(rater, item, "a", "naturalness", high if rater < 8 * share else low) for rater in range(8)
        ]
    assert spread_parameter(votes, "naturalness", (1.0, 5.0)) == pytest.approx(1.0)
    assert spread_parameter(votes[:3], "naturalness", (1.0, 5.0)) is None
    same = [vote._replace(value=3.0) for vote in votes]
    assert spread_parameter(same, "naturalness", (1.0, 5.0)) == 0.0


def test_repeated_scores_of_a_rater_are_averaged_in_the_table_of_raters_and_items() -> None:
    found = score_matrix(np.array([2.0, 4.0, 5.0]), np.array([0, 0, 1]), np.array([0, 0, 1]))
    assert found[0, 0] == 3.0
    assert np.isnan(found[0, 1])


def test_no_votes_have_no_scores() -> None:
    found = opinion_scores([], SCALES)
    assert found.scores == found.differences == found.joint == ()
