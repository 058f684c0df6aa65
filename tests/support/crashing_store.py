"""A store whose process dies at one of its writes."""

from __future__ import annotations

from typing import Any, cast

from grmu_audit.tracking import Store


class Crash(BaseException):
    """The process is gone."""


class _Crashing:
    """A store whose process dies just before or just after its n-th write."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, at, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in ("append", "set_alias", "delete_alias", "tag"):
            return real

        def write(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Crash
            result = real(*args, **kwargs)
            if self._left == 0:
                raise Crash
            return result

        return write


def crashing(store: Store, at: int, *, after: bool) -> Store:
    """The store, whose process dies just before or just after its n-th write, from 1."""
    return cast("Store", _Crashing(store, at, after=after))
