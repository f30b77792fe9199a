"""LJSpeech 1.1 (Ito and Johnson 2017, keithito.com/LJ-Speech-Dataset)."""

from pathlib import Path

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus, check_files
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import numbered_lines, require_folder, wrong_layout

LAYOUT = "metadata.csv with lines id|text|normalised text, and wavs/<id>.wav"
SPEAKER = "LJ"
HELD_OUT = 250


def read_ljspeech(root: Path, *, held_out: int | None = None, normalized: bool = True) -> Corpus:
    """Read LJSpeech: the last 250 clips are test, the 250 before them dev, the rest train.

    That is ESPnet's split (egs2/ljspeech/tts1/local/data.sh); the data set itself states none.

    Args:
        root: folder with metadata.csv.
        held_out: clips in dev and in test each; 250 when None, but at most a tenth of the clips.
        normalized: take the text with numbers and abbreviations written out.

    Raises:
        InputError: for a missing root, another layout, an empty or broken metadata.csv, missing audio, or
            more clips held out than there are.
    """
    require_folder(root, LAYOUT)
    metadata = root / "metadata.csv"
    if not metadata.is_file() or not (root / "wavs").is_dir():
        raise wrong_layout(root, LAYOUT)
    clips = []
    for place, line in numbered_lines(metadata):
        fields = line.split("|")
        if len(fields) != 3:
            raise InputError(
                f"{place}: expected id|text|normalised text, got {len(fields)} field(s): {line!r}"
            )
        audio = root / "wavs" / f"{fields[0]}.wav"
        clips.append(Clip(fields[0], SPEAKER, audio=str(audio), text=fields[2 if normalized else 1]))
    check_files([clip.audio for clip in clips if clip.audio], str(metadata))
    count = min(HELD_OUT, len(clips) // 10) if held_out is None else held_out
    if count < 0 or 2 * count > len(clips):
        raise InputError(f"{metadata}: cannot hold out {count} clips twice of {len(clips)}")
    splits = ["train"] * (len(clips) - 2 * count) + ["dev"] * count + ["test"] * count
    corpus = Corpus.from_clips("ljspeech", sorted(clips, key=lambda clip: clip.id), root)
    return Corpus("ljspeech", corpus.table.assign(split=splits), root)
