"""Every metric against the answers of a reference library, on signals from a seed."""

import json
from pathlib import Path

import numpy as np
import pytest
from metric_examples import speech_like
from safetensors.numpy import save_file
from video_examples import lpips_weights, moving_picture, talking_picture, write_talking_clip

from doppelbench.corpora.clip import Clip
from doppelbench.metrics import metric_class
from doppelbench.metrics.mouth_readout import train_readout
from doppelbench.metrics.registry import BUILT_IN, metric
from doppelbench.metrics.sca import features

FOLDER = Path(__file__).parent / "fixtures"


def cases(*names):
    found = []
    for name in names:
        for case in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["cases"]:
            label = case.get("name") or f"{case['reference']} / {case['transcript']}"
            found.append(pytest.param(name, case, id=f"{name}: {label}"))
    return found


def test_every_metric_has_a_fixture_file():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BUILT_IN)


PICTURE_METRICS = sorted(name for name in BUILT_IN if metric_class(name).spec.media == "video")
# Tested on talking films in test_av_sync.py and test_syncnet.py.
SYNC_METRICS = {"av_confidence", "av_offset", "lse_c", "lse_d"}
TRANSCRIPT_METRICS = {"cer", "mer", "wer", "wer_heard"}
SIGNAL_METRICS = sorted(set(BUILT_IN) - {"sca"} - TRANSCRIPT_METRICS - {*PICTURE_METRICS} - SYNC_METRICS)


@pytest.mark.parametrize(("name", "case"), cases(*SIGNAL_METRICS))
def test_signal_pair_has_the_value_of_the_reference_library(name, case):
    scorer = metric(name, **case.get("options", {}))
    score = scorer.item(out=speech_like(**case["out"]), ref=speech_like(**case["ref"]))
    assert score.status == "ok"
    assert score.value == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize(
    ("name", "case"),
    cases(*sorted(set(PICTURE_METRICS) - {"mouth_opening", "mouth_following"})),
)
def test_pair_of_films_has_the_value_of_the_reference_library(name, case, tmp_path):
    options = case.get("options", {})
    if name == "lpips":
        save_file(lpips_weights(), tmp_path / "lpips.safetensors")
        options = {"weights": str(tmp_path / "lpips.safetensors")}
    score = metric(name, **options).item(out=moving_picture(**case["out"]), ref=moving_picture(**case["ref"]))
    assert score.status == "ok"
    assert score.value == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize(("name", "case"), cases("mouth_opening"))
def test_mouth_has_the_correlation_of_the_reference_library(name, case, tmp_path):
    ref, clip = write_talking_clip(tmp_path, **case["ref"])
    out, _ = talking_picture(**case["out"])
    score = metric(name).item(out=out, ref=ref, clip=clip)
    assert score.value == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize(("name", "case"), cases("mouth_following"))
def test_mouth_follows_as_by_the_reference_library(name, case, tmp_path):
    folders = [tmp_path / part for part in ("learned", "source")]
    for folder in folders:
        folder.mkdir()
    _, learned = write_talking_clip(folders[0], **case["learned"])
    spoken, source = write_talking_clip(folders[1], **case["source"])
    out, _ = talking_picture(**case["out"])
    scorer = metric(name, readout=train_readout([learned]))
    score = scorer.item(out=out, ref=spoken, clip=Clip("t", "someone", video=source.video))
    assert score.status == "ok"
    assert score.value == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize(("name", "case"), cases(*sorted(TRANSCRIPT_METRICS)))
def test_text_pair_has_the_value_of_jiwer(name, case):
    score = metric(name, normalizer="none").compare(
        reference=case["reference"], transcript=case["transcript"]
    )
    assert score.value == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize(("name", "case"), cases("sca"))
def test_classifier_features_are_those_of_librosa(name, case):
    np.testing.assert_allclose(
        features(speech_like(**case["out"])), case["features"], atol=case["tolerance"], rtol=1e-4
    )
