"""A cache gives back what was computed, from the file, and is complete or not there."""

import hashlib
import pickle
import subprocess
import sys

import cache_functions
import numpy as np
import pytest

from doppelbench.engine.cache import ArrayCache, CacheItem, build_cache
from doppelbench.engine.errors import CacheError, ConfigError

ITEMS = [CacheItem(f"clip{n}", {"seed": n, "length": 3 + 5 * n}, cost=n) for n in range(5)]


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def cache(tmp_path):
    return build_cache(tmp_path, "k", ITEMS, cache_functions.features)


def test_arrays_come_back_equal_with_their_types(cache):
    assert list(cache) == [item.id for item in ITEMS]
    for item in ITEMS:
        expected = cache_functions.features(**item.arguments)
        assert set(cache[item.id]) == set(expected)
        for name, array in expected.items():
            assert cache[item.id][name].dtype == array.dtype
            np.testing.assert_array_equal(cache[item.id][name], array)
            assert cache.shape(item.id, name) == array.shape
    cache.verify()


def test_bytes_do_not_depend_on_the_workers(tmp_path, cache):
    for jobs in (1, 2):
        build_cache(tmp_path / str(jobs), "k", ITEMS, "cache_functions:features", jobs)
        assert digest(tmp_path / str(jobs) / "k") == digest(cache.folder)


def test_views_are_read_only_maps_of_the_file(cache):
    view = cache["clip3"]["mel"]
    base = view
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1


def test_finished_cache_is_opened_and_not_computed_again(tmp_path, cache):
    def never(**arguments):
        raise AssertionError

    again = build_cache(tmp_path, "k", ITEMS, never)
    np.testing.assert_array_equal(again["clip2"]["mel"], cache["clip2"]["mel"])


def test_cache_travels_to_another_process(cache):
    assert len(pickle.dumps(cache)) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache))["clip4"]["mel"], cache["clip4"]["mel"])


def test_items_that_fail_are_left_out_with_their_reason(tmp_path):
    kinds = ["", "raise", "crash", "nan", "object"]
    items = [CacheItem(how or "fine", {"seed": 1, "how": how}) for how in kinds]
    cache = build_cache(tmp_path, "k", items, "cache_functions:sometimes", jobs=1)
    assert list(cache) == ["fine"]
    assert "cannot be read" in cache.failed["raise"]
    assert "SIGABRT" in cache.failed["crash"]
    assert "not finite" in cache.failed["nan"]
    assert "object" in cache.failed["object"]
    with pytest.raises(KeyError, match="cannot be read"):
        cache["raise"]


def test_cache_of_failures_or_of_unlike_items_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(CacheError, match="cannot be read"):
        build_cache(tmp_path, "k", [CacheItem("a", {"seed": 1, "how": "raise"})], cache_functions.sometimes)
    unlike = [CacheItem("a", {"dtype": "float32"}), CacheItem("b", {"dtype": "float16"})]
    with pytest.raises(CacheError, match="type"):
        build_cache(tmp_path, "k", unlike, cache_functions.inconsistent)
    fields = [CacheItem("a", {"dtype": "uint8"}), CacheItem("b", {"dtype": "uint8", "name": "f0"})]
    with pytest.raises(CacheError, match="fields"):
        build_cache(tmp_path, "k", fields, cache_functions.inconsistent)
    with pytest.raises(ConfigError, match="'a'"):
        build_cache(tmp_path, "k", [unlike[0], unlike[0]], cache_functions.inconsistent)
    assert list(tmp_path.iterdir()) == []


def test_cut_damaged_and_unfinished_caches_are_noticed(tmp_path, cache):
    path = cache.folder / "mel.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-64])
    with pytest.raises(CacheError, match=r"mel\.bin"):
        ArrayCache(cache.folder)
    path.write_bytes(b"\x01" + content[1:])
    with pytest.raises(CacheError, match="mel of clip0"):
        ArrayCache(cache.folder).verify()
    (cache.folder / "index.json").write_text('{"schema": 99}')
    with pytest.raises(CacheError, match="format 99"):
        ArrayCache(cache.folder)
    with pytest.raises(CacheError, match="no finished cache"):
        ArrayCache(tmp_path / "nothing")


def test_reading_needs_no_torch(cache):
    code = (
        "import sys; from pathlib import Path; from doppelbench.engine.cache import ArrayCache\n"
        f"assert ArrayCache(Path({str(cache.folder)!r}))['clip1']['mel'].shape == (8, 80)\n"
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
