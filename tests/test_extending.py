"""The worked examples of docs/extending.md do what the page says."""

import importlib.util
import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from doppelbench.baselines import contract as system_contract
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.corpora.readers import read_corpus
from doppelbench.detectors import contract as detector_contract
from doppelbench.metrics import registry
from doppelbench.metrics.contract import CHECKS, speech_like

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def block(language: str) -> str:
    """The first block of code of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def module_of(name, folder):
    """The code of the page that names its file so, as a module."""
    code = next(
        text
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        if text.startswith(f"# my_{name}.py\n")
    )
    path = folder / f"{Path(name).name}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    return module_of("metrics/spectral_convergence", folder).SpectralConvergence


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


@pytest.mark.parametrize("name", system_contract.CHECKS)
def test_the_system_keeps_the_contract(name, tmp_path):
    module = module_of("systems/mean_spectrum", tmp_path)
    material = system_contract.make_material(tmp_path)
    system_contract.CHECKS[name](lambda: module.MeanSpectrum(module.TINY, system_contract.TARGET), material)


def test_the_system_gives_the_mean_spectrum_of_its_target(tmp_path):
    module = module_of("systems/mean_spectrum", tmp_path)
    material = system_contract.make_material(tmp_path)
    system = system_contract.trained(
        lambda: module.MeanSpectrum(module.TINY, system_contract.TARGET), material, "mean"
    )
    heard = np.concatenate(
        [module.clip_log_mel(one, module.TINY.mel) for one in material.clips if one.speaker == "ada"]
    )
    np.testing.assert_allclose(system.mean, heard.mean(0), atol=1e-4)


@pytest.mark.parametrize("name", detector_contract.CHECKS)
def test_the_detector_keeps_the_contract(name, tmp_path):
    module = module_of("detectors/flatness", tmp_path)
    material = detector_contract.make_material(tmp_path)
    detector_contract.CHECKS[name](lambda: module.Flatness(module.TINY), material)


def test_noise_is_flatter_than_a_tone(tmp_path):
    detector = module_of("detectors/flatness", tmp_path).Flatness(None)
    noise = np.random.default_rng(0).normal(size=16000)
    tone = np.sin(np.arange(16000) / 5)
    # Powers of white noise are exponential: their mean logarithm lies 2.51 dB below that of their mean.
    assert detector.number(noise, 16000) == pytest.approx(-2.51, abs=0.3)
    assert detector.number(tone, 16000) < -30


def test_the_corpus_is_read_saved_and_taken_for_a_reader(tmp_path):
    module = module_of("corpora/sessions", tmp_path)
    root = tmp_path / "sessions"
    for speaker in ("ann", "bob"):
        for session in ("1", "2"):
            folder = root / speaker / session
            folder.mkdir(parents=True)
            (folder / "prompts.txt").write_text("01 set red\n02 bin blue\n", encoding="utf-8")
            for number in ("01", "02"):
                write_audio(folder / f"{number}.wav", speech_like(1))
    module.read_sessions(root).with_hashes().save(tmp_path / "sessions.parquet")
    corpus = read_corpus(str(tmp_path / "sessions.parquet"))
    assert [clip.id for clip in corpus.clips(split="test", speaker="bob")] == ["bob_2_01", "bob_2_02"]
    assert len(corpus.parallel("ann", "bob")) == 4
    (root / "ann/1/02.wav").unlink()
    with pytest.raises(InputError, match=r"prompts\.txt:2.*does not exist"):
        module.read_sessions(root)
