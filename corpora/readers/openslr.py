"""Multi-speaker sets of OpenSLR with a line index (SLR32, 35-37, 41-44, 52-54, 61-66, 69-80, 83)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus, normalize_text
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import media_files, numbered_lines, require_folder, wrong_layout
from doppelbench.corpora.readers.listed import Row, listed_corpus
from doppelbench.corpora.readers.splits import EIGHTY_TEN_TEN, Fractions, by_key

LAYOUT = (
    "line_index.tsv (id, text), line_index.csv (line, id, text) or utt_spk_text.tsv (id, speaker, text), and "
    "<id>.wav or <id>.flac in its folder or below it"
)
ALL_LINES = "line_index_all.csv"
INDEXES = ("line_index.tsv", "line_index.csv", "utt_spk_text.tsv")


def read_openslr(
    root: Path,
    *,
    split_by: Literal["speaker", "sentence"] = "speaker",
    seed: int = 0,
    fractions: Fractions = EIGHTY_TEN_TEN,
    skip_missing: bool = False,
) -> Corpus:
    """Read crowd-sourced multi-speaker recordings of OpenSLR, of one set or of several below one root.

    Three indexes are known: ``line_index.tsv`` of the high-quality sets, ``line_index.csv`` of SLR83
    (dialects of the British Isles), and ``utt_spk_text.tsv`` of the large sets for recognition. Where the
    index does not name the speaker, it is the id without its last part (``jvf_00264_0002789834`` is of
    ``jvf_00264``). The name of the index's folder becomes the style. The sets state no split: a tenth of the
    speakers each is drawn for dev and test.

    Args:
        root: folder that holds indexes and recordings at any depth.
        split_by: keep ``speaker``s apart, or ``sentence``s (speakers are then in every split).
        seed: of the shuffle of speakers or sentences.
        fractions: of the speakers or sentences that go to train, dev and test.
        skip_missing: leave out clips whose file is not there.

    Raises:
        InputError: for a missing root, another layout, a broken line, an id without a speaker, or a clip
            listed twice or missing (each with the line).
    """
    require_folder(root, LAYOUT)
    if split_by not in ("speaker", "sentence"):
        raise InputError(f"split_by is speaker or sentence, not {split_by!r}")
    lists = media_files(root, frozenset({".tsv", ".csv"}))
    # SLR83 offers one list for all its parts beside their own.
    indexes = [path for path in lists if path.name in INDEXES] or [
        path for path in lists if path.name == ALL_LINES
    ]
    if not indexes:
        raise wrong_layout(root, LAYOUT)
    rows = (row for index in indexes for row in _rows(index))
    corpus = listed_corpus("openslr", rows, root, skip_missing=skip_missing)
    table = corpus.table
    keys = table["speaker"] if split_by == "speaker" else table["text"].map(normalize_text)
    splits = by_key(keys.tolist(), seed=seed, fractions=fractions)
    return Corpus("openslr", table.assign(split=splits), root)


def _rows(index: Path) -> Iterator[Row]:
    sounds = {path.stem: path for path in media_files(index.parent, frozenset({".wav", ".flac"}))}
    for place, line in numbered_lines(index):
        name, speaker, text = _fields(index, place, line)
        audio = sounds.get(name, index.parent / f"{name}.wav")
        yield place, Clip(name, speaker, audio=str(audio), text=text, style=index.parent.name), ()


def _fields(index: Path, place: str, line: str) -> tuple[str, str, str]:
    """Id, speaker and text of a line."""
    if index.suffix == ".csv":
        fields = [field.strip() for field in line.split(",", 2)]
        expected = "line, id, text divided by commas"
    else:
        fields = [field.strip() for field in line.split("\t")]
        expected = "id, speaker, text" if index.name == "utt_spk_text.tsv" else "id, text"
        expected += " divided by tabs"
    if len(fields) != len(expected.split(" divided")[0].split(", ")) or not all(fields):
        raise InputError(f"{place}: expected {expected}, got {line!r}")
    if index.name == "utt_spk_text.tsv":
        return fields[0], fields[1], fields[2]
    name, text = fields[-2:]
    speaker = name.rpartition("_")[0]
    if not speaker:
        raise InputError(f"{place}: {name!r} does not begin with a speaker, as jvf_00264_0002789834 does")
    return name, speaker, text
