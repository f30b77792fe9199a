"""Run folders with scores and nothing else, as comparisons and gates read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doppelbench.engine.run import ItemRow, Run

STOI, WER, MCD = "stoi|test|v1", "wer|listener|basic|v1", "mcd|test|v1"
Scores = Mapping[tuple[str, str], Sequence[Any]]


def write_run(
    folder: Path,
    scores: Scores,
    *,
    signatures: Mapping[str, str] | None = None,
    recordings: str = "",
    first_trial: int = 0,
) -> Path:
    """Write a run.

    Args:
        folder: where.
        scores: for each system and metric one entry a trial: a value, an item status, or for word error rates
            a pair of errors and reference words.
        signatures: by metric, instead of the usual ones.
        recordings: prefix of the hashes of the source recordings.
        first_trial: number of the first trial.
    """
    named = {"stoi": STOI, "wer": WER, "mcd": MCD, **(signatures or {})}
    count = max(len(values) for values in scores.values())
    with Run.resume(folder, {"made": "for a test"}) as run:
        for (system, metric), values in scores.items():
            signature = run.add_signature(named[metric])
            run.append_items(
                _row(system, f"t{first_trial + number:03d}", metric, value, signature)
                for number, value in enumerate(values)
            )
        run.info.plan = {
            "trials": [
                {
                    "id": f"t{number:03d}",
                    "target": f"target{number % 2}",
                    "source": {"speaker": f"s{number % 4}", "sha256": f"{recordings}{number}", "text": "a"},
                    "reference": None,
                }
                for number in range(first_trial, first_trial + count)
            ]
        }
        run.finish_items()
    return folder


def _row(system: str, trial: str, metric: str, value: Any, signature: str) -> ItemRow:
    if isinstance(value, str):
        return ItemRow(system, trial, metric, "key", None, value, "it was so", signature_id=signature)
    if isinstance(value, tuple):
        errors, words = (int(part) for part in value)
        counts = {"substitutions": errors, "deletions": 0, "insertions": 0, "reference_tokens": words}
        return ItemRow(
            system, trial, metric, "key", errors / words, statistics=counts, signature_id=signature
        )
    return ItemRow(system, trial, metric, "key", float(value), signature_id=signature)
