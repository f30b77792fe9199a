"""The action for continuous integration decides as the gate does, and never runs what an input says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from stored_runs import write_run

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "gate" / "action.yml"
N = 48


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    scores = np.random.default_rng(0).uniform(0.5, 0.9, N)
    write_run(folder / "base", {("a", "stoi"): scores})
    write_run(folder / "same", {("a", "stoi"): scores})
    write_run(folder / "worse", {("a", "stoi"): scores - 0.1})
    return folder


@pytest.fixture
def call(runs, tmp_path):
    """Do what the last step of the action does, with its variables from the inputs."""
    step = yaml.safe_load(ACTION.read_text(encoding="utf-8"))["runs"]["steps"][-1]
    shim = tmp_path / "bin" / "doppelbench"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m doppelbench.benchmark "$@"\n')
    shim.chmod(0o755)

    def run(**inputs):
        given = {"rules": "", "junit": str(tmp_path / "gate.xml"), "against": str(runs / "base")} | inputs
        variables = {
            name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
            for name, value in step["env"].items()
        }
        path = f"{shim.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **variables, "PATH": path}
        # Composite actions run bash so.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


def test_a_run_that_is_no_worse_passes_and_leaves_its_checks(call, runs, tmp_path):
    assert call(run=str(runs / "same")).returncode == 0
    assert "testcase" in (tmp_path / "gate.xml").read_text()


def test_a_worse_run_fails_and_is_annotated(call, runs):
    done = call(run=str(runs / "worse"))
    assert done.returncode == 3
    assert "::error" in done.stderr


def test_rules_are_applied(call, runs, tmp_path):
    rules = tmp_path / "gate.yaml"
    rules.write_text("rules: [{tolerance: 0.2}]\n")
    assert call(run=str(runs / "worse"), rules=str(rules)).returncode == 0


def test_what_an_input_says_is_not_run(call, tmp_path):
    done = call(run='$(touch told); touch told; "')
    assert done.returncode == 2
    assert not (tmp_path / "told").exists()


def test_no_input_is_pasted_into_a_script():
    steps = yaml.safe_load(ACTION.read_text(encoding="utf-8"))["runs"]["steps"]
    assert all("${{" not in step["run"] for step in steps)


def recipes() -> list:
    """The YAML of the page's part on continuous integration."""
    page = (ACTION.parents[3] / "docs" / "compare-and-gate.md").read_text(encoding="utf-8")
    part = page.split("### In continuous integration")[1].split("\n## ")[0]
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", part, re.DOTALL)]


def test_the_steps_for_github_give_the_action_what_it_asks_for():
    (steps,) = (found for found in recipes() if isinstance(found, list))
    step = next(step for step in steps if "uses" in step)
    inputs = yaml.safe_load(ACTION.read_text(encoding="utf-8"))["inputs"]
    assert ACTION.parent == ACTION.parents[3] / step["uses"].split("doppelbench/", 1)[1].split("@")[0]
    assert set(step["with"]) <= set(inputs)
    assert {name for name, entry in inputs.items() if entry.get("required")} <= set(step["with"])


def test_the_job_for_gitlab_keeps_what_its_commands_write():
    (job,) = (found["gate"] for found in recipes() if isinstance(found, dict) and "gate" in found)
    verbs = [line.split()[:2] for line in job["script"]]
    assert verbs == [["doppelbench", "run"], ["doppelbench", "gate"]]
    words = job["script"][1].split()
    assert words[words.index("--junit") + 1] == job["artifacts"]["reports"]["junit"]
    run = job["script"][0].split()
    assert run[run.index("--out") + 1] == words[2]
    assert job["artifacts"]["paths"] == [f"{words[2]}/report.html"]
    assert job["artifacts"]["when"] == "always"
