"""Reference rows give what their names say, at the level of the house."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from doppelbench.baselines.reference_rows import (
    CopySynthesis,
    Natural,
    RandomTarget,
    Source,
    SourceCopySynthesis,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.level import TARGET_DB, active_level


@pytest.fixture
def trial(clips) -> Trial:
    tests = {(clip.speaker, clip.text): clip for clip in clips if clip.split == "test"}
    source = next(clip for clip in tests.values() if clip.speaker == "cleo")
    return Trial("t", source, "ana", tests["ana", source.text])


def proportional(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.corrcoef(one, other)[0, 1]) > 0.99999


@pytest.mark.parametrize(("row", "which"), [(Natural, "reference"), (Source, "source")])
def test_a_natural_row_is_the_recording_itself_at_the_level_of_the_house(trial, row, which):
    audio = row().convert(trial).audio
    recorded, rate = soundfile.read(getattr(trial, which).audio, dtype="float32")
    assert audio.rate == rate
    assert audio.samples.shape == recorded.shape
    assert proportional(audio.samples, recorded)
    assert active_level(audio.samples, rate) == pytest.approx(TARGET_DB, abs=0.01)


def test_only_the_part_of_a_file_that_is_the_clip_is_read(trial):
    part = replace(trial, source=replace(trial.source, start=0.25, end=0.75))
    recorded, _ = soundfile.read(trial.source.audio, dtype="float32")
    assert proportional(Source().convert(part).audio.samples, recorded[4000:12000])


def test_copy_rows_take_the_recording_they_are_named_after(trial):
    of_reference = CopySynthesis().convert(trial).audio
    of_source = SourceCopySynthesis().convert(trial).audio
    same = SourceCopySynthesis().convert(replace(trial, source=trial.reference)).audio
    np.testing.assert_array_equal(of_reference.samples, same.samples)
    assert not np.array_equal(of_source.samples, of_reference.samples)


@pytest.mark.parametrize("row", [Natural, CopySynthesis])
def test_a_trial_without_a_reference_is_missing_for_the_rows_made_of_it(trial, row):
    with pytest.raises(MediaError, match="ana") as caught:
        row().convert(replace(trial, reference=None))
    assert caught.value.status == "missing"


def test_a_clip_without_sound_is_missing(trial):
    with pytest.raises(MediaError, match="no audio") as caught:
        Source().convert(replace(trial, source=replace(trial.source, audio=None, video="v.mp4")))
    assert caught.value.status == "missing"


class TestRandomTarget:
    @pytest.fixture
    def row(self, tmp_path) -> RandomTarget:
        clips = []
        for number in range(6):
            file = tmp_path / f"{number}.wav"
            soundfile.write(file, np.random.default_rng(number).normal(0, 0.1, 4000), 16000)
            clips.append(Clip(f"c{number}", "ana", audio=str(file), text=f"sentence {number}", split="test"))
        clips.append(Clip("other", "ben", audio=clips[0].audio, text="nothing in common", split="test"))
        row = RandomTarget()
        row.fit(clips, None)
        return row

    def chosen(self, row: RandomTarget, name: str, text: str | None) -> int:
        found = row.convert(Trial(name, Clip("s", "cleo", text=text), "ana")).audio.samples
        recordings = [soundfile.read(clip.audio, dtype="float32")[0] for clip in row.clips["ana"]]
        return next(i for i, samples in enumerate(recordings) if proportional(found, samples))

    def test_the_sentence_of_the_source_is_never_returned(self, row):
        said = {self.chosen(row, f"trial {n}", "sentence 2") for n in range(40)}
        assert said == {0, 1, 3, 4, 5}

    def test_the_sentence_is_the_same_in_other_spelling(self, row):
        assert 2 not in {self.chosen(row, f"trial {n}", "Sentence  2!") for n in range(40)}

    def test_the_choice_follows_from_the_id_of_the_trial(self, row):
        reordered = RandomTarget()
        reordered.fit([clip for own in row.clips.values() for clip in own][::-1], None)
        for name in ("a", "b", "c", "d"):
            first = row.convert(Trial(name, Clip("s", "cleo", text="x"), "ana")).audio.samples
            again = reordered.convert(Trial(name, Clip("z", "zoë", text="x"), "ana")).audio.samples
            np.testing.assert_array_equal(first, again)

    def test_a_target_without_another_clip_is_missing(self, row):
        with pytest.raises(MediaError, match="ben") as caught:
            row.convert(Trial("t", Clip("s", "cleo", text="nothing in common"), "ben"))
        assert caught.value.status == "missing"
