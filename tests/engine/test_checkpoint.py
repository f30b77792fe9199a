"""A checkpoint comes back equal, type by type, and nothing that is not one is loaded."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from doppelbench.engine.checkpoint import read_checkpoint, read_note, write_checkpoint  # noqa: E402
from doppelbench.engine.errors import CheckpointError  # noqa: E402


def assert_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_equal(first, second)
    elif isinstance(one, float):
        assert repr(one) == repr(other)
    else:
        assert one == other


def test_everything_that_a_checkpoint_holds_comes_back_equal(tmp_path):
    state = {
        "integer keys": {0: {"step": torch.tensor(3.0)}, 1: {}},
        "tagged": {"$": "tensor", "at": "nowhere"},
        "tuple": (0.9, (1, 2), [3, ()]),
        "numbers": [1, -0.0, 0.1, float("inf"), float("nan"), 10**20, True, None],
        "ordered": OrderedDict([("b", 1), ("a", torch.arange(3))]),
        "tensors": [
            torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).T,
            torch.tensor(5),
            torch.zeros(0, 2),
            torch.tensor([True, False]),
            torch.ones(2, dtype=torch.bfloat16),
        ],
        "array": np.arange(6).reshape(2, 3),
        "set": {1, 2},
        "path": Path("a/b"),
        "type": torch.float16,
        "device": torch.device("cuda:1"),
        "same/place": 1,
        "same": {"place": torch.ones(1)},
        "text": "Grüße\n",
    }
    write_checkpoint(tmp_path / "a.safetensors", state, {"step": "12"})
    assert_equal(read_checkpoint(tmp_path / "a.safetensors"), state)
    assert read_note(tmp_path / "a.safetensors")["step"] == "12"


def test_places_that_collide_keep_their_own_tensor(tmp_path):
    state = {"a/b": torch.tensor(1), "a": {"b": torch.tensor(2)}, 1: torch.tensor(3), "1": torch.tensor(4)}
    write_checkpoint(tmp_path / "a.safetensors", state)
    assert_equal(read_checkpoint(tmp_path / "a.safetensors"), state)


def test_tied_weights_and_module_versions_come_back(tmp_path):
    module = torch.nn.Sequential(torch.nn.utils.spectral_norm(torch.nn.Linear(3, 3)), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight_orig
    write_checkpoint(tmp_path / "a.safetensors", {"state_dict": module.state_dict()})
    read = read_checkpoint(tmp_path / "a.safetensors")["state_dict"]
    assert_equal(read, module.state_dict())
    assert_equal(read._metadata, module.state_dict()._metadata)


def test_optimiser_and_scheduler_states_load(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=10)
    weight.sum().backward()
    optimizer.step()
    scheduler.step()
    state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    write_checkpoint(tmp_path / "a.safetensors", state)
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert_equal(read, state)
    torch.optim.AdamW([weight], lr=0.1, amsgrad=True).load_state_dict(read["optimizer"])


def test_what_has_no_safe_form_is_refused_with_its_place_and_leaves_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"function at /callbacks/mine"):
        write_checkpoint(tmp_path / "a.safetensors", {"callbacks": {"mine": lambda: None}})
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_is_refused_without_being_run(tmp_path):
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (marker,))

    path = tmp_path / "a.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(path)
    torch.save({"state_dict": Bomb()}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(path)
    assert not marker.exists()


def test_other_safetensors_truncated_and_missing_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no training checkpoint"):
        read_checkpoint(tmp_path / "other.safetensors")
    write_checkpoint(tmp_path / "cut.safetensors", {"weight": torch.ones(100)})
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-50])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
        read_checkpoint(tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "none.safetensors")


def test_unknown_tag_in_a_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    metadata = {
        "format": "doppelbench-checkpoint",
        "version": "1",
        "structure": '{"$":"call","of":["os.system"]}',
    }
    save_file({}, tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="unknown"):
        read_checkpoint(tmp_path / "a.safetensors")
