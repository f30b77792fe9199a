"""CMU ARCTIC (Kominek and Black 2004, SSW5; festvox.org/cmu_arctic)."""

import re
from collections.abc import Iterator
from pathlib import Path

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import numbered_lines, require_folder, wrong_layout
from doppelbench.corpora.readers.listed import Row, listed_corpus

LAYOUT = "cmu_us_<speaker>_arctic/wav/arctic_a0001.wav and cmu_us_<speaker>_arctic/etc/txt.done.data"
FOLDER = re.compile(r"cmu_us_(?P<speaker>[a-z]+\d*)_arctic.*")
PROMPT = re.compile(r'\(\s*(?P<name>[\w-]+)\s+"(?P<text>.*)"\s*\)')
HELD_OUT = 100


def read_cmu_arctic(root: Path, *, held_out: int | None = None, skip_missing: bool = False) -> Corpus:
    """Read CMU ARCTIC: up to 1132 sentences, the same for most of its 18 speakers.

    The last 100 sentences are test and the 100 before them dev, as ESPnet divides each speaker's
    (egs/arctic/tts1/run.sh); here it is by the sentence's name, so that parallel clips stay together. Some
    releases list a few prompts that were not recorded: ``skip_missing`` leaves them out.
    ``torchaudio.datasets.CMUARCTIC`` can download it.

    Args:
        root: folder of the speakers' folders, or one of those.
        held_out: sentences in dev and in test each; 100 when None, but at most a tenth of the sentences.
        skip_missing: leave out prompts without a recording.

    Raises:
        InputError: for a missing root, another layout, a line that is no prompt, a prompt listed twice or
            without a recording (each with the line), or more sentences held out than there are.
    """
    require_folder(root, LAYOUT)
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    speakers = [
        (folder, name["speaker"])
        for folder in folders
        if (name := FOLDER.fullmatch(folder.absolute().name)) and (folder / "wav").is_dir()
    ]
    if not speakers:
        raise wrong_layout(root, LAYOUT)
    rows = (row for folder, speaker in speakers for row in _rows(folder, speaker))
    corpus = listed_corpus("cmu_arctic", rows, root, columns=("prompt",), skip_missing=skip_missing)
    prompts = sorted(corpus.table["prompt"].unique())
    count = min(HELD_OUT, len(prompts) // 10) if held_out is None else held_out
    if count < 0 or 2 * count > len(prompts):
        raise InputError(f"{root}: cannot hold out {count} sentences twice of {len(prompts)}")
    splits = ["train"] * (len(prompts) - 2 * count) + ["dev"] * count + ["test"] * count
    split_of = dict(zip(prompts, splits, strict=True))
    table = corpus.table.assign(split=corpus.table["prompt"].map(split_of))
    return Corpus("cmu_arctic", table, root)


def _rows(folder: Path, speaker: str) -> Iterator[Row]:
    for place, line in numbered_lines(folder / "etc" / "txt.done.data"):
        prompt = PROMPT.fullmatch(line)
        if prompt is None:
            raise InputError(f'{place}: expected ( name "text" ), got {line!r}')
        audio = folder / "wav" / f"{prompt['name']}.wav"
        text = prompt["text"].replace('\\"', '"')
        yield (
            place,
            Clip(f"{speaker}_{prompt['name']}", speaker, audio=str(audio), text=text),
            (prompt["name"],),
        )
