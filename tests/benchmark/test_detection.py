"""The verb ``detect``: score files to figures, folders to an audit."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from doppelbench.benchmark.cli import app
from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.detection import evaluate_files
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.detectors.evaluation import evaluate
from doppelbench.detectors.trial_files import read_asv_scores, read_trials
from doppelbench.metrics.tandem_costs import asv_rates

RUNNER = CliRunner()


def write_files(folder: Path, *, sign: float = 1.0) -> tuple[Path, Path]:
    """Four bona fide trials at 1 to 4 and four fakes at -3 to 0 in the layout of ASVspoof 2019, but one
    fake at 2.5: one of four fakes is above two of four bona fide trials."""
    protocol, scores = folder / "protocol.txt", folder / "scores.txt"
    truth, found = [], []
    for number, value in enumerate((1.0, 2.0, 3.0, 4.0)):
        truth.append(f"S{number % 2} B{number} - - bonafide")
        found.append(f"B{number} {sign * value}")
    for number, value in enumerate((-3.0, -2.0, -1.0, 2.5)):
        truth.append(f"S{number % 2} F{number} - A{7 + number % 2:02d} spoof")
        found.append(f"F{number} {sign * value}")
    protocol.write_text("\n".join(truth) + "\n")
    scores.write_text("\n".join(found) + "\n")
    return protocol, scores


def test_a_small_case_by_hand(tmp_path: Path) -> None:
    protocol, scores = write_files(tmp_path)
    result = RUNNER.invoke(
        app,
        ["detect", "evaluate", "--protocol", str(protocol), "--scores", str(scores), "--score-kind", "raw",
         "--format", "json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    evaluation = json.loads(result.stdout.splitlines()[0])
    pooled = next(row for row in evaluation["rows"] if row["group"] == "pooled")
    assert (pooled["bonafide"], pooled["spoof"]) == (4, 4)
    # A threshold between 1 and 2 misses one of four and accepts one of four.
    assert pooled["figures"]["eer_asvspoof"]["value"] == pytest.approx(0.25)
    # Of 16 pairs two are in the wrong order.
    assert pooled["figures"]["auc"]["value"] == pytest.approx(14 / 16)


def test_a_reversed_file_is_said_and_not_flipped(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [f"b{n},bonafide,{generator.normal(-2)}" for n in range(60)]
    rows += [f"f{n},spoof,{generator.normal(2)}" for n in range(60)]
    table = tmp_path / "trials.csv"
    table.write_text("id,label,score\n" + "\n".join(rows) + "\n")
    evaluation = evaluate_files(table, None, score_kind="raw")
    assert "reversed" in {finding.code for finding in evaluation.findings}
    assert evaluation.as_rows()[0]["auc"] < 0.1
    assert evaluate_files(table, None, score_kind="raw", higher_is_bonafide=False).as_rows()[0]["auc"] > 0.9


def test_a_missing_trial_is_named_unless_allowed(tmp_path: Path) -> None:
    protocol, scores = write_files(tmp_path)
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(InputError, match="B0"):
        evaluate_files(protocol, scores)
    assert evaluate_files(protocol, scores, allow_missing=True).as_rows()[0]["bonafide"] == 3


def test_development_scores_need_their_protocol(tmp_path: Path) -> None:
    protocol, scores = write_files(tmp_path)
    with pytest.raises(ConfigError, match="--development"):
        evaluate_files(protocol, scores, development_scores=scores)


def write_noises(folder: Path, gain: float) -> None:
    generator = np.random.default_rng(int(1000 * gain))
    folder.mkdir()
    for number in range(12):
        samples = gain * generator.standard_normal(8000 + 100 * number)
        write_audio(folder / f"{number}.wav", Audio(samples.astype(np.float32), 16000))


def test_an_audit_finds_the_loudness_that_gives_fakes_away(tmp_path: Path) -> None:
    write_noises(tmp_path / "real", 0.1)
    write_noises(tmp_path / "fake", 0.02)
    result = RUNNER.invoke(
        app, ["detect", "audit", "--bonafide", str(tmp_path / "real"), "--spoof", str(tmp_path / "fake")]
    )
    assert result.exit_code == 0
    assert "level alone tells real from fake" in result.output


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    write_noises(tmp_path / "real", 0.1)
    (tmp_path / "fake").mkdir()
    result = RUNNER.invoke(
        app, ["detect", "audit", "--bonafide", str(tmp_path / "real"), "--spoof", str(tmp_path / "fake")]
    )
    assert isinstance(result.exception, InputError)
    assert "fake" in str(result.exception)


@pytest.mark.realdata
def test_the_example_of_the_challenge_has_its_rates(realdata: Path) -> None:
    folder = realdata / "d_scores" / "asvspoof2019_toolkit_example"
    asv = read_asv_scores(folder / "asv_dev.txt.gz")
    trials = read_trials(folder / "cm_dev.txt.gz", allow_repeats=True)
    evaluation = evaluate(trials, asv=asv_rates(asv.target, asv.nontarget, asv.spoof), intervals=())
    assert evaluation.as_rows()[0]["eer_asvspoof"] == pytest.approx(0.046701, abs=1e-4)
