"""A self-supervised front end is taken from a file, stays frozen when asked to, and learns otherwise."""

import warnings
from dataclasses import replace

import pytest
import torch
from detector_clips import (
    fitted_both_ways,
    natural,
    parameters,
    run_contract,
    separation,
    short_training,
    without_gradient,
    write_clips,
)
from safetensors.torch import save_file

from doppelbench.corpora.errors import DependencyError, DoppelbenchError, InputError
from doppelbench.corpora.media import Audio
from doppelbench.detectors.aasist import GraphSettings
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.self_supervised import (
    FRONT_ENDS,
    PAPER,
    SMALL,
    TINY,
    SelfSupervised,
    SelfSupervisedBody,
)
from doppelbench.engine.trainer import seeded

GRAPHS = replace(
    TINY, back_end="graphs", graphs=GraphSettings(channels=(4, 8), graph_widths=(8, 8), time_pool=1)
)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[SelfSupervised, SelfSupervised]:
    return fitted_both_ways(lambda: SelfSupervised(TINY), tmp_path_factory.mktemp("ssl"), 40)


@pytest.fixture
def weights(tmp_path):
    with seeded(7):
        front_end = FRONT_ENDS["tiny"][0]()
    path = tmp_path / "front_end.safetensors"
    save_file(front_end.state_dict(), path)
    return path, front_end


def test_it_separates_recordings_it_never_heard(both) -> None:
    assert separation(both[0]) > 0


def test_the_contrary_labels_give_the_contrary_scores(both) -> None:
    assert separation(both[1]) < 0


@pytest.mark.parametrize("check", list(CHECKS))
def test_it_keeps_the_contract(check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    settings = GRAPHS if check in ("save_and_load", "explanation") else TINY
    run_contract(check, lambda: SelfSupervised(settings), tmp_path)


@pytest.mark.parametrize("name", ["wav2vec2-base", "wav2vec2-xlsr-300m", "wavlm-base", "hubert-base"])
def test_the_architectures_have_the_width_and_the_layers_that_are_stated(name: str) -> None:
    make, width, layers = FRONT_ENDS[name]
    with torch.device("meta"):
        encoder = make().encoder
    assert encoder.transformer.layers[0].final_layer_norm.normalized_shape == (width,)
    assert len(encoder.transformer.layers) == layers


def test_the_front_end_of_the_preset_paper_has_300_million_parameters() -> None:
    with torch.device("meta"):
        assert 3.1e8 < parameters(SelfSupervisedBody(PAPER)) < 3.2e8


@pytest.mark.parametrize("settings", [TINY, GRAPHS], ids=["linear", "graphs"])
def test_the_loss_reaches_every_parameter_of_a_front_end_that_is_trained(settings) -> None:
    with seeded(0):
        unreached = without_gradient(SelfSupervised.build(settings), TINY.crop, (0.5, 0.5))
    # A shift of all keys changes no attention, the norm at the input of blocks is not used, and the layers
    # that the linear back end averages lie before the last norm.
    unused = {"k_proj.bias", "norm_input"} | ({"transformer.layer_norm"} if settings is TINY else set())
    assert [name for name in unreached if not any(part in name for part in unused)] == []


def test_a_frozen_front_end_is_that_of_the_file_also_after_training(weights, tmp_path) -> None:
    path, front_end = weights
    real, fake = write_clips(tmp_path / "clips")
    detector = SelfSupervised(replace(TINY, weights=str(path), frozen=True))
    record = detector.fit(real, fake, short_training(tmp_path / "run", 5))
    assert record.parameters == 2 + 2 * 16 + 2
    held = detector.fitted().body.front_end.state_dict()
    assert all(torch.equal(held[name], value) for name, value in front_end.state_dict().items())


def test_a_front_end_that_is_trained_begins_with_the_file(weights) -> None:
    path, front_end = weights
    with seeded(0):
        network = SelfSupervised(replace(TINY, weights=str(path))).start()
    held = network.body.front_end.state_dict()
    assert all(torch.equal(held[name], value) for name, value in front_end.state_dict().items())


def test_a_frozen_front_end_has_no_dropout_in_training() -> None:
    body = SelfSupervisedBody(replace(TINY, frozen=True)).train()
    assert not body.front_end.training
    assert not any(value.requires_grad for value in body.front_end.parameters())


def test_the_weights_are_saved_but_not_where_they_came_from(weights, tmp_path) -> None:
    path, _ = weights
    detector = SelfSupervised(replace(TINY, weights=str(path)))
    detector.network = detector.start()
    detector.save(tmp_path / "saved")
    assert "front_end" not in (tmp_path / "saved" / "config.json").read_text()
    audio = Audio(natural(0), 16000)
    assert SelfSupervised.load(tmp_path / "saved").score(audio) == detector.score(audio)


def test_without_weights_a_published_front_end_is_not_trained(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    with pytest.raises(DependencyError, match="wav2vec2-base needs its weights"):
        SelfSupervised(SMALL).fit(real, fake, short_training(tmp_path / "run", 1))


def test_weights_that_are_missing_damaged_or_of_another_model_are_refused(weights, tmp_path) -> None:
    path, front_end = weights
    with pytest.raises(DependencyError, match="nowhere"):
        SelfSupervised(replace(TINY, weights=str(tmp_path / "nowhere"))).start()
    state = front_end.state_dict()
    state.pop(next(iter(state)))
    save_file(state, path)
    with pytest.raises(InputError, match="does not hold the weights of tiny"):
        SelfSupervised(replace(TINY, weights=str(path))).start()
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="does not hold the weights of tiny"):
        SelfSupervised(replace(TINY, weights=str(path))).start()


def test_an_architecture_that_there_is_not_is_refused() -> None:
    with pytest.raises(DoppelbenchError, match="'whisper'"):
        replace(TINY, architecture="whisper")
