"""The worked example of docs/extending.md does what the page says."""

import importlib.util
import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from doppelbench.corpora.media import Audio
from doppelbench.metrics import registry
from doppelbench.metrics.contract import CHECKS, speech_like

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def block(language: str) -> str:
    """The first block of code of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    path = tmp_path_factory.mktemp("example") / "spectral_convergence.py"
    path.write_text(block("python"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("spectral_convergence", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SpectralConvergence


@pytest.mark.parametrize("name", CHECKS)
def test_the_metric_keeps_the_contract(example, name):
    CHECKS[name](example)


@pytest.mark.parametrize("case", json.loads(block("json"))["cases"], ids=lambda case: case["name"])
def test_the_metric_gives_the_known_answers(example, case):
    ref = speech_like(1)
    out = Audio((case["gain"] * ref.samples.astype(np.float64)).astype(np.float32), ref.rate)
    assert example().item(out=out, ref=ref).value == pytest.approx(case["expected"], abs=case["tolerance"])


def test_the_entry_point_makes_it_known(example, monkeypatch):
    line = re.search(r"^(\w+) = \"(.+)\"$", block("toml"), re.MULTILINE)
    entry = EntryPoint(line[1], line[2], registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: example)
    monkeypatch.setattr(registry, "_entry_points", lambda: {entry.name: entry})
    assert "spectral_convergence" in registry.list_metrics()
    assert registry.metric_from_string("spectral_convergence:align=true").align
