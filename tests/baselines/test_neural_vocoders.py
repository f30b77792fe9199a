"""Neural vocoders: sizes, causality, generation equal to the parallel forward pass, training, files."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.vocoders import wavenet, wavernn
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.baselines.vocoders.neural import Upsampling, mu_law_decode, mu_law_encode
from doppelbench.baselines.vocoders.registry import (
    VOCODERS,
    find_vocoder,
    load_vocoder,
    make_vocoder,
    train_vocoder,
)
from doppelbench.baselines.vocoders.wavenet import WaveNet, WaveNetSettings, logistic_mixture_loss
from doppelbench.baselines.vocoders.wavernn import WaveRNN, WaveRNNSettings, fold, unfold
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.features import MelSettings
from doppelbench.engine.trainer import TrainerSettings, seeded

LOGISTIC_TINY = replace(wavenet.TINY, output="logistics")
# Of the tiny presets; a step of a recurrent network costs more.
STEPS = {"wavenet": 30, "wavernn": 12}
NETWORKS = {
    "wavenet": lambda: WaveNet(wavenet.TINY),
    "wavenet-kernel-3": lambda: WaveNet(replace(wavenet.TINY, kernel=3, layers=4, stacks=2)),
    "logistics": lambda: WaveNet(LOGISTIC_TINY),
    "wavernn": lambda: WaveRNN(wavernn.TINY),
}


def speech(clips: list[Clip], speaker: str = "ana", split: str = "train") -> list[Clip]:
    return [clip for clip in clips if clip.speaker == speaker and clip.split == split]


def made(kind: str) -> torch.nn.Module:
    with seeded(5):
        return NETWORKS[kind]().eval()


def inputs(network: torch.nn.Module, frames: int = 24) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Condition, inputs that stand for random sound, and uniform numbers."""
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(1, frames + 2 * network.context, 80, generator=generator)
    sound = torch.rand(1, frames * 200, generator=generator) * 1.6 - 0.8
    with torch.inference_mode():
        condition = network.condition(features)
    taken = (
        network.inputs_of(sound) if isinstance(network, WaveNet) else mu_law_encode(sound, network.classes)
    )
    uniforms = np.random.default_rng(2).random((sound.shape[1], 2), dtype=np.float32)
    return condition, taken, uniforms


def parallel_scores(network: torch.nn.Module, condition: torch.Tensor, taken: torch.Tensor) -> np.ndarray:
    if isinstance(network, WaveNet):
        previous = torch.nn.functional.pad(taken[:, :-1], (1, 0), value=network.silence)
    else:
        previous = torch.nn.functional.pad(network.value_of(taken[:, :-1]), (1, 0))
    with torch.inference_mode():
        return network(previous, condition)[0].numpy()


@pytest.fixture(scope="module", params=["wavenet", "wavernn"])
def trained(request, tmp_path_factory, clips):
    directory = tmp_path_factory.mktemp(request.param)
    vocoder = make_vocoder(request.param, "tiny")
    trainer = TrainerSettings(directory, max_steps=STEPS[request.param], device="cpu", log_every=1)
    record = train_vocoder(vocoder, speech(clips), trainer)
    return vocoder, record, directory


def test_the_published_wavernn_has_the_size_that_its_users_see_printed():
    network = WaveRNN(wavernn.PAPER)
    assert sum(value.numel() for value in network.parameters()) == 4_480_935
    assert network.first_gru.hidden_size == network.second_gru.hidden_size == 512
    assert network.classes == 512


def test_the_published_wavenet_sees_505_samples():
    # Four stacks of dilations 1 to 32 with kernel 3: 4 * 2 * 63 and the present one.
    assert wavenet.PAPER.receptive_field == 505
    assert wavenet.PAPER.dilations[:7] == (1, 2, 4, 8, 16, 32, 1)
    assert wavenet.LOGISTICS.output == "logistics"
    assert WaveNet(LOGISTIC_TINY).final.out_channels == 30


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_generation_sees_exactly_what_the_parallel_forward_pass_sees(kind):
    network = made(kind)
    condition, taken, uniforms = inputs(network)
    _, scores = network.walk_compiled(condition, uniforms, taken[0].numpy())
    expected = parallel_scores(network, condition, taken)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_generation_in_torch_sees_what_the_parallel_forward_pass_sees():
    for kind in ("wavenet", "wavenet-kernel-3", "logistics"):
        network = made(kind)
        condition, taken, uniforms = inputs(network, frames=2)
        _, scores = network.walk_torch(condition, uniforms, taken[0].numpy())
        np.testing.assert_allclose(scores, parallel_scores(network, condition, taken), atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_generation_on_a_gpu_sees_what_the_cpu_sees():
    network = made("wavenet")
    condition, taken, uniforms = inputs(network, frames=2)
    expected = parallel_scores(network, condition, taken)
    _, scores = network.cuda().walk_torch(condition.cuda(), uniforms, taken[0].numpy())
    np.testing.assert_allclose(scores, expected, atol=1e-2)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_the_compiled_loop_and_torch_draw_the_same_samples(kind):
    network = made(kind)
    condition, _, uniforms = inputs(network, frames=2)
    with torch.inference_mode():
        compiled, _ = network.walk_compiled(condition, uniforms)
        if kind == "wavernn":
            drawn = network.walk_torch(condition, uniforms[None])[0][0]
        else:
            drawn, _ = network.walk_torch(condition, uniforms)
    assert len(np.unique(compiled)) > 10
    np.testing.assert_allclose(compiled, drawn, atol=1e-5)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_chunks_do_not_change_what_is_generated(kind, monkeypatch):
    network = made(kind)
    condition, _, uniforms = inputs(network, frames=6)
    whole, _ = network.walk_compiled(condition, uniforms)
    module = wavernn if kind == "wavernn" else wavenet
    monkeypatch.setattr(module, "CHUNK", 333)
    pieces, _ = network.walk_compiled(condition, uniforms)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_a_sample_depends_on_no_later_one(kind):
    network = made(kind)
    condition, taken, _ = inputs(network, frames=4)
    changed = taken.clone()
    changed[:, 500] = taken.max() - taken[:, 500]
    before, after = (parallel_scores(network, condition, each) for each in (taken, changed))
    np.testing.assert_array_equal(before[:501], after[:501])
    assert not np.array_equal(before[501], after[501])
    if isinstance(network, WaveNet):
        reach = network.settings.receptive_field
        np.testing.assert_allclose(before[501 + reach :], after[501 + reach :], atol=1e-6)


@pytest.mark.parametrize("classes", [256, 512])
def test_companding_keeps_sound_to_a_step_and_silence_silent(classes):
    sound = torch.linspace(-1, 1, 4001)
    labels = mu_law_encode(sound, classes)
    assert (int(labels.min()), int(labels.max())) == (0, classes - 1)
    error = np.abs(mu_law_decode(labels.numpy(), classes) - sound.numpy())
    # Half a step is largest at full scale: ln(classes) / (classes - 1), times the slope's (1 + mu) / mu.
    assert error.max() < 1.05 * np.log(classes) / (classes - 1)
    assert error[1990:2011].max() < 0.001
    assert torch.equal(labels, labels.sort().values)


def test_the_mixture_of_logistics_is_a_distribution_over_16_bit_steps():
    scores = torch.tensor([0.3, -0.2, 0.1, -0.4, 0.0, 0.5, -3.0, -4.0, -2.5]).double()
    steps = torch.linspace(-1, 1, 65536).double()
    losses = [logistic_mixture_loss(scores[None, None], step[None, None]) for step in steps[::64]]
    density = torch.exp(-torch.stack(losses)).numpy() * 65535 / 2
    weights = torch.softmax(scores[:3], 0).numpy()
    expected = sum(
        weight * scipy.stats.logistic.pdf(steps[::64].numpy(), mean, np.exp(scale))
        for weight, mean, scale in zip(weights, scores[3:6].numpy(), scores[6:].numpy(), strict=True)
    )
    np.testing.assert_allclose(density[40:-40], expected[40:-40], rtol=1e-3)
    # What lies outside the range is added to the outermost steps.
    assert np.exp(-float(losses[0])) > 2 / 65535 * expected[0]


def test_the_compiled_draw_follows_the_scores():
    from doppelbench.baselines.vocoders.kernels import draw_class, draw_logistic

    scores = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    uniforms = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
    drawn = [draw_class(scores, np.float32(1), uniform) for uniform in uniforms]
    np.testing.assert_array_equal(np.bincount(drawn), [100, 200, 300, 400])
    one = np.array([0, 0.2, -3], np.float32)
    values = [draw_logistic(one, np.float32(1), np.float32(0.5), uniform) for uniform in uniforms]
    expected = scipy.stats.logistic.ppf(uniforms, 0.2, np.exp(-3))
    np.testing.assert_allclose(values, expected.clip(-1, 1), atol=1e-4)


def test_the_hyperbolic_tangent_of_the_loop_is_exact_to_single_precision():
    from doppelbench.baselines.vocoders.kernels import sigmoid, tanh

    values = np.linspace(-30, 30, 2001).astype(np.float32)
    np.testing.assert_allclose([tanh(value) for value in values], np.tanh(values), atol=1e-6)
    expected = 1 / (1 + np.exp(-values.astype(np.float64)))
    np.testing.assert_allclose([sigmoid(value) for value in values], expected, atol=1e-6)


def test_upsampling_starts_as_smoothing_and_keeps_time():
    upsampling = Upsampling((5, 5, 8))
    features = torch.zeros(1, 2, 9)
    features[0, 1, 4] = 1
    with torch.inference_mode():
        made = upsampling(features)[0]
    assert made.shape == (2, 1800)
    assert not made[0].any()
    centre = (made[1] * torch.arange(1800)).sum() / made[1].sum()
    assert float(centre) == pytest.approx(4.5 * 200 - 0.5, abs=0.5)
    assert float(made[1].sum()) == pytest.approx(200, rel=1e-3)


def test_stretches_cover_everything_once_and_fade_into_one_another():
    for samples in (9601, 17600, 18401, 30000):
        indices = fold(samples, 8000, 800)
        assert indices[0, 0] == 0
        assert samples <= indices.max() + 1 < samples + 9600
        signal = np.sin(np.arange(indices.max() + 1) / 40)
        np.testing.assert_allclose(unfold(signal[indices], indices, 800), signal, atol=1e-6)


def test_folded_speech_has_the_length_of_speech_that_is_not_folded(clips):
    settings = replace(wavernn.TINY, folded=True, fold=1000, overlap=100)
    vocoder = wavernn.WaveRNNVocoder(settings)
    features = clip_log_mel(speech(clips)[0], MelSettings())[:30]
    first, second = vocoder(features), vocoder(features)
    assert first.samples.shape == (29 * 200,)
    np.testing.assert_array_equal(first.samples, second.samples)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_the_loss_reaches_every_parameter_and_overfits_a_crop(kind):
    with seeded(0):
        network = NETWORKS[kind]()
    sound = 0.4 * torch.sin(torch.arange(200) / 6)[None].repeat(2, 1)
    features = torch.rand(2, 1 + 2 * network.context, 80, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = network.loss(features, sound)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for name, value in network.named_parameters():
        # What the last layer sends into the residual path reaches nothing.
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name
    assert losses[-1] < losses[0] - 1


def test_training_lowers_the_loss(trained):
    vocoder, record, directory = trained
    assert record.steps == STEPS[vocoder.name]
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    losses = [float(value) for _, name, value in rows if name == "negative_log_likelihood"]
    assert np.mean(losses[-5:]) < 0.98 * losses[0]


def test_a_loaded_vocoder_speaks_as_the_one_that_was_saved(trained, clips):
    vocoder, _, directory = trained
    features = clip_log_mel(speech(clips, "ben", "test")[0], MelSettings())[:20]
    loaded = load_vocoder(directory)
    assert type(loaded) is type(vocoder)
    expected, found = vocoder(features), loaded(features)
    assert expected.samples.shape == (19 * 200,)
    assert expected.samples.std() > 0
    np.testing.assert_array_equal(found.samples, expected.samples)
    other = features.copy()
    other[0, 0] += 1e-3
    assert not np.array_equal(loaded(other).samples, expected.samples)


def test_the_same_seed_gives_the_same_weights(clips, tmp_path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        trainer = TrainerSettings(tmp_path / str(number), max_steps=2, device="cpu", seed=seed)
        vocoder = make_vocoder("wavenet", "tiny")
        train_vocoder(vocoder, speech(clips), trainer)
        weights.append(torch.cat([value.flatten() for value in vocoder.network.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(clips, tmp_path):
    weights = []
    for name, stops in (("whole", (6,)), ("parts", (3, 6))):
        for steps in stops:
            trainer = TrainerSettings(tmp_path / name, max_steps=steps, device="cpu")
            vocoder = make_vocoder("wavenet", "tiny")
            train_vocoder(vocoder, speech(clips), trainer)
        weights.append(torch.cat([value.flatten() for value in vocoder.network.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])


def test_a_system_speaks_through_the_vocoder_it_is_given(trained, clips):
    from doppelbench.baselines.exemplar import TINY, Exemplar
    from doppelbench.corpora.clip import Trial

    system = Exemplar(TINY, "ana")
    system.vocoder = trained[0]
    source = speech(clips, "cleo", "test")[0]
    audio = system.convert(Trial("t", source, "ana")).audio
    assert audio.samples.size % 200 == 0
    assert np.isfinite(audio.samples).all()


def test_griffin_lim_is_saved_and_loaded_by_the_same_calls(tmp_path):
    mel = MelSettings(n_mels=40)
    GriffinLim(mel, GriffinLimSettings(iterations=7)).save(tmp_path)
    loaded = load_vocoder(tmp_path)
    assert isinstance(loaded, GriffinLim)
    assert (loaded.mel, loaded.settings.iterations) == (mel, 7)
    assert loaded.fit([], TrainerSettings(tmp_path, max_steps=1)) is None


def test_every_vocoder_has_the_presets_and_the_name_it_is_found_by():
    for name in VOCODERS:
        kind = find_vocoder(name)
        assert kind.name == name
        assert {"tiny", "small", "paper"} <= set(kind.presets)
        assert make_vocoder(name, "tiny").mel == MelSettings()


@pytest.mark.parametrize(("name", "preset"), [("wavnet", "small"), ("wavenet", "smal")])
def test_an_unknown_vocoder_or_preset_is_refused_by_name(name, preset):
    with pytest.raises(DoppelbenchError, match=name if name == "wavnet" else preset):
        make_vocoder(name, preset)


@pytest.mark.parametrize("content", [None, "{", '{"vocoder": "griffin"}', '{"vocoder": "wavenet"}'])
def test_a_folder_without_a_readable_vocoder_is_refused_by_name(content, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=str(tmp_path)):
        load_vocoder(tmp_path)


def test_too_little_speech_and_wrong_features_are_refused(clips, tmp_path):
    vocoder = make_vocoder("wavenet", "tiny")
    with pytest.raises(InputError, match=r"30 s .* 5\.0 s"):
        vocoder.fit(speech(clips, "short"), TrainerSettings(tmp_path, max_steps=1))
    with pytest.raises(ValueError, match=r"\(10, 40\)"):
        vocoder(np.zeros((10, 40), np.float32))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (WaveNetSettings, {"layers": 10, "stacks": 4}, "multiple of stacks"),
        (WaveNetSettings, {"gates": 33}, "even"),
        (WaveNetSettings, {"output": "gaussian"}, "gaussian"),
        (WaveNetSettings, {"scales": (4, 4, 4, 4)}, "hop"),
        (WaveRNNSettings, {"auxiliary": 30}, "multiple of 4"),
        (WaveRNNSettings, {"temperature": 0.0}, "temperature"),
    ],
)
def test_settings_that_no_network_can_have_are_refused(kind, values, message):
    with pytest.raises(DoppelbenchError, match=message):
        kind(**values)
