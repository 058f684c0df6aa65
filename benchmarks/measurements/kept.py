"""Results of long benchmarks, kept in the repository: a run goes on where another one, or another machine, stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from grmu_audit.utils import canonical_json, write_atomic

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
"""Folder of what is kept, one file or folder for each page."""


class Kept:
    """Results by name in one JSON file, with the digest of the code that gave them; those of other code are not used.

    Args:
        path: file, written as soon as a result is there.
        code: digest of everything that the results depend on beside their names.
    """

    def __init__(self, path: Path, code: str) -> None:
        self.path, self.code = path, code
        tree = json.loads(path.read_bytes()) if path.is_file() else {}
        self.found: dict[str, Any] = tree["results"] if tree.get("code") == code else {}

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The result of that name as plain JSON types, computed where it is not there."""
        if name not in self.found:
            self.found[name] = json.loads(canonical_json(compute()))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, canonical_json({"code": self.code, "results": self.found}) + b"\n")
        return self.found[name]


def digest_of_files(names: Iterable[str], root: Path = ROOT) -> str:
    """SHA-256 over names, relative to the root, and contents; a folder stands for its Python files.

    Raises:
        FileNotFoundError: a name is neither.
    """
    files = {file for name in names for file in ((root / name).rglob("*.py") if (root / name).is_dir() else [root / name])}
    return digest([(file.relative_to(root).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()) for file in sorted(files)])


def digest(tree: object) -> str:
    """SHA-256 of a tree of plain JSON types."""
    return hashlib.sha256(canonical_json(tree)).hexdigest()
