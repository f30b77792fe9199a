"""AASIST and its light variant keep the contract of detectors."""

import warnings

import pytest
from detector_clips import run_contract

from doppelbench.detectors.aasist import TINY, TINY_L, Aasist, AasistL
from doppelbench.detectors.contract import CHECKS


@pytest.mark.parametrize("check", list(CHECKS))
def test_it_keeps_the_contract(check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    kind, settings = (AasistL, TINY_L) if check in ("spec", "save_and_load") else (Aasist, TINY)
    run_contract(check, lambda: kind(settings), tmp_path)
