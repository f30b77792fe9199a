"""The parts of the video-to-speech systems: published sizes, alignment, statistics, losses, streaming."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from talking_films import RATE, write_speech
from torch import nn

from doppelbench.baselines.video_to_speech import speech_stream, v2a_melspec, v2a_wavegan
from doppelbench.baselines.video_to_speech.audio_encoder import AudioEncoder
from doppelbench.baselines.video_to_speech.discriminator import (
    MultiScaleDiscriminator,
    feature_loss,
    made_loss,
    real_loss,
)
from doppelbench.baselines.video_to_speech.losses import (
    WaveformLosses,
    mel_losses,
    resolutions,
    spectral_convergence,
    spectrum,
)
from doppelbench.baselines.video_to_speech.mel_decoder import MelDecoder
from doppelbench.baselines.video_to_speech.modality_norm import (
    ModalityNorm,
    modality_norms,
    split_norms,
    start_from_audio,
    use_modality,
)
from doppelbench.baselines.video_to_speech.schedule import warm_cosine
from doppelbench.baselines.video_to_speech.speech_stream import SpeechStream, stretches
from doppelbench.baselines.video_to_speech.talking_clips import (
    augmented,
    cut_speech,
    middle,
    speech_by_pictures,
)
from doppelbench.baselines.video_to_speech.temporal_module import TemporalModule
from doppelbench.baselines.video_to_speech.video_encoder import VideoEncoder
from doppelbench.baselines.video_to_speech.waveform_decoder import WaveformDecoder
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, LeftOutWarning
from doppelbench.corpora.features import log_mel
from doppelbench.corpora.media import Audio, write_audio

MEL, WAVE = v2a_melspec.TINY, v2a_wavegan.TINY


def parameters(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def mel_decoder(settings=MEL, repeats: int = 1, **changes) -> MelDecoder:
    sizes = {"blocks": 1, "width": 16, "heads": 2, "feed_forward": 32, "kernel": 7, "dropout": 0.0, **changes}
    return MelDecoder(2 * settings.cells, 80, repeats=repeats, frames=settings.frames, **sizes)


# --- sizes


def test_the_video_encoder_of_the_preset_paper_has_the_size_of_resnet_18_behind_a_3d_convolution():
    """ResNet-18 has 11,689,512 parameters, of which first layer and classifier are not here."""
    with torch.device("meta"):
        encoder = VideoEncoder(64, v2a_melspec.PAPER.widths, 512)
        codes = encoder(torch.zeros(1, 3, 88, 88, dtype=torch.uint8))
    resnet_18, first, classifier = 11_689_512, 3 * 64 * 49 + 2 * 64, 512 * 1000 + 1000
    stem = 64 * 5 * 7 * 7 + 2 * 64 + 64
    assert parameters(encoder) == resnet_18 - first - classifier + stem
    assert codes.shape == (1, 3, 512)


def test_the_discriminators_of_the_preset_paper_are_melgans():
    """A network of biased convolutions; weight norm adds one number for each output channel."""
    shapes = (
        (1, 16, 15),
        (4, 64, 41),
        (4, 256, 41),
        (4, 1024, 41),
        (4, 1024, 41),
        (1024, 1024, 5),
        (1024, 1, 3),
    )
    wanted = sum(inputs * outputs * kernel + 2 * outputs for inputs, outputs, kernel in shapes)
    paper = v2a_wavegan.PAPER
    with torch.device("meta"):
        judge = MultiScaleDiscriminator(
            paper.discriminator_scales,
            paper.discriminator_channels,
            paper.discriminator_stages,
            paper.discriminator_widest,
        )
        judged = judge(torch.zeros(1, 8192))
    assert parameters(judge) == 3 * wanted
    assert [scale[-1].shape[-1] for scale in judged] == [32, 16, 8]
    assert [len(scale) for scale in judged] == [7, 7, 7]


def test_the_conformer_of_the_preset_paper_is_that_of_svts_s_but_for_its_positions():
    """27.3 M are published for SVTS-S, of which the video encoder has 11.18 M; relative positions have a
    matrix and two vectors in each of the six blocks."""
    with torch.device("meta"):
        system = object.__new__(v2a_melspec.MelSpec)
        system.settings = replace(v2a_melspec.PAPER, repeats=1, cells=384)
        decoder = system.new_decoder()
    assert decoder.output.out_features == 320
    positions = 6 * (256 * 256 + 2 * 256)
    assert (parameters(decoder) + positions + 11_182_848) / 1e6 == pytest.approx(27.3, abs=0.15)


@pytest.mark.parametrize(("module", "size"), [(v2a_melspec.MelSpec, 28.4e6), (v2a_wavegan.WaveGAN, 18.2e6)])
def test_the_networks_of_the_preset_paper_make_sound_of_24_khz(module, size):
    with torch.device("meta"):
        system = object.__new__(module)
        system.settings = module.spec.presets["paper"]
        network = system.new_network("video")
        made = network.decoder(network.temporal(torch.zeros(2, 3, 512), torch.zeros(2, 256)))
    assert parameters(network) == pytest.approx(size, abs=0.1e6)
    assert made.shape == ((2, 12, 80) if module is v2a_melspec.MelSpec else (2, 3 * 960))
    assert system.settings.samples == 960


# --- alignment


def test_a_clap_is_in_the_row_of_the_picture_that_shows_it():
    sound = np.full(RATE, 1e-5, np.float32)
    for picture in (3, 17):
        # In the middle of the 40 ms for which it is shown.
        sound[picture * 640 + 300 : picture * 640 + 340] = 0.5
    speech = speech_by_pictures(sound, 25, 25.0, MEL.mel)
    assert speech.sound.shape == (25, 640)
    assert speech.mel.shape == (25, 4, 80)
    assert sorted(np.square(speech.sound).sum(axis=1).argsort()[-2:].tolist()) == [3, 17]
    assert sorted(speech.mel.mean(axis=(1, 2)).argsort()[-2:].tolist()) == [3, 17]


@pytest.mark.parametrize("count", [74, 75])
def test_sound_of_grid_that_ends_early_is_followed_by_silence(count):
    sound = np.random.default_rng(0).standard_normal(round((count * 0.04 - 0.022) * RATE)).astype(np.float32)
    speech = speech_by_pictures(sound, count, 25.0, MEL.mel)
    assert speech.sound.size == count * 640
    assert np.abs(speech.sound.reshape(-1)[sound.size :]).max() == 0
    whole = log_mel(speech.sound.reshape(-1), MEL.mel)
    np.testing.assert_array_equal(speech.mel.reshape(-1, 80), whole[:-1])


def test_sound_that_goes_on_after_the_pictures_is_cut_off():
    speech = speech_by_pictures(np.full(RATE, 0.1, np.float32), 20, 25.0, MEL.mel)
    assert speech.sound.shape == (20, 640)


def test_a_crop_after_the_end_of_a_film_is_silent():
    speech = speech_by_pictures(np.full(RATE, 0.1, np.float32), 25, 25.0, MEL.mel)
    crop = cut_speech(speech, 20, 10)
    np.testing.assert_array_equal(crop.mel[:5], speech.mel[20:])
    assert crop.mel.shape == (10, 4, 80)
    assert crop.mel[5:].max() == crop.sound[5:].max() == 0


def centre(gradient: torch.Tensor) -> float:
    """Middle of what an output depends on, in places of the input."""
    weight = gradient.detach().abs().double()
    return float((weight * torch.arange(len(weight))).sum() / weight.sum())


@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_the_mel_decoder_draws_a_picture_from_its_own_code(repeats):
    torch.manual_seed(0)
    decoder = mel_decoder(repeats=repeats).eval()
    states = torch.randn(1, 21 * repeats, 2 * MEL.cells, requires_grad=True)
    made = decoder(states)
    assert made.shape == (1, 84, 80)
    made[0, 40:44].square().sum().backward()
    reached = states.grad[0].abs().sum(dim=1).view(21, repeats).sum(dim=1)
    assert int(reached.argmax()) == 10


@pytest.mark.parametrize(("factors", "repeats"), [((8, 5, 4), 4), ((8, 5, 3, 2), 4), ((5, 3), 1), ((2,), 1)])
def test_the_waveform_decoder_sounds_while_its_code_lasts(factors, repeats):
    """The middle of what a code sounds in is the middle of its time, to a hundredth."""
    samples = repeats * int(np.prod(factors))
    decoder = WaveformDecoder(4, 16, factors, 1).eval().double()
    for name, value in decoder.named_parameters():
        # Constant kernels are symmetric: what is left of a shift is one of places.
        value.data.fill_(0.0 if name.endswith("bias") else 0.02)
    states = torch.zeros(1, 41 * repeats, 4, dtype=torch.float64)
    states[0, 20 * repeats : 21 * repeats] = 1.0
    made = decoder(states)[0]
    assert made.shape == (41 * samples,)
    assert centre(made) + 0.5 == pytest.approx(20.5 * samples, abs=0.01 * samples)


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 6])
def test_the_audio_encoder_hears_the_time_of_its_picture(frames):
    encoder = AudioEncoder(80, 8, 6, frames).eval().double()
    for name, value in encoder.named_parameters():
        value.data.fill_(0.0 if name.endswith("bias") else 0.01)
    mel = torch.full((1, 15 * frames, 80), 0.7, dtype=torch.float64, requires_grad=True)
    codes = encoder(mel)
    assert codes.shape == (1, 15, 6)
    codes[0, 7].sum().backward()
    assert centre(mel.grad[0].abs().sum(dim=1)) + 0.5 == pytest.approx(7.5 * frames, abs=1e-6)


def test_the_video_encoder_sees_two_pictures_to_either_side():
    torch.manual_seed(0)
    encoder = VideoEncoder(4, (4, 8), 6).eval()
    pictures = torch.randint(0, 256, (1, 11, 16, 16), dtype=torch.uint8)
    changed = pictures.clone()
    changed[0, 5] = 255 - changed[0, 5]
    differs = (encoder(pictures) != encoder(changed)).any(dim=2)[0]
    assert differs.nonzero()[:, 0].tolist() == [3, 4, 5, 6, 7]


def test_codes_are_repeated_until_the_next():
    module = TemporalModule(6, 3, 5, 1, 4)
    states = module(torch.randn(2, 7, 6), torch.randn(2, 3))
    assert states.shape == (2, 28, 10)
    assert torch.equal(states[:, 0::4], states[:, 3::4])
    assert not torch.equal(states[:, 3], states[:, 4])


def test_a_voice_that_is_not_expected_is_refused():
    with pytest.raises(ValueError, match="of 3 numbers"):
        TemporalModule(6, 0, 5, 1, 1)(torch.zeros(1, 2, 6), torch.zeros(1, 3))


# --- statistics


def test_a_norm_normalises_and_learns_as_batch_norm_does():
    torch.manual_seed(0)
    ours, theirs, x = ModalityNorm(3), nn.BatchNorm1d(3), 2 + 3 * torch.randn(4, 3, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.statistics("audio"), (theirs.running_mean, theirs.running_var))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_statistics_of_pictures_are_their_own_after_a_start_from_those_of_sound():
    norm = ModalityNorm(2)
    norm(torch.randn(4, 2, 8) + 5)
    heard = norm.audio_mean.clone()
    assert torch.equal(norm.video_mean, torch.zeros(2))
    start_from_audio(norm)
    assert torch.equal(norm.video_mean, heard)
    use_modality(norm, "video")
    norm(torch.randn(4, 2, 8) - 5)
    assert torch.equal(norm.audio_mean, heard)
    assert not torch.equal(norm.video_mean, heard)


def test_the_conformer_has_no_norm_that_forgets_where_its_input_is_from():
    decoder = mel_decoder(blocks=2)
    assert len(modality_norms(decoder)) == 2
    assert not [part for part in decoder.modules() if isinstance(part, nn.BatchNorm1d)]
    nested = nn.Sequential(nn.Sequential(nn.BatchNorm1d(3)), nn.Conv1d(3, 3, 1))
    split_norms(nested)
    assert len(modality_norms(nested)) == 1


# --- losses


def test_equal_spectrograms_and_equal_waveforms_cost_nothing():
    mel = torch.rand(2, 8, 80)
    assert all(value == 0 for value in mel_losses(mel, mel).values())
    sound = 0.1 * torch.randn(2, 4000)
    assert all(value == 0 for value in WaveformLosses(RATE)(sound, sound).values())


def test_half_the_amplitude_costs_what_is_reckoned_by_hand():
    """Spectral convergence 1/2, log magnitude ln 2, log power 2 ln 2; cepstra differ in the first alone."""
    torch.manual_seed(0)
    wanted = 0.3 * torch.randn(2, 12000)
    losses = WaveformLosses(RATE)(wanted / 2, wanted)
    assert losses["stft"].item() == pytest.approx(0.5 + np.log(2), rel=1e-3)
    assert losses["power"].item() == pytest.approx(2 * np.log(2), rel=1e-3)
    bands = len(WaveformLosses(RATE).filters)
    assert losses["mfcc"].item() == pytest.approx(2 * np.log(2) * bands**0.5 / 25, rel=1e-3)
    assert spectral_convergence(wanted / 2, wanted).item() == pytest.approx(0.5)


def test_losses_have_a_slope_where_there_is_silence():
    made = torch.zeros(1, 4000, requires_grad=True)
    sum(WaveformLosses(RATE)(made, torch.zeros(1, 4000)).values()).backward()
    assert torch.isfinite(made.grad).all()


def test_the_resolutions_are_those_published_at_24_khz_and_as_long_at_16_khz():
    assert resolutions(24000) == [(1024, 120, 600), (2048, 240, 1200), (512, 50, 240)]
    for low, high in zip(resolutions(16000), resolutions(24000), strict=True):
        assert low.window / 16000 == pytest.approx(high.window / 24000)
        assert low.n_fft >= low.window


def test_a_spectrum_is_that_of_scipy():
    import scipy.signal

    sound = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    (resolution,) = resolutions(16000)[2:]
    found = spectrum(torch.from_numpy(sound)[None], resolution)[0].numpy()
    window = np.zeros(resolution.n_fft)
    edge = (resolution.n_fft - resolution.window) // 2
    window[edge : edge + resolution.window] = scipy.signal.get_window("hann", resolution.window)
    place = 20 * resolution.hop - resolution.n_fft // 2
    wanted = np.abs(np.fft.rfft(sound[place : place + resolution.n_fft] * window)) ** 2
    np.testing.assert_allclose(found[:, 20], wanted, rtol=1e-3, atol=1e-4)


def test_shapes_that_differ_are_refused_before_they_are_broadcast():
    with pytest.raises(ValueError, match="wanted"):
        mel_losses(torch.zeros(2, 1, 80), torch.zeros(2, 8, 80))
    with pytest.raises(ValueError, match="wanted"):
        WaveformLosses(RATE)(torch.zeros(1, 4000), torch.zeros(2, 4000))


def test_the_adversarial_losses_are_least_squares():
    judged = [
        [torch.ones(1, 2, 3), torch.tensor([[[1.0, 0.0]]])],
        [torch.ones(1, 2, 3), torch.tensor([[[3.0]]])],
    ]
    assert real_loss(judged).item() == pytest.approx((0.5 + 4) / 2)
    assert made_loss(judged).item() == pytest.approx((0.5 + 9) / 2)


def test_feature_matching_compares_all_but_the_judgement():
    made = [[torch.ones(1, 2, 3), torch.zeros(1, 4, 2), torch.tensor([[[9.0]]])]]
    real = [[torch.zeros(1, 2, 3), torch.full((1, 4, 2), 3.0), torch.tensor([[[0.0]]])]]
    assert feature_loss(made, real).item() == pytest.approx((1 + 3) / 2)


def test_the_scales_see_the_waveform_its_halves_and_its_quarters():
    judge = MultiScaleDiscriminator(3, 4, 1, 8)
    seen = []
    for scale in judge.scales:
        scale.forward = lambda x: seen.append(x) or [x, x]
    judge(torch.linspace(0, 1, 64)[None])
    assert [x.shape[-1] for x in seen] == [64, 32, 16]
    assert seen[1][0, 0, 8].item() == pytest.approx((2 * 8 + 0.5) / 63)


def test_the_learning_rate_rises_and_falls():
    weight = nn.Parameter(torch.zeros(1))
    fixed = nn.Parameter(torch.zeros(1), requires_grad=False)
    sizes = {"rate": 0.1, "betas": (0.9, 0.98), "decay": 0.0, "warm_up": 0.1, "steps": 100}
    optimizer, scheduler = warm_cosine([weight, fixed], **sizes)
    assert optimizer.param_groups[0]["params"] == [weight]
    rates = []
    for _ in range(120):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert max(rates) == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.05)
    assert rates[100:] == pytest.approx([0.0] * 20)


# --- what training shows


def test_training_shows_any_part_of_a_mouth_and_use_its_middle():
    settings = replace(MEL, mouth=12, crop=8, flip=False)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8)
    np.testing.assert_array_equal(middle(pictures, 8), pictures[:, 2:10, 2:10])
    places = set()
    for seed in range(60):
        part = augmented(pictures, settings, np.random.default_rng(seed))
        ((top, left),) = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(part, pictures[:, top : top + 8, left : left + 8])
        ]
        places |= {top, left}
    assert places == {0, 1, 2, 3, 4}


def test_half_of_the_crops_are_mirrored():
    settings = replace(MEL, mouth=8, crop=8, flip=True)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    same = [
        np.array_equal(augmented(pictures, settings, np.random.default_rng(seed)), pictures)
        for seed in range(60)
    ]
    assert 15 < sum(same) < 45


def test_a_part_of_each_second_is_masked():
    settings = replace(MEL, mouth=8, crop=8, flip=False, mask_seconds=0.4)
    pictures = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    masked = [
        np.ptp(augmented(pictures, settings, np.random.default_rng(seed)), axis=(1, 2)) == 0
        for seed in range(40)
    ]
    each = np.array([[part[:25].sum(), part[25:].sum()] for part in masked])
    assert each.max() == 10
    assert each.min() == 0


# --- streaming


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("speech")
    return [write_speech(folder, seed, 1.0) for seed in range(6)]


def test_long_recordings_are_heard_in_stretches_of_a_few_seconds(tmp_path):
    path = tmp_path / "long.flac"
    write_audio(path, Audio(np.full(20 * RATE, 0.1, np.float32), RATE))
    found = stretches([Clip("long", "reader", audio=str(path))], 0)
    assert [(part.start, part.end) for part in found] == [(0.0, 6.6667), (6.6667, 13.3333), (13.3333, 20.0)]
    part = Clip("part", "reader", audio=str(path), start=2.0, end=5.0)
    assert [(part.start, part.end) for part in stretches([part], 0)] == [(2.0, 5.0)]


def test_fewer_hours_are_a_part_of_more_hours(speech):
    some, more = (stretches(speech, 3, seconds / 3600) for seconds in (2.5, 4.5))
    assert len(some) == 3
    assert len(more) == 5
    assert set(some) < set(more)
    assert len(stretches(speech, 3)) == 6


def test_clips_that_cannot_be_opened_are_left_out_by_name(speech, tmp_path):
    broken = [Clip("gone", "x", audio=str(tmp_path / "gone.flac")), Clip("mute", "x", video="film.mkv")]
    with pytest.warns(LeftOutWarning) as caught:
        assert len(stretches([*broken, *speech], 0)) == 6
    assert ["clip gone" in str(caught[0].message), "clip mute" in str(caught[1].message)] == [True, True]
    with pytest.raises(InputError, match="no speech to pre-train on"), pytest.warns(LeftOutWarning):
        stretches(broken, 0)


def test_a_batch_of_speech_follows_from_seed_and_step(speech):
    listed = stretches(speech, 0)
    first, again, other = (SpeechStream(listed, MEL, seed) for seed in (0, 0, 1))
    first.batch(9, 0, 1)
    batch = first.batch(5, 0, 1)
    assert torch.equal(batch.sound, again.batch(5, 0, 1).sound)
    assert not torch.equal(batch.sound, again.batch(6, 0, 1).sound)
    assert not torch.equal(batch.sound, again.batch(5, 1, 2).sound)
    assert not torch.equal(batch.sound, other.batch(5, 0, 1).sound)
    assert batch.mel.shape == (2, 40, 80)
    assert batch.sound.shape == (2, 6400)
    assert batch.identity.shape == (2, 0)


def test_sound_and_spectrogram_of_a_batch_are_of_one_time(speech):
    batch = SpeechStream(stretches(speech, 0), MEL, 0).batch(0, 0, 1)
    for sound, mel in zip(batch.sound.numpy(), batch.mel.numpy(), strict=True):
        # Away from the ends, where the crop's neighbours are missing here.
        np.testing.assert_allclose(log_mel(sound, MEL.mel)[4:-5], mel[4:-4], atol=1e-5)


def test_hours_of_speech_take_no_more_memory_than_one_pool(speech, monkeypatch):
    """At most one pool is held, every stretch of an epoch is read once, and a step back costs a pool."""
    monkeypatch.setattr(speech_stream, "POOL_STRETCHES", 2)
    monkeypatch.setattr(speech_stream, "POOL_STEPS", 4)
    read = []
    stream = SpeechStream(stretches(speech, 0), MEL, 0)
    original = SpeechStream._read
    monkeypatch.setattr(SpeechStream, "_read", lambda self, part: read.append(part) or original(self, part))
    for step in range(24):
        stream.batch(step, 0, 1)
        assert len(stream._pool[1]) <= 2
    assert len(read) == 12
    for epoch in (read[:6], read[6:]):
        assert len(set(epoch)) == 6
    assert read[:6] != read[6:]


def test_silent_stretches_are_passed_over(speech, tmp_path):
    silent = tmp_path / "silent.flac"
    write_audio(silent, Audio(np.zeros(RATE, np.float32), RATE))
    listed = stretches([Clip("silent", "x", audio=str(silent)), speech[0]], 0)
    with pytest.warns(LeftOutWarning, match="silent"):
        batch = SpeechStream(listed, MEL, 0).batch(0, 0, 1)
    assert (batch.sound.abs().amax(dim=1) > 0).all()
    with pytest.raises(InputError, match="none of 1 stretches"), pytest.warns(LeftOutWarning):
        SpeechStream(listed[:1], MEL, 0).batch(0, 0, 1)


# --- settings


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (MEL, {"transfer": "some"}),
        (MEL, {"identity": "name"}),
        (MEL, {"transfer": "scratch", "checkpoint": "folder"}),
        (MEL, {"crop": 40}),
        (MEL, {"widths": ()}),
        (MEL, {"warm_up": 1.0}),
        (MEL, {"fps": 24.0}),
        (MEL, {"repeats": 3}),
        (MEL, {"kernel": 8}),
        (MEL, {"heads": 3}),
        (MEL, {"batch_size": 0}),
        (WAVE, {"factors": (8, 5)}),
        (WAVE, {"window_pictures": 11}),
        (WAVE, {"discriminator_scales": 2}),
        (WAVE, {"discriminator_channels": 6}),
        (WAVE, {"stft_weight": -1.0}),
    ],
)
def test_settings_that_no_system_can_have_are_refused_by_name(settings, change):
    with pytest.raises(DoppelbenchError, match=next(reversed(change))):
        replace(settings, **change)


def test_presets_make_sound_of_16_khz_or_of_the_published_24_khz():
    for module in (v2a_melspec, v2a_wavegan):
        assert module.PAPER.mel.rate == 24000
        assert module.PAPER.samples == 960
        for preset in (module.SMALL, module.TINY):
            assert preset.mel.rate == RATE
            assert preset.samples == 640
            assert preset.frames == 4
