"""Speech2Vid has the published sizes, learns to draw, and pastes a face on a still of the target."""

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
from doppelbench.baselines.face_clips import face_clips, to_unit
from doppelbench.baselines.speech2vid import (
    PAPER,
    SMALL,
    TINY,
    Deblur,
    Geometry,
    IdentityEncoder,
    Speech2Vid,
    Speech2VidModule,
    Speech2VidNetwork,
    Speech2VidSettings,
    StillBatches,
    blurred,
    feature_loss,
    fitted,
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


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    return write_corpus(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> tuple[Speech2Vid, Path]:
    directory = tmp_path_factory.mktemp("speech2vid")
    system = Speech2Vid(TINY)
    record = system.fit(training(clips), trainer(directory, max_steps=6))
    assert record.steps == 6
    assert record.parameters == parameters(system.network)
    system.save(directory)
    system.enroll("ada", of(clips, "ada"))
    return system, directory


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
    CHECKS[name](lambda: Speech2Vid(TINY), material)


def test_networks_of_the_preset_paper_have_the_published_size():
    with torch.device("meta"):
        network, deblur = Speech2VidNetwork(PAPER), Deblur()
    assert parameters(network) == pytest.approx(28.0e6, abs=0.05e6)
    assert parameters(network.audio) == pytest.approx(6.9e6, abs=0.05e6)
    assert parameters(deblur) == pytest.approx(0.30e6, abs=0.005e6)


def test_layers_of_the_preset_paper_have_the_published_sizes():
    assert Geometry.of(112) == Geometry(first=53, first_pooled=26, second=12, second_pooled=6)
    with torch.device("meta"):
        network = Speech2VidNetwork(PAPER)
        _, skips = network.identity(torch.zeros(2, 15, 112, 112))
        drawn = network(torch.zeros(2, 12, 35), torch.zeros(2, 15, 112, 112))
    assert [tuple(skip.shape[1:]) for skip in skips] == [(96, 53, 53), (96, 26, 26), (256, 12, 12)]
    assert drawn.shape == (2, 3, 109, 109)


@pytest.mark.parametrize("settings", [SMALL, TINY, replace(TINY, picture=56, output=50)])
def test_any_size_of_picture_is_drawn_as_wanted(settings):
    size = settings.picture
    drawn = Speech2VidNetwork(settings)(torch.randn(2, 12, 35), torch.rand(2, 15, size, size))
    assert drawn.shape == (2, 3, settings.output, settings.output)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_the_loss_reaches_every_parameter():
    with seeded(0):
        module = Speech2VidModule(Speech2VidNetwork(TINY), TINY)
    module.log = lambda *arguments: None
    generator = torch.Generator().manual_seed(0)
    size = (48, 48, 3)
    batch = (
        torch.randn(8, 12, 35, generator=generator),
        torch.randint(0, 256, (8, 5, *size), dtype=torch.uint8, generator=generator),
        torch.randint(0, 256, (8, *size), dtype=torch.uint8, generator=generator),
    )
    module.training_step(batch, 0).backward()
    for name, value in module.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


def test_the_loss_of_the_second_network_reaches_every_parameter():
    deblur = Deblur()
    deblur(torch.rand(1, 3, 16, 16)).abs().mean().backward()
    assert all(value.grad.abs().sum() > 0 for value in deblur.parameters())


def test_a_few_pictures_are_learnt_by_heart(clips, tmp_path):
    """The L1 of four pictures of one film falls below a fifth of what it is at first."""
    films = face_clips(of(clips, "ada")[:1], TINY.picture, True, trainer(tmp_path))
    batch = StillBatches(films, 4, 0).batch(0, 0, 1)
    with seeded(0):
        module = Speech2VidModule(Speech2VidNetwork(TINY), TINY)
    module.log = lambda *arguments: None
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.2 * losses[0]


def test_batches_follow_from_the_step_and_hold_what_belongs_together(clips, tmp_path):
    films = face_clips(training(clips), TINY.picture, True, trainer(tmp_path))
    batches = StillBatches(films, 6, seed=1)
    first, again, other = (batches.batch(step, 0, 1) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[2], other[2])
    sound, stills, drawn = first
    assert sound.shape == (6, 12, 35)
    assert stills.shape == (6, 5, 48, 48, 3)
    every = [clip for person in films.people for clip in person]
    for heard, shown, face in zip(sound.numpy(), stills.numpy(), drawn.numpy(), strict=True):
        (clip,) = (c for c in every if (c.pictures == face).all(axis=(1, 2, 3)).any())
        frame = int(np.flatnonzero((clip.sound == heard).all(axis=(1, 2)))[0])
        np.testing.assert_array_equal(clip.pictures[frame], face)
        for still in shown:
            assert (clip.pictures == still).all(axis=(1, 2, 3)).any()


def test_features_train_the_picture_and_not_the_encoder():
    encoder = IdentityEncoder(32, Geometry.of(48))
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    made = torch.rand(2, 3, 48, 48, requires_grad=True)
    wanted = torch.rand(2, 3, 48, 48)
    loss = feature_loss(encoder, made, wanted)
    loss.backward()
    assert loss > 0
    assert made.grad.abs().sum() > 0
    assert all(value.grad is None for value in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert encoder.training
    assert all(value.requires_grad for value in encoder.parameters())
    assert feature_loss(encoder, wanted, wanted) == 0


def test_the_feature_loss_counts_as_its_weight_says(clips, tmp_path):
    films = face_clips(of(clips, "ada")[:1], TINY.picture, True, trainer(tmp_path))
    batch = StillBatches(films, 2, 0).batch(0, 0, 1)
    losses = []
    for weight in (0.0, 0.5, 1.0):
        with seeded(0):
            settings = replace(TINY, feature_weight=weight)
            module = Speech2VidModule(Speech2VidNetwork(settings), settings)
        module.log = lambda *arguments: None
        losses.append(module.training_step(batch, 0).item())
    assert losses[2] > losses[0] + 1e-3
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2, rel=1e-4)


def test_a_blurred_point_is_a_gaussian_of_the_wanted_deviation():
    point = torch.zeros(2, 3, 25, 25)
    point[:, :, 12, 12] = 1
    spread = blurred(point, torch.tensor([0.8, 1.9]))
    assert spread.shape == point.shape
    torch.testing.assert_close(spread.sum(dim=(2, 3)), torch.ones(2, 3))
    places = (torch.arange(25) - 12.0).square()
    for dim in (2, 3):
        variance = (spread.sum(dim=5 - dim) * places).sum(dim=-1)
        torch.testing.assert_close(variance[:, 0].sqrt(), torch.tensor([0.8, 1.9]), rtol=0.02, atol=0)
    torch.testing.assert_close(blurred(torch.ones(1, 3, 9, 9), torch.ones(1)), torch.ones(1, 3, 9, 9))


def test_pictures_are_resized_only_where_they_have_another_size():
    pictures = torch.rand(2, 3, 20, 20)
    assert fitted(pictures, 20) is pictures
    assert fitted(pictures, 15).shape == (2, 3, 15, 15)


def test_the_film_has_the_rate_and_size_of_the_enrolment_film(trained, clips, tmp_path):
    """Of 25 pictures a second and an odd size."""
    _, directory = trained
    other = Speech2Vid.load(directory)
    clip = write_clip(tmp_path, "ada", 7, fps=25.0)
    film = Video(np.ascontiguousarray(pictures("ada", 40, 7, size=128)[:, 3:120, 10:117]), 25.0)
    write_video(clip.video, film)
    other.enroll("ada", [clip])
    assert other.identities["ada"].film.box.found
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


def test_a_longer_sound_makes_a_longer_film(trained, clips, material):
    system, _ = trained
    assert len(system.convert(material.trial).video.frames) == 200


def test_the_face_is_pasted_on_a_still_of_the_enrolment_film(trained, clips):
    system, _ = trained
    target, frames = system.identities["ada"], system.convert(driven_trial(clips)).video.frames
    assert (target.film.frames == target.background).all(axis=(1, 2, 3)).any()
    outside = np.ones((64, 64), bool)
    box = target.film.box
    assert box.found
    outside[box.top : box.top + box.side, box.left : box.left + box.side] = False
    still = np.repeat(target.background, len(frames), axis=0)
    np.testing.assert_array_equal(frames[:, outside], still[:, outside])
    assert (frames[:, ~outside] != still[:, ~outside]).any()


def test_five_stills_of_the_film_are_its_identity(trained, clips):
    system, _ = trained
    target = system.identities["ada"]
    stills = to_unit(target.film.faces)[[0, 10, 20, 29, 39]]
    torch.testing.assert_close(target.stills[0].unflatten(0, (5, 3)), stills)


def test_pictures_do_not_depend_on_how_many_are_drawn_at_once(trained, clips, monkeypatch):
    system, _ = trained
    frames = system.convert(driven_trial(clips)).video.frames.astype(int)
    monkeypatch.setattr("doppelbench.baselines.face_clips.FRAMES_AT_ONCE", 7)
    assert np.abs(system.convert(driven_trial(clips)).video.frames - frames).max() <= 1


def test_what_is_drawn_is_what_the_network_answers_in_training(trained):
    system, _ = trained
    target = system.identities["ada"]
    sound = np.random.default_rng(0).standard_normal((3, 12, 35)).astype(np.float32)
    with torch.inference_mode():
        drawn = system.network(torch.from_numpy(sound), target.stills.expand(3, -1, -1, -1))
    wanted = (drawn * 255).round().permute(0, 2, 3, 1)
    assert np.abs(system.draw(sound, target.stills) - wanted.numpy()).max() <= 1


def test_the_natural_film_of_a_trial_is_not_looked_at(trained, clips, tmp_path):
    system, _ = trained
    trial = own_trial(clips)
    frames = system.convert(trial).video.frames
    other = system.convert(with_other_film(trial, tmp_path)).video.frames
    np.testing.assert_array_equal(frames, other)


def test_the_sound_moves_the_face(trained, clips):
    system, _ = trained
    target = system.identities["ada"]
    generator = np.random.default_rng(0)
    sounds = 10 * generator.standard_normal((2, 12, 35)).astype(np.float32)
    first, second = system.draw(sounds, target.stills)
    assert (first != second).any()


@pytest.mark.slow
def test_the_mouth_follows_the_driving_speech_and_is_in_time(clips, tmp_path):
    system = Speech2Vid(TINY)
    system.fit(training(clips), trainer(tmp_path, max_steps=300))
    system.enroll("ada", of(clips, "ada"))
    frames, natural = system.convert(own_trial(clips)).video.frames, pictures("ada", 40, 2)
    in_time = following(frames, natural)
    assert in_time > 0.6
    assert all(following(frames, natural, late) < in_time for late in (-3, -2, -1, 1, 2, 3))


def test_a_saved_system_draws_as_the_one_that_was_saved(trained, clips):
    system, directory = trained
    loaded = Speech2Vid.load(directory)
    assert loaded.settings == system.settings
    loaded.enroll("ada", of(clips, "ada"))
    expected, found = (item.convert(driven_trial(clips)) for item in (system, loaded))
    np.testing.assert_array_equal(found.video.frames, expected.video.frames)
    np.testing.assert_array_equal(found.audio.samples, expected.audio.samples)


def test_the_second_network_is_trained_after_the_first_and_saved_with_it(trained, clips, tmp_path):
    plain, _ = trained
    system = Speech2Vid(replace(TINY, batch_size=2, deblur_steps=2))
    record = system.fit(training(clips), trainer(tmp_path, max_steps=1))
    assert record.steps == 3
    assert set(record.losses) >= {"picture_l1", "deblur_l1"}
    assert record.parameters == parameters(system.network) + parameters(system.deblur)
    system.save(tmp_path)
    loaded = Speech2Vid.load(tmp_path)
    stills, sound = plain.identities["ada"].stills, np.ones((1, 12, 35), np.float32)
    drawn = system.draw(sound, stills)
    np.testing.assert_array_equal(loaded.draw(sound, stills), drawn)
    with torch.no_grad():
        sharpened = loaded.deblur(loaded.network(torch.from_numpy(sound), stills))
    assert np.abs(drawn - (255 * sharpened.clamp(0, 1)).round().permute(0, 2, 3, 1).numpy()).max() <= 1
    loaded.deblur = None
    assert (loaded.draw(sound, stills) != drawn).any()


def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(clips, tmp_path):
    weights = []
    for folder, stops in (("whole", (4,)), ("parts", (2, 4))):
        for steps in stops:
            system = Speech2Vid(TINY)
            system.fit(training(clips), trainer(tmp_path / folder, max_steps=steps))
        weights.append(torch.cat([value.flatten() for value in system.network.state_dict().values()]))
    assert torch.equal(*weights)


def test_one_person_is_enough_to_train_on(clips, tmp_path):
    record = Speech2Vid(TINY).fit(of(clips, "ada"), trainer(tmp_path, max_steps=1))
    assert record.steps == 1


def test_a_target_that_is_not_enrolled_fails_its_trial(trained, clips):
    system, _ = trained
    with pytest.raises(MediaError, match="nobody is not enrolled") as caught:
        system.convert(replace(driven_trial(clips), target="nobody"))
    assert caught.value.status == "missing"


def test_a_trial_without_sound_fails(trained, clips):
    system, _ = trained
    trial = driven_trial(clips)
    with pytest.raises(MediaError) as caught:
        system.convert(replace(trial, source=replace(trial.source, audio=None)))
    assert caught.value.status == "missing"


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        Speech2Vid.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("picture", 40),
        ("output", 113),
        ("output", 105),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("feature_weight", -1.0),
        ("audio_narrowing", 0),
        ("deblur_steps", -1),
    ],
)
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        Speech2VidSettings(**{setting: value})
