"""The check of a submission before anything is scored: what is wrong with which item, and how to cure it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.guarded_media import MediaGuard
from doppelbench.leaderboards.submission_files import LIMITS, FileLimits, SubmissionFiles, open_submission
from doppelbench.leaderboards.submission_findings import Finding, printable, sorted_findings
from doppelbench.leaderboards.submission_json import LARGEST as LARGEST_MANIFEST
from doppelbench.leaderboards.submission_manifest import MANIFEST, Manifest, ManifestError, read_manifest
from doppelbench.leaderboards.submission_pack import HASHES, TEXTS
from doppelbench.leaderboards.submission_trials import LARGEST as LARGEST_SHEET
from doppelbench.leaderboards.submission_trials import TRIALS, TrialRow, TrialSheet, read_sheet

WHOLE = "submission"
# Beyond so many files that hit a limit of time or memory, the rest is not decoded.
MOST_LIMIT_HITS = 20
# A conversion keeps about the duration of its source; what is further away is a mistake.
DRIFT, DRIFT_SECONDS, WRONG_FACTOR = 0.1, 0.2, 2.0
GOOD_RATE = 16_000
# What correlations and PSNR are found where, docs/submissions.md says.
SOURCE_COPY, SOURCE_LIKENESS, REFERENCE_COPY = 0.98, 0.9, 0.9
FILM_COPY, FILM_LIKENESS = 45.0, 33.0
MOSTLY_ZEROS = 0.5
CLIPPED_SHARE = 0.001
FPS_TOLERANCE = 1e-4
NOT_SCORED = "missing"
CURES: Mapping[str, str] = {
    "unreadable": "write it again, as 16-bit FLAC (soundfile.write) or lossless Matroska (FFV1 with FLAC)",
    "too_short": "write the whole output",
    "silent": "write the output itself; if your system failed on this trial, leave the file out",
    "not_finite": "look for NaN in your system; clip to -1 to 1 and write integer samples",
    "rate_mismatch": "write 16000 to 48000 samples a second, and films at the frame rate of trials.csv",
    "length_mismatch": "make the output about as long as trials.csv says, and films of its size",
    "timeout": "write a plain FLAC or FFV1 file of the expected duration",
    "crashed": "write a plain FLAC or FFV1 file of the expected duration",
}
AS_INIT_WROTE_IT = "take it from the folder that doppelbench submit init makes for this recipe"


@dataclass(frozen=True, slots=True)
class Known:
    """A recording of the corpus that an output must not be a copy of.

    Attributes:
        role: ``source`` or ``reference``.
        path: of the recording.
        start: its first second in the file, or None.
        end: its last second in the file, or None.
    """

    role: str
    path: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a recipe asks of a submission.

    Attributes:
        recipe: its name.
        track: its track.
        corpus_hash: of its clips.
        sheet: its trials.
        known: recordings that outputs are held against, by trial.
        recordings: name of every file of the corpus by its SHA-256.
    """

    recipe: str
    track: str
    corpus_hash: str
    sheet: TrialSheet
    known: Mapping[str, Sequence[Known]] = field(default_factory=dict)
    recordings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found.

    Attributes:
        findings: errors first.
        expected: number of trials; 0 when the trial list cannot be used.
        failed: status and reason of every trial without a usable output.
        manifest: what the submission says of itself; None when it cannot be used.
        content_hash: SHA-256 over manifest, trial list and outputs, the same for a folder and its archive.
    """

    findings: tuple[Finding, ...]
    expected: int = 0
    failed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    manifest: Manifest | None = None
    content_hash: str = ""

    @property
    def usable(self) -> int:
        """Number of outputs that can be scored."""
        return self.expected - len(self.failed)

    @property
    def coverage(self) -> float:
        """Usable outputs over trials."""
        return self.usable / self.expected if self.expected else 0.0

    @property
    def errors(self) -> list[Finding]:
        """Findings that keep an item or everything from being scored."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def fatal(self) -> list[Finding]:
        """Errors of the submission as a whole, which no allowance cures."""
        return [finding for finding in self.errors if finding.item not in self.failed]


def check_submission(
    path: Path,
    expectation: Expectation | None = None,
    *,
    write: Callable[[TrialRow], Path] | None = None,
    guard: MediaGuard | None = None,
    file_limits: FileLimits = LIMITS,
    advance: Callable[[int], None] = lambda total: None,
) -> CheckReport:
    """Check a folder or an archive.

    Args:
        path: of the submission.
        expectation: what the recipe asks; the submission's own trial list when None, which its owner may have
            changed, and then nothing is held against recordings of the corpus.
        write: where the decoded content of a trial's output is written anew, without anything else that its
            file may hold; None writes nothing.
        guard: decodes; one of its own when None.
        file_limits: of the files as a whole.
        advance: called with the number of trials after each.

    Returns:
        The report; nothing that a submission holds raises.
    """
    try:
        with (
            open_submission(path, file_limits) as files,
            nullcontext(guard) if guard else MediaGuard() as own,
        ):
            return _Check(files, expectation, write, own, advance).run()
    except InputError as error:
        cure = "pack the folder that submit init made with doppelbench submit pack"
        return CheckReport(findings=(Finding("error", WHOLE, "refused", str(error), cure),))


class _Check:
    """One check on its way."""

    def __init__(
        self,
        files: SubmissionFiles,
        expectation: Expectation | None,
        write: Callable[[TrialRow], Path] | None,
        guard: MediaGuard,
        advance: Callable[[int], None],
    ) -> None:
        self.files = files
        self.expectation = expectation
        self.write = write
        self.guard = guard
        self.advance = advance
        self.findings: list[Finding] = []
        self.failed: dict[str, tuple[str, str]] = {}
        self.hashes: dict[str, str] = {}
        self.facts: dict[str, dict[str, Any]] = {}

    def run(self) -> CheckReport:
        """Go through everything."""
        manifest = self._manifest()
        own = self._own_sheet()
        sheet = self.expectation.sheet if self.expectation else own
        if manifest is not None and own is not None:
            self._agreement(manifest, own)
        if sheet is not None:
            self._names(sheet)
            self._outputs(sheet)
            self._among_each_other(sheet)
            self._coverage(sheet)
            self._take_back(sheet)
        return CheckReport(
            findings=tuple(sorted_findings(self.findings)),
            expected=len(sheet.rows) if sheet else 0,
            failed=self.failed,
            manifest=manifest,
            content_hash=self._content_hash(),
        )

    def _add(self, severity: Any, item: str, code: str, what: str, fix: str = "") -> None:
        self.findings.append(Finding(severity, item, code, what, fix))

    def _fail(self, row: TrialRow, code: str, what: str, fix: str, status: str = NOT_SCORED) -> None:
        self._add("error", row.trial, code, f"{row.output}: {what}", fix)
        self.failed.setdefault(row.trial, (status, f"the check refused {row.output}: {what}"))

    def _content(self, name: str, most: int) -> bytes | None:
        if name not in self.files.sizes:
            self._add("error", name, "missing", "it is not there", AS_INIT_WROTE_IT)
            return None
        try:
            content = self.files.read(name, most)
        except InputError as error:
            self._add("error", name, "unreadable", str(error), AS_INIT_WROTE_IT)
            return None
        self.hashes[name] = hashlib.sha256(content).hexdigest()
        return content

    def _manifest(self) -> Manifest | None:
        content = self._content(MANIFEST, LARGEST_MANIFEST)
        if content is None:
            return None
        try:
            return read_manifest(content)
        except ManifestError as error:
            for problem in error.problems:
                item = f"{MANIFEST}: {problem.field}"
                self._add("error", item, "manifest", f"{problem.field} {problem.what}", problem.fix)
        except InputError as error:
            self._add("error", MANIFEST, "manifest", str(error), "correct the JSON; any JSON checker helps")
        return None

    def _own_sheet(self) -> TrialSheet | None:
        content = self._content(TRIALS, LARGEST_SHEET)
        if content is None:
            return None
        try:
            return read_sheet(content)
        except InputError as error:
            self._add("error", TRIALS, "trials", str(error), AS_INIT_WROTE_IT)
        return None

    def _agreement(self, manifest: Manifest, own: TrialSheet) -> None:
        """Manifest, trial list and recipe are about the same trials of the same corpus."""
        if manifest.trials_hash != own.hash:
            what = f"{TRIALS} is not the list whose hash {MANIFEST} has"
            self._add("error", TRIALS, "trials", what, AS_INIT_WROTE_IT)
        wanted = self.expectation
        if wanted is None:
            what = "checked against its own trial list; copies of corpus recordings were not looked for"
            self._add("note", WHOLE, "own-list", what, "name the recipe with --recipe")
            return
        for name, value, right in (
            ("recipe", manifest.recipe, wanted.recipe),
            ("track", manifest.track, wanted.track),
            ("corpus_hash", manifest.corpus_hash, wanted.corpus_hash),
            ("trials_hash", manifest.trials_hash, wanted.sheet.hash),
        ):
            if value != right:
                what = f"{name} is {printable(value)} and that of the recipe {right}"
                fix = f"the submission was made for something else; {AS_INIT_WROTE_IT}"
                self._add("error", f"{MANIFEST}: {name}", "other-task", what, fix)

    def _names(self, sheet: TrialSheet) -> None:
        wanted = {row.output: row for row in sheet.rows}
        stems = {name.lower().rpartition(".")[0]: name for name in wanted}
        for name in sorted(self.files.sizes.keys() - wanted.keys() - {*TEXTS, HASHES}):
            likely = stems.get(name.lower().rpartition(".")[0])
            if likely is not None and likely not in self.files.sizes:
                fix = f"call it {likely}, in the format of that suffix"
            else:
                fix = "remove it; it is not scored"
            what = f"the trial list has no output {name}"
            self._add("warning", name, "extra", what, fix)
        for row in sheet.rows:
            if row.output not in self.files.sizes:
                self._fail(
                    row,
                    "missing",
                    "it is not there",
                    f"make it from source {printable(row.source)} for target {printable(row.target)}",
                )

    def _outputs(self, sheet: TrialSheet) -> None:
        hits = 0
        for row in sheet.rows:
            if row.output in self.files.sizes:
                if hits > MOST_LIMIT_HITS:
                    what = f"not decoded, because {hits} other files hit a limit"
                    self._fail(row, "timeout", what, CURES["timeout"], "timeout")
                else:
                    hits += self._output(row)
            self.advance(len(sheet.rows))

    def _output(self, row: TrialRow) -> bool:
        """Examine one file; returns whether it hit a limit."""
        film = row.output.endswith(".mkv")
        target = None if self.write is None else self.write(row)
        try:
            self.hashes[row.output] = digest = self.files.sha256(row.output)
            with self.files.place(row.output) as path:
                facts = self.guard.measure(path, film=film, compare=self._compared(row), write=target)
        except InputError as error:
            self._fail(row, "unreadable", str(error), CURES["unreadable"], "unreadable")
            return False
        recording = None if self.expectation is None else self.expectation.recordings.get(digest)
        if recording is not None:
            self._copy(row, f"it is, byte for byte, the recording {recording} of the corpus")
        if facts["status"] != "ok":
            self._fail(row, facts["status"], facts["reason"], CURES[facts["status"]], facts["status"])
        else:
            self.facts[row.trial] = facts
            self._judge_sound(row, facts)
            if film:
                self._judge_film(row, facts)
            self._judge_duration(row, facts)
            self._judge_likeness(row, facts)
        return facts["status"] in ("timeout", "crashed")

    def _compared(self, row: TrialRow) -> list[dict[str, Any]]:
        known = () if self.expectation is None else self.expectation.known.get(row.trial, ())
        return [{"role": one.role, "path": one.path, "start": one.start, "end": one.end} for one in known]

    def _copy(self, row: TrialRow, what: str) -> None:
        self._fail(
            row, "copy", what, "submit what your system made; natural recordings are rows of their own"
        )

    def _judge_sound(self, row: TrialRow, facts: Mapping[str, Any]) -> None:
        if facts["rate"] is None:
            what = f"{row.output}: the film has no sound"
            self._add("warning", row.trial, "no-sound", what, "add the driving or the made speech as FLAC")
            return
        if facts["silent"]:
            self._fail(row, "silent", "it is digital silence", CURES["silent"], "silent")
        elif facts["zeros"] > MOSTLY_ZEROS:
            what = f"{row.output}: {facts['zeros']:.0%} of the samples are exactly zero"
            self._add("warning", row.trial, "zeros", what, "look for outputs that break off or are masked")
        if facts["rate"] < GOOD_RATE:
            what = f"{row.output}: {facts['rate']} samples a second; metrics hear up to {GOOD_RATE // 2} Hz"
            self._add("warning", row.trial, "rate", what, f"write at least {GOOD_RATE} samples a second")
        if facts["clipped"] > CLIPPED_SHARE:
            what = f"{row.output}: clipped in {facts['clipped_runs']} places"
            self._add("warning", row.trial, "clipping", what, "scale it below full scale before writing")
        if facts.get("channels", 1) > 1:
            what = f"{row.output}: {facts['channels']} channels; their mean is scored"
            self._add("warning", row.trial, "channels", what, "write one channel")

    def _judge_film(self, row: TrialRow, facts: Mapping[str, Any]) -> None:
        size = (facts["width"], facts["height"])
        if row.size is not None and size != (row.size, row.size):
            what = f"the pictures are {size[0]} x {size[1]} instead of {row.size} x {row.size}"
            self._fail(row, "size", what, CURES["length_mismatch"], "length_mismatch")
        if row.fps is not None and abs(facts["fps"] - row.fps) > FPS_TOLERANCE * row.fps:
            what = f"{facts['fps']:.6g} frames a second instead of {row.fps:.6g}"
            self._fail(row, "fps", what, CURES["rate_mismatch"], "rate_mismatch")
        elif row.fps is not None and abs(facts["frames"] - row.seconds * row.fps) > 2:
            what = f"{row.output}: {facts['frames']} frames instead of {row.seconds * row.fps:.0f}"
            fix = "draw a frame for every tick of the sound; figures of pictures need the same length"
            self._add("warning", row.trial, "frames", what, fix)
        if facts["still"]:
            what = f"{row.output}: all frames are the same"
            self._add("warning", row.trial, "still", what, "look whether the speech drives the face at all")
        if not facts["lossless"]:
            what = f"{row.output}: {facts['codec']} loses more than systems differ by"
            self._add("warning", row.trial, "lossy", what, "encode as FFV1")

    def _judge_duration(self, row: TrialRow, facts: Mapping[str, Any]) -> None:
        seconds, expected = facts["seconds"], row.seconds
        what = f"{seconds:.2f} s instead of {expected:.2f} s"
        if not expected / WRONG_FACTOR <= seconds <= expected * WRONG_FACTOR:
            self._fail(row, "duration", what, CURES["length_mismatch"], "length_mismatch")
        elif abs(seconds - expected) > max(DRIFT_SECONDS, DRIFT * expected):
            fix = "look for a wrong sample rate in the header, padding or a cut end"
            self._add("warning", row.trial, "duration", f"{row.output}: {what}", fix)

    def _judge_likeness(self, row: TrialRow, facts: Mapping[str, Any]) -> None:
        film = row.output.endswith(".mkv")
        for role, likeness in facts["likeness"].items():
            if film:
                if likeness >= FILM_COPY:
                    self._copy(row, f"its pictures are those of the {role} ({likeness:.0f} dB PSNR)")
                elif likeness >= FILM_LIKENESS:
                    what = f"{row.output}: its pictures are close to the {role}'s ({likeness:.0f} dB PSNR)"
                    fix = "if only the mouth is drawn on the natural film, say so in system.description"
                    self._add("warning", row.trial, "likeness", what, fix)
                continue
            if likeness >= (SOURCE_COPY if role == "source" else REFERENCE_COPY):
                self._copy(row, f"its waveform is that of the {role} (correlation {likeness:.3f})")
            elif role == "source" and likeness >= SOURCE_LIKENESS:
                what = f"{row.output}: its waveform is close to the source's (correlation {likeness:.3f})"
                self._add("warning", row.trial, "likeness", what, "look whether anything was converted")

    def _among_each_other(self, sheet: TrialSheet) -> None:
        """One content for two trials, and rates that differ."""
        key = "picture_hash" if sheet.media == "video" else "sound_hash"
        first: dict[str, TrialRow] = {}
        for row in sheet.rows:
            facts = self.facts.get(row.trial)
            if facts is None or facts["silent" if sheet.media == "audio" else "still"]:
                continue
            other = first.setdefault(facts[key], row)
            if other is row:
                continue
            if facts["sound_hash"] != self.facts[other.trial]["sound_hash"]:
                what = f"{row.output}: its pictures are those of {other.output}, under another sound"
                fix = "look whether the speech drives the face at all"
                self._add("warning", row.trial, "duplicate", what, fix)
            elif other.source == row.source:
                what = f"{row.output}: the same as {other.output}, for another target"
                fix = "look whether the target is heard at all"
                self._add("warning", row.trial, "duplicate", what, fix)
            else:
                what = f"it has the same content as {other.output}, which has another source"
                self._fail(row, "duplicate", what, "make each output from its own source and target")
        rates = sorted({facts["rate"] for facts in self.facts.values() if facts["rate"] is not None})
        if len(rates) > 1:
            what = f"outputs have different rates: {', '.join(map(str, rates))} samples a second"
            self._add("warning", WHOLE, "rates", what, "write all outputs at one rate")

    def _coverage(self, sheet: TrialSheet) -> None:
        usable, total = len(sheet.rows) - len(self.failed), len(sheet.rows)
        what = f"{usable} of {total} outputs can be scored ({usable / total:.1%})"
        self._add("note", WHOLE, "coverage", what)

    def _take_back(self, sheet: TrialSheet) -> None:
        """Remove what was written of outputs that turned out to be refused."""
        for row in sheet.rows:
            if self.write is not None and row.trial in self.failed:
                target = self.write(row)
                for left in (target, target.with_suffix(".mp4")):
                    left.unlink(missing_ok=True)

    def _content_hash(self) -> str:
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()
