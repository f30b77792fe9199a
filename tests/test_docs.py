"""What can be generated is generated, and what a document names exists."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_generated_pages_are_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text() == module.reference(), "run: make docs"
    assert (ROOT / "docs" / "data-sets.md").read_text() == module.data_sets(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_point_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_verb_has_an_example_in_the_readme() -> None:
    from doppelbench.benchmark.cli import app

    text = (ROOT / "README.md").read_text()
    verbs = [command.name for command in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        verbs += [f"{group.name} {command.name}" for command in group.typer_instance.registered_commands]
    for verb in verbs:
        assert f"doppelbench {verb} " in text or f"doppelbench {verb}\n" in text, verb


def test_options_in_the_readme_exist() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    for option in set(re.findall(r"(?<=\s)--[a-z][a-z-]+", (ROOT / "README.md").read_text())):
        assert option in reference, option


def test_the_parity_table_is_that_of_the_fixtures() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    for path in (ROOT / "tests" / "metrics" / "fixtures").glob("*.json"):
        content = json.loads(path.read_text())
        tolerance = max(case["tolerance"] for case in content["cases"])
        row = [content["metric"], content["expected_from"], str(len(content["cases"])), f"{tolerance:g}"]
        cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
        assert row in [[cell.strip() for cell in line[:4]] for line in cells], "run: make metrics-page"


def test_the_reference_has_every_verb_of_a_group() -> None:
    from doppelbench.benchmark.cli import app

    page = (ROOT / "docs" / "reference.md").read_text()
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            assert f"#### doppelbench {group.name} {command.name}" in page
