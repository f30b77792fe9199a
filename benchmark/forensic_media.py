"""Players of single trials: what lies in the run folder is linked, anything else becomes a short preview
beside the page, so that the folder can be moved as it is."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from doppelbench.benchmark.pairs import VIDEO_SUFFIXES
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import read_audio, read_video, write_audio, write_preview

FOLDER = "forensics"
SECONDS = 12.0
# What browsers play as it is.
PLAYED = frozenset({".flac", ".wav", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm"})
PREVIEW = re.compile(r"[0-9a-f]{16}\.(flac|mp4)")


class Players:
    """Makes the players of one page and remembers their files.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.used: set[str] = set()

    def player(self, trial: Mapping[str, Any]) -> dict[str, str]:
        """Link or preview of a trial: ``kind`` (``audio`` or ``video``) and ``src``, else ``reason``."""
        path = self.folder / trial["path"]
        start, end = (None if np.isnan(trial[name]) else float(trial[name]) for name in ("start", "end"))
        kind = "video" if path.suffix.lower() in VIDEO_SUFFIXES else "audio"
        try:
            path = path.resolve()
            if start is None and end is None and path.is_relative_to(self.folder):
                beside = path.with_suffix(".mp4")
                if kind == "video" and path.suffix.lower() not in PLAYED and beside.is_file():
                    path = beside
                if path.suffix.lower() in PLAYED and path.is_file():
                    return {"kind": kind, "src": quote(path.relative_to(self.folder).as_posix())}
            return {"kind": kind, "src": self._preview(path, trial["path"], kind, start, end)}
        except MediaError as error:
            return {"reason": f"the file is {error.status}"}
        except (OSError, ValueError):
            return {"reason": "the file cannot be read"}

    def _preview(self, path: Path, told: str, kind: str, start: float | None, end: float | None) -> str:
        last = (start or 0.0) + SECONDS if end is None else min(end, (start or 0.0) + SECONDS)
        key = hashlib.sha256(f"{told}|{start}|{end}".encode(errors="surrogatepass")).hexdigest()[:16]
        name = key + (".mp4" if kind == "video" else ".flac")
        preview = self.folder / FOLDER / name
        # A preview outlives its recording, so that the page can be made again elsewhere.
        if name not in self.used and (path.is_file() or not preview.is_file()):
            preview.parent.mkdir(exist_ok=True)
            if kind == "video":
                write_preview(preview, read_video(path, start=start, end=last))
            else:
                write_audio(preview, read_audio(path, start=start, end=last))
        self.used.add(name)
        return f"{FOLDER}/{name}"

    def remove_others(self) -> None:
        """Remove previews of an earlier page that this one does not use."""
        for path in (self.folder / FOLDER).glob("*"):
            if PREVIEW.fullmatch(path.name) and path.name not in self.used:
                path.unlink()
