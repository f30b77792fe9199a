"""Every command in the documentation runs, on small stand-ins for the files that the pages name.

A command of doppelbench is run unless it stands in ``ONLY_PARSED`` with the reason; its options, recipe,
metrics, systems and detectors are then looked up, and the files that it names must be there or be promised
by an earlier command of the page.
"""

import contextlib
import csv
import importlib.util
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer
import yaml
from submission_examples import film, make_submission
from synthetic_corpus import RATE, TALKERS, TEST_SENTENCES, corpus_below, speak

from doppelbench.benchmark import cli
from doppelbench.benchmark.config import check_metrics, load_recipe, split_metrics
from doppelbench.corpora.media import write_video
from doppelbench.corpora.readers import READERS

ROOT = Path(__file__).parents[1]
# The reference holds the help of every verb, made from the code.
PAGES = [
    "README.md",
    *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")) if p.stem != "reference"),
]
RUNS = (
    "quickstart", "table-2", "table-7", "base", "new", "a", "b", "short", "talkers", "my-system",
    "anonymise", "real",
)  # fmt: skip
LABELS = ("exemplar", "autovc", "stargan-vc", "chou-2019", "exemplar-av-joint", "exemplar-av-fine-tuned")
# A command that begins or goes on so is looked up but not run, and why.
ONLY_PARSED = {
    r"run ": "trains for minutes and more; tests/benchmark/test_recipe_run.py runs a recipe",
    r"detect matrix ": "trains detectors for minutes; tests/benchmark/test_detection_run.py runs it",
    r"(listen|board) serve ": "serves until it is stopped; test_server.py and test_site.py ask the servers",
    r"listen export ": "needs votes that a server has taken; tests/listening/test_server.py exports them",
    r"submit (init|check|score) ": "makes the corpus talkers; test_submission_from_outside.py runs all",
    r"data (?!vctk --root VCTK)": "needs the data set, or makes talkers; tests/readers read small trees",
    r"prefetch ": "fetches weights from the network; tests/benchmark/test_prefetch.py",
    r"reproduce ": "runs the recipe of a result; tests/benchmark/test_reproduce.py reproduces one",
    r"gate runs/old-processor ": "judges a run that is not made here; tests/baseline judges one",
    r"compare runs/single ": "compares runs of minutes; tests/benchmark/test_compare.py",
    r"score .*whisper": "needs weights; tests of metrics test the recogniser",
    r"score .*--engine ray": "needs a cluster; tests/engine/test_cluster.py starts one",
}
# What is added so that a command takes seconds; the last of two equal options counts.
SHORTENED = {
    r"train ": "--preset tiny --max-steps 2 --device cpu",
    r"detect train ": "--preset tiny --device cpu",
    r"listen make ": "--trials 2 --raters 2",
    r"listen simulate ": "--raters 4",
    r"listen coverage ": "--studies 2 --trials 4",
    r"score heads ": "--dry-run",
    r"detect report ": "--draws 10",
}
# Codes that say something of the stand-ins and not of the command.
CODES = {r"gate ": {0, 3}, r"listen audit 66.7 ": {2}, r"doctor": {0, 5}, r"board diff ": {0, 3}}
# How a command begins, and what it then is.
PROGRAMS = {
    "doppelbench ": "doppelbench",
    r"python (?:\.\./)?docs/": "script",
    "(?:python -m )?pytest ": "pytest",
    "make ": "make",
}
OUTPUTS = {"out", "save", "to", "junit", "database", "explain"}


@dataclass(frozen=True)
class Command:
    """A command line of a page; ``words`` follow the name of the program."""

    page: str
    program: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return shlex.join(self.words)

    def matching(self, table: dict[str, Any]) -> Any:
        """The entry whose pattern begins the command, or None."""
        return next((value for pattern, value in table.items() if re.match(pattern, f"{self.text} ")), None)


def lines_of(page: str) -> Iterator[tuple[str, bool]]:
    """Lines of code blocks, with loops unrolled, and pieces of code within the text (False)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:sh|text|yaml)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            loop = re.match(r"for (\w+) in ([^;]+); do (.*); done", line)
            for value in loop[2].split() if loop else [""]:
                yield loop[3].replace(f"${loop[1]}", value) if loop else line, True
    for piece in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield piece, False


def commands_of(page: str) -> list[Command]:
    found = []
    for line, in_block in lines_of(page):
        start = r"(?:^|[\s(])" if in_block else r"^(?:\w+=\S+ )*"
        for program in PROGRAMS:
            match = re.search(rf"{start}{program}(?P<rest>.*)", line.split("  #")[0])
            if match is None or "<" in match["rest"]:
                continue
            words = tuple(shlex.split(match["rest"].strip().rstrip(")"), comments=True))
            if words:
                found.append(Command(page, PROGRAMS[program], words))
            break
    return found


COMMANDS = {page: commands_of(page) for page in PAGES}
OURS = [command for page in PAGES for command in COMMANDS[page] if command.program == "doppelbench"]


def parse(command: Command) -> dict[str, Any]:
    """The values of the verb's parameters; a word that the command line does not know is an error of it."""
    verb: Any = typer.main.get_command(cli.app)
    words = list(command.words)
    name = ""
    while hasattr(verb, "commands"):
        name = words.pop(0)
        assert name in verb.commands, f"{command.page}: there is no verb {name}"
        verb = verb.commands[name]
        if not words and hasattr(verb, "commands"):
            return {}
    # The name of a verb within a sentence is no command.
    return verb.make_context(name, words).params if words or not verb.params else {}


def is_mention(command: Command) -> bool:
    verb: Any = typer.main.get_command(cli.app)
    for word in command.words:
        if word not in getattr(verb, "commands", {}):
            return False
        verb = verb.commands[word]
    return any(parameter.required for parameter in getattr(verb, "params", ())) or hasattr(verb, "commands")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_is_known_to_the_command_line(page: str, template: Path) -> None:
    from doppelbench.baselines.registry import find_system
    from doppelbench.benchmark.detection_options import read_detectors
    from doppelbench.detectors.registry import find_detector

    promised: set[Path] = set()
    for command in COMMANDS[page]:
        if command.program != "doppelbench" or is_mention(command):
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(template)
            patch.setenv("DOPPELBENCH_REALDATA", str(template))
            given = parse(command)
            if isinstance(given.get("recipe"), str):
                overrides = given["overrides"] if command.words[0] != "submit" else None
                load_recipe(given["recipe"], overrides or [])
            if command.words[0] == "train":
                find_system(given["system"])
            if isinstance(given.get("detectors"), str):
                for chosen in read_detectors(given["detectors"], "small"):
                    find_detector(chosen.name)
            if isinstance(given.get("metrics"), str):
                check_metrics(split_metrics(given["metrics"]))
            if command.words[0] == "data" and not given["reader"].endswith(".parquet"):
                assert given["reader"] in {*READERS, "talkers"}
        for name, value in given.items():
            for path in value if isinstance(value, list | tuple) else [value]:
                if isinstance(path, Path) and name in OUTPUTS:
                    promised.add(path)
                elif isinstance(path, Path) and command.matching(ONLY_PARSED):
                    there = any(template.glob(str(path))) or path in promised
                    assert there, f"{page}: {command.text}: nothing on the page makes {path}"


def test_every_reason_is_still_needed() -> None:
    for table in (ONLY_PARSED, SHORTENED, CODES):
        for pattern in table:
            assert any(command.matching({pattern: True}) for command in OURS), (
                f"no command begins with {pattern}"
            )


@pytest.mark.parametrize("page", PAGES)
def test_scripts_tests_and_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in COMMANDS[page]:
        if command.program == "make":
            assert command.words[0] in targets, command
        elif command.program == "script":
            assert (ROOT / "docs" / command.words[0]).is_file(), command
        elif command.program == "pytest":
            for word in command.words:
                assert not word.startswith("tests/") or (ROOT / word).exists(), command


def call(words: list[str]) -> tuple[int, str]:
    """Exit code and standard error of the command line, in this process."""
    said, shown = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", ["doppelbench", *words])
        with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as caught:
            cli.main()
    return int(caught.value.code or 0), said.getvalue() + shown.getvalue()


def sound(path: Path, number: int, seconds: float = 1.5, talker: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speak(TALKERS[talker], f"{TEST_SENTENCES[0]} {number}", seconds), RATE)
    return path


def write_table(path: Path, rows: list[list[str]], separator: str = ",") -> None:
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")


def small_run(place: Path, manifest: Path) -> Path:
    """A finished run of systems that are the linear baseline under the names of the pages."""
    with manifest.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["speaker"] in ("ana", "cleo")]
    for row in rows:
        row["audio"] = str(manifest.parent / row["audio"])
    write_table(place / "clips.csv", [list(rows[0]), *(list(row.values()) for row in rows)])
    heard = [[f"{row['id']}_to_ana", "bin blue at a nine now"] for row in rows]
    write_table(place / "heard.csv", [["id", "text"], *heard])
    recipe = {
        "name": "small",
        "corpus": {"reader": "csv", "root": str(place / "clips.csv")},
        "trials": {"targets": ["ana"], "per_target": 2},
        "systems": [{"name": "pca-projection", "label": label} for label in LABELS],
        "preset": "tiny",
        "training": {"device": "cpu"},
        "metrics": ["sca", "wer"],
        "recognizer": f"stored:{place / 'heard.csv'}",
        "normalizer": "basic",
        "jobs": 1,
    }
    (place / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    code, said = call(["run", str(place / "recipe.yaml"), "--out", str(place / "run"), "--min-coverage", "0"])
    assert code == 0, said
    return place / "run"


def stored_detection_runs() -> Any:
    """The examples of another folder of tests, which the path does not name."""
    path = ROOT / "tests/benchmark/stored_detection_runs.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the pages take for granted."""
    place = tmp_path_factory.mktemp("documentation")
    for name in RUNS:
        (place / "runs" / name).mkdir(parents=True)
    speech = np.tile(speak(TALKERS[0], TEST_SENTENCES[0], 12.0), 3)
    for name in ("address", "long", "three-minutes", "voice"):
        soundfile.write(place / f"{name}.flac", speech, RATE)
    for number, name in enumerate(
        ("sentence.wav", "interviews/one.wav", "a.wav", "b.wav", "natural/sentence.wav")
    ):
        sound(place / name, number % 2, 3.0)
    rows = [["id", "out", "ref", "text"]]
    for number in range(2):
        sound(place / f"pairs/out{number}.wav", number, talker=1)
        sound(place / f"pairs/ref{number}.wav", number)
        rows.append([f"p{number}", f"pairs/out{number}.wav", f"pairs/ref{number}.wav", "bin blue"])
    write_table(place / "pairs.csv", rows)
    for name in ("out", "ref"):
        write_table(place / f"{name}.scp", [[f"p{n}", f"pairs/{name}{n}.wav"] for n in range(2)], " ")
    for folder in ("heads", "films"):
        (place / folder).mkdir()
        write_video(place / folder / "one.mkv", film(0))
    (place / "fake").mkdir()
    for number in range(12):
        samples, _ = soundfile.read(sound(place / f"real/r{number}.wav", number, 1.0))
        soundfile.write(place / f"fake/f{number}.wav", np.convolve(samples, np.ones(4) / 4), RATE)
    sound(place / "questioned/q.wav", 3)
    names = [f"T{number:02d}" for number in range(20)]
    classes = ["bonafide", "spoof"]
    protocol = [
        ["S1", name, "-", "-" if i % 2 == 0 else "A01", classes[i % 2]] for i, name in enumerate(names)
    ]
    write_table(place / "protocol.txt", protocol, " ")
    scores = np.random.default_rng(0).normal(size=len(names)) + np.arange(len(names)) % 2 * -2.0
    write_table(place / "scores.txt", [[n, f"{s:.4f}"] for n, s in zip(names, scores, strict=True)], " ")
    for name in READERS:
        (place / "data" / name).mkdir(parents=True)
    for number in range(1, 6):
        name = f"p225_00{number}"
        sound(place / f"VCTK-Corpus/wav48/p225/{name}.wav", number)
        (place / "VCTK-Corpus/txt/p225").mkdir(parents=True, exist_ok=True)
        (place / f"VCTK-Corpus/txt/p225/{name}.txt").write_text("bin blue")
    page = (ROOT / "docs/compare-and-gate.md").read_text(encoding="utf-8")
    (place / "gate.yaml").write_text(
        re.search(r"```yaml\n(rules:.*?)```", page, re.DOTALL)[1], encoding="utf-8"
    )
    make_submission(place / "my-system")
    stored_detection_runs().write_detection_run(place / "runs/forensics", media=False)
    (place / "leaderboards/results").mkdir(parents=True)
    for result in (ROOT / "leaderboards/results").glob("talk*"):
        shutil.copy(result, place / "leaderboards/results")
    (place / "recipe.yaml").write_text("corpus: {reader: talkers}\n", encoding="utf-8")
    shutil.copytree(ROOT / "tests/baseline", place / "tests/baseline")
    return place


@pytest.fixture(scope="module")
def workplace(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with runs of some seconds in the place of long ones."""
    place = tmp_path_factory.mktemp("work") / "place"
    shutil.copytree(template, place)
    run = small_run(place, corpus_below(tmp_path_factory.getbasetemp()))
    for name in RUNS:
        shutil.copytree(run, place / "runs" / name, dirs_exist_ok=True)
    shutil.copytree(run, place / "baseline")
    return place


def test_commands_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = []
    for page in PAGES:
        own = workplace.parent / page.replace("/", "-")
        shutil.copytree(workplace, own)
        monkeypatch.chdir(own)
        for command in COMMANDS[page]:
            if command.program != "doppelbench" or is_mention(command) or command.matching(ONLY_PARSED):
                continue
            prepare(command)
            words = [part for word in command.words for part in expanded(word)]
            code, said = call([*words, *(command.matching(SHORTENED) or "").split()])
            if code not in (command.matching(CODES) or {0}):
                failures.append(f"{page}: {command.text}: exit code {code}: {said[-600:]}")
    assert not failures, "\n".join(failures)


def expanded(word: str) -> list[str]:
    return [str(path) for path in sorted(Path().glob(word))] if "*" in word else [word]


def prepare(command: Command) -> None:
    """What happens between two commands of a page: people vote, and a site grows old."""
    if command.text.startswith("listen analyse ") and not Path("votes.csv").exists():
        call(["listen", "simulate", "study", "--out", "votes.csv", "--raters", "4"])
    if command.text.startswith("board diff ") and not Path("old").exists():
        shutil.copytree("site", "old")
