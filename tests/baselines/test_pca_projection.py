"""The linear exemplar is the projection onto the target's principal subspace, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.pca_projection import TINY, PCAProjection, PCAProjectionSettings
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.engine.trainer import TrainerSettings

MANY = replace(TINY, components=16)
BLOCKS = replace(TINY, components=12, block_frames=4)


def training(clips: list[Clip], speaker: str) -> list[Clip]:
    return [clip for clip in clips if clip.speaker == speaker and clip.split == "train"]


def source_of(clips: list[Clip], speaker: str = "cleo") -> Clip:
    return next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all fits, so that features are computed once."""
    return tmp_path_factory.mktemp("ana")


def fitted(clips: list[Clip], directory: Path, settings: PCAProjectionSettings = TINY) -> PCAProjection:
    system = PCAProjection(settings, "ana")
    system.fit(training(clips, "ana"), TrainerSettings(directory, max_steps=1))
    return system


def test_the_projection_is_that_of_the_singular_value_decomposition(clips, folder):
    system = fitted(clips, folder)
    own = np.concatenate([clip_log_mel(clip, TINY.mel) for clip in training(clips, "ana")]).astype(float)
    mean = own.mean(0)
    _, _, rows = np.linalg.svd(own - mean, full_matrices=False)
    basis = rows[: TINY.components]
    source = clip_log_mel(source_of(clips), TINY.mel)
    expected = np.clip(mean + (source - mean) @ basis.T @ basis, 0, 1)
    np.testing.assert_allclose(system.convert_features(source), expected, atol=1e-5)


def test_blocks_of_frames_are_projected_as_those_of_the_singular_value_decomposition(clips, folder):
    system = fitted(clips, folder, BLOCKS)
    own = np.concatenate([clip_log_mel(clip, TINY.mel) for clip in training(clips, "ana")]).astype(float)
    blocks = np.stack([own[start : start + 4].ravel() for start in range(len(own) - 3)])
    mean = blocks.mean(0)
    _, _, rows = np.linalg.svd(blocks - mean, full_matrices=False)
    source = clip_log_mel(source_of(clips), TINY.mel)[:40]
    centred = source.reshape(10, -1) - mean
    expected = np.clip(mean + centred @ rows[:12].T @ rows[:12], 0, 1).reshape(40, 80)
    np.testing.assert_allclose(system.convert_features(source), expected, atol=1e-5)


@pytest.mark.parametrize("settings", [TINY, BLOCKS])
def test_projecting_twice_is_projecting_once(clips, folder, settings):
    subspace = fitted(clips, folder, settings).subspace
    blocks = np.random.default_rng(1).random((20, subspace.mean.numel()))
    once = subspace(subspace.mean.new_tensor(blocks))
    np.testing.assert_allclose(subspace(once), once, atol=1e-12)
    assert np.abs(once.numpy() - blocks).mean() > 0.01


def test_the_targets_own_frames_lose_little_and_less_than_another_persons(clips, folder):
    system = fitted(clips, folder, MANY)
    lost = {}
    for speaker in ("ana", "ben"):
        mel = clip_log_mel(source_of(clips, speaker), TINY.mel)
        lost[speaker] = np.square(system.convert_features(mel) - mel).mean() / mel.var(0).mean()
    assert lost["ana"] < 0.15
    assert lost["ana"] < 0.7 * lost["ben"]


def test_what_is_orthogonal_to_the_subspace_is_taken_away(clips, folder):
    """The nearest point: the remainder is at right angles to every component."""
    subspace = fitted(clips, folder).subspace
    blocks = subspace.mean.new_tensor(np.random.default_rng(2).random((5, 80)))
    remainder = blocks - subspace(blocks)
    np.testing.assert_allclose(remainder @ subspace.components.T, 0, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 3, 4, 61])
def test_any_number_of_frames_is_converted(clips, folder, frames):
    converted = fitted(clips, folder, BLOCKS).convert_features(np.full((frames, 80), 0.5, np.float32))
    assert converted.shape == (frames, 80)
    assert np.isfinite(converted).all()


def test_a_saved_projection_answers_as_the_one_that_was_saved(clips, folder, tmp_path):
    system = fitted(clips, folder)
    system.save(tmp_path)
    loaded = PCAProjection.load(tmp_path)
    assert (loaded.target, loaded.settings) == ("ana", TINY)
    source = source_of(clips)
    trial = Trial("t", source, "ana")
    expected, found = system.convert(trial).audio, loaded.convert(trial).audio
    np.testing.assert_array_equal(found.samples, expected.samples)
    frames = len(clip_log_mel(source, TINY.mel))
    assert found.samples.size == (frames - 1) * TINY.mel.hop


def test_nothing_is_trained_by_steps(clips, folder):
    record = PCAProjection(TINY, "ana").fit(training(clips, "ana"), TrainerSettings(folder, max_steps=1))
    assert record.steps == 0
    assert record.parameters == 80 + TINY.components * 80


def test_too_little_speech_of_a_target_is_refused(clips, folder):
    with pytest.raises(InputError, match=r"short has 5\.0 s"):
        PCAProjection(TINY, "short").fit(training(clips, "short"), TrainerSettings(folder, max_steps=1))


def test_damaged_files_are_refused_with_the_folder(clips, folder, tmp_path):
    fitted(clips, folder).save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=str(tmp_path)):
        PCAProjection.load(tmp_path)


@pytest.mark.parametrize(("setting", "value"), [("components", 0), ("components", 81), ("block_frames", 0)])
def test_settings_that_no_subspace_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        PCAProjectionSettings(**{setting: value})
