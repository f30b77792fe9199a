"""Track ``audio-to-video``: somebody's speech drives the target's face (and, for some systems, voice).

Two kinds of trial. *Own*: the target's own test recordings drive the target; the natural film is the
reference of everything that compares pictures. *Driven*: recordings of other people drive the target; no film
of it exists, so these trials have metrics without a reference and, where the truth about the driving mouth is
known, the one that asks whether the mouth follows it.
"""

from collections.abc import Sequence
from typing import Literal

from doppelbench.benchmark.tracks.track import Track, is_source, own_films, spread
from doppelbench.corpora.clip import Clip, Trial

TRACK = Track(
    name="audio-to-video",
    title="Audio to video: the target's talking face, driven by speech",
    metrics=(
        "video_mse",
        "psnr_frames",
        "psnr_frames:region=mouth",
        "ssim:region=mouth",
        "still_frame_skill",
        "still_frame_skill:region=mouth",
        "sharpness:region=mouth",
        "temporal_error:region=mouth",
        "mouth_following",
        "av_offset",
        "av_confidence",
    ),
    ranking=("mouth_following", "still_frame_skill:region=mouth", "av_confidence"),
    reference_rows=(
        "natural-video",
        "codec-video",
        "shifted-video",
        "shuffled-video",
        "still-frame",
        "mean-frame",
    ),
    media="video",
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
        targets: people whose faces are drawn.
        sources: who drives them beside themselves: ``own`` nobody else, ``unseen`` people that are nobody's
            target, ``all`` every other speaker, a list those speakers.
        per_target: at most so many own trials of a target, and as many driven ones, spread evenly.
        source_clips: driving recordings, when they come from another corpus than the targets, such as one in
            another language.

    Returns:
        Trials ordered by target and source; an id is ``<source clip>_to_<target>``.
    """
    trials = []
    for target in targets:
        for clip in own_films(clips, target, per_target):
            trials.append(Trial(f"{clip.id}_to_{target}", clip, target, clip))
        if sources == "own":
            continue
        driving = [
            clip
            for clip in sorted(
                clips if source_clips is None else source_clips, key=lambda clip: (clip.speaker, clip.id)
            )
            if clip.audio and clip.speaker != target and is_source(clip.speaker, sources, targets)
        ]
        for clip in driving if per_target is None else spread(driving, per_target):
            trials.append(Trial(f"{clip.id}_to_{target}", clip, target, None))
    return trials
