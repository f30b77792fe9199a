"""The floors of the house: no import runs upward, heavy packages load when first used."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each room may import besides itself; the table of docs/architecture.md.
ALLOWED = {
    "corpora": set(),
    "engine": set(),
    "metrics": {"corpora"},
    "baselines": {"engine", "corpora"},
    "detectors": {"engine", "corpora", "metrics"},
    "listening": {"metrics", "corpora"},
    "leaderboards": {"metrics", "corpora"},
    "benchmark": {
        "baselines",
        "corpora",
        "detectors",
        "engine",
        "leaderboards",
        "listening",
        "metrics",
    },
}


def imported_rooms(source: str) -> set[str]:
    """Rooms that a module imports, anywhere in it, by statement or by the string of a lazy target."""
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            names = [node.value.replace(":", ".")]
        for name in names:
            parts = name.split(".")
            if parts[0] == "doppelbench" and len(parts) > 2:
                rooms.add(parts[1])
    return rooms


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_no_import_runs_upward(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        foreign = imported_rooms(path.read_text()) - {room} - ALLOWED[room]
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_the_check_sees_every_kind_of_import() -> None:
    assert imported_rooms("import doppelbench.benchmark.cli") == {"benchmark"}
    assert imported_rooms("from doppelbench.engine import run") == {"engine"}
    assert imported_rooms("def f():\n    from doppelbench.metrics.wer import x") == {"metrics"}
    assert imported_rooms("TARGET = 'doppelbench.baselines.exemplar:Exemplar'") == {"baselines"}


def test_relative_imports_are_not_used() -> None:
    for room in ALLOWED:
        for path in (ROOT / room).rglob("*.py"):
            relative = [
                node
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ImportFrom) and node.level
            ]
            assert not relative, path


def test_no_folder_is_named_as_the_module_beside_it() -> None:
    modules = [path for room in ALLOWED for path in (ROOT / room).rglob("*.py")]
    assert modules
    # A type checker may take such a folder for the package and lose the module.
    assert [path for path in modules if path.with_suffix("").is_dir()] == []


def test_every_package_is_installed_and_typed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "doppelbench." + ".".join(path.parent.relative_to(ROOT).parts)
        for room in ALLOWED
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert found == listed
    assert all((ROOT / room / "py.typed").is_file() for room in ALLOWED)


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("doppelbench.metrics", {"torch", "torchaudio", "pandas", "numba", "librosa", "whisper", "pyworld"}),
        ("doppelbench.corpora", {"torch", "pandas", "av"}),
        ("doppelbench.engine", {"torch", "lightning", "pandas"}),
        ("doppelbench.benchmark.cli", {"torch", "numpy", "pandas", "pydantic", "matplotlib"}),
    ],
)
def test_import_is_light(module: str, forbidden: set[str]) -> None:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not forbidden & set(loaded.split())
