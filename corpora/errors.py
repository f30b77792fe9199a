"""Errors that a user caused or can cure; each carries the exit code of the command line."""

import warnings
from collections.abc import Sequence


class DoppelbenchError(Exception):
    """Base of every error that is reported as one sentence, without a traceback."""

    exit_code = 1


class InputError(DoppelbenchError):
    """A file or table that the user supplied cannot be used; the message names it and says why."""

    exit_code = 2


class MediaError(InputError):
    """An audio or video file that cannot be used.

    ``status`` is the item status of the metrics contract (``missing``, ``unreadable``, ``too_short``,
    ``silent``, ``not_finite``, ``rate_mismatch``), so that a failed item is recorded and never a number.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class DependencyError(DoppelbenchError):
    """A package or a file of weights that this call needs is not installed; the message says how to get
    it."""

    exit_code = 5


class ClipWarning(UserWarning):
    """What a user should know of a clip that a system was trained on or asked about."""


class LeftOutWarning(ClipWarning):
    """A clip that cannot be used is left out of a training; the message names it and says why."""


class WholePictureWarning(ClipWarning):
    """No face was found, so that the whole picture is taken for it."""


def warn_whole_pictures(without: Sequence[str], of: int, what: str, *, stacklevel: int) -> None:
    """Warn of films in which no face was found, where there are any.

    Args:
        without: their names.
        of: films that were looked at.
        what: what they are, and what is done instead.
        stacklevel: as for :func:`warnings.warn`, counted from the caller.
    """
    if without:
        named = ", ".join(without[:5]) + (" ..." if len(without) > 5 else "")
        message = f"no face was found in {len(without)} of {of} {what}: {named}"
        warnings.warn(message, WholePictureWarning, stacklevel=stacklevel + 1)
