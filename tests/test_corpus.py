import hashlib

import numpy as np
import pandas as pd
import pytest

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus, normalize_text
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, Video, write_audio, write_video

RATE = 16000


def clip(name: str, **fields) -> Clip:
    return Clip(name, **({"speaker": name[0], "audio": f"{name}.wav"} | fields))


@pytest.fixture
def corpus() -> Corpus:
    clips = [
        clip("a1", text="One, two!", split="train", end=1.0, start=0.5),
        clip("a2", text="Three", split="test", end=2.0),
        clip("b1", text="three.", split="train", end=4.0),
        clip("b2", text="ONE TWO", split="dev", end=8.0, style="studio"),
        clip("c1", split="test", end=16.0),
    ]
    return Corpus.from_clips("letters", clips)


@pytest.fixture
def on_disk(tmp_path) -> Corpus:
    folder = tmp_path / "data"
    generator = np.random.default_rng(0)
    for name in ("a1", "a2", "b1"):
        write_audio(
            folder / f"{name}.wav", Audio(generator.uniform(-0.5, 0.5, RATE).astype(np.float32), RATE)
        )
    frames = generator.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    write_video(folder / "b2.mkv", Video(frames, 25.0))
    clips = [
        clip("a1", text="hello"),
        clip("a2", text="Ünï 'code'"),
        clip("b1", video="b2.mkv", split="test"),
        clip("b2", audio=None, video="b2.mkv"),
    ]
    return Corpus.from_clips("disk", clips, folder)


def ids(clips: list[Clip]) -> list[str]:
    return [item.id for item in clips]


def test_clips_come_back_as_they_were_given():
    clips = [
        Clip("x", "s", audio="x.wav"),
        Clip(
            "y",
            "t",
            video="y.mkv",
            text="text",
            style="room",
            split="dev",
            start=0.5,
            end=1.5,
            sha256="0" * 64,
        ),
    ]
    assert Corpus.from_clips("both", clips).clips() == clips


def test_paths_are_found_below_the_root_and_kept_relative_to_it(tmp_path):
    corpus = Corpus.from_clips(
        "rooted", [clip("a1"), clip("a2", audio=str(tmp_path / "sub/a2.wav"))], tmp_path
    )
    assert corpus.table["audio"].tolist() == ["a1.wav", "sub/a2.wav"]
    assert [item.audio for item in corpus.clips()] == [str(tmp_path / "a1.wav"), str(tmp_path / "sub/a2.wav")]


def test_filters_take_values_and_collections(corpus):
    assert ids(corpus.clips(split="train")) == ["a1", "b1"]
    assert ids(corpus.clips(speaker=["a", "c"], split={"test"})) == ["a2", "c1"]
    assert ids(corpus.clips(speaker=())) == []
    assert ids(corpus.clips(style=None)) == ["a1", "a2", "b1", "c1"]
    assert ids(corpus.clips(text=("Three", None))) == ["a2", "c1"]
    assert ids(corpus.clips(end=2.0)) == ["a2"]
    with pytest.raises(InputError, match="no column 'mood'"):
        corpus.clips(mood="good")


def test_further_columns_can_be_filtered_by(corpus):
    richer = Corpus("letters", corpus.table.assign(gender=list("FFMMF")))
    assert ids(richer.clips(gender="M")) == ["b1", "b2"]
    assert ids(richer.select(gender="M").clips(split="dev")) == ["b2"]


def test_speakers_are_sorted(corpus):
    assert corpus.speakers == ["a", "b", "c"]
    assert len(corpus) == 5


def test_parallel_clips_say_the_same_in_two_voices(corpus):
    pairs = [(first.id, second.id) for first, second in corpus.parallel()]
    assert pairs == [("a1", "b2"), ("a2", "b1")]
    assert [(x.id, y.id) for x, y in corpus.parallel("b", "a")] == [("b2", "a1"), ("b1", "a2")]
    assert corpus.parallel("a", "a") == []
    assert corpus.parallel("a", "c") == []
    assert corpus.parallel(split="train") == []


def test_takes_are_paired_in_order():
    clips = [clip(f"{speaker}{take}", text="zero") for speaker in "ab" for take in range(3)]
    pairs = Corpus.from_clips("digits", clips[:-1]).parallel("a", "b")
    assert [(x.id, y.id) for x, y in pairs] == [("a0", "b0"), ("a1", "b1")]


def test_parallel_refuses_one_name_and_strangers(corpus):
    with pytest.raises(InputError, match="both speakers"):
        corpus.parallel("a")
    with pytest.raises(InputError, match="no speaker 'z'"):
        corpus.parallel("a", "z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Please call Stella.", "please call stella"),
        ("  don't -- 'Stop'!\n", "don't stop"),
        ("Don\u2019t", "don't"),
        ("\ufb01ne CAFE\u0301", "fine café"),
        ("...", ""),
    ],
)
def test_texts_are_compared_without_case_and_punctuation(text, expected):
    assert normalize_text(text) == expected


def test_summary_adds_up(corpus):
    summary = corpus.summary()
    assert summary.loc["train"].tolist() == [2, 4.5, 2]
    assert summary.loc["dev"].tolist() == [1, 8, 1]
    assert summary.loc["test"].tolist() == [2, 18, 2]
    assert summary.loc["all"].tolist() == [5, 30.5, 3]


def test_summary_asks_the_files_for_their_length(on_disk):
    assert on_disk.summary().loc["all", "seconds"] == pytest.approx(1 + 1 + 1 + 2, abs=0.05)


def test_summary_names_a_missing_file(corpus):
    open_ended = Corpus("letters", corpus.table.assign(end=None))
    with pytest.raises(MediaError, match=r"a1\.wav"):
        open_ended.summary()


def test_summary_of_an_empty_corpus_is_zero():
    assert Corpus.from_clips("nothing", []).summary().loc["all"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (clip("a1"), "unique"),
        (clip("a2", split="validation"), "split"),
        (clip("a2/b"), "path separator"),
        (clip("a2\\b"), "path separator"),
        (clip(".."), "path separator"),
        (clip("a2", audio=None), "neither audio nor video"),
        (clip("a2", speaker=""), "no speaker"),
        (clip("a2", start=3.0, end=2.0), "start"),
        (clip("a2", start=-1.0), "start"),
    ],
)
def test_a_bad_row_is_named(second, reason):
    with pytest.raises(InputError, match=rf"corpus mine: row 2 .*{reason}"):
        Corpus.from_clips("mine", [clip("a1"), second])


def test_bad_tables_are_refused():
    with pytest.raises(InputError, match="no column 'speaker'"):
        Corpus("mine", pd.DataFrame({"id": ["x"], "audio": ["x.wav"]}))
    table = pd.DataFrame({"id": ["x"], "speaker": ["s"], "audio": ["x.wav"], "start": ["soon"]})
    with pytest.raises(InputError, match="row 1: start is 'soon'"):
        Corpus("mine", table)


def test_numbers_for_ids_and_speakers_become_text():
    clips = Corpus(
        "mine", pd.DataFrame({"id": [1, 2], "speaker": [19, 26], "audio": ["x.wav", "y.wav"]})
    ).clips()
    assert [(item.id, item.speaker, item.split) for item in clips] == [
        ("1", "19", "train"),
        ("2", "26", "train"),
    ]


def test_hashes_are_of_the_files(on_disk):
    hashed = on_disk.with_hashes(jobs=2)
    by_id = {item.id: item for item in hashed.clips()}
    content = {name: (on_disk.root / name).read_bytes() for name in ("a1.wav", "b1.wav", "b2.mkv")}
    digest = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    assert by_id["a1"].sha256 == digest["a1.wav"]
    assert by_id["b2"].sha256 == digest["b2.mkv"]
    assert by_id["b1"].sha256 == hashlib.sha256((digest["b1.wav"] + digest["b2.mkv"]).encode()).hexdigest()
    assert on_disk.clips()[0].sha256 is None


def test_hashing_names_the_first_five_missing_files():
    clips = [clip(f"a{number}") for number in range(8)]
    with pytest.raises(InputError, match=r"8 media file.*a0\.wav.*a4\.wav \.\.\.$"):
        Corpus.from_clips("gone", clips).with_hashes()


def test_a_manifest_brings_the_corpus_back(on_disk, tmp_path):
    on_disk.table["note"] = ["x", None, "y", "z"]
    on_disk.save(tmp_path / "lists/disk.parquet")
    back = Corpus.load(tmp_path / "lists/disk.parquet")
    assert back.name == "disk"
    assert back.clips() == on_disk.with_hashes().clips()
    assert ids(back.clips(note=None)) == ["a2"]
    assert back.corpus_hash == on_disk.with_hashes().corpus_hash
    pd.testing.assert_frame_equal(back.table, on_disk.with_hashes().table, check_dtype=False)


def test_a_manifest_moves_with_its_files(on_disk, tmp_path):
    on_disk.save(on_disk.root / "manifest.parquet")
    moved = tmp_path / "elsewhere"
    on_disk.root.rename(moved)
    assert Corpus.load(moved / "manifest.parquet").clips()[0].audio == str(moved / "a1.wav")
    (moved / "manifest.parquet").rename(tmp_path / "m.parquet")
    assert Corpus.load(tmp_path / "m.parquet", root=moved).clips()[0].audio == str(moved / "a1.wav")


def test_what_is_no_manifest_is_refused(tmp_path, corpus):
    with pytest.raises(InputError, match="no such manifest"):
        Corpus.load(tmp_path / "m.parquet")
    (tmp_path / "m.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(InputError, match="not a corpus manifest"):
        Corpus.load(tmp_path / "m.parquet")
    corpus.table.to_parquet(tmp_path / "m.parquet")
    with pytest.raises(InputError, match="not a corpus manifest"):
        Corpus.load(tmp_path / "m.parquet")


def test_a_changed_manifest_is_refused(on_disk, tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "m.parquet"
    on_disk.save(path)
    arrow = pq.read_table(path)
    column = arrow.column_names.index("text")
    changed = arrow.set_column(column, "text", arrow["speaker"])
    pq.write_table(changed.replace_schema_metadata(arrow.schema.metadata), path)
    with pytest.raises(InputError, match="do not match the hash"):
        Corpus.load(path)


def test_the_corpus_hash_follows_content_and_not_order_or_place(on_disk, tmp_path):
    hashed = on_disk.with_hashes()
    assert Corpus("other", hashed.table[::-1], tmp_path).corpus_hash == hashed.corpus_hash
    for column, value in (
        ("text", "x"),
        ("split", "dev"),
        ("speaker", "z"),
        ("start", 0.25),
        ("sha256", "0" * 64),
    ):
        changed = hashed.table.copy()
        changed.loc[0, column] = value
        assert Corpus("disk", changed).corpus_hash != hashed.corpus_hash
