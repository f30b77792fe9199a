"""Runs without worker processes: libraries are loaded once, and what a test replaces acts on the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from doppelbench.engine.pool import run_pool


@contextmanager
def in_this_process() -> Iterator[None]:
    """Let every task of a run be done here; its items are the same bytes as those of workers."""
    here = partial(run_pool, in_process=True)
    with (
        patch("doppelbench.benchmark.run.run_pool", here),
        patch("doppelbench.engine.engines.run_pool", here),
    ):
        yield
