"""AutoVC has the published sizes, none of the released trainer's bugs, and learns in each of its modes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from doppelbench.baselines.autovc import (
    PAPER,
    TINY,
    AutoVC,
    AutoVCModule,
    AutoVCNetwork,
    AutoVCSettings,
    SpeakerCrops,
    rename_released,
)
from doppelbench.baselines.speaker_encoder import clip_embedding
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, LeftOutWarning, MediaError
from doppelbench.corpora.media import read_audio
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded


def training(clips: list[Clip]) -> list[Clip]:
    """Two people of the pool, who are in no trial."""
    return [clip for clip in clips if clip.speaker in ("ben", "zoë") and clip.split == "train"]


def enrolment(clips: list[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.speaker == "ana" and clip.split == "train"]


def trial(clips: list[Clip], speaker: str = "cleo") -> Trial:
    source = next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")
    return Trial(f"{source.id}_to_ana", source, "ana")


def weights_of(system: AutoVC) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in system.network.state_dict().values()])


def fitted(directory: Path, clips: list[Clip], steps: int = 2, seed: int = 0, **changes) -> AutoVC:
    system = AutoVC(replace(TINY, **changes))
    system.fit(training(clips), TrainerSettings(directory, max_steps=steps, device="cpu", seed=seed))
    return system


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> tuple[AutoVC, TrainingRecord, Path]:
    directory = tmp_path_factory.mktemp("autovc")
    system = AutoVC(TINY)
    record = system.fit(training(clips), TrainerSettings(directory, max_steps=80, device="cpu", log_every=1))
    system.save(directory)
    system.enroll("ana", enrolment(clips))
    return system, record, directory


def test_the_network_of_the_preset_paper_has_the_published_size():
    count = sum(parameter.numel() for parameter in AutoVCNetwork(PAPER).parameters())
    assert count / 1e6 == pytest.approx(28.42, abs=0.005)
    released = AutoVCNetwork(replace(PAPER, bottleneck=16, code_every=16))
    assert sum(parameter.numel() for parameter in released.parameters()) / 1e6 == pytest.approx(
        28.27, abs=0.005
    )


def test_the_preset_paper_scales_decibels_as_published():
    """Released: 20 log10, less 16, plus 100, divided by 100."""
    mel = PAPER.mel
    assert (mel.rate, mel.n_fft, mel.hop, mel.n_mels) == (16000, 1024, 256, 80)
    for level in (-84.0, -20.0, 16.0):
        assert (level - mel.min_db) / (mel.max_db - mel.min_db) == pytest.approx((level - 16 + 100) / 100)


def test_every_item_is_compared_with_itself_alone():
    """The released trainer pairs every item with every other, so that a perfect network has a loss."""
    module = AutoVCModule(AutoVCNetwork(TINY), TINY)
    module.log_dict = lambda values: None
    codes = torch.zeros(2, 8, 8)
    module.network.encoder.forward = lambda mel, voice: codes
    module.network.forward = lambda mel, source, target: (mel, mel, codes)
    assert float(module.training_step((torch.rand(2, 64, 80), torch.rand(2, 256)), 0)) == 0


@pytest.mark.parametrize("shape", [(2, 1, 64, 80), (1, 64, 80), (2, 64, 1)])
def test_a_reconstruction_of_another_shape_is_refused_though_it_could_be_broadcast(shape):
    module = AutoVCModule(AutoVCNetwork(TINY), TINY)
    module.network.forward = lambda mel, source, target: (torch.zeros(shape), mel, torch.zeros(2, 8, 8))
    with pytest.raises(ValueError, match="reconstruction"):
        module.training_step((torch.zeros(2, 64, 80), torch.zeros(2, 256)), 0)


def test_the_loss_has_its_three_terms():
    module = AutoVCModule(AutoVCNetwork(TINY), replace(TINY, code_weight=0.5))
    logged = {}
    module.log_dict = logged.update
    mel, codes = torch.rand(2, 64, 80), torch.zeros(2, 8, 8)
    module.network.forward = lambda mel, source, target: (mel + 0.1, mel + 0.2, codes)
    module.network.encoder.forward = lambda mel, voice: codes + 3
    loss = module.training_step((mel, torch.rand(2, 256)), 0)
    assert float(loss) == pytest.approx(0.1**2 + 0.2**2 + 0.5 * 3, rel=1e-4)
    assert float(logged["mel_mse"]) == pytest.approx(0.2**2, rel=1e-4)


def test_the_gradient_reaches_every_parameter():
    settings = replace(TINY, postnet_start=1.0)
    module = AutoVCModule(AutoVCNetwork(settings), settings)
    module.log_dict = lambda values: None
    module.training_step((torch.rand(2, 64, 80), torch.rand(2, 256)), 0).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        # What precedes a batch norm is shifted back by it: a bias there has no effect.
        if not name.endswith(".0.bias"):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("settings", "corrects"), [(PAPER, True), (TINY, False)], ids=["paper", "tiny"])
def test_the_post_net_starts_as_published_but_in_the_small_presets(settings, corrects):
    sizes = {
        name: getattr(TINY, name) for name in ("channels", "bottleneck", "decoder_cells", "output_cells")
    }
    network = AutoVCNetwork(replace(settings, **sizes))
    first, final, _ = network(torch.rand(2, 64, 80), torch.rand(2, 256), torch.rand(2, 256))
    assert bool((final - first).std() > 0.5) is corrects
    assert corrects or torch.equal(final, first)


def test_the_target_changes_the_output_and_not_the_codes():
    network = AutoVCNetwork(TINY).eval()
    mel, first, second = torch.rand(1, 16, 80), torch.rand(1, 256), torch.rand(1, 256)
    with torch.inference_mode():
        _, one, codes = network(mel, first, first)
        _, other, same = network(mel, first, second)
        _, _, changed = network(mel, second, second)
    assert torch.equal(codes, same)
    assert not torch.allclose(one, other)
    assert not torch.allclose(codes, changed)


class Ramp:
    """A recording whose frames count up, so that a crop says whose it is and where it was taken."""

    def __init__(self, number: int, frames: int = 200) -> None:
        self.key = str(number)
        self.frames = np.full((frames, 80), number, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.frames)

    def crop(self, start: int, frames: int) -> np.ndarray:
        return self.frames[start : start + frames]


def test_a_round_of_crops_has_every_speaker_once_with_the_own_embedding():
    names = ["a", "b", "c", "d", "e", "f"]
    voices = {name: np.full(256, number, dtype=np.float32) for number, name in enumerate(names)}
    data = SpeakerCrops({name: Ramp(n) for n, name in enumerate(names)}, voices, TINY, seed=0)
    for world in (1, 3):
        batches = [data.batch(step, rank, world) for step in range(3 // world) for rank in range(world)]
        heard = [int(item[0, 0]) for mel, _ in batches for item in mel]
        assert sorted(heard) == list(range(6))
        told = [int(item[0]) for _, voice in batches for item in voice]
        assert told == heard
    again = data.batch(1, 0, 1)
    assert torch.equal(data.batch(1, 0, 1)[0], again[0])


def test_a_voice_in_training_is_the_mean_embedding_of_its_first_clips(clips, tmp_path):
    chosen = training(clips)
    system = AutoVC(replace(TINY, embedded_clips=2))
    data = system.training_data(chosen, TrainerSettings(tmp_path, max_steps=1, device="cpu"))
    own = [[clip for clip in chosen if clip.speaker == speaker][:2] for speaker in ("ben", "zoë")]
    for found, first in zip(data.voices, own, strict=True):
        expected = np.mean([clip_embedding(clip) for clip in first], axis=0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_training_lowers_the_loss(trained):
    _, record, directory = trained
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    losses = [float(value) for _, name, value in rows if name == "loss"]
    assert len(losses) == record.steps == 80
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])
    assert {"mel_mse", "mel_mse_before_postnet", "code_l1"} <= set(record.losses)


def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips):
    system, _, directory = trained
    loaded = AutoVC.load(directory)
    assert loaded.settings == TINY
    loaded.enroll("ana", enrolment(clips))
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    assert found.rate == expected.rate == 16000
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_the_output_is_as_long_as_the_source(trained, clips):
    system, _, _ = trained
    answered = trial(clips)
    samples = read_audio(answered.source.audio).samples
    assert abs(system.convert(answered).audio.samples.size - samples.size) < TINY.mel.hop


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 61])
def test_any_number_of_frames_is_converted(trained, frames):
    system, _, _ = trained
    mel = np.random.default_rng(frames).random((frames, 80), dtype=np.float32)
    voice = system.voices["ana"]
    converted = system.convert_features(mel, voice, voice)
    assert converted.shape == mel.shape
    assert 0 <= converted.min() <= converted.max() <= 1


def test_a_voice_is_the_mean_embedding_of_its_clips(trained, clips):
    system, _, _ = trained
    expected = np.mean([clip_embedding(clip) for clip in enrolment(clips)], axis=0)
    np.testing.assert_allclose(system.voices["ana"], expected, atol=1e-6)
    assert np.linalg.norm(system.voices["ana"]) < 0.999


def test_a_target_that_is_not_enrolled_is_refused(trained, clips):
    system, _, _ = trained
    with pytest.raises(MediaError, match="ben is not enrolled") as raised:
        system.convert(replace(trial(clips), target="ben"))
    assert raised.value.status == "missing"


def test_an_enrolment_without_a_usable_clip_is_refused_and_single_clips_are_named(clips, tmp_path):
    broken = Clip("bad one", "ana", audio=str(tmp_path / "absent.flac"))
    system = AutoVC(TINY)
    with pytest.warns(LeftOutWarning, match="bad one is left out"):
        system.enroll("ana", [broken, enrolment(clips)[0]])
    np.testing.assert_array_equal(system.voices["ana"], clip_embedding(enrolment(clips)[0]))
    with (
        pytest.warns(LeftOutWarning, match="bad one"),
        pytest.raises(InputError, match="ana cannot be enrolled"),
    ):
        AutoVC(TINY).enroll("ana", [broken])


def test_one_speaker_is_too_few(clips, tmp_path):
    with pytest.raises(InputError, match="at least two speakers"):
        AutoVC(TINY).fit(enrolment(clips), TrainerSettings(tmp_path, max_steps=1, device="cpu"))


def test_one_speaker_is_enough_where_a_single_voice_was_asked_for(clips, tmp_path):
    system = AutoVC(replace(TINY, single_voice=True))
    record = system.fit(enrolment(clips), TrainerSettings(tmp_path, max_steps=2, device="cpu"))
    assert record.steps == 2
    with pytest.raises(InputError):
        system.fit([], TrainerSettings(tmp_path / "nobody", max_steps=1, device="cpu"))


def test_the_same_seed_gives_the_same_weights_and_another_others(clips, tmp_path):
    first, second = (weights_of(fitted(tmp_path / name, clips, seed=3)) for name in ("a", "b"))
    other = weights_of(fitted(tmp_path / "c", clips, seed=4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_fine_tuning_starts_from_the_checkpoint(trained, clips, tmp_path):
    system, _, directory = trained
    tuned = fitted(tmp_path, clips, steps=1, mode="fine-tune", checkpoint=str(directory), learning_rate=1e-9)
    learned = dict(system.network.named_parameters())
    for name, parameter in tuned.network.named_parameters():
        torch.testing.assert_close(parameter, learned[name], atol=1e-7, rtol=0, msg=name)
    with seeded(0):
        fresh = AutoVCNetwork(TINY).decoder.projection.weight
    assert not torch.allclose(tuned.network.decoder.projection.weight, fresh, atol=1e-4)


def test_off_the_shelf_trains_nothing_and_answers_as_the_checkpoint(trained, clips, tmp_path):
    system, _, directory = trained
    shelf = AutoVC(replace(TINY, mode="off-the-shelf", checkpoint=str(directory)))
    record = shelf.fit([], TrainerSettings(tmp_path / "t", max_steps=5, device="cpu"))
    assert record.steps == 0
    assert torch.equal(weights_of(shelf), weights_of(system))
    shelf.save(tmp_path / "saved")
    loaded = AutoVC.load(tmp_path / "saved")
    loaded.enroll("ana", enrolment(clips))
    np.testing.assert_array_equal(
        loaded.convert(trial(clips)).audio.samples, system.convert(trial(clips)).audio.samples
    )


def released_names(network: AutoVCNetwork) -> dict[str, torch.Tensor]:
    """The weights under the names of the released generator, written down by hand for each kind of layer."""
    own = network.state_dict()
    named = {}
    for part, layers in (("encoder", range(3)), ("decoder", range(3))):
        for layer in layers:
            for kind in ("weight", "bias"):
                stem = f"{part}.convolutions.{layer}"
                named[f"{stem}.0.conv.{kind}"] = own[f"{stem}.0.{kind}"]
    for layer in range(5):
        stem = "postnet.output" if layer == 4 else f"postnet.hidden.{layer}"
        for kind in ("weight", "bias"):
            named[f"postnet.convolutions.{layer}.0.conv.{kind}"] = own[f"{stem}.0.{kind}"]
        for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            named[f"postnet.convolutions.{layer}.1.{kind}"] = own[f"{stem}.1.{kind}"]
    for kind in ("weight", "bias"):
        named[f"decoder.linear_projection.linear_layer.{kind}"] = own[f"decoder.projection.{kind}"]
    for name, tensor in own.items():
        if name.startswith("decoder.first_lstm."):
            named[name.replace("first_lstm", "lstm1")] = tensor
        elif name.startswith("decoder.last_lstm."):
            named[name.replace("last_lstm", "lstm2")] = tensor
        elif name.startswith("encoder.lstm.") or (".convolutions." in name and ".1." in name[20:]):
            named[name] = tensor
    return {name: tensor.clone() for name, tensor in named.items()}


def test_released_weights_are_read_under_their_own_names(tmp_path):
    network = AutoVCNetwork(TINY)
    file = tmp_path / "autovc.safetensors"
    released = released_names(network)
    assert "decoder.linear_projection.linear_layer.bias" in released
    save_file(released, file)
    shelf = AutoVC(replace(TINY, mode="off-the-shelf", checkpoint=str(file)))
    shelf.fit([], TrainerSettings(tmp_path / "t", max_steps=5, device="cpu"))
    for name, tensor in network.state_dict().items():
        assert torch.equal(shelf.network.state_dict()[name], tensor), name
    assert set(rename_released(released)) == set(network.state_dict())


def test_a_checkpoint_that_cannot_be_used_is_named(trained, tmp_path):
    _, _, directory = trained
    trainer = TrainerSettings(tmp_path / "t", max_steps=1, device="cpu")
    absent = replace(TINY, mode="off-the-shelf", checkpoint=str(tmp_path / "absent.safetensors"))
    with pytest.raises(InputError, match=r"absent\.safetensors"):
        AutoVC(absent).fit([], trainer)
    wider = replace(TINY, channels=24, mode="off-the-shelf", checkpoint=str(directory))
    with pytest.raises(InputError, match="another channels"):
        AutoVC(wider).fit([], trainer)
    pickled = tmp_path / "autovc.ckpt"
    torch.save({"model": AutoVCNetwork(TINY).state_dict()}, pickled)
    with pytest.raises(InputError, match=r"autovc\.ckpt"):
        AutoVC(replace(TINY, mode="off-the-shelf", checkpoint=str(pickled))).fit([], trainer)


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        AutoVC.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"channels": 0}, "channels"),
        ({"crop_frames": 100}, "crop_frames"),
        ({"mode": "borrowed"}, "mode"),
        ({"mode": "fine-tune"}, "checkpoint"),
        ({"checkpoint": "somewhere"}, "checkpoint"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, named):
    with pytest.raises(DoppelbenchError, match=named):
        AutoVCSettings(**changes)


def test_the_folder_of_a_trained_system_says_its_settings(trained):
    _, _, directory = trained
    assert json.loads((directory / "config.json").read_text())["settings"]["mode"] == "scratch"
