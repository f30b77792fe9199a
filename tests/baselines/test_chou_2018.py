"""Multi-target adversarial conversion has the published sizes, phases and rules, and learns."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from doppelbench.baselines.chou_2018 import (
    PAPER,
    TINY,
    Chou2018,
    Chou2018Module,
    Chou2018Network,
    Chou2018Settings,
    ScheduledCrops,
    gradient_penalty,
    latent_weight,
    phase_of,
)
from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.linear_spectrogram import (
    LinearGriffinLim,
    LinearSettings,
    clip_log_linear,
    log_linear,
)
from doppelbench.baselines.vocoders.griffin_lim import GriffinLimSettings
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.features import preemphasize
from doppelbench.corpora.media import read_audio
from doppelbench.engine.trainer import TrainerSettings, seeded

SPEAKERS = ("ana", "ben", "cleo")
# The last step of every phase of the preset tiny, and the end.
ENDS = (8, 11, 16, 20)


def training(clips: list[Clip], *speakers: str) -> list[Clip]:
    return [clip for clip in clips if clip.speaker in (speakers or SPEAKERS) and clip.split == "train"]


def trial(clips: list[Clip], speaker: str = "zoë") -> Trial:
    source = next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")
    return Trial(f"{source.id}_to_ana", source, "ana")


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten() for value in module.state_dict().values()])


def fitted(clips: list[Clip], directory: Path, steps: int, seed: int = 0) -> Chou2018:
    system = Chou2018(TINY)
    trainer = TrainerSettings(directory, max_steps=steps, device="cpu", seed=seed, log_every=1)
    assert system.fit(training(clips), trainer).steps == steps
    return system


def module_without_log(settings: Chou2018Settings = TINY) -> Chou2018Module:
    with seeded(0):
        module = Chou2018Module(Chou2018Network(settings, 3), settings)
    module.log = lambda *arguments: None
    return module


@pytest.fixture(scope="module")
def stages(tmp_path_factory, clips) -> dict[int, Chou2018]:
    """The same training, stopped and resumed at the end of every phase."""
    directory = tmp_path_factory.mktemp("stages")
    return {0: Chou2018(TINY), **{steps: fitted(clips, directory, steps) for steps in ENDS}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, stages) -> tuple[Chou2018, Path]:
    directory = tmp_path_factory.mktemp("chou-2018")
    stages[20].save(directory)
    return stages[20], directory


def test_networks_of_the_preset_paper_have_the_published_sizes():
    network = Chou2018Network(PAPER, 20)
    sizes = {
        name: sum(value.numel() for value in part.parameters()) / 1e6
        for name, part in network.named_children()
    }
    published = {
        "encoder": 12.37,
        "decoder": 10.42,
        "generator": 10.42,
        "classifier": 8.40,
        "discriminator": 10.92,
    }
    assert sizes == pytest.approx(published, abs=0.005)


def test_the_phases_of_the_preset_paper_are_those_published():
    assert PAPER.max_steps == 158_000
    last = {"autoencoder": 7_999, "classifier": 27_999, "adversarial": 107_999, "residual": 157_999}
    assert {phase: phase_of(step, PAPER) for phase, step in last.items()} == {phase: phase for phase in last}
    first = {"classifier": 8_000, "adversarial": 28_000, "residual": 108_000}
    assert {phase: phase_of(step, PAPER) for phase, step in first.items()} == {
        phase: phase for phase in first
    }
    assert phase_of(10**6, PAPER) == "residual"


def test_the_weight_against_the_classifier_rises_in_a_straight_line_to_a_hundredth():
    steps = (0, 28_000, 53_000, 78_000, 100_000)
    assert [latent_weight(step, PAPER) for step in steps] == pytest.approx([0, 0, 0.005, 0.01, 0.01])


def test_a_step_brings_crops_for_every_update_and_batches_of_the_stated_size():
    """The released code states a batch of 32 and loads 16."""

    class Crops:
        key = "crops"

        def draw(self, generator, count):
            return torch.zeros(count), torch.zeros(count)

    data = ScheduledCrops(Crops(), PAPER, 0)
    parts = {step: data.batch(step, 0, 1) for step in (0, 8_000, 28_000, 108_000)}
    assert {step: len(crops) for step, (_, crops) in parts.items()} == {
        0: 1,
        8_000: 1,
        28_000: 6,
        108_000: 6,
    }
    for step, (number, crops) in parts.items():
        assert number == step
        assert {len(features) for features, _ in crops} == {PAPER.batch_size} == {32}


def test_every_phase_trains_its_own_networks_and_leaves_the_others_alone(stages):
    with seeded(0):
        start = Chou2018Network(TINY, len(SPEAKERS))
    networks = [start, *(stages[steps].network for steps in ENDS)]
    changed = [
        {
            name
            for name, part in after.named_children()
            if not torch.equal(flat(part), flat(getattr(before, name)))
        }
        for before, after in pairwise(networks)
    ]
    assert changed == [
        {"encoder", "decoder"},
        {"classifier"},
        {"encoder", "decoder", "classifier"},
        {"generator", "discriminator"},
    ]


def test_a_training_stopped_in_any_phase_ends_as_one_that_was_not(stages, clips, tmp_path):
    whole = fitted(clips, tmp_path / "whole", 20)
    assert torch.equal(flat(whole.network), flat(stages[20].network))
    for steps in (3, 9, 13, 18, 20):
        middle = fitted(clips, tmp_path / "middle", steps)
    assert torch.equal(flat(whole.network), flat(middle.network))


def test_another_seed_gives_other_weights(stages, clips, tmp_path):
    other = fitted(clips, tmp_path, 8, seed=1)
    assert not torch.equal(flat(other.network), flat(stages[8].network))


def test_a_conversion_adds_the_residual_once_the_last_phase_has_begun(stages, clips):
    assert {steps: stages[steps].residual for steps in ENDS} == {8: False, 11: False, 16: False, 20: True}
    features = torch.rand(1, 80, 40)
    speaker = torch.tensor([1])
    network = stages[20].network.eval()
    with torch.inference_mode():
        blurred = network.convert(features, speaker, residual=False)
        sharp = network.convert(features, speaker, residual=True)
        residual = network.generator(network.encoder(features), speaker)
    torch.testing.assert_close(sharp, blurred + residual)
    assert residual.abs().max() > 0


def test_the_last_phase_starts_from_what_the_decoder_says():
    network = Chou2018Network(TINY, 3).eval()
    x, speaker = torch.rand(1, 80, 64), torch.tensor([1])
    with torch.inference_mode():
        blurred, sharp = (network.convert(x, speaker, residual=residual) for residual in (False, True))
    assert torch.equal(blurred, sharp)


def test_each_loss_reaches_every_parameter_of_its_networks():
    """The bias of the score falls out of the difference of two scores.

    The last layer of the generator starts at zero and lets nothing through, until its first update.
    """
    x, speakers = torch.rand(6, 80, 64), torch.tensor([0, 1, 2, 0, 1, 2])
    cases = (
        ("autoencoder_loss", ("encoder", "decoder"), {}),
        ("autoencoder_loss", ("encoder", "decoder", "classifier"), {"latent_weight": 0.01}),
        ("classifier_loss", ("classifier",), {}),
        ("generator_loss", ("generator",), {}),
        ("discriminator_loss", ("discriminator",), {}),
    )
    for name, parts, options in cases:
        module = module_without_log(replace(TINY, rival_dropout=0.0))
        torch.nn.init.normal_(module.network.generator.output.weight)
        getattr(module, name)(x, speakers, **options).backward()
        for part in parts:
            for parameter, value in getattr(module.network, part).named_parameters():
                if parameter != "score.bias":
                    assert value.grad is not None, (name, part, parameter)
                    assert value.grad.abs().sum() > 0, (name, part, parameter)


def test_the_autoencoder_is_rewarded_for_codes_that_the_classifier_gets_wrong():
    module = module_without_log()
    module.eval()
    x, speakers = torch.rand(3, 80, 64), torch.tensor([0, 1, 2])
    with torch.no_grad():
        plain = module.autoencoder_loss(x, speakers)
        rewarded = module.autoencoder_loss(x, speakers, latent_weight=0.5)
        cross_entropy = module.classifier_loss(x, speakers)
    torch.testing.assert_close(rewarded, plain - 0.5 * cross_entropy)


def test_the_classifier_learns_from_fixed_codes():
    module = module_without_log()
    module.classifier_loss(torch.rand(3, 80, 64), torch.tensor([0, 1, 2])).backward()
    assert all(value.grad is None for value in module.network.encoder.parameters())


def test_the_gradient_penalty_of_a_linear_score_is_the_squared_distance_of_its_norm_from_1():
    class Linear(torch.nn.Module):
        def forward(self, x):
            return 3 * x[:, 0, 0] + 4 * x[:, 1, 1], None

    real, fake = torch.rand(2, 5, 2, 2)
    assert gradient_penalty(Linear(), real, fake).item() == pytest.approx(16.0)


def test_four_crops_are_learnt_by_heart(clips):
    """The L1 of four fixed crops falls below half of what it was."""
    crops = [clip_log_mel(clip, TINY.mel)[100:164] for clip in training(clips, "ana", "ben")[2:6]]
    x, speakers = torch.from_numpy(np.stack(crops)).transpose(1, 2), torch.tensor([0, 0, 0, 1])
    module = module_without_log(replace(TINY, encoder_dropout=0.0))
    optimizer = module.configure_optimizers()[0]
    losses = []
    for _ in range(60):
        loss = module.autoencoder_loss(x, speakers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_the_classifier_learns_the_speakers_of_fixed_crops(clips):
    """Its cross-entropy falls from that of a guess below half."""
    crops = [clip_log_mel(clip, TINY.mel)[100:164] for clip in training(clips, "ana", "ben")[2:8]]
    x, speakers = torch.from_numpy(np.stack(crops)).transpose(1, 2), torch.tensor([0, 0, 0, 1, 1, 1])
    module = module_without_log(replace(TINY, encoder_dropout=0.0, rival_dropout=0.0))
    optimizer = module.configure_optimizers()[1]
    for _ in range(60):
        loss = module.classifier_loss(x, speakers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * np.log(3)


@pytest.mark.parametrize("shape", [(4, 80, 1), (1, 80, 64), (4, 1, 64)])
def test_a_reconstruction_of_another_shape_is_refused_though_it_could_be_broadcast(shape):
    module = module_without_log()
    module.network.decoder.forward = lambda codes, speakers: torch.zeros(shape)
    with pytest.raises(ValueError, match="reconstruction"):
        module.autoencoder_loss(torch.rand(4, 80, 64), torch.zeros(4, dtype=torch.long))


def test_the_optimisers_are_those_published():
    optimizers = Chou2018Module(Chou2018Network(TINY, 2), PAPER).configure_optimizers()
    assert [(one.param_groups[0]["lr"], one.param_groups[0]["betas"]) for one in optimizers] == [
        (1e-4, (0.5, 0.9))
    ] * 4


def test_gradients_are_clipped_at_5_unless_the_user_says_otherwise(clips, tmp_path, monkeypatch):
    class EnoughError(Exception):
        pass

    def seen(module, data, settings):
        raise EnoughError(settings.gradient_clip)

    monkeypatch.setattr("doppelbench.baselines.chou_2018.train", seen)
    for given, expected in ((None, "5.0"), (1.0, "1.0")):
        trainer = TrainerSettings(tmp_path, max_steps=1, gradient_clip=given)
        with pytest.raises(EnoughError, match=expected):
            Chou2018(TINY).fit(training(clips), trainer)


def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips):
    system, directory = trained
    loaded = Chou2018.load(directory)
    assert (loaded.speakers, loaded.residual, loaded.settings) == (list(SPEAKERS), True, TINY)
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    assert found.rate == expected.rate == 16000
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_an_output_is_as_long_as_its_source(trained, clips):
    system, _ = trained
    source = clip_log_mel(trial(clips).source, TINY.mel)
    assert system.convert(trial(clips)).audio.samples.size == (len(source) - 1) * TINY.mel.hop


@pytest.mark.parametrize("frames", [1, 7, 8, 33, 61])
def test_any_number_of_frames_is_converted(trained, frames):
    system, _ = trained
    mel = np.random.default_rng(frames).random((frames, 80), dtype=np.float32)
    converted = system.convert_features(mel, "ana")
    assert converted.shape == mel.shape
    assert np.isfinite(converted).all()
    assert converted.min() >= 0
    assert converted.max() <= 1


def test_the_output_follows_the_target(trained, clips):
    system, _ = trained
    mel = clip_log_mel(trial(clips).source, TINY.mel)
    ana, ben = (system.convert_features(mel, target) for target in ("ana", "ben"))
    assert np.abs(ana - ben).max() > 0.001


def test_a_target_that_was_not_trained_on_fails_its_trial(trained, clips):
    system, _ = trained
    with pytest.raises(MediaError, match=r"zoë is no speaker of the training \(ana, ben, cleo\)") as caught:
        system.convert(replace(trial(clips), target="zoë"))
    assert caught.value.status == "missing"


def test_a_system_that_is_not_trained_says_so(clips, tmp_path):
    with pytest.raises(InputError, match="not trained"):
        Chou2018(TINY).convert(trial(clips))
    with pytest.raises(InputError, match="not trained"):
        Chou2018(TINY).save(tmp_path)


def test_one_speaker_alone_is_refused(clips, tmp_path):
    with pytest.raises(InputError, match="at least two speakers"):
        Chou2018(TINY).fit(training(clips, "ana"), TrainerSettings(tmp_path, max_steps=1))


def test_the_published_spectrogram_is_trained_on_and_converted(clips, tmp_path):
    linear = replace(TINY, spectrogram="linear", autoencoder_steps=2, classifier_steps=1, adversarial_steps=1)
    system = Chou2018(replace(linear, residual_steps=1))
    trainer = TrainerSettings(tmp_path, max_steps=5, device="cpu")
    assert system.fit(training(clips), trainer).steps == 5
    audio = system.convert(trial(clips)).audio
    source = clip_log_linear(trial(clips).source, LinearSettings())
    assert source.shape[1] == PAPER.bands == 513
    assert audio.samples.size == (len(source) - 1) * 200
    assert np.isfinite(audio.samples).all()


def test_the_linear_spectrogram_is_that_of_a_library(clips):
    samples = read_audio(trial(clips).source.audio, rate=16000).samples
    settings = LinearSettings()
    expected = np.abs(
        librosa.stft(
            preemphasize(samples, 0.97), n_fft=1024, hop_length=200, win_length=800, pad_mode="constant"
        )
    ).T
    decibel = librosa.amplitude_to_db(expected, ref=1.0, amin=1e-10, top_db=None)
    np.testing.assert_allclose(
        log_linear(samples, settings), np.clip((decibel - 20 + 100) / 100, 0, 1), atol=1e-3
    )


def test_a_linear_spectrogram_becomes_a_waveform_with_nearly_that_spectrogram(clips):
    settings = LinearSettings()
    features = clip_log_linear(trial(clips).source, settings)
    audio = LinearGriffinLim(settings, GriffinLimSettings(iterations=60))(features)
    again = log_linear(audio.samples, settings)
    wanted, found = (np.power(10.0, 5 * values) for values in (features, again))
    assert np.linalg.norm(found - wanted) < 0.2 * np.linalg.norm(wanted)


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        Chou2018.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("channels", 0),
        ("learning_rate", -1.0),
        ("crop_frames", 100),
        ("crop_frames", 32),
        ("spectrogram", "cepstrum"),
    ],
)
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        Chou2018Settings(**{setting: value})
