import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic_corpus import TEST_SENTENCES, corpus_below

from doppelbench.benchmark.config import Recipe, load_recipe
from doppelbench.benchmark.run import execute


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the synthetic corpus."""
    return corpus_below(tmp_path_factory.getbasetemp())


@dataclass(frozen=True)
class FinishedRun:
    """A run and what made it."""

    recipe: Recipe
    recipe_file: Path
    folder: Path
    figures: list[dict[str, Any]]


def write_recipe(folder: Path, manifest: Path) -> Path:
    """A recipe of seconds: two targets that can be trained, one with too little speech, odd ids."""
    transcripts = folder / "heard.csv"
    targets = ("ana", "ben", "short")
    lines = [
        f"{clip}_to_{target},{text.replace('one', 'nine')}"
        for target in targets
        for speaker, separator in (("cleo", "_"), ("zoë", " "))
        for number, text in enumerate(TEST_SENTENCES)
        for clip in [f"{speaker}{separator}{number + 3:02d}"]
    ]
    transcripts.write_text("\n".join(["id,text", *lines]), encoding="utf-8")
    recipe = {
        "name": "synthetic",
        "corpus": {"reader": "csv", "root": str(manifest)},
        "trials": {"targets": list(targets), "per_target": 2},
        "systems": ["exemplar"],
        "preset": "tiny",
        "training": {"device": "cpu", "max_steps": 40, "checkpoint_every": 5},
        "metrics": ["sca", "wer", "mcd", "stoi"],
        "recognizer": f"stored:{transcripts}",
        "normalizer": "basic",
        "jobs": 1,
    }
    path = folder / "synthetic.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> FinishedRun:
    """One run of everything with one worker; read it, do not change it."""
    folder = tmp_path_factory.mktemp("finished")
    recipe_file = write_recipe(folder, manifest)
    recipe = load_recipe(str(recipe_file))
    figures = execute(recipe, folder / "run")
    return FinishedRun(recipe, recipe_file, folder / "run", figures)


@pytest.fixture
def copied(finished: FinishedRun, tmp_path: Path) -> FinishedRun:
    """A copy of the finished run that a test may change."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    return FinishedRun(finished.recipe, finished.recipe_file, folder, finished.figures)
