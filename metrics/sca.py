"""Speaker-classification accuracy: is the output taken for its target by a closed-set speaker classifier?

The classifier is that of Serrà, Pascual and Segura, "Blow: a single-scale hyperconditioned flow for
non-parallel raw-audio voice conversion" (NeurIPS 2019): at 16 kHz, 40 mel-frequency cepstral coefficients
(power spectrogram with n_fft 2048, window 256, hop 128; 200 mel bands), their delta, the delta of the
delta, and the root-mean-square energy; mean and standard deviation over time make 242 numbers per
utterance. They are standardised, go through dropout of 0.4 and one linear layer with a softmax over the
speakers; Adam at 1e-3, batches of 128, at most 200 epochs, patience 5 on a random tenth of the training
utterances. The published code keeps the last weights.

Two rules are the house's: speech enters at one level (:mod:`doppelbench.corpora.level`), because
coefficient 0 and the energy make the classifier listen to gain; and the seed is an argument.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.features import mfcc
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.audio_metric import AudioMetric, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, MetricSpec
from doppelbench.metrics.signals import RESAMPLER, checked_samples
from doppelbench.metrics.statistics import bootstrap_mean, wilson

RATE = 16000
MIN_SECONDS = 0.1
N_FEATURES = 242
WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """How the classifier is trained; the defaults are those of the published code.

    ``keep`` is ``last`` (as published) or ``best``, the weights of the epoch with the lowest validation loss.
    """

    learning_rate: float = 1e-3
    batch: int = 128
    epochs: int = 200
    patience: int = 5
    validation_share: float = 0.1
    dropout: float = 0.4
    keep: Literal["last", "best"] = "last"


@dataclass(frozen=True, slots=True, eq=False)
class SpeakerClassifier:
    """A trained closed-set speaker classifier.

    Attributes:
        speakers: its classes, in the order of its outputs.
        mean: of each feature over the training utterances, shape (242,).
        scale: standard deviation of each feature, shape (242,).
        weights: of the linear layer, shape (speakers, 242).
        bias: of the linear layer, shape (speakers,).
        training: settings, seed, epochs run, utterances and validation accuracy, for the record.
    """

    speakers: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    training: Mapping[str, object]

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with the speakers or with any weight."""
        content = hashlib.sha256(json.dumps(self.speakers).encode())
        for array in (self.mean, self.scale, self.weights, self.bias):
            content.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return content.hexdigest()[:12]

    def log_probabilities(self, audio: Audio) -> np.ndarray:
        """Log-probability of each speaker, shape (speakers,).

        Raises:
            MediaError: when the audio is silent, too short or not finite.
        """
        return self.log_probabilities_of(features(audio))

    def log_probabilities_of(self, rows: np.ndarray) -> np.ndarray:
        """Log-probabilities of feature rows of shape (..., 242); shape (..., speakers)."""
        logits = (rows - self.mean) / self.scale @ self.weights.T + self.bias
        return _log_softmax(logits)

    def save(self, path: str | Path) -> None:
        """Write ``weights.safetensors`` and ``config.json`` into the folder ``path``."""
        from safetensors.numpy import save_file

        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"mean": self.mean, "scale": self.scale, "weights": self.weights, "bias": self.bias}
        save_file(tensors, folder / WEIGHTS_FILE)
        config = {"kind": "sca-classifier", "speakers": self.speakers, "training": dict(self.training)}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "SpeakerClassifier":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: when the folder holds no classifier or its files disagree.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(path)
        try:
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            tensors = load_file(folder / WEIGHTS_FILE)
            speakers = tuple(config["speakers"])
            arrays = {name: tensors[name] for name in ("mean", "scale", "weights", "bias")}
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise InputError(f"{folder}: holds no speaker classifier that can be read ({error})") from None
        shapes = {
            "mean": (N_FEATURES,),
            "scale": (N_FEATURES,),
            "weights": (len(speakers), N_FEATURES),
            "bias": (len(speakers),),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise InputError(
                    f"{folder / WEIGHTS_FILE}: '{name}' has shape {arrays[name].shape} where {shape} finite "
                    f"numbers are needed for the {len(speakers)} speakers of {CONFIG_FILE}; train it again"
                )
        return cls(speakers, training=config.get("training", {}), **arrays)


def features(audio: Audio) -> np.ndarray:
    """The 242 numbers of one utterance: mean, then standard deviation, over time of 121 rows.

    The rows are 40 cepstral coefficients, their 40 deltas, the 40 deltas of the deltas (librosa's delta,
    width 9) and the root-mean-square energy (librosa's framing, 2048/512).

    Raises:
        MediaError: when the audio is silent, shorter than 0.1 s or not finite.
    """
    samples = checked_samples(audio, role="utterance", rate=RATE, seconds=(MIN_SECONDS, None))
    return _features_of(samples)


def _features_of(samples: np.ndarray) -> np.ndarray:
    level = normalize_level(samples, RATE)
    cepstra = mfcc(level, RATE, n_mfcc=40, n_fft=2048, window=256, hop=128, n_mels=200).astype(np.float64)
    delta = _delta(cepstra)
    rows = [cepstra, delta, _delta(delta)]
    energy = _rms(level)
    means = [row.mean(axis=0) for row in rows] + [energy.mean(keepdims=True)]
    deviations = [row.std(axis=0) for row in rows] + [energy.std(keepdims=True)]
    return np.concatenate(means + deviations)


def _delta(rows: np.ndarray) -> np.ndarray:
    from scipy.signal import savgol_filter

    return cast(np.ndarray, savgol_filter(rows, 9, polyorder=1, deriv=1, axis=0, mode="interp"))


def _rms(samples: np.ndarray) -> np.ndarray:
    frame, hop = 2048, 512
    padded = np.pad(samples.astype(np.float64), frame // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]
    return np.sqrt(np.square(frames).mean(axis=1))


def train_classifier(
    clips: Sequence[Clip],
    *,
    seed: int = 0,
    settings: ClassifierSettings | None = None,
    left_out: Callable[[Clip, str], None] | None = None,
) -> SpeakerClassifier:
    """Train the classifier on natural recordings; the classes are the speakers of the clips.

    No sentence of the clips may be among those that converted speech is scored on, or the accuracy is
    flattered.

    Args:
        clips: recordings with a speaker each; at least two speakers.
        seed: of initialisation, validation split, order and dropout.
        settings: the published ones when None.
        left_out: told of each clip that cannot be used and why, and the training goes on without it; such a
            clip is an error when None.

    Raises:
        InputError: with fewer than two speakers or a clip without audio.
        MediaError: for a recording that is missing, silent, too short or not finite.
    """
    rows, speakers = [], []
    for clip in clips:
        try:
            if clip.audio is None:
                raise MediaError("missing", "it has no audio, so no speaker classifier can be trained on it")
            rows.append(features(read_audio(clip.audio, rate=RATE, start=clip.start, end=clip.end)))
        except MediaError as error:
            if left_out is None:
                where = f"clip {clip.id} ({clip.audio})" if clip.audio else f"clip {clip.id}"
                raise MediaError(error.status, f"{where}: {error.reason}") from None
            left_out(clip, error.reason)
        else:
            speakers.append(clip.speaker)
    return train_on_features(np.array(rows), speakers, seed=seed, settings=settings)


def train_on_features(
    rows: np.ndarray, speakers: Sequence[str], *, seed: int = 0, settings: ClassifierSettings | None = None
) -> SpeakerClassifier:
    """Train on feature rows of shape (n, 242) with the speaker of each; see :func:`train_classifier`."""
    settings = settings or ClassifierSettings()
    classes = tuple(sorted(set(speakers)))
    if len(classes) < 2:
        raise InputError(f"a speaker classifier needs at least two speakers, got {len(classes)}")
    labels = np.array([classes.index(speaker) for speaker in speakers])
    generator = np.random.default_rng(seed)
    mean = rows.mean(axis=0)
    scale = rows.std(axis=0)
    scale[scale == 0.0] = 1.0
    inputs = (rows - mean) / scale

    order = generator.permutation(len(rows))
    n_validation = max(1, round(settings.validation_share * len(rows)))
    validation, training = order[:n_validation], order[n_validation:]
    bound = 1 / np.sqrt(inputs.shape[1])
    layer = generator.uniform(-bound, bound, size=(len(classes), inputs.shape[1] + 1))
    inputs = np.hstack([inputs, np.ones((len(rows), 1))])

    first_moment, second_moment, step = np.zeros_like(layer), np.zeros_like(layer), 0
    best_loss, best_layer, stale, epoch = np.inf, layer, 0, 0
    while epoch < settings.epochs and stale < settings.patience:
        epoch += 1
        shuffled = generator.permutation(training)
        for first in range(0, len(shuffled), settings.batch):
            chosen = shuffled[first : first + settings.batch]
            batch = inputs[chosen]
            kept = generator.random((len(chosen), inputs.shape[1] - 1)) >= settings.dropout
            batch[:, :-1] *= kept / (1 - settings.dropout)
            gradient = np.exp(_log_softmax(batch @ layer.T))
            gradient[np.arange(len(chosen)), labels[chosen]] -= 1
            gradient = gradient.T @ batch / len(chosen)
            step += 1
            first_moment = 0.9 * first_moment + 0.1 * gradient
            second_moment = 0.999 * second_moment + 0.001 * np.square(gradient)
            size = settings.learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            layer = layer - size * first_moment / (np.sqrt(second_moment) + 1e-8 * np.sqrt(1 - 0.999**step))
        scores = _log_softmax(inputs[validation] @ layer.T)
        loss = -scores[np.arange(n_validation), labels[validation]].mean()
        stale = 0 if loss < best_loss else stale + 1
        if loss < best_loss:
            best_loss, best_layer = loss, layer
    final = layer if settings.keep == "last" else best_layer
    correct = (inputs[validation] @ final.T).argmax(axis=1) == labels[validation]
    record = {
        **asdict(settings),
        "seed": seed,
        "epochs_run": epoch,
        "stopped_early": stale >= settings.patience,
        "utterances": len(rows),
        "validation_utterances": int(n_validation),
        "validation_accuracy": float(correct.mean()),
        "validation_loss": float(best_loss),
    }
    return SpeakerClassifier(classes, mean, scale, final[:, :-1].copy(), final[:, -1].copy(), record)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class SpeakerClassificationAccuracy(AudioMetric):
    """Share of outputs whose most probable speaker is the intended target.

    The statistics of an item are ``target``, ``predicted``, ``probability`` of the target,
    ``log_probabilities`` in the order of the classifier's speakers, and, where the source is known,
    ``source`` and ``predicted_source``.
    """

    spec = MetricSpec(
        name="sca",
        title="Speaker-classification accuracy (closed set, utterance level)",
        version=1,
        unit="%",
        direction="higher",
        range=(0.0, 100.0),
        needs=frozenset({"target"}),
        cost=1.5,
        rate=RATE,
        seconds=(MIN_SECONDS, None),
        citation="Serrà, Pascual, Segura: Blow, NeurIPS 2019",
    )

    def __init__(
        self,
        classifier: str | Path | SpeakerClassifier | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        """Take a trained classifier.

        Args:
            classifier: a classifier, or the folder that it was saved in.
            sources: source speaker by clip id, to count outputs that still sound like their source.

        Raises:
            InputError: without a classifier that can be read.
        """
        if classifier is None:
            raise InputError(
                "sca needs a speaker classifier trained on natural speech: sca:classifier=FOLDER "
                "(doppelbench.metrics.sca.train_classifier makes one)"
            )
        if not isinstance(classifier, SpeakerClassifier):
            classifier = SpeakerClassifier.load(classifier)
        self.classifier = classifier
        self.sources = dict(sources or {})

    @property
    def signature(self) -> str:
        """Features, level rule, resampler and the hash of the classifier."""
        return (
            f"sca|serra-242|sr{RATE}-{RESAMPLER}|level-26dBov-active|speakers{len(self.classifier.speakers)}"
            f"|classifier-{self.classifier.digest}|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """1.0 when the most probable speaker is ``clip.speaker``, else 0.0."""
        assert clip is not None
        speakers = self.classifier.speakers
        if clip.speaker not in speakers:
            raise MediaError(
                "missing",
                f"target {clip.speaker} is not among the {len(speakers)} speakers of the classifier",
            )
        scores = self.classifier.log_probabilities_of(_features_of(out))
        predicted = speakers[int(scores.argmax())]
        stats: dict[str, object] = {
            "target": clip.speaker,
            "predicted": predicted,
            "probability": float(np.exp(scores[speakers.index(clip.speaker)])),
            "log_probabilities": [float(score) for score in scores],
        }
        source = self.sources.get(clip.id)
        if source is not None:
            stats |= {"source": source, "predicted_source": predicted == source}
        return ItemScore(float(predicted == clip.speaker), stats=stats)

    @classmethod
    def paired_terms(cls, item: ItemScore) -> tuple[float, float] | None:
        """100 or 0, because the figure is in percent."""
        return None if item.value is None else (100 * item.value, 1.0)

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Accuracy in percent; Wilson's interval, or the cluster bootstrap when clusters are given.

        Details: ``confusion`` (target, predicted, count); ``most_predicted`` and its share in percent,
        ``most_predicted_share``, where a system that always sounds like one person shows; and
        ``source_share`` in percent of the items whose source is known.
        """
        scored, groups = scored_items(items, clusters)
        values = [float(item.value or 0.0) for item in scored]
        if groups is None:
            interval = wilson(int(sum(values)), len(values))
        else:
            interval = bootstrap_mean(values, clusters=groups)
        low, value, high = (
            None if bound is None else 100 * bound for bound in (interval.low, interval.value, interval.high)
        )
        confusion = Counter((item.stats["target"], item.stats["predicted"]) for item in scored)
        predicted = Counter(item.stats["predicted"] for item in scored)
        sourced = [item.stats["predicted_source"] for item in scored if "source" in item.stats]
        details: dict[str, object] = {"confusion": [[*pair, n] for pair, n in sorted(confusion.items())]}
        if scored:
            name, count = max(predicted.items(), key=lambda pair: (pair[1], pair[0]))
            details |= {"most_predicted": name, "most_predicted_share": 100 * count / len(scored)}
        if sourced:
            details["source_share"] = 100 * sum(sourced) / len(sourced)
        return Figure(value, low, high, len(scored), len(items), details)
