"""One look at a store: what a check reads twice is fetched once, and all of it is of the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grmu_audit.records import ModelRef
from grmu_audit.tracking.store import LogEntry, Store

LARGEST_KEPT = 4 << 20
"""Bytes of an artifact that is kept; a larger one is fetched again."""


class ReadOnce:
    """A store as it is read by one check, which writes nothing.

    Args:
        store: the tracking store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[object, ...], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def entries(self, log: str) -> list[LogEntry]:
        """See ``Store``."""
        return list(self._once(("entries", log), self._store.entries, log))

    def versions(self, name: str, role: str | None = None) -> list[ModelRef]:
        """See ``Store``."""
        found = self._once(("versions", name), self._store.versions, name)
        return [ref for ref in found if role is None or ref.role == role]

    def tags(self, ref: ModelRef) -> dict[str, str]:
        """See ``Store``."""
        return dict(self._once(("tags", ref.label), self._store.tags, ref))

    def manifest_of(self, ref: ModelRef) -> str:
        """See ``Store``."""
        return str(self._once(("manifest", ref.label), self._store.manifest_of, ref))

    def run_artifact(self, run_id: str, path: str) -> bytes | None:
        """See ``Store``."""
        return self.run_artifacts(run_id, (path,))[path]

    def run_artifacts(self, run_id: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """See ``Store``."""
        missing = [path for path in paths if (run_id, path) not in self._kept]
        fetched = self._store.run_artifacts(run_id, missing) if missing else {}
        kept = {path: content for path, content in fetched.items() if len(content or b"") <= LARGEST_KEPT}
        self._kept |= {(run_id, path): content for path, content in kept.items()}
        return {path: fetched[path] if path in fetched else self._kept[run_id, path] for path in paths}

    def _once(self, key: tuple[object, ...], read: Any, argument: object) -> Any:
        if key not in self._kept:
            self._kept[key] = read(argument)
        return self._kept[key]
