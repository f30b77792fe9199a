"""Data-set readers, one module for each official layout."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    """What a listing shows of a reader.

    Attributes:
        name: key in :data:`READERS` and on the command line.
        title: the data set in one line.
        layout: the files expected below the root.
        split: how clips are divided into train, dev and test.
        source: where the split is stated.
        target: ``module:function`` inside this package, loaded when first used.
    """

    name: str
    title: str
    layout: str
    split: str
    source: str
    target: str

    def load(self) -> Callable[..., Corpus]:
        """Import the module and return its function ``read_<name>(root, ...) -> Corpus``."""
        module, function = self.target.split(":")
        return getattr(import_module(module), function)


def _spec(name: str, title: str, layout: str, split: str, source: str) -> ReaderSpec:
    return ReaderSpec(name, title, layout, split, source, f"{__name__}.{name}:read_{name}")


READERS: dict[str, ReaderSpec] = {
    spec.name: spec
    for spec in (
        _spec(
            "vctk",
            "CSTR VCTK Corpus 0.80 and 0.92: 109 or 110 speakers of English, 24 sentences in common",
            "wav48/p225/p225_001.wav or wav48_silence_trimmed/p225/p225_001_mic1.flac, and "
            "txt/p225/p225_001.txt; or p225/p225_001.wav",
            "80/10/10 by sentence: none of dev or test is heard in training from any speaker",
            "Serrà, Pascual, Segura 2019 (Blow), arXiv:1906.00794",
        ),
        _spec(
            "librispeech",
            "LibriSpeech: read audio books, 16 kHz",
            "<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac and "
            "<speaker>-<chapter>.trans.txt",
            "train-*, dev-* and test-*, with disjoint speakers",
            "Panayotov, Chen, Povey, Khudanpur 2015, ICASSP",
        ),
        _spec(
            "ljspeech",
            "LJSpeech 1.1: 13100 passages of seven books, one speaker, 22.05 kHz",
            "metadata.csv (id|text|normalised text) and wavs/LJ001-0001.wav",
            "the last 250 clips test, the 250 before them dev",
            "ESPnet, egs2/ljspeech/tts1/local/data.sh",
        ),
        _spec(
            "grid",
            "GRID: 34 talkers, 1000 six-word commands each, audio and video at 25 fps",
            "s1/*.mpg (or .mp4, .avi, .mkv), and align files below any folder align/ or beside the videos",
            "unseen: 16 training, 7 dev and 10 test speakers; seen: 90/5/5 of every speaker's clips",
            "Kim, Hong, Ro 2021 (VCA-GAN) and its released code; Cooke, Barker, Cunningham, Shao 2006",
        ),
        _spec(
            "folder",
            "Your own recordings: one folder a speaker, or one folder or file of one speaker",
            "<speaker>/**/*.wav (or any audio or video), with text in .txt files of the same name",
            "by time: the last tenth of every speaker's clips test, the tenth before them dev",
            "no published split",
        ),
        _spec(
            "csv",
            "A CSV manifest with a row for each clip",
            "columns id, speaker, audio, video, text, style, split, start, end, sha256; or as an option says",
            "the column split; or by sentence; or one split for all",
            "no published split",
        ),
        _spec(
            "kaldi",
            "A Kaldi data directory",
            "wav.scp and utt2spk; text and segments where there are any",
            "one directory is one split, told by its name or an option",
            "Kaldi, Data preparation (kaldi-asr.org/doc/data_prep.html)",
        ),
    )
}


def read_corpus(
    spec: str | Mapping[str, Any], root: str | os.PathLike[str] | None = None, **options: Any
) -> Corpus:
    """Read a corpus by the name of its reader.

    Args:
        spec: ``"vctk"`` with a root, ``"vctk:/data/VCTK"``, the path of a manifest (``.parquet``) or of a CSV
            manifest (``.csv``), or a mapping with ``reader``, ``root`` and options.
        root: folder or file of the data set; it takes precedence over that of ``spec``.
        **options: what the reader takes besides; they take precedence over those of ``spec``.

    Raises:
        InputError: for an unknown reader or option, a missing root, or bad data.
    """
    if isinstance(spec, Mapping):
        settings = {str(key): value for key, value in spec.items()} | options
        name = settings.pop("reader", None)
        stored = settings.pop("root", None)
        if not isinstance(name, str):
            raise InputError("a corpus needs the name of its reader under the key 'reader'")
    else:
        name, _, stored = spec.partition(":")
        settings = dict(options)
        suffix = Path(spec).suffix.lower()
        if name not in READERS and suffix == ".parquet":
            return Corpus.load(spec, root)
        if name not in READERS and suffix == ".csv":
            name, stored = "csv", spec
    if name not in READERS:
        raise InputError(f"there is no reader {name!r}; there are {', '.join(READERS)}")
    place = root if root is not None else stored
    if not place:
        raise InputError(f"reader {name}: say where the data set lies, as in '{name}:/path/to/it'")
    function = READERS[name].load()
    known = list(inspect.signature(function).parameters)[1:]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise InputError(f"reader {name}: unknown option {', '.join(unknown)}; there are {', '.join(known)}")
    return function(Path(place), **settings)
