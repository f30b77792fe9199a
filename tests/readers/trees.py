"""What the tests of readers share: miniature data sets of empty files, and short views of what was read."""

from pathlib import Path

import pytest

from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers import read_corpus


def touch(path: Path, content: str = "media") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path


def fields(corpus: Corpus, *names: str) -> list[tuple]:
    return [tuple(getattr(clip, name) for name in names) for clip in corpus.clips()]


def cells(corpus: Corpus, column: str) -> list:
    table = corpus.table
    return [None if value != value else value for value in table[column].tolist()]


def sizes(corpus: Corpus) -> dict[str, int]:
    return corpus.table["split"].value_counts().to_dict()


def split_of(corpus: Corpus, key: str) -> dict[str, set[str]]:
    """Splits in which each value of a column occurs."""
    return corpus.table.groupby(key)["split"].agg(set).to_dict()


def refuse(reader: str, root: Path, message: str, **options: object) -> None:
    with pytest.raises(InputError, match=message):
        read_corpus(reader, root, **options)


def forbid_opening_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every look into a media file fail."""

    def fail(*_args: object, **_options: object) -> None:
        raise AssertionError("a media file was opened")

    for name in ("soundfile.info", "soundfile.read", "soundfile.SoundFile", "av.open"):
        monkeypatch.setattr(name, fail)
