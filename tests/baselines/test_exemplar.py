"""The exemplar autoencoder has the published sizes, codes and rules, and learns."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from doppelbench.baselines.common import clip_log_mel, long_recording
from doppelbench.baselines.exemplar import (
    PAPER,
    SMALL,
    TINY,
    Encoder,
    Exemplar,
    ExemplarModule,
    ExemplarNetwork,
    ExemplarSettings,
    RandomCrops,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, LeftOutWarning
from doppelbench.engine.trainer import TrainerSettings, seeded

READABLE = {".safetensors", ".json", ".csv", ".bin"}


def millions(module: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> tuple[Exemplar, Path]:
    directory = tmp_path_factory.mktemp("ana")
    system = Exemplar(TINY, "ana")
    record = system.fit(
        training(clips, "ana"), TrainerSettings(directory, max_steps=60, device="cpu", log_every=1)
    )
    assert record.steps == 60
    system.save(directory)
    return system, directory


def training(clips: list[Clip], speaker: str) -> list[Clip]:
    return [clip for clip in clips if clip.speaker == speaker and clip.split == "train"]


def trial(clips: list[Clip], speaker: str = "cleo") -> Trial:
    source = next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")
    return Trial(f"{source.id}_to_ana", source, "ana")


def test_networks_of_the_preset_paper_have_the_published_sizes():
    network = ExemplarNetwork(replace(PAPER, postnet=True))
    assert millions(network.encoder) == pytest.approx(3.00, abs=0.01)
    assert millions(network.decoder) == pytest.approx(19.90, abs=0.01)
    assert millions(network.postnet) == pytest.approx(4.35, abs=0.01)
    assert ExemplarNetwork(PAPER).postnet is None


def test_a_code_of_64_numbers_stands_for_every_32_frames():
    codes = Encoder(PAPER).eval()(torch.rand(2, 96, 80))
    assert codes.shape == (2, 3, 64)


def test_a_code_is_the_forward_state_at_the_last_frame_of_a_block_and_the_backward_state_at_its_first():
    encoder = Encoder(TINY).eval()
    states = []
    encoder.lstm.register_forward_hook(lambda module, inputs, outputs: states.append(outputs[0]))
    with torch.inference_mode():
        codes = encoder(torch.rand(1, 4 * TINY.code_every, 80))
    cells = TINY.bottleneck
    for block in range(4):
        first, last = block * TINY.code_every, (block + 1) * TINY.code_every - 1
        torch.testing.assert_close(codes[0, block, :cells], states[0][0, last, :cells])
        torch.testing.assert_close(codes[0, block, cells:], states[0][0, first, cells:])


def test_each_half_of_a_code_sees_its_own_side_of_the_block():
    """With one layer: what follows a block does not reach its forward half, nor what precedes the other."""
    encoder = Encoder(TINY).eval()
    encoder.lstm = torch.nn.LSTM(TINY.channels, TINY.bottleneck, batch_first=True, bidirectional=True)
    every, reach = TINY.code_every, 3 * 2
    mel = torch.rand(1, 4 * every, 80)
    later, earlier = mel.clone(), mel.clone()
    later[:, 2 * every + reach :] += 1
    earlier[:, : 2 * every - reach] += 1
    with torch.inference_mode():
        codes, changed_later, changed_earlier = encoder(mel), encoder(later), encoder(earlier)
    cells = TINY.bottleneck
    assert torch.equal(codes[:, :2, :cells], changed_later[:, :2, :cells])
    assert not torch.equal(codes[:, 1, cells:], changed_later[:, 1, cells:])
    assert torch.equal(codes[:, 2:, cells:], changed_earlier[:, 2:, cells:])
    assert not torch.equal(codes[:, 2, :cells], changed_earlier[:, 2, :cells])


@pytest.mark.parametrize("shape", [(2, 1, 80), (1, 64, 80), (2, 64, 1)])
def test_a_reconstruction_of_another_shape_is_refused_though_it_could_be_broadcast(shape):
    module = ExemplarModule(ExemplarNetwork(TINY), TINY)
    module.network.forward = lambda mel: (torch.zeros(shape), torch.zeros(shape))
    with pytest.raises(ValueError, match="reconstruction"):
        module.training_step(torch.zeros(2, 64, 80), 0)


@pytest.mark.parametrize("postnet", [False, True])
def test_four_crops_are_learned_by_heart_and_the_loss_reaches_every_parameter(clips, tmp_path, postnet):
    settings = replace(TINY, batch_size=4, postnet=postnet)
    with seeded(0):
        module = ExemplarModule(ExemplarNetwork(settings), settings)
    module.log = lambda *values: None
    recording = long_recording(
        training(clips, "ana"), "ana", TINY.mel, TrainerSettings(tmp_path, max_steps=1)
    )
    crops = RandomCrops(recording, settings, 0).batch(0, 0, 1)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        loss = module.training_step(crops, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for name, value in module.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name
    assert losses[-1] < losses[0] / 10


def test_small_and_tiny_are_trained_without_a_vocoder_as_they_always_were(clips, tmp_path):
    """Figures that were stored stay comparable: the values are of the system before it could be trained with
    a vocoder. Sums of trained weights, because processors round in the last digit."""
    assert SMALL.joint_vocoder == TINY.joint_vocoder == ""
    with seeded(0):
        first = torch.cat([value.double().flatten() for value in ExemplarNetwork(TINY).state_dict().values()])
    digest = hashlib.sha256(first.numpy().tobytes()).hexdigest()
    assert digest == "afa2f7f5e5d022ef2658ebcd3e72e77008efac1a2bf89c54472e47f8c635d6c5"
    system = Exemplar(TINY, "ana")
    system.fit(training(clips, "ana"), TrainerSettings(tmp_path, max_steps=5, device="cpu"))
    weights = system.network.state_dict()
    expected = {
        "encoder.lstm.weight_hh_l0": 16.850979262031615,
        "encoder.lstm.weight_hh_l0_reverse": 14.887304629199207,
        "decoder.projection.weight": 156.40778946492355,
        "decoder.projection.bias": 10.965583028271794,
    }
    found = {name: float(weights[name].double().abs().sum()) for name in expected}
    assert found == pytest.approx(expected, rel=1e-5)


def test_training_lowers_the_loss(trained):
    _, directory = trained
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    losses = [float(value) for _, name, value in rows if name == "loss"]
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:3])


def test_the_folder_of_a_trained_system_holds_nothing_pickled(trained):
    _, directory = trained
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert {"weights.safetensors", "config.json"} <= {path.name for path in files}
    for path in files:
        assert path.suffix in READABLE or path.name.startswith("events.out.tfevents"), path
        assert path.read_bytes()[:2] not in (b"PK", b"\x80\x02", b"\x80\x04"), path


def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips):
    system, directory = trained
    loaded = Exemplar.load(directory)
    assert (loaded.target, loaded.settings) == ("ana", TINY)
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    assert found.rate == expected.rate == 16000
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_the_same_input_gives_the_same_output(trained, clips):
    system, _ = trained
    first, second = (system.convert(trial(clips)).audio.samples for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 61])
def test_any_number_of_frames_is_converted(trained, frames):
    system, _ = trained
    mel = np.random.default_rng(frames).random((frames, 80), dtype=np.float32)
    converted = system.convert_features(mel)
    assert converted.shape == mel.shape
    assert np.isfinite(converted).all()
    assert converted.min() >= 0
    assert converted.max() <= 1


def test_the_level_of_the_source_does_not_change_the_output(trained, clips, tmp_path):
    system, _ = trained
    source = trial(clips).source
    samples, rate = soundfile.read(source.audio, dtype="float32")
    soundfile.write(tmp_path / "quiet.wav", samples * 0.1, rate, subtype="FLOAT")
    quiet = replace(trial(clips), source=replace(source, audio=str(tmp_path / "quiet.wav")))
    loud, soft = system.convert(trial(clips)).audio.samples, system.convert(quiet).audio.samples
    # 40 dB below: what rounding to 32 bit leaves after the iterations of the vocoder.
    assert (loud - soft).std() < 0.01 * loud.std()
    features = [clip_log_mel(one.source, TINY.mel) for one in (trial(clips), quiet)]
    np.testing.assert_allclose(features[0], features[1], atol=1e-3)


def test_too_little_speech_of_a_target_is_refused_with_its_seconds(clips, tmp_path):
    with pytest.raises(InputError, match=r"short has 5\.0 s .* 30 s are needed"):
        Exemplar(TINY, "short").fit(training(clips, "short"), TrainerSettings(tmp_path, max_steps=1))


def test_an_unreadable_clip_is_left_out_and_named(clips, tmp_path):
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no audio at all")
    mixed = [*training(clips, "ana"), Clip("bad one", "ana", audio=str(broken))]
    with pytest.warns(LeftOutWarning, match=r"bad one is left out .*broken\.flac"):
        record = Exemplar(TINY, "ana").fit(mixed, TrainerSettings(tmp_path / "t", max_steps=2, device="cpu"))
    assert record.steps == 2


def test_training_ends_with_the_same_weights_for_the_same_seed_and_others_for_another(clips, tmp_path):
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        system = Exemplar(TINY, "ana")
        system.fit(
            training(clips, "ana"),
            TrainerSettings(tmp_path / str(number), max_steps=3, device="cpu", seed=seed),
        )
        weights.append(torch.cat([value.flatten() for value in system.network.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_seeded_network_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    with seeded(1):
        ExemplarNetwork(TINY)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        Exemplar.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("channels", 0),
        ("learning_rate", -1.0),
        ("crop_frames", 100),
        ("joint_vocoder", "wavnet"),
        ("vocoder_weight", 0.0),
    ],
)
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        ExemplarSettings(**{setting: value})
