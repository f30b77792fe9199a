import pytest
from trees import cells, fields, refuse, sizes, split_of, touch

from doppelbench.corpora.readers import read_corpus

RECOMMENDED = (
    *(
        "08F",
        "09F",
        "15F",
        "18M",
        "25M",
        "28M",
        "33F",
        "34M",
        "36F",
        "41M",
        "44F",
        "45F",
        "49F",
        "54M",
        "55F",
    ),
    *("56M", "58F"),
)


def lipspeakers(root, sentences=40):
    for speaker in ("Lipspkr1", "Lipspkr2", "Lipspkr3"):
        for camera in ("straightcam", "30degcam"):
            folder = root / f"lipspeakers/{speaker}/Clips/{camera}"
            for number in range(sentences):
                touch(folder / f"si{number}.mp4")
    return root


def volunteers(root):
    for number in range(1, 60):
        for letter in "FM":
            touch(root / f"volunteers/{number:02d}{letter}/Clips/straightcam/sa1.mp4")
    return root


def test_no_sentence_of_the_lipspeakers_is_in_two_splits(tmp_path):
    corpus = read_corpus("tcd-timit", lipspeakers(volunteers(tmp_path)))
    assert corpus.speakers == ["Lipspkr1", "Lipspkr2", "Lipspkr3"]
    assert sizes(corpus) == {"train": 108, "dev": 6, "test": 6}
    table = corpus.table.assign(sentence=corpus.table["id"].str.split("_").str[1])
    assert (table.groupby("sentence")["split"].nunique() == 1).all()
    assert all(clip.video == clip.audio and "straightcam" in clip.video for clip in corpus.clips())
    other = read_corpus("tcd-timit", tmp_path, seed=1)
    assert cells(other, "split") != cells(corpus, "split")


def test_the_recommended_volunteers_are_test_and_no_other(tmp_path):
    corpus = read_corpus("tcd-timit", volunteers(tmp_path), protocol="volunteers")
    splits = split_of(corpus, "speaker")
    assert all(len(names) == 1 for names in splits.values())
    assert sorted(speaker for speaker, names in splits.items() if names == {"test"}) == list(RECOMMENDED)
    assert len(RECOMMENDED) == 17
    assert sizes(corpus)["dev"] == 10


def test_text_and_sound_come_from_the_files_beside_the_film(tmp_path):
    folder = tmp_path / "Lipspkr1/straightcam"
    for name in ("sa1.mp4", "sa1.wav", "sa2.mp4"):
        touch(folder / name)
    touch(folder / "sa1.txt", "0 46797 She had your dark suit.\n")
    touch(folder / "sa2.txt", "Don't ask me.\n")
    corpus = read_corpus("tcd-timit", tmp_path / "Lipspkr1")
    assert fields(corpus, "id", "speaker", "text", "style") == [
        ("Lipspkr1_sa1", "Lipspkr1", "She had your dark suit.", "straightcam"),
        ("Lipspkr1_sa2", "Lipspkr1", "Don't ask me.", "straightcam"),
    ]
    assert fields(corpus, "audio", "video") == [
        (str(folder / "sa1.wav"), str(folder / "sa1.mp4")),
        (str(folder / "sa2.mp4"), str(folder / "sa2.mp4")),
    ]


def test_the_view_can_be_chosen(tmp_path):
    corpus = read_corpus("tcd-timit", lipspeakers(tmp_path), camera="30degcam")
    assert len(corpus) == 120
    assert all("30degcam" in clip.video for clip in corpus.clips())


def test_what_is_wrong_with_tcd_timit_is_said(tmp_path):
    refuse("tcd-timit", tmp_path / "nowhere", r"nowhere: there is no such folder; expected lipspeakers/")
    lipspeakers(tmp_path, 2)
    refuse(
        "tcd-timit", tmp_path, "not the expected layout; expected clips of volunteers", protocol="volunteers"
    )
    refuse("tcd-timit", tmp_path, "in folders sidecam", camera="sidecam")
    refuse("tcd-timit", tmp_path, "lipspeakers or volunteers, not 'all'", protocol="all")
    folder = tmp_path / "lipspeakers/Lipspkr1/Clips/straightcam"
    (folder / "si1.txt").write_bytes(b"caf\xe9")
    refuse("tcd-timit", tmp_path, r"si1\.txt: not UTF-8")
    (folder / "si1.txt").unlink()
    touch(folder / "si1.mkv")
    refuse("tcd-timit", tmp_path, r"Lipspkr1_si1.*unique")


@pytest.mark.parametrize("name", ["grid", "lrw"])
def test_other_readers_do_not_take_it_for_theirs(tmp_path, name):
    refuse(name, lipspeakers(tmp_path, 1), "not the expected layout")
