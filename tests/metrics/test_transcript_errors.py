import numpy as np
import pytest
from metric_examples import speech_like

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.metric import ItemScore
from doppelbench.metrics.normalizers import normalizer
from doppelbench.metrics.recognizers import Recognizer
from doppelbench.metrics.registry import metric, metric_from_string


class Parrot(Recognizer):
    """Says what it was told to."""

    name = "parrot"
    signature = "parrot-1"

    def __init__(self, text):
        self.text = text

    def transcribe(self, audio, *, clip=None):
        return self.text


@pytest.mark.parametrize(
    ("reference", "transcript", "errors", "matches", "characters"),
    [
        ("x", "x x y y", 3 / 1, 3 / 4, 6 / 1),
        ("x y x", "x z", 2 / 3, 2 / 3, 3 / 5),
        ("x", "y z", 2 / 1, 1.0, 3 / 1),
        ("this is a test", "this test", 0.5, 0.5, 5 / 14),
    ],
)
def test_published_examples_of_jiwer(reference, transcript, errors, matches, characters):
    words = metric("wer", normalizer="none").compare(reference=reference, transcript=transcript)
    letters = metric("cer", normalizer="none").compare(reference=reference, transcript=transcript)
    aligned = metric("mer", normalizer="none").compare(reference=reference, transcript=transcript)
    assert words.value == pytest.approx(errors)
    assert aligned.value == pytest.approx(matches)
    assert letters.value == pytest.approx(characters)


def test_counts_and_both_texts_are_kept():
    score = metric("wer", normalizer="basic").compare(
        reference="Bin blue, at F!", transcript="bin blue by by f"
    )
    assert {name: score.stats[name] for name in ("hits", "substitutions", "deletions", "insertions")} == {
        "hits": 3,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 1,
    }
    assert score.stats["reference"] == "bin blue at f"
    assert score.stats["hypothesis"] == "bin blue by by f"


def test_white_space_and_composition_are_no_errors():
    for name in ("wer", "cer"):
        score = metric(name, normalizer="none").compare(
            reference="caf\u00e9\tau  lait", transcript=" cafe\u0301 au lait\n"
        )
        assert score.value == 0.0


@pytest.mark.parametrize("name", ["wer", "mer"])
def test_empty_transcript_is_all_deletions_and_flagged(name):
    score = metric(name, normalizer="none").compare(reference="a b c", transcript="")
    assert (score.value, score.stats["deletions"], score.stats["empty_hypothesis"]) == (1.0, 3, True)


def test_empty_reference_has_no_rate_but_its_insertions_are_pooled():
    scorer = metric("wer", normalizer="none")
    empty = scorer.compare(reference=" ", transcript="uh huh yes")
    assert (empty.value, empty.status, empty.stats["insertions"]) == (None, "no_speech", 3)
    figure = scorer.reduce(
        [empty, scorer.compare(reference="a b c d e f g h i j", transcript="a b c d e f g h i j")]
    )
    assert figure.value == pytest.approx(30.0)
    assert (figure.n, figure.expected, figure.details["empty_references"]) == (1, 2, 1)


def test_match_error_rate_pools_aligned_words_and_never_passes_a_hundred():
    scorer = metric("mer", normalizer="none")
    empty = scorer.compare(reference=" ", transcript="uh huh yes")
    assert (empty.value, empty.status, empty.stats["insertions"]) == (None, "no_speech", 3)
    right = scorer.compare(reference="a b c d e f g", transcript="a b c d e f g")
    # Three insertions over seven hits and three insertions; the word error rate would be 3 / 7.
    assert scorer.reduce([empty, right]).value == pytest.approx(30.0)
    assert scorer.paired_terms(empty) == (300.0, 3.0)
    wild = scorer.compare(reference="a", transcript="b c d e f")
    assert wild.value == 1.0
    assert scorer.reduce([wild, wild]).value == 100.0


@pytest.mark.parametrize("normalizer", ["whisper-english", "basic", "none"])
def test_every_rate_takes_every_normaliser_and_names_it(normalizer):
    rates = {}
    for name in ("wer", "mer", "cer"):
        scorer = metric(name, normalizer=normalizer)
        assert f"|nfkc+{normalizer}" in scorer.signature
        rates[name] = scorer.compare(reference="Colour, isn't it?", transcript="color is not it").value
    assert (rates == dict.fromkeys(rates, 0.0)) == (normalizer == "whisper-english")


def test_figure_is_pooled_and_the_mean_stands_beside_it():
    scorer = metric("wer", normalizer="none")
    good = scorer.compare(reference=" ".join("abcdefghi"), transcript=" ".join("abcdefghi"))
    bad = scorer.compare(reference="a", transcript="b")
    figure = scorer.reduce([good, bad])
    assert figure.value == pytest.approx(10.0)
    assert figure.details["mean_of_items"] == pytest.approx(50.0)


def test_failed_items_enter_neither_errors_nor_words():
    scorer = metric("wer", normalizer="none")
    good = scorer.compare(reference="a b", transcript="a c")
    figure = scorer.reduce([good, ItemScore.failed("crashed", "killed")])
    assert (figure.value, figure.n, figure.coverage) == (50.0, 1, 0.5)


def test_interval_resamples_clusters_of_utterances():
    scorer = metric("wer", normalizer="none")
    items = [scorer.compare(reference="a b", transcript=heard) for heard in ("a b", "a c", "x y", "a b")]
    figure = scorer.reduce(items, clusters=["s", "s", "t", "t"])
    assert (figure.low, figure.value, figure.high) == (25.0, 37.5, 50.0)
    with pytest.raises(ValueError, match="3 clusters for 4 items"):
        scorer.reduce(items, clusters=["s", "s", "t"])


def test_item_recognises_and_compares_with_the_words_of_the_clip():
    scorer = metric("wer", recognizer=Parrot("Thirty-six, isn't it?"))
    clip = Clip(id="a", speaker="x", text="36 is not it")
    assert scorer.item(out=speech_like(seconds=0.5), clip=clip).value == 0.0
    assert scorer.item(out=speech_like(seconds=0.5)).status == "missing"
    assert "parrot-1" in scorer.signature


def test_signature_follows_recogniser_and_normaliser(tmp_path):
    (tmp_path / "heard.json").write_text("{}")
    signatures = {
        metric_from_string(text).signature
        for text in (
            "wer:recognizer=pocketsphinx",
            "wer:recognizer=pocketsphinx-grid",
            "wer:recognizer=pocketsphinx-grid,normalizer=none",
            f"wer:recognizer=stored:{tmp_path / 'heard.json'}",
            "cer:recognizer=pocketsphinx",
        )
    }
    assert len(signatures) == 5


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "whisper-english",
            "Mr. Brown won't pay £20, um, at the theatre",
            "mister brown will not pay £20 at the theater",
        ),
        ("basic", "Grüße, Welt!", "grüße welt"),
        ("none", " A \u2003b\n", "A b"),
    ],
)
def test_normalisers(name, text, expected):
    assert normalizer(name)(text) == expected


def test_letter_o_and_zero_are_one_word_to_whisper_english_and_two_to_basic():
    for name, same in (("whisper-english", True), ("basic", False)):
        assert (normalizer(name)("by o now") == normalizer(name)("by zero now")) == same


def test_unknown_normaliser_is_named():
    with pytest.raises(InputError, match="no normaliser 'english'; known are whisper-english"):
        normalizer("english")


@pytest.mark.realdata
def test_arctic_sentence_has_no_errors(realdata):
    audio = read_audio(realdata / "a_parallel" / "cmu_arctic_slt" / "arctic_a0009.wav")
    clip = Clip(id="a0009", speaker="slt", text="He turned sharply, and faced Gregson across the table.")
    assert metric("wer").item(out=audio, clip=clip).value == 0.0


def test_what_is_heard_in_the_reference_takes_the_place_of_the_text():
    scorer = metric("wer_heard", recognizer=Parrot("bin blue"), normalizer="none")
    audio = Audio(np.full(16000, 0.1, dtype=np.float32), 16000)
    score = scorer.item(out=audio, ref=audio, clip=Clip(id="a", speaker="b", text="place green"))
    assert (score.value, score.stats["reference"]) == (0.0, "bin blue")


def test_stored_transcripts_know_nothing_of_the_reference(tmp_path):
    table = tmp_path / "heard.csv"
    table.write_text("id,text\na,bin blue\n")
    with pytest.raises(DoppelbenchError, match="natural recording"):
        metric("wer_heard", recognizer=f"stored:{table}")
