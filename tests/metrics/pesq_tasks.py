"""What the workers of the tests of PESQ run."""

import pesq
import soundfile


def in_one_call(out: str, ref: str) -> float:
    """PESQ of two whole files, as a script without segments calls it."""
    (degraded, rate), (reference, _) = (soundfile.read(path) for path in (out, ref))
    return float(pesq.pesq(rate, reference, degraded, "wb"))
