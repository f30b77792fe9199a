"""VoxCeleb1 (Nagrani, Chung, Zisserman 2017, Interspeech) and VoxCeleb2 (Chung, Nagrani, Zisserman 2018)."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    media_files,
    numbered_lines,
    require_folder,
    wrong_layout,
)
from doppelbench.corpora.readers.listed import Row, listed_corpus

LAYOUT = (
    "id10001/<video>/00001.wav at any depth, as in wav/ (VoxCeleb1), dev/aac/ (.m4a) and dev/mp4/ (VoxCeleb2)"
)
SPEAKER = re.compile(r"id\d{5}")
TEST_FOLDER = re.compile(r"(vox\d_)?test(_(wav|aac|mp4))?")
# Of VoxCeleb1: the speakers whose names begin with E.
TEST_SPEAKERS = frozenset(f"id{number}" for number in range(10270, 10310))
IDENTIFICATION_SPLITS = {"1": "train", "2": "dev", "3": "test"}
Key = tuple[str, str, str]


def read_voxceleb(
    root: Path,
    *,
    protocol: Literal["verification", "identification"] = "verification",
    skip_missing: bool = False,
) -> Corpus:
    """Read VoxCeleb1 or VoxCeleb2, sound or films or both; the video that a clip is from is its style.

    For ``verification`` train and test have no speaker in common: test is what lies in a folder named test
    (as ``test/aac`` or ``vox1_test_wav``), and the 40 speakers id10270 to id10309 of VoxCeleb1's test set;
    all else is train, and there is no dev. For ``identification`` (VoxCeleb1) the official
    ``iden_split.txt`` tells train, dev and test, with all speakers in each. There are no texts. No media
    file is opened. ``torchaudio.datasets.VoxCeleb1Identification`` can download VoxCeleb1 with an account.

    Args:
        root: folder of the release, at any depth above the speakers.
        protocol: ``verification``, or ``identification``, which needs ``iden_split.txt`` in the root.
        skip_missing: leave out clips that ``iden_split.txt`` names and that are not there.

    Raises:
        InputError: for a missing root, another layout, a clip found twice, or for ``identification`` a
            missing list, a broken line, or a clip listed twice or missing (each with the line).
    """
    require_folder(root, LAYOUT)
    if protocol not in ("verification", "identification"):
        raise InputError(f"protocol is verification or identification, not {protocol!r}")
    sounds = _clips(root, AUDIO_SUFFIXES)
    films = _clips(root, VIDEO_SUFFIXES)
    if not sounds and not films:
        raise wrong_layout(root, LAYOUT)
    if protocol == "verification":
        keys = sorted(sounds.keys() | films.keys())
        clips = [_clip(key, sounds, films, _verification(root, key, sounds, films)) for key in keys]
        return Corpus.from_clips("voxceleb", clips, root)
    rows = _identification(root / "iden_split.txt", sounds, films)
    return listed_corpus("voxceleb", rows, root, skip_missing=skip_missing)


def _clips(root: Path, suffixes: frozenset[str]) -> dict[Key, Path]:
    found: dict[Key, Path] = {}
    for path in media_files(root, suffixes):
        key = (path.parent.parent.name, path.parent.name, path.stem)
        if not SPEAKER.fullmatch(key[0]):
            continue
        if key in found:
            raise InputError(f"{path}: the clip is also in {found[key]}; read one copy at a time")
        found[key] = path
    return found


def _clip(key: Key, sounds: dict[Key, Path], films: dict[Key, Path], split: str) -> Clip:
    film = films.get(key)
    return Clip(
        "_".join(key),
        key[0],
        audio=str(sounds.get(key, film)),
        video=None if film is None else str(film),
        style=key[1],
        split=split,
    )


def _verification(root: Path, key: Key, sounds: dict[Key, Path], films: dict[Key, Path]) -> str:
    path = sounds[key] if key in sounds else films[key]
    folders = (root.absolute().name, *path.relative_to(root).parts[:-3])
    in_test = any(TEST_FOLDER.fullmatch(folder) for folder in folders)
    return "test" if in_test or key[0] in TEST_SPEAKERS else "train"


def _identification(path: Path, sounds: dict[Key, Path], films: dict[Key, Path]) -> Iterator[Row]:
    for place, line in numbered_lines(path):
        number, _, name = line.partition(" ")
        parts = PurePosixPath(name.strip()).parts
        if number not in IDENTIFICATION_SPLITS or len(parts) != 3 or not SPEAKER.fullmatch(parts[0]):
            raise InputError(
                f"{place}: expected 1, 2 or 3 and a clip such as id10001/<video>/00001.wav, got {line!r}"
            )
        key = (parts[0], parts[1], PurePosixPath(parts[2]).stem)
        if key not in films:
            sounds.setdefault(key, path.parent / name.strip())
        yield place, _clip(key, sounds, films, IDENTIFICATION_SPLITS[number]), ()
