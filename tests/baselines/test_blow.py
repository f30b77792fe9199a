"""Blow has the published sizes, is exactly invertible, knows its likelihood, and learns."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from doppelbench.baselines.blow import (
    PAPER,
    SMALL,
    TINY,
    ActivationNorm,
    Blow,
    BlowModule,
    BlowNetwork,
    BlowSettings,
    Coupling,
    InvertibleConvolution,
    SpeechChunks,
    bits_per_dimension,
    clip_waveform,
    emphasize,
    soft_limit,
    squeeze,
    unsqueeze,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.media import read_audio
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded


def training(clips: list[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.speaker in ("ana", "ben", "cleo") and clip.split == "train"]


def trial(clips: list[Clip], speaker: str = "cleo", target: str = "ana") -> Trial:
    source = next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")
    return Trial(f"{source.id}_to_{target}", source, target)


def randomized(network: BlowNetwork, seed: int = 0) -> BlowNetwork:
    """As after training: no layer is zero, and every normalisation has seen a batch."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for step in (step for block in network.blocks for step in block):
            last = step.coupling.last
            spread = 0.3 / math.sqrt(last.weight[0].numel())
            last.weight.copy_(spread * torch.randn(last.weight.shape, generator=generator))
            last.bias.copy_(0.1 * torch.randn(last.bias.shape, generator=generator))
    return network


def speechlike(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    time = torch.arange(samples) / 16000
    pitch = 100 + 30 * torch.arange(batch)[:, None]
    noise = torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))
    return 0.2 * torch.sin(2 * math.pi * pitch * time) + 0.02 * noise


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> tuple[Blow, TrainingRecord, Path]:
    directory = tmp_path_factory.mktemp("blow")
    system = Blow(TINY)
    record = system.fit(training(clips), TrainerSettings(directory, max_steps=120, device="cpu", log_every=1))
    system.save(directory)
    return system, record, directory


def test_the_network_of_the_preset_paper_has_the_published_size():
    network = BlowNetwork(PAPER, 108)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(62.1, abs=0.05)
    assert [len(block) for block in network.blocks] == [12] * 8
    assert [len(block[0].mixer.signs) for block in network.blocks] == [2, 4, 8, 16, 32, 64, 128, 256]


@pytest.mark.parametrize("settings", [TINY, SMALL, PAPER], ids=["tiny", "small", "paper"])
def test_the_inverse_gives_back_the_waveform(settings):
    with seeded(1):
        network = randomized(BlowNetwork(settings, 3))
    waveform, speaker = speechlike(3, settings.chunk), torch.tensor([0, 2, 1])
    with torch.inference_mode():
        network.train()(waveform, speaker)
        values, _ = network.eval()(waveform, speaker)
        found = network.inverse(values, speaker)
        other = network.inverse(values, torch.tensor([1, 1, 2]))
    assert float((found - waveform).abs().max()) < 1e-4
    assert float((other - waveform).abs().max()) > 1e-3


def test_the_determinant_is_that_of_the_jacobian():
    settings = replace(TINY, chunk=16)
    with seeded(2):
        network = randomized(BlowNetwork(settings, 2))
    waveform, speaker = speechlike(1, 16), torch.tensor([1])
    with torch.no_grad():
        network.train()(waveform, speaker)
        _, determinant = network.eval()(waveform, speaker)
    jacobian = torch.autograd.functional.jacobian(
        lambda signal: network(signal, speaker)[0].flatten(), waveform
    ).reshape(16, 16)
    expected = torch.linalg.slogdet(jacobian.double())[1]
    assert abs(float(expected)) > 1
    assert float(determinant) == pytest.approx(float(expected), abs=1e-3)


def test_bits_per_dimension_of_gaussian_values_are_their_entropy():
    values = torch.randn(64, 4, 1024, generator=torch.Generator().manual_seed(0))
    entropy = 0.5 * math.log2(2 * math.pi * math.e)
    assert float(bits_per_dimension(values, torch.zeros(64))) == pytest.approx(entropy, abs=0.01)
    # Audio half as loud needs one bit a sample less; the map to the same values has that determinant.
    louder = torch.full((64,), 4096 * math.log(2))
    assert float(bits_per_dimension(values, louder)) == pytest.approx(entropy - 1, abs=0.01)


def test_squeezing_makes_every_second_sample_a_channel():
    signal = torch.arange(8.0).reshape(1, 1, 8)
    assert squeeze(signal).tolist() == [[[0, 2, 4, 6], [1, 3, 5, 7]]]
    assert torch.equal(unsqueeze(squeeze(squeeze(signal))), squeeze(signal))
    assert torch.equal(unsqueeze(squeeze(signal)), signal)


def test_a_new_convolution_is_a_rotation_and_its_permutation_is_not_trained():
    with seeded(0):
        layer = InvertibleConvolution(16)
    matrix = layer.matrix().double()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(16).double(), atol=1e-5, rtol=0)
    assert {name for name, _ in layer.named_parameters()} == {"lower", "upper", "log_scales"}


def test_a_new_coupling_scales_all_alike_for_every_speaker():
    with seeded(0):
        layer = Coupling(4, 8, 4)
    signal = torch.randn(2, 4, 16)
    changed, _ = layer(signal, torch.randn(2, 4))
    torch.testing.assert_close(changed[:, :2], signal[:, :2])
    torch.testing.assert_close(changed[:, 2:], signal[:, 2:] * torch.sigmoid(torch.tensor(2.0)))


def test_every_item_of_a_batch_is_convolved_with_the_kernels_of_its_own_speaker():
    with seeded(0):
        network = randomized(BlowNetwork(TINY, 3)).eval()
    waveform = speechlike(3, TINY.chunk)
    speakers = torch.tensor([2, 0, 1])
    with torch.inference_mode():
        together, determinants = network(waveform, speakers)
        for item in range(3):
            alone, determinant = network(waveform[item : item + 1], speakers[item : item + 1])
            torch.testing.assert_close(alone[0], together[item], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(determinant[0], determinants[item], atol=1e-3, rtol=1e-5)


def test_the_first_batch_is_normalised_and_no_later_one_changes_that():
    layer = ActivationNorm(3)
    first = 5 + 2 * torch.randn(8, 3, 64, generator=torch.Generator().manual_seed(0))
    normal, _ = layer(first)
    torch.testing.assert_close(normal.mean(dim=(0, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(dim=(0, 2)), torch.ones(3), atol=1e-4, rtol=0)
    shift = layer.shift.clone()
    layer(first + 100)
    assert torch.equal(layer.shift, shift)


def test_a_reloaded_normalisation_is_not_initialised_again(trained):
    """In the released code the next batch would overwrite what was learned."""
    system, _, directory = trained
    loaded = Blow.load(directory)
    before = {name: value.clone() for name, value in loaded.network.state_dict().items()}
    with torch.no_grad():
        loaded.network.train()(10 * speechlike(2, TINY.chunk), torch.tensor([0, 1]))
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert torch.equal(value, system.network.state_dict()[name]), name


def test_a_network_in_use_does_not_initialise_itself():
    network = BlowNetwork(TINY, 2).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(speechlike(2, TINY.chunk), torch.tensor([0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_gradient_reaches_every_parameter():
    with seeded(0):
        module = BlowModule(randomized(BlowNetwork(TINY, 2)), TINY)
    module.log = lambda name, value: None
    module.training_step((speechlike(2, TINY.chunk), torch.tensor([0, 1])), 0).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        if name.endswith(("lower", "upper")):
            continue
        assert parameter.grad.abs().max() > 0, name


def test_training_lowers_the_bits_and_records_them(trained):
    _, record, directory = trained
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    bits = [float(value) for _, name, value in rows if name == "bits_per_dimension"]
    assert len(bits) == record.steps == 120
    assert np.mean(bits[-30:]) < np.mean(bits[:5]) - 0.5
    assert record.losses["bits_per_dimension"] == pytest.approx(bits[-1])
    assert record.losses["loss"] == pytest.approx(bits[-1] * math.log(2), rel=1e-5)


def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips):
    system, _, directory = trained
    loaded = Blow.load(directory)
    assert (loaded.settings, loaded.speakers) == (TINY, ["ana", "ben", "cleo"])
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    assert found.rate == expected.rate == 16000
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_the_output_is_as_long_as_the_source(trained, clips):
    system, _, _ = trained
    answered = trial(clips)
    assert system.convert(answered).audio.samples.size == read_audio(answered.source.audio).samples.size


@pytest.mark.parametrize("samples", [1, 127, 128, 129, 1000])
def test_a_conversion_into_the_same_speaker_gives_back_the_signal(trained, samples):
    """Nothing is lost in the flow, nor where the windows of the chunks overlap."""
    system, _, _ = trained
    signal = 0.5 * np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    found = system.convert_waveform(signal, "ben", "ben")
    np.testing.assert_allclose(found, signal, atol=1e-4)


def test_speakers_that_were_not_in_the_training_are_refused(trained, clips):
    system, _, _ = trained
    for refused in (trial(clips, speaker="short"), trial(clips, target="zoë")):
        with pytest.raises(MediaError, match="was not in the training") as raised:
            system.convert(refused)
        assert raised.value.status == "missing"


def test_one_speaker_is_too_few(clips, tmp_path):
    own = [clip for clip in training(clips) if clip.speaker == "ana"]
    with pytest.raises(InputError, match="at least two speakers"):
        Blow(TINY).fit(own, TrainerSettings(tmp_path, max_steps=1, device="cpu"))


def test_the_same_seed_gives_the_same_weights_and_another_others(clips, tmp_path):
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        system = Blow(TINY)
        system.fit(
            training(clips), TrainerSettings(tmp_path / str(number), max_steps=2, device="cpu", seed=seed)
        )
        weights.append(
            torch.cat([value.flatten().double() for value in system.network.state_dict().values()])
        )
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


class Loud:
    """A recording in memory: noise, silent from sample 1000 on."""

    def __init__(self, seed: int) -> None:
        self.key = str(seed)
        self.samples = 0.1 * np.random.default_rng(seed).standard_normal(2560).astype(np.float32)
        self.samples[1024:] *= 0.01

    def __len__(self) -> int:
        return len(self.samples)

    def crop(self, start: int, frames: int) -> np.ndarray:
        return self.samples[start : start + frames]


def test_quiet_chunks_are_dropped_and_an_epoch_has_every_other_one_once():
    data = SpeechChunks({"a": Loud(0), "b": Loud(1)}, TINY, seed=0)
    assert sorted(data.chunks) == [(speaker, start) for speaker in (0, 1) for start in (0, 256, 512, 768)]
    for epoch in (0, 1):
        order = [data.chunk(8 * epoch + place) for place in range(8)]
        assert sorted(order) == sorted(data.chunks)
    assert [data.chunk(place) for place in range(8)] != order


def test_whispers_alone_train_nothing():
    quiet = Loud(0)
    quiet.samples *= 0.01
    with pytest.raises(InputError, match="loud enough"):
        SpeechChunks({"a": quiet, "b": quiet}, TINY, seed=0)


def test_a_batch_is_a_function_of_its_number_with_peaks_up_to_one_and_both_signs():
    data = SpeechChunks({"a": Loud(0), "b": Loud(1)}, replace(TINY, batch_size=64), seed=0)
    waveforms, speakers = data.batch(3, 0, 1)
    assert torch.equal(waveforms, data.batch(3, 0, 1)[0])
    assert not torch.equal(waveforms, data.batch(3, 1, 2)[0])
    assert waveforms.shape == (64, TINY.chunk)
    assert set(speakers.tolist()) == {0, 1}
    peaks = waveforms.abs().amax(dim=1)
    assert 0.8 < float(peaks.max()) <= 1
    assert float(peaks.min()) < 0.2


def test_emphasis_is_a_weak_recursive_filter_that_never_amplifies():
    impulse = np.zeros((3, 32), dtype=np.float32)
    impulse[:, 8] = 1
    filtered = emphasize(impulse, np.array([0.2, -0.2, 0.0]))
    np.testing.assert_array_equal(filtered[2], impulse[2])
    np.testing.assert_allclose(filtered[0, 9:13] / filtered[0, 8:12], 0.2, rtol=1e-5)
    np.testing.assert_allclose(filtered[1, 9:13] / filtered[1, 8:12], -0.2, rtol=1e-5)
    assert np.abs(np.fft.rfft(filtered)).max() <= 1 + 1e-6


def test_the_limit_leaves_speech_alone_and_bounds_everything_else():
    samples = np.array([0.5, -0.96, 0.99, -3.0, 1e9, np.nan, np.inf], dtype=np.float32)
    limited = soft_limit(samples)
    np.testing.assert_array_equal(limited[:2], samples[:2])
    assert 0.97 < limited[2] < 0.99
    assert limited[3] == pytest.approx(-1, abs=1e-3)
    assert np.abs(limited).max() <= 1
    assert limited[5] == limited[6] == 0


def test_the_level_of_the_source_does_not_change_what_the_flow_hears(clips, tmp_path):
    source = trial(clips).source
    samples, rate = soundfile.read(source.audio, dtype="float32")
    soundfile.write(tmp_path / "quiet.wav", samples * 0.1, rate, subtype="FLOAT")
    quiet = replace(source, audio=str(tmp_path / "quiet.wav"))
    np.testing.assert_allclose(clip_waveform(quiet), clip_waveform(source), atol=1e-5)


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        Blow.load(tmp_path)


@pytest.mark.parametrize(("setting", "value"), [("flows", 0), ("chunk", 4000), ("channels", 100)])
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        BlowSettings(**{setting: value})
