"""Write docs/metrics.md: parity with reference libraries, variants of MCD on recordings, and speed.

``make metrics-page`` runs it. Parity is measured anew on the signals of the fixtures, whose expected values
were computed by the reference libraries; the variants of MCD need the recordings that DOPPELBENCH_REALDATA
names, and the speed table is what ``python -m doppelbench.metrics.benchmarks --json`` measured. A test holds
the parity table against the fixtures.
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from doppelbench.benchmark.tables import render
from doppelbench.corpora.media import read_audio
from doppelbench.engine.environment import environment_record
from doppelbench.metrics.registry import BUILT_IN, metric, metric_class, metric_from_string

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "metrics.md"
FIXTURES = ROOT / "tests" / "metrics" / "fixtures"
SPEED = ROOT / "docs" / "metric_speed.json"
RECORDINGS = Path(os.environ.get("DOPPELBENCH_REALDATA", ROOT / ".." / "shared" / "realdata"))
# Statistics and films of their own, measured by their own tests.
GOLDEN = {
    "av_confidence", "av_offset", "lse_c", "lse_d", "lpips", "mouth_following", "mouth_opening", "sca"
}  # fmt: skip
WORDS = {"wer", "wer_heard", "cer", "mer"}
MCD_VARIANTS = (
    "mcd",
    "mcd:f0=harvest",
    "mcd:hop=10",
    "mcd:c0=in",
    "mcd:order=13",
    "mcd:order=34",
    "mcd:order=39",
    "mcd:rate=22050",
    "mcd:rate=24000",
    "mcd:norm=reference",
    "mcd:gate=-20",
    "mcd_mel",
    "mcd_legacy",
)


PARITY = (
    "Every metric on signals and films from a seed against the library whose values it claims to have; the "
    "expected values were computed by that library ([make_fixtures.py](../tests/metrics/make_fixtures.py)). "
    "The largest difference is that of this page's machine; the tests hold the tolerance everywhere."
)
VARIANTS = (
    "One natural sentence against two synthesisers. Each choice moves the value by more than many systems "
    "differ, so a figure is only as good as its signature, and `compare` refuses two that differ. "
    "`mcd_legacy` is the mis-scaled figure that explains published values of 400 and more; `mcd_mel` is on "
    "another scale altogether."
)
SPEED_TEXT = (
    "CPU milliseconds per second of sound (or of film at 25 frames a second, 64 pixels) on one core of {}; "
    "both sides in one run, in turn, by medians. Files are read by whoever reads files. "
    "`python -m doppelbench.metrics.benchmarks` prints this table."
)


def parity() -> list[dict[str, Any]]:
    """For every metric with a reference library: cases, tolerance, and the largest difference measured."""
    sys.path.insert(0, str(FIXTURES.parent))
    rows = []
    for path in sorted(FIXTURES.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        name, cases = content["metric"], content["cases"]
        row = {
            "metric": name,
            "reference": content["expected_from"],
            "cases": len(cases),
            "tolerance": f"{max(case['tolerance'] for case in cases):g}",
        }
        found = None if name in GOLDEN else max(_difference(name, case) for case in cases)
        rows.append(row | {"largest difference": "see its tests" if found is None else f"{found:.1e}"})
    return rows


def _difference(name: str, case: dict[str, Any]) -> float:
    from metric_examples import speech_like
    from video_examples import moving_picture

    if name in WORDS:
        scorer: Any = metric(name, normalizer="none")
        score = scorer.compare(reference=case["reference"], transcript=case["transcript"])
    else:
        make: Any = moving_picture if metric_class(name).spec.media == "video" else speech_like
        scorer = metric(name, **case.get("options", {}))
        score = scorer.item(out=make(**case["out"]), ref=make(**case["ref"]))
    if score.value is None or case["expected"] is None:
        return 0.0 if score.value == case["expected"] else float("inf")
    return abs(score.value - case["expected"])


def variants() -> list[dict[str, Any]]:
    """MCD of two synthesisers against a natural sentence, by variant."""
    folder = RECORDINGS / "e_metrics" / "mcd"
    ref = read_audio(folder / "GT.wav")
    rows = []
    for name in MCD_VARIANTS:
        scorer = metric_from_string(name)
        row: dict[str, Any] = {"metric": name, "unit": scorer.spec.unit or "–"}
        for system in ("WaveGlow", "Tacotron-2"):
            value = scorer.item(out=read_audio(folder / f"{system}.wav"), ref=ref).value
            row[system] = "–" if value is None else f"{value:.2f}"
        rows.append(row | {"signature": f"`{scorer.signature}`"})
    return rows


def speed() -> list[dict[str, Any]]:
    """The table of comparisons as it was last measured."""
    rows = []
    for row in json.loads(SPEED.read_text(encoding="utf-8"))["rows"]:
        known = row["theirs_ms"] is not None
        rows.append(
            {
                "metric": row["name"],
                "ms per s": f"{row['ours_ms']:.2f}",
                "beside": row["library"],
                "theirs": f"{row['theirs_ms']:.2f}" if known else row["note"],
                "ratio": f"{row['ratio']:.2f}" if known else "–",
                "goal": "–" if row["goal"] is None else f"{row['goal']:g}",
                "difference": "other definition" if row["difference"] is None else f"{row['difference']:.0e}",
            }
        )
    return rows


def measure_speed() -> None:
    """Measure the table of comparisons and keep it beside the page, with the machine."""
    from doppelbench.metrics.benchmarks.__main__ import main

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        main(["--json", str(path)])
        rows = json.loads(path.read_text(encoding="utf-8"))
    machine = environment_record(gpu=False)["machine"]
    record = {
        "processor": machine.get("processor", platform.processor()),
        "cores": machine.get("cores"),
        "rows": rows,
    }
    SPEED.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def page(*, recordings: bool) -> str:
    """Return the whole page.

    Args:
        recordings: measure the variants of MCD; else that table is kept as it is on the page.
    """
    kept = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    table = render(variants(), "md") if recordings else _section(kept, "## Variants of MCD")
    machine = json.loads(SPEED.read_text(encoding="utf-8"))
    parts = [
        "# Metrics",
        f"Made by `make metrics-page`; do not edit. {len(BUILT_IN)} metrics are built in; what each is, "
        "needs and costs is in [reference.md](reference.md), what a figure says in the page of its track.",
        "## Parity",
        PARITY,
        render(parity(), "md"),
        "## Variants of MCD",
        VARIANTS,
        table,
        "## Speed",
        SPEED_TEXT.format(machine["processor"]),
        render(speed(), "md"),
    ]
    return "\n\n".join(parts) + "\n"


def _section(text: str, heading: str) -> str:
    lines = text.partition(heading)[2].partition("\n## ")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


if __name__ == "__main__":
    if "--speed" in sys.argv or not SPEED.is_file():
        measure_speed()
    PAGE.write_text(page(recordings=RECORDINGS.is_dir()), encoding="utf-8")
