"""What decides a detection run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from doppelbench.benchmark.detection_data import Natural
from doppelbench.detectors.protocols import Choices


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorChoice:
    """A detector of a run: its preset, and hyperparameters that replace those of the preset."""

    name: str
    preset: str = "small"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialChoice:
    """The form that every clip is brought into.

    Attributes:
        rate: samples per second.
        level: whether speech is brought to the house's level, and a constant offset taken off.
        trim: whether silence at the ends is cut off.
        seconds: at most so much of the beginning is kept, so that length tells nothing; None keeps all.
    """

    rate: int = 16000
    level: bool = True
    trim: bool = True
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecipe:
    """Everything that decides a detection run.

    Attributes:
        runs: finished synthesis runs whose outputs are the fakes.
        tables: CSV files of labelled clips.
        bonafide: folder of further real recordings.
        spoof: folders of further fakes by the name of their generator.
        generators: whose fakes are used, and which controls; all when None.
        natural: whether natural clips of a run come from its corpus or from its trials alone.
        detectors: all of one medium.
        protocols: of :data:`doppelbench.detectors.protocols.PROTOCOLS`.
        choices: of the protocols.
        degradations: what the test is also done to, see :mod:`doppelbench.detectors.degradations`.
        material: form of the clips.
        device: where networks are trained.
        max_steps: of a training in steps; the preset's when None.
        draws: resamples of an interval.
        jobs: worker processes.
        item_timeout: seconds that preparing or degrading a clip may take.
    """

    detectors: tuple[DetectorChoice, ...]
    runs: tuple[Path, ...] = ()
    tables: tuple[Path, ...] = ()
    bonafide: Path | None = None
    spoof: Mapping[str, Path] = field(default_factory=dict)
    generators: tuple[str, ...] | None = None
    natural: Natural = "corpus"
    protocols: tuple[str, ...] = ("matrix",)
    choices: Choices = field(default_factory=Choices)
    degradations: tuple[str, ...] = ()
    material: MaterialChoice = field(default_factory=MaterialChoice)
    device: str = "auto"
    max_steps: int | None = None
    draws: int = 1000
    jobs: int = 2
    item_timeout: float = 300.0

    def config(self) -> dict[str, Any]:
        """What can change a result, as JSON can hold it."""
        values = asdict(self)
        for name in ("jobs", "item_timeout"):
            del values[name]
        return dict(json.loads(json.dumps(values, default=str)))
