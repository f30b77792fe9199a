"""Equation 4: the exemplar is trained with its vocoder, each on the other's account."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from doppelbench.baselines.common import LongRecording, clip_features
from doppelbench.baselines.exemplar import (
    PAPER,
    TINY,
    Exemplar,
    ExemplarModule,
    ExemplarNetwork,
    ExemplarSettings,
    JointCrops,
    JointModule,
    new_joint_vocoder,
)
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
from doppelbench.baselines.vocoders.neural import sound_arrays
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.engine.errors import ConfigError
from doppelbench.engine.trainer import TrainerSettings, seeded

KINDS = ("wavenet", "wavernn")
JOINT = replace(TINY, joint_vocoder="wavenet")


def own(clips: list[Clip], speaker: str = "ana") -> list[Clip]:
    return [clip for clip in clips if clip.speaker == speaker and clip.split == "train"]


def source(clips: list[Clip]) -> Trial:
    clip = next(clip for clip in clips if clip.speaker == "cleo" and clip.split == "test")
    return Trial("t", clip, "ana")


def millions(module: torch.nn.Module) -> float:
    return sum(value.numel() for value in module.parameters()) / 1e6


def joint_module(settings: ExemplarSettings) -> JointModule:
    with seeded(0):
        module = JointModule(ExemplarNetwork(settings), new_joint_vocoder(settings), settings)
    module.log = lambda *values: None
    return module


def crops(clips: list[Clip], settings: ExemplarSettings, folder, number: int = 0) -> tuple:
    """A batch of one clip, in which there is no seam, and the frames of context of the vocoder."""
    trainer = TrainerSettings(folder, max_steps=1)
    arguments = {"mel": asdict(settings.mel), "emphasis": settings.mel.preemphasis}
    cache = clip_features(own(clips)[:1], sound_arrays, arguments, trainer, "of ana")
    mel, sound = (LongRecording(cache, list(cache), name) for name in ("mel", "sound"))
    context = new_joint_vocoder(settings).network.context
    return JointCrops(mel, sound, settings, context, 0).batch(number, 0, 1), context


def weights_of(system: Exemplar) -> torch.Tensor:
    networks = (system.network, system.joint_vocoder.network)
    return torch.cat([value.flatten() for network in networks for value in network.state_dict().values()])


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory, clips):
    directory = tmp_path_factory.mktemp(request.param)
    system = Exemplar(replace(TINY, joint_vocoder=request.param), "ana")
    steps = {"wavenet": 40, "wavernn": 15}[request.param]
    system.fit(own(clips), TrainerSettings(directory, max_steps=steps, device="cpu", log_every=1))
    system.save(directory)
    return system, directory


def test_the_preset_paper_is_trained_with_a_wavenet_at_the_weight_of_equation_4():
    assert (PAPER.joint_vocoder, PAPER.vocoder_preset, PAPER.vocoder_weight) == ("wavenet", "paper", 1.0)
    assert (PAPER.learning_rate, PAPER.vocoder_rate) == (1e-3, 1e-4)


def test_the_vocoder_of_the_released_code_has_its_size():
    vocoder = new_joint_vocoder(replace(PAPER, joint_vocoder="wavernn"))
    assert millions(vocoder.network) == pytest.approx(4.48, abs=0.01)
    assert millions(ExemplarNetwork(PAPER)) == pytest.approx(3.00 + 19.90, abs=0.01)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_sound_of_a_crop_is_that_of_its_frames_to_the_sample(clips, tmp_path, number):
    """The spectrogram of the sound is the crop's; one sample earlier or later it is not."""
    (mel, sound, start), context = crops(clips, replace(JOINT, vocoder_frames=40), tmp_path, number)
    assert mel.shape == (2, JOINT.crop_frames, 80)
    assert sound.shape == (2, 40 * JOINT.mel.hop)
    # The sound is pre-emphasised already. Two frames at each end see the silence around it.
    plain = replace(JOINT.mel, preemphasis=0.0)
    errors = {}
    for shift in (-1, 0, 1):
        found = [log_mel(np.roll(part, shift), plain)[3:37] for part in sound.numpy()]
        wanted = mel.numpy()[:, start + context + 3 : start + context + 37]
        errors[shift] = np.abs(found - wanted).max()
    assert errors[0] < 1e-4
    assert min(errors[-1], errors[1]) > 10 * errors[0]


def test_batches_follow_from_seed_step_and_rank_and_cover_the_crop(clips, tmp_path):
    first, again = (crops(clips, JOINT, tmp_path, 7)[0] for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    context = crops(clips, JOINT, tmp_path)[1]
    starts = {crops(clips, JOINT, tmp_path, number)[0][2] for number in range(40)}
    assert 0 <= min(starts) < 20
    assert JOINT.crop_frames - 20 - 2 * context < max(starts) + JOINT.vocoder_frames <= JOINT.crop_frames


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_reaches_every_parameter_of_both(clips, tmp_path, kind):
    settings = replace(TINY, joint_vocoder=kind, postnet=True)
    module = joint_module(settings)
    module.training_step(crops(clips, settings, tmp_path)[0], 0).backward()
    for name, value in module.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


def gradients(module: ExemplarModule, batch) -> torch.Tensor:
    """Of the autoencoder's parameters."""
    module.training_step(batch, 0).backward()
    found = torch.cat([value.grad.flatten() for value in module.network.parameters()])
    module.zero_grad()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_the_vocoders_loss_flows_into_the_autoencoder_by_its_weight(clips, tmp_path, kind):
    settings = replace(TINY, joint_vocoder=kind)
    batch, _ = crops(clips, settings, tmp_path)
    module = joint_module(settings)
    plain = ExemplarModule(module.network, settings)
    plain.log = lambda *values: None
    of_spectrogram = gradients(plain, batch[0])
    added = {}
    for weight in (1.0, 10.0):
        module.settings = replace(settings, vocoder_weight=weight)
        added[weight] = gradients(module, batch) - of_spectrogram
    # Both losses are in play, and the second in proportion to its weight.
    assert added[10.0].norm() > 1e-3 * of_spectrogram.norm()
    torch.testing.assert_close(added[10.0], 10 * added[1.0], rtol=1e-3, atol=1e-4 * float(added[10.0].norm()))


def test_the_vocoder_hears_the_autoencoder_and_not_the_natural_spectrogram(clips, tmp_path):
    module = joint_module(JOINT)
    (mel, sound, start), context = crops(clips, JOINT, tmp_path)
    heard = []
    module.vocoder.loss = lambda features, samples: heard.append((features, samples)) or features.sum() * 0
    module.training_step((mel, sound, start), 0)
    wide = slice(start, start + JOINT.vocoder_frames + 2 * context)
    torch.testing.assert_close(heard[0][0], module.network(mel)[1][:, wide])
    assert float((heard[0][0] - mel[:, wide]).detach().abs().mean()) > 0.05
    torch.testing.assert_close(heard[0][1], sound * module.gain)


def test_autoencoder_and_vocoder_learn_at_their_own_rates():
    module = joint_module(replace(JOINT, learning_rate=1e-3, vocoder_rate=1e-4))
    first, second = module.configure_optimizers().param_groups
    assert (first["lr"], second["lr"]) == (1e-3, 1e-4)
    assert {id(value) for value in first["params"]} == {id(value) for value in module.network.parameters()}
    assert {id(value) for value in second["params"]} == {id(value) for value in module.vocoder.parameters()}


def test_four_crops_are_learned_by_heart(clips, tmp_path):
    settings = replace(JOINT, batch_size=4)
    module = joint_module(settings)
    logged = {}
    module.log = lambda name, value: logged.setdefault(name, []).append(value.item())
    batch, _ = crops(clips, settings, tmp_path)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        module.training_step(batch, 0).backward()
        optimizer.step()
    assert logged["mel_l1"][-1] < logged["mel_l1"][0] / 4
    assert logged["negative_log_likelihood"][-1] < logged["negative_log_likelihood"][0] - 1


def test_training_lowers_both_losses(trained):
    _, directory = trained
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    for name in ("mel_l1", "negative_log_likelihood"):
        values = [float(value) for _, found, value in rows if found == name]
        assert np.mean(values[-3:]) < 0.98 * values[0], name


def test_a_saved_system_speaks_with_the_vocoder_it_was_trained_with(trained, clips):
    system, directory = trained
    loaded = Exemplar.load(directory)
    assert type(loaded.vocoder) is type(system.vocoder)
    assert loaded.vocoder.name == system.settings.joint_vocoder
    expected, found = system.convert(source(clips)).audio, loaded.convert(source(clips)).audio
    assert expected.samples.std() > 0
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_another_vocoder_can_take_its_place_and_the_trained_one_is_still_saved(trained, clips, tmp_path):
    _, directory = trained
    loaded = Exemplar.load(directory)
    loaded.vocoder = GriffinLim(TINY.mel, TINY.griffin_lim)
    plain = Exemplar(TINY, "ana")
    plain.network.load_state_dict(loaded.network.state_dict())
    expected, found = plain.convert(source(clips)).audio, loaded.convert(source(clips)).audio
    np.testing.assert_array_equal(found.samples, expected.samples)
    loaded.save(tmp_path)
    for name in ("weights.safetensors", "vocoder/weights.safetensors", "vocoder/config.json"):
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes()


def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(clips, tmp_path):
    weights = []
    for name, stops in (("whole", (6,)), ("parts", (3, 6))):
        for steps in stops:
            system = Exemplar(JOINT, "ana")
            system.fit(own(clips), TrainerSettings(tmp_path / name, max_steps=steps, device="cpu"))
        weights.append(weights_of(system))
    assert torch.equal(weights[0], weights[1])
    system = Exemplar(replace(JOINT, vocoder_weight=0.01), "ana")
    with pytest.raises(ConfigError, match="hyperparameters"):
        system.fit(own(clips), TrainerSettings(tmp_path / "whole", max_steps=7, device="cpu"))


def test_the_weight_of_the_vocoder_changes_the_autoencoder(clips, tmp_path):
    found = []
    for weight in (1.0, 0.01):
        system = Exemplar(replace(JOINT, vocoder_weight=weight), "ana")
        trainer = TrainerSettings(tmp_path / str(weight), max_steps=2, device="cpu")
        system.fit(own(clips), trainer)
        found.append(torch.cat([value.flatten() for value in system.network.parameters()]))
    assert not torch.equal(*found)


def test_a_system_without_its_vocoder_is_refused_with_the_folder(trained, tmp_path):
    _, directory = trained
    shutil.copytree(directory, tmp_path / "copy")
    (tmp_path / "copy" / "vocoder" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=str(tmp_path / "copy" / "vocoder")):
        Exemplar.load(tmp_path / "copy")
    GriffinLim(TINY.mel).save(tmp_path / "copy" / "vocoder")
    with pytest.raises(InputError, match="griffin-lim"):
        Exemplar.load(tmp_path / "copy")


def test_systems_that_were_saved_before_there_were_vocoders_are_still_read(trained, tmp_path):
    _, directory = trained
    shutil.copy(directory / "weights.safetensors", tmp_path)
    config = json.loads((directory / "config.json").read_text())
    for name in [name for name in config["settings"] if "vocoder" in name or name == "initialise_from"]:
        del config["settings"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert isinstance(Exemplar.load(tmp_path).vocoder, GriffinLim)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocoder_preset": "huge"}, "huge"),
        ({"vocoder_frames": 123}, "at most 122"),
        ({"mel": MelSettings(hop=160)}, "hop"),
    ],
)
def test_settings_that_no_vocoder_can_have_are_refused(values, message):
    with pytest.raises(DoppelbenchError, match=message):
        Exemplar(replace(JOINT, **values), "ana")
