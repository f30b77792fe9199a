"""The built-in parallel audiovisual corpus, made from a seed.

Text-to-speech voices speak the command sentences of the GRID corpus and free sentences, and a drawn head of
each person moves with the synthesiser's own phoneme timing. Everybody says the sentences of ``dev`` and
``test``; nobody says them in ``train``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from doppelbench.corpora.clip import Clip

__all__ = ["talkers"]


def talkers(
    directory: Path | None = None,
    *,
    seed: int = 0,
    size: int = 64,
    video: bool = True,
    target_seconds: float = 200.0,
    source_seconds: float = 50.0,
    speakers: Sequence[str] | None = None,
    dev_sentences: int = 6,
    test_sentences: int = 12,
    jobs: int = 2,
    progress: Callable[[float, float], None] | None = None,
) -> list[Clip]:
    """Return the clips of the corpus, making it first when it is not in the cache.

    The same settings give the same bytes on the same machine, for any number of jobs.

    Args:
        directory: cache; ``DOPPELBENCH_CACHE`` or ``~/.cache/doppelbench`` when None. The corpus lies in
            ``talkers/<hash of the settings>`` under it.
        seed: changes sentences, noise and motion.
        size: height and width of the video in pixels, a multiple of 32.
        video: False makes audio only, which is quick.
        target_seconds: least speech of each target speaker in split ``train``.
        source_seconds: the same for each source-only speaker.
        speakers: names from the table in :mod:`doppelbench.corpora.talkers.voices`; the four targets and the
            four source-only speakers when None.
        dev_sentences: sentences that everybody says in split ``dev``.
        test_sentences: sentences that everybody says in split ``test``.
        jobs: processes at work.
        progress: called with the seconds of speech made and expected.

    Raises:
        InputError: a setting is out of its range.
        DependencyError: the speech synthesiser is not installed.
    """
    from doppelbench.corpora.talkers.build import build, cache_directory, load
    from doppelbench.corpora.talkers.settings import TalkersSettings
    from doppelbench.corpora.talkers.voices import default_speakers

    settings = TalkersSettings(
        speakers=default_speakers() if speakers is None else tuple(speakers),
        seed=seed,
        size=size,
        video=video,
        target_seconds=target_seconds,
        source_seconds=source_seconds,
        dev_sentences=dev_sentences,
        test_sentences=test_sentences,
    )
    return load(build(settings, Path(directory or cache_directory()), jobs=jobs, progress=progress))
