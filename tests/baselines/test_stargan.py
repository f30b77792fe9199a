"""The StarGANs have the published sizes and losses, learn, resume exactly, and lack the released bugs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_corpus import TALKERS, speak

from doppelbench.baselines import stargan_vc, stargan_vc2
from doppelbench.baselines.common import LongRecording, clip_log_mel
from doppelbench.baselines.stargan_common import (
    AdversarialModule,
    ConditionalInstanceNorm,
    Normalization,
    PairBatch,
    PairedCrops,
    StarganSystem,
)
from doppelbench.baselines.stargan_vc import StarganVC, class_loss, gradient_penalty
from doppelbench.baselines.stargan_vc2 import StarganVC2
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.baselines.world_features import WorldSettings, analyze, clip_speech, synthesize
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.features import log_mel
from doppelbench.engine.trainer import TrainerSettings, seeded, train

SYSTEMS = {StarganVC: stargan_vc.TINY, StarganVC2: stargan_vc2.TINY}
KINDS = pytest.mark.parametrize("kind", SYSTEMS, ids=lambda kind: kind.spec.name)
SPEAKERS = ("ana", "ben", "cleo")


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def training(clips: list[Clip], speakers: tuple[str, ...] = SPEAKERS) -> list[Clip]:
    return [clip for clip in clips if clip.speaker in speakers and clip.split == "train"]


def trial(clips: list[Clip], speaker: str = "cleo", target: str = "ana") -> Trial:
    source = next(clip for clip in clips if clip.speaker == speaker and clip.split == "test")
    return Trial(f"{source.id}_to_{target}", source, target)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Callable[[object], Path]:
    """A folder by key whose features are shared, so that they are computed once."""
    features = tmp_path_factory.mktemp("features")

    def make(key: object) -> Path:
        directory = tmp_path_factory.mktemp(str(key))
        (directory / "features").symlink_to(features)
        return directory

    return make


@pytest.fixture(scope="module")
def trained(folder, clips) -> dict[type[StarganSystem], tuple[StarganSystem, Path]]:
    made = {}
    for kind, settings in SYSTEMS.items():
        directory = folder("trained")
        system = kind(settings)
        record = system.fit(training(clips), TrainerSettings(directory, max_steps=8, device="cpu"))
        assert record.steps == 8
        system.save(directory)
        made[kind] = (system, directory)
    return made


def new_module(kind: type[StarganSystem], speakers: int = 3, **changes: object) -> AdversarialModule:
    system = kind(replace(SYSTEMS[kind], **changes))
    with seeded(1):
        return system.new_module(system.new_conversion(speakers), speakers)


def some_batch(settings: stargan_vc.StarganVCSettings | stargan_vc2.StarganVC2Settings) -> PairBatch:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(6, 80, settings.crop_frames, generator=generator)
    return PairBatch(features, torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 2, 0, 2, 0, 1]))


def test_stargan_vc_has_the_size_of_the_authors_release():
    """The release has 0.57 M and 0.09 M values; the conditional norms of the decoder are added."""
    generator = stargan_vc.Generator(stargan_vc.PAPER, 4)
    added = sum(count(layer.norm) for layer in generator.decoder)
    # Convolutions with one magnitude for each output (input, for the transposed), biases, and the embedding.
    assert count(generator) - added == 569_568
    assert added == 4 * 4 * 4 * 64
    assert count(stargan_vc.Discriminator(stargan_vc.PAPER, 4)) == 90_400


def test_stargan_vc2_has_the_size_of_the_public_implementation_but_for_what_the_paper_has_otherwise():
    """8.71 M and 5.73 M values there, with 36 coefficients and four speakers."""
    generator = stargan_vc2.Generator(stargan_vc2.PAPER, 36, 4)
    transposed = 256 * 256 * 16 + 2 * 256 + 128 * 128 * 16 + 2 * 128
    last = 64 * 7 * 7
    # There a linear layer with a bias makes scale and shift of the target; here each speaker has a table.
    conditions = 9 * 2 * 512 * (4 + 1) - 9 * 2 * 512 * (4 + 4)
    others = count(generator) - count(generator.up) - count(generator.output)
    assert others + transposed + last + conditions == pytest.approx(8.71e6, abs=5e3)
    assert count(generator) == pytest.approx(15.61e6, abs=5e3)
    assert count(stargan_vc2.Discriminator(stargan_vc2.PAPER, 4)) == pytest.approx(5.73e6, abs=5e3)


@pytest.mark.parametrize("bands", [34, 36, 80])
def test_stargan_vc2_gives_as_many_bands_and_frames_as_it_gets(bands):
    generator = stargan_vc2.Generator(stargan_vc2.TINY, bands, 2)
    speaker = torch.zeros(1, dtype=torch.long)
    assert generator(torch.randn(1, bands, 20), speaker, speaker).shape == (1, bands, 20)


def test_a_conditional_instance_norm_has_the_statistics_of_its_speakers():
    norm = ConditionalInstanceNorm(4, 3, source=True)
    with torch.no_grad():
        norm.target.weight[1] = torch.tensor([2.0] * 4 + [5.0] * 4)
        norm.source.weight[2] = torch.tensor([1.0] * 4 + [-1.0] * 4)
    hidden = 7 + 3 * torch.randn(2, 4, 50)
    plain = norm(hidden, torch.tensor([0, 1]), torch.tensor([0, 2]))
    torch.testing.assert_close(plain.mean(2), torch.tensor([[0.0] * 4, [4.0] * 4]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        plain.std(2, correction=0), torch.tensor([[1.0] * 4, [3.0] * 4]), atol=1e-3, rtol=0
    )


def test_the_target_is_heard_in_the_first_layer_of_the_decoder():
    """In the release an embedding that is constant over time goes into a norm that takes its mean away."""
    with seeded(3):
        generator = stargan_vc.Generator(stargan_vc.TINY, 2).eval()
    layer = generator.decoder[0]
    with torch.no_grad():
        layer.norm.target.weight[1].mul_(1.5)
    hidden = torch.randn(1, stargan_vc.TINY.bottleneck, 40)
    embedded = generator.embedding(torch.tensor([0]))
    first, second = (layer(hidden, embedded, torch.tensor([speaker]))[..., 10:30] for speaker in (0, 1))
    assert (first - second).abs().mean() > 0.1 * first.abs().mean()
    other = layer(hidden, generator.embedding(torch.tensor([1])), torch.tensor([0]))[..., 10:30]
    # What the release relies on: far from the edges another embedding leaves only what the edges did.
    assert (first - other).abs().mean() < 0.1 * first.abs().mean()


@KINDS
def test_every_target_gets_another_conversion(kind):
    module = new_module(kind)
    batch = some_batch(SYSTEMS[kind])
    norms = [item for item in module.modules() if isinstance(item, ConditionalInstanceNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.target.weight.add_(0.3 * torch.randn_like(norm.target.weight))
        made = module.conversion.generator(batch.features, batch.target, batch.source)
        again = module.conversion.generator(batch.features, batch.source, batch.source)
    assert (made - again).abs().mean() > 0.02 * made.abs().mean()


def test_the_source_changes_what_stargan_vc2_makes_and_not_what_stargan_vc_makes():
    changed = {}
    for kind in SYSTEMS:
        module, batch = new_module(kind).eval(), some_batch(SYSTEMS[kind])
        norms = [item for item in module.modules() if isinstance(item, ConditionalInstanceNorm)]
        with torch.no_grad():
            for norm in norms:
                if norm.source is not None:
                    norm.source.weight.normal_()
            one = module.conversion.generator(batch.features, batch.target, batch.source)
            other = module.conversion.generator(batch.features, batch.target, batch.target)
        changed[kind] = not torch.equal(one, other)
    assert changed == {StarganVC: False, StarganVC2: True}


@KINDS
def test_each_loss_reaches_every_value_of_its_own_network(kind):
    module, batch = new_module(kind), some_batch(SYSTEMS[kind])
    for losses, network in (
        (module.generator_losses, module.conversion.generator),
        (module.discriminator_losses, module.discriminator),
    ):
        module.zero_grad()
        sum(losses(batch).values()).backward()
        silent = [
            name
            for name, value in network.named_parameters()
            if value.grad is None or not value.grad.abs().sum() > 0
        ]
        # An instance norm takes a bias of the convolution before it away again, so such a bias may rest.
        assert not [name for name in silent if not name.endswith("convolution.bias")]
    assert all(value.grad is None for value in module.conversion.generator.parameters())


def test_a_recording_is_real_as_the_outcome_of_a_conversion_to_its_speaker():
    """An earlier state of the public code asked whether it is a conversion from its speaker to another."""
    module, batch = new_module(StarganVC2), some_batch(stargan_vc2.TINY)
    asked = []
    module.discriminator.forward = lambda features, target, source: (
        asked.append((target, source)) or torch.zeros(len(features), requires_grad=True)
    )
    module.discriminator_losses(batch)
    module.generator_losses(batch)
    assert torch.equal(asked[0][0], batch.source)
    assert torch.equal(asked[0][1], batch.target)
    for target, source in asked[1:]:
        assert torch.equal(target, batch.target)
        assert torch.equal(source, batch.source)


@KINDS
def test_identity_asks_for_the_own_speaker_and_the_cycle_goes_to_the_target_and_back(kind):
    """An earlier state of the public code took the identity loss of a conversion to another speaker."""
    module, batch = new_module(kind), some_batch(SYSTEMS[kind])
    asked = []

    def generate(features, target, source=None):
        asked.append((target, source))
        return features + 1

    module.conversion.generator.forward = generate
    losses = module.generator_losses(batch)
    own, other = batch.source, batch.target
    if kind is StarganVC:
        wanted = [(own, None), (other, None), (own, None)]
    else:
        wanted = [(other, own), (own, other), (own, own)]
    assert len(asked) == len(wanted)
    for found, expected in zip(asked, wanted, strict=True):
        assert all(a is b for a, b in zip(found, expected, strict=True))
    assert float(losses["identity"]) == pytest.approx(1, rel=1e-5)
    assert float(losses["cycle"]) == pytest.approx(2, rel=1e-5)


def test_least_squares_ask_for_one_of_recordings_and_for_none_of_conversions():
    module, batch = new_module(StarganVC2), some_batch(stargan_vc2.TINY)
    module.discriminator.forward = lambda features, target, source: torch.full((len(features),), 0.25)
    judged = module.discriminator_losses(batch)
    assert float(judged["real"]) == pytest.approx(0.75**2)
    assert float(judged["fake"]) == pytest.approx(0.25**2)
    assert float(module.generator_losses(batch)["adversarial"]) == pytest.approx(0.75**2)


def test_the_identity_loss_ends_after_its_steps():
    module, batch = new_module(StarganVC2, identity_steps=3), some_batch(stargan_vc2.TINY)
    module.steps_done.fill_(2)
    assert "identity" in module.generator_losses(batch)
    module.steps_done.fill_(3)
    assert "identity" not in module.generator_losses(batch)


def test_the_class_loss_does_not_fall_with_the_number_of_speakers():
    """The release divides by the number of logits: ln(n) / n instead of ln(n) for a guess."""
    for speakers in (2, 8):
        loss = class_loss(torch.zeros(3, speakers, 5), torch.tensor([0, 1, 0]))
        assert float(loss) == pytest.approx(np.log(speakers), rel=1e-5)


def test_the_gradient_penalty_is_none_for_a_critic_of_slope_one():
    class Sloped(torch.nn.Module):
        """A linear critic whose gradient has a known norm."""

        def __init__(self, norm):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.full((1, 10, 8), norm / np.sqrt(80)))

        def forward(self, features):
            return (features * self.slope).sum(1, keepdim=True), None

    real, fake = torch.randn(4, 10, 8), torch.randn(4, 10, 8)
    assert gradient_penalty(Sloped(1.0), real, fake).item() == pytest.approx(0, abs=1e-6)
    assert gradient_penalty(Sloped(3.0), real, fake).item() == pytest.approx(4, rel=1e-4)


class Memory(LongRecording):
    """A recording that holds its arrays itself."""

    def __init__(self, array):
        self.parts, self.ends, self.key = [array], np.array([len(array)]), str(array.shape)


def test_batches_name_the_speaker_of_each_crop_and_another_target():
    settings = replace(stargan_vc2.TINY, batch_size=200)
    recordings = [Memory(np.full((50 + n, 80), n, np.float32)) for n in range(3)]
    features, source, target = PairedCrops(recordings, settings, 5).batch(7, 0, 1)
    assert torch.equal(features[:, 0, 0].long(), source)
    assert not (source == target).any()
    assert {(int(s), int(t)) for s, t in zip(source, target, strict=True)} == {
        (s, t) for s in range(3) for t in range(3) if s != t
    }
    again = PairedCrops(recordings, settings, 5).batch(7, 0, 1)
    assert all(torch.equal(a, b) for a, b in zip((features, source, target), again, strict=True))


@pytest.mark.parametrize("sets", [1, 2])
def test_normalised_features_have_mean_zero_and_deviation_one(sets):
    generator = np.random.default_rng(1)
    arrays = [generator.normal(n, n + 1, (400, 3)).astype(np.float32) for n in range(2)]
    norm = Normalization(sets, 3)
    norm.measure([Memory(array) for array in arrays])
    speakers = torch.tensor([0, 1])
    features = torch.from_numpy(np.stack(arrays))
    normalized = norm(features, speakers)
    torch.testing.assert_close(norm.inverse(normalized, speakers), features, atol=1e-5, rtol=1e-5)
    groups = normalized if sets == 2 else normalized.reshape(1, -1, 3)
    torch.testing.assert_close(groups.mean(1), torch.zeros(sets, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.std(1, correction=0), torch.ones(sets, 3), atol=1e-4, rtol=0)


@KINDS
def test_training_on_four_crops_lowers_the_cycle_loss_by_a_third(kind, tmp_path):
    module = new_module(kind, generator_rate=2e-3 if kind is StarganVC2 else 5e-3)
    spoken = [log_mel(speak(TALKERS[number % 3], f"crop {number}", 1.0)) for number in range(4)]
    module.conversion.normalization.measure([Memory(mel) for mel in spoken[:3]])
    crops = torch.from_numpy(np.stack([mel[20 : 20 + SYSTEMS[kind].crop_frames] for mel in spoken]))
    speakers = torch.tensor([0, 1, 2, 0])

    class Same:
        """The same four crops at every step."""

        def batch(self, step, rank, world):
            return crops, speakers, (speakers + 1) % 3

    def cycle_loss():
        with torch.no_grad():
            return float(module.generator_losses(module.normalized(Same().batch(0, 0, 1)))["cycle"])

    before = cycle_loss()
    train(module, Same(), TrainerSettings(tmp_path, max_steps=60, device="cpu", progress=False))
    assert cycle_loss() < 0.67 * before


@KINDS
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(kind, folder, clips):
    """Both networks and both optimisers: the discriminator is not saved, but steers the generator."""
    settings = replace(SYSTEMS[kind], **({"identity_steps": 5} if kind is StarganVC2 else {}))
    weights = []
    for stops in ((8,), (3, 8)):
        directory = folder("resume")
        for stop in stops:
            system = kind(settings)
            system.fit(training(clips), TrainerSettings(directory, max_steps=stop, device="cpu"))
        weights.append(torch.cat([value.flatten() for value in system.conversion.state_dict().values()]))
    assert torch.equal(*weights)


@KINDS
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind, folder, clips):
    weights = []
    for seed in (3, 3, 4):
        system = kind(SYSTEMS[kind])
        system.fit(training(clips), TrainerSettings(folder(seed), max_steps=2, device="cpu", seed=seed))
        weights.append(torch.cat([value.flatten() for value in system.conversion.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@KINDS
def test_a_saved_system_answers_as_the_one_that_was_saved(kind, trained, clips):
    system, directory = trained[kind]
    loaded = kind.load(directory)
    assert (loaded.speakers, loaded.settings) == (SPEAKERS, SYSTEMS[kind])
    expected, found = system.convert(trial(clips)).audio, loaded.convert(trial(clips)).audio
    np.testing.assert_array_equal(found.samples, expected.samples)
    frames = len(clip_log_mel(trial(clips).source, system.settings.mel))
    assert found.samples.size == (frames - 1) * system.settings.mel.hop


@KINDS
@pytest.mark.parametrize("frames", [1, 5, 8, 61])
def test_any_number_of_frames_is_converted(kind, trained, frames):
    system, _ = trained[kind]
    mel = np.random.default_rng(frames).random((frames, 80), dtype=np.float32)
    converted = system.convert_features(mel, 0, 1)
    assert converted.shape == mel.shape
    assert np.isfinite(converted).all()
    assert converted.min() >= 0
    assert converted.max() <= 1


@KINDS
def test_an_unknown_target_fails_the_trial_and_names_the_known(kind, trained, clips):
    system, _ = trained[kind]
    with pytest.raises(MediaError, match=r"target speaker zoë .* ana, ben, cleo") as caught:
        system.convert(trial(clips, target="zoë"))
    assert caught.value.status == "missing"


def test_an_unknown_source_fails_the_trial_only_where_the_source_must_be_named(trained, clips):
    system, _ = trained[StarganVC2]
    with pytest.raises(MediaError, match=r"source speaker zoë .* ana, ben, cleo") as caught:
        system.convert(trial(clips, speaker="zoë"))
    assert caught.value.status == "missing"
    assert trained[StarganVC][0].convert(trial(clips, speaker="zoë")).audio.samples.size > 0


@KINDS
def test_one_speaker_alone_is_refused(kind, folder, clips):
    with pytest.raises(InputError, match="at least two speakers"):
        kind(SYSTEMS[kind]).fit(training(clips, ("ana",)), TrainerSettings(folder("one"), max_steps=1))


@KINDS
def test_damaged_files_are_refused_with_the_folder(kind, trained, tmp_path):
    system, _ = trained[kind]
    system.save(tmp_path)
    content = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=str(tmp_path)):
        kind.load(tmp_path)


@KINDS
@pytest.mark.parametrize(
    ("setting", "value"),
    [("batch_size", 0), ("generator_rate", -1.0), ("crop_frames", 30), ("cycle_weight", -1.0)],
)
def test_settings_that_no_network_can_have_are_refused(kind, setting, value):
    with pytest.raises(DoppelbenchError, match=setting):
        replace(SYSTEMS[kind], **{setting: value})


@pytest.fixture(scope="module")
def on_cepstra(folder, clips) -> StarganVC2:
    """StarGAN-VC2 on the published features, of a tiny size."""
    system = StarganVC2(replace(stargan_vc2.TINY, features="mel-cepstrum"))
    one_each = [training(clips, (speaker,))[0] for speaker in ("ana", "ben")]
    system.fit(one_each, TrainerSettings(folder("cepstra"), max_steps=2, device="cpu"))
    return system


def test_the_published_features_keep_the_pitch_statistics_of_each_speaker(on_cepstra, tmp_path):
    """The talkers ana and ben speak around 210 and 110 Hz."""
    statistics = on_cepstra.pitched().log_pitch.mean.exp()[:, 0]
    np.testing.assert_allclose(statistics, [210, 110], rtol=0.1)
    pitch = np.array([0.0, 105.0, 110.0, 0.0, 116.0])
    converted = on_cepstra.pitched().convert_pitch(pitch, target=0, source=1)
    assert (converted[[0, 3]] == 0).all()
    assert converted[2] == pytest.approx(210, rel=0.15)
    back = on_cepstra.pitched().convert_pitch(converted, target=1, source=0)
    np.testing.assert_allclose(back, pitch, rtol=1e-5)


def test_a_conversion_on_the_published_features_is_saved_and_as_long_as_its_source(
    on_cepstra, clips, tmp_path
):
    on_cepstra.save(tmp_path)
    spoken = trial(clips, "ben", "ana")
    expected, found = on_cepstra.convert(spoken).audio, StarganVC2.load(tmp_path).convert(spoken).audio
    np.testing.assert_array_equal(found.samples, expected.samples)
    assert found.rate == 22050
    assert found.seconds == pytest.approx(1.2, abs=0.01)


def test_world_puts_together_what_it_took_apart(clips):
    """Envelope and pitch of the synthesis move as those of the recording."""
    settings = WorldSettings()
    speech = clip_speech(trial(clips, "ben").source, settings)
    assert speech.cepstrum.shape == (len(speech.pitch), 34)
    again = analyze(synthesize(speech, settings).samples, settings)
    frames = min(len(speech.pitch), len(again.pitch))
    inner = slice(10, frames - 10)
    for order in range(8):
        alike = np.corrcoef(speech.cepstrum[inner, order], again.cepstrum[inner, order])[0, 1]
        assert alike > 0.9
    voiced = (speech.pitch[:frames] > 0) & (again.pitch[:frames] > 0)
    np.testing.assert_allclose(
        np.median(again.pitch[:frames][voiced] / speech.pitch[:frames][voiced]), 1, atol=0.02
    )


def test_the_published_mel_of_speech_is_not_clipped_and_can_be_heard(clips):
    mel = stargan_vc.PAPER.mel
    features = clip_log_mel(trial(clips).source, mel)
    assert features.min() > 0
    assert features.max() < 1
    audio = GriffinLim(mel, GriffinLimSettings(iterations=8, inversion_steps=4))(features)
    again = log_mel(audio.samples, mel)
    assert np.abs(again - features)[5:-5].mean() < 0.05
