"""Let simulated raters do a study in a real browser: they listen to every sound and answer on the page.

    python docs/rate_in_browser.py study --raters 3 --out votes.csv

The study is served on this machine, a database of its own keeps the votes, and ``votes.csv`` is what
``doppelbench listen analyse`` reads. Answers are those of the crowd of ``doppelbench listen simulate``, so
the truth is known. Needs Playwright and a Chromium.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "listening"))

from browser import chromium  # noqa: E402 - found beside the tests
from serve_study import serving  # noqa: E402

from doppelbench.benchmark.listening_studies import crowd_of  # noqa: E402
from doppelbench.listening.export import export_results  # noqa: E402
from doppelbench.listening.fields import ANSWER_PREFIX, BLOCK, INPUT_PREFIX  # noqa: E402
from doppelbench.listening.simulated_raters import simulate_answers  # noqa: E402
from doppelbench.listening.study import read_key, read_study  # noqa: E402

PATIENCE = 60_000
SIMULATED = "simulated-"


def do_block(page: Any, answers: dict[str, str]) -> None:
    """Go through one sitting as a person does: consent, practice, every item, and the answers are sent."""
    page.get_by_label("I have read this and agree to take part").check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    while not page.locator("#lt-finish").is_visible():
        screen = page.locator(".lt-screen:visible")
        for player in screen.locator(".lt-player").all():
            player.locator(".lt-play").click()
            player.get_by_text("Heard", exact=True).wait_for()
        for fieldset in screen.locator("fieldset").all():
            radios = fieldset.locator("input[type=radio]")
            wanted = answers.get(ANSWER_PREFIX + str(radios.first.get_attribute("name")))
            chosen = radios.first if wanted is None else fieldset.locator(f'input[value="{wanted}"]')
            chosen.check()
        page.get_by_role("button", name="Next").click()
    page.locator("#lt-submit").click()
    page.locator("#lt-finish").wait_for(state="hidden")


def main() -> None:
    """Rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--raters", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    study, key = read_study(options.study), read_key(options.study)
    crowd = crowd_of(options.study, raters=4 * study.recruitment.raters_per_item)
    rows = {row[INPUT_PREFIX + BLOCK]: row for row in simulate_answers(study, key, crowd, seed=options.seed)}
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "votes.sqlite"
        with serving(options.study, tokens=options.raters, database=database) as server:
            for browser in chromium():
                for token in server.ballots.tokens()[: options.raters]:
                    sitting = server.ballots.sitting(token)
                    assert sitting is not None
                    page = browser.new_page()
                    page.set_default_timeout(PATIENCE)
                    page.goto(server.rater_url(token))
                    do_block(page, rows[sitting.block])
                    page.close()
                    print(f"sitting {sitting.id} of block {sitting.block} is done", file=sys.stderr)
        export_results(database, study, options.out)
    name_as_simulated(options.out)


def name_as_simulated(path: Path) -> None:
    """No person has heard anything: the raters of the file say so, as those of a simulated crowd do."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    for row in rows:
        row["WorkerId"] = SIMULATED + row["WorkerId"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or (), quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
