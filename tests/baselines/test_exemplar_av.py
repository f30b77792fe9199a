"""The audiovisual exemplar has the published sizes, keeps sound and pictures in step, and learns to draw."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from doppelbench.baselines.contract import CHECKS, Material, make_material
from doppelbench.baselines.exemplar import TINY as AUDIO_TINY
from doppelbench.baselines.exemplar import Exemplar
from doppelbench.baselines.exemplar_av import (
    MODES,
    PAPER,
    SMALL,
    TINY,
    ExemplarAv,
    ExemplarAvModule,
    ExemplarAvNetwork,
    ExemplarAvSettings,
    FilmBatch,
    FilmCrops,
)
from doppelbench.baselines.exemplar_video_decoder import (
    PatchDiscriminator,
    PictureSettings,
    VideoDecoder,
    code_positions,
    discriminator_losses,
    of_other_moments,
    read_codes,
    scaled,
)
from doppelbench.baselines.target_films import TargetFilms, target_films
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, LeftOutWarning
from doppelbench.corpora.features import MelSettings
from doppelbench.corpora.media import Audio, Video, read_audio, read_video, write_audio, write_video
from doppelbench.engine.trainer import TrainerSettings, seeded

SIZE, FPS, RATE = 32, 20.0, 16000
ADVERSARIAL = replace(TINY, adversarial_weight=0.01)
TWO_STAGES = replace(TINY, pictures=replace(TINY.pictures, stages=2))
TWO_3D_STAGES = replace(TINY, pictures=replace(TINY.pictures, stages=2, temporal_kernel=3))
PUBLISHED = replace(TINY, pictures=replace(TINY.pictures, temporal_kernel=3, residual_to_mean=False))


def loud_film(audio: Audio, fps: float = FPS, size: int = SIZE) -> Video:
    """A disc on grey whose brightness follows the level of the sound around the middle of each picture."""
    count = math.ceil(round(audio.seconds * fps, 6))
    middles = ((np.arange(count) + 0.5) / fps * audio.rate).astype(int)
    around = np.clip(middles[:, None] + np.arange(-400, 400), 0, audio.samples.size - 1)
    level = np.sqrt(np.square(audio.samples[around]).mean(axis=1))
    bright = 255 * level / level.max()
    grid = (np.arange(size) - size / 2) / size
    disc = np.hypot(*np.meshgrid(grid, grid)) < 0.3
    frames = np.where(disc[..., None], bright[:, None, None, None], 100.0) * np.ones(3)
    return Video(frames.round().astype(np.uint8), fps)


def millions(*modules: torch.nn.Module) -> float:
    return sum(value.numel() for module in modules for value in module.parameters()) / 1e6


def trainer(folder: Path, steps: int = 3, **other) -> TrainerSettings:
    return TrainerSettings(folder, max_steps=steps, device="cpu", progress=False, log_every=1, **other)


def log_of(folder: Path, name: str) -> list[float]:
    rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()[1:]]
    return [float(value) for _, metric, value in rows if metric == name]


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    """Clips of the target with films, and those of somebody who is only heard."""
    folder = tmp_path_factory.mktemp("talking")
    clips = []
    for clip in make_material(folder).clips:
        path = folder / f"{clip.id}.mkv"
        if clip.speaker == "ada":
            write_video(path, loud_film(read_audio(clip.audio)))
        clips.append(replace(clip, video=str(path) if path.is_file() else None))
    return Material(folder, tuple(clips))


@pytest.fixture(scope="module")
def films(material) -> TargetFilms:
    return target_films(material.clips, "ada", TINY.mel, trainer(material.folder / "films"))


@pytest.fixture(scope="module")
def trained(material) -> tuple[ExemplarAv, Path]:
    folder = material.folder / "trained"
    system = ExemplarAv(TINY, "ada")
    record = system.fit(material.clips, trainer(folder))
    assert record.steps == 3
    system.save(folder / "saved")
    return system, folder


def module_of(settings: ExemplarAvSettings, size: int = SIZE) -> ExemplarAvModule:
    with seeded(0):
        exemplar = Exemplar(settings.audio, "ada")
        network = ExemplarAvNetwork(settings, exemplar.network, size)
        return ExemplarAvModule(network, settings, exemplar.joint_vocoder)


def descend(module: ExemplarAvModule, batch: FilmBatch, steps: int, rate: float) -> list[dict[str, float]]:
    """Train on one batch; returns the terms of each step."""
    parameters = [*module.network.parameters(), *(module.vocoder.parameters() if module.vocoder else ())]
    optimizer, history = torch.optim.Adam(parameters, rate), []
    for _ in range(steps):
        losses = module.losses(batch, module.network(batch.mel, batch.positions))
        optimizer.zero_grad()
        sum(module.weight(name) * loss for name, loss in losses.items()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    return history


@pytest.mark.parametrize("name", CHECKS)
def test_it_keeps_the_contract_of_systems(material, name, tmp_path):
    CHECKS[name](lambda: ExemplarAv(TINY, "ada"), Material(tmp_path, material.clips))


@pytest.mark.parametrize(("temporal", "first", "second"), [(1, 16.39, 2.09), (3, 47.07, 5.66)])
def test_picture_networks_have_the_published_sizes(temporal, first, second):
    """The released code, whose convolutions are 2-D, has 16.4 M and 2.1 M."""
    with torch.device("meta"):
        decoder = VideoDecoder(replace(PictureSettings(), temporal_kernel=temporal), 64, 512)
    assert decoder.sizes == (128, 512)
    assert millions(decoder.time, decoder.first) == pytest.approx(first, abs=0.01)
    assert millions(decoder.second) == pytest.approx(second, abs=0.01)


def test_small_pictures_have_one_stage_of_the_same_layers_but_one():
    decoder = VideoDecoder(SMALL.pictures, 64, 64)
    assert decoder.second is None
    shapes = [tuple(w.shape) for name, w in decoder.first.named_parameters() if w.ndim == 4]
    assert shapes == [(64, 128, 4, 4), (128, 64, 4, 4), (64, 32, 4, 4), (32, 16, 4, 4), (16, 3, 4, 4)]


@pytest.mark.parametrize("settings", [TINY, TWO_STAGES, PUBLISHED])
@pytest.mark.parametrize("size", [64, 96, 160])
def test_every_stage_draws_its_size(settings, size):
    decoder = VideoDecoder(settings.pictures, 8, size).eval()
    pictures = decoder(decoder.frame_codes(torch.rand(2, 4 * 3, 8)))
    two = size == 160 or settings is TWO_STAGES
    expected = [(2, 3, 3, side, side) for side in ((size // 4, size) if two else (size,))]
    assert [tuple(stage.shape) for stage in pictures] == expected


@pytest.mark.parametrize(("size", "stages"), [(60, 1), (8, 1), (144, 0), (200, 2)])
def test_sizes_that_cannot_be_drawn_are_refused(size, stages):
    with pytest.raises(InputError, match=f"{size} pixels.*multiple of"):
        VideoDecoder(replace(TINY.pictures, stages=stages), 8, size)


def test_at_20_pictures_a_second_every_code_is_read_once_as_published():
    np.testing.assert_array_equal(code_positions(7, 20.0, 80.0), np.arange(28))
    codes = torch.rand(1, 28, 5)
    assert torch.equal(read_codes(codes, torch.arange(28.0)[None]), codes)


@pytest.mark.parametrize("fps", [12.5, 20.0, 25.0, 30000 / 1001, 50.0])
def test_what_a_picture_is_made_of_lies_around_its_middle_at_every_frame_rate(fps):
    """The gradient tells which codes decide a picture: at 20 pictures a second those of 0.8 s around it."""
    rate, pictures = 80.0, 61
    decoder = VideoDecoder(TINY.pictures, 8, 32)
    codes = torch.rand(1, math.ceil(pictures / fps * rate) + 1, 8, requires_grad=True)
    positions = torch.from_numpy(code_positions(pictures, fps, rate))[None].float()
    for picture in (30, 31, 40):
        described = decoder.frame_codes(read_codes(codes, positions))
        (gradient,) = torch.autograd.grad(described[0, picture].sum(), codes)
        used = gradient[0].abs().sum(dim=1).nonzero()[:, 0]
        middle = (picture + 0.5) / fps * rate
        assert float(used[0] + used[-1]) / 2 == pytest.approx(middle, abs=0.75)
        assert len(used) == pytest.approx(64 / (4 * fps) * rate, abs=2.5)


@pytest.mark.parametrize("fps", [20.0, 25.0, 30.0])
def test_sound_and_pictures_of_a_crop_are_in_step_wherever_it_begins(tmp_path, fps):
    """Clicks in the middle of the white pictures: the spectrogram's loudest frame lies where the codes of the
    picture are read, within less than half a picture, at the end of half a minute as at its beginning."""
    samples = np.random.default_rng(0).normal(0, 1e-3, 32 * RATE).astype(np.float32)
    frames = np.zeros((int(32 * fps), 16, 16, 3), np.uint8)
    flashes = [int(second * fps) + 3 for second in range(1, 31, 3)]
    for flash in flashes:
        frames[flash] = 255
        middle = round((flash + 0.5) / fps * RATE)
        samples[middle - 40 : middle + 40] = 0.5
    write_audio(tmp_path / "a.flac", Audio(samples, RATE))
    write_video(tmp_path / "a.mkv", Video(frames, fps))
    clip = Clip("a", "ada", audio=str(tmp_path / "a.flac"), video=str(tmp_path / "a.mkv"))
    films = target_films([clip], "ada", MelSettings(), trainer(tmp_path))
    for number, flash in enumerate(flashes):
        crop = films.crop(0, flash - 1 - number, 128)
        (shown,) = np.nonzero(crop.pictures[:40].mean(axis=(1, 2, 3)) > 128)[0][:1]
        loudest = crop.mel.mean(axis=1)[: int((shown + 2) / fps * 80)].argmax()
        read = crop.positions[4 * shown : 4 * shown + 4].mean()
        assert abs(read - loudest) <= 1.01
        assert shown == number + 1


def test_a_film_that_is_shorter_than_a_crop_is_continued_by_its_last_picture_and_silence(films):
    last = films.starts(64)[0] - 1
    whole, beyond = films.crop(0, last, 64), films.crop(0, last + 10, 64)
    assert beyond.pictures.shape == whole.pictures.shape == (16, SIZE, SIZE, 3)
    np.testing.assert_array_equal(beyond.pictures[:6], whole.pictures[10:])
    assert (beyond.pictures[6:] == whole.pictures[-1]).all()
    assert beyond.mel.shape == (64, 80)
    assert not beyond.mel[-10:].any()


def test_no_crop_runs_over_the_end_of_a_film_and_every_film_has_its_share():
    """Three films, of which one is shorter than a crop, in a colour and a level of their own."""
    lengths = (40, 10, 80)
    pictures = [np.full((n, 16, 16, 3), 50 * k + 50, np.uint8) for k, n in enumerate(lengths)]
    mel = [np.full((4 * n, 80), 0.2 * k + 0.2, np.float32) for k, n in enumerate(lengths)]
    recordings = [
        SimpleNamespace(ids=["a", "b", "c"], parts=parts, key="k")
        for parts in (mel, pictures, [np.array([FPS])] * 3)
    ]
    films = TargetFilms("ada", recordings, 80.0)
    assert films.starts(64).tolist() == [25, 1, 65]
    crops = FilmCrops(films, replace(TINY, batch_size=400), 0).batch(0, 0, 1)
    colour, level = crops.pictures.flatten(1).float(), crops.mel.flatten(1)
    assert (colour.min(dim=1).values == colour.max(dim=1).values).all()
    np.testing.assert_allclose(level.max(dim=1).values, colour[:, 0] / 250, atol=1e-6)
    share = [(colour[:, 0] == 50 * k + 50).float().mean().item() for k in range(3)]
    np.testing.assert_allclose(share, np.array([25, 1, 65]) / 91, atol=0.08)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "settings", [replace(ADVERSARIAL, postnet=True), TWO_STAGES, replace(PUBLISHED, joint_vocoder="wavenet")]
)
def test_the_loss_reaches_every_parameter(mode, settings, material, tmp_path):
    settings = replace(settings, mode=mode)
    size = 64 if settings.pictures.stages == 2 else SIZE
    module = module_of(settings, size)
    generator = np.random.default_rng(0)
    batch = FilmBatch(
        torch.from_numpy(generator.random((2, 64, 80), np.float32)),
        torch.from_numpy(generator.integers(0, 256, (2, 16, size, size, 3), np.uint8)),
        torch.arange(64.0).repeat(2, 1),
        torch.from_numpy(generator.random((2, 4 * 200), np.float32)),
        0,
    )
    history = descend(module, batch, 3, 1e-2)
    parts = [module.network, *([module.vocoder] if module.vocoder else [])]
    assert (module.vocoder is None) == (not settings.joint_vocoder or mode == "video-only")
    assert (module.network.decoder is None) == (mode == "video-only") == ("mel_l1" not in history[0])
    for name, value in (pair for part in parts for pair in part.named_parameters()):
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


@pytest.mark.parametrize("mode", ["video-only", "joint"])
def test_two_crops_are_learned_by_heart(films, mode):
    """Measured: the L1 between pictures falls from 0.18 to 0.02."""
    pictures = replace(TINY.pictures, channels=8, frame_code=32)
    settings = replace(TINY, mode=mode, bottleneck=16, channels=32, pictures=pictures)
    module = module_of(settings)
    module.network.video.set_mean(films.mean())
    history = descend(module, FilmCrops(films, settings, 0).batch(0, 0, 1), 70, 4e-3)
    assert history[-1]["picture_l1_1"] < history[0]["picture_l1_1"] / 4
    if mode == "joint":
        assert history[-1]["mel_l1"] < history[0]["mel_l1"] / 3


def test_drawing_the_residual_begins_with_the_mean_picture(films):
    module = module_of(TINY)
    mean = films.mean()
    module.network.video.set_mean(mean)
    drawn = module.network.video.draw(torch.rand(1, 4 * 5, 2 * TINY.bottleneck))
    assert (np.abs(drawn - mean) <= 0.5 + 1e-4).all()
    pictures = np.concatenate([films.crop(film, 0, 800).pictures for film in range(4)])
    np.testing.assert_allclose(mean, pictures.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("settings", [PUBLISHED, TWO_3D_STAGES])
def test_a_long_film_drawn_in_parts_is_the_one_drawn_whole(settings, monkeypatch):
    with seeded(1):
        decoder = VideoDecoder(settings.pictures, 8, 64)
        for value in decoder.parameters():
            torch.nn.init.normal_(value, std=0.2)
    samples = torch.rand(1, 4 * 67, 8)
    decoder.eval()
    monkeypatch.setattr("doppelbench.baselines.exemplar_video_decoder.DRAWN_TOGETHER", 1000)
    whole = decoder.draw(samples).astype(int)
    monkeypatch.setattr("doppelbench.baselines.exemplar_video_decoder.DRAWN_TOGETHER", 20)
    assert whole.std() > 10
    assert np.abs(decoder.draw(samples) - whole).max() <= 1


def test_the_third_class_of_the_discriminator_is_a_real_picture_with_the_code_of_another_moment():
    codes = torch.arange(6.0)[None, :, None]
    assert of_other_moments(codes).flatten().tolist() == [3, 4, 5, 0, 1, 2]
    seen = []

    def judge(pictures, given):
        seen.append((pictures, given))
        return torch.zeros(len(pictures), 1, 2, 2)

    real, drawn = torch.rand(1, 6, 3, 16, 16), torch.rand(1, 6, 3, 16, 16)
    losses = discriminator_losses(judge, real, drawn, codes)
    assert list(losses) == ["real", "mismatched", "drawn"]
    assert [torch.equal(pictures, real[0]) for pictures, _ in seen] == [True, True, False]
    assert seen[1][1].flatten().tolist() == [3, 4, 5, 0, 1, 2]
    assert all(loss.item() == pytest.approx(math.log(2)) for loss in losses.values())


def test_the_discriminator_learns_that_the_code_must_fit_the_picture():
    """Real pictures are as bright as their code says; drawn ones are noise."""
    settings = replace(TINY.pictures, frame_code=1, discriminator_channels=8)
    with seeded(0):
        judge = PatchDiscriminator(settings, 16)
    optimizer = torch.optim.Adam(judge.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        codes = torch.rand(4, 8, 1, generator=generator).round() * 2 - 1
        real = (0.5 * codes[..., None, None]).expand(4, 8, 3, 16, 16)
        drawn = torch.rand(4, 8, 3, 16, 16, generator=generator) * 2 - 1
        losses = discriminator_losses(judge, real, drawn, codes)
        optimizer.zero_grad()
        (losses["real"] + 0.5 * (losses["mismatched"] + losses["drawn"])).backward()
        optimizer.step()
    judge.eval()
    pictures, codes = real.flatten(0, 1), codes.flatten(0, 1)
    assert judge(pictures, codes).mean() > judge(pictures, -codes).mean() + 1
    assert losses["drawn"] < 0.3


def test_a_training_with_a_discriminator_moves_both_and_logs_all_terms(material, tmp_path):
    settings = replace(ADVERSARIAL, mode="video-only")
    record = ExemplarAv(settings, "ada").fit(material.clips, trainer(tmp_path, 4))
    terms = {"adversarial", "picture_l1_1", "discriminator_real", "discriminator_mismatched"}
    assert terms <= set(record.losses)
    judged = log_of(tmp_path, "discriminator_drawn")
    assert len(set(judged)) == len(judged) == 4
    fewer = ExemplarAv(replace(TINY, mode="video-only"), "ada").fit(
        material.clips, trainer(tmp_path / "b", 1)
    )
    assert record.parameters > fewer.parameters


def test_it_trains_in_mixed_precision_with_a_vocoder_and_a_discriminator(material, tmp_path):
    settings = replace(ADVERSARIAL, mode="joint", joint_vocoder="wavernn")
    system = ExemplarAv(settings, "ada")
    system.fit(material.clips, trainer(tmp_path / "t", 2, precision="bf16-mixed"))
    terms = ("adversarial", "mel_l1", "negative_log_likelihood", "picture_l1_1", "discriminator_real")
    assert all(len(log_of(tmp_path / "t", name)) == 2 for name in terms)
    assert {value.dtype for value in system.network.parameters()} == {torch.float32}
    system.save(tmp_path / "saved")
    assert ExemplarAv.load(tmp_path / "saved").vocoder.name == "wavernn"


def test_training_lowers_the_loss_of_pictures_and_sound(material, tmp_path):
    settings = replace(TINY, mode="joint", learning_rate=1e-2)
    ExemplarAv(settings, "ada").fit(material.clips, trainer(tmp_path, 30))
    for name, factor in (("picture_l1_1", 0.75), ("mel_l1", 0.5)):
        values = log_of(tmp_path, name)
        assert np.mean(values[-10:]) < factor * np.mean(values[:3])


def test_fine_tuning_begins_with_a_trained_exemplar(trained, material, tmp_path):
    """Trained on the way, in a folder of its own and in proportion to the steps, or named."""
    _, folder = trained
    record = json.loads((folder / "audio" / "training.json").read_text())["record"]
    assert record["steps"] == math.ceil(TINY.audio_steps * 3 / TINY.max_steps)
    exemplar = Exemplar(replace(AUDIO_TINY, crop_frames=64), "ada")
    exemplar.fit(material.clips, trainer(tmp_path / "exemplar", 40))
    exemplar.save(tmp_path / "exemplar")
    settings = replace(TINY, initialise_from=str(tmp_path / "exemplar"))
    ExemplarAv(settings, "ada").fit(material.clips, trainer(tmp_path / "named", 1))
    assert not (tmp_path / "named" / "audio").exists()
    scratch, named = (log_of(place, "mel_l1")[0] for place in (folder / "audio", tmp_path / "named"))
    assert named < scratch / 2


def test_an_exemplar_of_another_architecture_is_refused_with_its_folder(material, tmp_path):
    Exemplar(replace(AUDIO_TINY, channels=8), "ada").save(tmp_path / "other")
    settings = replace(TINY, initialise_from=str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"other: an exemplar of another architecture \(channels 8"):
        ExemplarAv(settings, "ada").fit(material.clips, trainer(tmp_path))


def test_an_answer_has_as_many_pictures_as_the_natural_film(trained, material, tmp_path):
    system, _ = trained
    source = material.clips[0]
    film = read_video(source.video)
    write_video(tmp_path / "short.mkv", Video(film.frames[:37], FPS))
    reference = replace(source, video=str(tmp_path / "short.mkv"))
    output = system.convert(Trial("own", source, "ada", reference))
    assert output.video.frames.shape == (37, SIZE, SIZE, 3)
    assert output.video.frames.dtype == np.uint8
    assert output.video.fps == FPS


@pytest.mark.parametrize(("seconds", "pictures"), [(0.06, 2), (0.5, 10), (1.01, 21), (3.33, 67)])
def test_without_a_natural_film_the_pictures_cover_the_sound(trained, material, tmp_path, seconds, pictures):
    system, _ = trained
    sound = read_audio(material.clips[-1].audio)
    write_audio(tmp_path / "s.flac", Audio(sound.samples[: round(seconds * RATE)], RATE))
    output = system.convert(Trial("driven", Clip("s", "bruno", audio=str(tmp_path / "s.flac")), "ada"))
    assert output.video.frames.shape == (pictures, SIZE, SIZE, 3)
    assert abs(output.audio.seconds - seconds) < 0.02


@pytest.mark.parametrize("mode", ["video-only", "joint"])
def test_a_loaded_system_draws_and_says_the_same_in_every_mode(material, tmp_path, mode):
    settings = replace(TINY, mode=mode, pictures=replace(TINY.pictures, residual_to_mean=mode == "joint"))
    system = ExemplarAv(settings, "ada")
    system.fit(material.clips, trainer(tmp_path / "t", 2))
    system.save(tmp_path / "saved")
    loaded = ExemplarAv.load(tmp_path / "saved")
    assert (loaded.target, loaded.settings, loaded.fps) == ("ada", settings, FPS)
    expected, found = (one.convert(material.trial) for one in (system, loaded))
    np.testing.assert_array_equal(found.video.frames, expected.video.frames)
    np.testing.assert_array_equal(found.audio.samples, expected.audio.samples)
    driving = read_audio(material.trial.source.audio).samples
    own = np.corrcoef(expected.audio.samples[: driving.size], driving[: expected.audio.samples.size])[0, 1]
    assert (own > 0.999) == (mode == "video-only")
    assert (loaded.vocoder is None) == (mode == "video-only")


def test_films_are_left_out_with_the_reason_and_the_training_goes_on(material, tmp_path):
    audio, film = material.clips[0].audio, read_video(material.clips[0].video)
    write_video(tmp_path / "picture.mkv", Video(film.frames[:1], FPS))
    write_video(tmp_path / "half.mkv", Video(film.frames[:100], FPS))
    (tmp_path / "cut.mkv").write_bytes(Path(material.clips[0].video).read_bytes()[:9000])
    bad = [Clip("silent", "ada", audio=audio)]
    bad += [
        Clip(name, "ada", audio=audio, video=str(tmp_path / f"{name}.mkv"))
        for name in ("picture", "half", "cut", "nowhere")
    ]
    with pytest.warns(LeftOutWarning) as caught:
        films = target_films([*material.clips, *bad], "ada", TINY.mel, trainer(tmp_path))
    messages = [str(entry.message) for entry in caught]
    for name, reason in (
        ("silent", "clip silent has no film"),
        ("picture", "film of one frame"),
        ("half", r"5.00 s of pictures and 10.01 s of sound"),
        ("cut", "cut.mkv"),
        ("nowhere", "no such file"),
    ):
        assert any(f"clip ada/{name} is left out" in text and reason in text for text in messages), name
    assert len(films.starts(64)) == 4


@pytest.mark.parametrize(
    ("shape", "fps", "message"),
    [((48, 48), 20.0, "48x48"), ((32, 48), 20.0, "48x32"), ((32, 32), 25.0, "25 pictures a second")],
)
def test_films_that_differ_are_refused_with_the_clip(material, tmp_path, shape, fps, message):
    frames = np.zeros((int(10 * fps), *shape, 3), np.uint8)
    write_video(tmp_path / "odd.mkv", Video(frames, fps))
    odd = Clip("odd", "ada", audio=material.clips[0].audio, video=str(tmp_path / "odd.mkv"))
    with pytest.raises(InputError, match=f"clip ada/odd: .*{message}"):
        target_films([*material.clips, odd], "ada", TINY.mel, trainer(tmp_path))


def test_films_of_another_size_than_asked_for_are_refused(material, tmp_path):
    settings = replace(TINY, pictures=replace(TINY.pictures, size=64))
    with pytest.raises(InputError, match=r"squares of 32 pixels; pictures\.size asks for 64"):
        ExemplarAv(settings, "ada").fit(material.clips, trainer(tmp_path))


def test_a_system_that_was_not_trained_says_so(material):
    with pytest.raises(DoppelbenchError, match="has not been trained"):
        ExemplarAv(TINY, "ada").convert(material.trial)


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(trained, tmp_path, damage):
    system, _ = trained
    system.save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        ExemplarAv.load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "audio-only"}, "mode"),
        ({"mode": "joint", "initialise_from": "somewhere"}, "initialise_from"),
        ({"adversarial_weight": -1.0}, "adversarial_weight"),
        ({"crop_frames": 100}, "crop_frames"),
        ({"audio_steps": 0}, "audio_steps"),
    ],
)
def test_settings_that_no_network_can_have_are_refused(settings, message):
    with pytest.raises(DoppelbenchError, match=message):
        ExemplarAvSettings(**settings)


@pytest.mark.parametrize(("setting", "value"), [("temporal_kernel", 2), ("stages", 3), ("size", 100)])
def test_pictures_that_no_network_can_draw_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=str(value)):
        PictureSettings(**{setting: value})


def test_presets_are_those_of_the_paper_and_of_the_small_exemplar():
    assert (PAPER.learning_rate, PAPER.batch_size, PAPER.max_steps) == (1e-3, 8, 3000)
    assert (PAPER.pictures.size, PAPER.pictures.temporal_kernel, PAPER.mode) == (512, 3, "fine-tune")
    assert PAPER.adversarial_weight > 0 == SMALL.adversarial_weight == TINY.adversarial_weight
    assert not PAPER.pictures.residual_to_mean
    assert SMALL.audio.code_every == 8
    assert scaled(torch.tensor([[[[[0, 255, 51]]]]])).flatten().tolist() == pytest.approx([-1, 1, -0.6])
