"""What a track is: its metrics, its ranking rule and its reference rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Track:
    """One task.

    Attributes:
        name: key on the command line and in the run folder.
        title: one line for people.
        metrics: metrics scored by default.
        ranking: metrics that order a board, the first deciding.
        reference_rows: systems that are always run beside the competing ones.
    """

    name: str
    title: str
    metrics: tuple[str, ...]
    ranking: tuple[str, ...]
    reference_rows: tuple[str, ...]
