"""Clips, media reading and writing, acoustic features, data-set readers, the synthetic corpus."""

from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DependencyError, DoppelbenchError, InputError, MediaError

__all__ = ["Clip", "DependencyError", "DoppelbenchError", "InputError", "MediaError", "Trial"]
