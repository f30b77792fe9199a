"""Metrics by name. A metric is loaded when it is asked for; installed packages add theirs by entry point.

An entry point of the group ``doppelbench.metrics`` names a subclass of
:class:`~doppelbench.metrics.metric.Metric`; it cannot take the name of a metric that is built in.
"""

import difflib
import inspect
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from doppelbench.corpora.errors import InputError
from doppelbench.metrics.metric import Metric

ENTRY_POINT_GROUP = "doppelbench.metrics"
BUILT_IN = {
    "av_confidence": "doppelbench.metrics.av_confidence:AudioVisualConfidence",
    "av_offset": "doppelbench.metrics.av_offset:AudioVisualOffset",
    "cer": "doppelbench.metrics.cer:CharacterErrorRate",
    "dnsmos_bak": "doppelbench.metrics.dnsmos_bak:BackgroundQuality",
    "dnsmos_ovrl": "doppelbench.metrics.dnsmos_ovrl:OverallQuality",
    "dnsmos_p808": "doppelbench.metrics.dnsmos_p808:ListeningQuality",
    "dnsmos_sig": "doppelbench.metrics.dnsmos_sig:SignalQuality",
    "estoi": "doppelbench.metrics.estoi:ExtendedShortTimeObjectiveIntelligibility",
    "f0_correlation": "doppelbench.metrics.f0_correlation:FundamentalFrequencyCorrelation",
    "f0_rmse": "doppelbench.metrics.f0_rmse:FundamentalFrequencyError",
    "lag": "doppelbench.metrics.lag:GlobalLag",
    "lpips": "doppelbench.metrics.lpips:LearnedPerceptualSimilarity",
    "lsd": "doppelbench.metrics.lsd:LogSpectralDistance",
    "lse_c": "doppelbench.metrics.lse_c:LipSyncErrorConfidence",
    "lse_d": "doppelbench.metrics.lse_d:LipSyncErrorDistance",
    "mcd": "doppelbench.metrics.mcd:MelCepstralDistortion",
    "mcd_legacy": "doppelbench.metrics.mcd_legacy:LegacyMelCepstralDistortion",
    "mcd_mel": "doppelbench.metrics.mcd_mel:MelBandCepstralDistance",
    "mel_l1": "doppelbench.metrics.mel_l1:MelDistance",
    "mer": "doppelbench.metrics.mer:MatchErrorRate",
    "mouth_following": "doppelbench.metrics.mouth_following:MouthFollowing",
    "mouth_opening": "doppelbench.metrics.mouth_opening:MouthOpeningCorrelation",
    "pesq_nb": "doppelbench.metrics.pesq_nb:NarrowBandPesq",
    "pesq_nb_raw": "doppelbench.metrics.pesq_nb_raw:RawNarrowBandPesq",
    "pesq_wb": "doppelbench.metrics.pesq_wb:WideBandPesq",
    "pesq_wb_raw": "doppelbench.metrics.pesq_wb_raw:RawWideBandPesq",
    "psnr": "doppelbench.metrics.psnr:PeakSignalToNoiseRatio",
    "psnr_frames": "doppelbench.metrics.psnr_frames:FramePeakSignalToNoiseRatio",
    "sca": "doppelbench.metrics.sca:SpeakerClassificationAccuracy",
    "secs": "doppelbench.metrics.secs:SpeakerEmbeddingSimilarity",
    "secs_source": "doppelbench.metrics.secs_source:SpeakerLeakage",
    "sharpness": "doppelbench.metrics.sharpness:SharpnessAgreement",
    "si_sdr": "doppelbench.metrics.si_sdr:ScaleInvariantSignalToDistortionRatio",
    "ssim": "doppelbench.metrics.ssim:StructuralSimilarity",
    "still_frame_skill": "doppelbench.metrics.still_frame_skill:StillFrameSkill",
    "stoi": "doppelbench.metrics.stoi:ShortTimeObjectiveIntelligibility",
    "temporal_error": "doppelbench.metrics.temporal_error:TemporalError",
    "video_mse": "doppelbench.metrics.video_mse:VideoMeanSquaredError",
    "voicing_error": "doppelbench.metrics.voicing_error:VoicingError",
    "wer": "doppelbench.metrics.wer:WordErrorRate",
    "wer_heard": "doppelbench.metrics.wer_heard:HeardWordErrorRate",
}


@cache
def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value)):
        if entry.name in BUILT_IN or entry.name in found:
            raise InputError(
                f"the metric '{entry.name}' of {entry.value} has a name that is taken; "
                "one package must rename it"
            )
        found[entry.name] = entry
    return found


def list_metrics() -> list[str]:
    """Names of all metrics, built in and added by entry points, in alphabetical order."""
    return sorted([*BUILT_IN, *_entry_points()])


def metric_class(name: str) -> type[Metric]:
    """Load the class of a metric; its ``spec`` tells what it is.

    Raises:
        InputError: when there is no such metric, with the nearest names; or when what was loaded is none.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
    if name in _entry_points():
        loaded = _entry_points()[name].load()
        if not (isinstance(loaded, type) and issubclass(loaded, Metric)):
            raise InputError(f"the entry point '{name}' of {ENTRY_POINT_GROUP} is no Metric: {loaded!r}")
        return loaded
    near = difflib.get_close_matches(name, list_metrics(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(list_metrics())}"
    raise InputError(f"there is no metric '{name}'; {hint}")


def metric(name: str, **options: Any) -> Metric:
    """Return a metric with its options fixed.

    Raises:
        InputError: for an unknown metric, an unknown option, or an option that the metric refuses.
    """
    kind = metric_class(name)
    known = [option for option in inspect.signature(kind).parameters if option != "self"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"the metric {name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )
    return kind(**options)


def metric_options(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``name`` or ``name:option=value,option=value`` into the name and its options.

    Values are whole numbers, decimal numbers, ``true``, ``false`` or text without a comma.

    Raises:
        InputError: when the text has another form.
    """
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise InputError(f"'{text}': options are written name:option=value,option=value; '{part}' is not")
        if key.strip() in options:
            raise InputError(f"'{text}': the option {key.strip()} is given twice")
        options[key.strip()] = _value(value.strip())
    return name.strip(), options


def metric_from_string(text: str) -> Metric:
    """Return the metric of ``name`` or ``name:option=value,option=value``.

    Raises:
        InputError: when the text has another form, and as :func:`metric` does.
    """
    name, options = metric_options(text)
    return metric(name, **options)


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
