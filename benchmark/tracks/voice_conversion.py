"""Track ``voice-conversion``: each target says what other speakers said.

Trials cross every target with test utterances of people that no system was trained on (or of all other
speakers); where the target recorded the same sentence, that recording is the reference of the metrics that
need one.
"""

from collections.abc import Sequence
from typing import Literal

from doppelbench.benchmark.tracks.track import Track
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.corpus import normalize_text

TRACK = Track(
    name="voice-conversion",
    title="Voice conversion: the target's voice, the source's words",
    metrics=("sca", "wer", "mcd", "secs", "secs_source", "pesq_wb", "pesq_nb", "stoi", "estoi"),
    ranking=("sca", "wer"),
    reference_rows=("natural", "copy-synthesis", "source", "source-copy-synthesis", "random-target"),
)


def voice_conversion_trials(
    clips: Sequence[Clip],
    targets: Sequence[str],
    *,
    sources: Literal["unseen", "all"] | Sequence[str] = "unseen",
    per_target: int | None = None,
    source_clips: Sequence[Clip] | None = None,
) -> list[Trial]:
    """List the trials of a corpus.

    Args:
        clips: clips of the test split; those of the targets serve as references.
        targets: speakers to convert into.
        sources: ``unseen`` takes utterances of speakers that are nobody's target, ``all`` those of every
            other speaker, a list those of the speakers in it.
        per_target: at most so many trials for a target, spread evenly over source speakers and sentences.
        source_clips: utterances to convert, when they come from another corpus than the targets.

    Returns:
        Trials ordered by target and source; an id is ``<source clip>_to_<target>``.
    """
    references: dict[tuple[str, str], Clip] = {}
    for clip in clips:
        if clip.speaker in targets and clip.text:
            references.setdefault((clip.speaker, normalize_text(clip.text)), clip)
    candidates = clips if source_clips is None else source_clips
    trials = []
    for target in targets:
        usable = [
            clip
            for clip in sorted(candidates, key=lambda clip: (clip.speaker, clip.id))
            if clip.audio is not None
            and clip.speaker != target
            and _is_source(clip.speaker, sources, targets)
        ]
        if per_target is not None:
            usable = spread(usable, per_target)
        for clip in usable:
            reference = references.get((target, normalize_text(clip.text))) if clip.text else None
            trials.append(Trial(f"{clip.id}_to_{target}", clip, target, reference))
    return trials


def _is_source(speaker: str, sources: str | Sequence[str], targets: Sequence[str]) -> bool:
    if sources == "all":
        return True
    return speaker not in targets if sources == "unseen" else speaker in sources


def spread(clips: Sequence[Clip], limit: int) -> list[Clip]:
    """Take at most ``limit`` clips in turn from every speaker, each speaker starting at another sentence."""
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    queues = [
        own[(index * len(own)) // len(by_speaker) :] + own[: (index * len(own)) // len(by_speaker)]
        for index, own in enumerate(by_speaker.values())
    ]
    chosen: list[Clip] = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        chosen.extend(queue[turn] for queue in queues if turn < len(queue))
    kept = {clip.id for clip in chosen[:limit]}
    return [clip for clip in clips if clip.id in kept]
