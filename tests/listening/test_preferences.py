"""Votes on pairs: textbook numbers, ties that are told apart, sides, and rankings with known strengths."""

import numpy as np
import pytest

from doppelbench.listening.preferences import (
    Choice,
    fit_strengths,
    is_connected,
    pair_preferences,
    pair_strengths,
    side_bias,
    win_tables,
)

# Citations between four journals (Stigler 1994; Agresti 2002, table 10.6): row cited by column.
JOURNALS = ("Biometrika", "Comm Statist", "JASA", "JRSS-B")
CITATIONS = np.array([[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]], float)


def choices(wins: int, losses: int, ties: int = 0, *, raters: int = 25) -> list[Choice]:
    outcomes = ["a"] * wins + ["b"] * losses + [""] * ties
    return [
        Choice(
            f"r{number % raters}",
            f"t{number // raters}",
            *(("a", "b") if number % 2 else ("b", "a")),
            outcome,
        )
        for number, outcome in enumerate(outcomes)
    ]


def test_bradley_terry_of_the_citation_table() -> None:
    strengths, tie = fit_strengths(CITATIONS[None], np.zeros((1, 4, 4)))
    found = strengths[0] - strengths[0, 0]
    assert found.tolist() == pytest.approx([0.0, -2.9491, -0.4796, 0.2690], abs=5e-5)
    assert tie[0] == -np.inf
    assert strengths[0].sum() == pytest.approx(0.0, abs=1e-12)


def test_a_fit_gives_every_system_its_observed_number_of_wins() -> None:
    generator = np.random.default_rng(1)
    wins = generator.integers(1, 20, (3, 5, 5)) * (1 - np.eye(5))
    half = np.triu(generator.integers(1, 9, (3, 5, 5)), 1).astype(float)
    ties = half + half.swapaxes(1, 2)
    strengths, tie = fit_strengths(wins, ties)
    a, b = strengths[:, :, None], strengths[:, None, :]
    weights = np.exp(a), np.exp(b), np.exp(tie[:, None, None] + (a + b) / 2)
    n = wins + wins.swapaxes(1, 2) + ties
    total = weights[0] + weights[1] + weights[2]
    score = (wins + ties / 2).sum(axis=2)
    assert (n * (weights[0] + weights[2] / 2) / total * (1 - np.eye(5))).sum(axis=2) == pytest.approx(score)
    assert (n * weights[2] / total * (1 - np.eye(5))).sum((1, 2)) == pytest.approx(ties.sum((1, 2)))


def test_davidson_finds_the_strengths_that_made_the_votes() -> None:
    truth, tie = {"a": 0.6, "b": 0.1, "c": -0.7}, -0.3
    generator = np.random.default_rng(4)
    votes = []
    for number in range(6000):
        first, second = generator.choice(list(truth), 2, replace=False)
        weights = np.exp([truth[first], truth[second], tie + (truth[first] + truth[second]) / 2])
        outcome = generator.choice([first, second, ""], p=weights / weights.sum())
        votes.append(Choice(number % 60, number // 60, str(first), str(second), str(outcome)))
    found = pair_strengths(votes, draws=50)
    assert found.model == "davidson"
    assert found.tie == pytest.approx(tie, abs=0.1)
    assert {name: entry.value for name, entry in found.strengths.items()} == pytest.approx(truth, abs=0.08)
    for name, entry in found.strengths.items():
        assert entry.low is not None
        assert entry.high is not None
        assert entry.low < truth[name] < entry.high


def test_systems_that_no_votes_connect_have_no_ranking() -> None:
    votes = [Choice("r", "t", "a", "b", "a"), Choice("r", "t", "a", "b", "b"), Choice("r", "t", "c", "d", "")]
    with pytest.raises(ValueError, match=r"between \{a, b\} and \{c, d\}"):
        pair_strengths(votes)
    with pytest.raises(ValueError, match=r"between \{a\} and \{b\}"):
        pair_strengths([Choice("r", "t", "a", "b", "a")])
    with pytest.raises(ValueError, match="every vote is a tie"):
        pair_strengths([Choice("r", "t", "a", "b", "")])
    with pytest.raises(ValueError, match="two systems"):
        pair_strengths([])


def test_connection_goes_along_wins_and_both_ways_along_ties() -> None:
    ring = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float)
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], float)
    tie = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], float)
    none = np.zeros((3, 3))
    assert is_connected(ring, none)
    assert not is_connected(chain, none)
    assert is_connected(chain, tie)
    assert is_connected(np.stack([ring, chain]), np.stack([none, none])).tolist() == [True, False]


def test_the_binomial_test_and_wilsons_interval_of_decided_votes() -> None:
    [pair] = pair_preferences(choices(80, 55, 12), draws=200)
    assert (pair.system, pair.wins, pair.losses, pair.ties) == ("a", 80, 55, 12)
    assert pair.p == pytest.approx(0.03847, abs=5e-6)
    assert [pair.share.low, pair.share.high] == pytest.approx([0.5083, 0.6718], abs=5e-5)
    assert pair.share_with_ties == pytest.approx(86 / 147)


def test_one_loud_rater_widens_the_interval_over_raters() -> None:
    generator = np.random.default_rng(0)
    leaning = generator.uniform(0.2, 1.0, 20)
    votes = [
        Choice(rater, trial, "a", "b", "a" if generator.random() < leaning[rater] else "b")
        for rater in range(20)
        for trial in range(20)
    ]
    [pair] = pair_preferences(votes, draws=500)
    assert pair.crossed.low is not None
    assert pair.share.low is not None
    assert pair.share.high is not None
    assert pair.crossed.high is not None
    assert pair.crossed.high - pair.crossed.low > 2 * (pair.share.high - pair.share.low)
    assert (pair.p_crossed or 0) > (pair.p or 1)


def test_too_few_raters_have_no_interval_over_raters() -> None:
    [pair] = pair_preferences(choices(30, 10, raters=4), draws=50)
    assert pair.crossed.low is None
    assert pair.p_crossed is None
    assert pair.p_holm == pair.p


def test_a_unanimous_vote_is_left_to_the_binomial_test() -> None:
    [pair] = pair_preferences(choices(60, 0, raters=10), draws=50)
    assert pair.p_crossed is None
    assert pair.p_holm == pytest.approx(2**-59)


def test_holms_correction_covers_all_pairs() -> None:
    votes = choices(80, 55) + [
        choice._replace(second="c", first="a") for choice in choices(66, 69) if choice.preferred != "b"
    ]
    pairs = pair_preferences([vote for vote in votes if vote.preferred in (vote.first, vote.second, "")])
    assert len(pairs) == 2
    assert all(pair.p_holm is not None and pair.p_holm >= (pair.p_crossed or pair.p or 0) for pair in pairs)


def test_a_side_that_decides_is_found() -> None:
    votes = [
        Choice(n % 10, n // 10, *(("a", "b") if n % 2 else ("b", "a")), "a" if n % 2 else "b")
        for n in range(100)
    ]
    votes = [vote._replace(preferred=vote.second) if n % 10 == 3 else vote for n, vote in enumerate(votes)]
    found = side_bias(votes, draws=100)
    assert found is not None
    assert (found.first, found.second) == (90, 10)
    assert (found.p or 1) < 1e-15
    assert (found.p_crossed or 1) < 0.01
    assert found.crossed.value == pytest.approx(0.9)


def test_the_side_does_not_decide_where_the_system_does() -> None:
    found = side_bias(choices(100, 0), draws=50)
    assert found is not None
    assert found.first == found.second == 50
    assert found.p == 1.0
    assert found.crossed.value == 0.5
    assert side_bias([Choice("r", "t", "a", "b", "")]) is None


def test_orders_that_are_not_balanced_do_not_look_like_a_side() -> None:
    votes = [Choice(n % 10, n // 10, *(("b", "a") if n % 4 == 0 else ("a", "b")), "a") for n in range(100)]
    votes = [vote._replace(preferred="b") if n % 10 == 7 else vote for n, vote in enumerate(votes)]
    found = side_bias(votes, draws=50)
    assert found is not None
    assert (found.p or 1) < 0.05
    assert found.crossed.value == pytest.approx(0.5, abs=0.1)
    assert (found.p_crossed or 0) > 0.05
    one_order = [Choice(n % 10, n // 10, "a", "b", "a" if n % 3 else "b") for n in range(100)]
    only = side_bias(one_order)
    assert only is not None
    assert only.crossed.value is None


def test_win_tables_count_each_vote_once_and_ties_in_both_places() -> None:
    votes = [Choice("r", "t", "a", "b", "b"), Choice("r", "t", "b", "a", "b"), Choice("r", "t", "a", "b", "")]
    wins, ties = win_tables(votes, ["a", "b"])
    assert wins[0].tolist() == [[0, 0], [2, 0]]
    assert ties[0].tolist() == [[0, 1], [1, 0]]


def test_the_order_of_votes_does_not_matter() -> None:
    votes = choices(20, 12, 5)
    assert pair_strengths(votes, draws=30) == pair_strengths(votes[::-1], draws=30)
    assert pair_preferences(votes, draws=30) == pair_preferences(votes[::-1], draws=30)
