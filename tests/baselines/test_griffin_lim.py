"""Griffin-Lim gives back the spectrum it was given, always the same way."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings, invert_mel
from doppelbench.corpora.features import MelSettings, log_mel, mel_filterbank, mel_from_log

MEL = MelSettings()


@pytest.fixture(scope="module")
def features(clips) -> np.ndarray:
    clip = next(clip for clip in clips if clip.speaker == "ben" and clip.split == "test")
    return clip_log_mel(clip, MEL)


def test_copy_synthesis_keeps_the_spectrum(features):
    audio = GriffinLim()(features)
    error = np.abs(log_mel(audio.samples, MEL) - features)[2:-2] * (MEL.max_db - MEL.min_db)
    assert error.mean() < 2.0
    # Against another recording of the same length the same measure is many times as large.
    assert np.abs(features[::-1] - features)[2:-2].mean() * (MEL.max_db - MEL.min_db) > 3 * error.mean()


@pytest.mark.realdata
def test_copy_synthesis_of_a_real_recording_keeps_the_spectrum(realdata):
    from doppelbench.corpora.level import normalize_level
    from doppelbench.corpora.media import read_audio

    file = sorted(path for path in realdata.rglob("*") if path.suffix in (".wav", ".flac"))[0]
    audio = read_audio(file, rate=16000)
    wanted = log_mel(normalize_level(audio.samples[:48000], 16000), MEL)
    found = log_mel(GriffinLim()(wanted).samples, MEL)
    loud = wanted > wanted.max() - 40 / (MEL.max_db - MEL.min_db)
    loud[:2] = loud[-2:] = False
    assert (np.abs(found - wanted)[loud] * (MEL.max_db - MEL.min_db)).mean() < 2.5


def test_the_same_spectrum_gives_the_same_waveform(features):
    first, second = GriffinLim()(features), GriffinLim()(features)
    np.testing.assert_array_equal(first.samples, second.samples)


# Five frames are what the shortest clip that a system accepts, of one analysis window, has.
@pytest.mark.parametrize("frames", [5, 6, 40])
def test_a_waveform_has_a_hop_of_samples_for_every_frame_but_one(features, frames):
    audio = GriffinLim(settings=GriffinLimSettings(iterations=2))(features[:frames])
    assert audio.samples.shape == ((frames - 1) * MEL.hop,)
    assert audio.rate == MEL.rate


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_extreme_spectra_give_finite_samples(value):
    audio = GriffinLim(settings=GriffinLimSettings(iterations=4))(np.full((20, 80), value, np.float32))
    assert np.isfinite(audio.samples).all()
    if value == 0:
        assert np.abs(audio.samples).max() < 1e-3


def test_more_steps_of_the_inversion_never_raise_its_error(features):
    mel = torch.from_numpy(mel_from_log(features, MEL)).T.double()
    filters = torch.from_numpy(
        mel_filterbank(MEL.rate, MEL.n_fft, MEL.n_mels, MEL.low_hz, MEL.high_hz)
    ).float()
    errors = []
    for steps in (0, 1, 2, 5, 10, 30):
        magnitude = invert_mel(mel.float(), MEL, steps)
        assert magnitude.shape == (401, mel.shape[1])
        assert (magnitude >= 0).all()
        errors.append(float((filters.double() @ magnitude.double() - mel).square().sum()))
    assert all(later <= earlier * (1 + 1e-5) for earlier, later in pairwise(errors))
    assert errors[-1] < 0.5 * errors[0]
