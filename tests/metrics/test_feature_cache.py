import hashlib
import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from metric_examples import speech_like

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio
from doppelbench.metrics import feature_cache as module
from doppelbench.metrics.feature_cache import (
    SUFFIX,
    CacheSettings,
    FeatureCache,
    pack,
    signal_digest,
    unpack,
    using,
)
from doppelbench.metrics.registry import metric

NOTHING = CacheSettings(reference_bytes=0, output_bytes=0)
METRICS = [
    ("mcd", {}),
    ("mcd", {"f0": "harvest", "gate": -20}),
    ("mcd", {"align": "none", "order": 13}),
    ("f0_rmse", {}),
    ("voicing_error", {}),
    ("stoi", {}),
    ("estoi", {}),
    ("stoi", {"align": True}),
]


class Counting:
    def __init__(self, *features):
        self.features = features
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.features


def stored(directory):
    return sorted(directory.glob(f"??/*{SUFFIX}"))


@pytest.mark.parametrize(("name", "options"), METRICS, ids=str)
def test_scores_have_the_same_bits_computed_remembered_and_read(name, options, tmp_path):
    ref = speech_like(seed=1, seconds=1.2)
    out = speech_like(seed=1, seconds=1.2, voice=1, noise_db=-10.0)
    other = speech_like(seed=1, seconds=1.2, voice=2, noise_db=-20.0)
    scorer = metric(name, **options)

    def score_with(cache):
        with using(cache):
            return [scorer.item(out=signal, ref=ref) for signal in (out, other, out)]

    plain = score_with(FeatureCache(settings=NOTHING))
    assert plain[0].value is not None
    assert score_with(FeatureCache()) == plain
    assert score_with(FeatureCache(tmp_path)) == plain
    files = stored(tmp_path)
    assert files
    before = [path.stat().st_ino for path in files]
    assert score_with(FeatureCache(tmp_path)) == plain
    assert [path.stat().st_ino for path in stored(tmp_path)] == before


def test_a_reference_is_analysed_once_for_all_systems(monkeypatch):
    from doppelbench.metrics import world_kernel

    lengths = []
    true_envelope = world_kernel.log_envelope
    monkeypatch.setattr(
        world_kernel,
        "log_envelope",
        lambda samples, *more: lengths.append(samples.size) or true_envelope(samples, *more),
    )
    ref = speech_like(seed=1, seconds=1.0)
    with using(FeatureCache()):
        for system in range(3):
            metric("mcd").item(out=speech_like(seed=2 + system, seconds=0.8), ref=ref)
    assert sorted(lengths) == [12800] * 3 + [16000]


def test_recipe_content_type_and_shape_tell_features_apart():
    cache = FeatureCache()
    zeros = np.zeros(4)
    digests = [
        signal_digest(array) for array in (zeros, zeros.astype(np.float32), zeros.reshape(2, 2), zeros + 1)
    ]
    assert len(set(digests)) == 4
    for number, (recipe, digest) in enumerate([("a", digests[0]), ("b", digests[0]), ("a", digests[1])]):
        (value,) = cache.get(recipe, (digest,), Counting(np.array([number])), role="reference")
        assert value.tolist() == [number]


def test_a_strided_signal_has_the_identity_of_its_values():
    samples = np.arange(20.0)
    assert signal_digest(samples[::2]) == signal_digest(samples[::2].copy())


def test_features_cannot_be_changed_and_have_one_layout(tmp_path):
    made = Counting(np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(3))
    for cache in (FeatureCache(tmp_path), FeatureCache(tmp_path)):
        table, row = cache.get("r", (b"x",), made, role="reference")
        assert table.flags.c_contiguous
        assert not table.flags.writeable
        assert not row.flags.writeable
    assert made.calls == 1


def test_features_of_outputs_stay_in_memory(tmp_path):
    cache, made = FeatureCache(tmp_path), Counting(np.arange(3))
    for _ in range(2):
        cache.get("r", (b"x",), made, role="output")
    assert made.calls == 1
    assert not stored(tmp_path)


def test_memory_keeps_what_was_used_last_within_its_bound():
    cache = FeatureCache(settings=CacheSettings(reference_bytes=3 * 80))
    makers = {name: Counting(np.zeros(10)) for name in b"abcd"}
    for name in b"abcadba":
        cache.get("r", (bytes([name]),), makers[name], role="reference")
    # When d came, b had been unused for longest; b then pushed c out.
    assert [makers[name].calls for name in b"abcd"] == [1, 2, 1, 1]


def test_features_beyond_the_bound_are_given_but_not_kept():
    cache = FeatureCache(settings=CacheSettings(reference_bytes=10))
    made = Counting(np.zeros(10))
    for _ in range(2):
        cache.get("r", (b"x",), made, role="reference")
    assert made.calls == 2


def test_a_failure_is_not_remembered():
    cache = FeatureCache()

    def fail():
        raise MediaError("no_speech", "nothing")

    with pytest.raises(MediaError):
        cache.get("r", (b"x",), fail, role="reference")
    (value,) = cache.get("r", (b"x",), Counting(np.ones(1)), role="reference")
    assert value.tolist() == [1.0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:150] + bytes([content[150] ^ 1]) + content[151:],
        lambda content: b"something else entirely",
    ],
    ids=["empty", "one byte short", "half", "a bit flipped", "foreign"],
)
def test_a_damaged_file_is_computed_again_and_replaced(damage, tmp_path):
    made = Counting(np.arange(20.0))
    FeatureCache(tmp_path).get("r", (b"x",), made, role="reference")
    (path,) = stored(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    (value,) = FeatureCache(tmp_path).get("r", (b"x",), made, role="reference")
    assert value.tolist() == list(range(20))
    assert made.calls == 2
    assert path.read_bytes() == whole


def test_nothing_is_unpickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    body = buffer.getvalue()
    assert unpack(body + hashlib.sha256(body).digest()) is None
    with pytest.raises(ValueError, match="allow_pickle"):
        pack((np.array([{}], dtype=object),))


def test_values_that_are_not_finite_and_signs_of_zero_survive():
    bits = np.array([np.nan, np.inf, -0.0, 5e-324])
    (back,) = unpack(pack((bits,)))
    assert struct.pack("4d", *back) == struct.pack("4d", *bits)


def test_the_folder_stays_within_its_bound_and_loses_the_oldest(tmp_path):
    one = len(pack((np.zeros(1000),)))
    cache = FeatureCache(tmp_path, CacheSettings(disk_bytes=10 * one))
    for number in range(30):
        cache.get("r", (bytes([number]),), Counting(np.full(1000, float(number))), role="reference")
        for age, path in enumerate(sorted(stored(tmp_path), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(path, (1e9 + age, 1e9 + age))
        assert len(stored(tmp_path)) <= 11
    made = Counting(np.zeros(1000))
    fresh = FeatureCache(tmp_path, CacheSettings(disk_bytes=10 * one))
    fresh.get("r", (bytes([29]),), made, role="reference")
    assert made.calls == 0
    fresh.get("r", (bytes([0]),), made, role="reference")
    assert made.calls == 1


def test_remains_of_ended_processes_are_removed(tmp_path):
    (tmp_path / "ab").mkdir()
    old, fresh = tmp_path / "ab" / "old.part", tmp_path / "ab" / "fresh.part"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    FeatureCache(tmp_path).get("r", (b"x",), Counting(np.zeros(1)), role="reference")
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_to_costs_no_score(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = FeatureCache(tmp_path / "file" / "under")
    (value,) = cache.get("r", (b"x",), Counting(np.ones(2)), role="reference")
    assert value.tolist() == [1.0, 1.0]
    with pytest.raises(InputError, match="this is a file"):
        FeatureCache(tmp_path / "file")


WRITER = """
import sys
from pathlib import Path
import numpy as np
from doppelbench.metrics.feature_cache import CacheSettings, FeatureCache
settings = CacheSettings(reference_bytes=0, disk_bytes=40 * 8200)
cache = FeatureCache(Path(sys.argv[1]), settings)
for _ in range(5):
    for number in range(60):
        (value,) = cache.get("r", (bytes([number]),), lambda: (np.full(1000, number),), role="reference")
        assert (value == number).all()
"""


def test_many_processes_share_a_folder(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert all(unpack(path.read_bytes()) is not None for path in stored(tmp_path))
    assert not list(tmp_path.glob("??/*.part"))


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_current", None)
    monkeypatch.delenv("DOPPELBENCH_CACHE", raising=False)
    assert module.feature_cache().directory is None
    monkeypatch.setattr(module, "_current", None)
    monkeypatch.setenv("DOPPELBENCH_CACHE", str(tmp_path))
    assert module.feature_cache().directory == tmp_path / "features-1"


def test_references_of_another_level_are_other_references():
    ref = speech_like(seed=1, seconds=1.0)
    louder = Audio(ref.samples * np.float32(2), ref.rate)
    out = speech_like(seed=1, seconds=1.0, noise_db=0.0)
    with using(FeatureCache()):
        cached = [metric("mcd", c0="in").item(out=out, ref=signal).value for signal in (ref, louder)]
    assert cached[0] != cached[1]
