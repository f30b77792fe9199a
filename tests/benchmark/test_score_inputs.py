"""Manifests, Kaldi lists and video as input of score; what it costs; transcripts scored again."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from command_line import cli, complaint
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.benchmark.pairs import Pair, read_pairs
from doppelbench.benchmark.scoring import choose_scorers, estimate_cost, score_files
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, Video, write_video
from doppelbench.engine.engines import Engine

ONE = Engine(jobs=1)
SPEECH = speak(TALKERS[1], "lay white with f nine again", 1.5)
WORDS = "lay white with f nine again"


@pytest.fixture
def files(tmp_path):
    """Two outputs and their references in different folders under different names."""
    for folder in ("made", "natural"):
        (tmp_path / folder).mkdir()
    noise = 0.01 * np.random.default_rng(0).standard_normal(SPEECH.size)
    for number in (1, 2):
        soundfile.write(tmp_path / "natural" / f"n{number}.wav", SPEECH, RATE)
        soundfile.write(tmp_path / "made" / f"m{number}.wav", SPEECH + number * noise, RATE)
    return tmp_path


ROWS = [
    {"id": "one", "out": "made/m1.wav", "ref": "natural/n1.wav", "source": "natural/n2.wav", "text": WORDS},
    {"id": "two", "out": "made/m2.wav", "ref": "natural/n2.wav", "source": "natural/n1.wav", "text": WORDS},
]


def write_manifest(folder, kind, rows=ROWS):
    path = folder / f"pairs.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def stoi_of(items):
    return {item["trial"]: item["value"] for item in items}


@pytest.fixture
def expected(files):
    values = {}
    for number, name in ((1, "one"), (2, "two")):
        items, _ = score_files(
            files / "made" / f"m{number}.wav",
            ref=files / "natural" / f"n{number}.wav",
            metrics=["stoi"],
            text=None,
            engine=ONE,
            save=None,
        )
        values[name] = items[0]["value"]
    return values


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_manifest_scores_as_its_files_one_by_one(files, expected, kind):
    path = write_manifest(files, kind)
    items, figures = score_files(path, ref=None, metrics=["stoi"], text=None, engine=ONE, save=None)
    assert stoi_of(items) == expected
    assert figures[0]["value"] == pytest.approx(np.mean(list(expected.values())))


def test_kaldi_lists_score_as_the_files_they_name(files, expected):
    (files / "out.scp").write_text("one made/m1.wav\ntwo made/m2.wav\n")
    (files / "ref.scp").write_text("two natural/n2.wav\none natural/n1.wav\n")
    result = cli(
        "score", files / "out.scp", "--ref", files / "ref.scp", "-m", "stoi", "--items", "--format", "json"
    )
    assert stoi_of(json.loads(result.stdout)) == expected


def test_an_id_in_one_list_alone_is_a_missing_item(files):
    (files / "out.scp").write_text("one made/m1.wav\n")
    (files / "ref.scp").write_text("two natural/n2.wav\none natural/n1.wav\n")
    items, _ = score_files(
        files / "out.scp",
        ref=files / "ref.scp",
        metrics=["stoi"],
        text=None,
        engine=ONE,
        save=None,
    )
    assert {item["trial"]: item["status"] for item in items} == {"one": "ok", "two": "missing"}
    assert "out.scp" in items[1]["reason"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("one cat a.wav |\n", "never executed"),
        ("one archive.ark:14\n", "archive"),
        ("one\n", "line 1: expected '<id> <path>'"),
        ("one a.wav\none b.wav\n", "line 2: the id one stands twice"),
        ("\n", "nothing in it"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(tmp_path, content, said):
    (tmp_path / "out.scp").write_text(content)
    with pytest.raises(InputError, match=r"out\.scp") as caught:
        read_pairs(tmp_path / "out.scp", None, None)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "id,reference\na,b\n", "line 2: unknown column reference"),
        ("p.csv", "id,ref\na,b\n", "there is no output"),
        ("p.csv", "out,ref\na.wav\n", "line 2: 2 fields expected"),
        ("p.csv", "id,out\na,1.wav\na,2.wav\n", "line 3: the id a stands twice"),
        ("p.csv", "id,out\n", "nothing in it"),
        ("p.csv", "id,out\n\xff,b\n".encode("latin-1"), "not a UTF-8"),
        ("p.jsonl", '{"out": "a.wav"}\n{broken\n', "line 2: not JSON"),
        ("p.jsonl", '["a.wav"]\n', "line 1: expected an object"),
        ("p.jsonl", '{"out": 3}\n', "line 1: out is not text"),
    ],
)
def test_a_broken_manifest_is_refused_with_its_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=name) as caught:
        read_pairs(path, None, None)
    assert said in str(caught.value)


def test_a_manifest_names_its_own_references(files):
    result = cli("score", write_manifest(files, "csv"), "--ref", files / "natural")
    assert result.returncode == 2
    assert "column ref" in complaint(result)


def test_a_metric_whose_needs_no_item_meets_is_refused(files):
    pairs = [Pair("one", files / "made" / "m1.wav")]
    for name, said in (("stoi", "--ref"), ("wer", "--text"), ("sca", "speaker")):
        with pytest.raises(InputError, match=said):
            choose_scorers([name] if name != "sca" else ["sca:classifier=none"], pairs)


def test_metrics_of_sound_score_the_sound_of_a_video(tmp_path):
    frames = np.zeros((38, 32, 32, 3), np.uint8)
    for name in ("out", "ref"):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "clip.mkv", Video(frames, 25.0, Audio(SPEECH.astype(np.float32), RATE)))
    items, _ = score_files(
        tmp_path / "out", ref=tmp_path / "ref", metrics=["stoi"], text=None, engine=ONE, save=None
    )
    assert items[0]["value"] == pytest.approx(1.0)


def test_an_estimate_is_items_times_duration_times_cost(files):
    pairs = read_pairs(write_manifest(files, "csv"), None, None)
    scorers = choose_scorers(["stoi", "pesq_wb"], pairs)
    rows = {row["metric"]: row for row in estimate_cost(pairs, scorers, jobs=2)}
    seconds = 2 * SPEECH.size / RATE
    for scorer in scorers:
        cost = seconds * scorer.metric.spec.cost / 1000
        assert rows[scorer.name]["cpu_seconds"] == pytest.approx(cost, abs=0.006)
        assert rows[scorer.name]["items"] == 2
    assert rows["all"]["items"] == 4
    assert rows["all"]["cpu_seconds"] == pytest.approx(
        rows["stoi"]["cpu_seconds"] + rows["pesq_wb"]["cpu_seconds"], abs=0.011
    )


def test_a_dry_run_scores_nothing(files, finished):
    result = cli(
        "score", write_manifest(files, "csv"), "--dry-run", "--format", "json", "-o", files / "saved"
    )
    assert [row["metric"] for row in json.loads(result.stdout)] == ["pesq_wb", "stoi", "estoi", "mcd", "all"]
    assert not (files / "saved").exists()
    of_run = json.loads(cli("score", finished.folder, "--dry-run", "--format", "json", "-m", "stoi").stdout)
    assert of_run[-1]["cpu_seconds"] > 0


def test_transcripts_are_scored_again_without_sound(copied):
    before = {
        (figure["system"], figure["metric"]): figure for figure in copied.figures if figure["metric"] == "wer"
    }
    for sound in copied.folder.glob("outputs/*/*.flac"):
        sound.unlink()
    stored = (copied.folder / "items.parquet").read_bytes()
    result = cli("rescore", copied.folder, "-m", "wer,cer", "--format", "json", "--min-coverage", 0)
    figures = {(row["system"], row["metric"]): row for row in json.loads(result.stdout)}
    assert {name for _, name in figures} == {"wer", "cer"}
    for place, figure in before.items():
        assert figures[place]["value"] == figure["value"]
        assert figures[place]["signature"] == figure["signature"]
    assert (copied.folder / "items.parquet").read_bytes() == stored


def test_another_normaliser_has_another_signature(copied):
    rows = {}
    for normalizer in ("basic", "none"):
        result = cli(
            "rescore", copied.folder, "--normalizer", normalizer, "--format", "json", "--min-coverage", 0
        )
        rows[normalizer] = json.loads(result.stdout)[0]["signature"]
    assert rows["basic"] != rows["none"]


def test_a_metric_of_sound_cannot_be_rescored(copied):
    result = cli("rescore", copied.folder, "-m", "stoi")
    assert result.returncode == 2
    assert "stoi needs the sound" in complaint(result)


NO_SOCKETS = """
import socket
class Forbidden(socket.socket):
    def __init__(self, family=socket.AF_INET, *rest, **options):
        if family in (socket.AF_INET, socket.AF_INET6, -1):
            raise RuntimeError("a socket was opened")
        super().__init__(family, *rest, **options)
socket.socket = Forbidden
def refuse(*arguments, **options):
    raise RuntimeError("a name was resolved")
socket.getaddrinfo = refuse
"""


def without_sockets(folder, *arguments):
    """The command line in processes of which none can open an internet socket."""
    (folder / "sitecustomize.py").write_text(NO_SOCKETS)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "doppelbench.benchmark", *(str(part) for part in arguments)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def test_offline_scoring_opens_no_socket(files):
    probe = subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket()"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(files)},
    )
    assert probe.returncode == 0
    manifest = write_manifest(files, "csv")
    result = without_sockets(
        files, "--offline", "score", manifest, "-m", "pesq_wb,stoi,mcd,wer,secs", "--format", "json"
    )
    assert result.returncode == 0, result.stderr
    assert {row["metric"] for row in json.loads(result.stdout)} == {"pesq_wb", "stoi", "mcd", "wer", "secs"}
    # The same guard does bite where something wants out.
    refused = without_sockets(files, "--offline", "prefetch", "whisper:tiny")
    assert refused.returncode != 0


@pytest.mark.slow
def test_a_cluster_scores_as_this_machine_does(files):
    pytest.importorskip("ray", reason="pip install 'doppelbench[cluster]'")
    manifest = write_manifest(files, "csv")
    results = [
        cli("score", manifest, "-m", "stoi,mcd", "--items", "--format", "json", *engine)
        for engine in ((), ("--engine", "ray", "--jobs", 2))
    ]
    assert results[0].stdout == results[1].stdout
    assert results[1].returncode == 0, results[1].stderr
