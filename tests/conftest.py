import os
from pathlib import Path

import pytest

from doppelbench.engine.threads import limit_threads

limit_threads()


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of small real recordings; skips with a reason where it is not."""
    place = Path(os.environ.get("DOPPELBENCH_REALDATA", "../shared/realdata"))
    if not (place / "MANIFEST.csv").is_file():
        pytest.skip(f"no real recordings at {place}; name their folder in DOPPELBENCH_REALDATA")
    return place.resolve()
