"""Track ``voice-conversion``: each target says what other speakers said.

Trials cross every target with test utterances of people that no system was trained on (or of all other
speakers); where the target recorded the same sentence, that recording is the reference of the metrics that
need one.
"""

from collections.abc import Sequence
from typing import Literal

from doppelbench.benchmark.tracks.track import Track, is_source, spread
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.corpus import normalize_text
from doppelbench.corpora.errors import InputError

TRACK = Track(
    name="voice-conversion",
    title="Voice conversion: the target's voice, the source's words",
    metrics=("sca", "wer", "mcd", "secs", "secs_source", "pesq_wb", "pesq_nb", "stoi", "estoi"),
    ranking=("sca", "wer"),
    reference_rows=("natural", "copy-synthesis", "source", "source-copy-synthesis", "random-target"),
)


def make_trials(
    clips: Sequence[Clip],
    targets: Sequence[str],
    *,
    sources: Literal["unseen", "all", "own"] | Sequence[str] = "unseen",
    per_target: int | None = None,
    source_clips: Sequence[Clip] | None = None,
) -> list[Trial]:
    """List the trials of a corpus.

    Args:
        clips: clips of the test split; those of the targets serve as references.
        targets: speakers to convert into.
        sources: ``unseen`` takes utterances of speakers that are nobody's target, ``all`` those of every
            other speaker, a list those of the speakers in it; ``own`` has no meaning here.
        per_target: at most so many trials for a target, spread evenly over source speakers and sentences.
        source_clips: utterances to convert, when they come from another corpus than the targets.

    Returns:
        Trials ordered by target and source; an id is ``<source clip>_to_<target>``.

    Raises:
        InputError: ``own`` sources.
    """
    if sources == "own":
        raise InputError("trials.sources: nobody is converted into himself; name unseen, all or speakers")
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
            if clip.audio is not None and clip.speaker != target and is_source(clip.speaker, sources, targets)
        ]
        if per_target is not None:
            usable = spread(usable, per_target)
        for clip in usable:
            reference = references.get((target, normalize_text(clip.text))) if clip.text else None
            trials.append(Trial(f"{clip.id}_to_{target}", clip, target, reference))
    return trials
