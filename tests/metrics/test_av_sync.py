"""Offset and confidence of pictures and sound, on drawn talkers, on films from a seed and on real faces."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sync_examples import FPS, RATE, talking_film, write_talking_film

from doppelbench.corpora.films import Square, crop_square
from doppelbench.corpora.media import Audio, Video, read_video
from doppelbench.corpora.talkers import talkers
from doppelbench.corpora.talkers.voices import default_speakers
from doppelbench.metrics import STATUSES, ItemScore, syncnet_input
from doppelbench.metrics.registry import metric
from doppelbench.metrics.sync_metric import overlapping_curve
from doppelbench.metrics.syncnet_input import checked_frames, mouth_square
from doppelbench.metrics.syncnet_lite import moving_lips, sound_features, syncnet_lite, training_record

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ("av_offset", "av_confidence")


def shifted(video, frames):
    """The video with its sound early by a number of frames, cut to what both have."""
    samples, step = video.audio.samples, RATE // FPS
    if frames >= 0:
        pictures, sound = video.frames[: len(video.frames) - frames], samples[step * frames :]
    else:
        pictures, sound = video.frames[-frames:], samples[: step * frames]
    return Video(pictures, video.fps, Audio(sound, RATE))


def still(video):
    return Video(np.repeat(video.frames[:1], len(video.frames), axis=0), video.fps, video.audio)


def shuffled(video, seed=0):
    order = np.random.default_rng(seed).permutation(len(video.frames))
    return Video(video.frames[order], video.fps, video.audio)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_talking_film(tmp_path_factory.mktemp("film"), seed=5, seconds=4.0)


@pytest.fixture(params=NAMES)
def scorer(request):
    return metric(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_films_from_a_seed_have_their_golden_values(name, tmp_path):
    for case in json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["cases"]:
        video, clip = write_talking_film(tmp_path, **case["film"])
        score = metric(name).item(out=video, clip=clip)
        assert score.value == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize("early", [-10, -5, 0, 5, 10])
def test_offset_has_size_and_sign(tmp_path, early):
    video, clip = write_talking_film(tmp_path, seed=7, seconds=4.0, early_frames=early)
    score = metric("av_offset").item(out=video, clip=clip)
    assert score.stats["offset_frames"] == pytest.approx(early, abs=1)
    assert score.value == abs(score.stats["offset_ms"]) == 40 * abs(score.stats["offset_frames"])


def test_lips_that_do_not_follow_have_little_confidence(film):
    video, clip = film
    confidence = metric("av_confidence")
    natural = confidence.item(out=video, clip=clip).value
    for other in (still(video), shuffled(video), Video(video.frames[::-1], video.fps, video.audio)):
        assert confidence.item(out=other, clip=clip).value < natural / 2


@pytest.fixture(scope="module")
def natural_clips(tmp_path_factory):
    options = {"target_seconds": 1.0, "source_seconds": 1.0, "dev_sentences": 0, "test_sentences": 12}
    clips = talkers(tmp_path_factory.mktemp("talkers"), **options)
    return [(read_video(clip.video), clip) for clip in clips if clip.split == "test"]


@pytest.mark.slow
def test_unseen_talkers_are_read_right(natural_clips):
    assert not {clip.speaker for _, clip in natural_clips} & set(training_record()["speakers"])
    offset = metric("av_offset")

    def offsets(frames):
        return np.array(
            [
                offset.item(out=shifted(video, frames), clip=clip).stats["offset_frames"]
                for video, clip in natural_clips
            ]
        )

    assert len(natural_clips) == 12 * len(default_speakers())
    assert np.mean(np.abs(offsets(0)) <= 1) >= 0.95
    for frames in (-5, 5):
        assert np.mean(np.abs(offsets(frames) - frames) <= 1) >= 0.9


@pytest.mark.slow
def test_unseen_talkers_are_told_from_still_and_shuffled_ones(natural_clips):
    confidence = metric("av_confidence")

    def median(change):
        return np.median(
            [confidence.item(out=change(video), clip=clip).value for video, clip in natural_clips]
        )

    natural = median(lambda video: video)
    assert median(still) < natural / 3
    assert median(shuffled) < natural / 3


@pytest.mark.realdata
@pytest.mark.slow
def test_real_faces(realdata):
    offset = metric("av_offset")
    files = sorted((realdata / "c_talking_head/grid/other").glob("*.mpg"))
    frames = [offset.item(out=read_video(path)).stats["offset_frames"] for path in files]
    assert len(frames) == 10
    assert np.mean(np.abs(frames) <= 1) >= 0.8


def test_what_cannot_be_read_has_a_status(scorer, film):
    video, clip = film
    frames, sound = video.frames, video.audio
    blank = np.full_like(frames, 128)
    cases = {
        "silent": (Video(frames, FPS, Audio(np.zeros_like(sound.samples), RATE)), clip),
        "missing": (Video(frames, FPS), clip),
        "too_short": (Video(frames[:11], FPS, sound), clip),
        "unreadable": (Video(frames.astype(np.float32), FPS, sound), clip),
        "not_finite": (Video(frames, FPS, Audio(np.full_like(sound.samples, np.nan), RATE)), clip),
    }
    for status, (out, about) in cases.items():
        score = scorer.item(out=out, clip=about)
        assert (score.value, score.status) == (None, status)
        assert score.reason
        assert score.status in STATUSES
    for out, words in (
        (Video(blank, FPS, sound), "no face was found in the output"),
        (sound, "needs an output with pictures"),
        (Video(frames[:0], FPS, sound), "no frames"),
        (Video(frames, 0.0, sound), "frame rate of 0"),
        (Video(frames, FPS, Audio(sound.samples[:4000], RATE)), "at least 0.5 s"),
    ):
        score = scorer.item(out=out)
        assert score.value is None
        assert words in score.reason


def test_half_a_second_is_enough(scorer, film):
    video, clip = film
    short = Video(video.frames[:13], FPS, Audio(video.audio.samples[: 13 * 640], RATE))
    score = scorer.item(out=short, clip=clip)
    assert score.status == "ok"
    assert score.stats["largest_offset"] == 4
    assert len(score.stats["distances"]) == 9


def test_gain_tint_and_frame_rate_hardly_matter(film):
    video, clip = film
    offset = metric("av_offset")
    quiet = Audio(0.1 * video.audio.samples, RATE)
    doubled = np.repeat(video.frames, 2, axis=0)
    for out in (
        Video(video.frames, FPS, quiet),
        Video((0.7 * video.frames).astype(np.uint8), FPS, video.audio),
        Video(doubled, 2 * FPS, video.audio),
    ):
        assert abs(offset.item(out=out, clip=clip).stats["offset_frames"]) <= 1


def test_repeating_changes_nothing_and_inputs_are_left(scorer, film):
    video, clip = film
    before = video.frames.copy(), video.audio.samples.copy()
    first = scorer.item(out=video, clip=clip)
    scorer._readings.clear()
    assert scorer.item(out=video, clip=clip) == first
    assert metric(scorer.spec.name).item(out=video, clip=clip) == first
    assert np.array_equal(video.frames, before[0])
    assert np.array_equal(video.audio.samples, before[1])
    assert json.loads(json.dumps(dict(first.stats))) == dict(first.stats)


def test_figure_is_the_mean_and_keeps_the_sign(film):
    items = [ItemScore(40.0 * abs(k), stats={"offset_frames": k, "confidence": 0.4}) for k in (-1, -1, 0, -4)]
    figure = metric("av_offset").reduce([*items, ItemScore.failed("missing", "no face")])
    assert (figure.value, figure.n, figure.expected) == (60.0, 4, 5)
    assert figure.low <= figure.value <= figure.high
    assert figure.details == {
        "median_offset_frames": -1.0, "within_one_frame": 75.0, "median_confidence": 0.4,
    }  # fmt: skip
    assert metric("av_confidence").reduce([ItemScore.failed("silent", "x")]).value is None


def test_signature_has_the_weights_and_loads_no_torch():
    code = (
        "import sys; from doppelbench.metrics import metric_from_string as m; "
        "print(m('av_offset').signature, m('av_confidence').signature, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    offset, confidence, loaded = result.stdout.split()
    assert (offset, confidence) == tuple(metric(name).signature for name in NAMES)
    assert "|syncnet-lite-" in offset
    assert loaded == "False"


def test_weights_are_small_and_their_record_fits():
    folder = Path(syncnet_input.__file__).parent
    assert (folder / "syncnet_lite.safetensors").stat().st_size < 410_000
    record = training_record()
    assert record["parameters"] == sum(value.numel() for value in syncnet_lite().parameters())
    assert not set(record["speakers"]) & set(default_speakers())


def test_curve_of_embeddings_made_by_hand():
    pictures = np.eye(8)
    # Sound that comes two windows early: what belongs to picture k is heard at k - 2.
    sound = np.roll(pictures, -2, axis=0)
    reading = overlapping_curve(pictures, sound, largest=3)
    assert reading.offset == 2
    assert reading.distance == 0.0
    assert reading.confidence == pytest.approx(np.sqrt(2))
    assert overlapping_curve(pictures, sound).offsets.tolist() == list(range(-4, 5))


def test_equal_distances_are_offset_zero():
    same = np.ones((8, 2))
    reading = overlapping_curve(same, same)
    assert (reading.offset, reading.confidence) == (0, 0.0)


def test_lips_that_stand_still_are_nothing_and_light_is_taken_off():
    generator = np.random.default_rng(0)
    picture = generator.random((32, 32))
    assert np.abs(moving_lips(np.repeat(picture[None], 30, axis=0))).max() < 1e-9
    moving = generator.random((30, 32, 32))
    np.testing.assert_allclose(moving_lips(moving + 0.3), moving_lips(moving), atol=1e-5)


def test_gain_and_microphone_are_taken_off_the_sound():
    power = np.random.default_rng(0).gamma(2.0, 1.0, (50, 40))
    np.testing.assert_allclose(sound_features(0.01 * power), sound_features(power), atol=1e-6)
    tilted = power * np.linspace(1.0, 2.0, 40)
    np.testing.assert_allclose(sound_features(tilted), sound_features(power), atol=1e-6)


def test_truth_leads_to_the_mouth_and_is_scaled_with_the_pictures(film):
    video, clip = film
    _, truth = talking_film(seed=5, seconds=4.0)
    square = mouth_square(video.frames, clip)
    assert (square.x, square.y) == (np.median(truth["mouth_x"]), np.median(truth["mouth_y"]))
    doubled = mouth_square(video.frames.repeat(2, axis=1).repeat(2, axis=2), clip)
    assert (doubled.x, doubled.y, doubled.side) == (2 * square.x, 2 * square.y, 2 * square.side)


def test_broken_truth_is_named(tmp_path, scorer):
    video, clip = write_talking_film(tmp_path, seconds=0.6)
    Path(clip.video).with_suffix(".face.json").write_text('{"fps": 25, "mouth_x": [1]}')
    score = scorer.item(out=video, clip=clip)
    assert score.status == "unreadable"
    assert "film.face.json" in score.reason


@pytest.mark.realdata
def test_face_detector_finds_real_mouths(realdata):
    for path in sorted((realdata / "c_talking_head/grid/other").glob("*.mpg"))[:3]:
        frames = read_video(path, audio=False, end=1.0).frames
        square = mouth_square(frames, None)
        # A GRID talker sits in the middle of 360 x 288 pixels with the mouth in the lower half.
        assert abs(square.x - 180) < 40
        assert 150 < square.y < 260


def test_crop_is_the_square_and_repeats_the_edge_outside():
    frames = np.zeros((2, 20, 30, 3), np.uint8)
    frames[:, 5:15, 10:20] = 200
    assert (crop_square(frames, Square(15, 10, 10), 10) == 200).all()
    outside = crop_square(frames, Square(0, 0, 12), 12)
    assert outside.shape == (2, 12, 12, 3)
    assert not outside.any()


def test_frames_of_another_rate_are_those_shown():
    frames = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    shown = checked_frames(Video(frames, 30.0), "x")[:, 0, 0, 0]
    assert len(shown) == 50
    assert np.abs((shown + 0.5) / 30 - (np.arange(50) + 0.5) / 25).max() <= 0.5 / 30 + 1e-9
    assert len(checked_frames(Video(frames, 24.0), "x")) == 62
