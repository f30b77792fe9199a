from trees import cells, fields, refuse, sizes, touch

from doppelbench.corpora.readers import read_corpus

NOTES = (
    "Disk reference: 6086013840928617422\nChannel: BBC One HD\nProgram start: 2014-01-28 06:00:00 +0000\n"
    "Clip start: 8137.95 seconds\nDuration: 0.53 seconds\n"
)


def lrw(root):
    for word in ("ABOUT", "YEARS"):
        for split in ("train", "val", "test"):
            touch(root / f"lipread_mp4/{word}/{split}/{word}_00001.mp4")
            touch(root / f"lipread_mp4/{word}/{split}/{word}_00001.txt", NOTES)
    touch(root / "lipread_mp4/ABOUT/train/ABOUT_00002.mp4")
    return root


def test_lrw_follows_its_folders(tmp_path):
    corpus = read_corpus("lrw", lrw(tmp_path))
    assert fields(corpus, "id", "text", "split", "speaker")[:4] == [
        ("test_ABOUT_00001", "about", "test", "unknown"),
        ("train_ABOUT_00001", "about", "train", "unknown"),
        ("train_ABOUT_00002", "about", "train", "unknown"),
        ("val_ABOUT_00001", "about", "dev", "unknown"),
    ]
    assert sizes(corpus) == {"train": 3, "dev": 2, "test": 2}
    assert all(clip.audio == clip.video for clip in corpus.clips())
    assert "word_seconds" not in corpus.table
    assert fields(read_corpus("lrw", tmp_path / "lipread_mp4/YEARS"), "text") == [("years",)] * 3


def test_lengths_of_words_are_read_when_asked(tmp_path):
    root = lrw(tmp_path)
    touch(root / "lipread_mp4/ABOUT/train/ABOUT_00002.txt", "Duration: 1 second\n")
    corpus = read_corpus("lrw", root, durations=True)
    assert sorted(set(cells(corpus, "word_seconds"))) == [0.53, 1.0]


def test_what_is_wrong_with_lrw_is_said(tmp_path):
    refuse("lrw", tmp_path / "nowhere", r"nowhere: there is no such folder; expected <WORD>/")
    touch(tmp_path / "ABOUT/other/ABOUT_00001.mp4")
    refuse("lrw", tmp_path, "not the expected layout; expected <WORD>/")
    lrw(tmp_path)
    refuse("lrw", tmp_path, r"ABOUT_00002\.txt: cannot be read", durations=True)
    notes = touch(tmp_path / "lipread_mp4/ABOUT/train/ABOUT_00002.txt", "Duration: long\n")
    refuse("lrw", tmp_path, r"ABOUT_00002\.txt: there is no line such as 'Duration", durations=True)
    notes.write_bytes(b"Channel: Caf\xe9\n")
    refuse("lrw", tmp_path, r"ABOUT_00002\.txt:1: not UTF-8", durations=True)
    touch(tmp_path / "lipread_mp4/ABOUT/train/ABOUT_00002.avi")
    refuse("lrw", tmp_path, r"train_ABOUT_00002.*unique")
    touch(tmp_path / "lipread_mp4/YEARS/train/ABOUT_00007.mp4")
    refuse("lrw", tmp_path, r"YEARS/train/ABOUT_00007\.mp4: not named after its word, as in YEARS_00001\.mp4")
