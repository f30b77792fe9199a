"""What theory says of every metric of sound when its input is swapped, scaled, shifted or resampled.

``make_fixtures.py`` writes these verdicts beside the golden values and ``test_metric_contract.py`` holds
every metric to them. They are stated from the definitions, before anything is measured:

* **identity**: the output is the reference itself. ``best`` is the good end of the metric's range, ``within``
  what rounding may cost.
* **swapped**: output and reference change places. A distance of two spectra or tracks is the ``same``, the
  ratio of zero-mean SI-SDR too, for it is a function of the correlation alone; PESQ and STOI treat the
  reference as clean, so they ``differ``.
* **gain**: the output 6 dB louder and softer. What levels its input, leaves out coefficient 0, correlates or
  compares pitches is ``invariant``; the P.835 networks hear level, and that of P.808 gets a spectrogram
  relative to its maximum.
* **shift of one sample** and **shift of 10 ms** of a copy of the reference that is silent for 0.15 s at both
  ends, so that nothing is lost. PESQ takes a delay off, to the sample; warped and utterance-wide measures do
  not see one, apart from the jitter of frames; STOI and
  spectral distances are insensitive to a sample and suffer from 10 ms; SI-SDR suffers from one sample, for a
  copy of speech late by one has a correlation of 0.9 to 0.99, hence 6 to 20 dB instead of 100; the lag is the
  delay itself. Words that are understood are understood a little later too.
* **rate mismatch**: an output at 48 kHz is scored as what the house's resampler makes of it at 16 kHz.
"""

from typing import Any

Verdict = Any


def best(within: float = 1e-9) -> dict[str, Verdict]:
    return {"verdict": "best", "within": within}


def invariant(within: float) -> dict[str, Verdict]:
    return {"verdict": "invariant", "within": within}


def worsens(by: float) -> dict[str, Verdict]:
    return {"verdict": "worsens", "by": by}


def differs(by: float) -> dict[str, Verdict]:
    return {"verdict": "differs", "by": by}


SAME = {"verdict": "same"}
NO_REFERENCE = {"verdict": "no reference"}

# Of every metric: failures are statuses, the container does not matter, nor do workers and order.
COMMON: dict[str, Verdict] = {
    "silence": "silent",
    "nan": "not_finite",
    "short": "too_short",
    "two rows of samples": "unreadable",
    "file of two equal channels": "same",
    "float64 samples": "same",
    "rate mismatch": "resampled",
    "integer samples": "unreadable",
    "1, 2 and 4 workers": "same bytes",
    "order of the items": "same bytes",
}


def compared(
    *,
    identity: dict[str, Verdict] | None = None,
    swapped: dict[str, Verdict],
    gain: dict[str, Verdict] | None = None,
    sample: dict[str, Verdict],
    frame: dict[str, Verdict],
) -> dict[str, Verdict]:
    """Verdicts of a metric that compares two signals."""
    return {
        "identity": identity or best(),
        "swapped": swapped,
        "gain": gain or invariant(1e-3),
        "shift of one sample": sample,
        "shift of 10 ms": frame,
        **COMMON,
    }


def alone(*, gain: dict[str, Verdict], sample: float, frame: float) -> dict[str, Verdict]:
    """Verdicts of a metric that judges the output without another signal."""
    return {
        "identity": NO_REFERENCE,
        "swapped": NO_REFERENCE,
        "gain": gain,
        "shift of one sample": invariant(sample),
        "shift of 10 ms": invariant(frame),
        **COMMON,
    }


PESQ = compared(swapped=differs(1e-3), sample=invariant(0.01), frame=invariant(0.01))
# The mapping has a slope of about 0.6 at its top: what moves MOS-LQO moves the raw score by about twice as
# much.
RAW_PESQ = compared(identity=best(1e-5), swapped=differs(1e-3), sample=invariant(0.02), frame=invariant(0.02))
TRANSCRIPT = alone(gain=invariant(0.0), sample=0.0, frame=0.0)
SPEAKER_SIMILARITY = compared(
    # The good end of a similarity is 1 and that of leakage 0, but a copy is a copy in both.
    identity={"verdict": "value", "value": 1.0, "within": 1e-6},
    swapped=SAME,
    sample=invariant(0.02),
    frame=invariant(0.05),
)
# The warping path may slip along an even glide, and a tracker is free at the two edges of voicing.
HALF_A_SEMITONE = invariant(50.0)
P835 = alone(gain=differs(1e-3), sample=0.1, frame=0.2)

CONTRACT: dict[str, dict[str, Verdict]] = {
    "cer": TRANSCRIPT,
    "dnsmos_bak": P835,
    "dnsmos_ovrl": P835,
    "dnsmos_p808": alone(gain=invariant(1e-3), sample=0.1, frame=0.2),
    "dnsmos_sig": P835,
    "estoi": compared(swapped=differs(1e-3), sample=invariant(0.02), frame=worsens(0.05)),
    "f0_correlation": compared(swapped=SAME, sample=invariant(0.1), frame=invariant(0.1)),
    "f0_rmse": compared(swapped=SAME, sample=HALF_A_SEMITONE, frame=HALF_A_SEMITONE),
    "lag": compared(swapped=SAME, sample=worsens(0.0624), frame=worsens(9.99)),
    "lsd": compared(swapped=SAME, sample=invariant(0.3), frame=worsens(0.5)),
    "mcd": compared(swapped=SAME, sample=invariant(0.5), frame=invariant(0.5)),
    "mcd_legacy": compared(swapped=SAME, sample=invariant(20.0), frame=invariant(150.0)),
    "mcd_mel": compared(swapped=SAME, sample=invariant(0.3), frame=invariant(1.0)),
    "mel_l1": compared(swapped=SAME, sample=invariant(0.3), frame=worsens(0.5)),
    "mer": TRANSCRIPT,
    "pesq_nb": PESQ,
    "pesq_nb_raw": RAW_PESQ,
    "pesq_wb": PESQ,
    "pesq_wb_raw": RAW_PESQ,
    "sca": alone(gain=invariant(0.0), sample=0.0, frame=0.0),
    "secs": SPEAKER_SIMILARITY,
    "secs_source": SPEAKER_SIMILARITY,
    "si_sdr": compared(swapped=SAME, sample=worsens(50.0), frame=worsens(80.0)),
    "stoi": compared(swapped=differs(1e-3), sample=invariant(0.01), frame=worsens(0.02)),
    "voicing_error": compared(swapped=SAME, sample=invariant(3.0), frame=invariant(10.0)),
    "wer": TRANSCRIPT,
    "wer_heard": compared(swapped=SAME, gain=invariant(0.0), sample=invariant(0.0), frame=invariant(0.0)),
}
