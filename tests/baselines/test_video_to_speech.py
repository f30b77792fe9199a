"""V2A-MelSpec and V2A-WaveGAN learn, transfer decoders, keep time, and never read what they are to make."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from talking_films import (
    FPS,
    PICTURES,
    RATE,
    enrolment,
    openings,
    pictures,
    training,
    trial,
    write_clip,
    write_corpus,
    write_truth,
)

from doppelbench.baselines import system
from doppelbench.baselines.contract import CHECKS, Material
from doppelbench.baselines.registry import find_system
from doppelbench.baselines.video_to_speech import identity, v2a_melspec, v2a_wavegan
from doppelbench.baselines.video_to_speech.identity import FaceIdentity, mean_identity, unit
from doppelbench.baselines.video_to_speech.modality_norm import modality_norms, use_modality
from doppelbench.baselines.video_to_speech.network import SpeechNetwork
from doppelbench.baselines.video_to_speech.talking_clips import (
    SpeechBatch,
    TalkingClip,
    TalkingClips,
    film_clips,
    speech_by_pictures,
    talking_clips,
)
from doppelbench.baselines.video_to_speech.v2a_melspec import MelSpec
from doppelbench.baselines.video_to_speech.v2a_wavegan import WaveGAN, WaveGANModule
from doppelbench.baselines.video_to_speech.video_to_audio import PRETRAINING_FOLDER
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError
from doppelbench.corpora.media import Audio, Video, read_audio, read_video, write_audio, write_video
from doppelbench.engine.trainer import TrainerSettings, seeded

KINDS = (MelSpec, WaveGAN)
STEPS = 4
# The discriminator begins at step 2 of 20 in a training of four steps.
TINY = {MelSpec: v2a_melspec.TINY, WaveGAN: replace(v2a_wavegan.TINY, adversarial_after=0.1)}
both = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.spec.name)


@pytest.fixture(autouse=True, scope="module")
def voices():
    """Vectors in the place of d-vectors: of the person and, a little, of the clip."""

    def vector(clip: Clip) -> np.ndarray:
        person = np.random.default_rng(len(clip.speaker)).random(256)
        own = np.random.default_rng([*clip.id.encode()]).random(256)
        return (person + 0.01 * own).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "clip_embedding", vector)
        yield


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    return write_corpus(tmp_path_factory.mktemp("films"))


def trainer(directory: Path, **settings) -> TrainerSettings:
    return TrainerSettings(directory, device="cpu", progress=False, **{"max_steps": STEPS, **settings})


def fitted(kind, folder: Path, clips: list[Clip], **changes) -> system.System:
    made = kind(replace(TINY[kind], **changes))
    made.record = made.fit(training(clips), trainer(folder))
    made.enroll("ada", enrolment(clips))
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips) -> dict:
    """Each system in each way of transfer, with its folder; all decoders are of one pre-training."""
    found = {}
    for kind in KINDS:
        first = tmp_path_factory.mktemp("fine-tuned")
        found[kind, "fine-tuned"] = fitted(kind, first, clips), first
        checkpoint = str(first / PRETRAINING_FOLDER)
        for transfer, start in (("frozen", checkpoint), ("scratch", "")):
            folder = tmp_path_factory.mktemp(transfer)
            found[kind, transfer] = (
                fitted(kind, folder, clips, transfer=transfer, checkpoint=start),
                folder,
            )
    return found


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def logged(folder: Path, metric: str) -> dict[int, float]:
    """What the log of a training says of one metric, by step."""
    rows = [row.split(",") for row in (folder / "log.csv").read_text().splitlines()]
    return {int(step): float(value) for step, name, value in rows[1:] if name == metric}


def autoencoder(trained, kind) -> SpeechNetwork:
    made, folder = trained[kind, "fine-tuned"]
    return made.load_autoencoder(folder / PRETRAINING_FOLDER)


def random_batch(settings, modality: str) -> SpeechBatch:
    generator = torch.Generator().manual_seed(0)
    count, shown = 3, settings.crop_pictures
    seen = (count, shown, settings.crop, settings.crop) if modality == "video" else (count, shown, 0, 0)
    return SpeechBatch(
        torch.randint(0, 256, seen, generator=generator, dtype=torch.uint8),
        torch.rand(count, 256 if modality == "video" else 0, generator=generator),
        torch.rand(count, shown * settings.frames, 80, generator=generator),
        0.1 * torch.randn(count, shown * settings.samples, generator=generator),
        2,
        100,
    )


# --- transfer


@both
def test_a_frozen_decoder_has_weights_and_statistics_of_the_autoencoder_after_training(trained, kind):
    frozen, _ = trained[kind, "frozen"]
    before, after = weights(autoencoder(trained, kind).decoder), weights(frozen.network.decoder)
    assert before.keys() == after.keys()
    for name, value in before.items():
        # What pictures are normalised by is a copy of what sound was.
        wanted = before[name.replace("video_", "audio_")]
        assert torch.equal(after[name], wanted if "video_" in name else value), name


@both
def test_a_fine_tuned_decoder_learns_and_has_statistics_of_its_own(trained, kind):
    tuned, _ = trained[kind, "fine-tuned"]
    heard = autoencoder(trained, kind).decoder
    for ours, theirs in zip(modality_norms(tuned.network.decoder), modality_norms(heard), strict=True):
        assert torch.equal(ours.audio_mean, theirs.audio_mean)
        assert torch.equal(ours.audio_variance, theirs.audio_variance)
        assert not torch.equal(ours.video_mean, ours.audio_mean)
        assert not torch.equal(ours.weight, theirs.weight)
    assert not torch.equal(tuned.network.decoder.input.weight, heard.input.weight)


@both
def test_a_decoder_from_scratch_is_another_than_one_that_was_transferred(trained, kind):
    decoders = [trained[kind, name][0].network.decoder for name in ("scratch", "frozen", "fine-tuned")]
    scratch, frozen, tuned = (decoder.input.weight for decoder in decoders)
    assert not torch.equal(scratch, frozen)
    assert not torch.equal(scratch, tuned)


@both
def test_a_decoder_decodes_the_states_of_sound_and_of_pictures_alike(trained, kind):
    """What was transferred is the same function: the frozen decoder and the autoencoder's agree."""
    frozen, _ = trained[kind, "frozen"]
    states = torch.randn(2, 8 * frozen.settings.repeats, 2 * frozen.settings.cells)
    heard = autoencoder(trained, kind).decoder.eval()
    with torch.no_grad():
        assert torch.equal(frozen.network.decoder.eval()(states), heard(states))


@both
def test_a_frozen_decoder_stays_in_use_when_its_network_is_trained(kind):
    made = kind(TINY[kind])
    made.network.take_decoder(made.new_network("audio"), frozen=True)
    made.network.train()
    assert made.network.training
    assert made.network.encoder.training
    assert not any(part.training for part in made.network.decoder.modules())


@both
def test_the_record_says_what_was_heard(trained, kind):
    tuned, folder = trained[kind, "fine-tuned"]
    assert tuned.record.losses["pretraining_hours"] == pytest.approx(6 / 3600, abs=1e-4)
    assert "loss" in tuned.record.losses
    assert tuned.record.steps == STEPS
    assert (folder / PRETRAINING_FOLDER / "weights.safetensors").is_file()
    assert not any("pretraining" in name for name in trained[kind, "scratch"][0].record.losses)


@both
def test_nothing_to_pre_train_on_is_said_so(kind, clips, tmp_path):
    films = [clip for clip in training(clips) if clip.video]
    with pytest.raises(InputError, match="no speech to pre-train on"):
        kind(TINY[kind]).fit(films, trainer(tmp_path))


def test_a_checkpoint_of_another_system_or_size_is_refused_with_the_folder(trained, tmp_path, clips):
    _, folder = trained[MelSpec, "fine-tuned"]
    checkpoint = str(folder / PRETRAINING_FOLDER)
    with pytest.raises(InputError, match=r"a2a-wavegan is needed"):
        WaveGAN(replace(TINY[WaveGAN], checkpoint=checkpoint)).fit(training(clips), trainer(tmp_path))
    other = replace(TINY[MelSpec], checkpoint=checkpoint, width=32, heads=4)
    with pytest.raises(InputError, match="another width, heads"):
        MelSpec(other).fit(training(clips), trainer(tmp_path))
    with pytest.raises(InputError, match=str(tmp_path)):
        MelSpec(replace(TINY[MelSpec], checkpoint=str(tmp_path))).fit(training(clips), trainer(tmp_path))


# --- learning


@both
@pytest.mark.parametrize("modality", ["audio", "video"])
def test_the_losses_reach_every_parameter(kind, modality):
    with seeded(0):
        made = kind(TINY[kind])
        network = made.new_network(modality)
        module = made.new_module(network, {})
    batch = random_batch(made.settings, modality)
    if kind is MelSpec:
        module.log_dict = lambda losses: None
        module.training_step(batch, 0).backward()
    else:
        sound, wanted = module.windows(batch)
        losses = module.spectral(sound, wanted)
        judged = module.discriminator(sound)
        sum([*losses.values(), *(scale[-1].square().mean() for scale in judged)]).backward()
    for name, value in module.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


@both
def test_one_clip_is_learnt_by_heart(kind, clips, tmp_path):
    settings = replace(
        TINY[kind], transfer="scratch", batch_size=2, crop_pictures=16, learning_rate=1e-2, max_steps=30
    )
    if kind is WaveGAN:
        settings = replace(settings, window_pictures=16, adversarial_weight=0.0)
    made = kind(settings)
    log = made.fit(enrolment(clips)[:1], trainer(tmp_path, max_steps=30, log_every=1))
    losses = list(logged(tmp_path, "mel_l1" if kind is MelSpec else "stft").values())
    assert log.steps == 30
    assert np.mean(losses[-5:]) < (0.4 if kind is MelSpec else 0.6) * losses[0]


def test_the_discriminators_begin_when_it_is_time_and_learn(clips, tmp_path):
    made = WaveGAN(replace(TINY[WaveGAN], transfer="scratch", adversarial_after=0.1, discriminator_scales=1))
    modules = []
    original = made.new_module
    made.new_module = lambda *given: modules.append(original(*given)) or modules[-1]
    made.fit(training(clips), trainer(tmp_path, log_every=1))
    assert list(logged(tmp_path, "loss")) == [1, 2, 3, 4]
    for name in ("adversarial", "feature", "discriminator_real", "discriminator_made"):
        assert list(logged(tmp_path, name)) == [3, 4]
    (module,) = modules
    assert len(module.discriminator.scales) == 1
    assert all(value.requires_grad for value in module.discriminator.parameters())
    with seeded(0):
        fresh = WaveGANModule(made.new_network("video"), made.settings, {})
    assert module.discriminator.state_dict().keys() == fresh.discriminator.state_dict().keys()


def test_what_a_window_makes_is_what_the_whole_crop_would():
    """Away from the ends of the context, where the decoder sees less."""
    made = WaveGAN(replace(TINY[WaveGAN], units=1, factors=(8, 5, 4)))
    module = made.new_module(made.network, {}).eval()
    batch = random_batch(made.settings, "video")
    with torch.no_grad():
        part, wanted = module.windows(batch)
        whole = made.network(batch)
    samples = made.settings.samples
    assert part.shape == (3, 6 * samples)
    torch.testing.assert_close(part, whole[:, 2 * samples : 8 * samples], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(wanted, (2 * batch.sound[:, 2 * samples : 8 * samples]).clamp(-1, 1))


# --- time


def flashes(count: int = 25, shown: tuple[int, ...] = (4, 12, 19)) -> np.ndarray:
    opening = np.zeros(count)
    opening[list(shown)] = 1.0
    return opening


def clapped(folder: Path) -> Clip:
    """A film of a mouth that is open in three pictures, with a clap in the middle of each."""
    opening = flashes()
    film, sound = folder / "clap.mkv", folder / "clap.flac"
    write_video(film, Video(pictures("ada", opening), FPS))
    write_truth(film, len(opening))
    samples = 1e-4 * np.random.default_rng(0).standard_normal(RATE)
    for picture in np.flatnonzero(opening):
        samples[picture * 640 + 280 : picture * 640 + 360] += 0.4 * np.hanning(80)
    write_audio(sound, Audio(samples.astype(np.float32), RATE))
    return Clip("clap", "ada", audio=str(sound), video=str(film))


@both
def test_claps_and_flashes_fall_into_the_same_rows_of_the_data(kind, tmp_path):
    settings = replace(TINY[kind], flip=False, crop=TINY[kind].mouth, crop_pictures=25)
    (clip,) = film_clips([clapped(tmp_path)])
    known = {"ada": {"other": np.ones(256, np.float32)}}
    data = talking_clips([clip], known, settings, trainer(tmp_path / "training"))
    batch = data.batch(0, 0, 1)
    dark = -batch.pictures[0].float().mean(dim=(1, 2)).numpy()
    loud = batch.sound[0].view(25, -1).square().sum(dim=1).numpy()
    bright = batch.mel[0].view(25, -1).sum(dim=1).numpy()
    shown = np.flatnonzero(flashes()).tolist()
    for row in (dark, loud, bright):
        assert sorted(row.argsort()[-3:].tolist()) == shown
        lags = [np.corrcoef(np.roll(row, -lag), flashes())[0, 1] for lag in range(-3, 4)]
        assert int(np.argmax(lags)) - 3 == 0


@both
def test_sound_begins_and_ends_with_the_film(trained, clips, kind):
    made, _ = trained[kind, "scratch"]
    audio = made.convert(trial(clips)).audio
    assert audio.rate == RATE
    assert audio.samples.size == PICTURES * 640


@both
@pytest.mark.parametrize("count", [74, 75])
def test_clips_of_grid_with_74_and_75_pictures_are_heard_to_the_end(trained, kind, count, tmp_path):
    clip = write_clip(tmp_path, "ada", 5, count=count)
    made, _ = trained[kind, "scratch"]
    assert made.convert(Trial("x", clip, "ada")).audio.samples.size == count * 640


@pytest.mark.realdata
@both
@pytest.mark.parametrize("count", [74, 75])
def test_a_real_clip_of_grid_with_74_or_75_pictures_is_learned_from_and_heard(
    realdata, kind, count, tmp_path
):
    """Most clips of GRID have 75 pictures and some 74; the sound of both lasts 2.978 s."""
    folder = realdata / "c_talking_head" / "grid" / "s1"
    clips = [Clip(path.stem, "s1", audio=str(path), video=str(path)) for path in sorted(folder.glob("*.mpg"))]
    whole = read_video(clips[0].video)
    assert len(whole.frames) == 75
    path = tmp_path / "clip.mkv"
    write_video(path, Video(whole.frames[:count], whole.fps, whole.audio))
    clip = Clip("clip", "s1", audio=str(path), video=str(path))
    made = kind(replace(TINY[kind], transfer="scratch"))
    data = talking_clips(
        film_clips([clip]), {"s1": {"other": np.ones(256, np.float32)}}, made.settings, trainer(tmp_path)
    )
    ((learned,),) = data.people
    assert learned.mouths.shape == (count, 36, 36)
    assert learned.speech.sound.shape == (count, 640)
    end = round(min(count / FPS, whole.audio.seconds) * RATE)
    assert np.abs(learned.speech.sound.reshape(-1)[end + 1 :]).max(initial=0.0) == 0
    made.fit([clip, clips[1]], trainer(tmp_path / "training", max_steps=1))
    made.enroll("s1", [clips[1]])
    assert made.convert(Trial("x", clip, "s1")).audio.samples.size == count * 640


def test_a_spectrogram_becomes_sound_in_the_time_of_its_pictures():
    """Through the vocoder: a clap in picture 12 is heard in picture 12, to a millisecond."""
    made = MelSpec(v2a_melspec.TINY)
    samples = 1e-4 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    samples[12 * 640 + 240 : 12 * 640 + 400] += 0.4 * np.sin(np.arange(160)).astype(np.float32)
    speech = speech_by_pictures(samples, 25, FPS, made.settings.mel)
    heard = made.sound(torch.from_numpy(speech.mel).flatten(0, 1)).samples
    lags = range(-640, 641, 16)
    wide = [np.convolve(np.abs(x), np.ones(320), "same") for x in (heard, samples)]
    best = max(lags, key=lambda lag: float(np.dot(np.roll(wide[0], -lag), wide[1])))
    assert abs(best) <= 16


@both
@pytest.mark.parametrize("preset", ["tiny", "paper"])
@pytest.mark.parametrize("rate", [16000, 24000, 44100])
def test_clicks_at_known_times_come_to_the_network_at_those_times(kind, preset, rate, tmp_path):
    """From a file of any rate, through reading and resampling: the lag of the sound in a batch is 0, to a
    sample of the network's rate; that of the spectrogram is 0, to a frame."""
    settings = kind.spec.presets[preset]
    settings = replace(settings, mouth=36, crop=36, flip=False, crop_pictures=25, batch_size=1)
    (clip,) = film_clips([clapped(tmp_path)])
    moments = np.array([0.1875, 0.5, 0.78125])
    sound = np.zeros(rate, np.float32)
    sound[np.round(moments * rate).astype(int)] = 0.5
    write_audio(clip.audio, Audio(sound, rate))
    known = {"ada": {"other": np.ones(256, np.float32)}}
    batch = talking_clips([clip], known, settings, trainer(tmp_path / "training")).batch(0, 0, 1)
    heard = batch.sound[0].abs().numpy()
    wanted = np.zeros_like(heard)
    wanted[np.round(moments * settings.mel.rate).astype(int)] = 1.0
    lags = range(-settings.samples, settings.samples + 1)
    assert abs(max(lags, key=lambda lag: float(np.dot(np.roll(heard, -lag), wanted)))) <= 1
    # A frame is about its place: the loudest is that of the click, or its neighbour where it lies between.
    frames = batch.mel[0].sum(dim=1).numpy()
    for moment in moments:
        place = moment * settings.mel.frame_rate
        near = np.arange(max(0, int(place) - 8), int(place) + 9)
        assert abs(near[frames[near].argmax()] - place) <= 1


# --- what is seen and what is not


@both
def test_the_sound_of_a_film_is_never_read(trained, clips, kind, tmp_path):
    made, _ = trained[kind, "fine-tuned"]
    silent = trial(clips)
    film = Video(pictures("ada", openings(PICTURES, 2)), FPS)
    planted = tmp_path / "planted.mkv"
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, round(PICTURES / FPS * RATE)).astype(np.float32)
    write_video(planted, replace(film, audio=Audio(noise, RATE)))
    write_truth(planted, PICTURES)
    other = replace(silent.source, video=str(planted), audio=str(planted), sha256="other")
    answers = [
        made.convert(replace(silent, source=source, reference=reference)).audio.samples
        for source, reference in ((silent.source, silent.reference), (other, None))
    ]
    assert read_audio(planted).samples.size
    np.testing.assert_array_equal(*answers)


@both
def test_the_pictures_and_the_voice_make_the_sound(trained, clips, kind, tmp_path):
    made, _ = trained[kind, "scratch"]
    first = made.convert(trial(clips)).audio.samples
    lips = made.convert(Trial("x", write_clip(tmp_path, "ada", 9), "ada")).audio.samples
    made.voices["other"] = unit(np.arange(256.0))
    voice = made.convert(replace(trial(clips), target="other")).audio.samples
    assert not np.array_equal(first, lips)
    assert not np.array_equal(first, voice)


@both
def test_a_person_who_is_not_enrolled_and_a_clip_without_pictures_fail_their_trials(trained, clips, kind):
    made, _ = trained[kind, "scratch"]
    with pytest.raises(MediaError, match="nobody is not enrolled") as caught:
        made.convert(replace(trial(clips), target="nobody"))
    assert caught.value.status == "missing"
    heard = next(clip for clip in clips if clip.video is None)
    with pytest.raises(MediaError, match="no film"):
        made.convert(Trial("x", heard, "ada"))


def test_a_film_is_told_by_other_clips_of_its_person(clips, tmp_path):
    films = film_clips([clip for clip in training(clips) if clip.video])
    vectors = {
        name: {f"{name}{number}": np.full(256, index + number, np.float32) for number in range(2)}
        for index, name in ((10, "ada"), (20, "bruno"))
    }
    data = talking_clips(films, vectors, TINY[MelSpec], trainer(tmp_path))
    told = [[sorted(set(clip.identities[:, 0])) for clip in person] for person in data.people]
    assert told == [[[11.0], [10.0]], [[21.0], [20.0]]]


def test_every_person_is_shown_as_often():
    clip = TalkingClip(
        np.zeros((12, 36, 36), np.uint8),
        speech_by_pictures(np.ones(12 * 640, np.float32), 12, FPS, TINY[MelSpec].mel),
        np.ones((1, 256), np.float32),
    )
    quiet = replace(clip, identities=np.zeros((1, 256), np.float32))
    data = TalkingClips({"a": [clip] * 5, "b": [quiet]}, TINY[MelSpec], 0, "")
    drawn = torch.cat([data.batch(step, 0, 1).identity[:, 0] for step in range(60)])
    assert 40 < drawn.sum() < 80
    assert torch.equal(data.batch(7, 0, 1).pictures, data.batch(7, 0, 1).pictures)


# --- identity


def test_a_voice_is_the_mean_of_its_clips_of_unit_length(clips):
    made = identity.SpeakerIdentity()
    own = enrolment(clips)
    voice = mean_identity(made, "ada", own)
    assert np.linalg.norm(voice) == pytest.approx(1.0)
    np.testing.assert_allclose(voice, unit(sum(made.vector(clip) for clip in own)), atol=1e-6)


def test_clips_that_cannot_be_used_are_left_out_of_an_enrolment_by_name(clips, tmp_path):
    own = enrolment(clips)
    lost = replace(own[0], id="lost", video=str(tmp_path / "gone.mkv"))
    made = FaceIdentity(TINY[MelSpec].face)
    with pytest.warns(LeftOutWarning, match="lost"):
        mean_identity(made, "ada", [lost, own[1]])
    with pytest.raises(InputError, match="ada cannot be enrolled"), pytest.warns(LeftOutWarning):
        mean_identity(made, "ada", [lost])


def test_faces_are_learned_kept_and_told_apart(clips, tmp_path):
    settings = replace(
        TINY[MelSpec], identity="face", transfer="scratch", face=replace(TINY[MelSpec].face, steps=100)
    )
    made = MelSpec(settings)
    made.fit(training(clips), trainer(tmp_path))
    for name in ("ada", "bruno"):
        made.enroll(name, enrolment(clips, name))
    held_out = {name: made.identity.vector(trial(clips, name).source) for name in ("ada", "bruno")}
    for name, other in (("ada", "bruno"), ("bruno", "ada")):
        assert held_out[name] @ made.voices[name] > held_out[name] @ made.voices[other]
    made.save(tmp_path / "saved")
    loaded = MelSpec.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.identity.vector(trial(clips).source), held_out["ada"])


def test_faces_of_one_person_tell_nobody_apart(clips, tmp_path):
    alone = [clip for clip in training(clips) if clip.speaker == "ada"]
    with pytest.raises(InputError, match="at least two people"):
        MelSpec(replace(TINY[MelSpec], identity="face", transfer="scratch")).fit(alone, trainer(tmp_path))


# --- as every system


@pytest.fixture(scope="module")
def material(tmp_path_factory, clips) -> Material:
    """What the contract asks for: somebody else's film of 10 s, and the films of the people."""
    folder = tmp_path_factory.mktemp("contract")
    long = write_clip(folder, "bruno", 7, count=250)
    return Material(folder, (replace(long, id="long"), *training(clips)))


@both
@pytest.mark.parametrize("name", CHECKS)
def test_the_system_keeps_the_contract(kind, name, material):
    checked = replace(material, folder=material.folder / kind.spec.name / name)
    checked.folder.mkdir(parents=True)
    CHECKS[name](lambda: kind(replace(TINY[kind], transfer="scratch")), checked)


@both
def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips, kind, tmp_path):
    made, _ = trained[kind, "frozen"]
    made.save(tmp_path)
    loaded = kind.load(tmp_path)
    loaded.enroll("ada", enrolment(clips))
    assert loaded.settings == made.settings
    answers = [item.convert(trial(clips)).audio.samples for item in (made, loaded)]
    np.testing.assert_array_equal(*answers)


@both
def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(kind, clips, tmp_path):
    found = []
    for folder, stops in (("whole", (4,)), ("parts", (2, 4))):
        for steps in stops:
            made = kind(replace(TINY[kind], transfer="scratch"))
            made.fit(training(clips), trainer(tmp_path / folder, max_steps=steps))
        found.append(torch.cat([value.flatten().double() for value in made.network.state_dict().values()]))
    assert torch.equal(*found)


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_of_a_system_are_refused_with_the_folder(tmp_path, damage):
    MelSpec(TINY[MelSpec]).save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        MelSpec.load(tmp_path)


def test_films_whose_sound_is_of_another_length_are_left_out(clips, tmp_path):
    long = tmp_path / "long.flac"
    write_audio(long, Audio(np.full(3 * RATE, 0.1, np.float32), RATE))
    films = enrolment(clips)
    wrong = replace(films[0], id="wrong", audio=str(long))
    made = MelSpec(replace(TINY[MelSpec], transfer="scratch"))
    with pytest.warns(LeftOutWarning, match="wrong"):
        made.fit([wrong, films[1]], trainer(tmp_path / "training"))
    with pytest.raises(InputError, match="none of the clips has pictures"):
        made.fit([clip for clip in clips if clip.video is None], trainer(tmp_path / "other"))


def test_an_autoencoder_says_what_it_hears_in_its_time(trained, clips):
    made, _ = trained[MelSpec, "fine-tuned"]
    network = autoencoder(trained, MelSpec)
    use_modality(network.decoder, "audio")
    heard = next(clip for clip in clips if clip.video is None)
    audio = made.reconstruct(network, heard)
    assert audio.seconds == pytest.approx(2.0)
    assert np.isfinite(audio.samples).all()


def test_the_systems_are_found_by_name():
    assert [find_system(name) for name in ("v2a-melspec", "v2a-wavegan")] == list(KINDS)
