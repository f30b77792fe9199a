import pytest
from trees import fields, touch

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import media_files, numbered_lines, raw_lines, tabbed_rows
from doppelbench.corpora.readers.listed import check_seconds, listed_corpus


def row(root, name, place="list:1", further=()):
    return place, Clip(name, "ann", audio=str(root / f"{name}.wav")), further


def test_a_list_gives_clips_with_further_columns(tmp_path):
    for name in "ab":
        touch(tmp_path / f"{name}.wav")
    rows = [row(tmp_path, "a", further=("x", None)), row(tmp_path, "b", further=(None, None))]
    corpus = listed_corpus("mine", rows, tmp_path, columns=("mood", "nothing"))
    assert fields(corpus, "id", "audio") == [
        ("a", str(tmp_path / "a.wav")),
        ("b", str(tmp_path / "b.wav")),
    ]
    assert [clip.id for clip in corpus.clips(mood="x")] == ["a"]
    assert "nothing" not in corpus.table
    assert corpus.table["audio"].tolist() == ["a.wav", "b.wav"]


def test_files_that_are_not_there_are_told_with_the_line_or_left_out(tmp_path):
    touch(tmp_path / "a.wav")
    rows = [row(tmp_path, name, f"list:{number}") for number, name in enumerate("abc", 1)]
    with pytest.raises(
        InputError, match=r"^list:2: .*b\.wav does not exist, nor do the files of 1 other clip"
    ):
        listed_corpus("mine", rows, tmp_path)
    assert fields(listed_corpus("mine", rows, tmp_path, skip_missing=True), "id") == [("a",)]
    with pytest.raises(InputError, match=r"list:2: .*b\.wav does not exist; no clip is left"):
        listed_corpus("mine", rows[1:], tmp_path, skip_missing=True)
    with pytest.raises(InputError, match="name no clip"):
        listed_corpus("mine", [], tmp_path)


def test_an_id_that_comes_twice_is_told_with_the_line(tmp_path):
    touch(tmp_path / "a.wav")
    with pytest.raises(InputError, match=r"^list:9: 'a' was listed before"):
        listed_corpus("mine", [row(tmp_path, "a"), row(tmp_path, "a", "list:9")], tmp_path)


def test_lengths_that_are_not_told_cannot_be_checked(tmp_path):
    touch(tmp_path / "a.wav")
    with pytest.raises(InputError, match="no lengths"):
        check_seconds(listed_corpus("mine", [row(tmp_path, "a")], tmp_path))


def test_a_line_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("caf\u00e9\n".encode() + b"caf\xe9\n")
    with pytest.raises(InputError, match=r"list\.txt:2: not UTF-8 text \(byte 0xe9\)"):
        list(numbered_lines(path))
    path.write_text("caf\u00e9\n", "utf-16")
    with pytest.raises(InputError, match=r"list\.txt:1: not UTF-8"):
        list(numbered_lines(path))


def test_lines_end_only_where_the_file_ends_them(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffone\u2028more\r\n\n  two\u0085 more  ".encode())
    assert list(numbered_lines(path)) == [
        (f"{path}:1", "one\u2028more"),
        (f"{path}:3", "two\u0085 more"),
    ]
    assert [line for _, line in raw_lines(path)] == ["one\u2028more", "", "  two\u0085 more  "]


def test_tables_keep_quotation_marks_and_empty_cells(tmp_path):
    path = touch(tmp_path / "t.tsv", 'a\tb\tc\n"x\ty"\t\n')
    assert list(tabbed_rows(path)) == [(f"{path}:2", {"a": '"x', "b": 'y"', "c": ""})]
    for content, message in (
        ("a\tb\n1\t2\n\n3\n", r"t\.tsv:4: expected 2 fields divided by tabs, got 1"),
        ("a\ta\n", r"t\.tsv:1: a column is named twice"),
        ("\n\n", "empty"),
    ):
        touch(path, content)
        with pytest.raises(InputError, match=message):
            list(tabbed_rows(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(tabbed_rows(tmp_path / "gone.tsv"))


def test_media_files_are_found_by_suffix_at_any_depth(tmp_path):
    for name in ("b/x.WAV", "a/deep/y.flac", "a/z.txt", "a/.hidden.wav", "c.wav"):
        touch(tmp_path / name)
    (tmp_path / "folder.wav").mkdir()
    found = media_files(tmp_path, frozenset({".wav", ".flac"}))
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a/deep/y.flac", "b/x.WAV", "c.wav"]
