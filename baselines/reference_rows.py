"""Reference rows of voice conversion: systems that need no training and pin the scale of every table.

A figure means little without them: doing nothing scores about 8 dB of mel-cepstral distortion between VCTK
speakers, and a vocoder alone takes part of what a system seems to lose.

* ``natural``: the target's own recording of the sentence, the ceiling of every metric;
* ``source``: the source unconverted, the floor of speaker metrics and the ceiling of content metrics;
* ``copy-synthesis``: the target's own recording through the vocoder, what a perfect conversion would score;
* ``source-copy-synthesis``: the source through the vocoder, what the vocoder alone costs in content;
* ``random-target``: some other clip of the target, the ceiling of speaker metrics and the floor of content
  metrics.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.corpus import normalize_text
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.features import MelSettings
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.hashing import content_key
from doppelbench.engine.trainer import TrainerSettings

RATE = 16000
TRACK = "voice-conversion"


def read_clip(clip: Clip) -> Audio:
    """Read a clip as every system sees it: mono, 16 kHz, at the house's level."""
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no audio")
    audio = read_audio(clip.audio, rate=RATE, start=clip.start, end=clip.end)
    return Audio(normalize_level(audio.samples, audio.rate), audio.rate)


def reference_of(trial: Trial) -> Clip:
    """Return the parallel recording of a trial; a trial without one is a MediaError of status ``missing``."""
    if trial.reference is None:
        raise MediaError("missing", f"trial {trial.id} has no recording of this sentence by {trial.target}")
    return trial.reference


class ReferenceRow(System):
    """A system without parameters; fitting, saving and loading do nothing."""

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Nothing is trained."""

    def save(self, directory: Path) -> None:
        """There is nothing to save."""

    @classmethod
    def load(cls, directory: Path) -> "ReferenceRow":
        return cls()


class ClipsRow(ReferenceRow):
    """A reference row that answers with what it knows of the target's clips."""

    def __init__(self) -> None:
        self.clips: dict[str, list[Clip]] = {}

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Keep the clips by speaker."""
        for clip in clips:
            self.clips.setdefault(clip.speaker, []).append(clip)


@register
class Natural(ReferenceRow):
    """The target's own recording."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "natural",
        "Natural target recording",
        TRACK,
        needs=frozenset({"reference"}),
        reference_row=True,
    )

    def convert(self, trial: Trial) -> Output:
        return Output(audio=read_clip(reference_of(trial)))


@register
class Source(ReferenceRow):
    """The source, unconverted."""

    spec: ClassVar[SystemSpec] = SystemSpec("source", "Unconverted source", TRACK, reference_row=True)

    def convert(self, trial: Trial) -> Output:
        return Output(audio=read_clip(trial.source))


class CopyRow(ReferenceRow):
    """A natural recording through the vocoder that the systems use."""

    def __init__(self) -> None:
        self.mel = MelSettings()
        self.vocoder = GriffinLim(self.mel)

    def copy(self, clip: Clip) -> Output:
        return Output(audio=self.vocoder(clip_log_mel(clip, self.mel)))


@register
class CopySynthesis(CopyRow):
    """The target's own recording through the vocoder."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "copy-synthesis",
        "Vocoder copy-synthesis of the natural target",
        TRACK,
        needs=frozenset({"reference"}),
        reference_row=True,
    )

    def convert(self, trial: Trial) -> Output:
        return self.copy(reference_of(trial))


@register
class SourceCopySynthesis(CopyRow):
    """The source through the vocoder."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "source-copy-synthesis", "Vocoder copy-synthesis of the source", TRACK, reference_row=True
    )

    def convert(self, trial: Trial) -> Output:
        return self.copy(trial.source)


@register
class RandomTarget(ClipsRow):
    """A clip of the target that has nothing to do with the source; which one follows from the trial's id."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "random-target",
        "Random clip of the target",
        TRACK,
        needs=frozenset({"target-clips"}),
        reference_row=True,
    )

    def convert(self, trial: Trial) -> Output:
        avoided = normalize_text(trial.source.text or "")
        candidates = sorted(
            (
                clip
                for clip in self.clips.get(trial.target, [])
                if not clip.text or normalize_text(clip.text) != avoided
            ),
            key=lambda clip: clip.id,
        )
        if not candidates:
            raise MediaError("missing", f"there is no other clip of {trial.target}")
        seed = int(content_key(trial.id)[:8], 16)
        return Output(audio=read_clip(candidates[np.random.default_rng(seed).integers(len(candidates))]))
