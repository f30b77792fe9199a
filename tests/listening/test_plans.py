"""Plans say what they should, and nonsense is refused."""

from dataclasses import replace

import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.listening.plans import ABX, NATURALNESS, P808, PLANS, find_plan, preference


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_plan_is_found_by_its_name_and_by_the_one_that_raters_may_read(name):
    plan = find_plan(name)
    assert find_plan(plan.alias) is plan
    # A system of the run may be called as the paper's.
    assert "exemplar" not in plan.alias


def test_an_unknown_plan_is_refused_and_the_others_are_listed():
    with pytest.raises(InputError, match=r"no plan 'p900'.*exemplar-2021, exemplar-2021-ab, p808"):
        find_plan("p900")


def test_the_papers_plan_is_the_papers():
    plan = find_plan("exemplar-2021")
    assert [question.name for question in plan.questions] == ["naturalness", "similarity", "consistency"]
    assert (plan.targets, plan.trials, plan.recruitment.raters_per_item) == (10, 50, 10)
    who = plan.recruitment
    assert (who.masters, who.minimum_approval, who.minimum_tasks, who.countries) == (True, 98, 1000, ("US",))
    assert find_plan("exemplar-2021-ab").recruitment.raters_per_item == 5


def test_naturalness_has_the_five_words_of_absolute_category_rating():
    assert [(answer.value, answer.word) for answer in NATURALNESS.answers] == [
        ("1", "Bad"),
        ("2", "Poor"),
        ("3", "Fair"),
        ("4", "Good"),
        ("5", "Excellent"),
    ]


def test_a_preference_may_allow_for_no_difference():
    assert [answer.value for answer in preference().answers] == ["first", "second"]
    assert [answer.value for answer in preference(same=True).answers] == ["first", "same", "second"]


@pytest.mark.parametrize(("trials", "sizes"), [(50, [10] * 5), (23, [8, 8, 7]), (4, [4]), (11, [6, 5])])
def test_portions_are_as_equal_as_can_be(trials, sizes):
    assert replace(P808, trials=trials).portions() == sizes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"questions": (NATURALNESS, ABX)}, "cannot be mixed"),
        ({"questions": ()}, "expected questions"),
        ({"questions": (NATURALNESS, NATURALNESS)}, "each one once"),
        ({"trials": 0}, "trials must be 1 or more"),
        ({"traps": -1}, "traps must be 0 or more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        replace(P808, **change)
