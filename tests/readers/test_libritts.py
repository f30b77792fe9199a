import pytest
from trees import fields, forbid_opening_media, refuse, touch

from doppelbench.corpora.readers import read_corpus


def libritts(root):
    for subset, speaker in (("train-clean-100", 19), ("dev-other", 84), ("test-clean", 61)):
        folder = root / f"LibriTTS/{subset}/{speaker}/198"
        names = [f"{speaker}_198_000000_00000{number}" for number in range(2)]
        for name in names:
            touch(folder / f"{name}.wav")
        touch(folder / f"{speaker}_198.trans.tsv", "".join(f'{name}\tDr. "A\tDoctor "A\n' for name in names))
        touch(folder / f"{speaker}_198.book.tsv", "something else\n")
    return root


def test_libritts_follows_its_subsets_and_opens_no_audio(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("libritts", libritts(tmp_path))
    assert fields(corpus, "id", "speaker", "style", "split", "text")[::2] == [
        ("84_198_000000_000000", "84", "198", "dev", 'Doctor "A'),
        ("61_198_000000_000000", "61", "198", "test", 'Doctor "A'),
        ("19_198_000000_000000", "19", "198", "train", 'Doctor "A'),
    ]
    assert read_corpus("libritts", tmp_path, normalized=False).clips()[0].text == 'Dr. "A'


def test_texts_beside_the_clips_serve_where_no_list_names_them(tmp_path):
    folder = tmp_path / "LibriTTS_R/train-clean-100/19/198"
    for number in range(2):
        touch(folder / f"19_198_000000_00000{number}.wav")
    touch(folder / "19_198_000000_000000.normalized.txt", "Doctor A\n")
    touch(folder / "19_198_000000_000000.original.txt", "Dr. A\n")
    assert fields(read_corpus("libritts", tmp_path), "text") == [("Doctor A",), (None,)]
    assert fields(read_corpus("libritts", tmp_path, normalized=False), "text") == [("Dr. A",), (None,)]
    (folder / "19_198_000000_000000.normalized.txt").write_bytes(b"caf\xe9")
    refuse("libritts", tmp_path, r"19_198_000000_000000\.normalized\.txt: not UTF-8")


def test_speakers_folders_need_a_subset(tmp_path):
    touch(tmp_path / "mine/61/198/61_198_000000_000000.wav")
    refuse("libritts", tmp_path / "mine", "split=")
    assert fields(read_corpus("libritts", tmp_path / "mine", split="test"), "split") == [("test",)]
    refuse("libritts", tmp_path / "mine", "split is one of train, dev, test", split="valid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("61_198_000000_000000\tonly\n", r"61_198\.trans\.tsv:1: expected id, text and normalised text"),
        ("\nhello\ta\tb\n", r"61_198\.trans\.tsv:2: expected id, text and normalised text"),
        ("61_198_000000_000000\ta\tb\n" * 2, r"trans\.tsv:2: '61_198_000000_000000' was listed before"),
        ("61_198_000009_000000\ta\tb\n", r"trans\.tsv:1: .*61_198_000009_000000\.wav does not exist"),
    ],
)
def test_broken_lists_are_named_by_line(tmp_path, content, message):
    touch(libritts(tmp_path) / "LibriTTS/test-clean/61/198/61_198.trans.tsv", content)
    refuse("libritts", tmp_path, message)


def test_what_is_wrong_with_libritts_is_said(tmp_path):
    refuse("libritts", tmp_path / "nowhere", r"nowhere: there is no such folder; expected <subset>/")
    touch(tmp_path / "x.wav")
    refuse("libritts", tmp_path, "not the expected layout; expected <subset>/")
    script = libritts(tmp_path) / "LibriTTS/test-clean/61/198/61_198.trans.tsv"
    script.write_bytes(script.read_bytes() + b"61_198_000000_000001\tcaf\xe9\t\n")
    refuse("libritts", tmp_path, r"61_198\.trans\.tsv:3: not UTF-8")
    touch(script, "61_198_000009_000000\ta\tb\n")
    assert len(read_corpus("libritts", tmp_path, skip_missing=True)) == 6
    touch(tmp_path / "copy/test-clean/61/198/61_198_000000_000000.wav")
    refuse("libritts", tmp_path, r"'61_198_000000_000000' was listed before", skip_missing=True)
