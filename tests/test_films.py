"""Films are cut once: square, size, rate, and the truth about the mouth moves with the pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.films import (
    TRUTH_SUFFIX,
    Framing,
    Square,
    crop_square,
    frame_film,
    framed_clip,
    shown_frames,
)
from doppelbench.corpora.media import Audio, Video, read_video, write_video


def dot_film(*, height: int = 96, width: int = 160, count: int = 50, fps: float = 25.0) -> Video:
    """A bright square of 16 pixels in the middle third, on a background that tells the frame's number."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[..., 2] = np.arange(count)[:, None, None]
    frames[:, 40:56, 72:88, 0] = 240
    return Video(frames, fps, Audio(np.zeros(round(count / fps * 16000), np.float32), 16000))


def test_twenty_of_twenty_five_frames_are_those_shown_in_the_middle() -> None:
    shown = shown_frames(75, 25, 20)
    assert len(shown) == 60
    # The middle of the first period of 50 ms is 25 ms: the first frame, shown from 0 to 40 ms.
    assert shown[:5].tolist() == [0, 1, 3, 4, 5]
    assert shown[-1] == 74


def test_the_same_rate_keeps_every_frame() -> None:
    assert shown_frames(75, 25, 25).tolist() == list(range(75))


def test_a_part_of_a_period_at_the_end_is_a_frame_too() -> None:
    assert len(shown_frames(74, 25, 20)) == 60


def test_the_largest_square_in_the_middle_is_cut_and_resized() -> None:
    film, square = frame_film(dot_film(), Framing(size=48, fps=25))
    assert square == Square(80, 48, 96)
    assert film.frames.shape == (50, 48, 48, 3)
    # Half the size: 16 pixels become 8, still in the middle.
    bright = np.argwhere(film.frames[0, :, :, 0] > 120)
    assert bright.min(axis=0).tolist() == [20, 20]
    assert bright.max(axis=0).tolist() == [27, 27]


def test_a_film_that_fits_is_left_bit_for_bit() -> None:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    film, _ = frame_film(Video(frames, 20.0), Framing(size=64, fps=20))
    np.testing.assert_array_equal(film.frames, frames)


def test_pictures_without_a_face_say_so() -> None:
    with pytest.raises(MediaError, match="no face was found"):
        frame_film(dot_film(), Framing(size=48, crop="face"))


def test_one_frame_is_no_film() -> None:
    with pytest.raises(MediaError, match="one frame"):
        frame_film(dot_film(count=1), Framing())


@pytest.mark.parametrize(
    "wrong", [{"size": 50}, {"size": 16}, {"fps": 0}, {"fps": float("nan")}, {"face_share": 0.0}]
)
def test_impossible_framings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"video\."):
        Framing(**wrong)  # type: ignore[arg-type]


def test_a_framed_clip_holds_sound_and_moved_truth_and_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "film.mkv"
    write_video(source, dot_film())
    truth = {
        "fps": 25.0,
        "mouth_opening": [4.0] * 50,
        "mouth_width": [16.0] * 50,
        "mouth_x": [80.0] * 50,
        "mouth_y": [48.0 + 0.5 * k for k in range(50)],
    }
    source.with_suffix(TRUTH_SUFFIX).write_text(json.dumps(truth))
    framing = Framing(size=48, fps=20)
    clip = framed_clip(Clip("a", "ada", video=str(source)), framing, tmp_path / "films")
    assert clip.video is not None
    film = read_video(clip.video)
    assert film.frames.shape == (40, 48, 48, 3)
    assert film.audio is not None
    assert film.audio.seconds == pytest.approx(2.0)
    moved = json.loads(Path(clip.video).with_suffix(TRUTH_SUFFIX).read_text())
    assert moved["mouth_opening"] == [2.0] * 40
    assert moved["mouth_x"] == [24.0] * 40
    # The middle of the first period lies 0.125 frames after the middle of the film's first frame.
    assert moved["mouth_y"][0] == pytest.approx((48 + 0.5 * 0.125) / 2, abs=1e-3)
    before = Path(clip.video).stat().st_mtime_ns
    again = framed_clip(Clip("a", "ada", video=str(source)), framing, tmp_path / "films")
    assert again == clip
    assert Path(clip.video).stat().st_mtime_ns == before


def test_a_film_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.mkv"
    path.write_bytes(b"no film")
    with pytest.raises(MediaError, match=r"broken\.mkv"):
        framed_clip(Clip("a", "ada", video=str(path)), Framing(), tmp_path / "films")


def test_a_part_of_a_long_film_becomes_a_film_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "long.mkv"
    write_video(source, dot_film(count=100))
    clip = Clip("part", "ada", audio=str(source), video=str(source), start=1.0, end=2.0)
    framed = framed_clip(clip, Framing(size=48, fps=25), tmp_path / "films")
    assert (framed.start, framed.end) == (None, None)
    assert framed.audio == framed.video
    assert framed.video is not None
    film = read_video(framed.video)
    # The background tells the number of the frame: the part begins with frame 25.
    assert film.frames.shape[0] == 25
    assert film.frames[0, 0, 0, 2] == 25
    assert film.audio is not None
    assert film.audio.seconds == pytest.approx(1.0, abs=0.01)


@pytest.mark.realdata
def test_the_face_of_a_real_film_fills_its_share(realdata: Path) -> None:
    path = sorted((realdata / "c_talking_head" / "grid").rglob("*.mpg"))[0]
    video = read_video(path, audio=False)
    film, square = frame_film(video, Framing(size=96, fps=25, crop="face"))
    assert film.frames.shape[1:] == (96, 96, 3)
    assert 100 < square.side < 288


def test_crop_beyond_the_edge_repeats_it() -> None:
    frames = np.full((1, 32, 32, 3), 7, np.uint8)
    assert (crop_square(frames, Square(0, 0, 40), 32) == 7).all()
