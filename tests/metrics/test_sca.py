import numpy as np
import pytest
import soundfile
from metric_examples import speech_like

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.registry import metric
from doppelbench.metrics.sca import (
    ClassifierSettings,
    SpeakerClassifier,
    features,
    train_classifier,
    train_on_features,
)

SPEAKERS = ("anna", "bert", "cleo")


def clip_of(folder, speaker, number):
    path = folder / f"{speaker}-{number}.wav"
    voice = SPEAKERS.index(speaker)
    audio = speech_like(seed=100 * voice + number, voice=voice, pitch=100.0 + 50 * voice, seconds=1.0)
    soundfile.write(path, audio.samples, audio.rate)
    return Clip(id=path.stem, speaker=speaker, audio=str(path))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speakers")
    return [clip_of(folder, speaker, number) for speaker in SPEAKERS for number in range(12)]


@pytest.fixture(scope="module")
def classifier(clips):
    return train_classifier(clips, seed=3)


def test_unseen_utterances_are_given_to_their_speakers(classifier):
    for voice, speaker in enumerate(SPEAKERS):
        for seed in range(900, 905):
            audio = speech_like(seed=seed, voice=voice, pitch=100.0 + 50 * voice, seconds=1.0)
            scores = classifier.log_probabilities(audio)
            assert np.exp(scores).sum() == pytest.approx(1.0)
            assert classifier.speakers[scores.argmax()] == speaker


def test_training_is_decided_by_the_seed_alone(clips, classifier):
    np.random.seed(0)
    assert train_classifier(clips, seed=3).digest == classifier.digest
    assert train_classifier(clips, seed=4).digest != classifier.digest


def test_saved_classifier_loads_to_the_same_digest_and_scores(classifier, tmp_path):
    classifier.save(tmp_path / "classifier")
    loaded = SpeakerClassifier.load(tmp_path / "classifier")
    audio = speech_like(seed=77)
    assert loaded.digest == classifier.digest
    assert np.array_equal(loaded.log_probabilities(audio), classifier.log_probabilities(audio))
    assert (
        metric("sca", classifier=tmp_path / "classifier").signature
        == metric("sca", classifier=loaded).signature
    )


def test_digest_changes_with_a_weight_and_with_a_name(classifier):
    parts = {name: getattr(classifier, name) for name in ("mean", "scale", "weights", "bias", "training")}
    assert SpeakerClassifier(("anna", "bert", "dora"), **parts).digest != classifier.digest
    parts["bias"] = parts["bias"] + 1e-9
    assert SpeakerClassifier(SPEAKERS, **parts).digest != classifier.digest


def test_folder_without_a_classifier_and_tables_that_disagree_are_refused(classifier, tmp_path):
    with pytest.raises(InputError, match="holds no speaker classifier"):
        SpeakerClassifier.load(tmp_path)
    classifier.save(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"anna",', ""))
    with pytest.raises(InputError, match="'weights' has shape"):
        SpeakerClassifier.load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="holds no speaker classifier"):
        SpeakerClassifier.load(tmp_path)


def test_separable_features_are_learned_to_the_end_with_few_utterances():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(8, 242))
    labels = np.repeat(np.arange(8), 50)
    rows = centres[labels] + generator.normal(size=(400, 242))
    names = [f"s{label}" for label in labels]
    classifier = train_on_features(rows, names)
    fresh = centres[labels] + generator.normal(size=(400, 242))
    predicted = classifier.log_probabilities_of(fresh).argmax(axis=1)
    assert (predicted == labels).mean() > 0.99


def test_steps_are_those_of_adam_in_torch():
    import torch

    generator = np.random.default_rng(5)
    rows = generator.normal(size=(40, 242))
    labels = generator.integers(0, 3, size=40)
    settings = {"dropout": 0.0, "patience": 1000}
    trained = [
        train_on_features(
            rows, [f"s{label}" for label in labels], settings=ClassifierSettings(epochs=epochs, **settings)
        )
        for epochs in (0, 7)
    ]
    # The validation split is the first thing drawn.
    kept = np.random.default_rng(0).permutation(40)[4:]
    inputs = torch.tensor((rows - trained[0].mean) / trained[0].scale)[kept]
    layer = torch.nn.Linear(242, 3, dtype=torch.float64)
    layer.load_state_dict({"weight": torch.tensor(trained[0].weights), "bias": torch.tensor(trained[0].bias)})
    adam = torch.optim.Adam(layer.parameters(), lr=1e-3)
    for _ in range(7):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(layer(inputs), torch.tensor(labels[kept])).backward()
        adam.step()
    np.testing.assert_allclose(trained[1].weights, layer.weight.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(trained[1].bias, layer.bias.detach().numpy(), atol=1e-12)


def test_patience_stops_training_that_does_not_generalise():
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(400, 242))
    names = generator.choice(["a", "b"], size=400).tolist()
    last = train_on_features(rows, names)
    best = train_on_features(rows, names, settings=ClassifierSettings(keep="best"))
    assert last.training["stopped_early"]
    assert last.training["epochs_run"] < 60
    assert last.digest != best.digest


def test_level_of_the_recording_does_not_matter():
    audio = speech_like(seed=5)
    quiet = Audio(audio.samples * np.float32(0.05), audio.rate)
    np.testing.assert_allclose(features(quiet), features(audio), rtol=1e-3, atol=1e-3)


def test_one_speaker_or_a_clip_without_audio_cannot_train(clips, tmp_path):
    with pytest.raises(InputError, match="at least two speakers"):
        train_classifier(clips[:12])
    with pytest.raises(InputError, match="clip silent-film"):
        train_classifier([*clips, Clip(id="silent-film", speaker="anna")])
    with pytest.raises(MediaError, match="clip lost") as caught:
        train_classifier([*clips, Clip(id="lost", speaker="anna", audio=str(tmp_path / "lost.wav"))])
    assert caught.value.status == "missing"


def test_metric_without_a_classifier_says_how_to_get_one():
    with pytest.raises(InputError, match="train_classifier"):
        metric("sca")


def test_item_tells_what_was_heard_and_whether_it_is_the_source(classifier):
    scorer = metric("sca", classifier=classifier, sources={"a": "anna"})
    audio = speech_like(seed=901, voice=0, pitch=100.0, seconds=1.0)
    score = scorer.item(out=audio, clip=Clip(id="a", speaker="bert"))
    assert (score.value, score.stats["predicted"], score.stats["predicted_source"]) == (0.0, "anna", True)
    assert score.stats["probability"] == pytest.approx(np.exp(score.stats["log_probabilities"][1]))
    right = scorer.item(out=audio, clip=Clip(id="b", speaker="anna"))
    assert right.value == 1.0
    assert "source" not in right.stats


def test_unknown_target_is_no_wrong_answer(classifier):
    score = metric("sca", classifier=classifier).item(out=speech_like(), clip=Clip(id="a", speaker="zoe"))
    assert (score.value, score.status) == (None, "missing")


def test_figure_counts_confusions_and_the_most_predicted_speaker(classifier):
    scorer = metric("sca", classifier=classifier, sources={f"i{n}": "anna" for n in range(4)})
    items = []
    for number, target in enumerate(["anna", "bert", "cleo", "bert"]):
        voice = 0 if number < 3 else 1
        audio = speech_like(seed=910 + number, voice=voice, pitch=100.0 + 50 * voice, seconds=1.0)
        items.append(scorer.item(out=audio, clip=Clip(id=f"i{number}", speaker=target)))
    figure = scorer.reduce(items)
    assert figure.value == 50.0
    # Wilson's interval of 2 in 4.
    assert (figure.low, figure.high) == (pytest.approx(15.0, abs=0.1), pytest.approx(85.0, abs=0.1))
    assert figure.details["confusion"] == [
        ["anna", "anna", 1],
        ["bert", "anna", 1],
        ["bert", "bert", 1],
        ["cleo", "anna", 1],
    ]
    assert figure.details["most_predicted_share"] == 75.0
    assert figure.details["source_share"] == 75.0
    clustered = scorer.reduce(items, clusters=["x", "x", "y", "y"])
    assert (clustered.low, clustered.value, clustered.high) == (50.0, 50.0, 50.0)


@pytest.mark.realdata
def test_natural_speakers_of_vctk_are_told_apart_on_unseen_sentences(realdata):
    paths = sorted((realdata / "a_parallel" / "vctk").glob("*/*.wav"))
    rows = np.array([features(read_audio(path)) for path in paths])
    speakers = np.array([path.stem[:4] for path in paths])
    sentences = np.array([path.stem[5:] for path in paths])
    correct = 0
    for fold in range(5):
        tested = np.isin(sentences, np.unique(sentences)[fold::5])
        classifier = train_on_features(rows[~tested], speakers[~tested].tolist())
        predicted = classifier.log_probabilities_of(rows[tested]).argmax(axis=1)
        correct += (np.array(classifier.speakers)[predicted] == speakers[tested]).sum()
    # 97.5 % were measured on these 40 recordings with an independent implementation.
    assert correct / len(paths) >= 0.95
