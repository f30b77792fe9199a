"""What a paper has to say about its listening test, written from the study and its analysis.

Most papers leave out who listened, for what pay, under which instructions and who was excluded (Chiang et
al., Interspeech 2023). The paragraph and the datasheet say all that the study knows, and where it does not
know, they say so.
"""

from typing import TYPE_CHECKING

from doppelbench.listening.crossed import FEWEST
from doppelbench.listening.screening import RULE_TITLES
from doppelbench.listening.study import Study

if TYPE_CHECKING:
    from doppelbench.listening.analysis import Analysis

INTERVALS = (
    "Intervals are 95 % over raters and trials as two crossed random samples: a bootstrap that draws both "
    "({draws:,} resamples, product weights), at the width of the two-way cluster-robust variance with "
    "Student's t"
)
NOT_RECORDED = "not recorded by the study; add it"


def methods_paragraph(analysis: "Analysis") -> str:
    """A paragraph for the paper's section on the listening test."""
    study, result = analysis.study, analysis.screened
    sentences = []
    if analysis.simulated:
        sentences.append("The raters below are simulated: no person has listened.")
    asked = _and([f"{question.name} ({_answers(study, question.name)})" for question in study.questions])
    sentences.append(f"Raters judged {asked}.")
    sentences.append(
        f"{_count(len(study.blocks), 'block')} of up to {max(len(block.items) for block in study.blocks)} "
        f"clips were each offered to {study.recruitment.raters_per_item} raters; names of files did "
        "not tell the systems."
    )
    sentences.append(f"{_recruitment(study)} {_pay(study)}")
    total, kept = len(analysis.sittings), len(analysis.sittings) - len(analysis.excluded)
    sentences.append(
        f"{_count(total, 'sitting')} of {_count(analysis.everyone.raters, 'rater')} came in; "
        f"{_count(total - kept, 'sitting')} {'was' if total - kept == 1 else 'were'} excluded by rules fixed "
        f"before the first vote{_rules(analysis)}, which leaves {result.votes:,} votes of "
        f"{_count(result.raters, 'rater')} on {_count(result.trials, 'trial')}."
    )
    if any(question.name not in ("preference", "abx") for question in study.questions):
        sentences.append(
            f"{INTERVALS.format(draws=analysis.draws)}; systems are compared with Holm's correction. "
            f"Nothing is claimed beyond the sample where fewer than {FEWEST} raters or trials were heard."
        )
    if result.pairs:
        ties = sum(pair.ties for entry in result.pairs for pair in entry.pairs)
        sentences.append(
            f"Preferences are shares of decided votes ({_count(ties, 'tie')} apart), with the interval over "
            "raters and trials and an exact binomial test."
        )
    sentences.append(f"Design and rules were sealed as {study.design_sha256()[:16]}.")
    return " ".join(sentences)


def rater_datasheet(analysis: "Analysis") -> dict[str, str]:
    """Facts about raters and task, one a line, for an appendix."""
    study = analysis.study
    times = sorted(
        {
            row.vote.sitting: row.vote.sitting_seconds
            for row in analysis.rows
            if row.vote.sitting_seconds is not None
        }.values()
    )
    recruitment = study.recruitment
    minutes = f"{times[len(times) // 2] / 60:.1f} minutes (median)" if times else NOT_RECORDED
    hourly = NOT_RECORDED
    if times and times[len(times) // 2] > 0:
        hourly = f"${recruitment.reward * 3600 / times[len(times) // 2]:.2f} at the median time"
    return {
        "raters": f"{analysis.everyone.raters}" + (" (simulated)" if analysis.simulated else ""),
        "sittings": f"{len(analysis.sittings)}, {len(analysis.excluded)} excluded",
        "recruitment": _recruitment(study),
        "pay": _pay(study),
        "time of a sitting": minutes,
        "pay by the hour": hourly,
        "consent": study.consent,
        "instructions": " ".join(study.instructions),
        "questions": " ".join(
            f"{question.text} ({_answers(study, question.name)})" for question in study.questions
        ),
        "training": _count(len(study.training), "clip") + " before the first block, not counted",
        "language, age and hearing of the raters": NOT_RECORDED,
        "devices": NOT_RECORDED,
    }


def _answers(study: Study, question: str) -> str:
    answers = study.question(question).answers
    return ", ".join(
        f"{answer.value} {answer.word}" if answer.value.isdecimal() else answer.word for answer in answers
    )


def _recruitment(study: Study) -> str:
    recruitment = study.recruitment
    wanted = []
    if recruitment.masters:
        wanted.append("a platform's Masters only")
    if recruitment.minimum_approval is not None:
        wanted.append(f"more than {recruitment.minimum_approval} % of earlier work approved")
    if recruitment.minimum_tasks is not None:
        wanted.append(f"more than {recruitment.minimum_tasks} earlier tasks")
    if recruitment.countries:
        wanted.append(f"in {_and(list(recruitment.countries))}")
    return f"Asked of raters: {_and(wanted) if wanted else 'nothing'}."


def _pay(study: Study) -> str:
    return (
        f"A block was paid ${study.recruitment.reward:.2f}, whether or not it entered the analysis, "
        f"with {study.recruitment.minutes} minutes allotted."
    )


def _rules(analysis: "Analysis") -> str:
    counts = [
        f"{title}: {count}"
        for rule, title in RULE_TITLES.items()
        if (count := sum(rule in sitting.findings for sitting in analysis.sittings))
    ]
    return f" ({'; '.join(counts)})" if counts else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
