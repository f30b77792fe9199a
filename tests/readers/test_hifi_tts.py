import json

import numpy as np
import pytest
from trees import cells, fields, forbid_opening_media, refuse, sizes, touch

from doppelbench.corpora.media import Audio, write_audio
from doppelbench.corpora.readers import read_corpus


def entry(path, seconds=1.0, **more):
    texts = {"text": "mister a", "text_no_preprocessing": "Mr. A.", "text_normalized": "Mister A."}
    return json.dumps({"audio_filepath": path, "duration": seconds, **texts, **more}) + "\n"


def hifi_tts(root):
    for reader, quality in ((92, "clean"), (6097, "clean"), (6097, "other")):
        for split, book in (("train", 1), ("train", 2), ("dev", 3), ("test", 4)):
            path = f"audio/{reader}_{quality}/{book}/story_01_0001.flac"
            touch(root / path)
            manifest = root / f"{reader}_manifest_{quality}_{split}.json"
            touch(manifest, (manifest.read_text() if manifest.exists() else "") + entry(path))
    return root


def test_hifi_tts_follows_its_manifests_and_opens_no_audio(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("hifi-tts", hifi_tts(tmp_path))
    assert sizes(corpus) == {"train": 6, "dev": 3, "test": 3}
    assert corpus.speakers == ["6097", "92"]
    assert fields(corpus, "id", "speaker", "style", "split", "text")[-1] == (
        "92_clean_2_story_01_0001",
        "92",
        "clean",
        "train",
        "Mister A.",
    )
    assert cells(corpus, "seconds") == [1.0] * 12
    assert len(read_corpus("hifi-tts", tmp_path, quality="other")) == 4
    assert read_corpus("hifi-tts", tmp_path, text="plain").clips()[0].text == "mister a"
    assert read_corpus("hifi-tts", tmp_path, text="original").clips()[0].text == "Mr. A."


def test_lengths_are_checked_when_asked(tmp_path):
    path = "audio/92_clean/1/a.flac"
    (tmp_path / path).parent.mkdir(parents=True)
    write_audio(tmp_path / path, Audio(np.zeros(8000, np.float32), 8000))
    manifest = touch(tmp_path / "92_manifest_clean_train.json", entry(path, 1.05))
    assert len(read_corpus("hifi-tts", tmp_path, check=True)) == 1
    touch(manifest, entry(path, 3))
    assert len(read_corpus("hifi-tts", tmp_path)) == 1
    refuse("hifi-tts", tmp_path, r"a\.flac: lasts 1\.00 s, not 3\.00 s", check=True)


GOOD = "audio/92_clean/3/story_01_0001.flac"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (entry(GOOD) + "{\n", r"92_manifest_clean_dev\.json:2: not a line of JSON"),
        ("[1]\n", r"dev\.json:1: expected an object with audio_filepath"),
        ('{"audio_filepath": "x.flac"}\n', r"dev\.json:1: .*duration is missing or wrong"),
        (entry(GOOD, "1.0"), r"dev\.json:1: .*duration is missing or wrong"),
        (entry(GOOD, text_normalized=None), r"dev\.json:1: .*text_normalized is missing or wrong"),
        (entry(GOOD) * 2, r"dev\.json:2: '92_clean_3_story_01_0001' was listed before"),
        (entry("audio/92_clean/9/x.flac"), r"dev\.json:1: .*9/x\.flac does not exist"),
        ("\n", r"dev\.json: the file is empty"),
    ],
)
def test_broken_manifests_are_named_by_line(tmp_path, content, message):
    touch(hifi_tts(tmp_path) / "92_manifest_clean_dev.json", content)
    refuse("hifi-tts", tmp_path, message)


def test_what_is_wrong_with_hifi_tts_is_said(tmp_path):
    refuse("hifi-tts", tmp_path / "nowhere", r"nowhere: there is no such folder; expected <reader>_manifest")
    touch(tmp_path / "settings.json", "{}")
    refuse("hifi-tts", tmp_path, "not the expected layout; expected <reader>_manifest")
    hifi_tts(tmp_path)
    refuse("hifi-tts", tmp_path, "quality is clean or other", quality="good")
    refuse("hifi-tts", tmp_path, "text is one of normalized, original, plain", text="raw")
    (tmp_path / "92_manifest_clean_dev.json").write_bytes(b'{"text": "caf\xe9"}\n')
    refuse("hifi-tts", tmp_path, r"92_manifest_clean_dev\.json:1: not UTF-8")
    touch(tmp_path / "92_manifest_clean_dev.json", entry("audio/92_clean/9/x.flac"))
    assert len(read_corpus("hifi-tts", tmp_path, skip_missing=True)) == 11
