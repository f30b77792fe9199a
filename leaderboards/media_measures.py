"""What can be said of one output of a stranger: format, duration, faults, likeness to known recordings.

Runs in a guarded process (:mod:`doppelbench.leaderboards.guarded_child`), because it decodes. What is decoded
is narrowed first: FLAC by libsndfile, or Matroska with one of a few codecs by FFmpeg, whose guessing of
formats (a text may be a list of further files to open) is never reached.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.level import SILENCE_DB, active_level
from doppelbench.corpora.media import (
    Audio,
    Video,
    probe,
    read_audio,
    read_video,
    resample,
    write_preview,
    write_video,
)
from doppelbench.leaderboards.waveform_match import RATE, waveform_match

FLAC_MAGIC = b"fLaC"
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
VIDEO_CODECS = frozenset(
    {"ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "h264", "hevc", "vp8", "vp9", "av1"}
)
LOSSLESS_CODECS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo"})
SOUND_CODECS = frozenset(
    {"flac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "aac", "opus", "vorbis", "mp3"}
)
# Decoders that stand for a codec under another name.
CODEC_NAMES = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libopus": "opus", "libvorbis": "vorbis"}
MOST_STREAMS = 4
# What players show of a submitted output that was written anew.
LABEL = "doppelbench: synthetic, an output that was submitted; not a recording"
MOST_CHANNELS = 8
RATES = (8000, 192_000)
SHORTEST_SECONDS = 0.05
FULL_SCALE = 32767 / 32768
# So many samples in a row at full scale are heard as clipping.
CLIPPED_RUN = 3
# Films are compared with so many frames of shift.
SHIFTS = range(-3, 4)


def measure_output(
    *,
    path: str,
    film: bool,
    most_seconds: float,
    most_values: int,
    compare: Sequence[Mapping[str, Any]] = (),
    write: str | None = None,
) -> dict[str, Any]:
    """Decode an output once and say everything that a check asks of it.

    Args:
        path: of the output, ``.flac`` or ``.mkv``.
        film: whether it should be a film.
        most_seconds: what claims to be longer is not decoded.
        most_values: what claims more samples or pixels, over all channels and frames, is not decoded.
        compare: trusted recordings as ``role``, ``path``, ``start``, ``end``.
        write: where the decoded content is written anew, lossless, with a label and nothing else of the file;
            None does not write.

    Returns:
        What JSON can hold; ``likeness`` has a correlation or, for films, a PSNR in dB by role.

    Raises:
        MediaError: with the status of an item that cannot be used.
    """
    place = Path(path)
    if film:
        return _measure_film(place, most_seconds, most_values, compare, write)
    return _measure_sound(place, most_seconds, most_values, compare, write)


def _measure_sound(
    path: Path, most_seconds: float, most_values: int, compare: Sequence[Mapping[str, Any]], write: str | None
) -> dict[str, Any]:
    import soundfile

    with path.open("rb") as file:
        magic = file.read(4)
    if not magic:
        raise MediaError("unreadable", "the file is empty (0 bytes)")
    if magic != FLAC_MAGIC:
        raise MediaError("unreadable", f"not a FLAC file; it begins with {magic!r}")
    try:
        info = soundfile.info(str(path))
    except soundfile.SoundFileError as error:
        raise MediaError("unreadable", f"not a FLAC file that can be read ({error})") from None
    _check_claims(info.frames / info.samplerate, most_seconds, info.frames * info.channels, most_values)
    _check_rate(info.samplerate, info.channels)
    try:
        audio = read_audio(path)
    except MediaError as error:
        raise MediaError(error.status, f"the file is cut off or damaged ({error.reason})") from None
    facts = {"format": "flac", "subtype": info.subtype, "channels": info.channels, **_sound_facts(audio)}
    if write is not None:
        _write_sound(Path(write), audio)
    facts["likeness"] = {
        str(known["role"]): _sound_likeness(audio, known) for known in compare if known["path"] is not None
    }
    return facts


def _check_claims(seconds: float, most_seconds: float, values: float, most_values: int) -> None:
    if not 0 <= seconds <= most_seconds:
        raise MediaError("unreadable", f"it claims {seconds:.4g} s; at most {most_seconds:g} s are decoded")
    if values > most_values:
        raise MediaError(
            "unreadable", f"it claims {values:.3g} samples or pixels; at most {most_values:.3g} are decoded"
        )


def _check_rate(rate: int, channels: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError("rate_mismatch", f"{rate} samples a second; {RATES[0]} to {RATES[1]} are read")
    if channels > MOST_CHANNELS:
        raise MediaError("unreadable", f"{channels} channels; at most {MOST_CHANNELS} are read")


def _sound_facts(audio: Audio) -> dict[str, Any]:
    if audio.seconds < SHORTEST_SECONDS:
        raise MediaError("too_short", f"{audio.seconds:.3f} s of sound")
    samples = audio.samples
    loud = np.abs(samples) >= FULL_SCALE
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return {
        "rate": audio.rate,
        "seconds": audio.seconds,
        "silent": bool(active_level(samples, audio.rate) < SILENCE_DB),
        "zeros": float(np.mean(samples == 0)),
        "clipped_runs": int((runs >= CLIPPED_RUN).sum()),
        "clipped": float(runs[runs >= CLIPPED_RUN].sum() / samples.size),
        "sound_hash": _sound_hash(audio),
    }


def _sixteen_bit(audio: Audio) -> np.ndarray:
    """The samples of a 16-bit file as they were; others rounded."""
    return np.clip(np.rint(audio.samples * 32768.0), -32768, 32767).astype(np.int16)


def _sound_hash(audio: Audio) -> str:
    return hashlib.sha256(audio.rate.to_bytes(4, "big") + _sixteen_bit(audio).tobytes()).hexdigest()


def _write_sound(path: Path, audio: Audio) -> None:
    """Write without scaling, so that the samples that are scored are those that were submitted."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", audio.rate, 1, "PCM_16", format="FLAC") as file:
        file.comment = LABEL
        file.write(_sixteen_bit(audio))


def _sound_likeness(audio: Audio, known: Mapping[str, Any]) -> float:
    other = read_audio(known["path"], start=known["start"], end=known["end"])
    first, second = resample(audio, RATE).samples, resample(other, RATE).samples
    return round(waveform_match(first, second), 4)


def _measure_film(
    path: Path, most_seconds: float, most_values: int, compare: Sequence[Mapping[str, Any]], write: str | None
) -> dict[str, Any]:
    picture, sound = _matroska_codecs(path)
    info = probe(path)
    if info.kind != "video" or info.size is None or info.fps is None:
        raise MediaError("unreadable", "the file holds no pictures")
    pixels = info.seconds * info.fps * info.size[0] * info.size[1]
    _check_claims(info.seconds, most_seconds, pixels, most_values)
    if info.rate is not None:
        _check_rate(info.rate, 1)
    film = read_video(path)
    facts: dict[str, Any] = {
        "format": "matroska",
        "codec": picture,
        "lossless": picture in LOSSLESS_CODECS,
        "sound_codec": sound,
        "width": film.frames.shape[2],
        "height": film.frames.shape[1],
        "fps": film.fps,
        "frames": len(film.frames),
        "still": bool(len(film.frames) > 1 and (film.frames == film.frames[0]).all()),
        "picture_hash": hashlib.sha256(str(film.frames.shape).encode() + film.frames.tobytes()).hexdigest(),
        "has_sound": film.audio is not None,
    }
    facts |= {"rate": None, "seconds": len(film.frames) / film.fps, "sound_hash": None}
    if film.audio is not None:
        facts |= {**_sound_facts(film.audio), "seconds": facts["seconds"]}
    if write is not None:
        target = Path(write)
        write_preview(target.with_suffix(".mp4"), film, comment=LABEL)
        write_video(target, film, comment=LABEL)
    facts["likeness"] = {
        str(known["role"]): _film_likeness(film, known) for known in compare if known["path"] is not None
    }
    return facts


def _matroska_codecs(path: Path) -> tuple[str, str | None]:
    """Codecs of pictures and sound, after the container has been recognised by its own header."""
    import av

    with path.open("rb") as file:
        header = file.read(4096)
    if not header:
        raise MediaError("unreadable", "the file is empty (0 bytes)")
    if not is_matroska(header):
        raise MediaError("unreadable", f"not a Matroska file; it begins with {header[:4]!r}")
    try:
        with av.open(str(path), format="matroska") as container:
            if len(container.streams) > MOST_STREAMS:
                raise MediaError("unreadable", f"{len(container.streams)} streams; two are expected")
            pictures = [_codec(stream) for stream in container.streams.video]
            sounds = [_codec(stream) for stream in container.streams.audio]
    except av.FFmpegError as error:
        raise MediaError("unreadable", f"not a Matroska file that can be read ({error.strerror})") from None
    if not pictures:
        raise MediaError("unreadable", "the file holds no pictures")
    for name, known in ((pictures[0], VIDEO_CODECS), *((sound, SOUND_CODECS) for sound in sounds[:1])):
        if name not in known:
            raise MediaError("unreadable", f"the codec {name} is not decoded; FFV1 and FLAC are expected")
    return pictures[0], sounds[0] if sounds else None


def _codec(stream: Any) -> str:
    name = str(stream.codec_context.name) if stream.codec_context else "(unknown)"
    return CODEC_NAMES.get(name, name)


def is_matroska(header: bytes) -> bool:
    """Whether bytes begin with an EBML header that names Matroska or WebM.

    FFmpeg is then certain of the format and tries no other.
    """
    if len(header) < 6 or header[:4] != EBML_MAGIC or not header[4]:
        return False
    width = 9 - header[4].bit_length()
    size = int.from_bytes(header[4 : 4 + width], "big") & ((1 << (7 * width)) - 1)
    body = header[4 + width : 4 + width + size]
    return len(body) == size and (b"matroska" in body or b"webm" in body)


def _film_likeness(film: Video, known: Mapping[str, Any]) -> float:
    """Largest PSNR in dB of the luminance over some shifts; 0 for films of another size."""
    other = read_video(known["path"], audio=False, start=known["start"], end=known["end"])
    if film.frames.shape[1:] != other.frames.shape[1:]:
        return 0.0
    first, second = (frames.mean(axis=3, dtype=np.float32) for frames in (film.frames, other.frames))
    best = 0.0
    for shift in SHIFTS:
        x, y = first[max(0, shift) :], second[max(0, -shift) :]
        length = min(len(x), len(y))
        if length < 0.5 * min(len(first), len(second)):
            continue
        error = float(np.mean(np.square(x[:length] - y[:length])))
        best = max(best, 99.0 if error == 0 else min(99.0, 10 * np.log10(255**2 / error)))
    return round(best, 2)
