"""Make the fixture files of the metrics of synchronisation anew.

Run ``python tests/metrics/make_sync_fixtures.py`` with python_speech_features 0.6 installed. The files of
``lse_d`` and ``lse_c`` hold answers of reference libraries; those of ``av_offset`` and ``av_confidence`` are
golden values of the network in the package on films from a seed, and change with its weights.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import python_speech_features
import torch
from sync_examples import write_talking_film
from torch.nn.functional import pad, pairwise_distance

from doppelbench.metrics.registry import metric

FOLDER = Path(__file__).parent / "fixtures"
FILMS = (
    {"seed": 1},
    {"seed": 2, "early_frames": 5},
    {"seed": 3, "early_frames": -5},
    {"seed": 4, "seconds": 1.2},
)


def write(name: str, content: dict) -> None:
    """Write one fixture file."""
    text = json.dumps({"metric": name, **content}, indent=1)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def released_curve(pictures: torch.Tensor, sound: torch.Tensor, shift: int) -> torch.Tensor:
    """Mean distance at each place of the padded sound, as the released SyncNet counts."""
    padded = pad(sound, (0, 0, shift, shift))
    rows = [
        pairwise_distance(row.repeat(2 * shift + 1, 1), padded[index : index + 2 * shift + 1])
        for index, row in enumerate(pictures)
    ]
    return torch.stack(rows, 1).mean(1)


def main() -> None:
    """Write the four files."""
    curves: dict[str, list[dict]] = {"lse_d": [], "lse_c": []}
    for seed, early in ((0, 0), (1, 3), (2, -4)):
        generator = np.random.default_rng(seed)
        pictures = generator.standard_normal((24, 6)).round(3)
        sound = (np.roll(pictures, -early, axis=0) + 0.3 * generator.standard_normal((24, 6))).round(3)
        curve = released_curve(torch.tensor(pictures), torch.tensor(sound), 15)
        shared = {
            "name": f"sound early by {early} frames",
            "pictures": pictures.tolist(),
            "sound": sound.tolist(),
            "offset": 15 - int(curve.argmin()),
            "tolerance": 1e-9,
        }
        curves["lse_d"].append({**shared, "expected": float(curve.min())})
        curves["lse_c"].append({**shared, "expected": float(curve.median() - curve.min())})
    samples = np.rint(3000 * np.random.default_rng(0).standard_normal(1777))
    cepstra = python_speech_features.mfcc(samples, 16000).tolist()
    source = f"torch {torch.__version__.partition('+')[0]}"
    write("lse_c", {"expected_from": source, "cases": curves["lse_c"]})
    write(
        "lse_d",
        {
            "expected_from": f"{source}, python_speech_features 0.6",
            "cases": curves["lse_d"],
            "cepstra": {"seed": 0, "samples": samples.size, "expected": cepstra, "tolerance": 1e-9},
        },
    )
    for name, tolerance in (("av_offset", 1e-9), ("av_confidence", 2e-3)):
        cases = []
        for film in FILMS:
            with tempfile.TemporaryDirectory() as folder:
                video, clip = write_talking_film(Path(folder), **film)
                value = metric(name).item(out=video, clip=clip).value
            cases.append({"name": str(film), "film": film, "expected": value, "tolerance": tolerance})
        write(name, {"expected_from": "golden: this package's own network", "cases": cases})


if __name__ == "__main__":
    main()
