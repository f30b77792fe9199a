"""Speech and music codecs as degradations: encoded and decoded in memory through PyAV, without delay.

A codec comes back late by a number of samples that depends on the codec, its rate and its bit rate, never on
the signal. It is measured once for each setting with a burst of noise and taken out, so that what comes back
lies sample by sample on what went in. Which codecs there are depends on how FFmpeg was built: one that is
missing is an error that says so, and nothing else is used in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from doppelbench.corpora.errors import DependencyError, InputError
from doppelbench.corpora.media import Audio, resample

# The burst that the delay is measured with, and the longest delay looked for.
PROBE_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How a codec is asked for.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        decoder: and of the decoder.
        sample_format: that the encoder takes.
        rates: sampling rates it takes, ascending; the lowest that holds the band of the signal is used.
        bitrates: lowest and highest bits per second; None for codecs with one bit rate.
        bitrate: where none is asked for.
        options: of the encoder.
        constant: whether every frame has the bit rate asked for, or only the average of busy signals.
    """

    encoder: str
    decoder: str
    sample_format: str
    rates: tuple[int, ...]
    bitrates: tuple[int, int] | None = None
    bitrate: int = 0
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    constant: bool = True


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "mp3": Codec(
            encoder="libmp3lame",
            decoder="mp3float",
            sample_format="fltp",
            rates=(16000, 22050, 24000, 32000, 44100, 48000),
            bitrates=(8000, 320000),
            bitrate=64000,
        ),
        "opus": Codec(
            encoder="libopus",
            decoder="libopus",
            sample_format="flt",
            rates=(48000,),
            bitrates=(6000, 256000),
            bitrate=24000,
            options=MappingProxyType({"vbr": "off"}),
        ),
        "aac": Codec(
            encoder="aac",
            decoder="aac",
            sample_format="fltp",
            rates=(16000, 22050, 24000, 32000, 44100, 48000),
            bitrates=(16000, 320000),
            bitrate=64000,
            constant=False,
        ),
        "amr": Codec(
            encoder="libopencore_amrnb",
            decoder="amrnb",
            sample_format="s16",
            rates=(8000,),
            bitrates=(4750, 12200),
            bitrate=12200,
        ),
        "gsm": Codec(encoder="libgsm", decoder="gsm", sample_format="s16", rates=(8000,), bitrate=13000),
        "g722": Codec(encoder="g722", decoder="g722", sample_format="s16", rates=(16000,), bitrate=64000),
        "mulaw": Codec(
            encoder="pcm_mulaw", decoder="pcm_mulaw", sample_format="s16", rates=(8000,), bitrate=64000
        ),
        "alaw": Codec(
            encoder="pcm_alaw", decoder="pcm_alaw", sample_format="s16", rates=(8000,), bitrate=64000
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Coded:
    """A signal after a codec: ``samples`` float32 of the length that went in, and the encoded bytes per
    second as ``bitrate`` in bits; ``rate`` is that of the codec."""

    samples: np.ndarray
    bitrate: float
    rate: int


def available(name: str) -> bool:
    """Whether FFmpeg here can encode and decode with a codec of ``CODECS``."""
    import av

    try:
        av.Codec(CODECS[name].encoder, "w")
        av.Codec(CODECS[name].decoder, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def codec_rate(name: str, rate: int) -> int:
    """Sampling rate a codec works at for a signal of some rate: the lowest that holds its band, or its
    highest."""
    rates = CODECS[name].rates
    return next((own for own in rates if own >= rate), rates[-1])


def through_codec(samples: np.ndarray, rate: int, name: str, bitrate: int | None = None) -> Coded:
    """Encode and decode a signal; it comes back without delay, at its own rate and length.

    Args:
        samples: mono signal, shape (n,), nominal range -1 to 1; encoders clip what exceeds it.
        rate: samples per second.
        name: of ``CODECS``.
        bitrate: bits per second; the codec's usual one when None.

    Raises:
        DependencyError: FFmpeg here was built without the codec.
        InputError: there is no such codec, it has no such bit rate, or the encoder refuses the setting.
    """
    if name not in CODECS:
        raise InputError(f"no codec is called {name!r}; there are {', '.join(CODECS)}")
    codec = CODECS[name]
    if bitrate is not None and codec.bitrates is None:
        raise InputError(f"{name} has one bit rate of {codec.bitrate} bit/s, so it takes no other")
    wanted = codec.bitrate if bitrate is None else bitrate
    if codec.bitrates is not None and not codec.bitrates[0] <= wanted <= codec.bitrates[1]:
        low, high = codec.bitrates
        raise InputError(f"{name} takes bit rates from {low} to {high} bit/s, not {wanted}")
    if not available(name):
        raise DependencyError(f"PyAV's FFmpeg was built without {name} ({codec.encoder})")
    if not samples.size:
        return Coded(np.zeros(0, np.float32), 0.0, codec_rate(name, rate))
    own = codec_rate(name, rate)
    inside = resample(Audio(np.asarray(samples, np.float32), rate), own)
    decoded, size = _aligned(inside.samples, own, name, wanted)
    back = resample(Audio(decoded, own), rate).samples
    back = np.pad(back, (0, max(0, samples.size - back.size)))[: samples.size]
    return Coded(back.astype(np.float32), 8 * size / (inside.samples.size / own), own)


def _aligned(samples: np.ndarray, rate: int, name: str, bitrate: int) -> tuple[np.ndarray, float]:
    """Decoded samples without delay, and the encoded bytes that belong to them."""
    delay = _delay(name, rate, bitrate)
    tail = round(LONGEST_DELAY_SECONDS * rate)
    decoded, size = _round_trip(np.pad(samples, (0, tail)), rate, name, bitrate)
    if decoded.size < delay + samples.size:
        raise InputError(f"{name} lost {delay + samples.size - decoded.size} samples of the signal")
    # The padding is silence that costs as much as speech at a constant rate.
    share = samples.size / (samples.size + tail) if CODECS[name].constant else 1.0
    return decoded[delay : delay + samples.size], size * share


@cache
def _delay(name: str, rate: int, bitrate: int) -> int:
    """Samples by which a codec is late at some setting."""
    from scipy.signal import correlate

    generator = np.random.default_rng(0)
    burst = 0.1 * generator.standard_normal(round(PROBE_SECONDS * rate))
    # Low bit rates keep the low band best.
    burst = np.convolve(burst, np.ones(8 * max(1, rate // 16000)) / 4, mode="same")
    longest = round(LONGEST_DELAY_SECONDS * rate)
    probe = np.pad(burst, longest).astype(np.float32)
    decoded, _ = _round_trip(probe, rate, name, bitrate)
    likeness = correlate(decoded, probe, method="fft")[probe.size - 1 :][: longest + 1]
    return int(np.argmax(likeness))


def _round_trip(samples: np.ndarray, rate: int, name: str, bitrate: int) -> tuple[np.ndarray, int]:
    """Decoded samples as they come, and the bytes they were encoded in."""
    import av

    codec = CODECS[name]
    encoder: Any = av.CodecContext.create(codec.encoder, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", codec.sample_format
    encoder.time_base, encoder.thread_count = Fraction(1, rate), 1
    encoder.options = dict(codec.options)
    if codec.bitrates is not None:
        encoder.bit_rate = bitrate
    frame = av.AudioFrame.from_ndarray(
        np.clip(samples, -1.0, 1.0).astype(np.float32)[None], format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    try:
        encoder.open()
        packets = encoder.encode(frame) + encoder.encode(None)
        decoder: Any = av.CodecContext.create(codec.decoder, "r")
        decoder.thread_count = 1
        if encoder.extradata:
            decoder.extradata = encoder.extradata
        decoder.sample_rate, decoder.layout = rate, "mono"
        parts = [_mono(part) for packet in [*packets, None] for part in decoder.decode(packet)]
    except av.FFmpegError as error:
        raise InputError(f"{name} cannot code at {rate} Hz and {bitrate} bit/s ({error})") from None
    return np.concatenate(parts), sum(packet.size for packet in packets)


def _mono(frame: Any) -> np.ndarray:
    """First channel of a decoded frame as float32."""
    channels = len(frame.layout.channels)
    samples = frame.to_ndarray()
    first = samples[0] if frame.format.is_planar else samples.reshape(-1)[::channels]
    if first.dtype == np.int16:
        return (first / 32768).astype(np.float32)
    return np.asarray(first, dtype=np.float32)
