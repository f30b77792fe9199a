"""LipGAN has the published sizes and losses, learns, and redraws lips without looking at the answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from head_films import (
    FPS,
    RATE,
    driven_trial,
    following,
    of,
    own_trial,
    pictures,
    training,
    with_other_film,
    write_clip,
    write_corpus,
)

from doppelbench.baselines.contract import CHECKS, Material
from doppelbench.baselines.face_clips import face_clips
from doppelbench.baselines.lipgan import (
    PAPER,
    SMALL,
    TINY,
    Critic,
    Generator,
    LipGAN,
    LipGANModule,
    LipGANSettings,
    ReferenceBatches,
    apart_loss,
    distance,
    forth_and_back,
    lower_half_zero,
    nearest_to_mean,
    scales,
    together_loss,
)
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.media import Audio, Video, write_audio, write_video
from doppelbench.engine.trainer import TrainerSettings, seeded

pytestmark = pytest.mark.filterwarnings("ignore::doppelbench.corpora.errors.WholePictureWarning")


def parameters(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def trainer(directory: Path, **settings) -> TrainerSettings:
    return TrainerSettings(directory, device="cpu", progress=False, **settings)


def new_module(settings: LipGANSettings = TINY) -> LipGANModule:
    with seeded(0):
        return LipGANModule(Generator(settings), settings)


def random_batch(count: int = 6, size: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sound, drawn face, natural face."""
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(count, 12, 35, generator=generator)
    made, face = torch.rand(2, count, 3, size, size, generator=generator)
    return sound, made, face


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    return write_corpus(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> tuple[LipGAN, Path]:
    directory = tmp_path_factory.mktemp("lipgan")
    system = LipGAN(TINY)
    record = system.fit(training(clips), trainer(directory, max_steps=6))
    assert record.steps == 6
    assert set(record.losses) >= {"picture_l1", "sync", "critic_together", "critic_apart"}
    system.save(directory)
    system.enroll("ada", of(clips, "ada"))
    return system, directory


@pytest.fixture(scope="module")
def dubbing(trained) -> LipGAN:
    """The same weights, used as published."""
    system, directory = trained
    other = LipGAN.load(directory)
    other.settings = replace(system.settings, paste_on="reference")
    other.films = system.films
    return other


@pytest.fixture(scope="module")
def material(tmp_path_factory, clips) -> Material:
    """What the contract asks for: somebody else's recording of 10 s, and films of the target."""
    folder = tmp_path_factory.mktemp("contract")
    path = folder / "source.flac"
    time = np.arange(10 * RATE) / RATE
    sound = 0.1 * np.sin(2 * np.pi * 150 * time) * (1 + np.sin(11 * time))
    write_audio(path, Audio(sound.astype(np.float32), RATE))
    return Material(folder, (Clip("source", "bruno", audio=str(path)), *training(clips)))


@pytest.mark.parametrize("name", CHECKS)
def test_the_system_keeps_the_contract(name, material):
    CHECKS[name](lambda: LipGAN(TINY), material)


@pytest.fixture
def still(trained, clips) -> LipGAN:
    """The same weights, shown one picture."""
    system, directory = trained
    other = LipGAN.load(directory)
    other.settings = replace(system.settings, paste_on="still")
    other.enroll("ada", of(clips, "ada"))
    return other


def test_on_a_still_one_picture_is_redrawn_and_is_its_own_reference(still, trained, material, monkeypatch):
    system, _ = trained
    given = []

    def unchanged(sound, references, faces):
        given.append((references, faces))
        return faces

    monkeypatch.setattr(still, "draw", unchanged)
    still.convert(replace(material.trial, target="ada"))
    ((references, faces),) = given
    np.testing.assert_array_equal(references, faces)
    own = system.films["ada"]
    chosen = own.faces[nearest_to_mean(own.frames)]
    assert (faces == chosen).all()


def test_the_lips_on_a_still_move_with_the_sound(still, material):
    frames = still.convert(replace(material.trial, target="ada")).video.frames
    assert len(np.unique(frames, axis=0)) > 1


def test_the_picture_nearest_to_the_mean_is_no_outlier():
    levels = np.array([0, 101, 100, 103, 255], np.uint8)
    assert nearest_to_mean(np.tile(levels[:, None, None, None], (1, 4, 4, 3))) == 3


def test_the_generator_of_the_preset_paper_has_the_published_size():
    with torch.device("meta"):
        generator = Generator(PAPER)
        faces = torch.zeros(2, 3, 96, 96)
        drawn = generator(torch.zeros(2, 12, 35), faces, faces)
    assert parameters(generator) == pytest.approx(71.3e6, abs=0.05e6)
    assert drawn.shape == (2, 3, 96, 96)
    assert scales(96) == [96, 48, 24, 12, 6, 3]


def test_the_generator_of_the_preset_small_has_1_3_million_parameters():
    with torch.device("meta"):
        assert parameters(Generator(SMALL)) == pytest.approx(1.3e6, abs=0.05e6)


@pytest.mark.parametrize("picture", [32, 48, 64, 80, 96])
def test_any_size_of_picture_is_drawn_and_judged(picture):
    settings = replace(TINY, picture=picture, residual_blocks=1)
    sound, made, face = random_batch(2, picture)
    drawn = Generator(settings)(sound, made, face)
    assert drawn.shape == face.shape
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert Critic(settings)(drawn, sound).shape == (2,)


def test_the_losses_reach_every_parameter():
    module = new_module(replace(TINY, residual_blocks=1))
    sound, made, face = random_batch()
    drawn = module.generator(sound, made, lower_half_zero(face))
    losses = module.generator_losses(sound, drawn, face)
    (losses["picture_l1"] + 0.01 * losses["sync"]).backward()
    for name, value in module.generator.named_parameters():
        assert value.grad.abs().sum() > 0, name
    for rolled in (False, True):
        module.critic.zero_grad()
        sum(module.critic_losses(sound, drawn, face, rolled).values()).backward()
        for name, value in module.critic.named_parameters():
            assert value.grad.abs().sum() > 0, name


def test_the_critic_leaves_the_generator_alone():
    module = new_module()
    sound, made, face = random_batch()
    drawn = module.generator(sound, made, face)
    sum(module.critic_losses(sound, drawn, face, False).values()).backward()
    assert all(value.grad is None for value in module.generator.parameters())


def test_distances_are_those_of_unit_vectors():
    a = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 2.0], [1.0, 0.0]])
    b = torch.tensor([[5.0, 0.0], [-2.0, -2.0], [7.0, 0.0], [1.0, 1.0]])
    wanted = torch.tensor([0.0, 2.0, 2**0.5, (2 - 2**0.5) ** 0.5])
    torch.testing.assert_close(distance(a, b), wanted, atol=1e-5, rtol=0)


def test_equal_vectors_have_a_distance_with_a_slope():
    a = torch.ones(1, 4, requires_grad=True)
    together_loss(distance(a, torch.ones(1, 4))).backward()
    assert torch.isfinite(a.grad).all()


def test_the_contrastive_loss_has_a_margin_of_1():
    distances = torch.tensor([0.0, 0.5, 1.0, 2.0])
    assert together_loss(distances).item() == pytest.approx((0.25 + 1 + 4) / 4)
    assert apart_loss(distances).item() == pytest.approx((1 + 0.25) / 4)


@pytest.mark.parametrize(("count", "shift"), [(4, 2), (12, 6), (25, 10)])
def test_wrong_pairs_are_natural_faces_with_the_sound_of_another_or_drawn_faces(count, shift):
    module = new_module()
    sound, made, face = random_batch(count)
    seen = []
    module.critic.forward = lambda pictures, heard: (
        seen.append((pictures, heard)) or torch.full((count,), 0.5)
    )
    losses = module.critic_losses(sound, made, face, True)
    assert losses["critic_together"] == losses["critic_apart"] == 0.25
    (real, heard), (wrong, other) = seen
    assert torch.equal(real, face)
    assert torch.equal(heard, sound)
    assert torch.equal(wrong, face)
    assert torch.equal(other[shift], sound[0])
    assert not any(torch.equal(a, b) for a, b in zip(other, sound, strict=True))
    seen.clear()
    module.critic_losses(sound, made, face, False)
    assert torch.equal(seen[1][0], made)
    assert torch.equal(seen[1][1], sound)


def test_both_kinds_of_wrong_pairs_come_up_and_references_are_far_away(clips, tmp_path):
    films = face_clips(training(clips), 32, True, trainer(tmp_path))
    batches = ReferenceBatches(films, 4, seed=1)
    kinds = [batches.batch(step, 0, 1)[3] for step in range(60)]
    assert 15 < sum(kinds) < 45
    first, again, other = (batches.batch(step, 0, 1) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first[:3], again[:3], strict=True))
    assert not torch.equal(first[2], other[2])
    every = [clip for person in films.people for clip in person]
    for heard, reference, face in zip(*(item.numpy() for item in first[:3]), strict=True):
        (clip,) = (c for c in every if (c.sound == heard).all(axis=(1, 2)).any())
        frame = int(np.flatnonzero((clip.sound == heard).all(axis=(1, 2)))[0])
        np.testing.assert_array_equal(clip.pictures[frame], face)
        places = np.flatnonzero((clip.pictures == reference).all(axis=(1, 2, 3)))
        assert np.abs(places - frame).max() >= 5


def test_the_lower_half_is_zero_and_the_upper_is_not():
    faces = torch.rand(2, 3, 32, 32) + 0.1
    masked = lower_half_zero(faces)
    assert torch.equal(masked[:, :, :16], faces[:, :, :16])
    assert masked[:, :, 16:].abs().max() == 0
    assert faces.min() > 0


def test_a_few_faces_are_learnt_by_heart(clips, tmp_path):
    """The L1 of four faces of one film falls below a quarter of what it is at first."""
    films = face_clips(of(clips, "ada")[:1], 32, True, trainer(tmp_path))
    sound, references, pictures, _ = ReferenceBatches(films, 4, 0).batch(0, 0, 1)
    face, reference = (item.permute(0, 3, 1, 2) / 255 for item in (pictures, references))
    generator = new_module().generator
    optimizer = torch.optim.Adam(generator.parameters(), 5e-3)
    losses = []
    for _ in range(80):
        loss = (generator(sound, reference, lower_half_zero(face)) - face).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.25 * losses[0]


def test_the_critic_learns_which_sound_belongs_to_a_face():
    critic = Critic(TINY)
    sound, _, face = random_batch(4)
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3)
    for _ in range(60):
        loss = together_loss(critic(face, sound)) + apart_loss(critic(face, sound.roll(2, dims=0)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert critic(face, sound).max() < critic(face, sound.roll(2, dims=0)).min()


@pytest.mark.parametrize(
    ("count", "frames", "wanted"),
    [(7, 3, [0, 1, 2, 1, 0, 1, 2]), (3, 1, [0, 0, 0]), (4, 2, [0, 1, 0, 1]), (2, 9, [0, 1])],
)
def test_a_film_is_played_forth_and_back(count, frames, wanted):
    assert forth_and_back(count, frames).tolist() == wanted


def test_the_film_has_the_rate_and_size_of_the_enrolment_film(trained, clips, tmp_path):
    """Of 25 pictures a second and an odd size."""
    _, directory = trained
    other = LipGAN.load(directory)
    clip = write_clip(tmp_path, "ada", 7, fps=25.0)
    film = Video(np.ascontiguousarray(pictures("ada", 40, 7, size=128)[:, 3:120, 10:117]), 25.0)
    write_video(clip.video, film)
    other.enroll("ada", [clip])
    assert other.films["ada"].box.found
    made = other.convert(driven_trial(clips)).video
    assert made.fps == 25
    assert made.frames.shape == (50, 117, 107, 3)


@pytest.mark.parametrize("make", [own_trial, driven_trial])
def test_a_trial_becomes_a_film_of_the_target_with_the_driving_sound(trained, clips, make):
    system, _ = trained
    output = system.convert(make(clips))
    assert output.video.frames.shape == (40, 64, 64, 3)
    assert output.video.frames.dtype == np.uint8
    assert output.video.fps == FPS
    assert output.audio.samples.size == 2 * RATE


def test_lips_are_redrawn_in_an_enrolment_film_played_forth_and_back(trained, material):
    system, _ = trained
    frames, film = system.convert(material.trial).video.frames, system.films["ada"]
    assert len(frames) == 200
    outside = np.ones((64, 64), bool)
    box = film.box
    assert box.found
    outside[box.top : box.top + box.side, box.left : box.left + box.side] = False
    shown = film.frames[forth_and_back(200, 40)]
    np.testing.assert_array_equal(frames[:, outside], shown[:, outside])
    assert (frames[:, ~outside] != shown[:, ~outside]).any()


def test_the_natural_film_of_a_trial_is_not_looked_at(trained, clips, tmp_path):
    system, _ = trained
    trial = own_trial(clips)
    frames = system.convert(trial).video.frames
    other = system.convert(with_other_film(trial, tmp_path)).video.frames
    np.testing.assert_array_equal(frames, other)


def test_dubbing_pastes_on_the_natural_film(dubbing, clips, tmp_path):
    trial = own_trial(clips)
    frames = dubbing.convert(trial).video.frames
    other = dubbing.convert(with_other_film(trial, tmp_path)).video.frames
    assert (frames != other).any()
    natural = dubbing._shown(trial, dubbing.films["ada"], 2.0)[0]
    np.testing.assert_array_equal(frames[:, :2], natural.frames[:, :2])
    assert len(frames) == len(natural.frames)


def test_dubbing_does_not_look_at_the_lower_half_of_the_natural_face(dubbing):
    """Not even as the reference, which is taken from the enrolment film."""
    faces = dubbing.films["ada"].faces[:3]
    sound = np.random.default_rng(0).standard_normal((3, 12, 35)).astype(np.float32)
    hidden = faces.copy()
    hidden[:, 16:] = 77
    drawn = dubbing.draw(sound, faces, faces)
    np.testing.assert_array_equal(drawn, dubbing.draw(sound, faces, hidden))
    assert (drawn != dubbing.draw(sound, hidden, faces)).any()


def test_dubbing_takes_references_from_the_enrolment_film(dubbing, clips, monkeypatch):
    given = []
    monkeypatch.setattr(dubbing, "draw", lambda sound, references, faces: given.append(references) or faces)
    dubbing.convert(own_trial(clips))
    np.testing.assert_array_equal(given[0], dubbing.films["ada"].faces)


def test_a_driven_trial_has_no_natural_film_to_dub(dubbing, trained, clips):
    system, _ = trained
    trial = driven_trial(clips)
    np.testing.assert_array_equal(dubbing.convert(trial).video.frames, system.convert(trial).video.frames)


def test_the_sound_moves_the_lips(trained):
    system, _ = trained
    faces = system.films["ada"].faces[:1]
    first, second = 10 * np.random.default_rng(0).standard_normal((2, 1, 12, 35)).astype(np.float32)
    assert (system.draw(first, faces, faces) != system.draw(second, faces, faces)).any()


@pytest.mark.slow
def test_the_mouth_follows_the_driving_speech_and_is_in_time(clips, tmp_path):
    system = LipGAN(TINY)
    system.fit(training(clips), trainer(tmp_path, max_steps=600))
    system.enroll("ada", of(clips, "ada"))
    frames, natural = system.convert(own_trial(clips)).video.frames, pictures("ada", 40, 2)
    in_time = following(frames, natural)
    assert in_time > 0.6
    assert all(following(frames, natural, late) < in_time for late in (-3, -2, -1, 1, 2, 3))


def test_a_saved_system_draws_as_the_one_that_was_saved(trained, clips):
    system, directory = trained
    loaded = LipGAN.load(directory)
    assert loaded.settings == system.settings
    loaded.enroll("ada", of(clips, "ada"))
    expected, found = (item.convert(driven_trial(clips)) for item in (system, loaded))
    np.testing.assert_array_equal(found.video.frames, expected.video.frames)
    np.testing.assert_array_equal(found.audio.samples, expected.audio.samples)


def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(clips, tmp_path):
    weights = []
    for folder, stops in (("whole", (4,)), ("parts", (2, 4))):
        for steps in stops:
            system = LipGAN(TINY)
            system.fit(training(clips), trainer(tmp_path / folder, max_steps=steps))
        weights.append(torch.cat([value.flatten() for value in system.generator.state_dict().values()]))
    assert torch.equal(*weights)


def test_one_person_is_enough_to_train_on(clips, tmp_path):
    record = LipGAN(TINY).fit(of(clips, "ada"), trainer(tmp_path, max_steps=1))
    assert record.steps == 1


def test_a_target_that_is_not_enrolled_fails_its_trial(trained, clips):
    system, _ = trained
    with pytest.raises(MediaError, match="nobody is not enrolled") as caught:
        system.convert(replace(driven_trial(clips), target="nobody"))
    assert caught.value.status == "missing"


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        LipGAN.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("picture", 40),
        ("picture", 112),
        ("width", 0),
        ("batch_size", 1),
        ("residual_blocks", -1),
        ("critic_rate", 0.0),
        ("paste_on", "anything"),
    ],
)
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        LipGANSettings(**{setting: value})
