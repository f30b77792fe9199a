"""The default voices: understood, told apart, and told apart still after a vocoder and after blur."""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.features import log_mel
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.corpora.talkers import talkers
from doppelbench.corpora.talkers.voices import VOICES

pytestmark = pytest.mark.slow

TARGETS = [voice.name for voice in VOICES if voice.role == "target"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return talkers(Path(tmp_path_factory.mktemp("talkers")), video=False)


@pytest.fixture(scope="module")
def share_of_right_answers(clips):
    """Share of right answers of the speaker classifier for each speaker, of test clips through a vocoder."""
    from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
    from doppelbench.metrics.sca import train_classifier

    classifier = train_classifier([clip for clip in clips if clip.split == "train"], seed=0)
    vocoder = GriffinLim()

    def share(blur: tuple[int, int] | None, speakers: list[str]) -> dict[str, float]:
        answers: dict[str, list[bool]] = {speaker: [] for speaker in speakers}
        for clip in clips:
            if clip.split != "test" or clip.speaker not in answers:
                continue
            audio = read_audio(clip.audio)
            if blur is not None:
                features = log_mel(normalize_level(audio.samples, audio.rate))
                audio = vocoder(scipy.ndimage.uniform_filter(features, blur, mode="nearest"))
            level = Audio(normalize_level(audio.samples, audio.rate), audio.rate)
            answer = classifier.speakers[int(np.argmax(classifier.log_probabilities(level)))]
            answers[clip.speaker].append(answer == clip.speaker)
        return {speaker: float(np.mean(right)) for speaker, right in answers.items()}

    return share


def test_every_target_has_three_minutes_of_training_speech(clips):
    for target in TARGETS:
        train = [clip for clip in clips if (clip.speaker, clip.split) == (target, "train")]
        assert sum(read_audio(clip.audio).seconds for clip in train) >= 180


def test_the_recogniser_understands_every_voice(clips):
    import jiwer

    from doppelbench.metrics.recognizers import recognizer

    listener = recognizer("pocketsphinx-grid")
    for voice in VOICES[:8]:
        said = [clip for clip in clips if (clip.speaker, clip.split) == (voice.name, "test")]
        heard = [listener.transcribe(read_audio(clip.audio)) for clip in said]
        assert jiwer.wer([clip.text for clip in said], heard) < 0.25


def test_the_classifier_tells_natural_voices_apart(share_of_right_answers):
    shares = share_of_right_answers(None, [voice.name for voice in VOICES[:8]])
    assert np.mean(list(shares.values())) >= 0.98


def test_every_voice_keeps_its_class_through_a_vocoder(share_of_right_answers):
    shares = share_of_right_answers((1, 1), [voice.name for voice in VOICES[:8]])
    assert min(shares.values()) >= 0.95


@pytest.mark.parametrize("blur", [(3, 3), (5, 3)])
def test_targets_keep_their_class_through_blur(share_of_right_answers, blur):
    assert min(share_of_right_answers(blur, TARGETS).values()) >= 0.9
