"""Archives of strangers: what is packed is read, what is hostile is refused with its reason."""

import contextlib
import os
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from submission_examples import Entry, archive_of, copy_of, make_submission, zipped

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_files import FileLimits, name_problem, open_submission
from doppelbench.leaderboards.submission_pack import pack_submission, read_hashes, verify_submission


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_submission(tmp_path_factory.mktemp("submission") / "mine")


@pytest.fixture(scope="module")
def packed(folder: Path) -> bytes:
    pack_submission(folder, folder.parent / "mine.zip")
    return (folder.parent / "mine.zip").read_bytes()


def contents(path: Path, limits: FileLimits | None = None) -> dict[str, bytes]:
    with open_submission(path, limits or FileLimits()) as files:
        return {name: files.read(name, 1 << 24) for name in files.sizes}


def test_a_folder_and_its_archive_hold_the_same(folder: Path, tmp_path: Path) -> None:
    expected = contents(folder)
    assert set(expected) == {"submission.json", "trials.csv", *(f"outputs/t{n}.flac" for n in range(3))}
    assert contents(zipped(folder, tmp_path / "by-hand.zip")) == expected


def test_an_unpacked_file_lies_there_only_as_long_as_it_is_used(folder: Path, tmp_path: Path) -> None:
    with open_submission(zipped(folder, tmp_path / "a.zip")) as files:
        with files.place("outputs/t0.flac") as place:
            assert place.read_bytes() == (folder / "outputs/t0.flac").read_bytes()
        assert not place.exists()
    assert not place.parent.exists()


def test_the_same_folder_packs_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    other = copy_of(folder, tmp_path / "copy")
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    for extra in (".DS_Store", "notes.txt"):
        (other / extra).write_text("not part of it")
    (other / "inputs").mkdir()
    first = pack_submission(folder, tmp_path / "first.zip")
    second = pack_submission(other, tmp_path / "second.zip")
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    assert first.sha256 == second.sha256
    assert second.left_out == ("notes.txt",)


def test_a_packed_submission_is_one_for_every_program(folder: Path, packed: bytes) -> None:
    path = folder.parent / "mine.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        listed = read_hashes(archive.read("MANIFEST.sha256"), "it")
    assert sorted(names[1:]) == names[1:] == sorted(listed)
    assert verify_submission(path) == []


def test_packing_says_what_is_missing_and_refuses_an_empty_manifest(folder: Path, tmp_path: Path) -> None:
    other = copy_of(folder, tmp_path / "copy")
    (other / "outputs/t1.flac").unlink()
    assert pack_submission(other, tmp_path / "a.zip").missing == ("outputs/t1.flac",)
    (other / "submission.json").write_text("{}")
    with pytest.raises(InputError, match=r"schema_version is missing.*and \d+ further fields"):
        pack_submission(other, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda files: files.update({"outputs/t0.flac": b"other"}), "changed"),
        (lambda files: files.pop("outputs/t0.flac"), "missing"),
        (lambda files: files.update({"outputs/t9.flac": b"more"}), "extra"),
    ],
)
def test_verifying_sees_every_change(packed: bytes, tmp_path: Path, change, code: str) -> None:
    (tmp_path / "before.zip").write_bytes(packed)
    files = contents(tmp_path / "before.zip")
    change(files)
    (tmp_path / "a.zip").write_bytes(archive_of([Entry(name, content) for name, content in files.items()]))
    findings = verify_submission(tmp_path / "a.zip")
    assert [finding.code for finding in findings] == [code]


def test_an_archive_without_hashes_is_not_verified(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no MANIFEST.sha256 in it"):
        verify_submission(zipped(folder, tmp_path / "a.zip"))


@pytest.mark.parametrize("text", ["x", "A" * 64 + "  a", "a" * 64 + " a", 2 * ("a" * 64 + "  a\n"), "é"])
def test_a_broken_list_of_hashes_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no hash with a name|stands twice|not an ASCII"):
        read_hashes(text.encode(), "hashes")


ZEROS = bytes(2 << 20)
HOSTILE = {
    "a path that leads out": ([Entry("../../etc/passwd")], "leads out of the archive"),
    "a path that leads out further in": ([Entry("outputs/../../x")], "leads out of the archive"),
    "an absolute path": ([Entry("/etc/passwd")], "is an absolute path"),
    "a drive letter": ([Entry("C:/x")], "holds a colon"),
    "a backslash": ([Entry("outputs\\x")], "holds a backslash"),
    "a name with an end before its end": ([Entry("a.flac\x00.exe")], r"control character U\+0000"),
    "a name that moves the cursor": ([Entry("\x1b[2Jx")], r"control character U\+001B"),
    "a very long name": ([Entry("a" * 5000)], "has 5000 characters"),
    "a deep name": ([Entry("a/b/c/d/e/f")], "more than 4 folders deep"),
    "a name outside ASCII": ([Entry("é".encode(), flags=0x800)], "letters outside ASCII"),
    "a name that is no text": ([Entry(b"\xff\xfe", flags=0x800)], "a broken archive"),
    "a device of Windows": ([Entry("outputs/nul.flac")], "is none on Windows"),
    "a symbolic link": ([Entry("outputs/t0.flac", b"/etc/passwd", mode=0o120777)], "it is a link"),
    "a device": ([Entry("outputs/t0.flac", mode=0o020666)], "a device, a pipe or a socket"),
    "a pipe": ([Entry("outputs/t0.flac", mode=0o010666)], "a device, a pipe or a socket"),
    "a folder named as a file": ([Entry("outputs", b"", mode=0o040755)], "a folder with the name of a file"),
    "a folder with content": ([Entry("outputs/", b"x", mode=0o040755)], "a folder with content"),
    "a bomb": ([Entry("outputs/t0.flac", ZEROS, deflate=True)], r"unpacks to \d+ times its size"),
    "a name twice": ([Entry("a"), Entry("a")], "a stands twice"),
    "names that differ in case": ([Entry("a/B"), Entry("a/b")], "are one where case does not count"),
    "a file that is also a folder": ([Entry("a"), Entry("a/b")], "a is a file and, for a/b, a folder"),
    "an archive in the archive": ([Entry("more.zip", b"PK")], "an archive in the archive"),
    "an encrypted entry": ([Entry("a", flags=1)], "it is encrypted"),
    "a method that is not read": ([Entry("a", method=12)], "packed by method 12"),
    "a wrong checksum": ([Entry("a", crc=1)], "a broken archive .*CRC"),
    "less than announced": ([Entry("a", b"xx", deflate=True, size=9)], "a broken archive|less than"),
    "more than announced": ([Entry("a", b"x" * 99, deflate=True, size=9)], "a broken archive"),
    "an entry that is no deflate": ([Entry("a", b"\xff" * 9, method=8)], "a broken archive"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_with_its_reason(what: str, tmp_path: Path) -> None:
    entries, message = HOSTILE[what]
    (tmp_path / "a.zip").write_bytes(archive_of(entries))
    memory, began = psutil.Process().memory_info().rss, time.process_time()
    with pytest.raises(InputError, match=message):
        contents(tmp_path / "a.zip")
    assert time.process_time() - began < 0.5
    assert psutil.Process().memory_info().rss - memory < 64 << 20
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


GOOD = archive_of([Entry("a")])
BROKEN = {
    "nothing": (b"", "no ZIP archive"),
    "another format": (b"\x1f\x8b" + bytes(40), "no ZIP archive"),
    "cut off": (GOOD[:-5], "cut off; its directory is missing"),
    "bytes behind it": (GOOD + b"more", "bytes behind the end of the archive, or a comment"),
    "a program before it": (b"#!/bin/sh\n" + GOOD, "bytes before, behind or between"),
    "more entries than its directory": (archive_of([Entry("a")], announced=9), "holds 1 entries and"),
    "fewer entries than its directory": (archive_of([Entry("a"), Entry("b")], announced=1), "announces 1"),
    "the large kind": (archive_of([Entry("a")], announced=0xFFFF), "of the kind ZIP64"),
    "entries that share bytes": (archive_of([Entry("a"), Entry("b")], same_place=True), "overlaps another"),
    "one of several parts": (GOOD[:-18] + b"\x01" + GOOD[-17:], "one part of an archive of several"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_archive_is_refused_with_its_reason(what: str, tmp_path: Path) -> None:
    content, message = BROKEN[what]
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=message):
        contents(tmp_path / "a.zip")


def test_a_million_entries_cost_nothing(tmp_path: Path) -> None:
    """The directory is refused by what its end says, and would be by its size, before it is read."""
    directory = b"PK\x01\x02" + bytes(42)
    end = b"PK\x05\x06" + bytes(4) + 2 * (60_000).to_bytes(2, "little")
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.truncate(1_000_000 * len(directory))
        file.seek(0, os.SEEK_END)
        file.write(end + (1_000_000 * len(directory)).to_bytes(4, "little") + bytes(6))
    began = time.process_time()
    with pytest.raises(InputError, match="60000 entries, more than 30000"):
        contents(path)
    with pytest.raises(InputError, match=r"a directory of 46000000 bytes, more than"):
        contents(path, FileLimits(entries=65_000))
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (FileLimits(entries=2), "entries, more than 2|more than 2 files"),
        (FileLimits(file_bytes=100), r": \d+ bytes, more than 100"),
        (FileLimits(total_bytes=1000), "bytes in all, more than 1000"),
    ],
)
def test_limits_hold_for_folders_and_archives(folder: Path, packed: bytes, limits, message, tmp_path) -> None:
    (tmp_path / "a.zip").write_bytes(packed)
    for place in (folder, tmp_path / "a.zip"):
        with pytest.raises(InputError, match=message):
            contents(place, limits)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "it is a link"),
        (lambda path: path.symlink_to("/etc", target_is_directory=True), "it is a link"),
        (os.mkfifo, "a device, a pipe or a socket"),
        (lambda path: (path.parent / "more.tar").write_bytes(b""), "an archive in the archive"),
        (lambda path: (path.parent / "a\nb").write_bytes(b""), r"control character U\+000A"),
    ],
)
def test_a_hostile_folder_is_refused(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(InputError, match=message):
        contents(tmp_path)


def test_something_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or archive"):
        contents(tmp_path / "no")


ways = st.sampled_from(("set", "cut", "insert", "copy"))
mutations = st.lists(st.tuples(ways, st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6)


def mutated(content: bytes, changes: "list[tuple[str, int, int]]", tail: int) -> bytes:
    """Change bytes, half of them among the last ``tail``, where an archive has its directory."""
    data = bytearray(content)
    for how, place, value in changes:
        if not data:
            break
        length = len(data)
        at = length - 1 - (place // 2) % min(tail, length) if place % 2 else (place // 2) % length
        if how == "set":
            data[at] = value
        elif how == "cut":
            del data[at : at + 1 + value]
        elif how == "insert":
            data[at:at] = bytes([value])
        else:
            data[at : at + 4] = data[value % length : value % length + 4]
    return bytes(data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=mutations, packed_by_us=st.booleans())
@example(changes=[("set", 0, 0)], packed_by_us=True)
def test_whatever_becomes_of_an_archive_it_is_read_or_refused(
    packed: bytes, tmp_path_factory: pytest.TempPathFactory, changes, packed_by_us: bool
) -> None:
    small = archive_of([Entry("submission.json", b"{}"), Entry("outputs/t0.flac", b"x" * 50, deflate=True)])
    path = tmp_path_factory.getbasetemp() / "fuzz.zip"
    path.write_bytes(mutated(packed if packed_by_us else small, changes, 400))
    with contextlib.suppress(InputError):
        contents(path)
        verify_submission(path)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_a_name_that_passes_stays_below_its_folder(name: str) -> None:
    if name_problem(name) is None:
        assert os.path.normpath(os.path.join("/base", name)).startswith("/base/")
