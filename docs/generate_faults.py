"""Write docs/submission-faults.md: what is wrong with a submission, and what it is then told.

    python docs/generate_faults.py

The faults are those of the tests in tests/leaderboards; each is made, and the answer is noted. A test holds
the page against them.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "submission-faults.md"
sys.path.insert(0, str(ROOT / "tests" / "leaderboards"))

import test_submission_archive as archives  # noqa: E402
import test_submission_check as checks  # noqa: E402
import test_submission_manifest as manifests  # noqa: E402
from submission_examples import archive_of, copy_of, filled_manifest, sheet  # noqa: E402

from doppelbench.corpora.errors import InputError  # noqa: E402
from doppelbench.leaderboards.guarded_media import MediaGuard  # noqa: E402
from doppelbench.leaderboards.submission_check import check_submission  # noqa: E402
from doppelbench.leaderboards.submission_json import read_strict_json  # noqa: E402
from doppelbench.leaderboards.submission_manifest import ManifestError, read_manifest  # noqa: E402
from doppelbench.leaderboards.submission_trials import read_sheet  # noqa: E402

INTRODUCTION = """\
# Faults of submissions

Made by `python docs/generate_faults.py` from the tests; do not edit. {count} kinds of broken or hostile
submission, each with a test that looks for its message. `error` refuses the output or the whole submission,
`warning` asks to look again; [submissions](submissions.md) says how they are found."""
LONGEST = 160
Row = tuple[str, str, str]


def refused(what: str, act: Callable[[], object], place: Path) -> Row:
    """The row of a fault that is an error at once."""
    try:
        act()
    except InputError as error:
        return what, "error", str(error).replace(str(place), "submission.zip")
    raise AssertionError(f"{what} was not refused")


def archive_rows(folder: Path) -> list[Row]:
    """Of archives that are refused before anything is unpacked."""
    content = {what: archive_of(entries) for what, (entries, _) in archives.HOSTILE.items()}
    content |= {what: data for what, (data, _) in archives.BROKEN.items()}
    place, rows = folder / "a.zip", []
    for what, data in content.items():
        place.write_bytes(data)
        rows.append(refused(what, lambda: archives.contents(place), place))
    return rows


def field_of(changes: dict[str, object]) -> str:
    """What a changed field of the manifest holds, in a few words."""
    text = json.dumps(changes)[1:-1]
    return f"`{text if len(text) < 80 else text[:60] + '...'}`"


def manifest_rows() -> list[Row]:
    """Of manifests and trial lists."""
    rows = [
        refused(what, lambda data=data: read_strict_json(data, "submission.json"), PAGE)
        for what, (data, _) in manifests.WRONG_JSON.items()
    ]
    for changes, _, _ in manifests.WRONG_FIELDS:
        try:
            read_manifest(json.dumps(filled_manifest(manifests.SHEET, **changes)).encode())
        except ManifestError as error:
            problem = error.problems[0]
            rows.append((field_of(changes), "error", f"{problem.field} {problem.what}"))
    rows += [
        refused(what, lambda data=data: read_sheet(data), PAGE)
        for what, (data, _) in manifests.WRONG_LISTS.items()
    ]
    return rows


def content_rows(folder: Path) -> list[Row]:
    """Of what the check finds in files."""
    place = checks.make_place(folder)
    rows = []
    with MediaGuard() as guard:
        for films, table in ((False, checks.SOUNDS), (True, checks.FILMS)):
            wanted = checks.expectation(place, sheet(film=films), "mkv" if films else "flac")
            for number, (what, (spoil, severity, item, code, _)) in enumerate(table.items()):
                spoiled = copy_of(place / ("films" if films else "sounds"), folder / f"{films}{number}")
                spoil(spoiled, place)
                report = check_submission(spoiled, wanted, guard=guard)
                said = checks.found(report, severity, item, code).replace(str(spoiled), "submission")
                rows.append((what, severity, said))
    return rows


def _cell(text: str) -> str:
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return short.replace("|", "\\|").replace("\n", " ")


def page(rows: list[Row]) -> str:
    """The whole page."""
    cells = (tuple(_cell(text) for text in row) for row in rows)
    table = [
        "| fault | severity | it is told |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]
    return INTRODUCTION.format(count=len(rows)) + "\n\n" + "\n".join(table) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        rows = [*archive_rows(Path(folder)), *manifest_rows(), *content_rows(Path(folder))]
    PAGE.write_text(page(rows), encoding="utf-8")
