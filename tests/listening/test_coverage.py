"""Coverage of intervals where the truth is known."""

import numpy as np
import pytest

from doppelbench.listening.coverage import Layout, interval_coverage, simulated_scores
from doppelbench.listening.simulated_raters import Crowd, expected_answer, scale_answers

CROWD = Crowd(
    effects={name: {"naturalness": mean} for name, mean in zip("abcd", (2.0, 2.6, 3.2, 4.0), strict=True)}
)


def test_the_default_interval_covers_the_truth_as_often_as_it_says() -> None:
    found = {
        (entry.figure, entry.method): entry for entry in interval_coverage(CROWD, studies=200, draws=1000)
    }
    assert 0.93 <= found["mean", "crossed"].covered <= 0.97
    assert 0.93 <= found["difference", "crossed"].covered <= 0.97
    assert found["mean", "naive"].covered < 0.6
    assert found["mean", "naive"].half_width < found["mean", "crossed"].half_width / 2
    assert found["difference", "pigeonhole"].half_width > found["difference", "crossed"].half_width


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crowd", "layout"),
    [
        ({"raters": 12}, Layout()),
        (
            {
                "item_deviation": 0.1,
                "rater_deviation": 0.1,
                "item_system_deviation": 0.05,
                "rater_system_deviation": 0.05,
                "noise_deviation": 0.9,
            },
            Layout(),
        ),
        ({"raters": 12}, Layout(trials=20, block=10)),
        (
            {
                "effects": {
                    name: {"naturalness": mean}
                    for name, mean in zip("abcd", (1.2, 1.6, 4.4, 4.8), strict=True)
                }
            },
            Layout(),
        ),
    ],
)
def test_it_does_so_for_few_raters_weak_effects_small_studies_and_ends_of_the_scale(
    crowd: dict[str, object], layout: Layout
) -> None:
    settings = {"effects": CROWD.effects} | crowd
    for entry in interval_coverage(Crowd(**settings), layout, studies=300, seed=1):  # type: ignore[arg-type]
        if entry.method == "crossed":
            assert 0.92 <= entry.covered <= 0.98


def test_a_study_has_the_votes_of_its_layout() -> None:
    table = simulated_scores(CROWD, Layout(), np.random.default_rng(0))
    assert table.counts().tolist() == [500] * 4
    cells = np.unique(np.stack([table.series, table.items]), axis=1, return_counts=True)[1]
    assert (cells == 10).all()
    heard = np.unique(np.stack([table.raters, table.series, table.items]), axis=1).shape[1]
    assert heard == len(table.values)


def test_the_expected_answer_is_the_mean_of_many() -> None:
    latent = np.random.default_rng(0).normal(4.3, 1.1, 400_000)
    assert scale_answers(latent).mean() == pytest.approx(expected_answer(4.3, 1.1), abs=0.005)
    assert expected_answer(3.0, 0.7) == pytest.approx(3.0)
    assert expected_answer(9.0, 0.1) == pytest.approx(5.0)


def test_one_trial_has_no_coverage() -> None:
    with pytest.raises(ValueError, match="one rater or one trial"):
        interval_coverage(CROWD, Layout(trials=1, block=1), studies=1)
