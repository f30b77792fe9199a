"""Pack a submission so that the same folder gives the same bytes, and prove a packed one."""

import hashlib
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_files import (
    BLOCK,
    FolderFiles,
    SubmissionFiles,
    open_submission,
)
from doppelbench.leaderboards.submission_findings import Finding, printable, sorted_findings
from doppelbench.leaderboards.submission_json import LARGEST
from doppelbench.leaderboards.submission_manifest import MANIFEST, read_manifest
from doppelbench.leaderboards.submission_trials import LARGEST as LARGEST_SHEET
from doppelbench.leaderboards.submission_trials import TRIALS, read_sheet

HASHES = "MANIFEST.sha256"
HASH_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
LARGEST_HASHES = 1 << 23
# Beside the outputs, these may be part of a submission.
TEXTS = (MANIFEST, TRIALS, "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")
# The first moment that a ZIP archive knows.
TIME = (1980, 1, 1, 0, 0, 0)
REPACK = "pack the folder again with doppelbench submit pack"


@dataclass(frozen=True, slots=True)
class Packed:
    """What went into an archive.

    Attributes:
        sha256: of the archive.
        files: names in it.
        left_out: names in the folder that are no part of a submission.
        missing: outputs of the trial list that are not in the folder.
    """

    sha256: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]


def pack_submission(folder: Path, out: Path) -> Packed:
    """Pack a folder: sorted names, one time, one mode, no compression, which differs between libraries.

    Sounds and films are compressed already. ``MANIFEST.sha256`` holds the hash of every other file.

    Raises:
        InputError: no manifest or trial list, one that cannot be used, or a file that changes meanwhile.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    files = FolderFiles(folder)
    read_manifest(files.read(MANIFEST, LARGEST), f"{folder / MANIFEST}")
    sheet = read_sheet(files.read(TRIALS, LARGEST_SHEET), f"{folder / TRIALS}")
    wanted = {*TEXTS, *(row.output for row in sheet.rows)}
    names = sorted(wanted & files.sizes.keys())
    hashes = {name: files.sha256(name) for name in names}
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
            _write(archive, HASHES, hash_lines(hashes))
            for name in names:
                _copy(archive, files, name, hashes[name])
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return Packed(
        digest,
        tuple(names),
        tuple(sorted(files.sizes.keys() - wanted - {HASHES})),
        tuple(sorted(wanted - files.sizes.keys() - set(TEXTS))),
    )


def hash_lines(hashes: dict[str, str]) -> bytes:
    """Return the content of ``MANIFEST.sha256``, which the program sha256sum also understands."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items())).encode()


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, TIME)
    info.compress_type = zipfile.ZIP_STORED
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    info.file_size = size
    return info


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name, len(content)), content)


def _copy(archive: zipfile.ZipFile, files: FolderFiles, name: str, expected: str) -> None:
    digest = hashlib.sha256()
    with (
        files.place(name) as path,
        path.open("rb") as source,
        archive.open(_entry(name, files.sizes[name]), "w") as entry,
    ):
        while block := source.read(BLOCK):
            digest.update(block)
            entry.write(block)
    if digest.hexdigest() != expected:
        raise InputError(f"{files.root / name}: it changed while it was packed")


def verify_submission(path: Path) -> list[Finding]:
    """Hold every file of a packed submission against ``MANIFEST.sha256``.

    Returns:
        Errors for files that differ, are missing or are not listed; none when the archive is whole.

    Raises:
        InputError: no archive or folder, or one that is refused as a whole, or without its list of hashes.
    """
    with open_submission(path) as files:
        if HASHES not in files.sizes:
            raise InputError(f"{path}: there is no {HASHES} in it; {REPACK}")
        listed = read_hashes(files.read(HASHES, LARGEST_HASHES), f"{path}: {HASHES}")
        return sorted_findings(_differences(files, listed))


def _differences(files: SubmissionFiles, listed: dict[str, str]) -> list[Finding]:
    findings = []
    for name in sorted(listed.keys() - files.sizes.keys()):
        findings.append(Finding("error", name, "missing", f"{HASHES} lists it and it is not there", REPACK))
    for name in sorted(files.sizes.keys() - listed.keys() - {HASHES}):
        findings.append(Finding("error", name, "extra", f"{HASHES} does not list it", REPACK))
    for name in sorted(listed.keys() & files.sizes.keys()):
        try:
            if files.sha256(name) != listed[name]:
                what = f"its content is not the one of which {HASHES} has the hash"
                findings.append(Finding("error", name, "changed", what, REPACK))
        except InputError as error:
            findings.append(Finding("error", name, "unreadable", str(error), REPACK))
    return findings


def read_hashes(content: bytes, where: str) -> dict[str, str]:
    """Parse ``MANIFEST.sha256``.

    Raises:
        InputError: a line that is no hash with a name, or a name twice.
    """
    listed: dict[str, str] = {}
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{where}: not an ASCII text file") from None
    for number, line in enumerate(lines, 1):
        match = HASH_LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{where}, line {number}: {printable(line)} is no hash with a name")
        if match[2] in listed:
            raise InputError(f"{where}, line {number}: {printable(match[2])} stands twice")
        listed[match[2]] = match[1]
    return listed
