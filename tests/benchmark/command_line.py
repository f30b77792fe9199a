"""The command line as a user starts it."""

import subprocess
import sys
from pathlib import Path


def cli(*arguments: object, timeout: float = 120, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "doppelbench.benchmark", *(str(part) for part in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False)


def complaint(result: subprocess.CompletedProcess) -> str:
    """The one line with which the command line refused."""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("doppelbench: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]
