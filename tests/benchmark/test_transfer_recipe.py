"""A recipe may start an exemplar from the folder of a trained one."""

from dataclasses import asdict

import numpy as np
from safetensors.numpy import load_file

from doppelbench.benchmark.config import validate
from doppelbench.benchmark.plan import list_entries
from doppelbench.benchmark.tracks.voice_conversion import TRACK
from doppelbench.benchmark.work import train_system
from doppelbench.corpora.readers.csv import read_csv


def test_an_entry_with_initialise_from_trains_on_from_there(manifest, tmp_path):
    clips = [clip for clip in read_csv(manifest).clips() if clip.split == "train"]
    systems = [
        "exemplar",
        {
            "name": "exemplar",
            "label": "exemplar-transfer",
            "settings": {"initialise_from": str(tmp_path / "exemplar")},
        },
    ]
    recipe = validate({"systems": systems, "preset": "tiny", "reference_rows": False}, "recipe")
    weights = {}
    for entry, target in zip(list_entries(recipe, TRACK), ("ben", "ana"), strict=True):
        record = train_system(
            name=entry.name,
            preset=entry.preset,
            settings=entry.settings,
            target=target,
            clips=[asdict(clip) for clip in clips if clip.speaker == target],
            trainer={"directory": str(tmp_path / entry.key), "max_steps": 1, "device": "cpu"},
        )
        assert record["steps"] == 1
        weights[entry.key] = load_file(tmp_path / entry.key / "weights.safetensors")
    first, second = (found["decoder.projection.weight"] for found in weights.values())
    # One step of Adam moves a weight by no more than the learning rate.
    assert 0 < np.abs(second - first).max() < 1.01e-3
