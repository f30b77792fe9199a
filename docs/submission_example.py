"""A submission without the package: every sentence a little slower and deeper, whoever is asked for."""

import csv
import json
from pathlib import Path

import numpy as np
import soundfile

for trial in csv.DictReader(Path("trials.csv").read_text(encoding="utf-8").splitlines()):
    samples, rate = soundfile.read(trial["input"])
    slower = np.interp(np.arange(0, len(samples) - 1, 0.93), np.arange(len(samples)), samples)
    soundfile.write(trial["output"], slower, rate)
about = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
Path("submission.json").write_text(json.dumps(json.loads(Path("submission.json").read_text()) | about))
