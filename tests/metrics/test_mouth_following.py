"""The drawn mouth is held against the truth about the speaker, on the face of somebody else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from video_examples import talking_picture, write_talking_clip

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Video
from doppelbench.metrics.mouth_following import MouthFollowing
from doppelbench.metrics.mouth_readout import WEIGHTS, MouthReadout, train_readout
from doppelbench.metrics.registry import metric


@pytest.fixture(scope="module")
def readout(tmp_path_factory):
    clips = []
    for seed in range(3):
        folder = tmp_path_factory.mktemp("learned")
        clips.append(write_talking_clip(folder, seed=seed)[1])
    return train_readout(clips)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A film of the person who speaks, and what a metric is told of a target that says the same."""
    film, clip = write_talking_clip(tmp_path_factory.mktemp("spoken"), seed=9)
    return film, Clip("trial", "someone", video=clip.video)


def test_a_mouth_that_does_what_the_speakers_does_follows(readout, spoken):
    film, clip = spoken
    score = MouthFollowing(readout).item(out=film, ref=film, clip=clip)
    assert score.value > 0.98


def test_late_other_and_still_mouths_do_not(readout, spoken):
    film, clip = spoken
    scorer = MouthFollowing(readout)
    late = scorer.item(out=talking_picture(seed=9, lag=5)[0], ref=film, clip=clip).value
    other = scorer.item(out=talking_picture(seed=10)[0], ref=film, clip=clip).value
    still = scorer.item(
        out=Video(np.repeat(film.frames[:1], len(film.frames), axis=0), film.fps), ref=film, clip=clip
    )
    assert late < 0.8
    assert abs(other) < 0.7
    assert (still.value, still.stats["still"]) == (0.0, True)


def test_brightness_does_not_matter(readout, spoken):
    film, clip = spoken
    scorer = MouthFollowing(readout)
    dark = Video((film.frames * 0.7).astype(np.uint8), film.fps)
    assert scorer.item(out=dark, ref=film, clip=clip).value == pytest.approx(
        scorer.item(out=film, ref=film, clip=clip).value, abs=0.01
    )


def test_another_frame_rate_than_the_speakers_film_is_fine(readout, spoken):
    film, clip = spoken
    half = Video(film.frames[::2], film.fps / 2)
    assert MouthFollowing(readout).item(out=half, ref=film, clip=clip).value > 0.9


def test_readouts_come_back_from_their_folder(readout, spoken, tmp_path):
    film, clip = spoken
    readout.save(tmp_path / "readout")
    again = MouthReadout.load(tmp_path / "readout")
    assert again.digest == readout.digest
    scores = [
        metric("mouth_following", readout=given).item(out=film, ref=film, clip=clip)
        for given in (readout, str(tmp_path / "readout"))
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda film: None, "missing"),
        (lambda film: replace(film, frames=film.frames[:5]), "too_short"),
        (lambda film: replace(film, frames=film.frames[:20]), "length_mismatch"),
        (lambda film: replace(film, frames=film.frames[:, :32]), "length_mismatch"),
        (lambda film: replace(film, frames=film.frames.astype(np.float32)), "unreadable"),
    ],
)
def test_bad_outputs_have_a_status_and_no_value(readout, spoken, change, status):
    film, clip = spoken
    score = MouthFollowing(readout).item(out=change(film), ref=film, clip=clip)
    assert (score.value, score.status) == (None, status)
    assert score.reason


def test_an_unknown_face_and_a_speaker_without_truth_are_missing(readout, spoken):
    film, clip = spoken
    scorer = MouthFollowing(readout)
    unknown = scorer.item(out=film, ref=film, clip=replace(clip, speaker="stranger"))
    assert (unknown.status, "stranger" in unknown.reason) == ("missing", True)
    assert scorer.item(out=film, ref=film, clip=replace(clip, video=None)).status == "missing"


def test_without_readouts_or_with_broken_ones_it_says_what_to_do(readout, tmp_path):
    with pytest.raises(InputError, match="train_readout"):
        metric("mouth_following")
    readout.save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"broken")
    with pytest.raises(InputError, match="no readout of mouths"):
        metric("mouth_following", readout=str(tmp_path))


def test_films_without_truth_teach_nothing(tmp_path: Path):
    _, clip = write_talking_clip(tmp_path, seed=1)
    Path(clip.video).with_suffix(".face.json").unlink()
    with pytest.raises(InputError, match="whose mouths are known"):
        train_readout([clip])
