"""Atomic writes and the cache folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from grmu_audit.errors import EnvironmentFailure


def write_atomic(path: str | os.PathLike[str], content: bytes, mode: int = 0o644) -> Path:
    """Write to a temporary name in the same folder, sync, rename; missing folders are created.

    Args:
        path: where to; an existing file is replaced, a symbolic link is replaced by the file itself.
        content: all bytes of the file.
        mode: permission bits of the new file (the process umask still applies).

    Returns:
        The path written.

    Raises:
        EnvironmentFailure: the folder cannot be written, or the disk is full; the old file is then untouched.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_synced(temporary, content, mode)
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {target}: {error.strerror or error}; check the path, its permissions and the free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return target


def _write_synced(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename durable where the platform can sync a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


CACHE_VARIABLE = "GRMU_AUDIT_CACHE"
"""Environment variable with the folder of caches."""


def cache_folder() -> Path:
    """Folder of all caches: ``$GRMU_AUDIT_CACHE``, else ``grmu-audit`` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grmu-audit"
