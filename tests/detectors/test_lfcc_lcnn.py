"""The light network has the published size, learns to tell clips apart, and keeps the contract."""

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
    unseen,
    without_gradient,
    write_clips,
)

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import Audio
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.lfcc_lcnn import PAPER, TINY, LcnnBody, LfccLcnn, MaxFeatureMap
from doppelbench.detectors.losses import OneClassSoftmax, OneLogit, TwoLogits
from doppelbench.engine.trainer import seeded


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[LfccLcnn, LfccLcnn]:
    return fitted_both_ways(lambda: LfccLcnn(TINY), tmp_path_factory.mktemp("lcnn"), 40)


def test_the_network_has_269729_parameters() -> None:
    assert parameters(LfccLcnn.build(PAPER)) == 269_729


def test_the_training_is_the_published_one() -> None:
    assert (PAPER.batch_size, PAPER.learning_rate, PAPER.dropout, PAPER.head) == (64, 3e-4, 0.7, "sigmoid")


def test_it_separates_recordings_it_never_heard(both) -> None:
    assert separation(both[0]) > 0


def test_the_contrary_labels_give_the_contrary_scores(both) -> None:
    assert separation(both[1]) < 0


@pytest.mark.parametrize("check", list(CHECKS))
def test_it_keeps_the_contract(check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    run_contract(check, lambda: LfccLcnn(TINY), tmp_path)


@pytest.mark.parametrize("head", ["sigmoid", "oc-softmax"])
def test_the_loss_reaches_every_parameter(head: str) -> None:
    with seeded(0):
        network = LfccLcnn.build(replace(TINY, head=head))
        assert without_gradient(network, TINY.crop, (0.5, 0.5)) == set()


def test_it_hears_the_whole_recording(both) -> None:
    audio = unseen()[0][0]
    changed = audio.samples.copy()
    changed[-4000:] = natural(50)[-4000:]
    assert audio.samples.size > TINY.crop + 4000
    assert both[0].score(audio) != both[0].score(Audio(changed, audio.rate))


def test_one_class_learning_separates_too(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    detector = LfccLcnn(replace(TINY, head="oc-softmax"))
    detector.fit(real, fake, short_training(tmp_path, 40))
    assert separation(detector) > 0


def test_the_larger_half_of_the_channels_is_kept() -> None:
    x = torch.tensor([1.0, 5.0, 3.0, 2.0]).view(1, 4, 1, 1)
    assert MaxFeatureMap()(x).flatten().tolist() == [3.0, 5.0]


def test_the_lstm_hears_three_coefficients_of_32_channels_every_160_ms() -> None:
    body = LcnnBody(PAPER).eval()
    seen = {}
    body.recurrent.register_forward_pre_hook(lambda layer, inputs: seen.update(shape=inputs[0].shape))
    with torch.inference_mode():
        assert body(torch.randn(1, 64_000)).shape == (1, 96)
    assert seen["shape"] == (1, 401 // 16, 96)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": (8, 8)}, "nine even numbers"),
        ({"crop": 1000}, "at least 2560"),
        ({"head": "tail"}, "'tail'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DoppelbenchError, match=message):
        replace(TINY, **change)


def test_weighted_losses_are_those_of_repeated_recordings() -> None:
    """A class of weight 3 counts as if each of its recordings were there three times."""
    embedding, labels = torch.randn(4, 5), torch.tensor([0, 1, 0, 0])
    repeated = torch.tensor([0, 1, 1, 1, 2, 3])
    for kind in (TwoLogits, OneLogit, OneClassSoftmax):
        head = kind(5)
        weighted = head.loss(embedding, labels, (1.0, 3.0))
        torch.testing.assert_close(weighted, head.loss(embedding[repeated], labels[repeated], (1.0, 1.0)))


def test_heads_score_bona_fide_higher_after_a_step_down_the_loss() -> None:
    embedding, labels = torch.randn(8, 5), torch.tensor([0, 1] * 4)
    embedding[labels == 1] += 2
    for kind in (TwoLogits, OneLogit, OneClassSoftmax):
        head = kind(5)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            head.loss(embedding, labels, (0.5, 0.5)).backward()
            optimizer.step()
        scores = head(embedding)
        assert scores[labels == 1].mean() > scores[labels == 0].mean()


def test_the_loss_of_one_class_learning_is_that_of_its_paper() -> None:
    head = OneClassSoftmax(2)
    with torch.no_grad():
        head.direction.copy_(torch.tensor([[1.0, 0.0]]))
    embedding = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    found = head.loss(embedding, torch.tensor([1, 0]), (0.5, 0.5))
    bonafide, spoof = torch.tensor(20 * (0.9 - 1.0)), torch.tensor(20 * (0.0 - 0.2))
    torch.testing.assert_close(found, (torch.log1p(bonafide.exp()) + torch.log1p(spoof.exp())) / 2)
