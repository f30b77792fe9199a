"""Agreement against printed examples: Krippendorff's table, Shrout and Fleiss's table."""

import numpy as np
import pytest

from doppelbench.listening.agreement import (
    count_table,
    intraclass_correlations,
    krippendorff_alpha,
)

# Three coders, fifteen units, 0 for a missing code (Krippendorff's worked example).
CODERS = (
    (0, 0, 0, 0, 0, 3, 4, 1, 2, 1, 1, 3, 3, 0, 3),
    (1, 0, 2, 1, 3, 3, 4, 3, 0, 0, 0, 0, 0, 0, 0),
    (0, 0, 2, 1, 3, 4, 4, 0, 2, 1, 1, 3, 3, 0, 4),
)
# Six targets, four judges (Shrout and Fleiss 1979, table 2).
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


@pytest.mark.parametrize(
    ("level", "expected"),
    [("nominal", 0.691358), ("ordinal", 0.806721), ("interval", 0.810845), ("ratio", 0.808944)],
)
def test_alpha_of_krippendorffs_example(level: str, expected: float) -> None:
    votes = [(unit, value) for coder in CODERS for unit, value in enumerate(coder) if value]
    counts, values = count_table(*zip(*votes, strict=True))
    assert krippendorff_alpha(counts, values, level) == pytest.approx(expected, abs=1e-6)  # type: ignore[arg-type]


def test_the_six_correlations_of_shrout_and_fleiss() -> None:
    found = intraclass_correlations(JUDGES)
    assert found is not None
    assert [found.one_1, found.agreement_1, found.consistency_1] == pytest.approx(
        [0.1657, 0.2898, 0.7148], abs=5e-5
    )
    assert [found.one_k, found.agreement_k, found.consistency_k] == pytest.approx(
        [0.4428, 0.6201, 0.9093], abs=5e-5
    )


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_is_one_for_one_voice_and_near_zero_for_chance(level: str) -> None:
    same, values = count_table([0, 0, 1, 1, 2, 2], [1.0, 1.0, 3.0, 3.0, 5.0, 5.0])
    assert krippendorff_alpha(same, values, level) == pytest.approx(1.0)  # type: ignore[arg-type]
    generator = np.random.default_rng(0)
    chance, values = count_table(np.repeat(np.arange(2000), 5), generator.integers(1, 6, 10_000).tolist())
    assert abs(krippendorff_alpha(chance, values, level) or 1) < 0.02  # type: ignore[arg-type]


def test_units_with_one_vote_do_not_matter() -> None:
    first = count_table([0, 0, 1, 1], [1, 2, 2, 2])
    second = count_table([0, 0, 1, 1, 2, 3], [1, 2, 2, 2, 1, 2])
    assert krippendorff_alpha(*first, "nominal") == krippendorff_alpha(*second, "nominal")


def test_agreement_is_not_defined_where_nothing_could_differ() -> None:
    assert krippendorff_alpha(*count_table([0, 0, 1, 1], [4, 4, 4, 4]), "interval") is None
    assert krippendorff_alpha(np.zeros((0, 0)), [], "nominal") is None
    assert intraclass_correlations(np.full((4, 3), 2.0)) is None
    assert intraclass_correlations(np.array([[1.0, 2.0]])) is None


def test_a_table_with_holes_has_no_intraclass_correlation() -> None:
    with pytest.raises(ValueError, match="every rater's score"):
        intraclass_correlations(np.array([[1.0, np.nan], [2.0, 3.0]]))
