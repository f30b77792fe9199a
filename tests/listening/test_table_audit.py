"""Printed figures by arithmetic: what Table 3 of the exemplar paper can and cannot be."""

import pytest

from doppelbench.listening.table_audit import (
    counts_for_percentage,
    denominators,
    geometric_mean_fits,
    pair_count,
    pair_counts,
    preference_notes,
    printed_bounds,
    sums_for_mean,
)

# Table 3: VS, CC and geometric mean of the four systems, then the three columns of preferences.
MEANS = [
    ("1.31", "1.60", "1.45"),
    ("1.97", "4.28", "2.90"),
    ("1.90", "4.05", "2.77"),
    ("3.32", "4.00", "3.64"),
]
NATURALNESS = ["0", "13.3", "6.7", "66.7"]
SIMILARITY = ["0", "2.0", "2.0", "94.0"]
CONTENT = ["0", "48.0", "18.0", "22.0"]


@pytest.mark.parametrize(("similarity", "consistency", "printed"), MEANS)
def test_the_geometric_means_are_those_of_the_printed_means(
    similarity: str, consistency: str, printed: str
) -> None:
    assert geometric_mean_fits(similarity, consistency, printed)
    wrong = f"{float(printed) + 0.03:.2f}"
    assert not geometric_mean_fits(similarity, consistency, wrong)


def test_similarity_and_content_preferences_come_from_fifty_items() -> None:
    assert [counts_for_percentage(text, 50) for text in SIMILARITY] == [[0], [1], [1], [47]]
    assert [counts_for_percentage(text, 50) for text in CONTENT] == [[0], [24], [9], [11]]
    notes = list(preference_notes(SIMILARITY, items=50, votes=500))
    assert notes == ["the preferences sum to 98 %, so ties or other answers were dropped"]


def test_the_naturalness_preferences_come_from_no_fifty_items_and_no_five_hundred_votes() -> None:
    assert counts_for_percentage("66.7", 50) == []
    notes = list(preference_notes(NATURALNESS, items=50, votes=500))
    assert notes[0].startswith("the preferences sum to 86.7 %")
    assert "13.3, 6.7, 66.7 cannot come from 50 items" in notes
    assert any("cannot come from 500 votes" in note for note in notes)


def test_the_naturalness_preferences_need_a_multiple_of_fifteen() -> None:
    found = denominators(NATURALNESS, highest=405)
    assert found
    assert all(n % 15 == 0 for n in found)
    assert set(range(15, 406, 15)) <= set(found)
    assert 50 not in found
    assert 500 not in denominators(NATURALNESS, highest=500)


def test_eighty_seven_percent_is_a_hundred_and_nine_votes_on_twenty_five_pairs() -> None:
    [found] = pair_counts("87.2", votes_per_pair=5, pairs=[25])
    assert (found.successes, found.n) == (109, 125)
    assert found.p == pytest.approx(3.42e-18, rel=2e-3)
    assert [found.interval.low, found.interval.high] == pytest.approx([0.8022, 0.9197], abs=5e-5)


def test_fifty_nine_percent_is_borderline_for_every_number_of_pairs() -> None:
    found = pair_counts("59.3", votes_per_pair=5, pairs=range(20, 31))
    assert [(entry.successes, entry.n) for entry in found] == [(80, 135), (83, 140), (86, 145), (89, 150)]
    assert found[0].p == pytest.approx(0.03847, abs=5e-6)
    assert [found[0].interval.low, found[0].interval.high] == pytest.approx([0.5083, 0.6718], abs=5e-5)
    assert all(0.027 <= entry.p <= 0.039 and entry.interval.low < 0.514 for entry in found)


def test_three_shares_of_an_appendix_have_the_denominator_96() -> None:
    assert denominators(["71.9", "83.3", "90.6"], highest=96)[-1] == 96


def test_a_mean_needs_a_whole_sum() -> None:
    assert sums_for_mean("3.19", 28) == []
    assert sums_for_mean("3.21", 28) == [90]
    assert sums_for_mean("5.20", 10) == []
    assert sums_for_mean("0.95", 20) == []


def test_a_count_at_the_ends_is_possible() -> None:
    assert counts_for_percentage("0", 50) == [0]
    assert counts_for_percentage("100.0", 7) == [7]
    assert pair_count(0, 5).interval.low == 0.0


def test_more_digits_leave_less_room() -> None:
    assert printed_bounds("4.6")[0] < printed_bounds("4.60")[0]


@pytest.mark.parametrize("text", ["", "four", "1e3", "nan", "1.2.3", "٣"])
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no decimal number"):
        printed_bounds(text)


def test_no_percentage_has_no_denominator() -> None:
    with pytest.raises(ValueError, match="no percentage"):
        denominators([], highest=10)
