import pytest
from trees import fields, forbid_opening_media, refuse, sizes, split_of, touch

from doppelbench.corpora.readers import read_corpus


def javanese(root, speakers=10):
    folder = root / "jv_id_female"
    lines = []
    for speaker in range(speakers):
        for take in range(2):
            name = f"jvf_{speaker:05d}_{take:010d}"
            touch(folder / f"wavs/{name}.wav")
            lines.append(f"{name}\tTembung {take}\n")
    touch(folder / "line_index.tsv", "".join(lines))
    return root


def test_speakers_of_a_line_index_are_kept_apart(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("openslr", javanese(tmp_path))
    assert fields(corpus, "id", "speaker", "text", "style")[1] == (
        "jvf_00000_0000000001",
        "jvf_00000",
        "Tembung 1",
        "jv_id_female",
    )
    assert sizes(corpus) == {"train": 16, "dev": 2, "test": 2}
    assert all(len(splits) == 1 for splits in split_of(corpus, "speaker").values())
    assert fields(read_corpus("openslr", tmp_path, seed=1), "split") != fields(corpus, "split")


def test_sentences_can_be_kept_apart_instead(tmp_path):
    corpus = read_corpus("openslr", javanese(tmp_path), split_by="sentence", fractions=(0.5, 0.0, 0.5))
    assert all(len(splits) == 1 for splits in split_of(corpus, "text").values())
    assert sizes(corpus) == {"train": 10, "test": 10}


def test_an_index_of_the_british_isles_keeps_commas_of_the_text(tmp_path):
    touch(tmp_path / "irish_english_male/irm_02484_00017124689.wav")
    index = "EN0001, irm_02484_00017124689, It is, in fact, late.\n"
    touch(tmp_path / "line_index_all.csv", index)
    assert fields(read_corpus("openslr", tmp_path), "speaker", "text") == [
        ("irm_02484", "It is, in fact, late.")
    ]
    touch(tmp_path / "irish_english_male/line_index.csv", index)
    assert fields(read_corpus("openslr", tmp_path), "style") == [("irish_english_male",)]


def test_an_index_with_speakers_is_read(tmp_path):
    touch(tmp_path / "asr_sinhala/data/00/0000183efd.flac")
    touch(tmp_path / "asr_sinhala/utt_spk_text.tsv", "0000183efd\tcdd3b\tකෝකටත් මං\n")
    assert fields(read_corpus("openslr", tmp_path), "id", "speaker", "text") == [
        ("0000183efd", "cdd3b", "කෝකටත් මං")
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("jvf_00000_0000000000\n", r"line_index\.tsv:1: expected id, text divided by tabs"),
        ("jvf_00000_0000000000 spaces only\n", r"line_index\.tsv:1: expected id, text divided by tabs"),
        ("\njvf_00000_0000000000\ta\tb\n", r"line_index\.tsv:2: expected id, text divided by tabs"),
        ("jvf_00000_0000000000\t \n", r"line_index\.tsv:1: expected id, text divided by tabs"),
        ("solo\thello\n", r"line_index\.tsv:1: 'solo' does not begin with a speaker"),
        ("jvf_00000_0000000000\ta\n" * 2, r"line_index\.tsv:2: 'jvf_00000_0000000000' was listed before"),
        ("jvf_00000_9\ta\n", r"line_index\.tsv:1: .*jvf_00000_9\.wav does not exist"),
    ],
)
def test_broken_indexes_are_named_by_line(tmp_path, content, message):
    touch(javanese(tmp_path) / "jv_id_female/line_index.tsv", content)
    refuse("openslr", tmp_path, message)


def test_what_is_wrong_with_openslr_is_said(tmp_path):
    refuse("openslr", tmp_path / "nowhere", r"nowhere: there is no such folder; expected line_index\.tsv")
    touch(tmp_path / "x.wav")
    refuse("openslr", tmp_path, r"not the expected layout; expected line_index\.tsv")
    index = javanese(tmp_path) / "jv_id_female/line_index.tsv"
    refuse("openslr", tmp_path, "split_by is speaker or sentence", split_by="line")
    good = index.read_bytes()
    index.write_bytes(good + "jvf_00000_5\tcaf\u00e9\n".encode("latin-1"))
    refuse("openslr", tmp_path, r"line_index\.tsv:21: not UTF-8")
    index.write_bytes(good + b"jvf_00000_5\tgone\n")
    assert len(read_corpus("openslr", tmp_path, skip_missing=True)) == 20
