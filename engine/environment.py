"""The record of what a result was made with: code, packages, machine, threads.

Nothing is loaded for the record's sake: torch is asked about GPUs when it is loaded already, or on request.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doppelbench.engine.pool import available_cores
from doppelbench.engine.threads import LIBRARIES, VARIABLE

PACKAGES = (
    "doppelbench",
    "av",
    "espeakng-loader",
    "jiwer",
    "lightning",
    "numba",
    "numpy",
    "onnxruntime",
    "openai-whisper",
    "pandas",
    "pesq",
    "pocketsphinx",
    "ray",
    "scikit-image",
    "speechmos",
    "pyarrow",
    "pyworld",
    "ray",
    "resemblyzer",
    "safetensors",
    "scikit-image",
    "scipy",
    "soundfile",
    "soxr",
    "torch",
    "torchaudio",
    "whisper-normalizer",
)
GIT_SECONDS = 10.0


def environment_record(
    *,
    gpu: bool = False,
    packages: Iterable[str] = PACKAGES,
    seeds: Mapping[str, Any] | None = None,
    directory: Path | None = None,
) -> dict[str, Any]:
    """Return the record as JSON can hold it.

    Args:
        gpu: whether to load torch, if it is not loaded, to name the GPUs.
        packages: distributions whose versions matter; those not installed are left out.
        seeds: by purpose, to be kept with the record.
        directory: where to look for a git repository; the current directory by default.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_state(directory or Path.cwd()),
        "packages": package_versions(packages),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": machine(),
        "gpu": gpu_state(load=gpu),
        "threads": thread_state(),
        "seeds": dict(seeds or {}),
    }


def git_state(directory: Path) -> dict[str, Any] | None:
    """Return commit, branch and whether tracked files differ from it; None where there is no repository."""
    commit = _git(directory, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": _git(directory, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": None if changed is None else bool(changed),
    }


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of the installed ones of some distributions."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return processor, cores that this process may use, and memory in bytes."""
    return {"processor": _processor(), "cores": available_cores(), "memory": _memory()}


def gpu_state(load: bool = False) -> dict[str, Any] | None:
    """Return names of the CUDA devices and versions of CUDA and driver.

    None when there is no device, or when torch is not loaded and ``load`` does not ask for it.
    """
    torch = sys.modules.get("torch")
    if torch is None and load:
        try:
            import torch
        except ImportError:
            return None
    if torch is None or not torch.cuda.is_available():
        return None
    return {
        "names": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": _driver(),
    }


def thread_state() -> dict[str, Any]:
    """Return the settings that bound the compute threads of this process."""
    found: dict[str, Any] = {
        name: os.environ[name] for name in (*LIBRARIES, "OMP_WAIT_POLICY", VARIABLE) if name in os.environ
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = torch.get_num_threads()
    return found


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _driver() -> str | None:
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return None
