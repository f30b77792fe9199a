"""Track ``video-to-speech``: silent film in, the speech of the person in it out.

A trial is a test film without its sound; the recording itself is the reference. A system knows the person's
voice from other clips. ``seen`` people have films in the training, others have none; which they are is
decided by the training clips, not by the trials. Timing is the film's, so metrics compare sample by sample,
as it is and after the best global lag of the
spectrograms was taken off.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from doppelbench.benchmark.tracks.track import Track, own_films
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError

TRACK = Track(
    name="video-to-speech",
    title="Video to speech: what the person in a silent film says",
    metrics=(
        "estoi",
        "estoi:align=mel",
        "stoi",
        "stoi:align=mel",
        "pesq_wb",
        "pesq_nb",
        "wer",
        "wer_heard",
        "mcd",
        "lag:by=mel",
        "secs",
    ),
    ranking=("estoi", "wer"),
    reference_rows=("natural-speech", "vocoder-speech", "shuffled-speech", "energy-speech"),
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
        clips: clips of the test split.
        targets: people whose films are spoken.
        sources: has no meaning here; nobody else drives a film.
        per_target: at most so many trials for a person.
        source_clips: not looked at: a second corpus gives further people whose sound a system may be
            pre-trained on.

    Returns:
        Trials ordered by person and clip; an id is that of the clip. The source has no sound, so that no
        system can hear it.

    Raises:
        InputError: sources are named.
    """
    if sources not in ("unseen", "own"):
        raise InputError("trials.sources: in video-to-speech every film is its own source; name none")
    trials = []
    for target in targets:
        for clip in own_films(clips, target, per_target):
            trials.append(Trial(clip.id, replace(clip, audio=None), target, clip))
    return trials
