"""Names of a package that are imported on first use, so that importing the package loads nothing heavy."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazy_names(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """The ``__getattr__`` of a package.

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
