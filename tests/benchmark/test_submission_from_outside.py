"""A script that knows nothing of the package gets from an empty folder onto a board, by the command line."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import yaml
from conftest import write_recipe

from doppelbench.benchmark import cli

SCRIPT = Path(__file__).parents[2] / "docs" / "submission_example.py"
# Runs the script where importing the package is an error.
WITHOUT_PACKAGE = "import runpy, sys; sys.modules['doppelbench'] = None; runpy.run_path(sys.argv[1])"


def done(words: str) -> None:
    """One command line, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["doppelbench", *words.split()])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    assert not caught.value.code, words


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Path:
    """Where somebody has submitted, and somebody else has scored and shown."""
    place = tmp_path_factory.mktemp("outside")
    values = yaml.safe_load(write_recipe(place, manifest).read_text(encoding="utf-8"))
    values |= {"trials": {"targets": ["ana", "ben"], "per_target": 2}, "metrics": ["sca", "mcd_mel"]}
    (place / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        done("submit init recipe.yaml --inputs --out mine")
        command = [sys.executable, "-I", "-c", WITHOUT_PACKAGE, str(SCRIPT)]
        subprocess.run(command, cwd="mine", check=True, timeout=60)
        done("submit check mine --recipe recipe.yaml")
        done("submit pack mine --out mine.zip")
        done("submit verify mine.zip")
        done("submit score mine.zip --recipe recipe.yaml --out runs/mine")
        done("board add runs/mine --to results")
        done("board build results --out site")
    return place


def test_the_script_has_at_most_ten_lines_of_its_own() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line and not line.startswith(('"""', "import", "from"))]) <= 10


def test_the_page_shows_the_script_as_it_stands() -> None:
    page = SCRIPT.with_name("submissions.md").read_text(encoding="utf-8")
    shown = page.split("```python\n")[1].split("```")[0]
    assert shown in SCRIPT.read_text(encoding="utf-8")


def test_the_board_has_the_row_with_its_figures(place: Path) -> None:
    with (place / "runs/mine/figures.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (figure,) = (row for row in rows if (row["system"], row["metric"]) == ("slower", "mcd_mel"))
    (board,) = json.loads((place / "site/boards.json").read_text(encoding="utf-8"))["boards"]
    (row,) = (row for row in board["rows"] if row["system"]["key"] == "slower")
    assert (row["rank"], row["section"]) == (1, "ranked")
    (shown,) = (cell for cell in row["figures"] if cell["metric"] == "mcd_mel")
    assert shown["value"] == pytest.approx(float(figure["value"]))
    assert (shown["n"], shown["expected"]) == (4, 4)


def test_the_site_has_its_page(place: Path) -> None:
    pages = [page for page in (place / "site").rglob("*.html") if "slower" in page.name]
    assert pages
    assert "slower" in pages[0].read_text(encoding="utf-8")


def test_what_was_submitted_is_labelled_and_a_natural_recording_is_not(place: Path) -> None:
    def comments(system: str) -> set[str]:
        paths = sorted((place / "runs/mine/outputs" / system).glob("*.flac"))
        return {soundfile.SoundFile(path).comment for path in paths}

    assert comments("slower") == {"doppelbench: synthetic, an output that was submitted; not a recording"}
    assert comments("natural") == {"doppelbench: reference row natural"}
