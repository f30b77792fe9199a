"""RawNet2 has the published size and layers, learns to tell clips apart, and keeps the contract."""

import json
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from detector_clips import fitted_both_ways, parameters, run_contract, separation, unseen, without_gradient

from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.detectors.aasist import Aasist
from doppelbench.detectors.audio_input import hear
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.network_detector import DetectorModule
from doppelbench.detectors.rawnet2 import (
    PAPER,
    PAPER_2020,
    TINY,
    FeatureMapScaling,
    RawNet2,
    RawNet2Body,
    RawNet2Settings,
)
from doppelbench.detectors.sinc_filters import SincFilters, band_edges, band_pass_filters
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import seeded


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[RawNet2, RawNet2]:
    return fitted_both_ways(lambda: RawNet2(TINY), tmp_path_factory.mktemp("rawnet2"), TINY.max_steps)


def test_the_network_of_the_baseline_has_17621410_parameters() -> None:
    with torch.device("meta"):
        assert parameters(RawNet2.build(PAPER)) == 17_621_410


def test_the_network_of_the_paper_has_25433602_parameters() -> None:
    with torch.device("meta"):
        assert parameters(RawNet2.build(PAPER_2020)) == 25_433_602


def test_the_training_is_the_published_one() -> None:
    assert (PAPER.crop, PAPER.batch_size, PAPER.learning_rate, PAPER.weight_decay) == (64_600, 32, 1e-4, 1e-4)
    assert PAPER.class_weights == (0.1, 0.9)
    assert not PAPER.balanced


def test_it_separates_recordings_it_never_heard(both) -> None:
    assert separation(both[0]) > 0


def test_the_contrary_labels_give_the_contrary_scores(both) -> None:
    assert separation(both[1]) < 0
    real, fake = unseen()
    assert all(both[1].score(audio) < 0 < both[0].score(audio) for audio in real)
    assert all(both[0].score(audio) < 0 < both[1].score(audio) for audio in fake)


@pytest.mark.parametrize("check", list(CHECKS))
def test_it_keeps_the_contract(check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    run_contract(check, lambda: RawNet2(TINY), tmp_path)


def test_the_loss_reaches_every_parameter_when_the_norm_of_blocks_is_used() -> None:
    with seeded(0):
        assert without_gradient(RawNet2.build(replace(TINY, first_norm=True)), TINY.crop, (0.5, 0.5)) == set()


def test_as_published_the_norm_at_the_input_of_blocks_is_not_used() -> None:
    with seeded(0):
        unreached = without_gradient(RawNet2.build(TINY), TINY.crop, (0.5, 0.5))
    blocks = range(1, len(TINY.channels))
    expected = {f"body.blocks.{n}.norm_input.{part}" for n in blocks for part in ("weight", "bias")}
    assert unreached == expected


def test_a_scaled_channel_lies_between_zero_and_twice_its_input() -> None:
    scaling = FeatureMapScaling(3)
    torch.nn.init.zeros_(scaling.linear.weight)
    torch.nn.init.zeros_(scaling.linear.bias)
    x = torch.randn(2, 3, 5)
    torch.testing.assert_close(scaling(x), x / 2 + 0.5)


def test_the_bands_border_on_each_other_and_are_equal_on_the_mel_scale() -> None:
    edges = band_edges(20, 16000)
    assert (edges[0], edges[-1]) == (0, pytest.approx(8000))
    mel = 2595 * np.log10(1 + edges / 700)
    np.testing.assert_allclose(np.diff(mel), mel[-1] / 20)


def test_each_filter_passes_the_middle_of_its_band_and_stops_others() -> None:
    edges = band_edges(20, 16000)
    responses = np.abs(np.fft.rfft(band_pass_filters(20, 1025, 16000), 16000))
    middles = ((edges[1:] + edges[:-1]) / 2).astype(int)
    gains = responses[:, middles]
    np.testing.assert_allclose(np.diag(gains), 1, atol=0.01)
    assert gains[~np.eye(20, dtype=bool)].max() < 0.01


def test_the_filters_are_not_among_what_is_saved_or_trained() -> None:
    assert not list(SincFilters(4, 9, 16000).parameters())
    assert not SincFilters(4, 9, 16000).state_dict()


def test_the_body_takes_any_length_of_at_least_a_crop() -> None:
    body = RawNet2Body(TINY).eval()
    assert body(torch.randn(2, TINY.crop)).shape == body(torch.randn(2, 7000)).shape == (2, 16)


def test_only_the_first_crop_is_scored(both) -> None:
    audio = unseen()[0][0]
    detector = RawNet2(replace(TINY, input=replace(TINY.input, trim=False, level=False)))
    detector.network = both[0].network
    changed = audio.samples.copy()
    changed[TINY.crop :] = 0.0
    assert detector.score(audio) == detector.score(replace(audio, samples=changed))


def test_the_relevance_of_all_parts_is_the_gradient_times_the_waveform(both) -> None:
    audio = unseen()[0][0]
    explanation = both[0].explain(audio)
    waveform = torch.from_numpy(hear(audio, TINY.input).samples[: TINY.crop])[None].requires_grad_()
    both[0].fitted()(waveform).sum().backward()
    assert waveform.grad is not None
    expected = float((waveform.grad * waveform.detach()).sum())
    assert explanation.relevance.sum() == pytest.approx(expected, rel=1e-2, abs=1e-2)
    unheard = explanation.times > TINY.crop / 16000 + 0.05
    assert unheard.any()
    assert np.abs(explanation.relevance[unheard]).max() == 0


def test_settings_survive_json() -> None:
    assert settings_from_dict(RawNet2Settings, json.loads(json.dumps(asdict(PAPER)))) == PAPER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 200}, "too short for"),
        ({"batch_size": 7}, "even number"),
        ({"class_weights": (0.0, 1.0)}, "class_weights"),
        ({"learning_rate": 0.0}, "learning_rate is"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DoppelbenchError, match=message):
        replace(TINY, **change)


def test_a_damaged_or_foreign_folder_is_refused_by_name(both, tmp_path) -> None:
    both[0].save(tmp_path)
    with pytest.raises(InputError, match=r"no trained aasist.*it is a rawnet2"):
        Aasist.load(tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match=str(tmp_path)):
        RawNet2.load(tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        RawNet2.load(tmp_path / "nowhere")


def test_the_rate_falls_along_a_cosine_only_when_asked_to() -> None:
    network = RawNet2.build(TINY)
    constant = DetectorModule(network, TINY, 10).configure_optimizers()
    assert isinstance(constant, torch.optim.Adam)
    falling = replace(TINY, final_learning_rate=1e-5)
    (optimizer,), (plan,) = DetectorModule(network, falling, 10).configure_optimizers()
    for _ in range(10):
        optimizer.step()
        plan["scheduler"].step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)
