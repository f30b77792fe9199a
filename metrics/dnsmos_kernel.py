"""DNSMOS: what listeners would say of the quality of noisy or processed speech, guessed without a reference.

Two networks (Reddy, Gopal and Cutler, ICASSP 2021 and 2022) with their weights, from the package speechmos,
run by onnxruntime: one guesses the three scales of ITU-T P.835 (speech signal, background noise, overall),
the other the one scale of P.808. A value is a guess on a scale of 1 to 5; clean speech gets about 3.3
overall, so no figure should be read against 5.

* Windows of 9.01 s, one a second, averaged; a shorter signal is repeated until it fills one, and up to 2 s at
  the end of a longer one are not heard. This is the package's rule and that of the published script.
* The P.835 scales listen to level: a tenth of the amplitude costs about 0.7 overall. The published figures
  take speech as it is, and so does the default, ``level=raw``; ``level=active`` brings it to the house's
  level first.
* The networks want samples from -1 to 1; what lies outside is clipped and counted.
* One thread computes: onnxruntime's default is one for every core.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.content_cache import cached_by_content
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import RESAMPLER, Leveling

RATE = 16000
MIN_SECONDS = 0.5
PACKAGES = ("speechmos", "onnxruntime", "librosa", "requests")
P835_FILE = "dnsmos_models/sig_bak_ovr.onnx"
P808_FILE = "dnsmos_models/model_v8.onnx"
RESULTS_KEPT = 256
P835 = "Reddy et al., ICASSP 2022; ITU-T P.835"
P808 = "Reddy et al., ICASSP 2021; ITU-T P.808"


def model_files() -> tuple[Path, Path]:
    """The networks for P.835 and for P.808 inside the installed package; imports nothing.

    Raises:
        DependencyError: when a package is not installed.
    """
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise DependencyError(
            f"DNSMOS needs {', '.join(absent)}, which is not installed; pip install 'doppelbench[mos]'"
        )
    package = find_spec("speechmos")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0])
    return folder / P835_FILE, folder / P808_FILE


@lru_cache(maxsize=1)
def _networks() -> Any:
    import onnxruntime
    from speechmos.dnsmos import DNSMOS

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1

    class SingleThreaded(DNSMOS):
        def __init__(self, primary: Path, p808: Path) -> None:
            self.onnx_sess, self.p808_onnx_sess = (
                onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                for path in (primary, p808)
            )

    return SingleThreaded(*model_files())


@cached_by_content(RESULTS_KEPT)
def quality_guesses(samples: np.ndarray) -> Mapping[str, float]:
    """All four guesses for a signal at 16 kHz; the last ones are kept by content.

    Args:
        samples: shape (n,), n above 0, from -1 to 1.

    Returns:
        ``ovrl_mos``, ``sig_mos`` and ``bak_mos`` of P.835, and ``p808_mos``.

    Raises:
        ValueError: without samples, for which the package would never return.
    """
    if samples.size == 0:
        raise ValueError("DNSMOS needs samples")
    return {name: float(value) for name, value in _networks()(samples, RATE, False).items()}


class DnsmosMetric(AudioMetric):
    """One scale of DNSMOS; ``seconds`` and the number of samples ``clipped`` are in the statistics."""

    scale: ClassVar[str]

    def __init__(self, level: str = "raw") -> None:
        """Find the networks.

        Args:
            level: ``raw``, as it is, or ``active``, the house's level.

        Raises:
            DependencyError: when a package is not installed.
        """
        self.files = model_files()
        self.leveling = Leveling(self.spec.name, level)

    @cached_property
    def signature(self) -> str:  # type: ignore[override]
        """Package, hash of the networks, level, windows and rate."""
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in self.files)).hexdigest()[:12]
        return (
            f"{self.spec.name}|speechmos-{metadata.version('speechmos')}-{digest}|{self.leveling.rule}|clip1"
            f"|windows9.01s-1s-repeated|sr{self.rate}-{RESAMPLER}|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Guess for one output."""
        leveled = self.leveling.apply(out, self.rate)
        guesses = quality_guesses(np.clip(leveled, -1.0, 1.0))
        clipped = int(np.count_nonzero(np.abs(leveled) > 1.0))
        return ItemScore(guesses[self.scale], stats={"seconds": out.size / self.rate, "clipped": clipped})


def dnsmos_spec(name: str, title: str, highest: float | None, citation: str) -> MetricSpec:
    """Spec of one scale.

    Args:
        name: of the metric.
        title: one line for people.
        highest: vertex of the parabola that maps a network's output to the scale; None where there is none.
        citation: of the network and of the scale.
    """
    return MetricSpec(
        name=name,
        title=title,
        version=1,
        unit="MOS",
        direction="higher",
        range=(None, highest),
        needs=frozenset(),
        cost=50.0,
        rate=RATE,
        seconds=(MIN_SECONDS, None),
        citation=citation,
        licence="speechmos and its networks are under the MIT License",
    )
