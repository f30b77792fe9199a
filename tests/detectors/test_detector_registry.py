"""Detectors are found by name, built in or installed, and no name stands for two; broken ones are caught."""

import importlib.metadata
from dataclasses import replace

import numpy as np
import pytest
from detector_clips import run_contract

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import Audio
from doppelbench.detectors import registry
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.detector import Detector
from doppelbench.detectors.trivial import PRESETS, DurationOnly, LoudnessOnly
from doppelbench.engine import registry as engine_registry


class Plugged(DurationOnly):
    """A detector that another package would install."""

    spec = replace(DurationOnly.spec, name="plugged", title="Plugged in")


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(registry.DETECTORS, "registered", dict(registry.DETECTORS.registered))
    entry = importlib.metadata.EntryPoint("plugged", f"{__name__}:Plugged", registry.DETECTORS.group)
    entries = importlib.metadata.EntryPoints([entry])
    monkeypatch.setattr(engine_registry, "entry_points", lambda **wanted: entries.select(**wanted))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(DoppelbenchError, match="'aasist'"):
        registry.find_detector("asist")


@pytest.mark.parametrize("name", list(registry.BUILT_IN))
def test_every_built_in_name_is_that_of_its_class_with_all_presets(name: str) -> None:
    spec = registry.find_detector(name).spec
    assert spec.name == name
    assert {"tiny", "small", "paper"} <= set(spec.presets)


def test_a_detector_of_another_package_is_listed_and_found(installed) -> None:
    assert "plugged" in registry.detector_names()
    assert registry.find_detector("plugged").spec.title == "Plugged in"


def test_a_second_detector_of_a_name_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(registry.DETECTORS, "registered", {"duration-only": DurationOnly})
    another = type("DurationOnly", (DurationOnly,), {"__module__": "another.package"})
    with pytest.raises(DoppelbenchError, match=r"'duration-only'.*another\.package"):
        registry.register(another)
    assert registry.register(DurationOnly) is DurationOnly


class HearsLevel(LoudnessOnly):
    spec = replace(LoudnessOnly.spec, trivial=False)


class Remembers(DurationOnly):
    def score(self, audio: Audio) -> float:
        self.calls = getattr(self, "calls", 0) + 1
        return super().score(audio) + self.calls


class NeverComplains(DurationOnly):
    def _checked_number(self, audio: Audio) -> float:
        return audio.seconds


class Forgets(DurationOnly):
    @classmethod
    def load(cls, directory):
        found = super().load(directory)
        found.weights["slope"] += 1.0
        return found


class Writes(DurationOnly):
    def score(self, audio: Audio) -> float:
        audio.samples[:] = 0.5
        return super().score(audio)


class Careless(DurationOnly):
    def fit(self, bonafide, spoof, trainer):
        super().fit(bonafide, spoof, trainer)
        self.weights["slope"] = float(np.random.default_rng().random())


@pytest.mark.parametrize(
    ("check", "kind", "message"),
    [
        ("level", HearsLevel, "12 dB turn"),
        ("scores", Remembers, "order of the recordings"),
        ("bad_recordings", NeverComplains, "should be silent: was scored"),
        ("save_and_load", Forgets, "other scores"),
        ("samples_are_kept", Writes, "wrote into"),
        ("same_seed", Careless, "other weights"),
        ("spec", type("Nameless", (DurationOnly,), {"spec": replace(DurationOnly.spec, paper="")}), "paper"),
    ],
)
def test_the_contract_catches(check: str, kind: type[Detector], message: str, tmp_path) -> None:
    with pytest.raises(AssertionError, match=message):
        run_contract(check, lambda: kind(PRESETS["tiny"]), tmp_path)


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_detector_passes(check: str, tmp_path) -> None:
    run_contract(check, lambda: DurationOnly(PRESETS["tiny"]), tmp_path)
