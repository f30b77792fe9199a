"""What can run on this machine, and the one command that cures what cannot."""

import importlib.metadata
import os
import shutil
from pathlib import Path
from typing import Any

# What a user loses when a package does not import, and how to get it back.
PACKAGES = {
    "torch": ("training and synthesis", "pip install 'torch>=2.11,<2.13'"),
    "torchaudio": (
        "Griffin-Lim",
        "pip install 'torchaudio==2.11.*' beside torch 2.11 or 2.12 of the same CUDA version",
    ),
    "lightning": ("training", "pip install lightning"),
    "soundfile": ("audio files", "pip install soundfile"),
    "av": ("video files", "pip install 'av<19'"),
    "pyworld": ("mcd", "pip install 'setuptools<82' pyworld (needs a C compiler)"),
    "pesq": ("pesq_wb and pesq_nb", "pip install pesq==0.0.4 (needs a C compiler)"),
    "resemblyzer": ("secs and speaker embeddings", "pip install Resemblyzer (needs a C compiler)"),
    "jiwer": ("wer and cer", "pip install jiwer"),
    "whisper_normalizer": ("normaliser whisper-english", "pip install whisper_normalizer"),
    "pocketsphinx": ("offline recogniser", "pip install pocketsphinx"),
    "espeakng_loader": ("corpus talkers", "pip install espeakng-loader"),
    "whisper": ("recogniser whisper:<size>", "pip install 'doppelbench[whisper]'"),
    "ray": ("clusters", "pip install 'doppelbench[cluster]'"),
}
OPTIONAL = {"whisper", "ray"}
# The synthesiser is under the GPL and is loaded in processes of its own only.
NOT_LOADED_HERE = {"espeakng_loader"}
DISTRIBUTIONS = {"whisper": "openai-whisper", "espeakng_loader": "espeakng-loader"}


def diagnose() -> list[dict[str, Any]]:
    """Check packages, device, cache and disk; returns rows with ``check``, ``state``, ``found`` and ``cure``.

    ``state`` is ``ok``, ``absent`` (optional) or ``broken``.
    """
    return [*(_package(name) for name in PACKAGES), _device(), _threads(), *_cache()]


def _package(name: str) -> dict[str, Any]:
    used_for, cure = PACKAGES[name]
    try:
        version = importlib.metadata.version(DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        state = "absent" if name in OPTIONAL else "broken"
        return _row(f"{name} ({used_for})", state, "not installed", cure)
    try:
        if name not in NOT_LOADED_HERE:
            __import__(name)
    except Exception as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return _row(f"{name} ({used_for})", "broken", f"{version} does not import: {first_line}", cure)
    return _row(f"{name} ({used_for})", "ok", version, "")


def _device() -> dict[str, Any]:
    try:
        import torch
    except Exception:
        return _row("device", "broken", "torch does not import", PACKAGES["torch"][1])
    if torch.cuda.is_available():
        return _row("device", "ok", f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}", "")
    return _row("device", "ok", f"CPU, {len(os.sched_getaffinity(0))} cores", "")


def _threads() -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    found = ", ".join(f"{name}={os.environ.get(name)}" for name in names)
    return _row("threads a process", "ok", found, "")


def _cache() -> list[dict[str, Any]]:
    from doppelbench.corpora.talkers.build import cache_directory

    directory = Path(cache_directory())
    existing = next(place for place in (directory, *directory.parents) if place.exists())
    free = shutil.disk_usage(existing).free / 2**30
    writable = os.access(existing, os.W_OK)
    return [
        _row(
            "cache",
            "ok" if writable else "broken",
            f"{directory}, {free:.0f} GiB free",
            "" if writable else "set DOPPELBENCH_CACHE to a folder that can be written",
        )
    ]


def _row(check: str, state: str, found: str, cure: str) -> dict[str, Any]:
    return {"check": check, "state": state, "found": found, "cure": cure}
