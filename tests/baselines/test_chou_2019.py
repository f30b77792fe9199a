"""One-shot conversion by instance norm has the published sizes and rules, learns, and takes any voice."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as kl_of_distributions

from doppelbench.baselines.chou_2019 import (
    PAPER,
    PUBLISHED_MEL,
    TINY,
    Chou2019,
    Chou2019Module,
    Chou2019Network,
    Chou2019Settings,
    NumberedCrops,
    adaptive_norm,
    band_statistics,
    kl_divergence,
    kl_weight,
)
from doppelbench.baselines.common import (
    clip_log_mel,
    log_mel_arrays,
    speaker_recordings,
)
from doppelbench.baselines.speaker_crops import (
    MINIMUM_FRAMES,
    ConvolutionBank,
    SpeakerCrops,
    pad_frames,
    pixel_shuffle,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.engine.trainer import TrainerSettings, seeded


def training(clips: list[Clip], *speakers: str) -> list[Clip]:
    return [clip for clip in clips if clip.speaker in speakers and clip.split == "train"]


def trial(clips: list[Clip], speaker: str = "zoë") -> Trial:
    source = next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")
    return Trial(f"{source.id}_to_cleo", source, "cleo")


def module_without_log() -> Chou2019Module:
    with seeded(0):
        module = Chou2019Module(Chou2019Network(TINY), TINY)
    module.log = lambda *arguments: None
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> tuple[Chou2019, Path]:
    directory = tmp_path_factory.mktemp("chou-2019")
    system = Chou2019(TINY)
    record = system.fit(
        training(clips, "ana", "ben"), TrainerSettings(directory, max_steps=60, device="cpu", log_every=1)
    )
    assert record.steps == 60
    system.save(directory)
    system.enroll("cleo", training(clips, "cleo"))
    return system, directory


def test_networks_of_the_preset_paper_have_the_published_size():
    network = Chou2019Network(PAPER)
    assert sum(value.numel() for value in network.parameters()) == pytest.approx(9.04e6, abs=0.005e6)


def test_the_features_of_the_preset_paper_are_those_published():
    assert (PAPER.mel.rate, PAPER.mel.n_fft, PAPER.mel.window, PAPER.mel.hop) == (24000, 2048, 1200, 300)
    assert (PAPER.mel.n_mels, PAPER.mel.min_db, PAPER.mel.max_db) == (512, -80, 20)


def test_a_code_stands_for_every_8_frames():
    network = Chou2019Network(TINY)
    mean, log_variance = network.content_encoder(torch.rand(2, 80, 64))
    assert mean.shape == log_variance.shape == (2, TINY.channels, 8)
    decoded = network.decoder(mean, network.speaker_encoder(torch.rand(2, 80, 40)))
    assert decoded.shape == (2, 80, 64)


def test_adaptive_norm_gives_every_channel_the_wanted_mean_and_deviation():
    shift, scale = torch.randn(2, 3), torch.rand(2, 3) + 0.5
    styled = adaptive_norm(5 + 3 * torch.randn(2, 3, 400), torch.cat([shift, scale], dim=1))
    torch.testing.assert_close(styled.mean(dim=2), shift, atol=1e-4, rtol=0)
    torch.testing.assert_close(styled.std(dim=2, correction=0), scale, atol=1e-4, rtol=0)


def test_the_kl_term_is_that_of_a_normal_with_the_variance_whose_logarithm_is_given():
    mean, log_variance = torch.randn(2, 4, 5), torch.randn(2, 4, 5)
    expected = kl_of_distributions(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_the_weight_of_the_kl_term_rises_in_a_straight_line_to_1():
    assert [kl_weight(step, PAPER) for step in (0, 5_000, 20_000, 150_000)] == [0.0, 0.25, 1.0, 1.0]


def test_a_pixel_shuffle_puts_neighbouring_channels_into_neighbouring_frames():
    x = torch.tensor([[[0.0, 2.0], [1.0, 3.0], [10.0, 12.0], [11.0, 13.0]]])
    assert pixel_shuffle(x, 2).tolist() == [[[0, 1, 2, 3], [10, 11, 12, 13]]]


def test_the_bank_hands_on_its_input_as_it_came():
    x = torch.randn(2, 5, 20)
    joined = ConvolutionBank(5, 3, 8)(x)
    assert joined.shape == (2, 8 * 3 + 5, 20)
    assert torch.equal(joined[:, -5:], x)
    assert joined[:, :-5].min() == 0


def test_the_content_encoder_does_not_see_what_is_constant_in_its_first_hidden_channels():
    """A person's constant traits, as a shift and a scale of a hidden channel, do not reach the content."""
    encoder = Chou2019Network(TINY).content_encoder
    x = torch.rand(1, 80, 64)
    with torch.no_grad():
        before, _ = encoder(x)
        encoder.input.weight.mul_(3.0)
        encoder.input.bias.add_(2.0)
        after, _ = encoder(x)
    torch.testing.assert_close(before, after, atol=1e-3, rtol=1e-3)


def test_the_loss_reaches_every_parameter():
    """A bias before an instance norm is taken out again, so that only weights must have a slope."""
    module = module_without_log()
    module.training_step((torch.rand(4, 32, 80), 10), 0).backward()
    for name, value in module.named_parameters():
        assert value.grad is not None, name
        assert name.endswith("bias") or value.grad.abs().sum() > 0, name


def test_the_kl_term_counts_as_its_weight_says():
    module, mel = module_without_log(), torch.rand(4, 32, 80)
    losses = []
    for step in (0, 10, 20, 40):
        torch.manual_seed(0)
        losses.append(float(module.training_step((mel, step), 0).detach()))
    kl = losses[2] - losses[0]
    assert kl > 0.001
    assert losses[1] - losses[0] == pytest.approx(kl / 2, rel=0.01)
    assert losses[3] == losses[2]


@pytest.mark.parametrize("shape", [(4, 80, 1), (1, 80, 32), (4, 1, 32)])
def test_a_reconstruction_of_another_shape_is_refused_though_it_could_be_broadcast(shape):
    module = module_without_log()
    module.network.decoder.forward = lambda codes, speaker: torch.zeros(shape)
    with pytest.raises(ValueError, match="reconstruction"):
        module.training_step((torch.rand(4, 32, 80), 0), 0)


def test_the_optimiser_is_that_published():
    (group,) = Chou2019Module(Chou2019Network(TINY), PAPER).configure_optimizers().param_groups
    assert (group["lr"], group["betas"], group["amsgrad"], group["weight_decay"]) == (
        5e-4,
        (0.9, 0.999),
        True,
        1e-4,
    )


def test_gradients_are_clipped_at_5_unless_the_user_says_otherwise(clips, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "doppelbench.baselines.chou_2019.train",
        lambda module, data, settings: seen.append(settings.gradient_clip),
    )
    for given in (None, 1.0):
        trainer = TrainerSettings(tmp_path, max_steps=1, gradient_clip=given)
        Chou2019(TINY).fit(training(clips, "ana", "ben"), trainer)
    assert seen == [5.0, 1.0]


def test_training_lowers_the_loss(trained):
    _, directory = trained
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    losses = [float(value) for _, name, value in rows if name == "mel_l1"]
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])


def test_four_crops_are_learnt_by_heart(clips):
    """Without the KL term (step 0), the L1 of four fixed crops falls below half."""
    crops = [clip_log_mel(clip, TINY.mel)[100:132] for clip in training(clips, "ana", "ben")[2:6]]
    mel = torch.from_numpy(np.stack(crops))
    module = module_without_log()
    module.network.mean.copy_(mel.mean(dim=(0, 1)))
    module.network.deviation.copy_(mel.std(dim=(0, 1)))
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    losses = []
    for _ in range(120):
        loss = module.training_step((mel, 0), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_bands_are_standardised_by_the_training_speech(trained, clips):
    system, _ = trained
    frames = np.concatenate([clip_log_mel(clip, TINY.mel) for clip in training(clips, "ana", "ben")])
    standard = system.network.standardize(torch.from_numpy(frames)[None])[0]
    assert standard.shape == (80, len(frames))
    torch.testing.assert_close(standard.mean(dim=1), torch.zeros(80), atol=1e-3, rtol=0)
    torch.testing.assert_close(standard.std(dim=1, correction=0), torch.ones(80), atol=1e-3, rtol=0)
    restored = system.network.restore(standard[None])
    torch.testing.assert_close(restored[0], torch.from_numpy(frames), atol=1e-5, rtol=0)


def test_a_band_that_never_changes_is_not_divided_by_zero():
    class Constant:
        parts = (np.full((10, 3), 0.25, dtype=np.float32),)

    mean, deviation = band_statistics([Constant()])
    assert mean.tolist() == [0.25] * 3
    assert deviation.tolist() == [1.0] * 3


def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips):
    system, directory = trained
    loaded = Chou2019.load(directory)
    loaded.enroll("cleo", training(clips, "cleo"))
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    assert found.rate == expected.rate == 16000
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_a_conversion_uses_the_mean_code_and_so_is_the_same_every_time(trained, clips):
    system, _ = trained
    first, second = (system.convert(trial(clips)).audio.samples for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_an_output_is_as_long_as_its_source(trained, clips):
    system, _ = trained
    source = clip_log_mel(trial(clips).source, TINY.mel)
    assert system.convert(trial(clips)).audio.samples.size == (len(source) - 1) * TINY.mel.hop


@pytest.mark.parametrize("frames", [1, 7, 8, 33, 61])
def test_any_number_of_frames_is_converted(trained, frames):
    system, _ = trained
    mel = np.random.default_rng(frames).random((frames, 80), dtype=np.float32)
    converted = system.convert_features(mel, "cleo")
    assert converted.shape == mel.shape
    assert np.isfinite(converted).all()
    assert converted.min() >= 0
    assert converted.max() <= 1


@pytest.mark.parametrize(("frames", "padded"), [(1, 32), (32, 32), (33, 40), (40, 40)])
def test_padding_repeats_the_last_frame(frames, padded):
    features = np.arange(frames, dtype=np.float32)[:, None]
    found = pad_frames(features, 8)
    assert len(found) == padded >= MINIMUM_FRAMES
    assert (found[frames:] == frames - 1).all()


def test_the_voice_of_the_output_follows_the_enrolment(trained, clips):
    system, directory = trained
    other = Chou2019.load(directory)
    other.enroll("cleo", training(clips, "ben"))
    mel = clip_log_mel(trial(clips).source, TINY.mel)
    assert np.abs(system.convert_features(mel, "cleo") - other.convert_features(mel, "cleo")).max() > 0.001


@pytest.mark.parametrize("utterances", [1, 2, 9])
def test_a_voice_is_the_mean_code_of_so_many_utterances(trained, clips, utterances):
    _, directory = trained
    system = Chou2019.load(directory)
    system.settings = replace(system.settings, enrolment_utterances=utterances)
    own = training(clips, "cleo")
    system.enroll("cleo", own)
    codes = [system.speaker_code(clip_log_mel(clip, TINY.mel)) for clip in own[:utterances]]
    torch.testing.assert_close(system.voices["cleo"], torch.stack(codes).mean(dim=0))
    assert PAPER.enrolment_utterances == 1


def test_an_unreadable_utterance_is_passed_over(trained, clips, tmp_path):
    system, directory = trained
    (tmp_path / "broken.flac").write_bytes(b"no audio at all")
    broken = Clip("broken", "cleo", audio=str(tmp_path / "broken.flac"))
    other = Chou2019.load(directory)
    other.enroll("cleo", [broken, *training(clips, "cleo")])
    assert torch.equal(other.voices["cleo"], system.voices["cleo"])
    with pytest.raises(InputError, match=r"cleo .*broken\.flac"):
        other.enroll("cleo", [broken])


def test_a_target_that_is_not_enrolled_fails_its_trial(trained, clips):
    system, _ = trained
    with pytest.raises(MediaError, match="nobody is not enrolled") as caught:
        system.convert(replace(trial(clips), target="nobody"))
    assert caught.value.status == "missing"


def test_one_speaker_alone_is_refused(clips, tmp_path):
    with pytest.raises(InputError, match="at least two speakers"):
        Chou2019(TINY).fit(training(clips, "ana"), TrainerSettings(tmp_path, max_steps=1))


def test_the_published_features_go_all_the_way(clips):
    system = Chou2019(replace(TINY, mel=PUBLISHED_MEL))
    system.enroll("cleo", training(clips, "cleo")[:1])
    audio = system.convert(trial(clips)).audio
    assert audio.rate == 24000
    assert audio.seconds == pytest.approx(1.2, abs=300 / 24000)
    assert np.isfinite(audio.samples).all()


def test_training_ends_with_the_same_weights_for_the_same_seed_and_others_for_another(clips, tmp_path):
    weights = []
    for number, seed in enumerate((3, 3, 4)):
        system = Chou2019(TINY)
        trainer = TrainerSettings(tmp_path / str(number), max_steps=3, device="cpu", seed=seed)
        system.fit(training(clips, "ana", "ben"), trainer)
        weights.append(torch.cat([value.flatten() for value in system.network.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(clips, tmp_path):
    """The noise of the codes, the KL weight and the crops all follow from the step number."""
    weights = []
    for folder, stops in (("whole", (8,)), ("parts", (3, 8))):
        for steps in stops:
            system = Chou2019(TINY)
            trainer = TrainerSettings(tmp_path / folder, max_steps=steps, device="cpu")
            system.fit(training(clips, "ana", "ben"), trainer)
        weights.append(torch.cat([value.flatten() for value in system.network.state_dict().values()]))
    assert torch.equal(*weights)


def test_batches_hold_crops_of_all_speakers_and_follow_from_the_step(clips, tmp_path):
    trainer = TrainerSettings(tmp_path, max_steps=1)
    recordings = speaker_recordings(
        training(clips, "ana", "ben", "cleo"),
        log_mel_arrays,
        {"mel": asdict(TINY.mel)},
        trainer,
        field="mel",
        shortest=32,
    )
    crops = SpeakerCrops(recordings, 32)
    features, speakers = crops.draw(np.random.default_rng(0), 300)
    assert features.shape == (300, 32, 80)
    assert np.bincount(speakers).min() > 60
    batches = NumberedCrops(crops, 4, seed=1)
    (first, step), (again, _), (other, _) = (batches.batch(number, 0, 1) for number in (5, 5, 6))
    assert step == 5
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        Chou2019.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("channels", 0), ("learning_rate", -1.0), ("crop_frames", 100), ("kl_weight", -0.1), ("crop_frames", 8)],
)
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        Chou2019Settings(**{setting: value})
