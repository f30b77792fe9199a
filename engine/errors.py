"""Errors of the engine that a user caused or can cure; each carries the exit code of the command line."""


class EngineError(Exception):
    """Base of every error of the engine that is reported as one sentence, without a traceback."""

    exit_code = 1


class ConfigError(EngineError):
    """Settings that contradict each other or what is already in a folder; the message says what differs."""


class TrainingError(EngineError):
    """Training cannot go on, for example because a loss is no longer finite."""


class CheckpointError(EngineError):
    """A checkpoint cannot be written or is not one of ours; the message names it and says what to do."""

    exit_code = 2


class CacheError(EngineError):
    """A cache on disk is damaged or of another version; the message names the file and says what to do."""

    exit_code = 2


class RunError(EngineError):
    """A run's folder cannot be used; the message names it and says why and what to do."""

    exit_code = 2


class DependencyError(EngineError):
    """A package that this call needs is not installed; the message says how to get it."""

    exit_code = 5
