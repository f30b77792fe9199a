"""Before a listening test: how precise it will be, how long a sitting is, and what it costs.

Votes are not independent: those of one rater share the rater's strictness, those of one item share the item.
With variances of items, raters and the rest, the mean of ``votes`` votes of ``raters`` people about ``items``
items has the variance ``item / items + rater / raters + residual / votes``, where everybody and everything
has an equal part. The usual interval (standard deviation over the root of votes) leaves this out and is too
narrow by a factor of two and more (Ribeiro et al., ICASSP 2011; Rosenberg and Ramabhadran, Interspeech 2017).

The half-widths are those of a system's own figure. Between two systems that the same people rated on the same
trials, the parts of rater and item that both share cancel.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from doppelbench.corpora.errors import InputError
from doppelbench.listening.plans import Plan

LEVEL = 0.95
# Of one sitting: a sound of the usual test sets, and reading and choosing an answer.
SOUND_SECONDS = 4.0
ANSWER_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of one vote about a system.

    Attributes:
        item: between items.
        rater: between raters.
        residual: what is left.
    """

    item: float
    rater: float
    residual: float

    def __post_init__(self) -> None:
        if min(self.item, self.rater, self.residual) < 0:
            raise InputError(f"variances are 0 or more, not {self.item}, {self.rater} and {self.residual}")


# Votes on naturalness from 1 to 5 by English listeners of the Voice Conversion Challenge 2020, from its
# public votes for four systems: items 0.13 to 0.30, raters 0.25 to 0.50, the rest 0.17 to 0.24. These are the
# middles.
VCC2020 = Components(0.215, 0.375, 0.205)
# Of the variance of a preference. An assumption: no votes on pairs were at hand to compute them from.
PREFERENCE_ITEM, PREFERENCE_RATER = 0.15, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What a platform takes on top of the reward.

    Attributes:
        platform: its name.
        stated: when these were stated.
        share: of the reward.
        many_share: added for tasks that many people do.
        many: people from which on it is added.
        masters_share: added for the platform's own selection of people.
        minimum: of one assignment, in US dollars.
    """

    platform: str
    stated: str
    share: float
    many_share: float = 0.0
    many: int = 10
    masters_share: float = 0.0
    minimum: float = 0.0

    def of(self, reward: float, *, raters: int, masters: bool) -> float:
        """Fee of one assignment in US dollars."""
        share = self.share + (self.many_share if raters >= self.many else 0.0)
        share += self.masters_share if masters else 0.0
        return max(self.minimum, share * reward) if reward > 0 else 0.0


# As two sources of 2026 agree; the platform announced its end for 30 September 2026.
MECHANICAL_TURK = Fees(
    platform="Amazon Mechanical Turk",
    stated="2026-09",
    share=0.2,
    many_share=0.2,
    masters_share=0.05,
    minimum=0.01,
)
OWN_SERVER = Fees(platform="own server", stated="", share=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a plan amounts to.

    Attributes:
        items: rated screens, without gold, traps and training.
        blocks: sittings that are offered.
        assignments: blocks times the people who do each.
        votes: answers to rated items.
        minutes: of one sitting, estimated; of the longest kind of block.
        hourly: pay per hour in US dollars, from these minutes.
        rewards: in US dollars.
        fees: in US dollars.
        half_width: expected, of one system's figure on one question; points of the scale, or share for pairs.
        raters: different people per question that it takes for granted.
    """

    items: int
    blocks: int
    assignments: int
    votes: int
    minutes: float
    hourly: float
    rewards: float
    fees: float
    half_width: float
    raters: int

    @property
    def total(self) -> float:
        """Rewards and fees in US dollars."""
        return round(self.rewards + self.fees, 2)


def half_width(components: Components, *, items: int, raters: int, votes: int, level: float = LEVEL) -> float:
    """Expected half-width of the interval of a system's mean.

    Args:
        components: variances of a vote.
        items: different items of the system.
        raters: different people who rate it.
        votes: about the system, evenly from the people and about the items.
        level: of the interval.

    Returns:
        In the unit of the votes; normal quantile, so that it is too small for fewer than some ten people.

    Raises:
        InputError: a number below 1, or fewer votes than items or raters.
    """
    if min(items, raters) < 1 or votes < max(items, raters):
        raise InputError(f"{votes} votes of {raters} raters about {items} items cannot be")
    variance = components.item / items + components.rater / raters + components.residual / votes
    return _quantile(level) * math.sqrt(variance)


def votes_needed(
    components: Components, wanted: float, *, items: int, votes_per_rater: int, level: float = LEVEL
) -> int:
    """Votes about a system that it takes for a half-width.

    Args:
        components: variances of a vote.
        wanted: half-width.
        items: different items of the system.
        votes_per_rater: about the system, by one person.
        level: of the interval.

    Returns:
        Votes; those about one item are this number over ``items``.

    Raises:
        InputError: so few items cannot give it, however many people rate them; the message says how many it
            takes at least.
    """
    if wanted <= 0 or items < 1 or votes_per_rater < 1:
        raise InputError(f"no votes give a half-width of {wanted} with {items} items")
    allowed = (wanted / _quantile(level)) ** 2
    left = allowed - components.item / items
    if left <= 0:
        least = math.floor(components.item / allowed) + 1
        raise InputError(
            f"{items} items cannot give a half-width of {wanted:g}, however many people rate them; it takes "
            f"more than {least - 1}"
        )
    needed = (components.rater * votes_per_rater + components.residual) / left
    return max(items, votes_per_rater, math.ceil(needed - 1e-9))


def preference_components(
    share: float = 0.5, *, item: float = PREFERENCE_ITEM, rater: float = PREFERENCE_RATER
) -> Components:
    """Variances of one vote for the first of two systems, 1 or 0.

    Args:
        share: expected for it; 0.5 is the widest.
        item: part of the variance that is between items.
        rater: part of the variance that is between raters.

    Raises:
        InputError: a share outside of 0 to 1, or parts of more than the whole.
    """
    if not 0 <= share <= 1 or min(item, rater) < 0 or item + rater > 1:
        raise InputError(f"a share of {share} with parts of {item} and {rater} cannot be")
    whole = share * (1 - share)
    return Components(item * whole, rater * whole, (1 - item - rater) * whole)


def session_minutes(
    plan: Plan, *, sound_seconds: float = SOUND_SECONDS, answer_seconds: float = ANSWER_SECONDS
) -> float:
    """Estimated length of one sitting without training, every sound heard once; of the longest kind of block.

    Args:
        plan: of the study.
        sound_seconds: mean duration of a sound.
        answer_seconds: for each question.
    """
    screens = max(plan.portions()) + plan.gold + plan.traps
    longest = 0.0
    for questions in plan.screens():
        sounds = 2 if plan.of_pairs else 1
        # In pairs the target is heard beside them.
        sounds += plan.of_pairs or "similarity" in questions
        sounds += "consistency" in questions
        longest = max(longest, sounds * sound_seconds + len(questions) * answer_seconds)
    return screens * longest / 60


def budget(
    plan: Plan,
    systems: int,
    *,
    blocks_per_rater: int = 1,
    components: Components | None = None,
    fees: Fees = MECHANICAL_TURK,
    sound_seconds: float = SOUND_SECONDS,
) -> Budget:
    """What a plan costs and gives with so many systems.

    Args:
        plan: of the study; one reference and one anchor are counted where it wants them.
        systems: under test; all pairs of them are compared where the plan asks about pairs.
        blocks_per_rater: that one person does of each kind; the more, the fewer people and the less precise.
        components: variances; VCC2020's for scales, those of an even preference for pairs when None.
        fees: of the platform.
        sound_seconds: mean duration of a sound.

    Raises:
        InputError: too few systems.
    """
    if systems < 1 + plan.of_pairs or blocks_per_rater < 1:
        raise InputError(f"the plan {plan.name} cannot be made with {systems} systems")
    rows = math.comb(systems, 2) if plan.of_pairs else systems + plan.references + plan.anchors
    people = plan.recruitment.raters_per_item
    blocks = plan.blocks(rows)
    kinds = len(plan.screens())
    items = kinds * rows * plan.trials
    # Whoever does a block rates every row that is in it; every item needs different people.
    raters = max(people, blocks // kinds * people // blocks_per_rater)
    votes = plan.trials * people
    if components is None:
        components = preference_components() if plan.of_pairs else VCC2020
    reward, minutes = plan.recruitment.reward, session_minutes(plan, sound_seconds=sound_seconds)
    fee = fees.of(reward, raters=people, masters=plan.recruitment.masters)
    return Budget(
        items=items,
        blocks=blocks,
        assignments=blocks * people,
        votes=items * people * len(plan.screens()[0]),
        minutes=minutes,
        hourly=60 * reward / minutes,
        rewards=round(blocks * people * reward, 2),
        fees=round(blocks * people * fee, 2),
        half_width=half_width(components, items=plan.trials, raters=min(raters, votes), votes=votes),
        raters=min(raters, votes),
    )


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
