"""Plans of listening tests: what is asked, of how many sounds, of whom, and in what portions.

A plan knows no system. :data:`PLANS` holds those with a name; any field of one may be changed with
:func:`dataclasses.replace`.
"""

from dataclasses import dataclass, field
from typing import Literal

from doppelbench.corpora.errors import InputError
from doppelbench.listening.study import Answer, Question, QuestionName, Recruitment, Rules

PAIR_QUESTIONS = frozenset({"preference", "abx"})


def scale(name: QuestionName, text: str, words: tuple[str, ...]) -> Question:
    """A question answered from 1 to 5; the words are in that order."""
    return Question(name, text, tuple(Answer(str(value), word) for value, word in enumerate(words, 1)))


def preference(text: str = "Which of the two recordings do you prefer?", *, same: bool = False) -> Question:
    """Ask which of two recordings is better; ``same`` allows for no difference."""
    middle = (Answer("same", "No difference"),) if same else ()
    return Question(
        "preference", text, (Answer("first", "Recording A"), *middle, Answer("second", "Recording B"))
    )


# The five words of absolute category rating in ITU-T P.800.
NATURALNESS = scale(
    "naturalness",
    "How natural does this recording sound, compared with a person speaking?",
    ("Bad", "Poor", "Fair", "Good", "Excellent"),
)
SIMILARITY = scale(
    "similarity",
    "How similar is the voice to the voice it should have? Judge the voice alone, not the words.",
    ("Completely different", "Mostly different", "Somewhat similar", "Very similar", "The same voice"),
)
CONSISTENCY = scale(
    "consistency",
    "How many of the words are those it should say? Judge the words alone, not the voice.",
    ("None of them", "Few of them", "About half of them", "Most of them", "All of them"),
)
ABX = Question(
    "abx",
    "Which of the two sounds more like the voice it should have?",
    (Answer("first", "Recording A"), Answer("second", "Recording B")),
)

TITLE = "Listening test"
INSTRUCTIONS = (
    "Please use headphones in a quiet room and set a comfortable volume before you begin.",
    "Play each recording to its end, then answer. You may play it again as often as you like.",
    "There is no right or wrong opinion. Some recordings ask you to select a certain answer: please do so.",
)
CONSENT = (
    "I take part of my own free will and may stop at any time. My answers are stored without my name and are "
    "used for research."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a study is made, whatever the systems are.

    Attributes:
        name: in :data:`PLANS`.
        alias: second name, which raters may read; it names no system.
        citation: where the sizes come from.
        questions: of scales, or of pairs; not both.
        layout: scales in blocks of their own (``separate``), or all on one screen (``together``), which
            invites the answer to one to colour the next.
        targets: people whose voice is asked for.
        trials: of each system, over all targets.
        block_size: rated items of one sitting, at most.
        gold: items with a known answer that are added to each block.
        traps: items with a spoken instruction that are added to each block.
        training: items of each kind of block that are shown first and not counted.
        references: natural recordings are rated as if a system had made them.
        anchors: so are low-passed ones.
        rules: of exclusion.
        recruitment: of raters.
    """

    name: str
    alias: str
    citation: str
    questions: tuple[Question, ...]
    layout: Literal["separate", "together"] = "separate"
    targets: int
    trials: int
    block_size: int = 10
    gold: int = 0
    traps: int = 0
    training: int = 0
    references: bool = False
    anchors: bool = False
    rules: Rules = field(default_factory=Rules)
    recruitment: Recruitment = field(default_factory=Recruitment)

    def __post_init__(self) -> None:
        names = [question.name for question in self.questions]
        if not names or len(set(names)) < len(names):
            raise InputError(f"plan {self.name}: expected questions, each one once, not {names}")
        if len({name in PAIR_QUESTIONS for name in names}) > 1:
            raise InputError(f"plan {self.name}: a scale and a question about pairs cannot be mixed")
        least = {"targets": 1, "trials": 1, "block_size": 1, "gold": 0, "traps": 0, "training": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise InputError(
                    f"plan {self.name}: {name} must be {bound} or more, not {getattr(self, name)}"
                )

    @property
    def of_pairs(self) -> bool:
        """Two outputs are compared, instead of one being rated."""
        return self.questions[0].name in PAIR_QUESTIONS

    def screens(self) -> list[tuple[QuestionName, ...]]:
        """Questions of one screen, for every kind of block."""
        names = tuple(question.name for question in self.questions)
        return [names] if self.layout == "together" else [(name,) for name in names]

    def portions(self, trials: int | None = None) -> list[int]:
        """Divide trials into portions of at most ``block_size``, as equal as can be.

        Args:
            trials: those of the plan when None.

        Returns:
            Sizes; each portion is one block for each row (system or pair).
        """
        total = self.trials if trials is None else trials
        count = -(-total // self.block_size)
        return [total // count + (index < total % count) for index in range(count)]

    def blocks(self, rows: int) -> int:
        """Number of blocks for so many rows: systems with references and anchors, or pairs of systems."""
        return len(self.screens()) * rows * len(self.portions())


# The paper states scales, numbers of trials and raters, and the filter; it says nothing of pay, of portions,
# of traps and of whether scales shared a page. Gold and anchors would widen the range that raters hear and
# shift their answers against the printed ones; traps do not.
_EXEMPLAR_FILTER = {"masters": True, "minimum_approval": 98, "minimum_tasks": 1000, "countries": ("US",)}
EXEMPLAR_2021 = Plan(
    name="exemplar-2021",
    alias="mos-2021",
    citation="Deng et al., ICLR 2021, table 3",
    questions=(NATURALNESS, SIMILARITY, CONSISTENCY),
    targets=10,
    trials=50,
    traps=1,
    recruitment=Recruitment(raters_per_item=10, reward=0.5, minutes=30, **_EXEMPLAR_FILTER),  # type: ignore[arg-type]
)
EXEMPLAR_2021_AB = Plan(
    name="exemplar-2021-ab",
    alias="ab-2021",
    citation="Deng et al., ICLR 2021, section 4.2 and appendices D.3 and D.4",
    questions=(preference(),),
    targets=10,
    trials=50,
    traps=1,
    recruitment=Recruitment(raters_per_item=5, reward=0.5, minutes=30, **_EXEMPLAR_FILTER),  # type: ignore[arg-type]
)
# At least 98 % of at least 500 tasks; what is stored is what must be exceeded.
P808 = Plan(
    name="p808",
    alias="p808",
    citation="ITU-T P.808 as its open toolkit applies it (Naderi and Cutler, Interspeech 2020)",
    questions=(NATURALNESS,),
    targets=10,
    trials=50,
    gold=1,
    traps=1,
    training=5,
    references=True,
    anchors=True,
    recruitment=Recruitment(
        raters_per_item=10, minimum_approval=97, minimum_tasks=499, countries=("US",), reward=0.5, minutes=60
    ),
)
# People are invited and watched: no platform, no traps.
P800 = Plan(
    name="p800",
    alias="p800",
    citation="ITU-T P.800, annex B: absolute category rating in a laboratory",
    questions=(NATURALNESS,),
    targets=10,
    trials=50,
    block_size=50,
    training=5,
    references=True,
    anchors=True,
    recruitment=Recruitment(raters_per_item=24, reward=0.0, minutes=30),
)
SMALL = Plan(
    name="small",
    alias="small",
    citation="to try things out; too small for conclusions",
    questions=(NATURALNESS, SIMILARITY, CONSISTENCY),
    layout="together",
    targets=4,
    trials=8,
    block_size=8,
    gold=1,
    traps=1,
    training=2,
    references=True,
    recruitment=Recruitment(raters_per_item=3, reward=0.5, minutes=20),
)
PLANS: dict[str, Plan] = {plan.name: plan for plan in (EXEMPLAR_2021, EXEMPLAR_2021_AB, P808, P800, SMALL)}


def find_plan(name: str) -> Plan:
    """The plan of a name or alias.

    Raises:
        InputError: there is none; the message lists those that there are.
    """
    for plan in PLANS.values():
        if name in (plan.name, plan.alias):
            return plan
    raise InputError(f"there is no plan {name!r} of a listening test; there are {', '.join(PLANS)}")
