import csv
import warnings

import numpy as np
import pystoi
import pystoi.utils
import pytest
from metric_examples import speech_like

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.registry import metric
from doppelbench.metrics.stoi_kernel import (
    band_matrix,
    band_segments,
    extended_intelligibility,
    intelligibility,
    resample_octave,
)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_resampler_is_that_of_pystoi(rate):
    samples = np.random.default_rng(0).normal(size=rate)
    np.testing.assert_allclose(
        resample_octave(samples, rate), pystoi.utils.resample_oct(samples, 10000, rate), atol=1e-12
    )


def test_bands_are_those_of_pystoi():
    assert np.array_equal(band_matrix(), pystoi.utils.thirdoct(10000, 512, 15, 150)[0])


@pytest.mark.parametrize("rate", [10000, 16000, 22050])
@pytest.mark.parametrize("noise_db", [-20.0, 0.0, 15.0])
def test_kernel_equals_pystoi(rate, noise_db):
    ref = speech_like(seed=4, rate=rate).samples.astype(np.float64)
    out = speech_like(seed=4, rate=rate, noise_db=noise_db).samples.astype(np.float64)
    segments = band_segments(out=out, ref=ref, rate=rate)
    assert intelligibility(*segments) == pytest.approx(pystoi.stoi(ref, out, rate), abs=1e-9)
    assert extended_intelligibility(*segments) == pytest.approx(
        pystoi.stoi(ref, out, rate, extended=True), abs=1e-9
    )


def test_extended_measure_is_deterministic_on_digital_silence():
    ref, out = speech_like(seed=1), speech_like(seed=1)
    holes = out.samples.copy()
    holes[8000:20000] = 0.0
    scorer = metric("estoi")
    values = {scorer.item(out=Audio(holes, 16000), ref=ref).value for _ in range(3)}
    assert len(values) == 1
    assert 0.0 < values.pop() < 1.0


def test_a_silent_stretch_counts_as_uncorrelated():
    generator = np.random.default_rng(0)
    ref = generator.random(size=(2, 15, 30))
    out = ref.copy()
    out[1] = 0.0
    assert extended_intelligibility(ref, out) == pytest.approx(0.5)
    assert intelligibility(ref, out) == pytest.approx(0.5)


def test_constant_envelopes_carry_nothing_whatever_their_rounding():
    generator = np.random.default_rng(0)
    ref = generator.random(size=(20, 15, 30))
    constant = np.repeat(generator.random(size=(20, 15, 1)), 30, axis=2)
    assert extended_intelligibility(ref, constant) == 0.0


def test_delay_is_not_compensated():
    ref = speech_like(seed=2)
    values = []
    for milliseconds in (0, 10, 30):
        late = Audio(np.roll(ref.samples, 16 * milliseconds), 16000)
        values.append(metric("stoi").item(out=late, ref=ref).value)
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1.0)
    assert values[2] < 0.95


def test_more_noise_is_less_intelligible():
    ref = speech_like(seed=3)
    for name in ("stoi", "estoi"):
        values = [
            metric(name).item(out=speech_like(seed=3, noise_db=noise), ref=ref).value
            for noise in (-30.0, -10.0, 10.0)
        ]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", ["stoi", "estoi"])
def test_too_little_speech_is_no_number(name):
    click = np.zeros(16000, np.float32)
    click[8000:8100] = 0.5
    score = metric(name).item(out=Audio(click, 16000), ref=Audio(click, 16000))
    assert (score.value, score.status) == (None, "no_speech")


@pytest.mark.parametrize("frames", [29, 30, 31, 32])
def test_smallest_length_is_that_of_pystoi(frames):
    generator = np.random.default_rng(0)
    ref = generator.normal(size=256 + 128 * frames + 1)
    out = ref + generator.normal(size=ref.size)
    try:
        value = intelligibility(*band_segments(out=out, ref=ref, rate=10000))
    except MediaError:
        # What pystoi returns, with a warning, for too little speech.
        value = 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert value == pytest.approx(pystoi.stoi(ref, out, 10000), abs=1e-9)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["STOI", "ESTOI"])
def test_values_of_pystoi_hold(realdata, name):
    with (realdata / "EXPECTED.csv").open(encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["metric"] == name]
    ref, out = read_audio(realdata / row["ref_file"]), read_audio(realdata / row["deg_file"])
    assert metric(name.lower()).item(out=out, ref=ref).value == pytest.approx(
        float(row["expected"]), abs=1e-9
    )
