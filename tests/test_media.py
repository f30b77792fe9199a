import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import (
    Audio,
    Video,
    probe,
    read_audio,
    read_video,
    resample,
    write_audio,
    write_preview,
    write_video,
)

RATE = 16000


def noise(count: int = RATE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, count).astype(np.float32)


def tone(seconds: float, rate: int = RATE) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    return Audio((0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate)


def moving_picture(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames that differ from each other and compress without much loss."""
    rows, columns = np.mgrid[:height, :width]
    frames = [
        np.stack([rows * 3, columns * 3, 0 * rows + 255 * index // count], -1) for index in range(count)
    ]
    return np.stack(frames).astype(np.uint8)


@contextlib.contextmanager
def media_error(status: str, path: Path | None = None):
    with pytest.raises(MediaError) as caught:
        yield caught
    assert caught.value.status == status
    assert path is None or str(path) in str(caught.value)


def cut_short(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_audio_comes_back_to_half_a_step_of_16_bits(tmp_path, suffix):
    samples = noise()
    write_audio(tmp_path / f"a{suffix}", Audio(samples, RATE))
    back = read_audio(tmp_path / f"a{suffix}")
    assert back.rate == RATE
    assert back.samples.dtype == np.float32
    assert np.abs(back.samples - samples).max() <= 0.5001 / 32768


def test_too_loud_audio_is_scaled_not_clipped(tmp_path):
    samples = 4 * noise()
    write_audio(tmp_path / "a.flac", Audio(samples, RATE))
    back = read_audio(tmp_path / "a.flac").samples
    assert np.abs(back).max() == pytest.approx(0.999, abs=1e-4)
    assert np.corrcoef(back, samples)[0, 1] > 0.999999


def test_audio_is_written_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.flac"
    write_audio(path, Audio(noise(), RATE))
    before = path.read_bytes()
    with media_error("not_finite"):
        write_audio(path, Audio(np.array([0, np.nan], np.float32), RATE))
    with pytest.raises(Exception, match=r"(?i)channels|error"):
        write_audio(path, Audio(np.zeros((3, 5000), np.float32), RATE))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.flac"]


def test_audio_in_another_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.flac or \.wav"):
        write_audio(tmp_path / "a.mp3", Audio(noise(), RATE))


def test_stereo_is_averaged(tmp_path):
    left, right = noise(seed=1), noise(seed=2)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_a_tone_keeps_its_shape_when_resampled(tmp_path, rate):
    write_audio(tmp_path / "a.wav", tone(1.0, rate))
    back = read_audio(tmp_path / "a.wav", rate=RATE)
    assert back.rate == RATE
    assert back.samples.size == RATE
    inner = slice(800, -800)
    np.testing.assert_allclose(back.samples[inner], tone(1.0).samples[inner], atol=1e-3)


def test_audio_at_the_right_rate_is_passed_through():
    audio = tone(0.1)
    assert resample(audio, RATE) is audio


def test_a_part_of_the_audio_is_the_part_of_the_whole(tmp_path):
    write_audio(tmp_path / "a.flac", Audio(noise(), RATE))
    whole = read_audio(tmp_path / "a.flac").samples
    part = read_audio(tmp_path / "a.flac", start=0.25, end=0.5).samples
    np.testing.assert_array_equal(part, whole[4000:8000])
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac", start=0.9, end=7).samples, whole[14400:])


@pytest.mark.parametrize(("start", "end"), [(1.0, None), (0.5, 0.5), (0.6, 0.2), (-0.5, 0.5)])
@pytest.mark.parametrize("name", ["a.flac", "a.mkv"])
def test_an_empty_or_negative_span_is_unreadable(tmp_path, start, end, name):
    path = tmp_path / name
    if name == "a.mkv":
        write_video(path, Video(moving_picture(25), 25, tone(1.0)))
        with media_error("unreadable", path):
            read_video(path, start=start, end=end)
    else:
        write_audio(path, tone(1.0))
    with media_error("unreadable", path):
        read_audio(path, start=start, end=end)


@pytest.mark.parametrize("read", [read_audio, read_video, probe])
def test_a_missing_file_is_missing(tmp_path, read):
    with media_error("missing", tmp_path / "a.wav"):
        read(tmp_path / "a.wav")
    with media_error("missing", tmp_path):
        read(tmp_path)


@pytest.mark.parametrize("read", [read_audio, read_video, probe])
@pytest.mark.parametrize(
    "name", ["a.wav", "a.flac", "a.mp3", "a.mp4", "a.mkv", "a.mpg", "a.txt", "a.raw", "a"]
)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a recording\n" * 50,
        bytes(5000),
        np.random.default_rng(0).bytes(20000),
        b"RIFF\x10\0\0\0WAVE",
    ],
    ids=["empty", "text", "zeros", "random", "header"],
)
def test_what_is_no_media_file_is_unreadable(tmp_path, read, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with media_error("unreadable", path):
        read(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_truncated_audio_is_unreadable(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(3 * RATE), RATE)
    assert read_audio(path).samples.size == 3 * RATE
    with media_error("unreadable", path):
        read_audio(cut_short(path, share))


def test_a_part_before_the_cut_of_a_truncated_wav_is_refused_too(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    with media_error("unreadable", path):
        read_audio(cut_short(path), start=0, end=0.1)


def test_a_wav_written_to_a_pipe_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert read_audio(path).samples.size == RATE


def test_a_flac_that_claims_billions_of_samples_is_unreadable(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    path.write_bytes(data)
    with media_error("unreadable", path):
        read_audio(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_named(tmp_path, bad):
    samples = noise()
    samples[7] = bad
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with media_error("not_finite", tmp_path / "a.wav"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("fps", [25.0, 30000 / 1001, 24.0, 60.0])
@pytest.mark.parametrize("size", [(33, 47), (96, 96)])
def test_lossless_video_comes_back_bit_for_bit(tmp_path, fps, size):
    frames = np.random.default_rng(0).integers(0, 256, (9, *size, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mkv", Video(frames, fps))
    back = read_video(tmp_path / "a.mkv")
    np.testing.assert_array_equal(back.frames, frames)
    assert back.frames.dtype == np.uint8
    assert back.fps == pytest.approx(fps, rel=1e-6)
    assert back.audio is None


@pytest.mark.parametrize("count", [1, 1000, 4608, 16001, 40000])
def test_sound_in_lossless_video_comes_back_whole(tmp_path, count):
    samples = noise(count)
    write_video(tmp_path / "a.mkv", Video(moving_picture(25), 25, Audio(samples, RATE)))
    video = read_video(tmp_path / "a.mkv")
    assert video.audio is not None
    assert video.audio.rate == RATE
    assert video.audio.samples.shape == (count,)
    assert np.abs(video.audio.samples - samples).max() <= 0.5001 / 32768
    np.testing.assert_array_equal(read_audio(tmp_path / "a.mkv").samples, video.audio.samples)


def test_equal_videos_give_equal_bytes(tmp_path):
    video = Video(moving_picture(10), 25, tone(0.4))
    write_video(tmp_path / "a.mkv", video)
    write_video(tmp_path / "b.mkv", video)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".mkv", ".mp4"])
def test_a_comment_is_metadata_and_changes_nothing_else(tmp_path, suffix):
    film = Video(moving_picture(10), 25, tone(0.4))
    write = {".mkv": write_video, ".mp4": write_preview}.get(suffix, write_audio)
    content = film.audio if write is write_audio else film
    write(tmp_path / f"plain{suffix}", content)
    write(tmp_path / f"told{suffix}", content, comment="synthetic")
    told = []
    for name in ("plain", "told"):
        with av.open(str(tmp_path / f"{name}{suffix}")) as container:
            told.append({key.lower(): value for key, value in container.metadata.items()}.get("comment"))
    assert told == [None, "synthetic"]
    plain, labelled = (read_audio(tmp_path / f"{name}{suffix}") for name in ("plain", "told"))
    np.testing.assert_array_equal(plain.samples, labelled.samples)
    if write is not write_audio:
        first, second = (read_video(tmp_path / f"{name}{suffix}").frames for name in ("plain", "told"))
        # A preview is compressed with loss, and two encodings of one film may differ by some levels.
        assert np.abs(first.astype(int) - second).mean() <= (1.0 if suffix == ".mp4" else 0.0)


@pytest.mark.parametrize("write", [write_video, write_preview])
def test_only_rgb_frames_are_written_and_only_whole(tmp_path, write):
    path = tmp_path / ("a.mkv" if write is write_video else "a.mp4")
    with pytest.raises(InputError, match="uint8"):
        write(path, Video(np.zeros((3, 8, 8, 3), np.float32), 25))
    with pytest.raises(InputError, match="uint8"):
        write(path, Video(np.zeros((3, 8, 8), np.uint8), 25))
    with media_error("too_short", path):
        write(path, Video(np.zeros((0, 8, 8, 3), np.uint8), 25))
    with media_error("not_finite", path):
        write(path, Video(moving_picture(3), 25, Audio(np.full(10, np.nan, np.float32), RATE)))
    with pytest.raises(InputError, match="written as"):
        write(tmp_path / "a.avi", Video(moving_picture(3), 25))
    assert os.listdir(tmp_path) == []


def test_a_preview_shows_odd_sizes_evenly_and_keeps_time(tmp_path):
    frames = moving_picture(50, 47, 63)
    write_preview(tmp_path / "a.mp4", Video(frames, 25, tone(2.0)))
    back = read_video(tmp_path / "a.mp4")
    assert back.frames.shape == (50, 48, 64, 3)
    assert np.abs(back.frames[:, :47, :63].astype(int) - frames).mean() < 4
    assert back.audio is not None
    np.testing.assert_allclose(back.audio.samples[4000:28000], tone(2.0).samples[4000:28000], atol=0.03)
    info = probe(tmp_path / "a.mp4")
    assert (info.kind, info.rate, info.fps, info.size) == ("video", RATE, 25, (64, 48))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize(("start", "end"), [(0.4, 0.8), (3.0, 3.6), (2.48, None), (None, 1.0)])
def test_a_part_of_a_video_is_the_part_of_the_whole(tmp_path, name, start, end):
    write = write_video if name == "a.mkv" else write_preview
    write(tmp_path / name, Video(moving_picture(100), 25, Audio(noise(4 * RATE), RATE)))
    whole = read_video(tmp_path / name)
    part = read_video(tmp_path / name, start=start, end=end)
    first, last = round((start or 0) * 25), round((end or 4) * 25)
    np.testing.assert_array_equal(part.frames, whole.frames[first:last])
    assert whole.audio is not None
    assert part.audio is not None
    samples = slice(round((start or 0) * RATE), round(end * RATE) if end else None)
    np.testing.assert_array_equal(part.audio.samples, whole.audio.samples[samples])
    sound = read_audio(tmp_path / name, start=start, end=end)
    np.testing.assert_array_equal(sound.samples, part.audio.samples)


def test_sound_can_be_left_out(tmp_path):
    write_video(tmp_path / "a.mkv", Video(moving_picture(5), 25, tone(0.2)))
    assert read_video(tmp_path / "a.mkv", audio=False).audio is None


def test_video_without_sound_has_no_audio(tmp_path):
    write_video(tmp_path / "a.mkv", Video(moving_picture(5), 25))
    with media_error("unreadable", tmp_path / "a.mkv"):
        read_audio(tmp_path / "a.mkv")
    assert probe(tmp_path / "a.mkv").rate is None


def test_sound_alone_is_no_video(tmp_path):
    write_audio(tmp_path / "a.flac", tone(0.2))
    with media_error("unreadable", tmp_path / "a.flac"):
        read_video(tmp_path / "a.flac")


def test_truncated_lossless_video_is_unreadable(tmp_path):
    path = tmp_path / "a.mkv"
    frames = np.random.default_rng(0).integers(0, 256, (75, 16, 16, 3), dtype=np.uint8)
    write_video(path, Video(frames, 25, tone(3.0)))
    cut_short(path)
    for read in (read_video, read_audio):
        with media_error("unreadable", path) as caught:
            read(path)
        assert "truncated" in str(caught.value)


def test_sound_shorter_than_the_pictures_is_not_taken_for_truncated(tmp_path):
    write_video(tmp_path / "a.mkv", Video(moving_picture(75), 25, tone(1.0)))
    assert read_audio(tmp_path / "a.mkv").seconds == 1.0


def _write_mkv(
    path: Path, ticks: list[int], frames: np.ndarray, sound: Audio | None = None, delay: int = 0
) -> None:
    """Write frames at the given ticks of 1/25 s, and sound from the sample ``delay`` on."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr0"
        if sound is not None:
            track = output.add_stream("pcm_s16le", rate=sound.rate, layout="mono")
        for tick, image in zip(ticks, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            block = av.AudioFrame.from_ndarray(sound.samples[None], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = sound.rate, delay, Fraction(1, sound.rate)
            output.mux(track.encode(block))
            output.mux(track.encode(None))


def test_dropped_frames_are_repeated_so_that_pictures_stay_with_the_sound(tmp_path):
    frames = moving_picture(20)
    kept = [tick for tick in range(20) if tick not in (5, 6, 7, 8)]
    _write_mkv(tmp_path / "a.mkv", kept, frames[kept])
    back = read_video(tmp_path / "a.mkv")
    shown = [0, 1, 2, 3, 4, 4, 4, 9, 9, 9, *range(10, 20)]
    np.testing.assert_array_equal(back.frames, frames[shown])


def test_sound_that_begins_late_is_padded_and_early_is_cut(tmp_path):
    sound = tone(0.5)
    _write_mkv(tmp_path / "late.mkv", list(range(25)), moving_picture(25), sound, delay=4000)
    late = read_video(tmp_path / "late.mkv").audio
    assert late is not None
    assert np.abs(late.samples[:4000]).max() == 0
    np.testing.assert_allclose(late.samples[4000:], sound.samples, atol=1e-4)
    np.testing.assert_array_equal(read_audio(tmp_path / "late.mkv").samples, late.samples)
    _write_mkv(tmp_path / "early.mkv", list(range(5, 30)), moving_picture(25), sound)
    early = read_video(tmp_path / "early.mkv").audio
    assert early is not None
    np.testing.assert_allclose(early.samples, sound.samples[3200:], atol=1e-4)


def test_audio_is_probed_without_decoding(tmp_path):
    write_audio(tmp_path / "a.flac", tone(1.5))
    info = probe(tmp_path / "a.flac")
    assert (info.kind, info.seconds, info.rate, info.fps, info.size) == ("audio", 1.5, RATE, None, None)


@pytest.mark.realdata
def test_grid_reads_with_all_frames_and_sound(realdata):
    for path in sorted((realdata / "c_talking_head/grid/s1").glob("*.mpg"))[:5]:
        video = read_video(path)
        assert video.frames.shape == (75, 288, 360, 3)
        assert video.fps == 25
        assert video.audio is not None
        assert video.audio.rate == 44100
        assert video.audio.samples.shape == (131328,)
        part = read_video(path, start=1.48, end=2.2)
        np.testing.assert_array_equal(part.frames, video.frames[37:55])
        assert part.audio is not None
        expected = video.audio.samples[round(1.48 * 44100) : round(2.2 * 44100)]
        np.testing.assert_allclose(part.audio.samples, expected, atol=1e-3)


@pytest.mark.realdata
def test_grid_survives_lossless_storage(realdata, tmp_path):
    video = read_video(realdata / "c_talking_head/grid/s1/bbaf2n.mpg")
    write_video(tmp_path / "a.mkv", video)
    back = read_video(tmp_path / "a.mkv")
    np.testing.assert_array_equal(back.frames, video.frames)
    assert back.audio is not None
    assert video.audio is not None
    assert back.audio.samples.size == video.audio.samples.size


@pytest.mark.realdata
def test_grid_sound_is_speech_between_the_aligned_words(realdata):
    audio = read_audio(realdata / "c_talking_head/grid/s1/bbaf2n.mpg", rate=RATE)
    power = np.square(audio.samples)
    words = slice(round(0.95 * RATE), round(2.1 * RATE))
    assert power[words].mean() > 20 * power[: round(0.7 * RATE)].mean()


def test_broken_timestamps_are_unreadable_and_take_no_memory(tmp_path):
    frames = moving_picture(20)
    _write_mkv(tmp_path / "far.mkv", [*range(19), 10_000_000], frames)
    with media_error("unreadable", tmp_path / "far.mkv") as caught:
        read_video(tmp_path / "far.mkv")
    assert "timestamps" in str(caught.value)
    _write_mkv(tmp_path / "late.mkv", list(range(20)), frames, tone(0.5), delay=10_000 * RATE)
    for read in (read_audio, read_video):
        with media_error("unreadable", tmp_path / "late.mkv"):
            read(tmp_path / "late.mkv")


def test_damaged_files_raise_nothing_but_media_errors(tmp_path):
    generator = np.random.default_rng(0)
    write_video(tmp_path / "good.mkv", Video(moving_picture(6), 25, tone(0.3)))
    write_preview(tmp_path / "good.mp4", Video(moving_picture(6), 25, tone(0.3)))
    for suffix in ("mkv", "mp4"):
        data = (tmp_path / f"good.{suffix}").read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for place in generator.integers(0, min(700, len(data)), 8):
                damaged[place] = generator.integers(256)
            path = tmp_path / f"bad.{suffix}"
            path.write_bytes(damaged)
            for read in (read_audio, read_video, probe):
                with contextlib.suppress(MediaError):
                    read(path)
