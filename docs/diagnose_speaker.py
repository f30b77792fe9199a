"""Why does the speaker classifier not hear the target? Looks for the cause in a finished run.

    python docs/diagnose_speaker.py runs/real [system]

For each target it takes natural clips, their vocoder copies, the system's reconstruction of the same clips,
and its conversions of other people, and prints how many of each the classifier takes for the target and how
much of the natural deviation over time is left in the cepstra, their deltas and the deltas' deltas. Copies
that fail point to the vocoder; reconstructions that fail while copies pass point to over-smoothing;
conversions that fail while reconstructions pass point to the source leaking through.
"""

import sys
from pathlib import Path

import numpy as np

from doppelbench.baselines.common import clip_log_mel
from doppelbench.baselines.registry import find_system
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
from doppelbench.benchmark.config import Recipe
from doppelbench.benchmark.plan import make_plan
from doppelbench.benchmark.tables import render
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.features import MelSettings
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.run import Run, output_path
from doppelbench.metrics.sca import SpeakerClassifier, features

CLIPS = 12
# Where the standard deviations of the three kinds of rows stand among the 242 numbers of the classifier.
DEVIATIONS = {"cepstra": slice(121, 161), "deltas": slice(161, 201), "delta-deltas": slice(201, 241)}


def rows_of(
    target: str, kinds: dict[str, list[Audio]], classifier: SpeakerClassifier
) -> list[dict[str, object]]:
    """One row for each kind of sound: share heard as the target, most heard speaker, deviations left."""
    numbers = {kind: np.array([features(audio) for audio in sounds]) for kind, sounds in kinds.items()}
    natural = numbers["natural"].mean(axis=0)
    rows = []
    for kind, values in numbers.items():
        heard = [
            classifier.speakers[int(np.argmax(classifier.log_probabilities_of(value)))] for value in values
        ]
        most = max(set(heard), key=heard.count)
        left = {
            name: float((values.mean(axis=0)[part] / natural[part]).mean())
            for name, part in DEVIATIONS.items()
        }
        rows.append(
            {
                "target": target,
                "sounds": kind,
                "heard as target": f"{heard.count(target)} of {len(heard)}",
                "most heard": f"{most} ({heard.count(most)})",
                **{f"{name} left": f"{share:.2f}" for name, share in left.items()},
            }
        )
    return rows


def main(folder: Path, key: str) -> None:
    """Print the table for every target of a run."""
    run = Run.open(folder)
    config = {name: value for name, value in run.info.config.items() if name != "corpus_hash"}
    plan = make_plan(Recipe.model_validate(config))
    entry = next(entry for entry in plan.entries if entry.key == key)
    classifier = SpeakerClassifier.load(folder / "systems" / "classifier")
    vocoder = GriffinLim()
    rows = []
    failed = run.info.plan.get("failed_trainings", {})
    for target in plan.targets:
        if f"{key}/{target}" in failed:
            continue
        clips: list[Clip] = [clip for clip in plan.clips if clip.speaker == target and clip.audio][:CLIPS]
        system = find_system(entry.name).load(run.system_directory(key, target))
        outputs = [
            output_path(folder, key, trial.id, ".flac") for trial in plan.trials if trial.target == target
        ]
        kinds = {
            "natural": [
                read_audio(str(clip.audio), rate=16000, start=clip.start, end=clip.end) for clip in clips
            ],
            "vocoder copy": [vocoder(clip_log_mel(clip, MelSettings())) for clip in clips],
            "reconstruction": [system.convert(Trial(clip.id, clip, target)).audio for clip in clips],
            "conversion": [read_audio(path) for path in outputs if path.is_file()],
        }
        rows += rows_of(target, kinds, classifier)
    print(render(rows, "md"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "exemplar")
