"""The published SyncNet in its released format, and the arithmetic of LSE-D and LSE-C."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sync_examples import talking_film

from doppelbench.corpora.errors import DependencyError, InputError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics.registry import metric
from doppelbench.metrics.sync_metric import padded_curve
from doppelbench.metrics.syncnet import load_syncnet, syncnet, syncnet_crops, syncnet_embeddings, syncnet_mfcc

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    torch.manual_seed(0)
    state = syncnet().state_dict()
    torch.save({name: value for name, value in state.items() if not name.endswith("tracked")}, path)
    return path


def test_network_has_the_published_size_and_names():
    network = syncnet()
    assert round(sum(value.numel() for value in network.parameters()) / 1e6, 1) == 13.6
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # Layout of the released file: convolution, normalisation, rectifier and now and then pooling.
    assert shapes["netcnnaud.0.weight"] == (64, 1, 3, 3)
    assert shapes["netcnnaud.4.weight"] == (192, 64, 3, 3)
    assert shapes["netcnnaud.18.weight"] == (512, 256, 5, 4)
    assert shapes["netcnnlip.0.weight"] == (96, 3, 5, 7, 7)
    assert shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6)
    assert shapes["netcnnlip.19.running_var"] == (512,)
    assert shapes["netfcaud.3.weight"] == shapes["netfclip.3.weight"] == (1024, 512)
    assert {name.split(".")[0] for name in shapes} == {"netcnnaud", "netcnnlip", "netfcaud", "netfclip"}


def test_windows_become_vectors_of_1024(checkpoint):
    pictures = np.random.default_rng(0).integers(0, 256, (7, 224, 224, 3), dtype=np.uint8)
    shown, heard = syncnet_embeddings(load_syncnet(checkpoint), pictures, np.full(7 * 640, 0.1))
    assert shown.shape == heard.shape == (2, 1024)
    assert np.isfinite(shown).all()


@pytest.mark.parametrize("name", ["lse_d", "lse_c"])
def test_curve_is_that_of_the_reference(name):
    for case in fixture(name)["cases"]:
        reading = padded_curve(np.array(case["pictures"]), np.array(case["sound"]))
        value = reading.distance if name == "lse_d" else reading.confidence
        assert value == pytest.approx(case["expected"], abs=case["tolerance"])
        assert reading.offset == case["offset"]


def test_distances_made_by_hand():
    pictures = np.zeros((4, 1))
    sound = np.array([[5.0], [4.0], [3.0], [1.0]])
    reading = padded_curve(pictures, sound, largest=2)
    # Sound late by two frames: 3 and 1, then zeros; early by two frames: zeros, then 5 and 4.
    np.testing.assert_allclose(reading.offsets, [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(reading.distances, [1.0, 2.0, 3.25, 3.0, 2.25], atol=1e-5)
    assert reading.offset == -2
    assert reading.distance == pytest.approx(1.0, abs=1e-5)
    assert reading.confidence == pytest.approx(1.25, abs=1e-5)


def test_cepstra_are_those_of_python_speech_features():
    case = fixture("lse_d")["cepstra"]
    generator = np.random.default_rng(case["seed"])
    samples = np.rint(3000 * generator.standard_normal(case["samples"]))
    np.testing.assert_allclose(syncnet_mfcc(samples), case["expected"], atol=case["tolerance"])


def test_whole_frames_are_resized_and_faces_are_looked_for(checkpoint):
    video, _ = talking_film(seconds=0.6)
    crops = syncnet_crops(video.frames, "frame")
    assert crops.shape == (15, 224, 224, 3)
    small = crops[0].reshape(32, 7, 32, 7, 3).mean(axis=(1, 3))
    half = video.frames[0].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - half).mean() < 5
    flat = np.full((15, 96, 96, 3), 128, np.uint8)
    faceless = Video(flat, 25, Audio(np.full(9600, 0.1, np.float32), 16000))
    score = metric("lse_d", weights=str(checkpoint)).item(out=faceless)
    assert (score.value, score.status) == (None, "missing")
    assert "no face" in score.reason


def test_both_metrics_read_one_curve(checkpoint):
    video, _ = talking_film(seconds=0.6)
    scores = {
        name: metric(name, weights=str(checkpoint), crop="frame").item(out=video)
        for name in ("lse_d", "lse_c")
    }
    assert {score.status for score in scores.values()} == {"ok"}
    assert scores["lse_d"].stats == scores["lse_c"].stats
    assert (
        scores["lse_d"].value == scores["lse_d"].stats["distance"] == min(scores["lse_d"].stats["distances"])
    )
    assert scores["lse_c"].value == scores["lse_c"].stats["confidence"] >= 0
    assert len(scores["lse_d"].stats["distances"]) == 31
    assert scores["lse_d"].stats["windows"] == 10


def test_signature_has_the_hash_of_the_weights_and_the_crop(checkpoint, tmp_path):
    whole = metric("lse_d", weights=str(checkpoint), crop="frame").signature
    face = metric("lse_d", weights=str(checkpoint)).signature
    other = tmp_path / "other.model"
    other.write_bytes(b"other")
    assert len({whole, face, metric("lse_d", weights=str(other), crop="frame").signature}) == 3
    assert whole.startswith("lse_d|syncnet-")
    assert whole.endswith("|v1")
    assert " " not in face


@pytest.mark.parametrize("name", ["lse_d", "lse_c"])
def test_absent_weights_are_named_with_what_to_do(monkeypatch, tmp_path, name):
    monkeypatch.setenv("DOPPELBENCH_CACHE", str(tmp_path))
    with pytest.raises(DependencyError, match=rf"syncnet_v2.model as the project .* {name}:weights=FILE"):
        metric(name)
    with pytest.raises(DependencyError, match=r"nowhere\.model is not there"):
        metric(name, weights=str(tmp_path / "nowhere.model"))


def test_other_files_are_refused_and_nothing_in_them_is_run(tmp_path, checkpoint):
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was run",))

    harmful = tmp_path / "harmful.model"
    torch.save({"netcnnaud.0.weight": Harmful()}, harmful)
    with pytest.raises(InputError, match="not a file of SyncNet weights that can be read safely"):
        load_syncnet(harmful)
    assert not (tmp_path / "was run").exists()
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, "netfclip.3.bias": torch.zeros(256)}, tmp_path / "small.model")
    with pytest.raises(InputError, match=r"netfclip.3.bias does not have the shape"):
        load_syncnet(tmp_path / "small.model")
    del state["netfclip.3.bias"]
    torch.save(state, tmp_path / "short.model")
    with pytest.raises(InputError, match="not named as those of SyncNet"):
        load_syncnet(tmp_path / "short.model")


def test_unknown_crop_is_refused(checkpoint):
    with pytest.raises(InputError, match="crop is face or frame, not 'mouth'"):
        metric("lse_c", weights=str(checkpoint), crop="mouth")
