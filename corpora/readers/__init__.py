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
        licence: of the data set, as far as it was looked up; empty where it was not.
    """

    name: str
    title: str
    layout: str
    split: str
    source: str
    target: str
    licence: str = ""

    def load(self) -> Callable[..., Corpus]:
        """Import the module and return its function ``read_<name>(root, ...) -> Corpus``."""
        module, function = self.target.split(":")
        return getattr(import_module(module), function)


def _spec(name: str, title: str, layout: str, split: str, source: str, licence: str = "") -> ReaderSpec:
    module = name.replace("-", "_")
    return ReaderSpec(name, title, layout, split, source, f"{__name__}.{module}:read_{module}", licence)


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
            "CC BY 4.0 (0.92), ODC-By 1.0 (0.80)",
        ),
        _spec(
            "librispeech",
            "LibriSpeech: read audio books, 16 kHz",
            "<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac and "
            "<speaker>-<chapter>.trans.txt",
            "train-*, dev-* and test-*, with disjoint speakers",
            "Panayotov, Chen, Povey, Khudanpur 2015, ICASSP",
            "CC BY 4.0",
        ),
        _spec(
            "ljspeech",
            "LJSpeech 1.1: 13100 passages of seven books, one speaker, 22.05 kHz",
            "metadata.csv (id|text|normalised text) and wavs/LJ001-0001.wav",
            "the last 250 clips test, the 250 before them dev",
            "ESPnet, egs2/ljspeech/tts1/local/data.sh",
            "public domain",
        ),
        _spec(
            "grid",
            "GRID: 34 talkers, 1000 six-word commands each, audio and video at 25 fps",
            "s1/*.mpg (or .mp4, .avi, .mkv), and align files below any folder align/ or beside the videos",
            "unseen, unseen-33: 16 training, 7 dev and 10 test speakers; seen, seen-4 (s1, s2, s4, s29): "
            "90/5/5 of every speaker's clips",
            "Kim, Hong, Ro 2021 (VCA-GAN) and its released code; Cooke, Barker, Cunningham, Shao 2006",
            "CC BY 4.0 by secondary sources; its own record was not read",
        ),
        _spec(
            "tcd-timit",
            "TCD-TIMIT: 3 lipspeakers and 59 volunteers, sentences of TIMIT, audio and video",
            "lipspeakers/Lipspkr1/Clips/straightcam/sa1.mp4 and volunteers/01M/Clips/straightcam/sa1.mp4",
            "lipspeakers: 90/5/5 by sentence; volunteers: 17 test speakers, a tenth of the others dev",
            "no list of the lipspeakers' clips was released; test volunteers as in public code, unverified",
            "by agreement with its makers",
        ),
        _spec(
            "lrw",
            "LRW: 500 words of BBC broadcasts, clips of 29 frames, speakers unknown",
            "<WORD>/train, val and test/<WORD>_00001.mp4",
            "the official train, val (as dev) and test",
            "Chung and Zisserman 2016, ACCV",
            "by agreement with its makers, not to be passed on",
        ),
        _spec(
            "common-voice",
            "Common Voice: one language of the crowd-sourced corpus",
            "train.tsv, dev.tsv and test.tsv beside clips/*.mp3, or <language>/ with them",
            "the official tables, with disjoint speakers; on request validated.tsv for training",
            "Ardila et al. 2020, LREC",
        ),
        _spec(
            "libritts",
            "LibriTTS and LibriTTS-R: sentences of read audio books, 24 kHz",
            "<subset>/<speaker>/<chapter>/<speaker>_<chapter>_<paragraph>_<sentence>.wav and .trans.tsv or "
            ".normalized.txt",
            "train-*, dev-* and test-*, with disjoint speakers",
            "Zen et al. 2019, Interspeech",
        ),
        _spec(
            "spoken-wikipedia",
            "Spoken Wikipedia Corpora 2.0: articles read by volunteers, aligned by word",
            "<article>/aligned.swc and audio.ogg",
            "80/10/10 by speaker",
            "no published split",
        ),
        _spec(
            "hifi-tts",
            "Hi-Fi TTS: ten readers of audio books, 44.1 kHz",
            "<reader>_manifest_<clean or other>_<train, dev or test>.json and audio/**/*.flac",
            "the official manifests, all readers in each",
            "Bakhturina, Lavrukhin, Ginsburg, Zhang 2021, arXiv:2104.01497",
        ),
        _spec(
            "openslr",
            "Multi-speaker sets of OpenSLR (SLR32, 35-37, 41-44, 52-54, 61-66, 69-80, 83)",
            "line_index.tsv, line_index.csv or utt_spk_text.tsv, and <id>.wav or .flac below it",
            "80/10/10 by speaker, or by sentence",
            "no published split",
        ),
        _spec(
            "voxceleb",
            "VoxCeleb1 and 2: interviews of 1251 and 6112 celebrities, audio, video or both",
            "id10001/<video>/00001.wav (or .m4a, .mp4) at any depth",
            "verification: folders named test and speakers id10270 to id10309 test; identification: "
            "iden_split.txt",
            "Nagrani, Chung, Zisserman 2017; Chung, Nagrani, Zisserman 2018",
        ),
        _spec(
            "cmu-arctic",
            "CMU ARCTIC: 1132 sentences, the same for most of 18 speakers",
            "cmu_us_<speaker>_arctic/wav/arctic_a0001.wav and etc/txt.done.data",
            "the last 100 sentences test, the 100 before them dev",
            "ESPnet, egs/arctic/tts1/run.sh",
            "free for any use with its notice",
        ),
        _spec(
            "asvspoof",
            "ASVspoof 2019 (LA, PA), 2021 (LA, PA, DF) and 5: real and spoofed speech",
            "ASVspoof2019.LA.cm.train.trn.txt (and so on), CM/trial_metadata.txt or ASVspoof5.train.tsv "
            "(and so on), and <trial>.flac",
            "the challenge's train, dev and eval (as test)",
            "Wang et al. 2020; Liu et al. 2023; Wang et al. 2024",
            "ODC-By 1.0 (2019 LA); the others were not looked up",
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
