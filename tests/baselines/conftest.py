from pathlib import Path

import pytest
from synthetic_corpus import corpus_below

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.readers.csv import read_csv


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the synthetic corpus."""
    return corpus_below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def clips(manifest: Path) -> list[Clip]:
    """All clips of the synthetic corpus."""
    return read_csv(manifest).clips()
