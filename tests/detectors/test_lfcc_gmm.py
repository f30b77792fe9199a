"""Mixtures of Gaussians agree with scikit-learn's; the detector has the published size and tells clips
apart."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from detector_clips import fitted_both_ways, run_contract, separation, short_training, unseen, write_clips
from safetensors.torch import load_file, save_file
from sklearn.mixture import GaussianMixture as OfScikitLearn

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.gaussian_mixture import GaussianMixture, fit_mixture
from doppelbench.detectors.lfcc_gmm import PAPER, TINY, LfccGmm

GENERATOR = np.random.default_rng(0)
FRAMES = torch.from_numpy(
    np.concatenate([GENERATOR.normal([0, 5], [1, 0.3], (700, 2)), GENERATOR.normal([4, -1], 2, (300, 2))])
)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[LfccGmm, LfccGmm]:
    return fitted_both_ways(lambda: LfccGmm(TINY), tmp_path_factory.mktemp("gmm"))


def start() -> GaussianMixture:
    means = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    return GaussianMixture(torch.full((3,), 1 / 3, dtype=torch.float64), means, torch.ones_like(means))


def test_expectation_maximisation_is_scikit_learns() -> None:
    mixture = start()
    for _ in range(7):
        mixture, _ = mixture.improved(FRAMES, torch.zeros(2, dtype=torch.float64))
    warnings.simplefilter("ignore")
    other = OfScikitLearn(
        3,
        covariance_type="diag",
        max_iter=7,
        tol=0,
        reg_covar=0,
        weights_init=start().weights.numpy(),
        means_init=start().means.numpy(),
        precisions_init=np.ones((3, 2)),
    ).fit(FRAMES.numpy())
    np.testing.assert_allclose(mixture.weights, other.weights_, rtol=1e-6)
    np.testing.assert_allclose(mixture.means, other.means_, rtol=1e-6)
    np.testing.assert_allclose(mixture.variances, other.covariances_, rtol=1e-6)
    np.testing.assert_allclose(mixture.log_likelihood(FRAMES), other.score_samples(FRAMES), rtol=1e-6)


def test_the_likelihood_never_falls_and_finds_the_two_clouds() -> None:
    mixture, likelihoods = fit_mixture(FRAMES, 2, iterations=30, seed=0)
    assert (np.diff(likelihoods) > -1e-9).all()
    order = mixture.means[:, 0].argsort()
    np.testing.assert_allclose(mixture.means[order], [[0, 5], [4, -1]], atol=0.4)
    np.testing.assert_allclose(mixture.weights[order], [0.7, 0.3], atol=0.03)


def test_one_gaussian_has_the_mean_and_the_variance_of_the_frames() -> None:
    mixture, _ = fit_mixture(FRAMES, 1, iterations=1, seed=0)
    torch.testing.assert_close(mixture.means[0], FRAMES.mean(dim=0))
    torch.testing.assert_close(mixture.variances[0], FRAMES.var(dim=0, correction=0))


def test_parts_give_the_same_as_all_frames_at_once() -> None:
    many = FRAMES.repeat(20, 1)
    one, _ = start().improved(FRAMES, torch.zeros(2, dtype=torch.float64))
    all_of_them, _ = start().improved(many, torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(one.means, all_of_them.means)
    torch.testing.assert_close(start().log_likelihood(many)[-1000:], start().log_likelihood(FRAMES))


def test_a_dimension_that_never_changes_leaves_the_density_finite() -> None:
    frames = torch.cat([FRAMES, torch.ones(1000, 1)], dim=1)
    mixture, likelihoods = fit_mixture(frames, 4, iterations=5, seed=0)
    assert np.isfinite(likelihoods).all()
    assert torch.isfinite(mixture.log_likelihood(frames)).all()


def test_the_published_mixtures_hold_123904_numbers() -> None:
    assert 2 * PAPER.components * (1 + 2 * PAPER.lfcc.width) == 123_904


def test_it_separates_recordings_it_never_heard(both) -> None:
    assert separation(both[0]) > 0


def test_the_contrary_labels_give_the_contrary_scores(both) -> None:
    real, fake = unseen()
    for audio in (*real, *fake):
        assert both[0].score(audio) == pytest.approx(-both[1].score(audio))


@pytest.mark.parametrize("check", list(CHECKS))
def test_it_keeps_the_contract(check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    run_contract(check, lambda: LfccGmm(TINY), tmp_path)


def test_the_shares_of_the_frames_add_up_to_the_score(both) -> None:
    audio = unseen()[0][0]
    found = both[0].explain(audio)
    assert found.frequencies is None
    assert found.relevance.sum() == pytest.approx(both[0].score(audio))


def test_the_muffled_half_of_a_recording_is_the_one_that_speaks_against_it(both) -> None:
    real, fake = unseen()
    half = real[0].samples.size // 2
    mixed = Audio(np.concatenate([real[0].samples[:half], fake[0].samples[half:]]), 16000)
    found = both[0].explain(mixed)
    late = found.times > half / 16000
    assert found.relevance[~late].sum() > 0 > found.relevance[late].sum()


def test_frames_beyond_the_most_are_drawn_from_the_seed(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    few = replace(TINY, most_frames=100)
    means = []
    for seed in (0, 0, 1):
        detector = LfccGmm(few)
        detector.fit(real, fake, short_training(tmp_path, seed=seed))
        means.append(detector.mixtures["spoof"].means)
    assert torch.equal(means[0], means[1])
    assert not torch.equal(means[0], means[2])


def test_fewer_frames_than_gaussians_are_refused(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    with pytest.raises(InputError, match="512 Gaussians need more"):
        LfccGmm(PAPER).fit(real[:1], fake[:1], short_training(tmp_path))


def test_a_mixture_of_another_size_is_refused(both, tmp_path) -> None:
    both[0].save(tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    save_file({**tensors, "spoof.means": torch.zeros(2, 60)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="the mixture of spoof is not one of 4"):
        LfccGmm.load(tmp_path)


@pytest.mark.realdata
def test_real_speech_is_ranked_above_its_own_copy_from_a_vocoder(realdata, tmp_path) -> None:
    folder = realdata / "d_real_fake" / "wavefake_ljspeech"
    real, fake = (
        [Clip(path.stem, "lj", audio=str(path)) for path in sorted((folder / side).glob("*.wav"))]
        for side in ("real", "fake")
    )
    settings = replace(PAPER, components=16, lfcc=replace(PAPER.lfcc, high_hz=8000.0))
    for left_out in range(2):
        detector = LfccGmm(settings)
        rest = [[clip for n, clip in enumerate(side) if n != left_out] for side in (real, fake)]
        detector.fit(*rest, short_training(tmp_path / str(left_out)))
        scores = [detector.score(read_audio(side[left_out].audio)) for side in (real, fake)]
        assert scores[0] > 0 > scores[1]
