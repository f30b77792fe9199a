"""The built-in corpus goes through a whole run."""

import pytest

from doppelbench.benchmark.config import validate
from doppelbench.benchmark.run import execute


@pytest.mark.slow
def test_a_run_of_the_built_in_corpus_scores_real_speech(tmp_path):
    recipe = validate(
        {
            "corpus": {
                "reader": "talkers",
                "root": str(tmp_path / "corpus"),
                "options": {
                    "video": False,
                    "target_seconds": 35.0,
                    "source_seconds": 10.0,
                    "dev_sentences": 1,
                    "test_sentences": 2,
                },
            },
            "trials": {"per_target": 2},
            "preset": "tiny",
            "training": {"device": "cpu", "max_steps": 5},
            "metrics": ["wer", "mcd", "sca"],
            "recognizer": "pocketsphinx-grid",
            "normalizer": "basic",
        },
        "test",
    )
    figures = {(f["system"], f["metric"]): f for f in execute(recipe, tmp_path / "run")}
    assert all(figure["coverage"] == 1.0 for figure in figures.values())
    assert figures["natural", "mcd"]["value"] < figures["copy-synthesis", "mcd"]["value"]
    assert figures["copy-synthesis", "mcd"]["value"] < figures["source", "mcd"]["value"]
    assert figures["natural", "wer"]["value"] < 50
