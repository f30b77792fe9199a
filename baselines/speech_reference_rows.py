"""Reference rows of video-to-speech: rows that see no lips, or all of the sound, and pin the scale.

A speaker's mean spectrum that follows the true energy reaches a STOI that papers report for unseen speakers,
so figures mean little without them:

* ``natural-speech``: the recording itself, the ceiling of every metric;
* ``vocoder-speech``: the same through the vocoder of the mel systems, what perfect lip reading would score;
* ``shuffled-speech``: another sentence of the same person, as long as the film: the voice right, the words
  wrong;
* ``energy-speech``: the mean spectrum of the person's training speech, as loud at every moment as the
  recording: rhythm right, sounds wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.reference_rows import (
    ClipsRow,
    CopySynthesis,
    Natural,
    RandomTarget,
    read_clip,
    reference_of,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.features import MelSettings, log_from_mel, mel_from_log
from doppelbench.corpora.media import Audio

TRACK = "video-to-speech"


@register
class NaturalSpeech(Natural):
    """The recording itself."""

    spec: ClassVar[SystemSpec] = replace(
        Natural.spec, name="natural-speech", title="Natural recording", track=TRACK
    )


@register
class VocoderSpeech(CopySynthesis):
    """The recording through the vocoder."""

    spec: ClassVar[SystemSpec] = replace(
        CopySynthesis.spec,
        name="vocoder-speech",
        title="Vocoder copy-synthesis of the recording",
        track=TRACK,
    )


@register
class ShuffledSpeech(RandomTarget):
    """Another sentence of the same person."""

    spec: ClassVar[SystemSpec] = replace(
        RandomTarget.spec,
        name="shuffled-speech",
        title="Another sentence of the same person",
        track=TRACK,
        needs=RandomTarget.spec.needs | {"reference"},
    )

    def convert(self, trial: Trial) -> Output:
        """Cut the other sentence to the length of the film, or let silence follow it."""
        other = super().convert(trial).audio
        assert other is not None
        length = read_clip(reference_of(trial)).samples.size
        missing = max(0, length - other.samples.size)
        return Output(audio=Audio(np.pad(other.samples[:length], (0, missing)), other.rate))


@register
class EnergySpeech(ClipsRow):
    """The person's mean spectrum with the energy of the recording."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "energy-speech",
        "Mean spectrum of the person that follows the true energy",
        TRACK,
        needs=frozenset({"reference", "target-clips"}),
        reference_row=True,
    )

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelSettings()
        self.vocoder = GriffinLim(self.mel)
        self.means: dict[str, np.ndarray] = {}

    def convert(self, trial: Trial) -> Output:
        if trial.target not in self.means:
            self.means[trial.target] = mean_spectrum(self.clips.get(trial.target, []), trial.target, self.mel)
        shape = self.means[trial.target]
        true = mel_from_log(clip_log_mel(reference_of(trial), self.mel), self.mel)
        energy = np.sqrt(np.square(true).sum(axis=1) / np.square(shape).sum())
        return Output(audio=self.vocoder(log_from_mel(energy[:, None] * shape, self.mel)))


def mean_spectrum(clips: Sequence[Clip], target: str, mel: MelSettings) -> np.ndarray:
    """Root mean square over time of the mel magnitudes of somebody's clips, shape (bands,).

    Raises:
        MediaError: no clip can be read.
    """
    total, frames = np.zeros(mel.n_mels), 0
    for clip in clips:
        try:
            magnitudes = mel_from_log(clip_log_mel(clip, mel), mel)
        except MediaError:
            continue
        total += np.square(magnitudes, dtype=np.float64).sum(axis=0)
        frames += len(magnitudes)
    if not frames:
        raise MediaError("missing", f"there is no other recording of {target}")
    return np.sqrt(total / frames)
