"""How a system knows whose voice to make: by a speaker embedding, or by the face.

A speaker embedding is the d-vector of :mod:`doppelbench.baselines.speaker_encoder`, fixed, 256 numbers. A
face embedding comes from a small network that is trained to tell the people of the training films apart by
their faces, and is fixed from then on; the paper takes a pre-trained face network, which one is not known.
Both are unit vectors. In training, a film's identity is the vector of another clip of the same person, so
that nothing of the sentence is in it; at a conversion it is the mean over the clips of the enrolment, of unit
norm again.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import clip_features
from doppelbench.baselines.face_clips import read_film, to_unit
from doppelbench.baselines.face_placing import cut_face, place_face
from doppelbench.baselines.speaker_encoder import EMBEDDING_SIZE, clip_embedding
from doppelbench.baselines.video_to_speech.settings import FaceSettings, VideoToSpeechSettings
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

FACES_FOLDER = "faces"
# Of each film so many faces, spread over it; of a long film the first 20 s.
FACES_OF_A_FILM = 5
FACE_SECONDS = 20.0
LAYERS = 4
# Cosines of -1 to 1 are multiplied by this before they compete.
SHARPNESS = 10.0


class IdentityEncoder(Protocol):
    """Fixed vectors of people."""

    def fit(self, films: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord | None:
        """Learn what people differ in, where that is learned."""

    def vectors(self, clips: Sequence[Clip], trainer: TrainerSettings) -> dict[str, dict[str, np.ndarray]]:
        """Unit vectors (256,) of clips, by person and id; clips that cannot be used are left out."""

    def vector(self, clip: Clip) -> np.ndarray:
        """Unit vector (256,) of one clip.

        Raises:
            MediaError: the clip cannot be used.
        """


def identity_encoder(settings: VideoToSpeechSettings) -> "IdentityEncoder":
    """Make what the settings ask for."""
    return SpeakerIdentity() if settings.identity == "speaker" else FaceIdentity(settings.face)


def unit(vector: np.ndarray) -> np.ndarray:
    """Scale a vector to unit length, float32; zeros stay."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)


def mean_identity(identity: "IdentityEncoder", target: str, clips: Sequence[Clip]) -> np.ndarray:
    """Vector of a person from several clips; one that cannot be used is left out and named in a warning.

    Raises:
        InputError: no clip is left.
    """
    found, reasons = [], []
    for clip in clips:
        try:
            found.append(identity.vector(clip))
        except MediaError as error:
            reasons.append(error.reason)
            message = f"clip {clip.id} is left out of the enrolment of {target}: {error.reason}"
            warnings.warn(message, LeftOutWarning, stacklevel=2)
    if not found:
        raise InputError(
            f"target {target} cannot be enrolled: none of {len(clips)} clip(s) can be used"
            + (f" ({reasons[0]})" if reasons else "")
        )
    return unit(np.stack(found).mean(axis=0, dtype=np.float64))


def speaker_arrays(clip: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute the cached vector of one clip, shape (1, 256)."""
    return {"identity": unit(clip_embedding(Clip(**clip)))[None]}


class SpeakerIdentity:
    """D-vectors of what is heard."""

    def fit(self, films: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Nothing is learned."""

    def vectors(self, clips: Sequence[Clip], trainer: TrainerSettings) -> dict[str, dict[str, np.ndarray]]:
        cache = clip_features(clips, speaker_arrays, {}, trainer, "for the voices")
        return _by_person(clips, {name: cache[name]["identity"][0] for name in cache})

    def vector(self, clip: Clip) -> np.ndarray:
        return unit(clip_embedding(clip))


def face_pictures(clip: Clip, picture: int) -> np.ndarray:
    """Faces of a film, spread over it: uint8, shape (5, picture, picture, 3).

    Raises:
        MediaError: the clip has no film that can be read.
    """
    frames = read_film(clip, longest=FACE_SECONDS).frames
    chosen = np.linspace(0, len(frames) - 1, FACES_OF_A_FILM).round().astype(int)
    return np.ascontiguousarray(cut_face(frames[chosen], place_face(frames), picture))


def face_arrays(clip: Mapping[str, Any], picture: int) -> dict[str, np.ndarray]:
    """Compute the cached faces of one clip."""
    return {"faces": face_pictures(Clip(**clip), picture)}


class FaceNetwork(nn.Module):
    """Faces to unit vectors: four strided convolutions, the mean over places, a linear layer."""

    def __init__(self, settings: FaceSettings) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for layer in range(LAYERS):
            outputs = settings.width * 2**layer
            layers += [
                nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            ]  # fmt: skip
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(inputs, EMBEDDING_SIZE)

    def forward(self, faces: Tensor) -> Tensor:
        """Turn faces (batch, 3, height, width), range 0 to 1, into vectors (batch, 256)."""
        hidden = self.layers(2 * faces - 1).mean(dim=(2, 3))
        return F.normalize(self.output(hidden), dim=1)


class FaceModule(L.LightningModule):
    """Training step: which of the people is it, by the cosine with a vector for each."""

    def __init__(self, network: FaceNetwork, people: int, settings: FaceSettings) -> None:
        super().__init__()
        self.save_hyperparameters({"settings": asdict(settings)})
        self.network = network
        self.people = nn.Parameter(torch.randn(people, EMBEDDING_SIZE))
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        faces, wanted = batch
        cosines = self.network(to_unit(faces)) @ F.normalize(self.people, dim=1).T
        loss = F.cross_entropy(SHARPNESS * cosines, wanted)
        accuracy = (cosines.argmax(dim=1) == wanted).float().mean()
        self.log_dict({"cross_entropy": loss, "accuracy": accuracy})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.settings.learning_rate)


class FaceBatches:
    """Faces and who they are, every person as likely as any other; a pure function of seed and step."""

    def __init__(
        self, people: Mapping[str, Sequence[np.ndarray]], batch_size: int, seed: int, key: str
    ) -> None:
        self.people = [people[name] for name in sorted(people)]
        self.batch_size = batch_size
        self.seed = seed
        self.key = key

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([self.seed, step, rank])
        wanted = generator.integers(len(self.people), size=self.batch_size)
        chosen = []
        for person in wanted:
            films = self.people[person]
            faces = films[generator.integers(len(films))]
            chosen.append(faces[generator.integers(len(faces))])
        return torch.from_numpy(np.stack(chosen)), torch.from_numpy(wanted)


class FaceIdentity:
    """Vectors of faces."""

    def __init__(self, settings: FaceSettings) -> None:
        self.settings = settings
        self.network = FaceNetwork(settings)

    def fit(self, films: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Learn to tell the people of films apart.

        Raises:
            InputError: there are films of fewer than two people.
        """
        people = self._faces(films, trainer)
        if len(people) < 2:
            raise InputError(
                "identity is face, which is learned from at least two people; there are films of "
                f"{len(people)}"
            )
        with seeded(trainer.seed):
            self.network = FaceNetwork(self.settings)
            module = FaceModule(self.network, len(people), self.settings)
        pictures = {name: list(own.values()) for name, own in people.items()}
        data = FaceBatches(pictures, self.settings.batch_size, trainer.seed, f"{sorted(people)}")
        record = train(module, data, trainer)
        self.network.eval().cpu()
        return record

    def vectors(self, clips: Sequence[Clip], trainer: TrainerSettings) -> dict[str, dict[str, np.ndarray]]:
        return {
            person: {name: self._vector(faces) for name, faces in own.items()}
            for person, own in self._faces(clips, trainer).items()
        }

    def vector(self, clip: Clip) -> np.ndarray:
        return self._vector(face_pictures(clip, self.settings.picture))

    def _vector(self, faces: np.ndarray) -> np.ndarray:
        self.network.eval()
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            found = self.network(to_unit(np.array(faces)).to(device))
        return unit(found.float().mean(dim=0).cpu().numpy())

    def _faces(self, clips: Sequence[Clip], trainer: TrainerSettings) -> dict[str, dict[str, np.ndarray]]:
        cache = clip_features(
            clips, face_arrays, {"picture": self.settings.picture}, trainer, "for the faces"
        )
        return _by_person(clips, {name: cache[name]["faces"] for name in cache})


def _by_person(clips: Sequence[Clip], found: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Sort arrays by person and id of their clips."""
    people: dict[str, dict[str, np.ndarray]] = {}
    for clip in clips:
        if clip.full_id in found:
            people.setdefault(clip.speaker, {})[clip.id] = found[clip.full_id]
    return people


def faces_trainer(trainer: TrainerSettings, settings: FaceSettings, share: float) -> TrainerSettings:
    """Settings of the training of the face network, in a folder of its own, ``share`` of its steps."""
    steps = max(1, round(share * settings.steps))
    folder: Path = trainer.directory / FACES_FOLDER
    return replace(trainer, directory=folder, max_steps=steps, max_seconds=None)
