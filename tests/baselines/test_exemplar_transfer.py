"""An exemplar starts from another speaker's, which saves most of the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from doppelbench.baselines.exemplar import TINY, Exemplar, ExemplarSettings
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.engine.errors import ConfigError
from doppelbench.engine.trainer import TrainerSettings

JOINT = replace(TINY, joint_vocoder="wavenet")


def own(clips: list[Clip], speaker: str) -> list[Clip]:
    return [clip for clip in clips if clip.speaker == speaker and clip.split == "train"]


def train(clips, settings: ExemplarSettings, speaker: str, folder, steps: int) -> Exemplar:
    system = Exemplar(settings, speaker)
    system.fit(own(clips, speaker), TrainerSettings(folder, max_steps=steps, device="cpu", log_every=1))
    system.save(folder)
    return system


def losses(folder) -> list[float]:
    rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()[1:]]
    return [float(value) for _, name, value in rows if name == "loss"]


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten() for value in network.state_dict().values()])


@pytest.fixture(scope="module")
def ben(clips, tmp_path_factory):
    """The folder of an exemplar of ben, trained alone."""
    folder = tmp_path_factory.mktemp("ben")
    train(clips, TINY, "ben", folder, 60)
    return folder


@pytest.fixture(scope="module")
def joint_ben(clips, tmp_path_factory):
    """The folder of an exemplar of ben, trained with its vocoder."""
    folder = tmp_path_factory.mktemp("joint")
    train(clips, JOINT, "ben", folder, 4)
    return folder


def started(settings: ExemplarSettings, monkeypatch) -> Exemplar:
    """A system as it is when its training begins."""
    monkeypatch.setattr("doppelbench.baselines.exemplar.train", lambda module, data, trainer: None)
    system = Exemplar(settings, "ana")
    monkeypatch.setattr("doppelbench.baselines.exemplar.long_recording", lambda *given: None)
    monkeypatch.setattr("doppelbench.baselines.exemplar.RandomCrops", lambda *given: None)
    monkeypatch.setattr(Exemplar, "joint_crops", lambda *given: None)
    system.fit([], TrainerSettings(None, max_steps=1))
    return system


def test_a_few_steps_from_another_speaker_are_worth_many_from_nothing(clips, ben, tmp_path):
    """Measured on these clips: after 15 steps the loss is 4.5 times lower."""
    train(clips, TINY, "ana", tmp_path / "scratch", 15)
    train(clips, replace(TINY, initialise_from=str(ben)), "ana", tmp_path / "transfer", 15)
    scratch, transfer = losses(tmp_path / "scratch"), losses(tmp_path / "transfer")
    assert np.mean(transfer[-5:]) < np.mean(scratch[-5:]) / 3
    assert np.mean(transfer[-5:]) < transfer[0]


def test_training_begins_with_the_weights_of_the_other(ben, monkeypatch):
    system = started(replace(TINY, initialise_from=str(ben)), monkeypatch)
    assert torch.equal(weights(system.network), weights(Exemplar.load(ben).network))
    scratch = started(TINY, monkeypatch)
    assert not torch.equal(weights(scratch.network), weights(system.network))


def test_the_vocoder_is_taken_over_with_the_rest(joint_ben, monkeypatch):
    other = Exemplar.load(joint_ben)
    system = started(replace(JOINT, initialise_from=str(joint_ben)), monkeypatch)
    assert torch.equal(weights(system.network), weights(other.network))
    assert torch.equal(weights(system.vocoder.network), weights(other.vocoder.network))


@pytest.mark.parametrize(("joined", "folder"), [(True, "ben"), (False, "joint_ben")])
def test_one_of_the_two_may_be_without_a_vocoder(joined, folder, request, monkeypatch):
    place = request.getfixturevalue(folder)
    system = started(replace(JOINT if joined else TINY, initialise_from=str(place)), monkeypatch)
    assert torch.equal(weights(system.network), weights(Exemplar.load(place).network))
    assert (system.joint_vocoder is not None) == joined


def test_the_folder_may_be_named_by_a_variable_and_is_not_needed_later(clips, ben, tmp_path, monkeypatch):
    moved = tmp_path / "models" / "ben"
    moved.mkdir(parents=True)
    for name in ("weights.safetensors", "config.json"):
        (moved / name).write_bytes((ben / name).read_bytes())
    monkeypatch.setenv("MODELS", str(moved.parent))
    settings = replace(TINY, initialise_from="$MODELS/ben")
    system = train(clips, settings, "ana", tmp_path / "ana", 2)
    for path in moved.iterdir():
        path.unlink()
    assert torch.equal(weights(Exemplar.load(tmp_path / "ana").network), weights(system.network))


def test_a_training_resumes_exactly_and_never_on_another_start(clips, ben, joint_ben, tmp_path):
    settings = replace(TINY, initialise_from=str(ben))
    whole = train(clips, settings, "ana", tmp_path / "whole", 6)
    train(clips, settings, "ana", tmp_path / "parts", 3)
    parts = train(clips, settings, "ana", tmp_path / "parts", 6)
    assert torch.equal(weights(whole.network), weights(parts.network))
    for other in (TINY, replace(TINY, initialise_from=str(joint_ben))):
        with pytest.raises(ConfigError, match="other hyperparameters"):
            train(clips, other, "ana", tmp_path / "whole", 7)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"channels": 32}, "channels 16, not 32"),
        ({"code_every": 16}, "code_every 8, not 16"),
        ({"postnet": True}, "postnet False, not True"),
        ({"output_cells": 8, "bottleneck": 2}, "bottleneck 4, not 2; output_cells 16, not 8"),
    ],
)
def test_another_architecture_is_refused_by_what_differs(clips, ben, tmp_path, values, said):
    settings = replace(TINY, initialise_from=str(ben), **values)
    with pytest.raises(InputError, match=f"{ben}.*another architecture.*{said}"):
        train(clips, settings, "ana", tmp_path, 1)


def test_another_vocoder_is_refused_by_name(clips, joint_ben, tmp_path):
    settings = replace(JOINT, joint_vocoder="wavernn", initialise_from=str(joint_ben))
    with pytest.raises(InputError, match=f"{joint_ben}.*wavenet, preset tiny.*wavernn, preset tiny"):
        train(clips, settings, "ana", tmp_path, 1)


def test_a_folder_without_an_exemplar_is_refused_by_name(clips, tmp_path):
    settings = replace(TINY, initialise_from=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        train(clips, settings, "ana", tmp_path / "ana", 1)
