"""Write docs/reference.md from the specs of systems, metrics, corpora and tracks and from the help of every
verb, docs/data-sets.md from the specs of readers, and the schemas of results and boards.

``make docs`` runs it; tests compare the files with what it would write.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from doppelbench.benchmark.listing import listing
from doppelbench.benchmark.tables import render
from doppelbench.corpora.readers import READERS, ReaderSpec
from doppelbench.leaderboards.board import board_schema
from doppelbench.leaderboards.result import result_schema

PAGE = Path(__file__).parent / "reference.md"
DATA_SETS = Path(__file__).parent / "data-sets.md"
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


DATA_SETS_INTRODUCTION = """\
# Data sets

Made by `make docs` from the specs of the readers; do not edit.

Nothing is downloaded: a data set is fetched from its makers, under their licence, and unpacked as it comes.
Its reader finds the official layout, states its split in code with the source, and complains by file and
line.

```sh
doppelbench data talkers                                      # the built-in corpus, which needs no data set
doppelbench data vctk --root VCTK-Corpus                      # clips, seconds and speakers of each split
doppelbench data vctk --root VCTK-Corpus --save vctk.parquet  # a manifest with the hash of every file
```

In a recipe a corpus is `corpus: {reader: vctk, root: VCTK-Corpus}` with the options of the reader, or the
path of a manifest. The hash of a corpus is that of its files' contents and goes into every result, so that
runs on other copies do not meet on a board.

Licences are named as far as they were looked up; the data set's own text is what counts. Recordings of people
are personal data beside that: see [responsible use](responsible-use.md). Other layouts:
[a corpus of your own](extending.md#a-corpus)."""


def data_set(spec: ReaderSpec) -> str:
    """The section of one reader."""
    options = list(inspect.signature(spec.load()).parameters)[1:]
    rows = {
        "layout": f"`{spec.layout}`" if "|" not in spec.layout else spec.layout.replace("|", "\\|"),
        "split": spec.split,
        "source of the split": spec.source,
        "licence": spec.licence or ("yours" if spec.name in ("folder", "csv", "kaldi") else "not looked up"),
        "options": ", ".join(f"`{name}`" for name in options) or "none",
        "list it": f"`doppelbench data {spec.name} --root data/{spec.name}`",
    }
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])
    return f"## {spec.name}\n\n{spec.title}.\n\n{table}"


def data_sets() -> str:
    """Return the page of data sets."""
    return "\n\n".join([DATA_SETS_INTRODUCTION, *(data_set(spec) for spec in READERS.values())]) + "\n"


def schemas() -> dict[Path, dict[str, Any]]:
    """The published schemas by their file."""
    room = Path(__file__).parents[1] / "leaderboards"
    return {room / "result.schema.json": result_schema(), room / "board.schema.json": board_schema()}


if __name__ == "__main__":
    for path, schema in schemas().items():
        path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(reference())
    DATA_SETS.write_text(data_sets())
