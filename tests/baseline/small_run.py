"""The small run whose figures are the baseline of the suite, made in this process."""

from collections.abc import Sequence
from pathlib import Path

from in_process import in_this_process

from doppelbench.benchmark.config import load_recipe
from doppelbench.benchmark.run import execute

RECIPE = Path(__file__).parent / "recipe.yaml"


def make_run(folder: Path, overrides: Sequence[str] = ()) -> Path:
    """Train, synthesise and score the recipe of the baseline, or finish such a run; returns its folder."""
    with in_this_process():
        execute(load_recipe(str(RECIPE), overrides), folder, until="score")
    return folder
