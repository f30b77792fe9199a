import json
import os

import numpy as np
import pytest
from metric_examples import speech_like

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, InputError, MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.recognizers import GRID_LETTERS, GRID_SLOTS, read_transcripts, recognizer

DIMENSIONS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 8,
    "n_audio_head": 1,
    "n_audio_layer": 1,
    "n_vocab": 51864,
    "n_text_ctx": 16,
    "n_text_state": 8,
    "n_text_head": 1,
    "n_text_layer": 1,
}


@pytest.fixture(scope="module")
def grid():
    return recognizer("pocketsphinx-grid")


def test_every_word_of_the_grid_grammar_is_in_the_dictionary(grid):
    for words in GRID_SLOTS.values():
        for word in words:
            assert grid._decoder.lookup_word(word), word
    assert sorted(set(GRID_LETTERS.values())) == sorted("abcdefghijklmnopqrstuvxyz")


def test_grid_transcripts_are_beginnings_of_grid_commands(grid):
    heard = [grid.transcribe(speech_like(seed=seed, seconds=2.5)).split() for seed in range(3)]
    assert any(heard)
    for words in heard:
        assert len(words) <= 6
        for word, slot in zip(words, GRID_SLOTS, strict=False):
            assert GRID_LETTERS.get(word, word) in {GRID_LETTERS.get(w, w) for w in GRID_SLOTS[slot]}


def test_transcripts_do_not_depend_on_what_was_heard_before(grid):
    clips = [speech_like(seed=seed, voice=seed % 3, seconds=2.0, noise_db=-25.0) for seed in range(6)]
    forwards = [grid.transcribe(audio) for audio in clips]
    backwards = [grid.transcribe(audio) for audio in reversed(clips)]
    fresh = [recognizer("pocketsphinx-grid").transcribe(audio) for audio in clips]
    assert forwards == backwards[::-1] == fresh


def test_level_does_not_matter(grid):
    audio = speech_like(seed=2, seconds=2.0)
    quiet = Audio(audio.samples * np.float32(0.01), audio.rate)
    assert grid.transcribe(quiet) == grid.transcribe(audio)


def test_silence_is_an_error_and_no_empty_transcript(grid):
    with pytest.raises(MediaError) as caught:
        grid.transcribe(Audio(np.zeros(16000, np.float32), 16000))
    assert caught.value.status == "silent"


def test_unknown_recognizer_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="no recogniser 'sphinx'; known are pocketsphinx"):
        recognizer("sphinx")


def test_a_recognizer_passes_through(grid):
    assert recognizer(grid) is grid


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,text\na,bin blue\nb,\n"),
        ("t.csv", "\ufefftext,id\nbin blue,a\n,b\n"),
        ("t.json", json.dumps({"a": "bin blue", "b": ""})),
        ("t.trn", "bin blue (a)\n\n(b)\n"),
    ],
)
def test_stored_transcripts_are_found_by_id(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    stored = recognizer(f"stored:{tmp_path / name}")
    audio = speech_like(seconds=0.2)
    assert stored.transcribe(audio, clip=Clip(id="a", speaker="x")) == "bin blue"
    assert stored.transcribe(audio, clip=Clip(id="b", speaker="x")) == ""
    with pytest.raises(MediaError, match="no transcript of c") as caught:
        stored.transcribe(audio, clip=Clip(id="c", speaker="x"))
    assert caught.value.status == "missing"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "id,words\na,bin\n", "missing: .'text'."),
        ("t.csv", "id,text\na,bin\na,lay\n", "two transcripts of a"),
        ("t.json", '{"a": "x", "a": "y"}', "two transcripts of a"),
        ("t.json", "[1]", "one JSON object"),
        ("t.json", "{", "not JSON"),
        ("t.trn", "bin blue (a)\nlay green\n", "line 2: not of the form"),
        ("t.txt", "", "end in .csv, .json or .trn"),
    ],
)
def test_broken_tables_are_refused_with_the_reason(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_transcripts(tmp_path / name)


def test_signature_of_stored_transcripts_follows_their_content(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('{"a": "bin"}')
    first = recognizer(f"stored:{path}").signature
    path.write_text('{"a": "lay"}')
    assert recognizer(f"stored:{path}").signature != first


def test_missing_whisper_checkpoint_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DependencyError, match="doppelbench prefetch whisper:tiny"):
        recognizer("whisper:tiny.en")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    import torch
    from whisper.model import ModelDimensions, Whisper

    path = tmp_path_factory.mktemp("whisper") / "random.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Whisper(ModelDimensions(**DIMENSIONS))
    torch.save({"dims": DIMENSIONS, "model_state_dict": model.state_dict()}, path)
    return path


def test_whisper_checkpoint_is_read_and_decoded_alike_each_time(checkpoint):
    audio = speech_like(seed=1, seconds=1.0)
    first = recognizer(f"whisper:{checkpoint}")
    text = first.transcribe(audio)
    assert isinstance(text, str)
    assert recognizer(f"whisper:{checkpoint}").transcribe(audio) == text == first.transcribe(audio)
    assert "random-" in first.signature
    assert "greedy-t0" in first.signature


def test_whisper_checkpoint_in_the_cache_is_found_by_size(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "whisper").mkdir()
    os.link(checkpoint, tmp_path / "whisper" / "tiny.en.pt")
    assert recognizer("whisper:tiny.en").name == "whisper:tiny.en"


def test_code_in_a_whisper_checkpoint_is_never_run(tmp_path):
    import torch

    flag = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return (open, (str(flag), "w"))

    torch.save({"dims": Payload(), "model_state_dict": {}}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="not a whisper checkpoint"):
        recognizer(f"whisper:{tmp_path / 'evil.pt'}").transcribe(speech_like(seconds=1.0))
    assert not flag.exists()


@pytest.mark.realdata
def test_pocketsphinx_reads_an_arctic_sentence(realdata):
    audio = read_audio(realdata / "a_parallel" / "cmu_arctic_slt" / "arctic_a0009.wav")
    heard = recognizer("pocketsphinx").transcribe(audio)
    assert heard == "he turned sharply and faced gregson across the table"


@pytest.mark.realdata
def test_grammar_reads_grid_commands(realdata):
    import av

    words = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
    right = total = 0
    grid = recognizer("pocketsphinx-grid")
    for path in sorted((realdata / "c_talking_head" / "grid" / "s1").glob("*.mpg"))[:10]:
        with av.open(str(path)) as container:
            rate = container.streams.audio[0].rate
            frames = [frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]
        audio = Audio(np.concatenate(frames).astype(np.float32) / 32768, rate)
        said = path.with_suffix(".align").read_text().split()[2::3]
        said = [word for word in said if word not in ("sil", "sp")]
        assert words[path.stem[0]] == said[0]
        heard = grid.transcribe(audio).split()
        right += sum(a == b for a, b in zip(heard, said, strict=False))
        total += len(said)
    assert right / total > 0.9
