"""Degradations that test a detector: named, repeatable, in time with the original, and verified by measuring.

A degradation is written as ``name:key=value,key=value``:

======================= =================================================================================
``mp3:bitrate=32k``     also ``opus``, ``aac``, ``amr`` with a bit rate; ``gsm``, ``g722`` with their own
``mulaw``, ``alaw``     telephone band and G.711 at 8 kHz
``noise:snr=10``        noise so many dB below the active speech; ``colour=white`` (default) or ``pink``
``reverb:t60=0.5``      a synthetic room; ``level`` is its energy re the direct sound (-6 dB)
``resample:rate=8000``  down to a rate and back
``lowpass:hz=4000``     everything above is taken away
``gain:db=-6``          louder or quieter
``trim``                silence before the first and after the last active frame is cut off
``condition:name=room`` a recording condition of :mod:`doppelbench.corpora.conditions`
======================= =================================================================================

Every one but ``trim`` keeps the length. A degradation that does not do what it says is worse than none (a
public benchmark once coded everything as PCM), so :func:`verify` measures the effect on the signal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from doppelbench.corpora.conditions import (
    CONDITIONS,
    REVERBERANT_DB,
    TELEPHONE_HZ,
    in_a_room,
    in_condition,
    over_a_telephone,
    pink_noise,
)
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import SILENCE_DB, active_level, active_span
from doppelbench.corpora.media import Audio, resample
from doppelbench.detectors.codecs import CODECS, through_codec

# Parameters of each degradation with their bounds, or the words they may be; None stands for no default.
Numbers = tuple[float | None, float, float]
NUMBERS: Mapping[str, Mapping[str, Numbers]] = {
    "noise": {"snr": (None, -40.0, 100.0)},
    "reverb": {"t60": (None, 0.05, 10.0), "level": (REVERBERANT_DB, -60.0, 20.0)},
    "resample": {"rate": (None, 1000.0, 192000.0)},
    "lowpass": {"hz": (None, 50.0, 96000.0)},
    "gain": {"db": (None, -80.0, 80.0)},
    "trim": {},
    "condition": {},
    **{
        name: (
            {}
            if codec.bitrates is None
            else {"bitrate": (float(codec.bitrate), float(codec.bitrates[0]), float(codec.bitrates[1]))}
        )
        for name, codec in CODECS.items()
    },
}
WORDS: Mapping[str, Mapping[str, tuple[str | None, tuple[str, ...]]]] = {
    "noise": {"colour": ("white", ("white", "pink"))},
    "condition": {"name": (None, CONDITIONS)},
}
TELEPHONE_CODECS = frozenset({"mulaw", "alaw"})
FILTER_ORDER = 10
# Filters of speech codecs turn the phase, which shifts the best correlation by fractions of a millisecond.
LAG_MS = 0.5


@dataclass(frozen=True, slots=True)
class Degradation:
    """A degradation with all its parameters.

    Attributes:
        name: what is done.
        numbers: parameters that are numbers.
        words: parameters that are words.
    """

    name: str
    numbers: Mapping[str, float]
    words: Mapping[str, str]

    @property
    def spec(self) -> str:
        """The specification with every parameter, which makes the same degradation again."""
        pairs = [f"{key}={value:.10g}" for key, value in self.numbers.items()]
        pairs += [f"{key}={value}" for key, value in self.words.items()]
        return f"{self.name}:{','.join(pairs)}" if pairs else self.name


@dataclass(frozen=True, slots=True)
class Check:
    """One measured effect of a degradation.

    Attributes:
        name: what was measured, with its unit.
        low: least value that is right.
        high: greatest value that is right.
        measured: what it is.
    """

    name: str
    low: float
    high: float
    measured: float

    @property
    def ok(self) -> bool:
        """Whether the measured value lies between the bounds."""
        return bool(self.low <= self.measured <= self.high)


def parse(spec: str) -> Degradation:
    """Read the specification of a degradation.

    Raises:
        InputError: a name, key or value is not known, missing or out of its bounds.
    """
    name, _, rest = spec.strip().partition(":")
    if name not in NUMBERS:
        raise InputError(f"degradation {spec!r}: {name!r} is not one of {', '.join(NUMBERS)}")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.strip().partition("=")
        if not equals or key in given or key not in {**NUMBERS[name], **WORDS.get(name, {})}:
            raise InputError(f"degradation {spec!r}: {part.strip()!r} is no parameter of {name}, or twice")
        given[key] = value.strip()
    numbers = {key: _number(spec, key, given.get(key), bounds) for key, bounds in NUMBERS[name].items()}
    words = {}
    for key, (usual, allowed) in WORDS.get(name, {}).items():
        word = given.get(key, usual)
        if word not in allowed:
            raise InputError(f"degradation {spec!r}: {key} must be one of {', '.join(allowed)}, not {word!r}")
        words[key] = str(word)
    return Degradation(name, numbers, words)


def degrade(samples: np.ndarray, rate: int, spec: str | Degradation, *, seed: int = 0) -> np.ndarray:
    """Degrade a signal; the same signal, specification and seed give the same samples.

    Args:
        samples: mono signal, shape (n,), nominal range -1 to 1.
        rate: samples per second.
        spec: what is done.
        seed: of noise and room.

    Returns:
        Float32 of shape (n,), shorter only for ``trim``. Peaks may exceed 1.

    Raises:
        InputError: the specification is not known, or does not fit the rate.
        MediaError: ``silent`` where a level is needed and there is none, ``not_finite``.
        DependencyError: FFmpeg here was built without the codec.
    """
    kind = parse(spec) if isinstance(spec, str) else spec
    if not np.isfinite(samples).all():
        raise MediaError("not_finite", "the signal has samples that are NaN or infinite")
    signal = np.asarray(samples, np.float32)
    if kind.name in CODECS:
        return _coded(signal, rate, kind)
    if kind.name == "noise":
        return (signal + _noise(signal, rate, kind, seed)).astype(np.float32)
    if kind.name == "reverb":
        return _in_a_room(signal, rate, kind, seed)
    if kind.name == "resample":
        inner = round(kind.numbers["rate"])
        back = resample(resample(Audio(signal, rate), inner), rate).samples
        return np.pad(back, (0, max(0, signal.size - back.size)))[: signal.size]
    if kind.name == "lowpass":
        return _low_passed(signal, rate, kind.numbers["hz"])
    if kind.name == "gain":
        return (signal * 10 ** (kind.numbers["db"] / 20)).astype(np.float32)
    if kind.name == "trim":
        first, end = active_span(signal, rate)
        return signal[first:end]
    return in_condition(signal, rate, kind.words["name"], seed)


def verify(
    original: np.ndarray, degraded: np.ndarray, rate: int, spec: str | Degradation, *, seed: int = 0
) -> list[Check]:
    """Measure what a degradation did to a signal.

    Args:
        original: what went in, shape (n,).
        degraded: what came out.
        rate: samples per second.
        spec: what was done.
        seed: it was done with.

    Returns:
        The length first, then the effect: signal-to-noise ratio within 0.5 dB, reverberation time within 10
        %, the band, the bit rate, the gain, the silence left.

    Raises:
        InputError: as :func:`degrade`.
    """
    kind = parse(spec) if isinstance(spec, str) else spec
    before, after = np.asarray(original, np.float64), np.asarray(degraded, np.float64)
    if kind.name == "trim":
        return _trim_checks(before, after, rate)
    checks = [Check("length in samples", before.size, before.size, after.size)]
    if not checks[0].ok:
        return checks
    if kind.name in CODECS:
        return checks + _codec_checks(before, after, rate, kind)
    if kind.name == "noise":
        wanted = kind.numbers["snr"]
        ratio = active_level(before, rate) - _power_db(after - before)
        return [*checks, Check("speech to noise in dB", wanted - 0.5, wanted + 0.5, ratio)]
    if kind.name == "reverb":
        wanted = kind.numbers["t60"]
        click = np.zeros(round(1.5 * wanted * rate), np.float32)
        click[0] = 1.0
        measured = decay_time(_in_a_room(click, rate, kind, seed)[1:], rate)
        again = _power_db(after - degrade(original, rate, kind, seed=seed)) - _power_db(after)
        return [
            *checks,
            Check("reverberation time in s", 0.9 * wanted, 1.1 * wanted, measured),
            Check("difference to this room in dB", -np.inf, -60.0, again),
        ]
    if kind.name == "resample":
        return [*checks, *_band_checks(before, after, rate, kind.numbers["rate"] / 2)]
    if kind.name == "lowpass":
        return [*checks, *_band_checks(before, after, rate, kind.numbers["hz"])]
    if kind.name == "gain":
        wanted = kind.numbers["db"]
        measured = _power_db(after) - _power_db(before)
        return [*checks, Check("gain in dB", wanted - 0.01, wanted + 0.01, measured)]
    if kind.words["name"] == "telephone":
        return [*checks, *_band_checks(before, after, rate, TELEPHONE_HZ[1], margin=1.5, level=False)]
    return checks


def decay_time(response: np.ndarray, rate: int) -> float:
    """Time in which an impulse response decays by 60 dB, from its backward integral between -5 and -35 dB
    (Schroeder 1965, ISO 3382); in seconds."""
    left = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    level = 10 * np.log10(left / left[0] + 1e-300)
    chosen = (level <= -5) & (level >= -35)
    slope = np.polyfit(np.flatnonzero(chosen) / rate, level[chosen], 1)[0]
    return float(-60 / slope)


def band_level(samples: np.ndarray, rate: int, low: float, high: float) -> float:
    """Energy of a signal between two frequencies in dB, from its spectrum; -inf where there is none."""
    power = np.abs(np.fft.rfft(np.asarray(samples, np.float64))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    total = float(power[(frequencies >= low) & (frequencies < high)].sum())
    return float(10 * np.log10(total)) if total > 0 else -np.inf


def _number(spec: str, key: str, text: str | None, bounds: Numbers) -> float:
    usual, low, high = bounds
    if text is None:
        if usual is None:
            raise InputError(f"degradation {spec!r}: {key} is missing")
        return usual
    scale = 1000.0 if text.endswith("k") else 1.0
    try:
        value = float(text.removesuffix("k")) * scale
    except ValueError:
        raise InputError(f"degradation {spec!r}: {key} is {text!r}, which is no number") from None
    if not low <= value <= high:
        raise InputError(f"degradation {spec!r}: {key} must lie between {low:g} and {high:g}, not at {text}")
    return value


def _coded(signal: np.ndarray, rate: int, kind: Degradation) -> np.ndarray:
    bitrate = round(kind.numbers["bitrate"]) if "bitrate" in kind.numbers else None
    if kind.name in TELEPHONE_CODECS:
        signal = _telephone(signal, rate)
    return through_codec(signal, rate, kind.name, bitrate).samples


def _telephone(signal: np.ndarray, rate: int) -> np.ndarray:
    if rate <= 2 * TELEPHONE_HZ[1]:
        raise InputError(f"a telephone band needs a rate above {2 * TELEPHONE_HZ[1]:.0f} Hz, not {rate} Hz")
    return over_a_telephone(signal, rate).astype(np.float32)


def _noise(signal: np.ndarray, rate: int, kind: Degradation, seed: int) -> np.ndarray:
    level = active_level(signal, rate)
    if level < SILENCE_DB:
        raise MediaError("silent", "noise has no level beside a silent signal")
    generator = np.random.default_rng([seed, 7])
    if kind.words["colour"] == "pink":
        noise = pink_noise(signal.size, rate, generator)
    else:
        noise = generator.standard_normal(signal.size)
    return noise * 10 ** ((level - kind.numbers["snr"] - _power_db(noise)) / 20)


def _in_a_room(signal: np.ndarray, rate: int, kind: Degradation, seed: int) -> np.ndarray:
    return in_a_room(
        signal.astype(np.float64),
        rate,
        np.random.default_rng([seed, 8]),
        decay_seconds=kind.numbers["t60"],
        reverberant_db=kind.numbers["level"],
    ).astype(np.float32)


def _low_passed(signal: np.ndarray, rate: int, hz: float) -> np.ndarray:
    from scipy.signal import butter, sosfiltfilt

    if hz >= rate / 2:
        raise InputError(f"a low-pass at {hz:g} Hz does nothing at a rate of {rate} Hz")
    if signal.size < 2:
        return signal
    filters = butter(FILTER_ORDER, hz, fs=rate, output="sos")
    pad = min(signal.size - 1, 3 * (2 * len(filters) + 1))
    return np.asarray(sosfiltfilt(filters, signal.astype(np.float64), padlen=pad), dtype=np.float32)


def _power_db(samples: np.ndarray) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return float(10 * np.log10(power)) if power > 0 else -np.inf


def _band_checks(
    before: np.ndarray,
    after: np.ndarray,
    rate: int,
    limit: float,
    *,
    margin: float = 1.25,
    level: bool = True,
) -> list[Check]:
    """What is left above a limit, and whether the band below is untouched."""
    checks = []
    edge = margin * limit
    if edge < rate / 2:
        whole = band_level(after, rate, 0, rate)
        # 30 dB less than there was, or next to nothing where there was next to nothing.
        allowed = max(band_level(before, rate, edge, rate) - whole - 30.0, -50.0)
        left = band_level(after, rate, edge, rate) - whole
        checks.append(Check(f"level above {edge:.0f} Hz re the whole in dB", -np.inf, allowed, left))
    if level:
        kept = 0.75 * min(limit, rate / 2)
        change = band_level(after, rate, 0, kept) - band_level(before, rate, 0, kept)
        checks.append(Check(f"level change below {kept:.0f} Hz in dB", -1.0, 1.0, change))
    return checks


def _codec_checks(before: np.ndarray, after: np.ndarray, rate: int, kind: Degradation) -> list[Check]:
    from scipy.signal import correlate

    codec = CODECS[kind.name]
    wanted = kind.numbers.get("bitrate", float(codec.bitrate))
    signal = before.astype(np.float32)
    coded = through_codec(
        _telephone(signal, rate) if kind.name in TELEPHONE_CODECS else signal,
        rate,
        kind.name,
        round(wanted) if codec.bitrates is not None else None,
    )
    likeness = correlate(after, before, method="fft")
    reach = min(before.size - 1, round(0.1 * rate))
    middle = before.size - 1
    lag = int(np.argmax(likeness[middle - reach : middle + reach + 1])) - reach
    # A frame more or less at the ends of a short clip.
    slack = 0.1 + 0.1 / max(before.size / rate, 0.1)
    least = (1 - slack) * wanted if codec.constant else 0.0
    change = _power_db(after - before) - _power_db(before)
    checks = [
        Check("bit rate in bit/s", least, (1 + slack) * wanted, coded.bitrate),
        Check("lag in ms", -LAG_MS, LAG_MS, 1000 * lag / rate),
        # A signal that was only stored as 16-bit samples changes less.
        Check("change re the signal in dB", -70.0, 6.0, change),
    ]
    if coded.rate < rate:
        checks += _band_checks(before, after, rate, coded.rate / 2, margin=1.05, level=False)
    return checks


def _trim_checks(before: np.ndarray, after: np.ndarray, rate: int) -> list[Check]:
    first, end = active_span(before, rate)
    left = active_span(after, rate)
    same = after.size == end - first and np.array_equal(after, before[first:end])
    frame = 0.02
    return [
        Check("a part of the original", 1, 1, float(same)),
        Check("leading silence in s", 0, frame, left[0] / rate),
        Check("trailing silence in s", 0, frame, (after.size - left[1]) / rate),
    ]
