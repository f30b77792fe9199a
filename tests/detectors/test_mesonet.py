"""The networks of single faces have the published sizes, find a blurred mouth, and keep the contract."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from detector_clips import parameters, short_training
from film_clips import COUNT, FPS, SIZE, blurred, mouth, natural, separation, write_film, write_films

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, WholePictureWarning
from doppelbench.corpora.media import Video
from doppelbench.detectors.detector import Explanation
from doppelbench.detectors.face_input import FaceSettings
from doppelbench.detectors.frame_network import HEADS, LabelledFaces, changed
from doppelbench.detectors.mesonet import PUBLISHED, TINY, Inception, Meso4, MesoInception4
from doppelbench.detectors.training_arrays import TrainingArrays
from doppelbench.detectors.video_contract import CHECKS, Material, make_material
from doppelbench.engine.trainer import seeded

KINDS = {"meso-4": (Meso4, 27_977), "mesoinception-4": (MesoInception4, 28_615)}
STEPS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mesonet")


@pytest.fixture(scope="module")
def trained(folder) -> Meso4:
    detector = Meso4(TINY)
    detector.fit(*write_films(folder / "films"), short_training(folder / "trained", STEPS))
    return detector


@pytest.fixture(scope="module")
def explained(trained) -> tuple[Video, Explanation]:
    film = blurred(natural(300))
    return film, trained.explain_film(film)


@pytest.mark.parametrize(("kind", "count"), KINDS.values(), ids=KINDS)
def test_the_network_has_the_parameters_of_the_paper(kind, count: int) -> None:
    assert parameters(kind.build(PUBLISHED)) == count


def test_the_training_is_the_published_one() -> None:
    assert (PUBLISHED.batch_size, PUBLISHED.faces.picture, PUBLISHED.dropout) == (75, 256, 0.5)
    rates = [PUBLISHED.rate_at(step) for step in (0, 999, 1000, 2500, 3000, 10_000)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-6, 1e-6])


@pytest.mark.parametrize("kind", [Meso4, MesoInception4])
@pytest.mark.parametrize("loss", HEADS)
def test_the_loss_reaches_every_parameter(kind, loss: str) -> None:
    with seeded(0):
        network = kind.build(replace(TINY, loss=loss)).train()
        pictures = torch.rand(8, 3, 32, 32)
    network.loss(pictures, torch.tensor([0, 1] * 4), (0.5, 0.5)).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())


def test_the_squared_error_is_that_of_the_weighed_sigmoids() -> None:
    head = HEADS["squared-error"](1)
    torch.nn.init.ones_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    # Sigmoids of 0.5 and 0.75; the spoofed one weighs three times as much.
    found = head.loss(torch.tensor([[1.0], [3.0]]).log(), torch.tensor([0, 1]), (3.0, 1.0))
    assert float(found.detach()) == pytest.approx((3 * 0.25 + 0.0625) / 4)


def test_the_branches_reach_zero_to_three_pixels_far() -> None:
    with seeded(0):
        block = Inception(1, (1, 1, 1, 1))
    for value in block.parameters():
        torch.nn.init.ones_(value)
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4, 4] = 1
    rows = [
        (block(x) != block(0 * x))[0, branch].any(dim=1).nonzero().flatten().tolist() for branch in range(4)
    ]
    assert rows == [[4], [3, 4, 5], [2, 4, 6], [1, 4, 7]]


def test_it_finds_a_blurred_mouth_in_films_it_never_saw(trained) -> None:
    assert separation(trained) > 2


def test_the_contrary_labels_give_the_contrary_scores(folder) -> None:
    real, fake = write_films(folder / "films")
    detector = MesoInception4(replace(TINY, batch_size=8))
    detector.fit(fake, real, short_training(folder / "contrary", 15))
    film = natural(200)
    assert detector.score_film(film) < detector.score_film(blurred(film))


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    return make_material(tmp_path_factory.mktemp("material"))


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract(check: str, material) -> None:
    CHECKS[check](lambda: Meso4(TINY), material)


@pytest.mark.parametrize("check", ["spec", "save_and_load"])
def test_the_inception_network_keeps_the_contract(check: str, tmp_path) -> None:
    CHECKS[check](lambda: MesoInception4(TINY), make_material(tmp_path))


def test_the_score_is_the_mean_of_single_frames(trained) -> None:
    film = natural(210)
    found = trained.frame_scores(film)
    assert len(found.scores) == COUNT
    np.testing.assert_allclose(found.faces.times, (np.arange(COUNT) + 0.5) / FPS)
    assert trained.score_film(film) == pytest.approx(found.scores.mean())
    one = trained.picture_scores(found.faces.pictures[2:3])
    np.testing.assert_allclose(one, found.scores[2:3], atol=1e-4)


def test_the_shares_of_the_frames_add_up_to_the_score(trained, explained) -> None:
    film, found = explained
    assert found.relevance.sum() == pytest.approx(trained.score_film(film), abs=1e-5)


def test_a_frame_that_is_blurred_alone_is_the_one_that_speaks_for_spoof(trained) -> None:
    film = natural(220)
    film.frames[3] = blurred(film).frames[3]
    assert trained.explain_film(film).relevance.argmin() == 3


def test_the_map_points_at_the_mouth(explained) -> None:
    _, found = explained
    picture = found.picture
    assert picture is not None
    row, column = np.unravel_index(np.abs(picture.relevance).argmax(), picture.relevance.shape)
    cell = picture.side / len(picture.relevance)
    y, x = picture.top + (row + 0.5) * cell, picture.left + (column + 0.5) * cell
    rows, columns = mouth()
    assert rows.start - cell < y < rows.stop + cell
    assert columns.start - cell < x < columns.stop + cell


def test_a_film_without_a_face_is_judged_whole_and_says_so(trained, folder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE + 20, 3), dtype=np.uint8)
    clip = write_film(folder / "noise.mkv", Video(noise, FPS))
    with pytest.warns(WholePictureWarning, match=r"noise\.mkv: no face was found"):
        score = trained.score_clip(clip)
    middle = Video(noise[:, :, 10:-10], FPS)
    whole = Meso4(replace(TINY, faces=replace(TINY.faces, find_faces=False)))
    whole.network = trained.network
    with warnings.catch_warnings(action="error"):
        # Resizing looks a pixel beyond the edge of the square.
        assert whole.score_film(middle) == pytest.approx(score, rel=0.02)


def test_what_lies_outside_the_square_does_not_matter(trained) -> None:
    film = natural(230)
    square = trained.frame_scores(film).faces.square
    other = film.frames.copy()
    other[:, : int(square.y - square.side / 2) - 1] = 128
    assert other.shape == film.frames.shape
    assert not np.array_equal(other, film.frames)
    assert trained.score_film(Video(other, FPS)) == pytest.approx(trained.score_film(film))


def test_a_film_of_both_classes_is_refused_though_only_its_sound_is_shared(folder) -> None:
    real, fake = write_films(folder / "films")
    with pytest.raises(InputError, match=r"real0\.mkv: is given as bona fide and as spoof"):
        Meso4(TINY).fit(real, [*fake, real[0]], short_training(folder / "both"))


def faces_of(numbers: range) -> list[np.ndarray]:
    return [np.full((2, 4, 4, 3), number, np.uint8) for number in numbers]


def test_classes_take_turns_and_a_batch_follows_from_seed_and_step() -> None:
    settings = replace(TINY, batch_size=5, augment=0.0)
    data = LabelledFaces(TrainingArrays(faces_of(range(200, 203)), faces_of(range(20)), "k"), settings, 7)
    pictures, labels = data.batch(0, 0, 1)
    assert (labels.tolist(), data.batch(1, 0, 1)[1].tolist()) == ([0, 1, 0, 1, 0], [1, 0, 1, 0, 1])
    assert ((255 * pictures.amax(dim=(1, 2, 3)) > 199.5) == (labels == 1)).all()
    assert torch.equal(pictures, data.batch(0, 0, 1)[0])
    assert not torch.equal(pictures, data.batch(2, 0, 1)[0])


def test_without_scale_pictures_are_mirrored_at_most() -> None:
    pictures = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = changed(pictures, np.random.default_rng(0), 0.0)
    kept = [torch.allclose(new, old, atol=1e-5) for new, old in zip(found, pictures, strict=True)]
    mirrored = [
        torch.allclose(new.flip(-1), old, atol=1e-5) for new, old in zip(found, pictures, strict=True)
    ]
    assert all(a != b for a, b in zip(kept, mirrored, strict=True))
    assert 2 <= sum(mirrored) <= 14


def test_changes_keep_to_their_limits() -> None:
    found = changed(torch.full((64, 3, 8, 8), 0.5), np.random.default_rng(1))
    assert 0.5 * 0.9 * 0.95 <= found.min() < 0.47
    assert 0.53 < found.max() <= 0.5 * 1.1 * 1.05 + 1e-6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"faces": FaceSettings(picture=48)}, "multiple of 32"),
        ({"loss": "hinge"}, "squared-error"),
        ({"batch_size": 1}, "at least 2"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"augment": -1.0}, "0 to 3"),
        ({"class_weights": (1.0, 0.0)}, "two numbers"),
    ],
)
def test_settings_that_no_training_can_have_are_refused(values, message: str) -> None:
    with pytest.raises(DoppelbenchError, match=message):
        replace(TINY, **values)


@pytest.mark.parametrize("values", [{"picture": 0}, {"frames": 0}, {"margin": 0.5}])
def test_faces_that_cannot_be_cut_are_refused(values) -> None:
    with pytest.raises(DoppelbenchError, match="must be"):
        FaceSettings(**values)


def test_a_clip_without_pictures_is_named(trained) -> None:
    with pytest.raises(InputError, match="'talk' has no pictures"):
        trained.score_clip(Clip("talk", "ada", audio="talk.flac"))
    with pytest.raises(InputError, match="meso-4 judges pictures and hears no sound"):
        trained.score(None)
