"""What holds for every metric, as checks that its author can run.

They run in pytest through :mod:`doppelbench.benchmark.pytest_plugin`.
Each check takes a function that makes the metric, and raises an AssertionError that says what is broken. The
signals are made from a seed, so that no recording is needed. This is the part of the contract that holds for
any metric of sound, whatever it measures; what a particular metric owes beyond it (a gain that must not
matter, a known answer) belongs into its own tests.
"""

import inspect
import json
import random
from collections.abc import Callable

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio
from doppelbench.metrics.metric import STATUSES, ItemScore, Metric

MakeMetric = Callable[[], Metric]
RATE = 16000
CLIP = Clip(id="contract", speaker="ada", text="bin blue at f two now")
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))


def speech_like(seed: int, pitch: float = 120.0, seconds: float = 2.0) -> Audio:
    """Harmonics under three formants, in syllables with pauses, from a seed; 16 kHz."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    syllables = max(2, round(5 * seconds))
    vowels = generator.integers(0, len(VOWELS), syllables)
    position = np.minimum((time / seconds * syllables).astype(int), syllables - 1)
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 1.3 * time))) / RATE
    signal = np.zeros_like(time)
    for harmonic in range(1, int(5000 / pitch)):
        gains = [sum(1 / (1 + ((harmonic * pitch - f) / 100) ** 2) for f in vowel) for vowel in VOWELS]
        signal += np.asarray(gains)[vowels][position] * np.sin(harmonic * phase)
    signal *= np.abs(np.sin(np.pi * time / seconds * syllables))
    signal = 0.1 * signal / np.sqrt(np.mean(signal**2)) + 1e-4 * generator.standard_normal(time.size)
    return Audio(signal.astype(np.float32), RATE)


def check_spec(make: MakeMetric) -> None:
    """The spec says everything that documentation and planning need."""
    spec = make().spec
    for field in ("name", "title", "citation"):
        assert getattr(spec, field), f"the spec has no {field}"
    assert spec.version >= 1, "the version begins at 1"
    assert spec.direction in ("higher", "lower"), f"direction is {spec.direction!r}"
    assert spec.cost > 0, "the cost is milliseconds per second of media, above 0"
    low, high = spec.range
    assert low is None or high is None or low < high, f"the range {spec.range} is empty"


def check_signature(make: MakeMetric) -> None:
    """The signature is one stable line with name, parts and version."""
    first, second = make(), make()
    assert first.signature == second.signature, "two equal metrics have different signatures"
    assert first.signature.startswith(f"{first.spec.name}|"), "the signature begins with the name"
    assert first.signature.endswith(f"|v{first.spec.version}"), "the signature ends with the version"
    assert first.signature.isprintable(), "the signature is one printable line"
    assert " " not in first.signature, "the signature holds no space"


def check_keywords(make: MakeMetric) -> None:
    """Output and reference are keyword-only, because libraries disagree on their order."""
    parameters = list(inspect.signature(type(make()).item).parameters.values())[1:]
    assert {item.name for item in parameters} == {"out", "ref", "clip"}, "item takes out, ref and clip"
    assert all(item.kind is inspect.Parameter.KEYWORD_ONLY for item in parameters), "all are keyword-only"


def check_value(make: MakeMetric) -> None:
    """Ordinary speech has a value, a float within the stated range, and statistics that JSON can hold."""
    metric = make()
    result = _score(metric, speech_like(1, 180.0), speech_like(1))
    assert result.status == "ok", f"ordinary speech has the status {result.status}: {result.reason}"
    assert type(result.value) is float, f"the value is a {type(result.value).__name__}"
    low, high = metric.spec.range
    assert low is None or result.value >= low, f"{result.value} is below the range {metric.spec.range}"
    assert high is None or result.value <= high, f"{result.value} is above the range {metric.spec.range}"
    stored = json.loads(json.dumps(dict(result.stats)))
    assert stored == dict(result.stats), "statistics are numbers, strings and flat lists"


def check_identity(make: MakeMetric) -> None:
    """Equal signals have the best value."""
    metric = make()
    if "ref" not in metric.spec.needs:
        return
    low, high = metric.spec.range
    best = high if metric.spec.direction == "higher" else low
    value = _score(metric, speech_like(1), speech_like(1)).value
    assert value is not None, "equal signals have no value"
    assert best is None or abs(value - best) < 1e-6, f"equal signals score {value}; the best is {best}"


def check_bad_signals(make: MakeMetric) -> None:
    """Silence, NaN, too short and wrongly shaped signals have a status and no value, on either side."""
    metric = make()
    bad = {
        "silence": (np.zeros(2 * RATE, np.float32), {"silent", "no_speech"}),
        "NaN": (np.full(2 * RATE, np.nan, np.float32), {"not_finite"}),
        "20 ms": (np.full(RATE // 50, 0.1, np.float32), {"too_short"}),
        "nothing": (np.zeros(0, np.float32), {"too_short"}),
        "two rows": (np.full((2, RATE), 0.1, np.float32), {"unreadable"}),
    }
    good = speech_like(1)
    for name, (samples, expected) in bad.items():
        signal = Audio(samples, RATE)
        results = [_score(metric, signal, good)]
        if metric.spec.needs & {"ref", "source"}:
            results.append(_score(metric, good, signal))
        for result in results:
            assert result.value is None, f"{name} scores {result.value}; a failed item is never a number"
            assert result.status in STATUSES, f"{name} has the unknown status {result.status!r}"
            assert result.status in expected, f"{name} has the status {result.status}, not {expected}"
            assert result.reason, f"{name} fails without a reason"


def check_missing(make: MakeMetric) -> None:
    """What is needed and not given is the status ``missing``, not an exception."""
    metric = make()
    if not metric.spec.needs:
        return
    result = metric.item(out=speech_like(1))
    assert (result.value, result.status) == (None, "missing"), f"without what it needs: {result}"


def check_determinism(make: MakeMetric) -> None:
    """Repeated calls agree to the last bit, and global random states and inputs are left alone."""
    out, ref = speech_like(2, 180.0), speech_like(2)
    copies = out.samples.copy(), ref.samples.copy()
    before = json.dumps(np.random.get_state()[1].tolist()), random.getstate()  # type: ignore[index,union-attr]
    first, second = make(), make()
    results = [_score(first, out, ref), _score(first, out, ref), _score(second, out, ref)]
    assert results[0] == results[1], "the second call has another result"
    assert results[0] == results[2], "a second metric of the same kind has another result"
    after = json.dumps(np.random.get_state()[1].tolist()), random.getstate()  # type: ignore[index,union-attr]
    assert before == after, "the global random state has changed"
    assert np.array_equal(copies[0], out.samples), "the output's samples were changed"
    assert np.array_equal(copies[1], ref.samples), "the reference's samples were changed"


def check_reduction(make: MakeMetric) -> None:
    """Failed items lower the coverage and nothing else; the order of the items does not matter."""
    metric = make()
    items = [_score(metric, speech_like(seed, 180.0), speech_like(seed)) for seed in range(3, 6)]
    figure = metric.reduce(items)
    assert figure.value is not None, "three scored items make no figure"
    assert figure.low is None or figure.low <= figure.value, "the figure lies below its interval"
    assert figure.high is None or figure.value <= figure.high, "the figure lies above its interval"
    assert metric.reduce(items[::-1]) == figure, "the order of the items changes the figure"
    failed = ItemScore.failed("crashed", "for the contract")
    partial = metric.reduce([*items, failed])
    assert partial.value == figure.value, "a failed item changes the figure"
    assert (partial.n, partial.expected) == (3, 4), f"n and expected are {partial.n} and {partial.expected}"
    nothing = metric.reduce([failed])
    assert (nothing.value, nothing.n) == (None, 0), "a figure without scored items has a value"


CHECKS: dict[str, Callable[[MakeMetric], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}


def _score(metric: Metric, out: Audio, ref: Audio) -> ItemScore:
    return metric.item(out=out, ref=ref, clip=CLIP)
