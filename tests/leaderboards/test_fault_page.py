"""docs/submission-faults.md says of every tested fault what a submission is told."""

import re
from pathlib import Path

import test_submission_archive as archives
import test_submission_check as checks
import test_submission_manifest as manifests

PAGE = Path(__file__).parents[2] / "docs" / "submission-faults.md"


def told() -> list[tuple[str, str]]:
    """Faults and messages of the page."""
    rows = re.findall(
        r"^\| (.*?) \| (?:error|warning) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [(fault, message.replace("\\|", "|")) for fault, message in rows]


def test_every_tested_fault_stands_on_the_page_with_its_message() -> None:
    tables = (archives.HOSTILE, archives.BROKEN, manifests.WRONG_JSON, manifests.WRONG_LISTS)
    patterns = {what: pattern for table in tables for what, (_, pattern) in table.items()}
    patterns |= {
        what: re.escape(row[-1]) for table in (checks.SOUNDS, checks.FILMS) for what, row in table.items()
    }
    page = told()
    found = dict(page)
    for what, pattern in patterns.items():
        assert what in found, f"{what}: run python docs/generate_faults.py"
        assert re.search(pattern, found[what]) or found[what].endswith("…"), what
    assert len(page) == len(patterns) + len(manifests.WRONG_FIELDS)


def test_the_page_counts_its_rows() -> None:
    assert f"{len(told())} kinds of broken or hostile" in PAGE.read_text(encoding="utf-8")
