"""VQ-VAE has the published sizes and rules, learns, and speaks as the speaker it is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from doppelbench.baselines.registry import find_system
from doppelbench.baselines.vq_vae import (
    PAPER,
    TINY,
    VQVAE,
    Codebook,
    SpeakerCrops,
    VQVAENetwork,
    VQVAESettings,
    code_usage,
    jitter_times,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.media import read_audio
from doppelbench.engine.trainer import TrainerSettings, seeded

WAVEFORM = replace(TINY, decoder="waveform", crop_frames=2, batch_size=2, max_steps=4)


def training(clips: list[Clip], speakers: tuple[str, ...] = ("ana", "ben")) -> list[Clip]:
    return [clip for clip in clips if clip.speaker in speakers and clip.split == "train"]


def trial(clips: list[Clip], target: str = "ana") -> Trial:
    source = next(clip for clip in clips if clip.speaker == "cleo" and clip.split == "test")
    return Trial(f"{source.id}_to_{target}", source, target)


def fitted(settings: VQVAESettings, clips: list[Clip], directory, **options) -> VQVAE:
    system = VQVAE(settings)
    steps = options.pop("max_steps", settings.max_steps)
    trainer = TrainerSettings(directory, max_steps=steps, device="cpu", log_every=1, **options)
    system.fit(training(clips), trainer)
    return system


def weights_of(system: VQVAE) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in system.network.state_dict().values()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, clips):
    directory = tmp_path_factory.mktemp("vq-vae")
    system = fitted(TINY, clips, directory, max_steps=60)
    system.save(directory)
    return system, directory


def test_networks_of_the_preset_paper_have_the_published_sizes():
    network = VQVAENetwork(PAPER, 102)
    sizes = [sum(value.numel() for value in part.parameters()) for part in (network.encoder, network.decoder)]
    assert sizes[0] / 1e6 == pytest.approx(7.91, abs=0.005)
    assert sizes[1] / 1e6 == pytest.approx(4.65, abs=0.005)
    assert network.codebook.codes.shape == (512, 64)


def test_the_preset_paper_gives_50_codes_a_second():
    vectors = VQVAENetwork(replace(TINY, mel=PAPER.mel), 1).encoder(torch.rand(1, 200, 80))
    assert vectors.shape[1] / (200 / PAPER.mel.frame_rate) == 50


def test_a_vector_is_replaced_by_its_nearest_code_and_the_gradient_passes():
    codebook = Codebook(replace(TINY, codes=4, code_size=2)).eval()
    codebook.codes.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]))
    vectors = torch.tensor([[[0.1, 0.1], [0.9, 0.2], [3.0, 4.0]]], requires_grad=True)
    quantized, commitment, chosen = codebook(vectors)
    assert chosen.tolist() == [[0, 1, 3]]
    torch.testing.assert_close(quantized[0], codebook.codes[[0, 1, 3]])
    assert commitment.item() == pytest.approx((0.01 + 0.01 + 0.01 + 0.04 + 4 + 1) / 6)
    quantized.sum().backward()
    torch.testing.assert_close(vectors.grad, torch.ones_like(vectors))


def test_codes_move_to_the_mean_of_what_is_assigned_to_them():
    codebook = Codebook(replace(TINY, codes=2, code_size=1, restart_below=0.0, decay=0.5)).train()
    codebook.codes.copy_(torch.tensor([[-1.0], [1.0]]))
    codebook.sums.copy_(codebook.codes)
    codebook.counts.fill_(1)
    vectors = torch.tensor([[[-3.0], [-2.0], [4.0], [6.0]]])
    for _ in range(40):
        codebook(vectors)
    torch.testing.assert_close(codebook.codes, torch.tensor([[-2.5], [5.0]]), atol=1e-3, rtol=0)
    before = codebook.codes.clone()
    codebook.eval()(vectors + 1)
    assert torch.equal(codebook.codes, before)


def test_codes_that_nothing_uses_are_put_where_the_vectors_are_when_asked():
    vectors = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(0)) + 100
    for threshold, distance in ((0.3, 1), (0.0, 50)):
        codebook = Codebook(replace(TINY, codes=3, code_size=2, restart_below=threshold, decay=0.999)).train()
        codebook(vectors)
        assert (torch.cdist(codebook.codes, vectors.flatten(0, 1)).min(1).values.max() < distance) == (
            threshold > 0
        )


def test_jitter_takes_neighbours_with_the_probability_it_is_given():
    torch.manual_seed(0)
    times = jitter_times(1000, 0.5, (50,), torch.device("cpu"))
    shift = (times - torch.arange(1000))[:, 1:-1]
    assert set(shift.unique().tolist()) == {-1, 0, 1}
    for value, share in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        assert (shift == value).float().mean().item() == pytest.approx(share, abs=0.01)
    assert times.min() >= 0
    assert times.max() <= 999
    assert torch.equal(jitter_times(9, 0.0, (1,), torch.device("cpu"))[0], torch.arange(9))


def test_jitter_is_for_training_alone():
    with seeded(0):
        network = VQVAENetwork(replace(TINY, jitter=0.9), 2)
    batch = torch.rand(1, 16, 80), torch.zeros(1, 3200), torch.tensor([0])
    network.train().losses(*batch)
    network.eval()
    first, second = (network.losses(*batch)[0].item() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("chosen", "used", "perplexity"), [([3, 3, 3], 1, 1), ([0, 1, 2, 3], 4, 4)])
def test_usage_counts_codes_and_their_perplexity(chosen, used, perplexity):
    found = code_usage(torch.tensor(chosen), 8)
    assert found == (used, pytest.approx(perplexity))


@pytest.mark.parametrize("settings", [TINY, WAVEFORM], ids=["mel", "waveform"])
def test_the_loss_reaches_every_parameter_and_falls_on_one_batch(settings):
    with seeded(0):
        network = VQVAENetwork(replace(settings, jitter=0.0), 2).train()
    generator = torch.Generator().manual_seed(0)
    frames = settings.crop_frames
    mel = torch.rand(4, frames, 80, generator=generator).mul(0.3).add(torch.linspace(0, 0.7, 80))
    sound = 0.3 * torch.sin(torch.arange(frames * 200) / 5)[None].repeat(4, 1)
    speakers = torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        reconstruction, commitment, _ = network.losses(mel, sound, speakers)
        optimizer.zero_grad()
        (reconstruction + settings.commitment * commitment).backward()
        optimizer.step()
        losses.append(reconstruction.item())
    for name, value in network.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name
    assert losses[-1] < 0.7 * losses[0]


def test_the_loop_of_the_waveform_decoder_sees_what_the_parallel_forward_pass_sees(monkeypatch):
    with seeded(3):
        decoder = VQVAENetwork(WAVEFORM, 2).decoder.eval()
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 256, (1, 1200), generator=generator)
    with torch.inference_mode():
        condition = decoder.condition(
            torch.rand(1, 3, TINY.code_size, generator=generator), torch.tensor([1])
        )
        previous = torch.nn.functional.pad(labels[:, :-1], (1, 0), value=128)
        expected = decoder(previous, condition)[0].numpy()
    uniforms = np.random.default_rng(0).random((1200, 2), dtype=np.float32)
    monkeypatch.setattr("doppelbench.baselines.vq_vae.CHUNK", 500)
    taken, scores = decoder.walk(condition[0], uniforms, labels[0].numpy())
    np.testing.assert_array_equal(taken, labels[0].numpy())
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    drawn, _ = decoder.walk(condition[0], uniforms)
    assert len(np.unique(drawn)) > 50


def test_training_lowers_the_loss_and_records_the_use_of_codes(trained):
    _, directory = trained
    rows = [line.split(",") for line in (directory / "log.csv").read_text().splitlines()[1:]]
    losses = [float(value) for _, name, value in rows if name == "reconstruction"]
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:3])
    used = [float(value) for _, name, value in rows if name == "used_codes"]
    assert 1 < used[-1] <= TINY.codes
    assert {"perplexity", "commitment"} <= {name for _, name, _ in rows}


def test_a_saved_system_answers_as_the_one_that_was_saved(trained, clips):
    system, directory = trained
    loaded = VQVAE.load(directory)
    assert (loaded.speakers, loaded.settings) == (["ana", "ben"], TINY)
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    np.testing.assert_array_equal(found.samples, expected.samples)
    source = read_audio(trial(clips).source.audio, rate=16000)
    assert abs(found.samples.size - source.samples.size) < TINY.mel.hop


def test_the_target_decides_what_is_heard(trained, clips):
    system, _ = trained
    ana, ben = (system.convert(trial(clips, name)).audio.samples for name in ("ana", "ben"))
    assert ana.shape == ben.shape
    assert (ana - ben).std() > 0.01 * ana.std()


@pytest.mark.parametrize("frames", [1, 2, 7, 30])
def test_any_number_of_frames_is_converted(trained, frames):
    mel = np.random.default_rng(frames).random((frames, 80), dtype=np.float32)
    converted = trained[0].convert_features(mel, "ben")
    assert converted.shape == mel.shape
    assert converted.min() >= 0
    assert converted.max() <= 1


def test_the_published_decoder_trains_and_speaks(clips, tmp_path):
    system = fitted(WAVEFORM, clips, tmp_path, max_steps=2)
    system.save(tmp_path)
    first, second = (each.convert(trial(clips)).audio for each in (system, VQVAE.load(tmp_path)))
    assert first.samples.size > 0
    assert np.isfinite(first.samples).all()
    np.testing.assert_array_equal(first.samples, second.samples)
    with pytest.raises(DoppelbenchError, match="waveform"):
        system.convert_features(np.zeros((4, 80), np.float32), "ana")


def test_a_resumed_training_ends_with_the_weights_of_one_that_was_not_stopped(clips, tmp_path):
    whole = fitted(TINY, clips, tmp_path / "whole", max_steps=6)
    fitted(TINY, clips, tmp_path / "parts", max_steps=3)
    resumed = fitted(TINY, clips, tmp_path / "parts", max_steps=6)
    assert torch.equal(weights_of(whole), weights_of(resumed))
    other = fitted(TINY, clips, tmp_path / "other", max_steps=6, seed=1)
    assert not torch.equal(weights_of(whole), weights_of(other))


def test_crops_of_features_and_samples_belong_together(clips, tmp_path):
    from dataclasses import asdict

    from doppelbench.baselines.common import speaker_recordings
    from doppelbench.baselines.vocoders.neural import sound_arrays
    from doppelbench.corpora.features import log_mel

    settings = replace(TINY, emphasis=0.0, mel=replace(TINY.mel, preemphasis=0.0))
    arguments = {"mel": asdict(settings.mel), "emphasis": 0.0}
    parts = [
        speaker_recordings(
            training(clips), sound_arrays, arguments, TrainerSettings(tmp_path), field=name, shortest=16
        )
        for name in ("mel", "sound")
    ]
    mel, sound, speakers = SpeakerCrops(*parts, settings, seed=0).batch(0, 0, 1)
    assert mel.shape == (4, 16, 80)
    assert set(speakers.tolist()) <= {0, 1}
    for features, samples in zip(mel, sound, strict=True):
        again = log_mel(samples.numpy(), settings.mel)[3:13]
        # A crop may run over the seam of two clips, so that not every frame need agree.
        assert np.median(np.abs(again - features.numpy()[3:13])) < 0.01


def test_an_unknown_target_is_a_failed_trial(trained, clips):
    with pytest.raises(MediaError, match=r"not trained on zoe; it knows ana, ben") as caught:
        trained[0].convert(trial(clips, "zoe"))
    assert caught.value.status == "missing"


def test_one_speaker_is_not_enough(clips, tmp_path):
    with pytest.raises(InputError, match="at least two speakers"):
        VQVAE(TINY).fit(training(clips, ("ana",)), TrainerSettings(tmp_path, max_steps=1))


@pytest.mark.parametrize("damage", ["weights.safetensors", "config.json"])
def test_damaged_files_are_refused_with_the_folder(trained, tmp_path, damage):
    trained[0].save(tmp_path)
    content = (tmp_path / damage).read_bytes()
    (tmp_path / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        VQVAE.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"), [("codes", 0), ("jitter", 1.0), ("crop_frames", 15), ("decoder", "lstm")]
)
def test_settings_that_no_network_can_have_are_refused(setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        VQVAESettings(**{setting: value})


def test_it_is_found_by_its_name_and_trained_on_the_speakers_of_the_trials():
    assert find_system("vq-vae") is VQVAE
    assert VQVAE.spec.needs == {"speakers"}
