"""Cut the films of a corpus in worker processes, before anything else is done with them."""

from collections.abc import Sequence
from dataclasses import asdict

from doppelbench.benchmark.config import VideoConfig
from doppelbench.benchmark.progress import TaskProgress, say
from doppelbench.benchmark.tasks import failed_status
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.talkers.build import cache_directory
from doppelbench.engine.pool import Task, run_pool

TIMEOUT = 600.0


def cut_films(
    clips: Sequence[Clip], video: VideoConfig, *, jobs: int
) -> tuple[list[Clip], dict[str, dict[str, str]]]:
    """Cut every film; films that were cut before are found again in the cache.

    Args:
        clips: of a corpus, with or without films.
        video: how they are cut.
        jobs: worker processes.

    Returns:
        The clips with their cut films, and for those that are left out (no face, unreadable) status and
        reason by id. Clips without a film are returned as they are.
    """
    directory = str(cache_directory() / "films")
    tasks = [
        Task(
            str(index),
            "doppelbench.benchmark.work:cut_film",
            {
                "clip": asdict(clip),
                "framing": video.model_dump(),
                "directory": directory,
            },
        )
        for index, clip in enumerate(clips)
        if clip.video is not None
    ]
    cut: dict[int, Clip] = {}
    left_out: dict[str, dict[str, str]] = {}
    with TaskProgress("cutting films", len(tasks)) as progress:
        for result in run_pool(tasks, jobs=jobs, timeout=TIMEOUT):
            clip = clips[int(result.key)]
            value = result.value or {"status": failed_status(result), "reason": result.reason}
            if "clip" in value:
                cut[int(result.key)] = Clip(**value["clip"])
            else:
                left_out[clip.id] = {"status": value["status"], "reason": value["reason"]}
                say(f"clip {clip.id} is left out: {value['reason']}")
            progress.advance()
    kept = [cut.get(index, clip) for index, clip in enumerate(clips) if clip.video is None or index in cut]
    return kept, left_out
