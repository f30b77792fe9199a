"""Degradations do what they are called, measured on the signal, in time with it and always the same."""

import numpy as np
import pytest
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.corpora.conditions import in_condition
from doppelbench.corpora.errors import DependencyError, InputError, MediaError
from doppelbench.corpora.level import active_level, active_span
from doppelbench.corpora.media import Audio, read_audio, resample
from doppelbench.detectors.codecs import CODECS, available, codec_rate, through_codec
from doppelbench.detectors.degradations import band_level, decay_time, degrade, parse, verify

SPECS = (
    "mp3",
    "mp3:bitrate=32k",
    "opus",
    "opus:bitrate=8k",
    "aac",
    "aac:bitrate=24k",
    "amr",
    "amr:bitrate=4750",
    "gsm",
    "g722",
    "mulaw",
    "alaw",
    "noise:snr=20",
    "noise:snr=0,colour=pink",
    "reverb:t60=0.3",
    "reverb:t60=0.9,level=0",
    "resample:rate=8000",
    "lowpass:hz=4000",
    "gain:db=-12",
    "trim",
    "condition:name=telephone",
)


def built(spec):
    name = spec.partition(":")[0]
    if name in CODECS and not available(name):
        pytest.skip(f"this FFmpeg was built without {name}")
    return spec


def padded_speech(samples, rate=RATE):
    """Speech between silences of 0.2 and 0.3 s that hold a little noise, as recordings do."""
    samples = np.pad(samples, (round(0.2 * rate), round(0.3 * rate)))
    return (samples + 1e-5 * np.random.default_rng(0).standard_normal(samples.size)).astype(np.float32)


@pytest.fixture(scope="module")
def speech():
    return padded_speech(speak(TALKERS[1], "four words to say", 2.0))


def failed(checks):
    return [check for check in checks if not check.ok]


@pytest.mark.parametrize("spec", SPECS)
def test_effect_is_as_meant_and_the_same_every_time(speech, spec):
    degraded = degrade(speech, RATE, built(spec), seed=3)
    assert degraded.dtype == np.float32
    assert np.array_equal(degraded, degrade(speech, RATE, spec, seed=3))
    assert not failed(verify(speech, degraded, RATE, spec, seed=3))


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@pytest.mark.parametrize("spec", ["mp3:bitrate=32k", "opus", "aac", "amr", "g722", "mulaw", "noise:snr=5"])
def test_effect_is_as_meant_at_other_rates(speech, spec, rate):
    samples = resample(Audio(speech, RATE), rate).samples
    degraded = degrade(samples, rate, built(spec))
    assert degraded.size == samples.size
    assert not failed(verify(samples, degraded, rate, spec))


@pytest.mark.parametrize("spec", ["mp3", "amr", "mulaw", "noise:snr=20", "reverb:t60=0.3", "lowpass:hz=4000"])
def test_a_signal_that_was_not_degraded_is_found_out(speech, spec):
    assert failed(verify(speech, speech, RATE, built(spec)))


@pytest.mark.parametrize("spec", ["mp3", "opus", "aac", "amr", "g722"])
def test_a_codec_that_only_stored_samples_is_found_out(speech, spec):
    stored = np.round(speech * 32767) / 32767
    assert "change re the signal in dB" in {
        check.name for check in failed(verify(speech, stored, RATE, built(spec)))
    }


@pytest.mark.parametrize("spec", ["mp3", "opus", "mulaw"])
def test_a_signal_that_came_back_late_is_found_out(speech, spec):
    late = np.roll(degrade(speech, RATE, built(spec)), 20)
    assert "lag in ms" in {check.name for check in failed(verify(speech, late, RATE, spec))}


@pytest.mark.parametrize("spec", ["mp3", "opus:bitrate=32k", "aac", "amr", "g722", "alaw"])
def test_a_click_stays_at_its_place(spec):
    """Onsets are where they were, on a signal unlike the one that delays are measured with."""
    samples = np.zeros(RATE, np.float32)
    time = np.arange(RATE // 2) / RATE
    samples[RATE // 2 :] = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 1330 * time)
    heard = degrade(samples, RATE, built(spec))
    energy = np.cumsum(heard.astype(np.float64) ** 2) / np.sum(heard.astype(np.float64) ** 2)
    meant = np.cumsum(samples.astype(np.float64) ** 2) / np.sum(samples.astype(np.float64) ** 2)
    half = np.searchsorted(energy, 0.5) - np.searchsorted(meant, 0.5)
    assert abs(half) <= 0.005 * RATE


def test_noise_has_the_ratio_asked_for_and_follows_the_seed(speech):
    for wanted in (20.0, 10.0, -5.0):
        noise = degrade(speech, RATE, f"noise:snr={wanted}", seed=1).astype(np.float64) - speech
        assert active_level(speech, RATE) - 10 * np.log10(np.mean(noise**2)) == pytest.approx(wanted, abs=0.1)
    assert not np.array_equal(
        degrade(speech, RATE, "noise:snr=10", seed=1), degrade(speech, RATE, "noise:snr=10", seed=2)
    )


def test_pink_noise_falls_by_three_decibels_an_octave(speech):
    noise = degrade(speech, RATE, "noise:snr=0,colour=pink").astype(np.float64) - speech
    octaves = [band_level(noise, RATE, low, 2 * low) for low in (250, 500, 1000, 2000)]
    # Every octave holds the same energy.
    assert np.ptp(octaves) < 1.0


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.2])
def test_decay_time_of_a_known_room(seconds):
    generator = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    response = generator.standard_normal(time.size) * 10 ** (-3 * time / seconds)
    assert decay_time(response, RATE) == pytest.approx(seconds, rel=0.05)


def test_a_room_keeps_the_direct_sound_in_place():
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    heard = degrade(click, RATE, "reverb:t60=0.4")
    assert np.argmax(np.abs(heard)) == 100
    assert np.abs(heard[:100]).max() < 1e-6
    # The rest has the energy asked for, 6 dB below the direct sound.
    rest = heard.astype(np.float64)
    rest[100] -= 1.0
    assert 10 * np.log10(np.sum(rest**2)) == pytest.approx(-6.0, abs=0.1)


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_companded_samples_have_no_more_values_than_codes(name):
    samples = np.random.default_rng(0).uniform(-1, 1, 20000).astype(np.float32)
    coded = through_codec(samples, 8000, name)
    assert 200 < len(np.unique(coded.samples)) <= 256
    # G.711 keeps about 38 dB.
    error = coded.samples.astype(np.float64) - samples
    assert 30 < 10 * np.log10(np.mean(samples.astype(np.float64) ** 2) / np.mean(error**2)) < 45


def test_a_telephone_codec_leaves_nothing_above_its_band(speech):
    heard = degrade(speech, RATE, "mulaw")
    assert band_level(heard, RATE, 4200, 8000) < band_level(speech, RATE, 4200, 8000) - 30
    assert band_level(heard, RATE, 20, 150) < band_level(speech, RATE, 20, 150) - 20


def test_lower_bit_rates_change_more(speech):
    def change(spec):
        return float(np.mean((degrade(speech, RATE, spec).astype(np.float64) - speech) ** 2))

    assert change("mp3:bitrate=16k") > change("mp3:bitrate=32k") > change("mp3:bitrate=96k")


def test_gain_is_exact_and_does_not_clip(speech):
    louder = degrade(speech, RATE, "gain:db=20")
    assert np.allclose(louder, 10 * speech, rtol=1e-6)
    assert np.abs(louder).max() > 1


def test_trimming_cuts_silence_only(speech):
    first, end = active_span(speech, RATE)
    assert first == pytest.approx(0.2 * RATE, abs=0.03 * RATE)
    assert speech.size - end == pytest.approx(0.3 * RATE, abs=0.03 * RATE)
    trimmed = degrade(speech, RATE, "trim")
    assert np.array_equal(trimmed, speech[first:end])
    assert degrade(np.zeros(100, np.float32), RATE, "trim").size == 0


def test_conditions_are_those_of_the_corpora(speech):
    for name in ("studio", "room", "telephone", "street"):
        assert np.array_equal(
            degrade(speech, RATE, f"condition:name={name}", seed=5), in_condition(speech, RATE, name, 5)
        )


@pytest.mark.parametrize("spec", ["mp3", "opus", "aac", "amr", "lowpass:hz=3000", "resample:rate=8000"])
@pytest.mark.parametrize("size", [1, 50, 400])
def test_very_short_signals_keep_their_length(spec, size):
    samples = np.random.default_rng(0).normal(0, 0.1, size).astype(np.float32)
    heard = degrade(samples, RATE, built(spec))
    assert heard.shape == (size,)
    assert np.isfinite(heard).all()


@pytest.mark.parametrize("spec", ["mp3", "opus", "aac", "amr", "mulaw", "reverb:t60=0.3", "gain:db=3"])
def test_silence_stays_silent(spec):
    heard = degrade(np.zeros(RATE, np.float32), RATE, built(spec))
    assert heard.shape == (RATE,)
    assert np.abs(heard).max() < 2e-3


@pytest.mark.parametrize(
    ("spec", "full"),
    [
        ("mp3", "mp3:bitrate=64000"),
        ("mp3:bitrate=32k", "mp3:bitrate=32000"),
        (" noise:snr=10 ", "noise:snr=10,colour=white"),
        ("noise:colour=pink,snr=-2.5", "noise:snr=-2.5,colour=pink"),
        ("reverb:t60=0.5", "reverb:t60=0.5,level=-6"),
        ("trim", "trim"),
        ("resample:rate=192k", "resample:rate=192000"),
        ("condition:name=room", "condition:name=room"),
    ],
)
def test_specifications_are_completed_and_read_again(spec, full):
    assert parse(spec).spec == full
    assert parse(full) == parse(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mp4", "'mp4' is not one of"),
        ("", "'' is not one of"),
        ("noise", "snr is missing"),
        ("noise:snr=loud", "snr is 'loud', which is no number"),
        ("noise:snr=nan", "snr must lie between"),
        ("noise:snr=10,snr=11", "is no parameter of noise, or twice"),
        ("noise:snr=10,color=pink", "'color=pink' is no parameter of noise"),
        ("noise:snr=10,colour=blue", "colour must be one of white, pink, not 'blue'"),
        ("mp3:bitrate=1k", "bitrate must lie between 8000 and 320000"),
        ("trim:db=3", "'db=3' is no parameter of trim"),
        ("condition:name=moon", "name must be one of"),
        ("gain:db", "'db' is no parameter"),
    ],
)
def test_specifications_with_mistakes_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        parse(spec)


def test_signals_that_cannot_be_degraded_are_refused(speech):
    with pytest.raises(MediaError, match="NaN or infinite"):
        degrade(np.array([0.0, np.nan]), RATE, "gain:db=1")
    with pytest.raises(MediaError, match="silent"):
        degrade(np.zeros(100, np.float32), RATE, "noise:snr=10")
    with pytest.raises(InputError, match="does nothing at a rate of 16000"):
        degrade(speech, RATE, "lowpass:hz=8000")
    with pytest.raises(InputError, match="needs a rate above 6800"):
        degrade(speech, 6000, "mulaw")


def test_codecs_refuse_what_they_cannot_do(speech, monkeypatch):
    with pytest.raises(InputError, match="no codec is called 'speex'"):
        through_codec(speech, RATE, "speex")
    with pytest.raises(InputError, match="has one bit rate of 64000"):
        through_codec(speech, RATE, "mulaw", 32000)
    with pytest.raises(InputError, match="takes bit rates from 4750 to 12200"):
        through_codec(speech, RATE, "amr", 64000)
    monkeypatch.setattr("doppelbench.detectors.codecs.available", lambda name: False)
    with pytest.raises(DependencyError, match="built without mp3"):
        through_codec(speech, RATE, "mp3")


def test_a_codec_works_at_the_lowest_rate_that_holds_the_signal():
    assert codec_rate("mp3", 16000) == 16000
    assert codec_rate("mp3", 8000) == 16000
    assert codec_rate("aac", 20000) == 22050
    assert codec_rate("amr", 16000) == 8000
    assert codec_rate("mp3", 96000) == 48000


@pytest.mark.realdata
@pytest.mark.parametrize("spec", SPECS)
def test_effect_is_as_meant_on_a_real_recording(realdata, spec):
    audio = read_audio(realdata / "d_real_fake/wavefake_ljspeech/real/LJ001-0002.wav", rate=RATE)
    degraded = degrade(audio.samples, RATE, built(spec))
    assert not failed(verify(audio.samples, degraded, RATE, spec))
