"""Build, cache and load a talkers corpus."""

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, DoppelbenchError, InputError
from doppelbench.corpora.talkers.settings import TalkersSettings, versions
from doppelbench.corpora.talkers.voices import voice_of

Progress = Callable[[float, float], None]


def cache_directory() -> Path:
    """Return ``DOPPELBENCH_CACHE`` or ``~/.cache/doppelbench``."""
    return Path(os.environ.get("DOPPELBENCH_CACHE") or Path.home() / ".cache" / "doppelbench")


def check(settings: TalkersSettings) -> None:
    """Refuse settings that cannot be built.

    Raises:
        InputError: says which setting is wrong and what it may be.
        DependencyError: espeak-ng is not installed.
    """
    for speaker in settings.speakers:
        voice_of(speaker)
    if not settings.speakers or len(set(settings.speakers)) < len(settings.speakers):
        raise InputError("talkers: speakers must be named, each one once")
    if settings.size < 32 or settings.size % 32:
        raise InputError(f"talkers: size must be a multiple of 32, not {settings.size}")
    if settings.seed < 0:
        raise InputError(f"talkers: seed must be 0 or more, not {settings.seed}")
    for name in ("target_seconds", "source_seconds", "dev_sentences", "test_sentences"):
        if getattr(settings, name) < 0:
            raise InputError(f"talkers: {name} must be 0 or more, not {getattr(settings, name)}")
    if importlib.util.find_spec("espeakng_loader") is None:
        raise DependencyError(
            "talkers: the speech synthesiser is not installed; run 'pip install espeakng-loader'"
        )


def build(settings: TalkersSettings, directory: Path, *, jobs: int, progress: Progress | None) -> Path:
    """Return the folder of the corpus, made first when it is not there or not whole.

    The corpus is made in a hidden sibling that takes its name when finished. After an interruption the
    people who were finished are kept; a lock keeps a second process waiting instead of building the same.
    """
    check(settings)
    final = directory / "talkers" / settings.key
    if is_whole(final):
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with open(final.parent / f".{settings.key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_whole(final):
            return final
        partial = final.parent / f".{settings.key}.partial"
        partial.mkdir(exist_ok=True)
        _make_people(settings, partial, jobs, progress)
        _write_manifest(settings, partial)
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
    return final


def is_whole(folder: Path) -> bool:
    """Tell whether a corpus is there and every file has the size that its manifest states."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return False
    try:
        clips = json.loads(manifest.read_text(encoding="utf-8"))["clips"]
        return all(
            (folder / clip["speaker"] / name).stat().st_size == file["bytes"]
            for clip in clips
            for name, file in clip["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def load(folder: Path) -> list[Clip]:
    """Return the clips of a finished corpus."""
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["clips"]
    return [_clip(folder, entry) for entry in entries]


def _clip(folder: Path, entry: dict[str, Any]) -> Clip:
    audio = folder / entry["speaker"] / f"{entry['id']}.flac"
    video = audio.with_suffix(".mkv")
    return Clip(
        id=entry["id"],
        speaker=entry["speaker"],
        audio=str(audio),
        video=str(video) if video.name in entry["files"] else None,
        text=entry["text"],
        split=entry["split"],
        sha256=entry["files"][audio.name]["sha256"],
    )


def _make_people(settings: TalkersSettings, folder: Path, jobs: int, progress: Progress | None) -> None:
    expected = sum(_expected_seconds(settings, speaker) for speaker in settings.speakers)
    finished = dict.fromkeys(settings.speakers, 0.0)
    guard = threading.Lock()

    def report(speaker: str, seconds: float) -> None:
        with guard:
            finished[speaker] = seconds
            if progress is not None:
                progress(sum(finished.values()), expected)

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        tasks = [
            pool.submit(_make_person, settings, speaker, folder, report) for speaker in settings.speakers
        ]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            for task in tasks:
                task.cancel()
            raise


def _expected_seconds(settings: TalkersSettings, speaker: str) -> float:
    train = settings.source_seconds if voice_of(speaker).role == "source" else settings.target_seconds
    return train + 2.2 * (settings.dev_sentences + settings.test_sentences)


def _make_person(
    settings: TalkersSettings, speaker: str, folder: Path, report: Callable[[str, float], None]
) -> None:
    directory = folder / speaker
    if (directory / "person.json").is_file():
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    request = {"settings": asdict(settings), "speaker": speaker, "directory": str(directory)}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-m", "doppelbench.corpora.talkers.make"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        for line in process.stdout:
            report(speaker, float(line))
        complaint = process.stderr.read().strip()
    if process.returncode != 0:
        reason = complaint.splitlines()[-1] if complaint else f"exit status {process.returncode}"
        raise DoppelbenchError(f"talkers: making {speaker} failed: {reason}")


def _write_manifest(settings: TalkersSettings, folder: Path) -> None:
    clips = []
    for speaker in settings.speakers:
        clips += json.loads((folder / speaker / "person.json").read_text(encoding="utf-8"))
    manifest = {**versions(), "settings": asdict(settings), "clips": clips}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
