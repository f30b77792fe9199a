"""What holds for every metric of sound, and the verdicts that its fixture file states for it."""

import functools
import inspect
import json
import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
from contract_verdicts import CONTRACT
from metric_examples import skip_without_backend, speech_like, sung_vowel

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, read_audio, resample
from doppelbench.corpora.talkers.make import record, synthesize
from doppelbench.corpora.talkers.settings import TalkersSettings
from doppelbench.corpora.talkers.voices import voice_of
from doppelbench.engine.pool import Task, run_pool
from doppelbench.metrics import STATUSES, ItemScore, dnsmos_kernel, metric_class, secs
from doppelbench.metrics.metric import Need
from doppelbench.metrics.registry import BUILT_IN, metric
from doppelbench.metrics.sca import features, train_on_features

CLIP = Clip(id="trial-1", speaker="voice0", text="bin blue at f two now")
SPEAKER_SEEDS = range(200, 206)
MARGIN_SECONDS = 0.15
TRANSCRIPT_METRICS = ("cer", "mer", "wer", "wer_heard")
PITCH_METRICS = ("f0_correlation", "f0_rmse", "voicing_error")
AUDIO_METRICS = sorted(name for name in BUILT_IN if metric_class(name).spec.media == "audio")
FOLDER = Path(__file__).parent / "fixtures"
VERDICTS = {
    name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")).get("contract")
    for name in AUDIO_METRICS
}


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    names, rows = [], []
    for voice in range(3):
        for seed in SPEAKER_SEEDS:
            rows.append(features(speech_like(seed=seed, voice=voice, seconds=1.0)))
            names.append(f"voice{voice}")
    folder = tmp_path_factory.mktemp("classifier")
    train_on_features(np.array(rows), names).save(folder)
    return folder


@pytest.fixture(scope="session")
def options(classifier):
    """Options by metric, as JSON can hold them."""
    return {
        "sca": {"classifier": str(classifier)},
        **{name: {"recognizer": "pocketsphinx-grid"} for name in TRANSCRIPT_METRICS},
    }


@pytest.fixture(params=AUDIO_METRICS)
def name(request):
    skip_without_backend(request.param)
    return request.param


@pytest.fixture
def make(name, options):
    return lambda: metric(name, **options.get(name, {}))


@pytest.fixture
def scorer(make):
    return make()


def with_margins(audio):
    return Audio(np.pad(audio.samples, round(MARGIN_SECONDS * audio.rate)), audio.rate)


def late(audio, samples):
    return Audio(np.pad(audio.samples, (samples, 0))[: audio.samples.size], audio.rate)


def louder(audio, decibel):
    return Audio(audio.samples * np.float32(10 ** (decibel / 20)), audio.rate)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    """A sentence that a recogniser understands."""
    settings = TalkersSettings(speakers=("ada",))
    folder = tmp_path_factory.mktemp("speech")
    ((_, audio, _),) = synthesize(voice_of("ada"), {CLIP.id: CLIP.text}, settings, folder)
    return record(audio, np.random.default_rng(0))[0]


@pytest.fixture(scope="session")
def speech():
    """Reference and output of one timing, quiet enough to be doubled."""
    ref = speech_like(seed=1, seconds=0.9, level=0.05)
    out = speech_like(seed=1, seconds=0.9, level=0.05, voice=1, noise_db=-25.0)
    return with_margins(ref), with_margins(out)


@pytest.fixture(scope="session")
def sung():
    """Two voices of another pitch without a doubtful frame, for a tracker may jump where speech is weak."""
    return with_margins(sung_vowel()), with_margins(sung_vowel(voice=1, low=170.0, high=202.0))


@pytest.fixture
def pair(name, speech, spoken, sung):
    if name in PITCH_METRICS:
        return sung
    return (spoken, spoken) if name in TRANSCRIPT_METRICS else speech


SCORES = {}


def score(scorer, out, ref=None):
    """Score once whatever several tests ask for; that a repetition gives the same is a test of its own."""
    key = (scorer.signature, *((audio.samples.tobytes(), audio.rate) for audio in (out, ref) if audio))
    if key not in SCORES:
        SCORES[key] = scorer.item(out=out, ref=ref, clip=CLIP)
    return SCORES[key]


@pytest.fixture
def afresh(monkeypatch):
    """Score without what this module or the metrics keep."""
    for module, kept in ((secs, "_embedding"), (dnsmos_kernel, "quality_guesses")):
        monkeypatch.setattr(module, kept, getattr(module, kept).__wrapped__)
    return lambda scorer, out, ref: scorer.item(out=out, ref=ref, clip=CLIP)


def value(scorer, out, ref):
    result = score(scorer, out, ref)
    assert (result.status, result.reason) == ("ok", "")
    return result.value


def compares(scorer):
    return bool({"ref", "source"} & scorer.spec.needs)


def hold(scorer, verdict, *, before, after):
    """Check a verdict on a change from one value to another."""
    if verdict["verdict"] == "invariant":
        assert after == pytest.approx(before, abs=verdict["within"])
    elif verdict["verdict"] == "differs":
        assert abs(after - before) >= verdict["by"]
    else:
        assert verdict["verdict"] == "worsens"
        loss = before - after if scorer.spec.direction == "higher" else after - before
        assert loss >= verdict["by"]


def test_fixture_file_states_the_verdicts_of_theory(name):
    assert VERDICTS[name] == CONTRACT[name]


def test_every_metric_has_all_verdicts():
    assert sorted(CONTRACT) == AUDIO_METRICS
    (checks,) = {tuple(sorted(verdicts)) for verdicts in CONTRACT.values()}
    assert len(checks) == 15


def test_golden_values_stand_in_the_fixture_file(name):
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert content["metric"] == name
    assert content["expected_from"]
    assert len(content["cases"]) >= 2


def test_identity(name, scorer, pair):
    verdict = VERDICTS[name]["identity"]
    assert (verdict["verdict"] == "no reference") == (not compares(scorer))
    if not compares(scorer):
        assert score(scorer, pair[1], pair[0]) == score(scorer, pair[1], pair[1])
        return
    low, high = scorer.spec.range
    best = high if scorer.spec.direction == "higher" else low
    expected = {"best": best, "value": verdict.get("value")}[verdict["verdict"]]
    assert value(scorer, pair[0], pair[0]) == pytest.approx(expected, abs=verdict["within"])


def test_swapped_arguments(name, scorer, pair):
    verdict = VERDICTS[name]["swapped"]
    if verdict["verdict"] == "no reference":
        assert not compares(scorer)
        return
    ref, out = pair
    first, second = value(scorer, out, ref), value(scorer, ref, out)
    if verdict["verdict"] == "same":
        assert first == pytest.approx(second, rel=1e-9, abs=1e-9)
    else:
        hold(scorer, verdict, before=first, after=second)


@pytest.mark.parametrize(
    ("check", "samples"),
    [
        ("silence", np.zeros(32000, np.float32)),
        ("nan", np.full(32000, np.nan, np.float32)),
        ("nan", np.full(32000, np.inf, np.float32)),
        ("short", np.full(320, 0.1, np.float32)),
        ("short", np.zeros(0, np.float32)),
        ("integer samples", np.full(32000, 1000, np.int16)),
        ("two rows of samples", np.full((2, 32000), 0.1, np.float32)),
    ],
    ids=["silence", "nan", "infinity", "20 ms", "empty", "integers", "two rows"],
)
def test_bad_signals_on_either_side_have_a_status_and_no_value(name, scorer, pair, check, samples):
    bad = Audio(samples, 16000)
    results = [score(scorer, bad, pair[0])]
    if compares(scorer):
        results.append(score(scorer, pair[1], bad))
    for result in results:
        assert (result.value, result.status) == (None, VERDICTS[name][check])
        assert result.status in STATUSES
        assert result.reason


def test_two_equal_channels_score_as_one(name, scorer, tmp_path, pair):
    assert VERDICTS[name]["file of two equal channels"] == "same"
    ref, out = pair
    soundfile.write(tmp_path / "out.wav", np.stack([out.samples] * 2, axis=1), 16000, subtype="FLOAT")
    assert score(scorer, read_audio(tmp_path / "out.wav"), ref) == score(scorer, out, ref)


@pytest.mark.parametrize("decibel", [6.0, -6.0])
def test_gain(name, scorer, pair, decibel):
    ref, out = pair
    before, after = value(scorer, out, ref), value(scorer, louder(out, decibel), ref)
    hold(scorer, VERDICTS[name]["gain"], before=before, after=after)


@pytest.mark.parametrize(("check", "samples"), [("shift of one sample", 1), ("shift of 10 ms", 160)])
def test_shift(name, scorer, pair, check, samples):
    ref, _ = pair
    before, after = value(scorer, ref, ref), value(scorer, late(ref, samples), ref)
    hold(scorer, VERDICTS[name][check], before=before, after=after)


def test_type_and_layout_of_the_samples_do_not_matter(name, scorer, pair):
    assert VERDICTS[name]["float64 samples"] == "same"
    ref, out = pair
    wide = Audio(np.repeat(out.samples, 2).astype(np.float64)[::2], 16000)
    assert score(scorer, wide, ref) == score(scorer, out, ref)


def test_another_rate_is_resampled(name, scorer, pair):
    assert VERDICTS[name]["rate mismatch"] == "resampled"
    fast = resample(pair[1], 48000)
    assert score(scorer, fast, pair[0]) == score(scorer, resample(fast, 16000), pair[0])


@pytest.fixture(scope="session")
def results_of_pools(options, speech, spoken, tmp_path_factory):
    """Results of all metrics as text: by way of running, then by metric."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = {}
    for label, audio in (("ref", speech[0]), ("out", speech[1]), ("spoken", spoken)):
        paths[label] = str(folder / f"{label}.wav")
        soundfile.write(paths[label], audio.samples, audio.rate, subtype="FLOAT")
    tasks = []
    for name in AUDIO_METRICS:
        for number, out in enumerate(("out", "ref")):
            arguments = {
                "metric": name,
                "options": json.dumps(options.get(name, {})),
                "out": paths["spoken" if name in TRANSCRIPT_METRICS else out],
                # A reference without words has no word errors.
                "ref": {
                    "path": paths["spoken" if name in TRANSCRIPT_METRICS else "ref"],
                    "start": None,
                    "end": None,
                },
                "clip": {"id": CLIP.id, "speaker": CLIP.speaker, "text": CLIP.text},
            }
            tasks.append(Task(f"{name}/{number}", "doppelbench.benchmark.work:score_item", arguments))
    ways = {
        "1": (tasks, {"jobs": 1}),
        "2": (tasks, {"jobs": 2}),
        "4": (tasks, {"jobs": 4}),
        "reversed": (tasks[::-1], {"in_process": True}),
    }
    found = {}
    for way, (ordered, settings) in ways.items():
        results = {result.key: result for result in run_pool(ordered, **settings)}
        found[way] = {
            name: json.dumps(
                [(results[key].status, results[key].value) for key in (f"{name}/0", f"{name}/1")]
            )
            for name in AUDIO_METRICS
        }
    return found


def test_number_of_workers_and_order_of_items_change_no_byte(name, results_of_pools):
    assert VERDICTS[name]["1, 2 and 4 workers"] == VERDICTS[name]["order of the items"] == "same bytes"
    statuses = [(status, score["status"]) for status, score in json.loads(results_of_pools["1"][name])]
    assert statuses == [("ok", "ok")] * 2
    assert len({results[name] for results in results_of_pools.values()}) == 1


def test_spec_is_complete(scorer):
    spec = scorer.spec
    assert spec.title
    assert spec.citation
    assert spec.version >= 1
    assert spec.direction in ("higher", "lower")
    assert spec.cost > 0
    assert spec.rate > 0
    assert 0.0 < spec.seconds[0] < 1.0
    assert spec.needs <= set(get_args(Need))
    assert not {"ref", "source"} <= spec.needs


def test_signals_are_keyword_only(make):
    parameters = inspect.signature(type(make()).item).parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items() if name != "self"}
    assert set(kinds) == {"out", "ref", "clip"}
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


def test_ordinary_speech_has_a_value_within_the_range(scorer, pair):
    ref, out = pair
    found = value(scorer, out, ref)
    assert type(found) is float
    low, high = scorer.spec.range
    assert low is None or found >= low
    assert high is None or found <= high


def test_statistics_are_plain_data(scorer, pair):
    result = score(scorer, pair[1], pair[0])
    assert json.loads(json.dumps(dict(result.stats))) == dict(result.stats)


def test_what_is_needed_and_not_given_is_missing(scorer, pair):
    result = scorer.item(out=pair[0])
    if scorer.spec.needs:
        assert (result.value, result.status) == (None, "missing")
        assert result.reason
    else:
        assert result.status == "ok"


@functools.cache
def example(*, voice, rate):
    return speech_like(seed=1, voice=voice, rate=rate, seconds=1.2).samples


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2)])
def test_files_of_any_rate_and_channels_are_scored(name, scorer, spoken, tmp_path, rate, channels):
    words = resample(spoken, rate).samples
    for role, voice in (("ref", 0), ("out", 1)):
        heard = words if name in TRANSCRIPT_METRICS else example(voice=voice, rate=rate)
        samples = np.stack([heard] * channels, axis=1)
        soundfile.write(tmp_path / f"{role}.wav", samples, rate, subtype="FLOAT")
    result = score(scorer, read_audio(tmp_path / "out.wav"), read_audio(tmp_path / "ref.wav"))
    assert result.status == "ok"


def test_inputs_and_global_random_state_are_left_as_they_were(scorer, pair, afresh):
    copies = [signal.samples.copy() for signal in pair]
    np.random.seed(0)
    random.seed(0)
    before = (np.random.get_state()[1].tolist(), random.getstate())
    result = afresh(scorer, pair[1], pair[0])
    scorer.reduce([result, result])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    assert all(np.array_equal(signal.samples, copy) for signal, copy in zip(pair, copies, strict=True))


def test_repeating_a_call_or_making_the_metric_anew_changes_nothing(make, pair, afresh):
    first, second = make(), make()
    expected = score(first, pair[1], pair[0])
    assert [afresh(scorer, pair[1], pair[0]) for scorer in (first, second)] == [expected] * 2


def test_signature_is_one_stable_line(make):
    scorer = make()
    assert scorer.signature == make().signature
    assert scorer.signature.startswith(f"{scorer.spec.name}|")
    assert scorer.signature.endswith(f"|v{scorer.spec.version}")
    assert "sr16000-soxr-vhq" in scorer.signature
    assert scorer.signature.isprintable()
    assert " " not in scorer.signature


@pytest.fixture
def scored(scorer, pair):
    """Four items, of which two differ at least where a reference is compared."""
    ref, out = pair
    return [
        score(scorer, first, second) for first, second in ((out, ref), (ref, ref), (ref, out), (out, out))
    ]


def test_failed_items_lower_the_coverage_and_are_never_numbers(scorer, scored):
    items = scored
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
    figure = scorer.reduce(scored)
    assert figure.low <= figure.value <= figure.high
    assert (figure.n, figure.expected, figure.coverage) == (4, 4, 1.0)


def test_order_of_the_items_does_not_matter(scorer, scored):
    items, clusters = scored, ["a", "a", "b", "c"]
    assert scorer.reduce(items) == scorer.reduce(items[::-1])
    assert scorer.reduce(items, clusters) == scorer.reduce(items[::-1], clusters[::-1])


def test_clusters_must_be_one_for_each_item(scorer, scored):
    with pytest.raises(ValueError, match="1 clusters for 4 items"):
        scorer.reduce(scored, ["a"])


def test_nothing_scored_is_no_figure(scorer):
    figure = scorer.reduce([ItemScore.failed("crashed", "killed")])
    assert (figure.value, figure.low, figure.high, figure.n, figure.coverage) == (None, None, None, 0, 0.0)
    assert scorer.reduce([]).coverage == 0.0


def test_every_metric_states_what_a_backend_demands():
    for name in ("pesq_nb", "pesq_nb_raw", "pesq_wb", "pesq_wb_raw"):
        assert "commercial" in metric_class(name).spec.licence
