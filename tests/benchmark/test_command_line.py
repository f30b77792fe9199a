"""The command line: data on standard output, one sentence on standard error, and an exit code that tells."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import cli, complaint
from safetensors.numpy import load_file
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.benchmark import cli as command_line
from doppelbench.benchmark.listing import describe, listing
from doppelbench.corpora.media import read_audio

LISTINGS = ("systems", "metrics", "detectors", "corpora", "tracks", "recipes")


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process; returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["doppelbench", *(str(part) for part in arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize("what", LISTINGS)
def test_ls_is_a_list_of_objects_with_names(call, what):
    code, out, _ = call("ls", what, "--format", "json")
    assert code == 0
    rows = json.loads(out)
    assert isinstance(rows, list)
    assert all(row["name"] for row in rows)
    assert rows
    assert len({row["name"] for row in rows}) == len(rows)


@pytest.mark.parametrize("kind", ["table", "md", "csv"])
@pytest.mark.parametrize("what", LISTINGS)
def test_ls_names_everything_in_every_format(call, what, kind):
    code, out, _ = call("ls", what, "--format", kind)
    assert code == 0
    assert all(row["name"] in out for row in listing(what))


def test_describe_knows_everything_that_is_listed(call):
    for what in LISTINGS:
        for row in listing(what):
            found = json.loads(json.dumps(describe(row["name"]), default=list))
            assert found["name"] == row["name"], what
    code, out, _ = call("describe", "mcd", "--format", "json")
    assert code == 0
    assert json.loads(out)["needs"] == ["ref"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["describe", "exemplr"], "'exemplar'"),
        (["describe", "quickstrt"], "'quickstart'"),
        (["run", "quickstrt"], "'quickstart'"),
        (["score", ".", "-m", "stio"], "stoi"),
        (["train", "exemplr", "--audio", "README.md", "-o", "x"], "exemplar"),
        (["ls", "sytems"], "systems"),
        (["dance"], "dance"),
        (["ls", "systems", "--colour"], "--colour"),
        (["run"], "recipe"),
        (["score", ".", "--jobs", "0"], "--jobs"),
        (["score", ".", "--min-coverage", "2"], "--min-coverage"),
        (["run", "quickstart", "trials.per_target"], "key=value"),
        (["ls", "systems", "--format", "xml"], "--format"),
        (["data", "vctk", "no_equals_sign", "--root", "."], "key=value"),
    ],
)
def test_mistakes_of_usage_exit_with_1_and_one_sentence(
    call, monkeypatch, tmp_path, manifest, arguments, said
):
    arguments = [str(manifest.parent / "ana") if part == "README.md" else part for part in arguments]
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert code == 1
    assert out == ""
    assert said in err
    assert [line.startswith("doppelbench: ") for line in err.splitlines()] == [True]


def test_mistakes_in_a_process_of_its_own_leave_no_traceback():
    result = cli("ls", "systems", "--colour")
    assert result.returncode == 1
    assert "--colour" in complaint(result)


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr("sys.argv", ["doppelbench", "--debug", "describe", "exemplr"])
    with pytest.raises(Exception, match="exemplr"):
        command_line.main()


def test_a_folder_that_cannot_be_written_is_an_input_that_cannot_be_used(call, manifest):
    code, _, err = call("data", "csv", "--root", manifest, "--save", "/proc/nowhere/x.parquet")
    assert code == 2
    assert err.startswith("doppelbench: ")


def test_doctor_finds_this_machine_fit(call):
    code, out, _ = call("doctor", "--format", "json")
    assert code == 0
    findings = json.loads(out)
    assert {finding["state"] for finding in findings} <= {"ok", "absent"}
    assert all(finding["check"] and finding["found"] for finding in findings)
    assert all(finding["cure"] for finding in findings if finding["state"] == "absent")


def test_doctor_names_the_cure_of_what_is_broken(call, monkeypatch):
    from doppelbench.benchmark import doctor

    monkeypatch.setitem(doctor.PACKAGES, "no-such-package", ("nothing", "pip install it"))
    code, out, _ = call("doctor", "--format", "json")
    assert code == 5
    broken = [finding for finding in json.loads(out) if finding["state"] == "broken"]
    assert [finding["cure"] for finding in broken] == ["pip install it"]


def test_data_summarises_a_folder_and_writes_its_manifest(call, manifest, tmp_path):
    code, out, _ = call(
        "data", "folder", "--root", manifest.parent, "--format", "json", "-o", tmp_path / "m.parquet"
    )
    assert code == 0
    rows = {row["split"]: row for row in json.loads(out)}
    assert rows["all"]["speakers"] == len(TALKERS)
    assert rows["all"]["seconds"] == pytest.approx(sum(sum(t.train) + 2.4 for t in TALKERS), abs=0.1)
    code, again, _ = call("data", tmp_path / "m.parquet", "--format", "json")
    assert code == 0
    assert json.loads(again) == json.loads(out)


def test_data_refuses_what_cannot_be_read_with_2(call, tmp_path, manifest):
    code, _, err = call("data", "folder", "--root", tmp_path / "nowhere")
    assert (code, "nowhere" in err) == (2, True)
    lines = manifest.read_text(encoding="utf-8").splitlines()
    doubled = manifest.with_name("doubled.csv")
    doubled.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")
    code, _, err = call("data", "csv", "--root", doubled)
    assert code == 2
    assert "ana_00" in err
    assert "unique" in err


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Path:
    """A system trained by the command line on one recording of 35 s."""
    folder = tmp_path_factory.mktemp("single")
    soundfile.write(folder / "my voice.wav", speak(TALKERS[0], "a long speech", 35.0), RATE)
    arguments = ("--preset", "tiny", "--max-steps", 5, "--device", "cpu", "batch_size=3")
    result = cli("train", "exemplar", "--audio", folder / "my voice.wav", "-o", folder / "system", *arguments)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["steps"] == 5
    assert json.loads((folder / "system" / "config.json").read_text())["settings"]["batch_size"] == 3
    return folder / "system"


class TestTrainAndSynthesize:
    def test_converts_what_can_be_read_and_names_what_cannot(self, call, system, manifest, tmp_path):
        good = sorted((manifest.parent / "zoë").iterdir())[-1]
        bad = tmp_path / "broken one.wav"
        bad.write_bytes(b"RIFF")
        code, out, err = call(
            "synthesize", system, bad, good, tmp_path / "absent.wav", "-o", tmp_path / "out"
        )
        assert code == 4
        assert out.splitlines() == [str(tmp_path / "out" / f"{good.stem}.flac")]
        assert "broken one.wav: unreadable" in err
        assert "absent.wav: missing" in err
        assert "Traceback" not in err
        made = read_audio(tmp_path / "out" / f"{good.stem}.flac")
        assert made.rate == RATE
        assert made.seconds == pytest.approx(read_audio(good).seconds, abs=0.0126)

    def test_an_output_of_before_does_not_stay_when_its_source_fails(self, call, system, manifest, tmp_path):
        source = tmp_path / "take.wav"
        source.write_bytes(b"")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "take.flac").write_bytes(b"of before")
        assert call("synthesize", system, source, "-o", tmp_path / "out")[0] == 4
        assert not (tmp_path / "out" / "take.flac").exists()

    def test_systems_of_a_run_can_be_used(self, call, finished, manifest, tmp_path):
        source = manifest.parent / "cleo" / "cleo_03.flac"
        trained = finished.folder / "systems" / "exemplar" / "ana"
        assert call("synthesize", trained, source, "-o", tmp_path)[0] == 0
        made = finished.folder / "outputs" / "exemplar" / "cleo_03_to_ana.flac"
        assert (tmp_path / "cleo_03.flac").read_bytes() == made.read_bytes()

    def test_training_starts_from_another_system_where_it_is_told_to(self, call, system, manifest, tmp_path):
        arguments = ("--preset", "tiny", "--max-steps", 1, "--device", "cpu", "batch_size=3")
        start = f"initialise_from={system}"
        code, out, err = call(
            "train", "exemplar", "--audio", manifest.parent / "ben", "-o", tmp_path / "x", *arguments, start
        )
        assert code == 0, err
        assert json.loads(out)["steps"] == 1
        names = [directory / "weights.safetensors" for directory in (system, tmp_path / "x")]
        before, after = (load_file(name)["decoder.projection.weight"] for name in names)
        # One step of Adam moves a weight by no more than the learning rate.
        assert 0 < np.abs(after - before).max() < 1.01e-3
        code, _, err = call(
            "train",
            "exemplar",
            "--audio",
            manifest.parent / "ben",
            "-o",
            tmp_path / "y",
            *arguments,
            start,
            "channels=8",
        )
        assert code == 2
        assert "channels 16, not 8" in err
        assert "Traceback" not in err

    def test_refuses_folders_and_sources_that_cannot_be_meant(self, call, system, tmp_path):
        code, _, err = call("synthesize", tmp_path, "x.wav", "-o", tmp_path)
        assert (code, "no trained system" in err) == (2, True)
        code, _, err = call("synthesize", system, "a/x.wav", "b/x.wav", "-o", tmp_path)
        assert (code, "two sources are called x" in err) == (2, True)

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (["natural"], 1, "reference row"),
            (["exemplar", "chanels=3"], 1, "'channels'"),
            (["exemplar", "channels=wide"], 1, "channels"),
            (["exemplar", "channels"], 1, "key=value"),
            (["exemplar", "--preset", "huge"], 1, "tiny, small, paper"),
            (["exemplar", "--preset", "tiny"], 2, "1.2 s of usable speech"),
        ],
    )
    def test_training_refuses_with_a_sentence(self, call, manifest, tmp_path, arguments, code, said):
        source = manifest.parent / "cleo" / "cleo_03.flac"
        found, _, err = call("train", *arguments, "--audio", source, "-o", tmp_path / "x", "--device", "cpu")
        assert found == code
        assert said in err
        assert "Traceback" not in err


def test_the_files_of_a_verb_are_valid_csv(call):
    _, out, _ = call("ls", "metrics", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert {row["name"] for row in rows} == {row["name"] for row in listing("metrics")}
    assert np.isfinite([float(row["ms_per_audio_second"]) for row in rows]).all()
