"""Every kind of mistake in a submission has its finding: how bad, where, what, and how to cure it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import soundfile
from submission_examples import (
    CORPUS_HASH,
    FPS,
    RATE,
    SECONDS,
    copy_of,
    filled_manifest,
    film,
    make_submission,
    noise,
    sheet,
    write_text,
    zipped,
)

from doppelbench.corpora.media import Video, sha256_of, write_preview, write_video
from doppelbench.leaderboards import submission_check
from doppelbench.leaderboards.guarded_media import MediaGuard
from doppelbench.leaderboards.submission_check import CheckReport, Expectation, Known, check_submission
from doppelbench.leaderboards.submission_findings import SEVERITIES
from doppelbench.leaderboards.submission_pack import pack_submission
from doppelbench.leaderboards.submission_trials import write_sheet


@pytest.fixture(scope="module")
def guard() -> Iterator[MediaGuard]:
    with MediaGuard() as one:
        yield one


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with sounds and films in order, and what they are not to be copies of."""
    return make_place(tmp_path_factory.mktemp("submissions"))


def make_place(place: Path) -> Path:
    """Write them."""
    make_submission(place / "sounds")
    make_submission(place / "films", sheet(film=True))
    for number in range(3):
        soundfile.write(place / f"source{number}.flac", noise(100 + number), RATE)
        soundfile.write(place / f"reference{number}.flac", noise(200 + number), RATE)
        write_video(place / f"reference{number}.mkv", film(200 + number))
    return place


def expectation(place: Path, trials, suffix: str = "flac") -> Expectation:
    roles = ("source", "reference") if suffix == "flac" else ("reference",)
    return Expectation(
        recipe="tiny",
        track="voice-conversion" if suffix == "flac" else "audio-to-video",
        corpus_hash=CORPUS_HASH,
        sheet=trials,
        known={
            f"t{number}": [Known(role, str(place / f"{role}{number}.{suffix}")) for role in roles]
            for number in range(3)
        },
        recordings={sha256_of(path): path.stem for path in sorted(place.glob(f"source*.{suffix}"))},
    )


@pytest.mark.parametrize(("kind", "suffix"), [("sounds", "flac"), ("films", "mkv")])
def test_a_submission_in_order_has_nothing_but_its_coverage(place, guard, kind: str, suffix: str) -> None:
    wanted = expectation(place, sheet(film=kind == "films"), suffix)
    report = check_submission(place / kind, wanted, guard=guard)
    assert [(finding.severity, finding.code) for finding in report.findings] == [("note", "coverage")]
    assert "3 of 3 outputs can be scored (100.0%)" in report.findings[0].what
    assert (report.usable, report.expected, report.coverage) == (3, 3, 1.0)


def test_folder_and_archives_are_one_submission(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    pack_submission(place / "sounds", tmp_path / "packed.zip")
    zipped(place / "sounds", tmp_path / "by-hand.zip")
    reports = [
        check_submission(path, guard=guard)
        for path in (place / "sounds", tmp_path / "packed.zip", tmp_path / "by-hand.zip")
    ]
    assert len({report.content_hash for report in reports}) == 1
    assert all(not report.errors for report in reports)
    assert {finding.code for finding in reports[0].findings} == {"coverage", "own-list"}


def sound(folder: Path, samples: np.ndarray, rate: int = RATE, **more) -> None:
    soundfile.write(folder / "outputs/t0.flac", samples, rate, **more)


def claim_eternity(folder: Path) -> None:
    path = folder / "outputs/t0.flac"
    content = bytearray(path.read_bytes())
    # The number of samples in the header of FLAC.
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)


def write_container(
    path: Path, *, codec: str, samples: np.ndarray | None = None, kind: str = "matroska"
) -> None:
    """A Matroska file with pictures, and perhaps sound of float samples."""
    with av.open(str(path), "w", format=kind) as output:
        video = output.add_stream(codec, rate=int(FPS))
        video.width = video.height = 32
        video.pix_fmt = "yuv420p" if codec != "ffv1" else "bgr0"
        if samples is not None:
            track = output.add_stream("pcm_f32le", rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="flt", layout="mono")
            frame.sample_rate = RATE
            output.mux(track.encode(frame))
        for image in film(0).frames:
            output.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(video.encode(None))


def claim_a_huge_picture(folder: Path) -> None:
    path = folder / "outputs/t0.mkv"
    write_video(path, film(0, size=320))
    content = path.read_bytes()
    width, height = b"\xb0\x82\x01\x40", b"\xba\x82\x01\x40"
    assert content.count(width) == content.count(height) == 1
    path.write_bytes(content.replace(width, b"\xb0\x82\x3e\x80").replace(height, b"\xba\x82\x3e\x80"))


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def manifest(folder: Path, **changes) -> None:
    write_text(folder, "submission.json", filled_manifest(sheet(), **changes))


def copy_file(folder: Path, name: str, path: Path) -> None:
    (folder / name).write_bytes(path.read_bytes())


def relink(path: Path, other: Path) -> None:
    path.unlink()
    path.hardlink_to(other)


Spoil = Callable[[Path, Path], object]
# What is done to a submission, the severity, item and code of its finding, and what it says.
SOUNDS: dict[str, tuple[Spoil, str, str, str, str]] = {
    "no manifest": (
        lambda f, _: (f / "submission.json").unlink(), "error", "submission.json", "missing", "not there"),
    "an unfilled manifest": (
        lambda f, _: manifest(f, contact=""), "error", "submission.json: contact", "manifest", "not filled"),
    "no consent": (
        lambda f, _: manifest(f, consent={"voices_and_faces": False, "labelled_synthetic": True}), "error",
        "submission.json: consent.voices_and_faces", "manifest", "is false: without it"),
    "a manifest that is no JSON": (
        lambda f, _: write_text(f, "submission.json", "{,}"), "error", "submission.json", "manifest",
        "not JSON"),
    "another corpus": (
        lambda f, _: manifest(f, corpus_hash="0" * 64), "error", "submission.json: corpus_hash", "other-task",
        "corpus_hash is 000"),
    "another recipe": (
        lambda f, _: manifest(f, recipe="x\u00e9"), "error", "submission.json: recipe", "other-task",
        "is xé and"),
    "no trial list": (
        lambda f, _: (f / "trials.csv").unlink(), "error", "trials.csv", "missing", "it is not there"),
    "a trial list without its hard trials": (
        lambda f, _: write_text(f, "trials.csv", write_sheet(sheet(2))), "error", "trials.csv", "trials",
        "not the list whose hash"),
    "a missing output": (
        lambda f, _: (f / "outputs/t0.flac").unlink(), "error", "t0", "missing", "t0.flac: it is not there"),
    "an output too many": (
        lambda f, _: (f / "outputs/more.flac").touch(), "warning", "outputs/more.flac", "extra",
        "has no output"),
    "an empty file": (
        lambda f, _: (f / "outputs/t0.flac").write_bytes(b""), "error", "t0", "unreadable", "0 bytes"),
    "no sound at all": (
        lambda f, _: (f / "outputs/t0.flac").write_bytes(np.random.default_rng(0).bytes(999)), "error", "t0",
        "unreadable", "not a FLAC file"),
    "a playlist under the name of a sound": (
        lambda f, _: (f / "outputs/t0.flac").write_bytes(b"#EXTM3U\n/etc/passwd"), "error", "t0",
        "unreadable",
        "not a FLAC file; it begins with b'#EXT'"),
    "WAV under the name of FLAC": (
        lambda f, _: sound(f, noise(0), format="WAV"), "error", "t0", "unreadable", "begins with b'RIFF'"),
    "a broken header": (
        lambda f, _: (f / "outputs/t0.flac").write_bytes(b"fLaC" + bytes(99)), "error", "t0", "unreadable",
        "not a FLAC file that can be read"),
    "a cut file": (
        lambda f, _: cut(f / "outputs/t0.flac", 0.6), "error", "t0", "unreadable", "cut off or damaged"),
    "a claim of eternity": (lambda f, _: claim_eternity(f), "error", "t0", "unreadable", "it claims"),
    "digital silence": (lambda f, _: sound(f, np.zeros(6400)), "error", "t0", "silent", "digital silence"),
    "mostly zeros": (
        lambda f, _: sound(f, np.append(noise(0, 0.1), np.zeros(4800))), "warning", "t0", "zeros", "75% of"),
    "no sample": (lambda f, _: sound(f, noise(0, 0.01)), "error", "t0", "too_short", "0.010 s"),
    "half the rate in the header": (
        lambda f, _: sound(f, noise(0), 8000), "warning", "t0", "rate", "8000 samples a second"),
    "a rate of instruments": (
        lambda f, _: sound(f, noise(0, 4.0), 4000), "error", "t0", "rate_mismatch",
        "4000 samples a second; 8000"),
    "clipping": (
        lambda f, _: sound(f, np.clip(20 * noise(0), -1, 1)), "warning", "t0", "clipping", "clipped in"),
    "two channels": (
        lambda f, _: sound(f, np.stack([noise(0), noise(9)], 1)), "warning", "t0", "channels", "2 channels"),
    "a little too long": (
        lambda f, _: sound(f, noise(0, 0.7)), "warning", "t0", "duration", "0.70 s instead of 0.40 s"),
    "far too long": (
        lambda f, _: sound(f, noise(0, 3.0)), "error", "t0", "duration", "3.00 s instead of 0.40 s"),
    "one sound twice": (
        lambda f, _: copy_file(f, "outputs/t1.flac", f / "outputs/t0.flac"), "error", "t1", "duplicate",
        "same content as outputs/t0.flac"),
    "the source itself": (
        lambda f, p: copy_file(f, "outputs/t0.flac", p / "source1.flac"), "error", "t0", "copy",
        "byte for byte, the recording source1"),
    "a hard link to the source": (
        lambda f, p: relink(f / "outputs/t0.flac", p / "source1.flac"), "error", "t0", "copy",
        "byte for byte, the recording source1"),
    "the source, quieter and later": (
        lambda f, p: sound(f, np.append(np.zeros(300), 0.2 * soundfile.read(p / "source0.flac")[0])), "error",
        "t0", "copy", "that of the source (correlation 1.000)"),
    "the reference, inverted": (
        lambda f, p: sound(f, -soundfile.read(p / "reference0.flac")[0]), "error", "t0", "copy",
        "that of the reference"),
    "hardly more than the source": (
        lambda f, p: sound(f, soundfile.read(p / "source0.flac")[0] + 0.3 * noise(7)), "warning", "t0",
        "likeness", "close to the source's"),
    "a link": (
        lambda f, _: (f / "outputs/t9.flac").symlink_to("/etc/passwd"), "error", "submission", "refused",
        "it is a link"),
}  # fmt: skip
FILMS: dict[str, tuple[Spoil, str, str, str, str]] = {
    "no film": (
        lambda f, _: (f / "outputs/t0.mkv").write_bytes(b"ffconcat version 1.0\nfile /etc/passwd\n"), "error",
        "t0", "unreadable", "not a Matroska file"),
    "a sound under the name of a film": (
        lambda f, p: copy_file(f, "outputs/t0.mkv", p / "source0.flac"), "error", "t0", "unreadable",
        "not a Matroska file"),
    "an MP4 under its name": (
        lambda f, _: write_container(f / "outputs/t0.mkv", codec="mpeg4", kind="mp4"), "error", "t0",
        "unreadable", "not a Matroska file"),
    "a codec of no reason": (
        lambda f, _: write_container(f / "outputs/t0.mkv", codec="mpeg4"), "error", "t0", "unreadable",
        "the codec mpeg4 is not decoded"),
    "a cut film": (lambda f, _: cut(f / "outputs/t0.mkv", 0.3), "error", "t0", "duration", "0.10 s instead"),
    "a claim of huge pictures": (
        lambda f, _: claim_a_huge_picture(f), "error", "t0", "unreadable", "it claims"),
    "sound that is not finite": (
        lambda f, _: write_container(f / "outputs/t0.mkv", codec="ffv1", samples=np.full(RATE, np.nan)),
        "error", "t0", "not_finite", "NaN or infinite"),
    "another size": (
        lambda f, _: write_video(f / "outputs/t0.mkv", film(0, size=16)), "error", "t0", "size",
        "16 x 16 instead of 32 x 32"),
    "another frame rate": (
        lambda f, _: write_video(f / "outputs/t0.mkv", Video(film(0).frames, 12.0, film(0).audio)), "error",
        "t0", "fps", "12 frames a second instead of 10"),
    "too many frames": (
        lambda f, _: write_video(f / "outputs/t0.mkv", film(0, seconds=0.8)), "warning", "t0", "frames",
        "8 frames instead of 4"),
    "no sound": (
        lambda f, _: write_video(f / "outputs/t0.mkv", film(0, sound=False)), "warning", "t0", "no-sound",
        "the film has no sound"),
    "a still": (
        lambda f, _: write_video(
            f / "outputs/t0.mkv", Video(film(0).frames[[0] * 4], FPS, film(0).audio)),
        "warning", "t0", "still", "all frames are the same"),
    "the natural film, a frame later": (
        lambda f, p: write_video(
            f / "outputs/t0.mkv", Video(film(200).frames[[0, 0, 1, 2]], FPS, film(0).audio)),
        "error", "t0", "copy", "pictures are those of the reference (99 dB PSNR)"),
    "the pictures of another film": (
        lambda f, _: write_video(f / "outputs/t1.mkv", Video(film(0).frames, FPS, film(1).audio)), "warning",
        "t1", "duplicate", "its pictures are those of outputs/t0.mkv, under another sound"),
    "one film twice": (
        lambda f, _: copy_file(f, "outputs/t1.mkv", f / "outputs/t0.mkv"), "error", "t1", "duplicate",
        "same content"),
}  # fmt: skip


def found(report: CheckReport, severity: str, item: str, code: str) -> str:
    matching = [f for f in report.findings if (f.severity, f.item, f.code) == (severity, item, code)]
    assert len(matching) == 1, report.findings
    assert matching[0].fix
    return matching[0].what


@pytest.mark.parametrize("what", [*SOUNDS, *FILMS])
def test_a_mistake_is_found_and_costs_little(
    what: str, place: Path, guard: MediaGuard, tmp_path: Path
) -> None:
    films = what in FILMS
    spoil, severity, item, code, message = (FILMS if films else SOUNDS)[what]
    folder = copy_of(place / ("films" if films else "sounds"), tmp_path / "spoiled")
    spoil(folder, place)
    wanted = expectation(place, sheet(film=films), "mkv" if films else "flac")
    memory, began = psutil.Process().memory_info().rss, time.process_time()
    report = check_submission(folder, wanted, guard=guard)
    assert time.process_time() - began < 2
    assert psutil.Process().memory_info().rss - memory < 200 << 20
    assert message in found(report, severity, item, code)
    errors = {finding.item for finding in report.errors}
    assert errors == ({item} if severity == "error" else set())
    of_a_trial = severity == "error" and item.startswith("t") and item != "trials.csv"
    assert report.failed.keys() == ({item} if of_a_trial else set())
    assert bool(report.fatal) == (severity == "error" and not of_a_trial)


def test_a_lossy_film_is_said_to_be_one(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    folder = copy_of(place / "films", tmp_path / "lossy")
    write_preview(tmp_path / "a.mp4", film(0))
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(folder / "outputs/t0.mkv"), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    report = check_submission(folder, guard=guard)
    assert "h264 loses more" in found(report, "warning", "t0", "lossy")


def test_a_name_that_is_nearly_right_is_said_to_be(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    folder = copy_of(place / "sounds", tmp_path / "named")
    (folder / "outputs/t0.flac").rename(folder / "outputs/T0.wav")
    report = check_submission(folder, guard=guard)
    (finding,) = (finding for finding in report.findings if finding.code == "extra")
    assert finding.fix == "call it outputs/t0.flac, in the format of that suffix"


def test_rates_that_differ_are_said_to(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    folder = copy_of(place / "sounds", tmp_path / "rates")
    sound(folder, noise(0, SECONDS, 24000), 24000)
    report = check_submission(folder, guard=guard)
    assert "16000, 24000" in found(report, "warning", "submission", "rates")


def test_coverage_counts_what_can_be_scored(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    folder = copy_of(place / "sounds", tmp_path / "few")
    (folder / "outputs/t0.flac").unlink()
    sound(folder, np.zeros(6400))
    (folder / "outputs/t1.flac").unlink()
    report = check_submission(folder, guard=guard)
    assert (report.usable, report.expected) == (1, 3)
    assert {trial: status for trial, (status, _) in report.failed.items()} == {
        "t0": "silent",
        "t1": "missing",
    }
    assert report.fatal == []


def test_only_usable_outputs_are_written_anew(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    folder = copy_of(place / "sounds", tmp_path / "spoiled")
    sound(folder, np.zeros(6400))
    copy_file(folder, "outputs/t2.flac", folder / "outputs/t1.flac")
    check_submission(folder, write=lambda row: tmp_path / "new" / Path(row.output).name, guard=guard)
    (path,) = (tmp_path / "new").iterdir()
    assert path.name == "t1.flac"
    np.testing.assert_array_equal(soundfile.read(path)[0], soundfile.read(folder / "outputs/t1.flac")[0])


def test_after_many_limits_the_rest_is_not_decoded(place: Path, tmp_path: Path, monkeypatch) -> None:
    class Slow:
        asked = 0

        def measure(self, *_, **__):
            self.asked += 1
            return {"status": "timeout", "reason": "decoding took longer than 120 s"}

    monkeypatch.setattr(submission_check, "MOST_LIMIT_HITS", 1)
    slow = Slow()
    report = check_submission(place / "sounds", guard=slow)
    assert slow.asked == 2
    assert [status for status, _ in report.failed.values()] == ["timeout"] * 3
    assert "not decoded, because 2 other files hit a limit" in report.failed["t2"][1]


def test_findings_come_errors_first(place: Path, guard: MediaGuard, tmp_path: Path) -> None:
    folder = copy_of(place / "sounds", tmp_path / "spoiled")
    (folder / "a.txt").touch()
    (folder / "outputs/t2.flac").unlink()
    order = [SEVERITIES.index(one.severity) for one in check_submission(folder, guard=guard).findings]
    assert order == sorted(order)
    assert len(set(order)) == 3
