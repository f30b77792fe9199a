"""Precision and cost of a listening test before it is made."""

import math
from dataclasses import replace

import numpy as np
import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.listening.planner import (
    MECHANICAL_TURK,
    OWN_SERVER,
    VCC2020,
    Components,
    budget,
    half_width,
    preference_components,
    session_minutes,
    votes_needed,
)
from doppelbench.listening.plans import EXEMPLAR_2021, EXEMPLAR_2021_AB, SMALL


@pytest.mark.parametrize(("items", "raters", "each"), [(40, 12, 40), (10, 30, 10), (25, 50, 5)])
def test_the_half_width_is_that_of_simulated_studies(items, raters, each):
    generator = np.random.default_rng(1)
    parts = Components(0.2, 0.4, 0.3)
    means = []
    for _ in range(1500):
        # Every rater rates the next items in turn, so that all items have equally many votes.
        rated = np.arange(raters * each) % items
        who = np.repeat(np.arange(raters), each)
        votes = (
            math.sqrt(parts.item) * generator.standard_normal(items)[rated]
            + math.sqrt(parts.rater) * generator.standard_normal(raters)[who]
            + math.sqrt(parts.residual) * generator.standard_normal(rated.size)
        )
        means.append(votes.mean())
    expected = 1.96 * np.std(means)
    got = half_width(parts, items=items, raters=raters, votes=raters * each)
    assert got == pytest.approx(expected, rel=0.06)


def test_vcc2020_has_the_interval_that_its_votes_have():
    # 80 items, 119 raters, 430 votes a system: two-way clustered half-widths of 0.148 to 0.211 were computed
    # from the votes themselves; the usual formula gives 0.07 to 0.09.
    assert 0.148 <= half_width(VCC2020, items=80, raters=119, votes=430) <= 0.211


def test_more_of_anything_is_more_precise():
    base = {"items": 20, "raters": 15, "votes": 150}
    width = half_width(VCC2020, **base)
    for name in base:
        assert (
            half_width(VCC2020, **base | {name: base[name] * 2 if name == "votes" else base[name] + 5})
            < width
        )
    assert half_width(VCC2020, **base, level=0.9) < width


@pytest.mark.parametrize("each", [1, 5, 20])
@pytest.mark.parametrize("wanted", [0.15, 0.2, 0.4])
def test_so_many_votes_reach_the_wanted_half_width_and_fewer_do_not(wanted, each):
    items = 60
    votes = votes_needed(VCC2020, wanted, items=items, votes_per_rater=each)

    def reached(count: int) -> float:
        variance = VCC2020.item / items + VCC2020.rater * each / count + VCC2020.residual / count
        return 1.959964 * math.sqrt(variance)

    assert reached(votes) <= wanted * (1 + 1e-6)
    assert votes == max(items, each) or reached(votes - 1) > wanted


def test_too_few_items_cannot_be_made_good_by_raters():
    with pytest.raises(InputError, match="5 items cannot give a half-width") as caught:
        votes_needed(VCC2020, 0.2, items=5, votes_per_rater=1)
    least = int(str(caught.value).rsplit(" ", 1)[1]) + 1
    assert votes_needed(VCC2020, 0.2, items=least, votes_per_rater=1) > 0
    with pytest.raises(InputError, match="however many"):
        votes_needed(VCC2020, 0.2, items=least - 1, votes_per_rater=1)


def test_an_even_preference_is_the_least_certain_and_independent_votes_give_the_binomial():
    even = half_width(preference_components(), items=25, raters=20, votes=125)
    assert half_width(preference_components(0.9), items=25, raters=20, votes=125) < even
    independent = preference_components(0.5, item=0.0, rater=0.0)
    assert half_width(independent, items=25, raters=20, votes=125) == pytest.approx(
        1.96 * math.sqrt(0.25 / 125), rel=1e-4
    )
    assert even > half_width(independent, items=25, raters=20, votes=125)


@pytest.mark.parametrize(
    ("raters", "masters", "share"), [(10, True, 0.45), (9, True, 0.25), (9, False, 0.2), (10, False, 0.4)]
)
def test_the_platforms_fee_depends_on_raters_and_masters(raters, masters, share):
    assert MECHANICAL_TURK.of(1.0, raters=raters, masters=masters) == pytest.approx(share)


def test_the_fee_is_at_least_a_cent_and_nothing_for_nothing():
    assert MECHANICAL_TURK.of(0.02, raters=5, masters=False) == 0.01
    assert MECHANICAL_TURK.of(0.0, raters=5, masters=False) == 0.0


def test_the_papers_plan_with_four_systems():
    what = budget(EXEMPLAR_2021, 4)
    # 4 systems x 50 trials x 3 scales, in 60 blocks of 10, each by 10 people for 50 cents, and 45 % of fees.
    assert (what.items, what.blocks, what.assignments, what.votes) == (600, 60, 600, 6000)
    assert (what.rewards, what.fees, what.total) == (300.0, 135.0, 435.0)
    nine = replace(EXEMPLAR_2021, recruitment=replace(EXEMPLAR_2021.recruitment, raters_per_item=9))
    assert budget(nine, 4).total == 337.5
    assert budget(EXEMPLAR_2021, 4, fees=OWN_SERVER).total == 300.0
    # Two hundred people with one block each, or twenty with ten.
    assert (what.raters, budget(EXEMPLAR_2021, 4, blocks_per_rater=10).raters) == (200, 20)
    assert budget(EXEMPLAR_2021, 4, blocks_per_rater=10).half_width > 1.5 * what.half_width


def test_the_papers_pairs():
    what = budget(EXEMPLAR_2021_AB, 2)
    assert (what.items, what.blocks, what.assignments, what.votes) == (50, 5, 25, 250)
    # Fewer than ten people a pair: 25 % of fees.
    assert (what.rewards, what.fees) == (12.5, pytest.approx(3.125, abs=0.006))
    assert budget(EXEMPLAR_2021_AB, 3).items == 150


def test_minutes_are_those_of_all_sounds_and_answers():
    # Eight trials with gold and trap; output, target and source of 4 s and three answers of 4 s.
    assert session_minutes(SMALL) == pytest.approx(10 * (3 * 4 + 3 * 4) / 60)
    assert session_minutes(SMALL, sound_seconds=8) > session_minutes(SMALL)


@pytest.mark.parametrize(
    "call",
    [
        lambda: half_width(VCC2020, items=0, raters=1, votes=1),
        lambda: half_width(VCC2020, items=5, raters=3, votes=4),
        lambda: votes_needed(VCC2020, 0.0, items=5, votes_per_rater=1),
        lambda: preference_components(1.5),
        lambda: preference_components(0.5, item=0.8, rater=0.3),
        lambda: Components(-0.1, 0.0, 0.0),
        lambda: budget(EXEMPLAR_2021_AB, 1),
    ],
)
def test_numbers_that_cannot_be_are_refused(call):
    with pytest.raises(InputError):
        call()
