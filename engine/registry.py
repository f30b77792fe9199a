"""Classes by name, loaded when first asked for; installed packages add theirs through entry points."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

Registered = TypeVar("Registered", bound=type[Any])


class Registry(Generic[Registered]):
    """Classes of one kind, each known by the name in its ``spec``."""

    def __init__(self, kind: str, group: str, built_in: Mapping[str, str], error: type[Exception]) -> None:
        """Take what is built in; nothing is imported.

        Args:
            kind: one word for messages, such as ``system``.
            group: of the entry points by which packages add classes.
            built_in: module of each class that comes with the package; importing it registers the class.
            error: what is raised for a name that is unknown or taken.
        """
        self.kind = kind
        self.group = group
        self.built_in = built_in
        self.error = error
        self.registered: dict[str, Registered] = {}

    def register(self, added: Registered) -> Registered:
        """Class decorator that makes a class known by the name in its spec."""
        name = added.spec.name
        known = self.registered.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (
            added.__module__,
            added.__qualname__,
        ):
            raise self.error(
                f"two {self.kind}s are called {name!r}: {known.__module__} and {added.__module__}"
            )
        self.registered[name] = added
        return added

    def names(self) -> list[str]:
        """Names of what is built in and of what installed packages add."""
        added = (entry.name for entry in entry_points(group=self.group))
        return [*self.built_in, *(name for name in added if name not in self.built_in)]

    def find(self, name: str) -> Registered:
        """Return a class; an unknown name is an error that suggests the nearest."""
        if name not in self.registered and name in self.built_in:
            import_module(self.built_in[name])
        if name not in self.registered:
            for entry in entry_points(group=self.group, name=name):
                self.registered[name] = entry.load()
        if name not in self.registered:
            near = difflib.get_close_matches(name, [*self.names(), *self.registered], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(self.names())}"
            raise self.error(f"there is no {self.kind} {name!r}{hint}")
        return self.registered[name]
