"""A dry run: raters with known behaviour answer a study in the format of a platform's results file.

An honest rater hears a system's quality on the scale's own numbers, plus what is particular to the trial, to
the person, to both with the system, and to the moment; the answer is that sum, rounded and kept on the scale.
Its expected value is known, so that an analysis can be held against the truth before a person is paid. The
other kinds are what screening is for. Names of raters start with ``simulated-``, which every analysis shows.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.listening.fields import (
    ANSWER_PREFIX,
    BLOCK,
    INPUT_PREFIX,
    ITEM,
    PLAYED,
    PLAYS,
    RATE,
    SECONDS,
    TIME,
    numbered,
)
from doppelbench.listening.join import FIRST, SAME, SECOND, scale_of
from doppelbench.listening.study import Block, Item, Key, KeyEntry, Study
from doppelbench.listening.votes import SIMULATED

Behaviour = Literal["honest", "lazy", "side-biased", "always-4", "speeder", "bot"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
# Metadata of a platform's results file, in its order.
METADATA = (
    "HITId",
    "HITTypeId",
    "Title",
    "Description",
    "Keywords",
    "Reward",
    "CreationTime",
    "MaxAssignments",
    "RequesterAnnotation",
    "AssignmentDurationInSeconds",
    "AutoApprovalDelayInSeconds",
    "Expiration",
    "NumberOfSimilarHITs",
    "LifetimeInSeconds",
    "AssignmentId",
    "WorkerId",
    "AssignmentStatus",
    "AcceptTime",
    "SubmitTime",
    "AutoApprovalTime",
    "ApprovalTime",
    "RejectionTime",
    "RequesterFeedback",
    "WorkTimeInSeconds",
    "LifetimeApprovalRate",
    "Last30DaysApprovalRate",
    "Last7DaysApprovalRate",
)
REVIEW = ("Approve", "Reject")
START = datetime(2000, 1, 1, tzinfo=UTC)
SIDE_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who answers, and what they hear.

    Attributes:
        effects: quality of each system on each question, in points of the scale; on a pair, the difference
            of two decides.
        raters: people in the pool.
        shares: of the pool by behaviour, summing to 1; counts are rounded, honest raters are the rest.
        item_deviation: standard deviation of what trials add for all systems alike.
        rater_deviation: of what raters add to everything.
        item_system_deviation: of what a trial adds for one system.
        rater_system_deviation: of what a rater adds for one system.
        noise_deviation: of what is left.
        tie_band: difference below which a pair is called the same, where that may be answered.
    """

    effects: Mapping[str, Mapping[str, float]]
    raters: int = 40
    shares: Mapping[Behaviour, float] = field(default_factory=lambda: {"honest": 1.0})
    item_deviation: float = 0.45
    rater_deviation: float = 0.6
    item_system_deviation: float = 0.3
    rater_system_deviation: float = 0.25
    noise_deviation: float = 0.5
    tie_band: float = 0.4

    def behaviours(self) -> list[Behaviour]:
        """Behaviour of every rater of the pool, the honest ones first."""
        unknown = sorted(set(self.shares) - set(BEHAVIOURS))
        if unknown:
            raise InputError(f"raters cannot be {unknown[0]}; known are {', '.join(BEHAVIOURS)}")
        if abs(sum(self.shares.values()) - 1) > 1e-6 or min(self.shares.values()) < 0:
            raise InputError("the shares of a simulated crowd do not sum to 1")
        others: list[Behaviour] = []
        for behaviour in BEHAVIOURS[1:]:
            others += [behaviour] * round(self.raters * self.shares.get(behaviour, 0.0))
        honest: list[Behaviour] = ["honest"] * max(0, self.raters - len(others))
        return honest + others

    def expected_score(self, system: str, question: str, scale: tuple[float, float] = (1, 5)) -> float:
        """Mean score that honest raters of the whole population give to all trials there could be."""
        parts = (
            self.item_deviation,
            self.rater_deviation,
            self.item_system_deviation,
            self.rater_system_deviation,
            self.noise_deviation,
        )
        return expected_answer(self.effects[system][question], float(np.linalg.norm(parts)), scale)

    def expected_choice(self, first: str, second: str, question: str) -> tuple[float, float]:
        """Probabilities that honest raters prefer the first system, and that they hear no difference."""
        own = (self.item_system_deviation, self.rater_system_deviation, self.noise_deviation)
        difference = self.effects[first][question] - self.effects[second][question]
        normal = NormalDist(difference, float(np.sqrt(2) * np.linalg.norm(own)))
        same = normal.cdf(self.tie_band) - normal.cdf(-self.tie_band)
        return 1 - normal.cdf(self.tie_band), same


def expected_answer(latent: float, deviation: float, scale: tuple[float, float] = (1, 5)) -> float:
    """Expected value of a normal variable that is rounded and kept on a scale of whole numbers."""
    normal = NormalDist(latent, deviation)
    steps = range(int(scale[0]), int(scale[1]))
    return scale[0] + sum(1 - normal.cdf(step + 0.5) for step in steps)


def scale_answers(latent: np.ndarray, scale: tuple[float, float] = (1, 5)) -> np.ndarray:
    """Round what is heard and keep it on the scale."""
    return np.clip(np.rint(latent), *scale)


def simulate_answers(study: Study, key: Key, crowd: Crowd, *, seed: int = 0) -> list[dict[str, str]]:
    """Answer every block by as many raters as the study asks for.

    Args:
        study: that is answered.
        key: of the study.
        crowd: who answers.
        seed: of everything that is drawn.

    Returns:
        Rows of a results file.

    Raises:
        InputError: the crowd does not know a system of the key, or is smaller than the raters of a block.
    """
    wanted = study.recruitment.raters_per_item
    if crowd.raters < wanted:
        raise InputError(f"{crowd.raters} simulated raters cannot give {wanted} different ones to an item")
    session = _Session(study, key, crowd, seed)
    rows = []
    for block in study.blocks:
        chosen = session.generator.choice(crowd.raters, size=wanted, replace=False)
        rows += [session.sitting(block, int(rater), wanted) for rater in chosen]
    return rows


def write_simulated_results(path: Path, study: Study, key: Key, crowd: Crowd, *, seed: int = 0) -> Path:
    """Write :func:`simulate_answers` as a platform would, all cells in quotes."""
    rows = simulate_answers(study, key, crowd, seed=seed)
    named = {column for row in rows for column in row}
    inputs = sorted((name for name in named if name.startswith(INPUT_PREFIX)), key=_by_place)
    answers = sorted((name for name in named if name.startswith(ANSWER_PREFIX)), key=_by_place)
    buffer = io.StringIO()
    columns = [*METADATA, *inputs, *answers, *REVIEW]
    writer = csv.DictWriter(buffer, columns, restval="", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(buffer.getvalue(), encoding="utf-8")
    return path


def _by_place(column: str) -> tuple[int, str]:
    name, _, place = column.rpartition("_")
    return (int(place), name) if place.isdecimal() else (-1, column)


class _Session:
    """What a crowd hears in one study; effects are drawn once, answers as they are given."""

    def __init__(self, study: Study, key: Key, crowd: Crowd, seed: int):
        self.study, self.key, self.crowd = study, key, crowd
        self.generator = np.random.default_rng(seed)
        self.items = {item.id: item for item in study.items}
        self.scales: dict[str, tuple[float, float] | None] = {
            question.name: scale_of(study, question.name) for question in study.questions
        }
        self.behaviours = crowd.behaviours()
        trials = sorted({entry.trial for entry in key.entries.values()})
        systems = sorted(crowd.effects)
        self.trials = {name: index for index, name in enumerate(trials)}
        self.systems = {name: index for index, name in enumerate(systems)}
        draw = self.generator.normal
        self.of_trial = draw(0, crowd.item_deviation, len(trials))
        self.of_rater = draw(0, crowd.rater_deviation, crowd.raters)
        self.of_trial_system = draw(0, crowd.item_system_deviation, (len(trials), len(systems)))
        self.of_rater_system = draw(0, crowd.rater_system_deviation, (crowd.raters, len(systems)))
        self.count = 0

    def sitting(self, block: Block, rater: int, assignments: int) -> dict[str, str]:
        self.count += 1
        behaviour = self.behaviours[rater]
        row = {
            "HITId": f"simulated-hit-{block.id}",
            "Title": self.study.title,
            "Reward": f"${self.study.recruitment.reward:.2f}",
            "MaxAssignments": str(assignments),
            "AssignmentId": f"simulated-assignment-{self.count:05d}",
            "WorkerId": f"{SIMULATED}{rater:04d}",
            "AssignmentStatus": "Submitted",
            INPUT_PREFIX + BLOCK: block.id,
        }
        begin = moment = START + timedelta(minutes=self.count)
        for place, name in enumerate(block.items):
            item = self.items[name]
            row[INPUT_PREFIX + numbered(ITEM, place)] = name
            for stimulus in item.stimuli:
                row[INPUT_PREFIX + numbered(stimulus.role, place)] = stimulus.file
            for question in item.questions:
                row[ANSWER_PREFIX + numbered(question, place)] = self.answer(item, question, rater, behaviour)
            evidence = self.evidence(item, behaviour)
            moment += timedelta(seconds=float(evidence[SECONDS]))
            evidence[TIME] = moment.isoformat()
            row |= {ANSWER_PREFIX + numbered(what, place): value for what, value in evidence.items()}
        row["AcceptTime"], row["SubmitTime"] = (
            f"{time:%a %b %d %H:%M:%S} UTC {time:%Y}" for time in (begin, moment)
        )
        row["WorkTimeInSeconds"] = str(round((moment - begin).total_seconds()))
        return row

    def answer(self, item: Item, question: str, rater: int, behaviour: Behaviour) -> str:
        entry = self.key.entries[item.id]
        choices = [answer.value for answer in self.study.question(question).answers]
        draw = self.generator
        if behaviour in ("bot", "lazy", "speeder"):
            return str(draw.choice(choices))
        if behaviour == "always-4":
            return "4" if "4" in choices else choices[0]
        if behaviour == "side-biased" and FIRST in choices:
            return FIRST if draw.random() < SIDE_SHARE else SECOND
        if entry.expected:
            return entry.expected.get(question, choices[-1])
        heard = [self.heard(entry, system, question, rater) for system in entry.systems]
        scale = self.scales[question]
        if scale is not None:
            latent = heard[0] + self.of_trial[self.trials[entry.trial]] + self.of_rater[rater]
            return f"{float(scale_answers(np.asarray(latent), scale)):g}"
        difference = heard[0] - heard[-1]
        if SAME in choices and abs(difference) < self.crowd.tie_band:
            return SAME
        return FIRST if difference > 0 else SECOND

    def heard(self, entry: KeyEntry, system: str, question: str, rater: int) -> float:
        effects = self.crowd.effects.get(system, {})
        if question not in effects:
            raise InputError(f"the simulated crowd is not told how {system} sounds on {question}")
        place, trial = self.systems[system], self.trials[entry.trial]
        own = self.of_trial_system[trial, place] + self.of_rater_system[rater, place]
        return float(effects[question] + own + self.generator.normal(0, self.crowd.noise_deviation))

    def evidence(self, item: Item, behaviour: Behaviour) -> dict[str, str]:
        length = sum(stimulus.seconds for stimulus in item.stimuli)
        slack = float(self.generator.uniform(2, 6))
        told: Sequence[object]
        if behaviour == "lazy":
            told = (1, round(float(self.generator.uniform(0.2, 0.8)), 2), 1.0, round(length, 2))
        elif behaviour == "speeder":
            told = (1, 1.0, 4.0, round(length / 4 + 0.2, 2))
        elif behaviour == "bot":
            told = (1, 1.0, 1.0, 0.5)
        else:
            told = (1 + int(self.generator.random() < 0.2), 1.0, 1.0, round(length + slack, 2))
        return {name: str(value) for name, value in zip((PLAYS, PLAYED, RATE, SECONDS), told, strict=True)}
