import numpy as np
import pytest
from trees import cells, fields, forbid_opening_media, refuse, sizes, touch

from doppelbench.corpora.media import Audio, write_audio
from doppelbench.corpora.readers import read_corpus

HEADER = "client_id\tpath\tsentence_id\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
LENGTHS = "clip\tduration[ms]\n"


def line(person, name, sentence, gender=""):
    return f"{person}\t{name}.mp3\tx\t{sentence}\t2\t0\t\t{gender}\t\ten\t"


def table(*lines):
    return "\n".join([HEADER, *lines]) + "\n"


def common_voice(root):
    for name in ("a1", "a2", "b1", "c1", "c2", "d1"):
        touch(root / f"en/clips/cv_{name}.mp3")
    train = [line("ann", "cv_a1", '"Yes," she said.', "female_feminine"), line("ann", "cv_a2", "No")]
    touch(root / "en/train.tsv", table(*train))
    touch(root / "en/dev.tsv", table(line("bob", "cv_b1", "Third")))
    touch(root / "en/test.tsv", table(line("cyd", "cv_c1", "Fourth")))
    more = [line("cyd", "cv_c2", "Fifth"), line("dan", "cv_d1", "Sixth")]
    touch(root / "en/validated.tsv", table(*train, *more))
    return root


def test_common_voice_follows_its_tables_and_opens_no_audio(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("common-voice", common_voice(tmp_path))
    assert fields(corpus, "id", "speaker", "text", "split") == [
        ("cv_a1", "ann", '"Yes," she said.', "train"),
        ("cv_a2", "ann", "No", "train"),
        ("cv_b1", "bob", "Third", "dev"),
        ("cv_c1", "cyd", "Fourth", "test"),
    ]
    assert cells(corpus, "gender") == ["female_feminine", None, None, None]
    assert cells(corpus, "locale") == ["en"] * 4
    assert "age" not in corpus.table
    assert fields(read_corpus("common-voice", tmp_path / "en"), "id") == fields(corpus, "id")
    assert fields(read_corpus("common-voice", tmp_path, language="en"), "id") == fields(corpus, "id")


def test_validated_clips_of_speakers_who_are_held_out_stay_out(tmp_path):
    corpus = read_corpus("common-voice", common_voice(tmp_path), validated=True)
    assert sizes(corpus) == {"train": 3, "dev": 1, "test": 1}
    assert [clip.id for clip in corpus.clips(split="train")] == ["cv_a1", "cv_a2", "cv_d1"]


def test_names_without_a_suffix_are_mp3(tmp_path):
    touch(tmp_path / "clips/0af3.mp3")
    touch(tmp_path / "train.tsv", "client_id\tpath\tsentence\nann\t0af3\tHello\n")
    assert fields(read_corpus("common-voice", tmp_path), "id", "text") == [("0af3", "Hello")]


def test_lengths_come_from_the_table_and_are_checked_when_asked(tmp_path):
    folder = common_voice(tmp_path) / "en"
    for name in ("a1", "a2", "b1", "c1"):
        write_audio(folder / f"cv_{name}.wav", Audio(np.zeros(8000, np.float32), 8000))
        (folder / f"cv_{name}.wav").replace(folder / f"clips/cv_{name}.mp3")
    touch(folder / "clip_durations.tsv", LENGTHS + "cv_a1.mp3\t1000\ncv_b1.mp3\t1040\ncv_d1.mp3\t9000\n")
    corpus = read_corpus("common-voice", tmp_path, check=True)
    assert cells(corpus, "seconds") == [1.0, None, 1.04, None]
    touch(folder / "clip_durations.tsv", LENGTHS + "cv_a1.mp3\t1000\ncv_b1.mp3\t2000\n")
    refuse("common-voice", tmp_path, r"cv_b1\.mp3: lasts 1\.00 s, not 2\.00 s", check=True)
    assert cells(read_corpus("common-voice", tmp_path), "seconds")[2] == 2.0
    touch(folder / "clip_durations.tsv", LENGTHS + "cv_a1.mp3\tlong\n")
    refuse("common-voice", tmp_path, r"clip_durations\.tsv:2: expected a clip and its milliseconds")


def test_clips_that_are_not_there_are_told_by_line_or_left_out(tmp_path):
    common_voice(tmp_path)
    (tmp_path / "en/clips/cv_a2.mp3").unlink()
    refuse("common-voice", tmp_path, r"train\.tsv:3: .*cv_a2\.mp3 does not exist; skip_missing=true")
    assert len(read_corpus("common-voice", tmp_path, skip_missing=True)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "\nann\tcv_a1.mp3\n", r"train\.tsv:2: expected 11 fields divided by tabs, got 2"),
        ("client_id\tpath\nann\tcv_a1.mp3\n", r"train\.tsv:2: the table has no column sentence"),
        (table(line("", "cv_a1", "No")), r"train\.tsv:2: client_id is empty"),
        (
            table(line("ann", "cv_a1", "No"), line("ann", "cv_a1", "No")),
            r"train\.tsv:3: 'cv_a1' was listed before",
        ),
        (table(line("ann", "cv_b1", "No")), r"dev\.tsv:2: 'cv_b1' was listed before"),
        ("", r"train\.tsv: the file is empty"),
    ],
)
def test_broken_tables_are_named_by_line(tmp_path, content, message):
    touch(common_voice(tmp_path) / "en/train.tsv", content)
    refuse("common-voice", tmp_path, message)


def test_what_is_wrong_with_common_voice_is_said(tmp_path):
    refuse("common-voice", tmp_path / "nowhere", r"nowhere: there is no such folder; expected train\.tsv")
    refuse("common-voice", tmp_path, r"not the expected layout; expected train\.tsv")
    common_voice(tmp_path)
    refuse("common-voice", tmp_path, r"xx: there is no such folder", language="xx")
    (tmp_path / "en/dev.tsv").write_bytes(table(line("bob", "cv_b1", "caf\u00e9")).encode("latin-1"))
    refuse("common-voice", tmp_path, r"dev\.tsv:2: not UTF-8")
    (tmp_path / "fr/clips").mkdir(parents=True)
    refuse("common-voice", tmp_path, r"several languages \(en, fr\); pass language=")
