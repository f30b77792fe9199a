"""Score files that people bring, estimate what it costs, and score stored transcripts again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doppelbench.benchmark.figures import compute_figures
from doppelbench.benchmark.pairs import Pair, read_pairs
from doppelbench.benchmark.progress import TaskProgress
from doppelbench.benchmark.tasks import failed_status, score_task
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.benchmark.work import trial_from_dict
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.engine.engines import Engine
from doppelbench.engine.files import write_json
from doppelbench.engine.hashing import canonical_json
from doppelbench.engine.pool import Task
from doppelbench.engine.run import Run
from doppelbench.metrics.metric import ItemScore, Metric
from doppelbench.metrics.recognizers import Transcribed
from doppelbench.metrics.registry import metric, metric_from_string, metric_options

ITEM_TIMEOUT = 300.0
TRANSCRIPT_METRICS = ("wer", "cer", "mer")
# Headers read for an estimate; of more files an even sample is taken.
PROBED = 200


@dataclass(frozen=True, slots=True)
class Scorer:
    """A metric with the name it was asked for by, options included, and its options as they cross to a
    worker."""

    name: str
    options: Mapping[str, Any]
    metric: Metric


def choose_scorers(metrics: Sequence[str], pairs: Sequence[Pair]) -> list[Scorer]:
    """Build the metrics and refuse one whose needs no item meets.

    Raises:
        InputError: an unknown metric or option, or a metric without any reference, source, words or speaker.
    """
    scorers = []
    for text in metrics:
        scorer = Scorer(text, metric_options(text)[1], metric_from_string(text))
        needs = scorer.metric.spec.needs
        if "ref" in needs and not any(pair.ref for pair in pairs):
            raise InputError(f"{text} compares with a natural recording; name a file or folder with --ref")
        if "source" in needs and not any(pair.source for pair in pairs):
            raise InputError(f"{text} compares with the source; name it in the column source of a manifest")
        if "text" in needs and not any(pair.text for pair in pairs):
            raise InputError(f"{text} needs the words that should be said; name a table with --text")
        if "target" in needs and not any(pair.speaker for pair in pairs):
            raise InputError(
                f"{text} needs the intended speaker; add a column speaker to the table of --text"
            )
        scorers.append(scorer)
    return scorers


def default_metrics(pairs: Sequence[Pair]) -> list[str]:
    """What is scored when no metric is named: intrusive metrics where there are references, else words."""
    return ["pesq_wb", "stoi", "estoi", "mcd"] if any(pair.ref for pair in pairs) else ["wer"]


def score_files(
    out: Path,
    *,
    ref: Path | None,
    metrics: Sequence[str] | None,
    text: Path | None,
    engine: Engine,
    save: Path | None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Score a folder, a manifest, a list or one file.

    Args:
        out: outputs, see :func:`doppelbench.benchmark.pairs.read_pairs`.
        ref: references in the same form; None where no metric needs them or the manifest names them.
        metrics: ``name`` or ``name:option=value,...``; :func:`default_metrics` when None.
        text: transcripts by id, for metrics that need the words.
        engine: where the work runs.
        save: folder for ``items.json`` and ``figures.json``.

    Returns:
        Items and figures.

    Raises:
        InputError: nothing to score, or a metric lacks its references or words altogether.
    """
    pairs = read_pairs(out, ref, text)
    scorers = choose_scorers(metrics or default_metrics(pairs), pairs)
    system = out.resolve().name
    tasks: list[Task] = []
    rows: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        for scorer in scorers:
            key = f"{pair.id}/{scorer.name}"
            rows[key] = {"system": system, "trial": pair.id, "metric": scorer.name}
            tasks.append(_task(key, pair, scorer))
    with TaskProgress("scoring", len(tasks)) as progress:
        for result in engine.run(tasks, timeout=ITEM_TIMEOUT):
            if result.status == "ok":
                rows[result.key] |= result.value
            else:
                rows[result.key] |= {
                    "value": None,
                    "status": failed_status(result),
                    "reason": result.reason,
                    "statistics": {},
                }
            progress.advance()
    items = [rows[key] for key in sorted(rows)]
    figures = figures_of(items, [(scorer.name, dict(scorer.options)) for scorer in scorers], [system])
    if save is not None:
        write_json(save / "items.json", items)
        write_json(save / "figures.json", figures)
    return items, figures


def _task(key: str, pair: Pair, scorer: Scorer) -> Task:
    spec = scorer.metric.spec
    place = pair.source if "source" in spec.needs else pair.ref if "ref" in spec.needs else None
    natural = None if place is None else Clip(pair.id, pair.speaker or "", audio=str(place), video=str(place))
    # What is known of the mouth lies beside the reference, from which a metric of pictures takes its box.
    film = str(pair.ref) if spec.media != "audio" and pair.ref is not None else None
    clip = Clip(pair.id, pair.speaker or "", audio=str(pair.out), video=film, text=pair.text, split="test")
    return score_task(
        key,
        scorer.name,
        scorer.options,
        pair.out,
        natural,
        clip,
        spec.cost,
        media=spec.media,
        accelerated=spec.accelerated,
    )


def figures_of(
    items: Sequence[Mapping[str, Any]], metrics: Sequence[tuple[str, dict[str, Any]]], systems: Sequence[str]
) -> list[dict[str, Any]]:
    """Reduce items to figures by system and metric."""
    import pandas as pd

    table = pd.DataFrame([{**item, "statistics": canonical_json(item["statistics"])} for item in items])
    return compute_figures(table, [{"name": name, "options": options} for name, options in metrics], systems)


def estimate_cost(pairs: Sequence[Pair], scorers: Sequence[Scorer], jobs: int) -> list[dict[str, Any]]:
    """Say what scoring would cost, from the headers of the outputs and the measured cost of each metric.

    Returns:
        One row a metric and one for all: items, hours of media, CPU seconds, and minutes with ``jobs``
        processes. Files whose header cannot be read count as having no duration.
    """
    from doppelbench.corpora.media import probe

    step = max(1, len(pairs) // PROBED)
    sample = pairs[::step]
    seconds = 0.0
    for pair in sample:
        try:
            seconds += probe(pair.out).seconds
        except MediaError:
            continue
    seconds *= len(pairs) / len(sample)
    costs = [(scorer.name, len(pairs), seconds * scorer.metric.spec.cost / 1000) for scorer in scorers]
    costs.append(("all", sum(items for _, items, _ in costs), sum(cost for _, _, cost in costs)))
    return [
        {
            "metric": name,
            "items": items,
            "media_hours": round(seconds / 3600, 4),
            "cpu_seconds": round(cost, 2),
            "minutes": round(cost / jobs / 60, 2),
        }
        for name, items, cost in costs
    ]


def run_metrics(folder: Path) -> list[str]:
    """Names of the metrics that a run is scored with.

    Raises:
        InputError: the run was never scored.
    """
    metrics = Run.open(folder).info.plan.get("metrics")
    if not metrics:
        raise InputError(f"{folder} was never scored; name metrics with -m")
    return [entry["name"] for entry in metrics]


def run_pairs(folder: Path) -> list[Pair]:
    """Outputs of a run with what they are compared with, for an estimate."""
    run = Run.open(folder)
    track, _ = TRACKS[run.info.plan["track"]]
    pairs = []
    for system in run.info.plan["systems"]:
        for trial in map(trial_from_dict, run.info.plan["trials"]):
            out = run.output_path(system["key"], trial.id, track.suffix)
            reference, source = trial.reference, trial.source
            pairs.append(
                Pair(
                    f"{system['key']}/{trial.id}",
                    out,
                    Path(reference.audio) if reference is not None and reference.audio else None,
                    Path(source.audio) if source.audio else None,
                    source.text,
                    trial.target,
                )
            )
    return pairs


def rescore_transcripts(
    folder: Path, *, metrics: Sequence[str] | None, normalizer: str | None, save: Path | None
) -> list[dict[str, Any]]:
    """Score what a recogniser heard in a run again, from the stored words alone.

    The run is left as it is. Items whose transcript was never made keep their status.

    Args:
        folder: the run folder.
        metrics: names among ``wer``, ``cer`` and ``mer``; those of the run when None.
        normalizer: another rule for text; that of the run when None.
        save: folder for ``items.json`` and ``figures.json``.

    Returns:
        Figures by system and metric.

    Raises:
        InputError: the run holds no transcripts, or a metric is not one of words.
    """
    run = Run.open(folder)
    stored = {
        entry["name"]: entry
        for entry in run.info.plan.get("metrics", ())
        if entry["name"] in TRANSCRIPT_METRICS
    }
    if not stored:
        raise InputError(f"{folder} holds no transcripts: none of {', '.join(TRANSCRIPT_METRICS)} was scored")
    wrong = [name for name in metrics or () if name not in TRANSCRIPT_METRICS]
    if wrong:
        raise InputError(f"{', '.join(wrong)} needs the sound; rescore has {', '.join(TRANSCRIPT_METRICS)}")
    origin = next(iter(stored.values()))
    recognizer = Transcribed(origin["signature"].split("|")[1])
    options = {"recognizer": recognizer, "normalizer": normalizer or origin["options"]["normalizer"]}
    texts = {trial["id"]: trial["source"]["text"] for trial in run.info.plan["trials"]}
    heard = [row for row in run.item_rows() if row.metric == origin["name"]]
    items = []
    for name in metrics or list(stored):
        scorer: Any = metric(name, **options)
        for row in heard:
            score = ItemScore.failed(row.status, row.reason)  # type: ignore[arg-type]
            if "transcript" in row.statistics:
                score = scorer.compare(reference=texts[row.trial], transcript=row.statistics["transcript"])
            items.append(
                {
                    "system": row.system,
                    "trial": row.trial,
                    "metric": name,
                    "value": score.value,
                    "status": score.status,
                    "reason": score.reason,
                    "statistics": dict(score.stats),
                }
            )
    systems = [system["key"] for system in run.info.plan["systems"]]
    figures = figures_of(items, [(name, options) for name in metrics or list(stored)], systems)
    if save is not None:
        write_json(save / "items.json", items)
        write_json(save / "figures.json", figures)
    return figures
