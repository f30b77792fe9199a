"""What ``ls``, ``describe`` and ``data`` print; everything comes from the specs."""

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doppelbench.benchmark.config import ConfigError, load_recipe, parse_options, recipe_names

TALKERS = {
    "name": "talkers",
    "title": "Built-in parallel audiovisual corpus of synthetic talkers, made from a seed",
    "layout": "made in the cache; no download",
    "split": "train, dev and test without a common sentence; dev and test spoken by everybody",
}


def listing(what: str) -> list[dict[str, Any]]:
    """List systems, metrics, detectors, corpora, tracks or recipes, one row each with its ``name``."""
    return {
        "systems": _systems,
        "metrics": _metrics,
        "detectors": _detectors,
        "corpora": _corpora,
        "tracks": _tracks,
        "recipes": _recipes,
    }[what]()


def describe(name: str) -> dict[str, Any]:
    """Return everything known of one system, metric, detector, corpus, track or recipe.

    Raises:
        ConfigError: nothing has this name; the message suggests the nearest.
    """
    from doppelbench.baselines.registry import find_system, system_names
    from doppelbench.metrics.registry import list_metrics, metric_class

    if name in system_names():
        spec = find_system(name).spec
        presets = {preset: asdict(settings) for preset, settings in spec.presets.items()}
        documentation = (__import__(find_system(name).__module__, fromlist=["__doc__"]).__doc__ or "").strip()
        return {**_system_row(name), "presets": presets, "documentation": documentation}
    if name in list_metrics():
        spec_of_metric = asdict(metric_class(name).spec)
        module = __import__(metric_class(name).__module__, fromlist=["__doc__"])
        return {**spec_of_metric, "documentation": (module.__doc__ or "").strip()}
    for rows in (_corpora(), _tracks(), _detectors()):
        for row in rows:
            if row["name"] == name:
                return row
    if name in recipe_names():
        return {"name": name, **load_recipe(name).model_dump(mode="json", exclude={"name"})}
    known = [
        *system_names(),
        *list_metrics(),
        *(row["name"] for row in [*_corpora(), *_tracks(), *_detectors()]),
        *recipe_names(),
    ]
    near = difflib.get_close_matches(name, known, n=1)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else "see: doppelbench ls systems|metrics|detectors|corpora|tracks|recipes"
    )
    raise ConfigError(f"nothing is called {name!r}; {hint}")


def corpus_summary(
    reader: str, root: Path | None, options: list[str], *, save: Path | None, jobs: int
) -> list[dict[str, Any]]:
    """Read a corpus and count its clips, seconds and speakers by split; ``save`` writes its manifest."""
    from doppelbench.benchmark.plan import open_corpus

    corpus = open_corpus(reader, root, parse_options(options), jobs=jobs)
    if save is not None:
        corpus.with_hashes(jobs=jobs).save(save)
    table = corpus.summary().reset_index(names="split")
    return [
        {"corpus": corpus.name, **{str(name): _plain(value) for name, value in row.items()}}
        for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    return round(number, 1) if isinstance(number, float) else number


def _system_row(name: str) -> dict[str, Any]:
    from doppelbench.baselines.registry import find_system

    spec = find_system(name).spec
    return {
        "name": spec.name,
        "title": spec.title,
        "track": spec.track,
        "presets": sorted(spec.presets),
        "reference_row": spec.reference_row,
        "paper": spec.paper,
        "licence": spec.licence,
    }


def _systems() -> list[dict[str, Any]]:
    from doppelbench.baselines.registry import system_names

    return [_system_row(name) for name in system_names()]


def _metrics() -> list[dict[str, Any]]:
    from doppelbench.metrics.registry import list_metrics, metric_class

    rows = []
    for name in list_metrics():
        spec = metric_class(name).spec
        rows.append(
            {
                "name": name,
                "title": spec.title,
                "metric_unit": spec.unit,
                "direction": spec.direction,
                "needs": sorted(spec.needs),
                "ms_per_audio_second": spec.cost,
                "version": spec.version,
            }
        )
    return rows


def _detectors() -> list[dict[str, Any]]:
    from doppelbench.detectors.registry import detector_names, find_detector

    rows = []
    for name in detector_names():
        spec = find_detector(name).spec
        rows.append(
            {
                "name": name,
                "title": spec.title,
                "media": spec.media,
                "presets": sorted(spec.presets),
                "trivial": spec.trivial,
                "score_kind": spec.score_kind,
                "paper": spec.paper,
                "licence": spec.licence,
            }
        )
    return rows


def _corpora() -> list[dict[str, Any]]:
    from doppelbench.corpora.readers import READERS

    readers = [
        {"name": spec.name, "title": spec.title, "layout": spec.layout, "split": spec.split}
        for spec in READERS.values()
    ]
    return [TALKERS, *readers]


def _tracks() -> list[dict[str, Any]]:
    from doppelbench.benchmark.tracks.registry import TRACKS

    return [asdict(track) for track, _ in TRACKS.values()]


def _recipes() -> list[dict[str, Any]]:
    rows = []
    for name in recipe_names():
        recipe = load_recipe(name)
        systems = [f"{system.key} ({system.preset or recipe.preset})" for system in recipe.systems]
        rows.append({"name": name, "track": recipe.track, "corpus": recipe.corpus.label, "systems": systems})
    return rows
