"""AASIST has the published sizes and graphs, learns to tell clips apart, and keeps the contract."""

from dataclasses import replace

import pytest
import torch
from detector_clips import fitted_both_ways, parameters, separation, without_gradient

from doppelbench.detectors.aasist import (
    PAPER,
    PAPER_L,
    TINY,
    Aasist,
    GraphAttention,
    GraphPool,
    GraphSettings,
    HeterogeneousAttention,
    SpectroTemporalGraphs,
)
from doppelbench.engine.trainer import seeded


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Aasist, Aasist]:
    return fitted_both_ways(lambda: Aasist(TINY), tmp_path_factory.mktemp("aasist"), TINY.max_steps)


@pytest.mark.parametrize(("settings", "published"), [(PAPER, 297_866), (PAPER_L, 85_306)])
def test_the_networks_have_the_published_number_of_parameters(settings, published: int) -> None:
    with torch.device("meta"):
        assert parameters(Aasist.build(settings)) == published


def test_the_training_is_the_published_one() -> None:
    assert (PAPER.crop, PAPER.batch_size, PAPER.class_weights) == (64_600, 24, (0.1, 0.9))
    assert (PAPER.learning_rate, PAPER.final_learning_rate, PAPER.weight_decay) == (1e-4, 5e-6, 1e-4)


def test_it_separates_recordings_it_never_heard(both) -> None:
    assert separation(both[0]) > 0


def test_the_contrary_labels_give_the_contrary_scores(both) -> None:
    assert separation(both[1]) < 0


def test_the_loss_reaches_every_parameter_when_the_norm_of_blocks_is_used() -> None:
    settings = replace(TINY, graphs=replace(TINY.graphs, first_norm=True))
    with seeded(0):
        assert without_gradient(Aasist.build(settings), TINY.crop, (0.5, 0.5)) == set()


def test_as_published_the_norm_at_the_input_of_blocks_is_not_used() -> None:
    with seeded(0):
        unreached = without_gradient(Aasist.build(TINY), TINY.crop, (0.5, 0.5))
    blocks = range(1, len(TINY.graphs.channels))
    norms = {f"body.graphs.blocks.{n}.norm_input.{part}" for n in blocks for part in ("weight", "bias")}
    assert unreached == norms


def test_attention_does_not_know_the_order_of_nodes() -> None:
    layer = GraphAttention(6, 4, 2.0).eval()
    nodes, order = torch.randn(2, 7, 6), torch.randperm(7)
    torch.testing.assert_close(layer(nodes)[:, order], layer(nodes[:, order]), atol=1e-5, rtol=1e-4)


def test_attention_of_equal_nodes_leaves_them_equal() -> None:
    layer = GraphAttention(6, 4, 2.0).eval()
    out = layer(torch.randn(1, 1, 6).expand(1, 5, 6))
    torch.testing.assert_close(out, out[:, :1].expand_as(out))


def test_heterogeneous_attention_knows_the_kinds_but_not_the_order_within_one() -> None:
    layer = HeterogeneousAttention(6, 4, 100.0).eval()
    first, second, master = torch.randn(2, 5, 6), torch.randn(2, 3, 6), torch.randn(2, 1, 6)
    order = torch.randperm(5)
    one, two, whole = layer(first, second, master)
    assert (one.shape, two.shape, whole.shape) == ((2, 5, 4), (2, 3, 4), (2, 1, 4))
    shuffled = layer(first[:, order], second, master)
    for before, after in zip((one[:, order], two, whole), shuffled, strict=True):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
    swapped, _, _ = layer(second, first, master)
    assert not torch.allclose(swapped, two, atol=1e-3)


def test_pooling_keeps_the_nodes_with_the_highest_scores_times_their_scores() -> None:
    pool = GraphPool(0.5, 1).eval()
    torch.nn.init.ones_(pool.score.weight)
    torch.nn.init.zeros_(pool.score.bias)
    nodes = torch.tensor([[[1.0], [4.0], [-2.0], [3.0], [0.0]]])
    expected = torch.tensor([4.0, 3.0])
    torch.testing.assert_close(pool(nodes)[0, :, 0], expected * torch.sigmoid(expected))


def test_pooling_keeps_at_least_one_node() -> None:
    assert GraphPool(0.1, 4).eval()(torch.randn(1, 3, 4)).shape == (1, 1, 4)


def test_the_published_picture_has_23_nodes_of_frequency_and_29_of_time() -> None:
    graphs = SpectroTemporalGraphs(PAPER.graphs, PAPER.filters).eval()
    assert graphs.band_positions.shape == (1, 23, 64)
    seen = {}
    graphs.time_graph.register_forward_hook(lambda layer, inputs, output: seen.update(shape=output.shape))
    with torch.inference_mode():
        embedding = graphs(torch.rand(1, 1, PAPER.filters, 64_600 - PAPER.taps + 1))
    assert seen["shape"] == (1, 29, 64)
    assert embedding.shape == (1, 160)


def test_without_pooling_over_time_short_pictures_are_enough() -> None:
    graphs = SpectroTemporalGraphs(GraphSettings(channels=(4, 4), graph_widths=(4, 4), time_pool=1), 12)
    assert graphs.eval()(torch.rand(2, 1, 12, 9)).shape == (2, 20)
