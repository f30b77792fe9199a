"""Systems are found by name, built in or installed, and no name stands for two."""

import importlib.metadata

import pytest

from doppelbench.baselines import registry
from doppelbench.baselines.exemplar import Exemplar
from doppelbench.baselines.reference_rows import ReferenceRow, Source
from doppelbench.baselines.system import SystemSpec
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.engine import registry as engine_registry


class Plugged(ReferenceRow):
    """A system that another package would install."""

    spec = SystemSpec("plugged", "Plugged in", "voice-conversion")

    def convert(self, trial):
        raise NotImplementedError


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(registry.SYSTEMS, "registered", dict(registry.SYSTEMS.registered))
    entry = importlib.metadata.EntryPoint("plugged", f"{__name__}:Plugged", registry.SYSTEMS.group)
    entries = importlib.metadata.EntryPoints([entry])
    monkeypatch.setattr(engine_registry, "entry_points", lambda **wanted: entries.select(**wanted))


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(DoppelbenchError, match="'exemplar'"):
        registry.find_system("exempler")


def test_every_built_in_name_is_that_of_its_class():
    for name in registry.system_names():
        assert registry.find_system(name).spec.name == name


def test_a_system_of_another_package_is_listed_and_found(installed):
    assert "plugged" in registry.system_names()
    assert registry.find_system("plugged").spec.title == "Plugged in"


def test_a_second_system_of_a_name_is_refused(monkeypatch):
    monkeypatch.setattr(registry.SYSTEMS, "registered", {"source": Source})
    another = type("Source", (Source,), {"__module__": "another.package"})
    with pytest.raises(DoppelbenchError, match=r"'source'.*another\.package"):
        registry.register(another)
    assert registry.register(Source) is Source


def test_a_built_in_system_is_not_replaced_by_an_installed_one(monkeypatch):
    entry = importlib.metadata.EntryPoint("exemplar", f"{__name__}:Plugged", registry.SYSTEMS.group)
    entries = importlib.metadata.EntryPoints([entry])
    monkeypatch.setattr(engine_registry, "entry_points", lambda **wanted: entries.select(**wanted))
    assert registry.find_system("exemplar") is Exemplar
    assert registry.system_names().count("exemplar") == 1
