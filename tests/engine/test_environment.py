"""The record names what a result was made with and loads nothing for it."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from doppelbench.engine.environment import environment_record, git_state
from doppelbench.engine.hashing import content_key, file_sha256
from doppelbench.engine.threads import limit_threads


def test_record_is_json_and_names_code_packages_and_machine(tmp_path):
    record = environment_record(seeds={"training": 3}, directory=tmp_path)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["packages"]["numpy"] == np.__version__
    assert record["python"] == platform.python_version()
    assert record["machine"]["cores"] >= 1
    assert record["machine"]["memory"] > 2**28
    assert record["machine"]["processor"]
    assert record["seeds"] == {"training": 3}
    assert record["git"] is None


def test_git_state_tells_commit_and_changes(tmp_path):
    def git(*arguments):
        settings = ["-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=trunk"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *settings, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "First")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path)["dirty"]


def test_nothing_heavy_is_loaded_for_the_record_or_by_the_package():
    code = (
        "import sys\n"
        "import doppelbench.engine.cache, doppelbench.engine.pool, doppelbench.engine.run\n"
        "import doppelbench.engine.trainer, doppelbench.engine.checkpoint, doppelbench.engine.data\n"
        "from doppelbench.engine.environment import environment_record\n"
        "assert environment_record()['gpu'] is None\n"
        "heavy = {'torch', 'lightning', 'numpy', 'pandas', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_content_keys_are_stable_across_processes_types_and_orders():
    known = content_key({"b": [1, 0.1], "a": "ü"}, None)
    assert known == "d84decba30371cedf2cd6ed30987a7e898298716643e82fbcb15565228cc6d18"
    assert known == content_key({"a": "ü", "b": (1, 0.1)}, None)
    assert content_key({1, 2, 3}) == content_key({3, 2, 1})
    assert content_key(np.int64(3), np.float64(0.1)) == content_key(3, 0.1)


def test_content_keys_differ_where_content_does():
    values = [
        ("ab", "c"), ("a", "bc"), (["a", "b"],), ("a", "b"), (1,), ("1",), (1.5,), (True,), (None,), ({},),
        ([],), ("c", "ab"), (b"a",), ("a",),
    ]  # fmt: skip
    assert len({content_key(*value) for value in values}) == len(values)


@pytest.mark.parametrize("value", [object(), {1: 2}, lambda: None])
def test_what_has_no_canonical_form_has_no_key(value):
    with pytest.raises(TypeError):
        content_key(value)


def test_file_hash_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_threads_default_to_one_and_the_user_may_raise_them(monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    monkeypatch.delenv("DOPPELBENCH_THREADS", raising=False)
    environment = {"MKL_NUM_THREADS": "4"}
    assert limit_threads(environment=environment) == 1
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MKL_NUM_THREADS"] == "4"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert torch.get_num_threads() == 1
    assert limit_threads(2, environment) == 2
    assert environment["MKL_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("DOPPELBENCH_THREADS", "3")
    assert limit_threads(environment={}) == 3
    torch.set_num_threads(before)


def test_limit_reaches_the_libraries_of_a_fresh_process():
    code = (
        "from doppelbench.engine.threads import limit_threads\n"
        "limit_threads()\n"
        "import torch\n"
        "print(torch.get_num_threads())"
    )
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "1"
