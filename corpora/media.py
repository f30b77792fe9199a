"""Reading and writing of audio and video files, and the hash of their content.

Audio goes through soundfile and soxr, video through PyAV. What is scored is lossless: FLAC for audio, FFV1
RGB in Matroska for video; :func:`write_preview` makes an H.264 file for people, which is never scored.
"""

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from doppelbench.corpora.errors import InputError, MediaError

# Peak after scaling down a signal that exceeds full scale.
HEADROOM = 0.999
# A RIFF data size from here on is what programs write into a pipe, where the length is not known.
UNKNOWN_RIFF_SIZE = 0x7FFFF000
# What libsndfile refuses of these is broken; FFmpeg would guess at the content.
LIBSNDFILE_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".aif", ".aiff", ".au"})
# FFmpeg takes any text for a terminal recording and any bytes with the right suffix for raw samples.
GUESSED_FORMATS = frozenset({"tty", "rawvideo", "data"})
# FFmpeg counts durations and positions in these.
MICROSECONDS = 1_000_000
# Decoding begins this much before a wanted start, so that codecs with overlapping frames have settled.
PREROLL_SECONDS = 1.0
# Timestamps that ask for more silence, or for a frame to stand still for longer, are broken.
LONGEST_GAP_SECONDS = 60.0
# Sound and pictures that begin closer together than this are simultaneous (Matroska counts milliseconds).
SYNC_TOLERANCE = 0.0015
# Leaves random identifiers out of the container, so that equal videos give equal files.
REPRODUCIBLE = {"fflags": "+bitexact"}
# A file that ends this much before the duration in its header was cut off.
TRUNCATION_SECONDS = 0.5


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


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file says of itself, without decoding it.

    Attributes:
        kind: ``audio`` or ``video``.
        seconds: duration as the header states it; some containers (MPEG-PS) only let it be estimated, to
            within two frames.
        rate: audio samples per second, or None without sound.
        fps: frames per second, or None without pictures.
        size: width and height in pixels, or None without pictures.
    """

    kind: Literal["audio", "video"]
    seconds: float
    rate: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None


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


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """Return kind, duration, rate, frame rate and size of an audio or video file from its header.

    Raises:
        MediaError: ``missing`` or ``unreadable``.
    """
    import soundfile

    path = existing_file(path)
    try:
        info = soundfile.info(str(path))
        return MediaInfo("audio", info.frames / info.samplerate, info.samplerate)
    except (soundfile.SoundFileError, TypeError) as error:
        if path.suffix.lower() in LIBSNDFILE_SUFFIXES:
            raise MediaError("unreadable", f"{path}: not an audio file that can be read ({error})") from None
    with _opened(path) as container:
        sounds = _sound_streams(container)
        rate = (sounds[0].rate or None) if sounds else None
        seconds = (container.duration or 0) / MICROSECONDS
        pictures = _picture_streams(container)
        if not pictures:
            if rate is None:
                raise MediaError("unreadable", f"{path}: the file holds neither sound nor pictures")
            return MediaInfo("audio", seconds, rate)
        stream = pictures[0]
        if stream.width < 1 or stream.height < 1:
            raise MediaError("unreadable", f"{path}: the file does not say the size of its pictures")
        return MediaInfo("video", seconds, rate, _frame_rate(stream, path), (stream.width, stream.height))


def read_audio(
    path: str | os.PathLike[str],
    *,
    rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Audio:
    """Read an audio file, or the sound of a video file, mixed down to mono.

    Args:
        path: any format that libsndfile reads (WAV, FLAC, OGG, MP3 ...), or else FFmpeg.
        rate: wanted samples per second; the file's own when None.
        start: first second; the beginning of the file when None.
        end: last second; the end of the file when None.

    Raises:
        MediaError: ``missing`` when there is no such file, ``unreadable`` when it is empty, no audio file or
            shorter than it claims, ``not_finite`` when samples are NaN or infinite.
    """
    import soundfile

    path = existing_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            audio = _read_soundfile(file, path, start, end)
    except (soundfile.SoundFileError, TypeError) as error:
        if path.suffix.lower() in LIBSNDFILE_SUFFIXES:
            raise MediaError("unreadable", f"{path}: not an audio file that can be read ({error})") from None
        audio = _read_container_audio(path, start, end)
    if not np.isfinite(audio.samples).all():
        raise MediaError("not_finite", f"{path}: the file has samples that are NaN or infinite")
    return audio if rate is None else resample(audio, rate)


def write_audio(path: str | os.PathLike[str], audio: Audio, *, comment: str = "") -> None:
    """Write a mono signal as 16-bit FLAC or WAV (by the file's suffix), atomically.

    A signal that peaks above full scale is scaled down as a whole, never clipped.

    Args:
        path: of the file.
        audio: the signal.
        comment: metadata that players show; the samples are the same with and without.

    Raises:
        InputError: when the suffix is neither .flac nor .wav.
        MediaError: ``not_finite`` when samples are NaN or infinite.
    """
    import soundfile

    path = Path(path)
    kind = {".flac": "FLAC", ".wav": "WAV"}.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: audio is written as .flac or .wav, not {path.suffix or 'without a suffix'}"
        )
    samples = _within_full_scale(audio, path)
    with (
        _atomic(path) as partial,
        soundfile.SoundFile(partial, "w", audio.rate, 1, "PCM_16", format=kind) as file,
    ):
        if comment:
            file.comment = comment
        file.write(_sixteen_bit(samples))


def read_video(
    path: str | os.PathLike[str],
    *,
    audio: bool = True,
    start: float | None = None,
    end: float | None = None,
) -> Video:
    """Read the frames of a video file and its sound, mixed down to mono.

    Frames come at the constant rate of the stream: where a recording dropped or doubled frames they are
    repeated or left out by their timestamps, so that pictures stay with the sound. The sound is aligned to
    the first frame (padded with zeros or cut at its beginning) and keeps its own length.

    Args:
        path: any container and codec that FFmpeg reads.
        audio: also read the sound, if there is any.
        start: first second, counted from the first frame; the beginning when None.
        end: last second; the end of the file when None.

    Raises:
        MediaError: ``missing``; ``unreadable`` when the file is empty, is no video, or breaks off before the
            duration in its header; ``not_finite`` for sound that is NaN or infinite.
    """
    path = existing_file(path)
    _check_span(path, start, end)
    times, pictures = [], []
    with _opened(path) as container:
        streams = _picture_streams(container)
        if not streams:
            raise MediaError("unreadable", f"{path}: the file holds no pictures")
        stream = streams[0]
        fps = _frame_rate(stream, path)
        half = 0.5 / fps
        for time, frame in _frames(container, stream, start, end):
            if (start or 0.0) - half <= time and (end is None or time < end - half):
                times.append(time)
                pictures.append(frame.to_ndarray(format="rgb24"))
                if pictures[-1].shape != pictures[0].shape:
                    raise MediaError(
                        "unreadable", f"{path}: the size of the pictures changes at {time:.2f} s"
                    )
        with_sound = audio and bool(_sound_streams(container))
    if not pictures:
        raise MediaError("unreadable", f"{path}: no frames between {start or 0} and {end or 'the end'} s")
    sound = _decode_sound(path, start, end) if with_sound else None
    if end is None:
        _check_complete(path)
    frames = np.stack([pictures[index] for index in _constant_rate(path, np.array(times), fps)])
    if sound is None:
        return Video(frames, fps)
    track = sound.cut(start or 0.0, end)
    if not np.isfinite(track.samples).all():
        raise MediaError("not_finite", f"{path}: the sound has samples that are NaN or infinite")
    return Video(frames, fps, track)


def write_video(path: str | os.PathLike[str], video: Video, *, comment: str = "") -> None:
    """Write a video without loss: FFV1 in RGB (RFC 9043) and 16-bit FLAC in Matroska, atomically.

    The frames read back are the frames written, bit for bit; the sound is stored as by :func:`write_audio`.
    ``comment`` is metadata that players show.

    Raises:
        InputError: when the suffix is not .mkv or the frames are not uint8 RGB.
        MediaError: ``too_short`` without frames, ``not_finite`` for samples that are NaN or infinite.
    """
    path = Path(path)
    if path.suffix.lower() != ".mkv":
        raise InputError(
            f"{path}: lossless video is written as .mkv, not {path.suffix or 'without a suffix'}"
        )
    options = {"level": "3", "slicecrc": "1", "g": "1"}
    _encode(path, video, "matroska", ("ffv1", "bgr0", options), ("flac", "s16"), comment)


def write_preview(path: str | os.PathLike[str], video: Video, *, comment: str = "") -> None:
    """Write an H.264 and AAC mp4 for people to look at, atomically; it is never scored.

    H.264 with subsampled colour needs even sizes: the last row or column is repeated where one is missing.
    ``comment`` is metadata that players show.

    Raises:
        InputError: when the suffix is not .mp4 or the frames are not uint8 RGB.
        MediaError: ``too_short`` without frames, ``not_finite`` for samples that are NaN or infinite.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise InputError(f"{path}: a preview is written as .mp4, not {path.suffix or 'without a suffix'}")
    _check_frames(path, video)
    height, width = video.frames.shape[1:3]
    frames = np.pad(video.frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    even = Video(frames, video.fps, video.audio)
    picture = ("libx264", "yuv420p", {"crf": "18", "preset": "fast"})
    _encode(path, even, "mp4", picture, ("aac", "fltp"), comment)


@dataclass(frozen=True, slots=True)
class _Sound:
    """Decoded sound: ``start`` is the time of the first sample in seconds from the first frame."""

    samples: np.ndarray
    rate: int
    start: float

    def cut(self, begin: float, end: float | None) -> Audio:
        """Return the part from ``begin`` to ``end``, zeros where the sound has not begun yet."""
        offset = begin - self.start
        skip = 0 if abs(offset) < SYNC_TOLERANCE else round(offset * self.rate)
        samples = np.pad(self.samples, (max(0, -skip), 0))[max(0, skip) :]
        if end is not None:
            samples = samples[: round((end - begin) * self.rate)]
        return Audio(np.ascontiguousarray(samples), self.rate)


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that is there and not empty.

    Raises:
        MediaError: ``missing`` or ``unreadable``.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError("missing", f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise MediaError("unreadable", f"{path}: the file is empty (0 bytes)")
    return path


def _check_span(path: Path, start: float | None, end: float | None) -> None:
    if (start is not None and start < 0) or (end is not None and end <= (start or 0.0)):
        raise MediaError("unreadable", f"{path}: there is nothing between {start or 0} and {end} s")


def _read_soundfile(file: Any, path: Path, start: float | None, end: float | None) -> Audio:
    """Read a part of an open SoundFile and hold its length against the header."""
    _check_span(path, start, end)
    missing = _missing_wav_bytes(path)
    if missing:
        raise MediaError("unreadable", f"{path}: truncated, {missing} bytes less than its header claims")
    first = 0 if start is None else round(start * file.samplerate)
    last = file.frames if end is None else min(file.frames, round(end * file.samplerate))
    if first >= last:
        seconds = file.frames / file.samplerate
        raise MediaError("unreadable", f"{path}: no samples between {start} and {end} s of {seconds:.2f} s")
    try:
        file.seek(first)
        samples = file.read(last - first, dtype="float32", always_2d=True)
    except MemoryError:
        raise MediaError("unreadable", f"{path}: the header claims {file.frames} samples, too many") from None
    if len(samples) < last - first:
        raise MediaError("unreadable", f"{path}: truncated, {len(samples)} samples instead of {last - first}")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return Audio(np.ascontiguousarray(mono), file.samplerate)


def _missing_wav_bytes(path: Path) -> int:
    """Bytes by which the data chunk of a RIFF WAV exceeds the file; libsndfile says nothing of it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        header = file.read(12)
        if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                held = size - file.tell()
                return 0 if length >= UNKNOWN_RIFF_SIZE else max(0, length - held)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _within_full_scale(audio: Audio, path: Path) -> np.ndarray:
    samples = np.asarray(audio.samples, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise MediaError("not_finite", f"{path}: refused to write samples that are NaN or infinite")
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(HEADROOM / peak) if peak > HEADROOM else samples


def _sixteen_bit(samples: np.ndarray) -> np.ndarray:
    """Round to 16 bits; libsndfile rounds for FLAC but rounds down for WAV."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of ``path`` only when everything was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a container for reading; everything FFmpeg objects to becomes a MediaError."""
    import av

    try:
        with av.open(str(path)) as container:
            if container.format.name in GUESSED_FORMATS:
                raise MediaError("unreadable", f"{path}: not a media file")
            yield container
    except MediaError:
        raise
    except (av.FFmpegError, ValueError, IndexError, MemoryError) as error:
        raise MediaError("unreadable", f"{path}: not a media file that can be read ({error})") from None


def _picture_streams(container: Any) -> list[Any]:
    """Video streams that can be decoded, but for the cover pictures of sound files."""
    from av.stream import Disposition

    cover = Disposition.attached_pic
    return [item for item in container.streams.video if item.codec_context and not item.disposition & cover]


def _sound_streams(container: Any) -> list[Any]:
    return [item for item in container.streams.audio if item.codec_context]


def _frame_rate(stream: Any, path: Path) -> float:
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise MediaError("unreadable", f"{path}: the file does not say its frame rate")
    return float(rate)


def _read_container_audio(path: Path, start: float | None, end: float | None) -> Audio:
    _check_span(path, start, end)
    sound = _decode_sound(path, start, end)
    if end is None:
        _check_complete(path)
    audio = None if sound is None else sound.cut(start or 0.0, end)
    if audio is None or audio.samples.size == 0:
        raise MediaError("unreadable", f"{path}: no samples between {start or 0} and {end or 'the end'} s")
    return audio


def _check_complete(path: Path) -> None:
    """Raise when the packets of all streams end well before the duration that the header states."""
    with _opened(path) as container:
        duration = (container.duration or 0) / MICROSECONDS
        last = 0.0
        for packet in container.demux():
            if packet.pts is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        last -= (container.start_time or 0) / MICROSECONDS
    if last < duration - TRUNCATION_SECONDS:
        raise MediaError("unreadable", f"{path}: truncated, ends at {last:.2f} s of {duration:.2f} s")


def _frames(
    container: Any, stream: Any, start: float | None, end: float | None
) -> Iterator[tuple[float, Any]]:
    """Yield decoded frames of one stream with their times, from at most ``start`` to at least ``end``.

    Times count from the first picture, or from the first sample of a file without pictures.
    """
    pictures = _picture_streams(container)
    clock = pictures[0] if pictures else stream
    origin = float((clock.start_time or 0) * clock.time_base)
    stream.codec_context.thread_count = 1
    # In Matroska a millisecond is the unit of time: after a jump the samples could not be counted exactly.
    exact = stream.type == "video" or stream.time_base * stream.rate <= 1
    jump = exact and start is not None and start > PREROLL_SECONDS
    if start is not None and jump:
        container.seek(int((origin + start - PREROLL_SECONDS) * MICROSECONDS), backward=True)
    time = 0.0
    for frame in _decoded(container, stream, settling=jump):
        time = time if frame.time is None else frame.time - origin
        if end is not None and time >= end:
            return
        yield time, frame
        is_sound = stream.type == "audio"
        time += frame.samples / frame.sample_rate if is_sound else 1 / float(stream.guessed_rate)


def _decoded(container: Any, stream: Any, *, settling: bool) -> Iterator[Any]:
    """Decode one stream; ``settling`` forgives broken packets before the first frame, as after a jump."""
    import av

    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if settling:
                continue
            raise
        settling = settling and not frames
        yield from frames


def _decode_sound(path: Path, start: float | None, end: float | None) -> _Sound | None:
    """Decode at least the sound between two times, averaged over the channels; None when there is none."""
    import av

    blocks: list[np.ndarray] = []
    resampler = None
    with _opened(path) as container:
        streams = _sound_streams(container)
        if not streams:
            raise MediaError("unreadable", f"{path}: the file holds no sound that can be decoded")
        for time, frame in _frames(container, streams[0], start, end):
            if resampler is None:
                rate, begin = frame.sample_rate, time
                resampler = av.AudioResampler(format="fltp", layout=frame.layout.name, rate=rate)
            blocks.extend(part.to_ndarray().mean(axis=0) for part in resampler.resample(frame))
        if resampler is None:
            return None
        blocks.extend(part.to_ndarray().mean(axis=0) for part in resampler.resample(None))
    if begin - (start or 0.0) > LONGEST_GAP_SECONDS:
        raise MediaError("unreadable", f"{path}: broken timestamps, the sound begins at {begin:.0f} s")
    return _Sound(np.concatenate(blocks).astype(np.float32), rate, begin)


def _constant_rate(path: Path, times: np.ndarray, fps: float) -> np.ndarray:
    """Indices of the frames to show at a constant rate: the one nearest in time to each tick.

    Steady streams, whose times stray less than a frame from the ticks, are left alone.
    """
    gaps = np.diff(times, prepend=times[0])
    if gaps.min() < 0 or gaps.max() > LONGEST_GAP_SECONDS:
        raise MediaError("unreadable", f"{path}: broken timestamps, frames run backwards or stand still")
    ticks = times[0] + np.arange(len(times)) / fps
    if np.abs(times - ticks).max() < 1 / fps:
        return np.arange(len(times))
    ticks = times[0] + np.arange(round((times[-1] - times[0]) * fps) + 1) / fps
    return np.searchsorted((times[1:] + times[:-1]) / 2, ticks)


def _check_frames(path: Path, video: Video) -> None:
    frames = video.frames
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(
            f"{path}: frames are uint8 of shape (t, height, width, 3), not {frames.dtype} of {frames.shape}"
        )
    if frames.size == 0:
        raise MediaError("too_short", f"{path}: refused to write a video without frames")


def _encode(
    path: Path,
    video: Video,
    container: str,
    picture: tuple[str, str, dict[str, str]],
    sound: tuple[str, str],
    comment: str,
) -> None:
    """Encode a video: ``picture`` is codec, pixel format and options, ``sound`` codec and sample format."""
    import av

    _check_frames(path, video)
    samples = None if video.audio is None else _within_full_scale(video.audio, path)
    with (
        _atomic(path) as partial,
        av.open(str(partial), "w", format=container, options=REPRODUCIBLE) as output,
    ):
        if comment:
            output.metadata["comment"] = comment
        codec, pixels, options = picture
        stream: Any = output.add_stream(
            codec, rate=Fraction(video.fps).limit_denominator(1001), options=options
        )
        stream.height, stream.width = video.frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        waiting = deque[Any]()
        if video.audio is not None and samples is not None and samples.size:
            track: Any = output.add_stream(sound[0], rate=video.audio.rate, layout="mono", format=sound[1])
            frame = av.AudioFrame.from_ndarray(_sixteen_bit(samples)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = video.audio.rate, 0, Fraction(1, video.audio.rate)
            waiting.extend(track.encode(frame) + track.encode(None))
        for index, image in enumerate(video.frames):
            # Players want sound and pictures of one moment side by side in the file.
            while waiting and float(waiting[0].pts * waiting[0].time_base) * video.fps <= index:
                output.mux(waiting.popleft())
            picture_frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            output.mux(stream.encode(picture_frame))
        output.mux(stream.encode(None))
        output.mux(list(waiting))
