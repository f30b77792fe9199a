"""Write docs/reference.md from the specs of systems, metrics, corpora and tracks and from the help of every
verb, and the schemas of results and boards.

``make docs`` runs it; tests compare the files with what it would write.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from doppelbench.benchmark.listing import listing
from doppelbench.benchmark.tables import render
from doppelbench.leaderboards.board import board_schema
from doppelbench.leaderboards.result import result_schema

PAGE = Path(__file__).parent / "reference.md"
VERBS = (
    "run",
    "train",
    "synthesize",
    "score",
    "compare",
    "gate",
    "reproduce",
    "rescore",
    "listen",
    "detect",
    "board",
    "submit",
    "ls",
    "describe",
    "data",
    "doctor",
    "prefetch",
)
PARTS = {
    "listen": (
        "plan",
        "make",
        "check",
        "sheets",
        "serve",
        "export",
        "simulate",
        "analyse",
        "coverage",
        "audit",
    ),
    "board": ("add", "build", "diff", "serve"),
    "detect": ("evaluate", "audit", "matrix", "report", "train", "score"),
    "submit": ("init", "check", "pack", "verify", "score"),
}


def help_of(*words: str) -> str:
    """Return the help text of a verb at 90 columns."""
    command = [sys.executable, "-m", "doppelbench.benchmark", *words, "--help"]
    environment = {**os.environ, "COLUMNS": "90", "LINES": "40"}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return text.replace("python -m doppelbench.benchmark", "doppelbench").strip()


def reference() -> str:
    """Return the whole page."""
    parts = ["# Reference", "Made by `make docs` from the code; do not edit."]
    for what in ("systems", "metrics", "detectors", "corpora", "tracks", "recipes"):
        parts += [f"## {what.capitalize()}", render(listing(what), "md")]
    parts += ["## Command line", f"```text\n{help_of()}\n```"]
    for verb in VERBS:
        parts += [f"### doppelbench {verb}", f"```text\n{help_of(verb)}\n```"]
        for part in PARTS.get(verb, ()):
            parts += [f"#### doppelbench {verb} {part}", f"```text\n{help_of(verb, part)}\n```"]
    return "\n\n".join(parts) + "\n"


def schemas() -> dict[Path, dict[str, Any]]:
    """The published schemas by their file."""
    room = Path(__file__).parents[1] / "leaderboards"
    return {room / "result.schema.json": result_schema(), room / "board.schema.json": board_schema()}


if __name__ == "__main__":
    for path, schema in schemas().items():
        path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(reference())
