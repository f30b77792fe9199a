"""The check of a submission with its progress; needs no recipe, and nothing that is slow to load."""

from collections.abc import Callable
from pathlib import Path

from doppelbench.benchmark.progress import TaskProgress
from doppelbench.leaderboards.submission_check import CheckReport, Expectation, check_submission
from doppelbench.leaderboards.submission_trials import TrialRow


def check_with_progress(
    path: Path,
    expectation: Expectation | None = None,
    write: Callable[[TrialRow], Path] | None = None,
) -> CheckReport:
    """Check a folder or an archive as :func:`~doppelbench.leaderboards.submission_check.check_submission`
    does."""
    with TaskProgress("checking", 0) as progress:

        def advance(total: int) -> None:
            progress.total = total
            progress.advance()

        return check_submission(path, expectation, write=write, advance=advance)
