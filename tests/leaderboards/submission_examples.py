"""A tiny submission that is in order, and archives built entry by entry."""

import json
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from doppelbench.corpora.media import Audio, Video, write_video
from doppelbench.leaderboards.submission_manifest import template
from doppelbench.leaderboards.submission_trials import TrialRow, TrialSheet, read_sheet, write_sheet

RATE = 16000
SECONDS = 0.4
FPS = 10.0
SIZE = 32
CORPUS_HASH = "c" * 64
FILLED = {
    "system": {"name": "my-system", "description": "It copies voices in a new way."},
    "authors": ["A. Author", "Zoë Ø"],
    "contact": "author@example.org",
    "licence": "CC-BY-4.0",
    "training": {"data": "Three hours of VCTK.", "zero_shot": True, "extra_data": True},
    "parameters": 1_000_000,
    "compute": "1 GPU, 6 hours",
    "code": "https://example.org/code",
    "paper": None,
    "consent": {"voices_and_faces": True, "labelled_synthetic": True, "statement": "Asked and answered."},
}


def sheet(count: int = 3, *, film: bool = False) -> TrialSheet:
    """Trials t0, t1 ... of one target."""
    rows = tuple(
        TrialRow(
            trial=f"t{number}",
            source=f"s{number}",
            target="ana",
            output=f"outputs/t{number}.{'mkv' if film else 'flac'}",
            seconds=SECONDS,
            fps=FPS if film else None,
            size=SIZE if film else None,
        )
        for number in range(count)
    )
    return read_sheet(write_sheet(TrialSheet(rows)))


def filled_manifest(trials: TrialSheet, **changes: Any) -> dict[str, Any]:
    """A manifest without a mistake; ``changes`` replace its fields."""
    known = template(
        recipe="tiny",
        track="audio-to-video" if trials.media == "video" else "voice-conversion",
        corpus="synthetic",
        corpus_hash=CORPUS_HASH,
        trials_hash=trials.hash,
    )
    return {**json.loads(known), **FILLED, **changes}


def noise(seed: int, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Noise that no two seeds share."""
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate))


def film(seed: int, *, sound: bool = True, size: int = SIZE, seconds: float = SECONDS) -> Video:
    """Random pictures with noise."""
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (round(seconds * FPS), size, size, 3), dtype=np.uint8)
    audio = Audio(noise(seed, seconds).astype(np.float32), RATE) if sound else None
    return Video(frames, FPS, audio)


def write_text(folder: Path, name: str, content: "str | bytes | dict[str, Any]") -> None:
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def make_submission(folder: Path, trials: TrialSheet | None = None) -> Path:
    """A folder in which everything is right."""
    trials = trials or sheet()
    (folder / "outputs").mkdir(parents=True)
    write_text(folder, "submission.json", filled_manifest(trials))
    write_text(folder, "trials.csv", write_sheet(trials))
    for number, row in enumerate(trials.rows):
        if trials.media == "video":
            write_video(folder / row.output, film(number))
        else:
            soundfile.write(folder / row.output, noise(number), RATE)
    return folder


def copy_of(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place))


class Entry:
    """One entry of an archive, every byte of whose headers can be wrong."""

    def __init__(
        self,
        name: "str | bytes",
        content: bytes = b"x",
        *,
        mode: int = 0o100644,
        flags: int = 0,
        deflate: bool = False,
        method: int | None = None,
        size: int | None = None,
        crc: int | None = None,
    ) -> None:
        self.name = name if isinstance(name, bytes) else name.encode()
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.packed = packer.compress(content) + packer.flush() if deflate else content
        self.method = method if method is not None else (8 if deflate else 0)
        self.size = len(content) if size is None else size
        self.crc = zlib.crc32(content) if crc is None else crc
        self.mode, self.flags = mode, flags

    def fields(self) -> bytes:
        numbers = ((20, 2), (self.flags, 2), (self.method, 2), (0, 2), (33, 2))
        numbers += ((self.crc, 4), (len(self.packed), 4), (self.size, 4), (len(self.name), 2), (0, 2))
        return b"".join(value.to_bytes(width, "little") for value, width in numbers)


def archive_of(entries: "list[Entry]", *, announced: int | None = None, same_place: bool = False) -> bytes:
    """Bytes of a ZIP archive; ``same_place`` lets all entries share the bytes of the first."""
    body, places = b"", []
    for number, entry in enumerate(entries):
        places.append(0 if same_place else len(body))
        if not (same_place and number):
            body += b"PK\x03\x04" + entry.fields() + entry.name + entry.packed
    directory = b""
    for entry, place in zip(entries, places, strict=True):
        directory += b"PK\x01\x02" + (0x0314).to_bytes(2, "little") + entry.fields()
        directory += bytes(6) + (entry.mode << 16).to_bytes(4, "little") + place.to_bytes(4, "little")
        directory += entry.name
    count = len(entries) if announced is None else announced
    end = b"PK\x05\x06" + bytes(4) + 2 * count.to_bytes(2, "little")
    end += len(directory).to_bytes(4, "little") + len(body).to_bytes(4, "little") + bytes(2)
    return body + directory + end


def zipped(folder: Path, place: Path) -> Path:
    """The archive that an ordinary program makes of a folder."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return place
