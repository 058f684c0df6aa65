"""A store as one check reads it: what is read twice is fetched once, and all of it is of the same moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from grmu_audit.records import ModelRef
from grmu_audit.tracking import references
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

    def resolve(self, text: str) -> ModelRef:
        """See ``Store``."""
        return references.resolve(self, text)

    def entries(self, log: str) -> list[LogEntry]:
        """See ``Store``."""
        return list(self.once(("entries", log), self._store.entries, log))

    def versions(self, name: str, role: str | None = None) -> list[ModelRef]:
        """See ``Store``."""
        found = self.once(("versions", name), self._store.versions, name)
        return [ref for ref in found if role is None or ref.role == role]

    def tags(self, ref: ModelRef) -> dict[str, str]:
        """See ``Store``."""
        return dict(self.once(("tags", ref.label), self._store.tags, ref))

    def manifest_of(self, ref: ModelRef) -> str:
        """See ``Store``."""
        return str(self.once(("manifest", ref.label), self._store.manifest_of, ref))

    def run_artifact(self, run_id: str, path: str) -> bytes | None:
        """See ``Store``."""
        return self.run_artifacts(run_id, (path,))[path]

    def run_artifacts(self, run_id: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """See ``Store``."""
        return dict(self.artifacts_of_runs({run_id: paths}))[run_id]

    def artifacts_of_runs(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, bytes | None]]]:
        """See ``Store``."""
        missing = {run: [path for path in paths if (run, path) not in self._kept] for run, paths in wanted.items()}
        missing = {run: paths for run, paths in missing.items() if paths}
        fetched = iter(self._store.artifacts_of_runs(missing) if missing else ())
        for run, paths in wanted.items():
            new = next(fetched)[1] if run in missing else {}
            self._kept |= {(run, path): content for path, content in new.items() if len(content or b"") <= LARGEST_KEPT}
            yield run, {path: new[path] if path in new else self._kept[run, path] for path in paths}

    def once(self, key: tuple[object, ...], read: Any, argument: object) -> Any:
        """What ``read(argument)`` gave when that key was first asked for."""
        if key not in self._kept:
            self._kept[key] = read(argument)
        return self._kept[key]
