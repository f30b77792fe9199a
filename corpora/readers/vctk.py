"""CSTR VCTK Corpus, versions 0.80 and 0.92 (Yamagishi, Veaux, MacDonald 2019, doi:10.7488/ds/2645)."""

import re
from pathlib import Path

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus, normalize_text
from doppelbench.corpora.readers.layout import media_files, read_text, require_folder, wrong_layout
from doppelbench.corpora.readers.splits import EIGHTY_TEN_TEN, Fractions, by_key

LAYOUT = (
    "wav48/p225/p225_001.wav (0.80), wav48_silence_trimmed/p225/p225_001_mic1.flac (0.92), "
    "or p225/p225_001.wav"
)
FILE_NAME = re.compile(r"(?P<speaker>[ps]\d+)_(?P<number>\d+)(_(?P<mic>mic\d))?")
AUDIO_FOLDERS = ("wav48_silence_trimmed", "wav48", "wav16")


def read_vctk(
    root: Path, *, mic: str = "mic1", seed: int = 0, fractions: Fractions = EIGHTY_TEN_TEN
) -> Corpus:
    """Read VCTK, divided by sentence as Blow does (Serrà, Pascual, Segura 2019, arXiv:1906.00794).

    Sentences are told apart by their text; where a clip has none, by the number in its file name (001 to 024
    are the same sentences for all speakers).

    Args:
        root: folder of the release, or of one folder for each speaker.
        mic: which microphone of version 0.92 (``mic1`` or ``mic2``).
        seed: of the shuffle of sentences.
        fractions: of the sentences that go to train, dev and test.

    Raises:
        InputError: for a missing root or another layout.
    """
    require_folder(root, LAYOUT)
    folder = next((root / name for name in AUDIO_FOLDERS if (root / name).is_dir()), root)
    clips, sentences = [], []
    for path in media_files(folder, frozenset({".wav", ".flac"})):
        name = FILE_NAME.fullmatch(path.stem)
        if name is None or name["mic"] not in (None, mic):
            continue
        speaker, number = name["speaker"], name["number"]
        script = root / "txt" / speaker / f"{speaker}_{number}.txt"
        text = read_text(script) if script.is_file() else None
        clips.append(Clip(f"{speaker}_{number}", speaker, audio=str(path), text=text))
        sentences.append(normalize_text(text) if text else number)
    if not clips:
        raise wrong_layout(root, LAYOUT)
    corpus = Corpus.from_clips("vctk", clips, root)
    splits = by_key(sentences, seed=seed, fractions=fractions)
    return Corpus("vctk", corpus.table.assign(split=splits), root)
