"""Reading and writing of audio and video files, and the hash of their content.

Audio goes through soundfile and soxr, video through PyAV. What is scored is lossless: FLAC for audio, FFV1 RGB in
Matroska for video; :func:`write_preview` makes an H.264 file for people, which is never scored.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.errors import MediaError


@dataclass(frozen=True, slots=True)
class Audio:
    """A mono signal: ``samples`` float32 of shape (n,), nominal range -1 to 1, at ``rate`` per second."""

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples.size / self.rate


@dataclass(frozen=True, slots=True)
class Video:
    """Frames uint8 of shape (t, height, width, 3) in RGB, at ``fps`` per second, with sound or without."""

    frames: np.ndarray
    fps: float
    audio: Audio | None = None


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the bytes of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resample(audio: Audio, rate: int) -> Audio:
    """Resample with soxr at its highest quality; the same object when the rate is right already."""
    if audio.rate == rate:
        return audio
    import soxr

    samples = soxr.resample(audio.samples, audio.rate, rate, quality="VHQ")
    return Audio(np.asarray(samples, dtype=np.float32), rate)


def read_audio(
    path: str | os.PathLike[str],
    *,
    rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Audio:
    """Read an audio file, mixed down to mono.

    Args:
        path: any format that libsndfile reads (WAV, FLAC, OGG, MP3 ...); the sound of a video file is read
            by :func:`read_video`.
        rate: wanted samples per second; the file's own when None.
        start: first second; the beginning of the file when None.
        end: last second; the end of the file when None.

    Raises:
        MediaError: ``missing`` when there is no such file, ``unreadable`` when it is empty or no audio file or
            shorter than it claims, ``not_finite`` when samples are NaN or infinite.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise MediaError("missing", f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise MediaError("unreadable", f"{path}: the file is empty (0 bytes)")
    try:
        with soundfile.SoundFile(path) as file:
            first = 0 if start is None else round(start * file.samplerate)
            last = file.frames if end is None else min(file.frames, round(end * file.samplerate))
            if first >= last:
                raise MediaError(
                    "unreadable",
                    f"{path}: no samples between {start} and {end} s of {file.frames / file.samplerate:.2f} s",
                )
            file.seek(first)
            samples = file.read(last - first, dtype="float32", always_2d=True)
            file_rate = file.samplerate
    except soundfile.LibsndfileError as error:
        raise MediaError("unreadable", f"{path}: not an audio file that can be read ({error})") from None
    if len(samples) < last - first:
        raise MediaError(
            "unreadable", f"{path}: truncated, {len(samples)} samples instead of {last - first}"
        )
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise MediaError("not_finite", f"{path}: the file has samples that are NaN or infinite")
    audio = Audio(np.ascontiguousarray(mono), file_rate)
    return audio if rate is None else resample(audio, rate)


def write_audio(path: str | os.PathLike[str], audio: Audio) -> None:
    """Write a mono signal as 16-bit FLAC or WAV (by the file's suffix), atomically.

    A signal that peaks above full scale is scaled down as a whole, never clipped.

    Raises:
        MediaError: ``not_finite`` when samples are NaN or infinite.
    """
    import soundfile

    path = Path(path)
    samples = np.asarray(audio.samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise MediaError("not_finite", f"{path}: refused to write samples that are NaN or infinite")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 0.999:
        samples = samples * (0.999 / peak)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    kind = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
    soundfile.write(partial, samples, audio.rate, format=kind, subtype="PCM_16")
    os.replace(partial, path)
