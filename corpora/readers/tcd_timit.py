"""TCD-TIMIT audio-visual corpus of TIMIT sentences (Harte and Gillen 2015, doi:10.1109/TMM.2015.2407694)."""

import re
from pathlib import Path
from typing import Literal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import (
    VIDEO_SUFFIXES,
    media_files,
    read_text,
    require_folder,
    wrong_layout,
)
from doppelbench.corpora.readers.splits import by_key

LAYOUT = (
    "lipspeakers/Lipspkr1/Clips/straightcam/sa1.mp4 and volunteers/01M/Clips/straightcam/sa1.mp4 "
    "(.wav and .txt files of the same names beside them where there are any)"
)
SPEAKERS = {"lipspeakers": re.compile(r"Lipspkr\d"), "volunteers": re.compile(r"\d\d[FM]")}
LIPSPEAKER_FRACTIONS = (0.9, 0.05, 0.05)
TEST_VOLUNTEERS = frozenset(
    [
        "08F",
        "09F",
        "15F",
        "18M",
        "25M",
        "28M",
        "33F",
        "34M",
        "36F",
        "41M",
        "44F",
        "45F",
        "49F",
        "54M",
        "55F",
        "56M",
        "58F",
    ]
)
DEV_FRACTIONS = (0.9, 0.1, 0.0)
# Transcripts of TIMIT begin with the first and the last sample.
SAMPLE_COUNTS = re.compile(r"^\d+\s+\d+\s+")


def read_tcd_timit(
    root: Path,
    *,
    protocol: Literal["lipspeakers", "volunteers"] = "lipspeakers",
    camera: str = "straightcam",
    seed: int = 0,
) -> Corpus:
    """Read TCD-TIMIT: the three lipspeakers, known in training, or the volunteers, unknown at test.

    What is known of the splits: papers on video-to-speech take the three lipspeakers (377 sentences each);
    their lists were never released. A division into 1014, 57 and 60 clips is recalled and unverified, and
    near to the 90/5/5 used here, which is by sentence, so that no sentence of dev or test is in train from
    anybody. The 17 test volunteers are those that a public script calls the recommended split; they were not
    compared with the paper. No list of dev volunteers is known, so a tenth of the others is drawn.

    The text of a clip comes from the ``.txt`` file beside it (sample counts of TIMIT are left out); the sound
    from the ``.wav`` file beside it, or else from the film.

    Args:
        root: folder of the release, of a group or of speakers, at any depth.
        protocol: ``lipspeakers`` or ``volunteers``; the other group is left out.
        camera: folder of the view, ``straightcam`` or ``30degcam``.
        seed: of the shuffle of sentences, or of volunteers that are not in test.

    Raises:
        InputError: for a missing root, another layout, no clip of the group and camera, two films of one
            sentence, or a text that is not UTF-8.
    """
    require_folder(root, LAYOUT)
    if protocol not in SPEAKERS:
        raise InputError(f"protocol is lipspeakers or volunteers, not {protocol!r}")
    clips = []
    for path in media_files(root, VIDEO_SUFFIXES):
        speaker = _speaker(root, path, SPEAKERS[protocol])
        if speaker is None or path.parent.name != camera:
            continue
        script, sound = path.with_suffix(".txt"), path.with_suffix(".wav")
        clips.append(
            Clip(
                f"{speaker}_{path.stem}",
                speaker,
                audio=str(sound if sound.is_file() else path),
                video=str(path),
                text=SAMPLE_COUNTS.sub("", read_text(script)) if script.is_file() else None,
                style=camera,
            )
        )
    if not clips:
        raise wrong_layout(root, f"clips of {protocol} in folders {camera}: {LAYOUT}")
    table = Corpus.from_clips("tcd_timit", clips, root).table
    if protocol == "lipspeakers":
        sentences = [clip.id.partition("_")[2].lower() for clip in clips]
        splits = by_key(sentences, seed=seed, fractions=LIPSPEAKER_FRACTIONS)
    else:
        splits = _of_volunteers([clip.speaker for clip in clips], seed)
    return Corpus("tcd_timit", table.assign(split=splits), root)


def _speaker(root: Path, path: Path, pattern: re.Pattern[str]) -> str | None:
    parts = (root.absolute().name, *path.relative_to(root).parent.parts)
    return next((part for part in reversed(parts) if pattern.fullmatch(part)), None)


def _of_volunteers(speakers: list[str], seed: int) -> list[str]:
    others = sorted(set(speakers) - TEST_VOLUNTEERS)
    split_of = dict(zip(others, by_key(others, seed=seed, fractions=DEV_FRACTIONS), strict=True))
    return [split_of.get(speaker, "test") for speaker in speakers]
