"""What is found by its name and loaded on demand: plug-ins of a registry, names of a package."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.utils.notations import by_notation, notation_key

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to plug-ins of one kind: a duplicate name raises, entry points are looked up on demand.

    Args:
        kind: what the plug-ins are, for messages (``"method"``).
        group: entry-point group that third parties add to (``"grmu_audit.methods"``).

    >>> colours = Registry[str]("colour", "example.colours")
    >>> colours.add("red", "#f00")
    '#f00'
    >>> colours.get("red")
    '#f00'
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._items: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, item: T) -> T:
        """Register an item.

        Raises:
            InputError: the name is taken.
        """
        if name in self._items:
            raise InputError(f"{self.kind} {name!r} is registered twice: rename or remove one of the two")
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of ``add``."""
        return lambda item: self.add(name, item)

    def get(self, name: str) -> T:
        """The item of that name.

        Raises:
            NotFoundError: no such name; the message lists the nearest and all known names.
        """
        self._load()
        if name not in self._items:
            raise NotFoundError(
                f"no {self.kind} {name!r}{did_you_mean(name, list(self._items))}; known: {', '.join(sorted(self._items))}"
            )
        return self._items[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._items)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return iter([(name, self._items[name]) for name in self.names()])

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        from importlib.metadata import entry_points

        for point in entry_points(group=self.group):
            try:
                item = point.load()
            except Exception as error:
                raise InputError(
                    f"{self.kind} {point.name!r} of an installed package cannot be loaded from {point.value} "
                    f"({type(error).__name__}: {error}): repair that package, or uninstall it"
                ) from error
            self.add(point.name, item)


def did_you_mean(name: str, known: list[str]) -> str:
    """``" (did you mean 'x'?)"`` or an empty string; a name that differs in case or form only comes first.

    >>> did_you_mean("EOO", ["EO", "TA"]), did_you_mean("ID", ["idle", "id"])
    (" (did you mean 'EO'?)", " (did you mean 'id'?)")
    """
    import difflib

    same = by_notation(known).get(notation_key(name))
    close = [same] if same is not None else difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def lazy_names(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """The ``__getattr__`` of a package whose names are imported on first use, so that importing it loads nothing heavy.

    Args:
        package: its full name.
        modules: which names each of its modules gives.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> object:
        """Import the module that has the name.

        Raises:
            AttributeError: none has.
        """
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get
