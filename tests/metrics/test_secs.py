import subprocess
import sys

import numpy as np
import pytest
from metric_examples import skip_without_backend, speech_like

from doppelbench.corpora.errors import DependencyError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics import secs
from doppelbench.metrics.registry import metric


@pytest.fixture
def scorer():
    return metric("secs")


@pytest.mark.parametrize("absent", ["resemblyzer", "webrtcvad"])
def test_absent_package_is_named_with_its_cure(monkeypatch, absent):
    present = secs.find_spec
    monkeypatch.setattr(secs, "find_spec", lambda name: None if name == absent else present(name))
    with pytest.raises(DependencyError, match=r"pip install Resemblyzer") as raised:
        metric("secs")
    assert raised.value.exit_code == 5


def test_words_and_length_do_not_need_to_match(scorer):
    score = scorer.item(out=speech_like(seed=1, seconds=3.0), ref=speech_like(seed=2, seconds=2.0))
    assert score.status == "ok"
    assert score.stats["speech_out"] > score.stats["speech_ref"]


def test_same_voice_is_nearer_than_another(scorer):
    ref = speech_like(seed=1, seconds=3.0)
    same = scorer.item(out=speech_like(seed=2, seconds=3.0), ref=ref).value
    other = scorer.item(out=speech_like(seed=2, seconds=3.0, voice=1, pitch=230.0), ref=ref).value
    assert same > other + 0.05


def test_order_of_the_signals_does_not_matter(scorer):
    first, second = speech_like(seed=1), speech_like(seed=2, voice=1)
    assert scorer.item(out=first, ref=second).value == scorer.item(out=second, ref=first).value


def test_leakage_tells_a_copy_of_the_source_from_another_voice():
    skip_without_backend("secs_source")
    leakage = metric("secs_source")
    source = speech_like(seed=1, seconds=3.0)
    copy = leakage.item(out=source, ref=source)
    converted = leakage.item(out=speech_like(seed=1, seconds=3.0, voice=1, pitch=230.0), ref=source)
    assert copy.value == pytest.approx(1.0)
    assert converted.value < copy.value - 0.05
    assert set(copy.stats) == {"speech_source", "speech_out"}
    assert leakage.spec.direction == "lower"
    assert leakage.spec.needs == {"source"}


def test_messages_name_the_source():
    skip_without_backend("secs_source")
    out = speech_like(seed=1)
    absent = metric("secs_source").item(out=out)
    assert (absent.status, absent.reason) == ("missing", "there is no source with sound")
    silent = metric("secs_source").item(out=out, ref=Audio(np.zeros(32000, np.float32), 16000))
    assert silent.status == "silent"
    assert silent.reason.startswith("the source is silent")


def test_a_signal_is_embedded_once(scorer, monkeypatch):
    encoder = secs._encoder()
    calls = []
    embed = encoder.embed_utterance
    monkeypatch.setattr(encoder, "embed_utterance", lambda speech: calls.append(0) or embed(speech))
    ref = speech_like(seed=77)
    scores = [scorer.item(out=speech_like(seed=seed), ref=ref) for seed in (78, 79, 78)]
    scores.append(metric("secs_source").item(out=speech_like(seed=78), ref=ref))
    assert len(calls) == 3
    assert scores[0] == scores[2]
    assert scores[3].value == scores[0].value


def test_kept_embedding_cannot_be_changed(scorer):
    vector, _ = secs.speaker_embedding(speech_like(seed=1).samples.astype(np.float64), "output")
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1.0


def test_where_no_speech_is_found_there_is_no_number(scorer):
    click = np.zeros(32000, np.float32)
    click[16000:16040] = 0.5
    score = scorer.item(out=Audio(click, 16000), ref=speech_like(seed=1))
    assert (score.value, score.status) == (None, "no_speech")
    assert "in the output" in score.reason


def test_signature_has_the_hash_of_the_weights_and_loads_no_torch(scorer):
    code = (
        "import sys; from doppelbench.metrics import metric_from_string; "
        "print(metric_from_string('secs').signature, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [scorer.signature, "False"]
    assert "|resemblyzer-0.1.4-39373b86598f|" in scorer.signature


@pytest.mark.realdata
def test_speakers_are_told_apart_on_recorded_speech(realdata, scorer):
    folder = realdata / "a_parallel" / "vctk"
    clips = {
        name: [read_audio(folder / name / f"{name}_{n}.wav") for n in ("003", "008")]
        for name in ("p225", "p226", "p227")
    }
    same = [scorer.item(out=pair[0], ref=pair[1]).value for pair in clips.values()]
    different = [
        scorer.item(out=clips[first][0], ref=clips[second][1]).value
        for first in clips
        for second in clips
        if first != second
    ]
    assert min(same) > max(different)
