"""Hi-Fi Multi-Speaker English TTS (Bakhturina et al. 2021, arXiv:2104.01497; openslr.org/109)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import numbered_lines, require_folder, wrong_layout
from doppelbench.corpora.readers.listed import Row, check_seconds, listed_corpus

LAYOUT = (
    "<reader>_manifest_<clean or other>_<train, dev or test>.json and audio/<reader>_<clean>/<book>/*.flac"
)
MANIFEST = re.compile(r"(?P<reader>\d+)_manifest_(?P<quality>clean|other)_(?P<split>train|dev|test)")
TEXTS = {"normalized": "text_normalized", "original": "text_no_preprocessing", "plain": "text"}


def read_hifi_tts(
    root: Path,
    *,
    quality: Literal["clean", "other"] | None = None,
    text: Literal["normalized", "original", "plain"] = "normalized",
    skip_missing: bool = False,
    check: bool = False,
) -> Corpus:
    """Read Hi-Fi TTS: ten readers of audio books; the manifests are the split, each with all readers.

    The quality (``clean`` or ``other``) becomes the style, the told length the column ``seconds``. No audio
    file is opened.

    Args:
        root: folder of the release, with the manifests.
        quality: only recordings of this quality; both when None.
        text: which text: ``normalized`` (numbers written out), ``original``, or ``plain`` (lower case without
            punctuation).
        skip_missing: leave out clips whose file is not there.
        check: look into every file and compare its length with the manifest's.

    Raises:
        InputError: for a missing root, another layout, a line that is no JSON or lacks a field, a clip listed
            twice or missing (each with the line), or a length that is wrong.
    """
    require_folder(root, LAYOUT)
    if quality not in (None, "clean", "other"):
        raise InputError(f"quality is clean or other, not {quality!r}")
    if text not in TEXTS:
        raise InputError(f"text is one of {', '.join(TEXTS)}, not {text!r}")
    manifests = [
        (path, name)
        for path in sorted(root.glob("*.json"))
        if (name := MANIFEST.fullmatch(path.stem)) and quality in (None, name["quality"])
    ]
    if not manifests:
        raise wrong_layout(root, LAYOUT)
    corpus = listed_corpus(
        "hifi_tts", _rows(root, manifests, TEXTS[text]), root, columns=("seconds",), skip_missing=skip_missing
    )
    if check:
        check_seconds(corpus)
    return corpus


def _rows(root: Path, manifests: list[tuple[Path, re.Match[str]]], text: str) -> Iterator[Row]:
    for path, name in manifests:
        for place, line in numbered_lines(path):
            entry = _entry(place, line, text)
            file = PurePosixPath(entry["audio_filepath"])
            # Names of files repeat from book to book, so that reader and book belong to the id.
            stem = "_".join(part for part in file.with_suffix("").parts if part not in ("/", "audio"))
            clip = Clip(
                stem,
                name["reader"],
                audio=str(root / file),
                text=entry[text],
                style=name["quality"],
                split=name["split"],
            )
            yield place, clip, (float(entry["duration"]),)


def _entry(place: str, line: str, text: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not a line of JSON ({error})") from None
    fields: dict[str, type | tuple[type, ...]] = {"audio_filepath": str, "duration": (int, float), text: str}
    for field, kind in fields.items():
        if not isinstance(entry, dict) or not isinstance(entry.get(field), kind):
            raise InputError(
                f"{place}: expected an object with {', '.join(fields)}; {field} is missing or wrong"
            )
    return entry
