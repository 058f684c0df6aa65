"""Distributions of other packages, laid out as pip would."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest


def lay_out(
    place: Path, name: str, group: str, lines: Iterable[str], modules: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put a distribution with entry points where Python finds it, while the test lasts.

    Args:
        place: folder that comes first on the path.
        name: of the distribution.
        group: of its entry points.
        lines: entry points, as in ``pyproject.toml`` or without quotation marks.
        modules: path, as ``package/module.py``, to code.
        monkeypatch: takes the folder off the path again.
    """
    for path, code in modules.items():
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text(code)
    info = place / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]).replace('"', "") + "\n")
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
