"""What holds for every metric, whatever it measures."""

import inspect
import json
import random

import numpy as np
import pytest
import soundfile
from metric_examples import speech_like

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics import STATUSES, ItemScore, metric_class
from doppelbench.metrics.registry import BUILT_IN, metric
from doppelbench.metrics.sca import features, train_on_features

CLIP = Clip(id="trial-1", speaker="voice0", text="bin blue at f two now")
SPEAKER_SEEDS = range(200, 206)


@pytest.fixture(scope="session")
def classifier():
    names, rows = [], []
    for voice in range(3):
        for seed in SPEAKER_SEEDS:
            rows.append(features(speech_like(seed=seed, voice=voice, seconds=1.0)))
            names.append(f"voice{voice}")
    return train_on_features(np.array(rows), names)


AUDIO_METRICS = sorted(name for name in BUILT_IN if metric_class(name).spec.media == "audio")


@pytest.fixture(params=AUDIO_METRICS)
def make(request, classifier):
    options = {"sca": {"classifier": classifier}}
    options |= {name: {"recognizer": "pocketsphinx-grid"} for name in ("wer", "cer")}
    return lambda: metric(request.param, **options.get(request.param, {}))


@pytest.fixture
def scorer(make):
    return make()


@pytest.fixture(scope="session")
def pair():
    return speech_like(seed=1), speech_like(seed=1, voice=1, noise_db=-25.0)


def score(scorer, out, ref=None):
    return scorer.item(out=out, ref=ref, clip=CLIP)


def test_spec_is_complete(scorer):
    spec = scorer.spec
    assert spec.title
    assert spec.citation
    assert spec.version >= 1
    assert spec.direction in ("higher", "lower")
    assert spec.cost > 0
    assert spec.rate > 0
    assert 0.0 < spec.seconds[0] < 1.0
    assert spec.needs


def test_signals_are_keyword_only(make):
    parameters = inspect.signature(type(make()).item).parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items() if name != "self"}
    assert set(kinds) == {"out", "ref", "clip"}
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


def test_equal_signals_have_the_best_value(scorer, pair):
    if "ref" not in scorer.spec.needs:
        pytest.skip("has no reference signal")
    low, high = scorer.spec.range
    best = high if scorer.spec.direction == "higher" else low
    assert score(scorer, pair[0], pair[0]).value == pytest.approx(best, abs=1e-9)


def test_ordinary_speech_has_a_value_within_the_range(scorer, pair):
    ref, out = pair
    result = score(scorer, out, ref)
    assert (result.status, result.reason) == ("ok", "")
    assert type(result.value) is float
    low, high = scorer.spec.range
    assert low is None or result.value >= low
    assert high is None or result.value <= high


def test_statistics_are_plain_data(scorer, pair):
    result = score(scorer, pair[1], pair[0])
    assert json.loads(json.dumps(dict(result.stats))) == dict(result.stats)


@pytest.mark.parametrize(
    ("samples", "status"),
    [
        (np.zeros(32000, np.float32), "silent"),
        (np.full(32000, np.nan, np.float32), "not_finite"),
        (np.full(320, 0.1, np.float32), "too_short"),
        (np.zeros(0, np.float32), "too_short"),
        (np.full(32000, 1000, np.int16), "unreadable"),
        (np.full((2, 32000), 0.1, np.float32), "unreadable"),
    ],
    ids=["silence", "nan", "20 ms", "empty", "integers", "two rows"],
)
def test_bad_signals_on_either_side_have_a_status_and_no_value(scorer, pair, samples, status):
    bad = Audio(samples, 16000)
    results = [score(scorer, bad, pair[0])]
    if "ref" in scorer.spec.needs:
        results.append(score(scorer, pair[1], bad))
    for result in results:
        assert (result.value, result.status) == (None, status)
        assert result.status in STATUSES
        assert result.reason


def test_what_is_needed_and_not_given_is_missing(scorer, pair):
    result = scorer.item(out=pair[0])
    assert (result.value, result.status) == (None, "missing")
    assert result.reason


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1), (48000, 2)])
def test_files_of_any_rate_and_channels_are_scored(scorer, tmp_path, rate, channels):
    for name, voice in (("ref", 0), ("out", 1)):
        samples = speech_like(seed=1, voice=voice, rate=rate).samples
        soundfile.write(
            tmp_path / f"{name}.wav", np.stack([samples] * channels, axis=1), rate, subtype="FLOAT"
        )
    result = score(scorer, read_audio(tmp_path / "out.wav"), read_audio(tmp_path / "ref.wav"))
    assert result.status == "ok"


def test_two_equal_channels_score_as_one(scorer, tmp_path, pair):
    ref, out = pair
    soundfile.write(tmp_path / "out.wav", np.stack([out.samples] * 2, axis=1), 16000, subtype="FLOAT")
    assert score(scorer, read_audio(tmp_path / "out.wav"), ref) == score(scorer, out, ref)


def test_gain_of_the_output_does_not_matter(scorer, pair):
    ref, out = pair
    quiet = Audio(out.samples * np.float32(0.2), 16000)
    assert score(scorer, quiet, ref).value == pytest.approx(score(scorer, out, ref).value, abs=1e-3)


def test_type_and_layout_of_the_samples_do_not_matter(scorer, pair):
    ref, out = pair
    wide = Audio(np.repeat(out.samples, 2).astype(np.float64)[::2], 16000)
    assert score(scorer, wide, ref) == score(scorer, out, ref)


def test_inputs_are_left_as_they_were(scorer, pair):
    ref, out = pair
    before = [signal.samples.copy() for signal in pair]
    score(scorer, out, ref)
    assert all(np.array_equal(signal.samples, copy) for signal, copy in zip(pair, before, strict=True))


def test_global_random_state_is_not_touched(scorer, pair):
    np.random.seed(0)
    random.seed(0)
    before = (np.random.get_state()[1].tolist(), random.getstate())
    result = score(scorer, pair[1], pair[0])
    scorer.reduce([result, result])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_repeating_a_call_or_making_the_metric_anew_changes_nothing(make, pair):
    first, second = make(), make()
    results = [
        score(first, pair[1], pair[0]),
        score(first, pair[1], pair[0]),
        score(second, pair[1], pair[0]),
    ]
    assert results[0] == results[1] == results[2]


def test_signature_is_one_stable_line(make):
    scorer = make()
    assert scorer.signature == make().signature
    assert scorer.signature.startswith(f"{scorer.spec.name}|")
    assert scorer.signature.endswith(f"|v{scorer.spec.version}")
    assert "sr16000-soxr-vhq" in scorer.signature
    assert scorer.signature.isprintable()
    assert " " not in scorer.signature


@pytest.fixture(scope="session")
def scored():
    cache = {}

    def items(scorer):
        if scorer.spec.name not in cache:
            pairs = [
                (speech_like(seed=n), speech_like(seed=n, voice=n % 3, noise_db=-20.0)) for n in range(4)
            ]
            cache[scorer.spec.name] = [score(scorer, out, ref) for ref, out in pairs]
        return cache[scorer.spec.name]

    return items


def test_failed_items_lower_the_coverage_and_are_never_numbers(scorer, scored):
    items = scored(scorer)
    failed = [ItemScore.failed(status, "for a test") for status in STATUSES if status != "ok"]
    with_failed, without = scorer.reduce([*items, *failed]), scorer.reduce(items)
    assert (with_failed.value, with_failed.low, with_failed.high) == (
        without.value,
        without.low,
        without.high,
    )
    assert with_failed.details == without.details
    assert (with_failed.n, with_failed.expected) == (4, 4 + len(failed))
    assert with_failed.coverage == pytest.approx(4 / (4 + len(failed)))


def test_figure_lies_within_its_interval(scorer, scored):
    figure = scorer.reduce(scored(scorer))
    assert figure.low <= figure.value <= figure.high
    assert (figure.n, figure.expected, figure.coverage) == (4, 4, 1.0)


def test_order_of_the_items_does_not_matter(scorer, scored):
    items, clusters = scored(scorer), ["a", "a", "b", "c"]
    assert scorer.reduce(items) == scorer.reduce(items[::-1])
    assert scorer.reduce(items, clusters) == scorer.reduce(items[::-1], clusters[::-1])


def test_clusters_must_be_one_for_each_item(scorer, scored):
    with pytest.raises(ValueError, match="1 clusters for 4 items"):
        scorer.reduce(scored(scorer), ["a"])


def test_nothing_scored_is_no_figure(scorer):
    figure = scorer.reduce([ItemScore.failed("crashed", "killed")])
    assert (figure.value, figure.low, figure.high, figure.n, figure.coverage) == (None, None, None, 0, 0.0)
    assert scorer.reduce([]).coverage == 0.0


def test_every_metric_states_what_a_backend_demands():
    for name in ("pesq_wb", "pesq_nb"):
        assert "commercial" in metric_class(name).spec.licence
