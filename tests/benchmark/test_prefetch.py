"""Weights are believed only with the right hash."""

import hashlib

import pytest

from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.prefetch import fetch, prefetch
from doppelbench.corpora.errors import DependencyError
from doppelbench.metrics.recognizers import whisper_checkpoint


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A publisher on disk that offers one size, and an empty cache."""
    whisper = pytest.importorskip("whisper")
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / digest).mkdir()
    file = tmp_path / digest / "tiny.pt"
    file.write_bytes(b"weights")
    monkeypatch.setattr(whisper, "_MODELS", {"tiny": file.as_uri()})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def test_the_recogniser_finds_what_was_fetched(published):
    with pytest.raises(DependencyError, match="prefetch whisper:tiny"):
        whisper_checkpoint("tiny")
    path = prefetch("whisper:tiny")
    assert path.read_bytes() == b"weights"
    assert whisper_checkpoint("tiny") == path


def test_another_content_is_not_kept(published, tmp_path):
    published.write_bytes(b"something else")
    with pytest.raises(DependencyError, match="was not kept"):
        prefetch("whisper:tiny")
    assert not list((tmp_path / "cache").rglob("*.p*"))


def test_a_checked_file_is_not_fetched_again(published):
    path = prefetch("whisper:tiny")
    published.unlink()
    assert prefetch("whisper:tiny") == path


def test_no_network_is_a_sentence_with_a_cure(tmp_path):
    with pytest.raises(DependencyError, match=r"cannot be fetched.*copy the file to"):
        fetch((tmp_path / "absent").as_uri(), "0" * 64, tmp_path / "there")


def test_unknown_names_are_refused(published):
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        prefetch("whisper:tinny")
    with pytest.raises(ConfigError, match="nothing to fetch"):
        prefetch("pocketsphinx")
