import csv
from itertools import pairwise

import numpy as np
import pesq
import pytest
import soundfile
from metric_examples import speech_like

from doppelbench.benchmark.tasks import failed_status
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.pool import Task, run_pool
from doppelbench.metrics.pesq_kernel import (
    MAXIMUM,
    RAW_RANGE,
    lqo_from_raw,
    mos_lqo,
    raw_from_lqo,
    segment_bounds,
)
from doppelbench.metrics.registry import metric


def test_raw_score_of_a_published_pair_of_numbers():
    # Loizou's readme gives raw 2.2557 where the package gives 1.8627.
    assert raw_from_lqo(1.862743616104126, "nb") == pytest.approx(2.2557315831, abs=1e-9)


@pytest.mark.parametrize("band", ["wb", "nb"])
def test_mappings_are_inverse(band):
    for raw in (-0.5, 1.0, 2.5, 4.5):
        assert raw_from_lqo(lqo_from_raw(raw, band), band) == pytest.approx(raw)


@pytest.mark.parametrize("band", ["wb", "nb"])
def test_raw_score_and_mos_lqo_are_metrics_of_their_own(band):
    ref, out = speech_like(seed=1), speech_like(seed=1, noise_db=-5.0)
    mapped, raw = metric(f"pesq_{band}"), metric(f"pesq_{band}_raw")
    scores = mapped.item(out=out, ref=ref), raw.item(out=out, ref=ref)
    assert dict(scores[0].stats) == dict(scores[1].stats)
    assert scores[0].value == pytest.approx(lqo_from_raw(scores[1].value, band))
    assert (mapped.spec.unit, raw.spec.unit) == ("MOS-LQO", "raw")
    assert mapped.signature != raw.signature


@pytest.mark.parametrize("band", ["wb", "nb"])
def test_raw_range_holds_what_the_mapping_can_return(band):
    low, high = RAW_RANGE
    assert metric(f"pesq_{band}_raw").spec.range == (low, high)
    assert raw_from_lqo(MAXIMUM[band], band) == pytest.approx(high, abs=1e-6)
    # The loudest disturbance found: a tone at the edge of the band in the place of speech.
    ref = speech_like(seed=1, pitch=110.0, voice=1)
    tone = Audio(np.sin(2 * np.pi * 3800 / 16000 * np.arange(ref.samples.size)).astype(np.float32), 16000)
    assert low < metric(f"pesq_{band}_raw").item(out=tone, ref=ref).value < 1.0


@pytest.mark.parametrize("band", ["wb", "nb"])
def test_equal_signals_have_the_highest_value(band):
    signal = speech_like(seed=1)
    assert metric(f"pesq_{band}").item(out=signal, ref=signal).value == MAXIMUM[band]


def test_roles_matter():
    ref, out = speech_like(seed=1), speech_like(seed=1, noise_db=-5.0)
    assert metric("pesq_wb").item(out=out, ref=ref).value != metric("pesq_wb").item(out=ref, ref=out).value


def test_long_signals_are_cut_where_the_reference_is_quiet():
    samples = np.random.default_rng(0).normal(size=70 * 16000)
    samples[27 * 16000 : 28 * 16000] *= 1e-3
    bounds = list(segment_bounds(samples, 16000))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == samples.size
    assert all(end == start for (_, end), (start, _) in pairwise(bounds))
    assert all(0.25 * 16000 <= end - first <= 30 * 16000 for first, end in bounds)
    assert 27 * 16000 <= bounds[0][1] <= 28 * 16000


@pytest.mark.parametrize("seconds", [30.0, 30.001, 30.3, 49.9, 50.2])
def test_no_segment_is_too_short_or_too_long(seconds):
    samples = np.ones(round(seconds * 16000))
    for first, end in segment_bounds(samples, 16000):
        assert 0.25 * 16000 <= end - first <= 30 * 16000


def test_long_signals_are_the_weighted_mean_of_their_segments():
    ref, out = speech_like(seed=1, seconds=40.0), speech_like(seed=1, seconds=40.0, noise_db=-10.0)
    score = metric("pesq_nb").item(out=out, ref=ref)
    bounds = list(segment_bounds(ref.samples.astype(np.float64), 16000))
    parts = [pesq.pesq(16000, ref.samples[a:b], out.samples[a:b], "nb") for a, b in bounds]
    assert score.stats["segments"] == len(bounds) == 2
    assert score.value == pytest.approx(np.average(parts, weights=[b - a for a, b in bounds]), abs=1e-5)


@pytest.fixture(scope="session")
def sixty_phrases(tmp_path_factory):
    """Paths of an output and a reference of 246 s: 60 phrases, each followed by a pause of 1.5 s."""
    folder = tmp_path_factory.mktemp("phrases")
    paths = {}
    for name, noise in (("out", -10.0), ("ref", None)):
        phrases = [
            np.pad(speech_like(seed=seed, seconds=2.6, noise_db=noise).samples, (0, 24000))
            for seed in range(6)
        ]
        samples = np.concatenate(phrases * 10)
        assert samples.size == 246 * 16000
        paths[name] = str(folder / f"{name}.wav")
        soundfile.write(paths[name], samples, 16000, subtype="FLOAT")
    return paths


def scoring(key, out, ref, name="pesq_wb"):
    arguments = {
        "metric": name,
        "options": "{}",
        "out": out,
        "ref": {"path": ref, "start": None, "end": None},
        "clip": {"id": key, "speaker": "x"},
    }
    return Task(key, "doppelbench.benchmark.work:score_item", arguments)


def test_sixty_phrases_are_scored_in_segments(sixty_phrases):
    (result,) = run_pool([scoring("phrases", **sixty_phrases)], jobs=1)
    assert (result.status, result.value["status"]) == ("ok", "ok")
    assert result.value["statistics"]["segments"] >= 9
    assert 1.0 < result.value["value"] < MAXIMUM["wb"]


@pytest.mark.slow
def test_a_call_that_kills_its_process_costs_one_item(sixty_phrases, tmp_path):
    short = str(tmp_path / "short.wav")
    soundfile.write(short, speech_like(seed=1).samples, 16000, subtype="FLOAT")
    tasks = [
        scoring("before", short, short),
        Task("whole", "pesq_tasks:in_one_call", sixty_phrases),
        scoring("after", short, short),
    ]
    found = {result.key: result for result in run_pool(tasks, jobs=1)}
    assert found["whole"].status == "crashed"
    assert found["whole"].value is None
    assert failed_status(found["whole"]) == "crashed"
    for key in ("before", "after"):
        assert found[key].value["value"] == MAXIMUM["wb"]


def test_more_than_thirty_seconds_never_enter_one_call():
    long = np.ones(31 * 16000)
    with pytest.raises(ValueError, match="at most 30 s"):
        mos_lqo(out=long, ref=long, band="wb")


def test_output_with_nothing_to_hear_has_no_number():
    ref = speech_like(seed=1)
    quiet = np.zeros(ref.samples.size)
    with pytest.raises(MediaError) as caught:
        mos_lqo(out=quiet, ref=ref.samples.astype(np.float64), band="wb")
    assert caught.value.status == "no_speech"


def test_another_timing_is_refused():
    ref, out = speech_like(seed=1, seconds=2.0), speech_like(seed=1, seconds=2.2)
    score = metric("pesq_wb").item(out=out, ref=ref)
    assert (score.value, score.status) == (None, "length_mismatch")


def test_gain_does_not_matter():
    ref, out = speech_like(seed=1), speech_like(seed=1, noise_db=-5.0)
    quieter = Audio(out.samples * np.float32(0.1), 16000)
    value = metric("pesq_wb").item(out=out, ref=ref).value
    assert metric("pesq_wb").item(out=quieter, ref=ref).value == pytest.approx(value, abs=1e-4)


@pytest.mark.realdata
def test_published_values_are_equal(realdata):
    with (realdata / "EXPECTED.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "PESQ"]
    assert len(rows) == 2
    for row in rows:
        ref, out = read_audio(realdata / row["ref_file"]), read_audio(realdata / row["deg_file"])
        band = row["args"][-2:]
        assert metric(f"pesq_{band}").item(out=out, ref=ref).value == float(row["expected"])
