"""The exemplar paper's detector: 486 numbers on the statistics of an utterance, whose shares add up."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from detector_clips import fitted_both_ways, run_contract, separation, short_training, unseen, write_clips
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.detectors.audio_input import hear
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.serra_statistics import PAPER, TINY, SerraStatistics, feature_names
from doppelbench.metrics.sca import features


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[SerraStatistics, SerraStatistics]:
    return fitted_both_ways(lambda: SerraStatistics(TINY), tmp_path_factory.mktemp("serra"))


def test_it_has_486_parameters(both) -> None:
    found = both[0].classifier
    assert found is not None
    assert found.weights.size + found.bias.size == 486


def test_the_training_is_the_published_one() -> None:
    rules = PAPER.classifier
    assert (rules.learning_rate, rules.batch, rules.epochs, rules.patience) == (1e-3, 128, 200, 5)
    assert (rules.dropout, rules.validation_share, rules.keep) == (0.4, 0.1, "last")


def test_it_separates_recordings_it_never_heard(both) -> None:
    assert separation(both[0]) > 0


def test_the_contrary_labels_give_the_contrary_scores(both) -> None:
    assert separation(both[1]) < 0


@pytest.mark.parametrize("check", list(CHECKS))
def test_it_keeps_the_contract(check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    run_contract(check, lambda: SerraStatistics(TINY), tmp_path)


def test_the_score_is_the_difference_of_the_log_probabilities(both) -> None:
    audio = unseen()[0][0]
    found = both[0].classifier
    assert found is not None
    heard = Audio(hear(audio, TINY.input).samples, 16000)
    bonafide, spoof = found.log_probabilities(heard)
    assert both[0].score(audio) == pytest.approx(bonafide - spoof, abs=1e-5)


def test_it_agrees_with_another_linear_classifier_on_the_order_of_recordings(both, tmp_path) -> None:
    real, fake = write_clips(tmp_path)
    rows = np.array([features(read_audio(clip.audio)) for clip in (*real, *fake)])
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    other = LogisticRegression(max_iter=1000).fit((rows - mean) / scale, [1] * len(real) + [0] * len(fake))
    recordings = [*unseen()[0], *unseen()[1]]
    expected = other.decision_function([(features(audio) - mean) / scale for audio in recordings])
    found = [both[0].score(audio) for audio in recordings]
    assert np.corrcoef(expected, found)[0, 1] > 0.9


def test_the_shares_of_the_features_add_up_to_the_score(both) -> None:
    audio = unseen()[1][0]
    shares = both[0].contributions(audio)
    assert list(shares) == [*feature_names(), "bias"]
    assert len(set(feature_names())) == 242
    assert sum(shares.values()) == both[0].score(audio)


def test_without_loudness_coefficient_0_and_the_energy_have_no_share(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    detector = SerraStatistics(replace(TINY, loudness=False))
    detector.fit(real, fake, short_training(tmp_path))
    shares = detector.contributions(unseen()[0][0])
    silent = [f"{what} of {row}" for what in ("mean", "deviation") for row in ("coefficient 0", "energy")]
    assert [shares[name] for name in silent] == [0.0] * 4
    assert sum(value != 0 for value in shares.values()) == 239
    assert separation(detector) > 0


def test_the_ratio_of_the_classes_is_taken_off_the_score(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    detector = SerraStatistics(TINY)
    detector.fit(real[:2], fake, short_training(tmp_path))
    assert detector.prior == pytest.approx(np.log(2 / 8))
    detector.save(tmp_path / "saved")
    assert SerraStatistics.load(tmp_path / "saved").prior == detector.prior


def test_a_classifier_of_other_classes_is_refused(both, tmp_path) -> None:
    both[0].save(tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    save_file({**tensors, "bias": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="not those of two classes"):
        SerraStatistics.load(tmp_path)
