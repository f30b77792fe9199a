"""Print how fast the metrics are beside the usual libraries; see ``--help``."""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.metrics.benchmarks.comparisons import COMPARISONS
from doppelbench.metrics.benchmarks.speech import file_pairs, talkers_pairs
from doppelbench.metrics.benchmarks.timing import Row, measure

HEADINGS = ("metric", "ms/s", "beside", "ms/s", "ratio", "goal", "difference")


def cells(row: Row) -> tuple[str, ...]:
    """The texts of one line of the table."""
    return (
        row.name,
        f"{row.ours_ms:.2f}",
        row.library,
        "" if row.theirs_ms is None else f"{row.theirs_ms:.2f}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.goal is None else f"{row.goal:g}",
        row.note if row.difference is None else f"{row.difference:.1e}",
    )


def table(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when done, 2 when the input cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m doppelbench.metrics.benchmarks",
        description="CPU milliseconds per second of audio of each metric and of the usual libraries, "
        "measured in turn on the same speech. CPU time of all threads counts, so that a run with "
        "OMP_NUM_THREADS=1 tells most.",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--pair",
        nargs=2,
        type=Path,
        action="append",
        metavar=("REF", "OUT"),
        help="recordings of the same words by two voices, instead of the built-in speech; may be repeated",
    )
    parser.add_argument("--only", nargs="+", metavar="METRIC", help="measure these lines of the table alone")
    options = parser.parse_args(arguments)
    chosen = [line for line in COMPARISONS if options.only is None or line.name in options.only]
    if not chosen:
        parser.error(f"there are {', '.join(line.name for line in COMPARISONS)}")
    rows = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pairs = file_pairs(options.pair, folder) if options.pair else talkers_pairs(folder)
            for comparison in chosen:
                print(f"measuring {comparison.name} ...", file=sys.stderr)
                rows.append(measure(comparison, pairs))
    except DoppelbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
