"""Write docs/rater-desktop.png and docs/rater-phone.png: the rater's page as it looks in a browser.

    python docs/rater_screenshots.py

Needs Playwright and a Chromium, as the tests of the page do, and uses their small study.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "listening"))

from browser import chromium  # noqa: E402 - found beside the tests
from serve_study import serving  # noqa: E402
from small_study import write_scales  # noqa: E402

SIZES = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
TITLE = "Rate the voices"


def photograph(browser: Any, url: str, options: dict[str, Any], path: Path) -> None:
    """Answer the first recording and photograph it half-way through."""
    page = browser.new_context(**options).new_page()
    page.goto(url)
    page.get_by_label("I have read this and agree to take part").check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    for player in page.locator(".lt-screen:visible .lt-player").all():
        player.locator(".lt-play").click()
        player.get_by_text("Heard", exact=True).wait_for()
    page.locator(".lt-screen:visible").get_by_label("4 Good").first.check()
    page.screenshot(path=path)
    page.context.close()


def main() -> None:
    """Make both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        write_scales(Path(folder), items=12, raters=10, title=TITLE)
        with serving(Path(folder), tokens=len(SIZES)) as server:
            for browser in chromium():
                for (name, options), token in zip(SIZES.items(), server.ballots.tokens(), strict=True):
                    photograph(browser, server.rater_url(token), options, ROOT / "docs" / f"rater-{name}.png")


if __name__ == "__main__":
    main()
