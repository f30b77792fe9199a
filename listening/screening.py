"""Rules of a study applied to its sittings, with one plain reason for each that is left out.

The rules were sealed before the votes. They decide what is analysed and never what is paid. Everything is
computed both ways, with all sittings and with those that pass, and once more for each rule alone, so that a
reader sees what a rule changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import Literal

from doppelbench.listening.join import JoinedVote
from doppelbench.listening.study import Item, Rules, Study

Rule = Literal["traps", "gold", "variance", "played", "speed", "incomplete"]
RULE_TITLES: dict[Rule, str] = {
    "traps": "instructions inside a clip not followed",
    "gold": "obvious clips misjudged",
    "variance": "one answer throughout",
    "played": "clips not heard to their end",
    "speed": "faster than the clips can be heard",
    "incomplete": "too few clips answered",
}
# A rate of playback above this is no rounding of the normal one.
FASTEST_RATE = 1.05
# Fewer answers than this say nothing about a spread.
FEWEST_ANSWERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One sitting and the rules that it breaks.

    Attributes:
        id: of the sitting.
        rater: who did it.
        block: what was done, or empty.
        votes: its votes on items that are counted.
        findings: reason by broken rule, in the order of ``RULE_TITLES``.
        rejected: whether the platform's owner refused it, which is no rule of the study.
    """

    id: str
    rater: str
    block: str
    votes: int
    findings: dict[Rule, str]
    rejected: bool

    @property
    def reason(self) -> str:
        """Why it is left out, in one sentence; empty where it is not."""
        return next(iter(self.findings.values()), "")


def screen(rows: Sequence[JoinedVote], study: Study) -> list[Sitting]:
    """Hold every sitting against the rules, in the order of the rows."""
    groups: dict[str, list[JoinedVote]] = {}
    for row in rows:
        groups.setdefault(row.vote.sitting, []).append(row)
    items = {item.id: item for item in study.items}
    blocks = {block.id: block.items for block in study.blocks}
    tests: dict[Rule, Callable[[list[JoinedVote]], str]] = {
        "traps": lambda group: _traps(group, study.rules),
        "gold": lambda group: _gold(group, study.rules),
        "variance": lambda group: _variance(group, study.rules),
        "played": lambda group: _played(group, study.rules),
        "speed": lambda group: _speed(group, study.rules, items),
        "incomplete": lambda group: _incomplete(group, study.rules, blocks.get(group[0].vote.block, ())),
    }
    return [
        Sitting(
            id=name,
            rater=group[0].vote.rater,
            block=group[0].vote.block,
            votes=sum(row.counted for row in group),
            findings={rule: reason for rule, test in tests.items() if (reason := test(group))},
            rejected=group[0].vote.rejected,
        )
        for name, group in groups.items()
    ]


def excluded_sittings(sittings: Sequence[Sitting], rule: Rule | None = None) -> dict[str, str]:
    """Reasons by sitting that is left out by one rule, or by any."""
    if rule is None:
        return {sitting.id: sitting.reason for sitting in sittings if sitting.findings}
    return {sitting.id: sitting.findings[rule] for sitting in sittings if rule in sitting.findings}


def kept_rows(rows: Sequence[JoinedVote], excluded: dict[str, str]) -> list[JoinedVote]:
    """The counted votes of the sittings that stay."""
    return [row for row in rows if row.counted and row.vote.sitting not in excluded]


def _traps(group: Sequence[JoinedVote], rules: Rules) -> str:
    asked = [row for row in group if row.kind == "trap" and row.expected and row.vote.answer]
    wrong = sum(row.vote.answer != row.expected for row in asked)
    if wrong <= rules.trap_errors:
        return ""
    allowed = f"({rules.trap_errors} allowed)"
    return f"{wrong} of {len(asked)} instructions spoken inside a clip not followed {allowed}"


def _gold(group: Sequence[JoinedVote], rules: Rules) -> str:
    asked = [row for row in group if row.kind == "gold" and row.expected and row.vote.answer]
    wrong = sum(_is_off(row, rules.gold_tolerance) for row in asked)
    if wrong <= rules.gold_errors:
        return ""
    return f"{wrong} of {len(asked)} clips with an obvious answer misjudged ({rules.gold_errors} allowed)"


def _is_off(row: JoinedVote, tolerance: float) -> bool:
    if row.value is None or not row.expected.isdecimal():
        return row.vote.answer != row.expected
    return abs(row.value - float(row.expected)) > tolerance


def _variance(group: Sequence[JoinedVote], rules: Rules) -> str:
    values = [row.value for row in group if row.value is not None and row.kind not in ("trap", "training")]
    if len(values) < FEWEST_ANSWERS or (spread := pstdev(values)) >= rules.minimum_deviation:
        return ""
    return (
        f"the {len(values)} answers hardly differ (standard deviation {spread:.2f}, "
        f"{rules.minimum_deviation:g} asked)"
    )


def _played(group: Sequence[JoinedVote], rules: Rules) -> str:
    told = {
        row.vote.item: row.vote.played for row in group if row.vote.answer and row.vote.played is not None
    }
    short = [share for share in told.values() if share < rules.minimum_played]
    if not short:
        return ""
    return (
        f"{len(short)} of {len(told)} clips not heard to their end (the least {100 * min(short):.0f} %, "
        f"{100 * rules.minimum_played:g} % asked)"
    )


def _speed(group: Sequence[JoinedVote], rules: Rules, items: dict[str, Item]) -> str:
    answered = {row.vote.item: row.vote for row in group if row.vote.answer}
    rates = [vote.rate for vote in answered.values() if vote.rate is not None]
    if rates and max(rates) > FASTEST_RATE:
        return f"clips played at up to {max(rates):g} times their rate"
    lengths = {
        name: rules.minimum_played * sum(stimulus.seconds for stimulus in items[name].stimuli)
        for name in answered
    }
    timed = {name: vote.seconds for name, vote in answered.items() if vote.seconds is not None}
    fast = [name for name, seconds in timed.items() if seconds < lengths[name]]
    if fast:
        return f"{len(fast)} of {len(timed)} clips answered in less time than they last"
    whole = group[0].vote.sitting_seconds
    if whole is not None and whole < sum(lengths.values()):
        return f"done in {whole:g} seconds, while the clips alone last {sum(lengths.values()):.0f}"
    return ""


def _incomplete(group: Sequence[JoinedVote], rules: Rules, block: Sequence[str]) -> str:
    if not block:
        return ""
    # Saying what is wrong with a clip is an answer too.
    done = len({row.vote.item for row in group} & set(block))
    if done >= rules.minimum_items_share * len(block):
        return ""
    return f"{done} of {len(block)} clips answered ({100 * rules.minimum_items_share:g} % asked)"
