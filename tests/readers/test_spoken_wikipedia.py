import json

import pytest
from trees import fields, forbid_opening_media, refuse, split_of, touch

from doppelbench.corpora.readers import read_corpus
from doppelbench.corpora.readers.spoken_wikipedia import read_pieces


def word(text, start=None, end=None):
    times = "" if start is None else f' start="{start}" end="{end}"'
    return f'<t>{text}<n pronunciation="{text.lower()}"{times}/></t>'


def article(*sentences, reader="Ann"):
    prop = f'<prop key="reader.name" value="{reader}"/>' if reader else ""
    body = "".join(f"<s>{sentence}</s>" for sentence in sentences)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<article><meta>{prop}</meta>\n<d><section level="1">'
        f"<sectiontitle>{word('History', 500, 1900)}</sectiontitle>"
        f"<sectioncontent><p>{body}</p></sectioncontent></section></d></article>\n"
    )


PLAIN = (
    word("Bees", 2000, 2500) + "<t>,</t>" + word("mostly", 2600, 3100) + word("fly", 3200, 3900) + "<t>.</t>"
)


def test_clips_are_the_aligned_stretches_of_sentences(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    broken = word("One", 4000, 5500) + word("lost") + word("Two", 6000, 6400) + word("three", 6500, 8000)
    touch(tmp_path / "Bees/aligned.swc", article(PLAIN, broken, word("Short", 9000, 9400)))
    touch(tmp_path / "Bees/audio.ogg")
    corpus = read_corpus("spoken-wikipedia", tmp_path)
    assert fields(corpus, "id", "speaker", "text", "start", "end", "style") == [
        ("Bees_0000", "Ann", "history", 0.5, 1.9, "Bees"),
        ("Bees_0001", "Ann", "bees mostly fly", 2.0, 3.9, "Bees"),
        ("Bees_0002", "Ann", "one", 4.0, 5.5, "Bees"),
        ("Bees_0003", "Ann", "two three", 6.0, 8.0, "Bees"),
    ]
    assert fields(read_corpus("spoken-wikipedia", tmp_path, max_seconds=1.6), "text") == [
        ("history",),
        ("one",),
    ]
    assert len(read_corpus("spoken-wikipedia", tmp_path / "Bees", min_seconds=0)) == 5


def test_a_word_of_several_spoken_ones_is_read_in_full(tmp_path):
    times = (("nineteen", 0, 600), ("ten", 700, 1100))
    spoken = "".join(f'<n pronunciation="{text}" start="{start}" end="{end}"/>' for text, start, end in times)
    path = touch(tmp_path / "aligned.swc", article(f"<t>1910{spoken}</t>"))
    assert read_pieces(path)[1][1] == ("nineteen ten", 0.0, 1.1)


def test_speakers_are_kept_apart_and_unnamed_ones_are_one_an_article(tmp_path):
    for number in range(10):
        for part in "ab":
            touch(tmp_path / f"T{number}{part}/aligned.swc", article(PLAIN, reader=f"Reader {number}"))
            touch(tmp_path / f"T{number}{part}/audio.ogg")
    touch(tmp_path / "Unnamed/aligned.swc", article(PLAIN, reader=None))
    touch(tmp_path / "Unnamed/audio.ogg")
    corpus = read_corpus("spoken-wikipedia", tmp_path)
    splits = split_of(corpus, "speaker")
    assert "Unnamed" in splits
    assert len(splits) == 11
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "dev", "test"}


def test_times_of_several_files_are_theirs(tmp_path):
    later = word("Later", 100500, 102000)
    across = word("Across", 99000, 101000)
    touch(tmp_path / "Bees/aligned.swc", article(PLAIN, across, later))
    for number in (1, 2):
        touch(tmp_path / f"Bees/audio{number}.ogg")
    touch(tmp_path / "Bees/info.json", json.dumps({"audio_files": [{"offset": 0}, {"offset": 100.0}]}))
    clips = read_corpus("spoken-wikipedia", tmp_path).clips()
    assert [(clip.text, clip.start, clip.end) for clip in clips] == [
        ("history", 0.5, 1.9),
        ("bees mostly fly", 2.0, 3.9),
        ("later", 0.5, 2.0),
    ]
    assert [clip.audio.rpartition("/")[2] for clip in clips] == ["audio1.ogg", "audio1.ogg", "audio2.ogg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<article>\n<d>\n<s></d></article>", r"aligned\.swc:3: not an annotation in XML"),
        ("", r"aligned\.swc:1: not an annotation in XML"),
        (article(word("Bees", "soon", 900)), r"aligned\.swc: 'bees' goes from 'soon' to '900'"),
        (article(word("Bees", -5, 900)), r"aligned\.swc: 'bees' goes from '-5' to '900'"),
        (article(word("Bees", 900, 900)).replace("History", "x").replace("1900", "500"), "name no clip"),
    ],
)
def test_broken_annotations_are_named(tmp_path, content, message):
    touch(tmp_path / "Bees/aligned.swc", content)
    touch(tmp_path / "Bees/audio.ogg")
    refuse("spoken-wikipedia", tmp_path, message)


def test_an_annotation_in_another_encoding_than_it_says_is_named_by_line(tmp_path):
    touch(tmp_path / "Bees/audio.ogg")
    (tmp_path / "Bees/aligned.swc").write_bytes(article(word("caf\u00e9", 0, 2000)).encode("latin-1"))
    refuse("spoken-wikipedia", tmp_path, r"aligned\.swc:3: not an annotation in XML")


def test_entities_that_grow_without_end_are_refused(tmp_path):
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "lol lol lol lol">{levels}]><article><d><s>&e9;</s></d></article>'
    touch(tmp_path / "Bees/aligned.swc", bomb)
    touch(tmp_path / "Bees/audio.ogg")
    refuse("spoken-wikipedia", tmp_path, r"aligned\.swc:1: not an annotation in XML")


def test_what_is_wrong_with_spoken_wikipedia_is_said(tmp_path):
    refuse("spoken-wikipedia", tmp_path / "nowhere", r"nowhere: there is no such folder; expected <article>/")
    touch(tmp_path / "Bees/audio.ogg")
    refuse("spoken-wikipedia", tmp_path, "not the expected layout; expected <article>/")
    touch(tmp_path / "Ants/aligned.swc", article(PLAIN))
    refuse("spoken-wikipedia", tmp_path, r"Ants/aligned\.swc: .*Ants/audio\.ogg does not exist")
    touch(tmp_path / "Bees/aligned.swc", article(PLAIN))
    assert len(read_corpus("spoken-wikipedia", tmp_path, skip_missing=True)) == 2
    for number in (1, 2):
        touch(tmp_path / f"Ants/audio{number}.ogg")
    refuse("spoken-wikipedia", tmp_path, r"Ants/info\.json: cannot be read")
    for content in ("{", "[]", '{"audio_files": [{}, {}]}', '{"audio_files": [{"offset": "x"}]}'):
        touch(tmp_path / "Ants/info.json", content)
        refuse("spoken-wikipedia", tmp_path, r"Ants/info\.json: expected audio_files with an offset")
    touch(tmp_path / "Ants/info.json", '{"audio_files": [{"offset": 0}]}')
    refuse("spoken-wikipedia", tmp_path, r"Ants/info\.json: tells 1 offsets of 2 audio files")
