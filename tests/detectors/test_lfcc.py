"""Cepstral coefficients of the baselines agree with an independent computation, frame by frame."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from doppelbench.detectors.lfcc import Lfcc, LfccSettings, delta, filterbank
from doppelbench.detectors.lfcc_lcnn import PUBLISHED_LFCC

RATE = 16000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)


def frames_of(samples: np.ndarray, settings: LfccSettings) -> np.ndarray:
    return Lfcc(settings)(torch.from_numpy(samples)[None])[0].numpy()


def by_hand(samples: np.ndarray, settings: LfccSettings) -> np.ndarray:
    """Static coefficients by a loop over frames and filters, with scipy's transforms."""
    signal = samples.astype(np.float64)
    if settings.preemphasis:
        signal = scipy.signal.lfilter([1, -settings.preemphasis], [1], signal)
    if settings.centred:
        signal = np.pad(signal, settings.window // 2)
    taper = scipy.signal.get_window("hamming", settings.window, fftbins=settings.periodic)
    frequencies = scipy.fft.rfftfreq(settings.n_fft, 1 / settings.rate)
    edges = np.linspace(0, settings.high_hz, settings.filters + 2)
    rows = []
    for start in range(0, signal.size - settings.window + 1, settings.hop):
        power = np.abs(scipy.fft.rfft(signal[start : start + settings.window] * taper, settings.n_fft)) ** 2
        bands = [
            power @ np.interp(frequencies, edges[n : n + 3], [0, 1, 0], 0, 0) for n in range(settings.filters)
        ]
        row = scipy.fft.dct(np.log10(np.array(bands) + settings.floor), norm="ortho")[: settings.coefficients]
        if settings.energy:
            row[0] = np.log10(power.sum() / settings.n_fft + settings.floor)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("settings", [LfccSettings(), PUBLISHED_LFCC], ids=["gmm", "lcnn"])
def test_static_coefficients_are_those_computed_by_hand(settings: LfccSettings) -> None:
    np.testing.assert_allclose(frames_of(NOISE, settings)[:, :20], by_hand(NOISE, settings), atol=2e-4)


def test_the_published_front_ends_are_20_coefficients_with_two_deltas() -> None:
    gmm = LfccSettings()
    assert (gmm.window, gmm.hop, gmm.n_fft, gmm.filters, gmm.high_hz) == (480, 240, 1024, 70, 4000.0)
    assert frames_of(NOISE, gmm).shape == (1 + (RATE - 480) // 240, 60)
    lcnn = PUBLISHED_LFCC
    assert (lcnn.window, lcnn.hop, lcnn.n_fft, lcnn.filters, lcnn.high_hz) == (320, 160, 1024, 20, 4000.0)
    assert frames_of(NOISE, lcnn).shape == (1 + RATE // 160, 60)


def test_filters_add_up_to_one_between_the_first_and_the_last_centre() -> None:
    settings = LfccSettings()
    frequencies = np.linspace(0, 8000, 513)
    centres = np.linspace(0, 4000, 72)[1:-1]
    inside = (frequencies >= centres[0]) & (frequencies <= centres[-1])
    total = filterbank(settings).sum(axis=0)
    np.testing.assert_allclose(total[inside], 1)
    assert total[frequencies > 4000].max() == 0


def test_a_delta_is_the_frame_after_less_the_frame_before_and_ends_are_repeated() -> None:
    frames = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])
    assert delta(frames)[0, :, 0].tolist() == [1, 3, 6, 4]
    rows = frames_of(NOISE, LfccSettings())
    np.testing.assert_allclose(rows[1:-1, 20:40], rows[2:, :20] - rows[:-2, :20], atol=1e-5)
    np.testing.assert_allclose(rows[1:-1, 40:], rows[2:, 20:40] - rows[:-2, 20:40], atol=1e-5)


def test_torchaudio_agrees_where_its_choices_are_ours() -> None:
    """Its logarithm is the natural one, and it has no band, no energy and no deltas."""
    torchaudio = pytest.importorskip("torchaudio")
    settings = replace(PUBLISHED_LFCC, preemphasis=0.0, energy=False, high_hz=8000.0, floor=0.0)
    transform = torchaudio.transforms.LFCC(
        RATE,
        n_filter=20,
        n_lfcc=20,
        log_lf=True,
        speckwargs={
            "n_fft": 1024,
            "win_length": 320,
            "hop_length": 160,
            "pad_mode": "constant",
            "window_fn": torch.hamming_window,
        },
    )
    expected = transform(torch.from_numpy(NOISE)).T.numpy() / np.log(10)
    np.testing.assert_allclose(frames_of(NOISE, settings)[:, :20], expected, atol=2e-3)


def test_a_gain_moves_coefficient_0_alone() -> None:
    settings = replace(LfccSettings(), floor=0.0)
    difference = frames_of(10 * NOISE, settings) - frames_of(NOISE, settings)
    np.testing.assert_allclose(difference[:, 0], 2 * np.sqrt(settings.filters), rtol=1e-4)
    np.testing.assert_allclose(difference[:, 1:], 0, atol=1e-4)


def test_digital_silence_is_finite() -> None:
    assert np.isfinite(frames_of(np.zeros(4000, np.float32), LfccSettings())).all()
