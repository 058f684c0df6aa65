"""Reading a run's artifacts back without trusting their author."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from grmu_audit.errors import EnvironmentFailure, IntegrityError
from grmu_audit.tracking import artifacts
from grmu_audit.tracking.mlflow.errors import http_status, is_missing, is_refused
from grmu_audit.tracking.mlflow.reading import RunRow

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_MAX_FILES = 10_000
_MAX_DEPTH = 20


def local_folder(artifact_uri: str) -> Path | None:
    """The folder behind a local artifact URI; None where artifacts come over a network."""
    parts = urlsplit(artifact_uri)
    if parts.scheme == "file" and not parts.netloc:
        return Path(url2pathname(parts.path))
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    return Path(local_file_uri_to_path(artifact_uri)) if is_local_uri(artifact_uri) else None


def repository(artifact_uri: str, tracking_uri: str) -> ArtifactRepository:
    """The artifact service behind a URI, queried directly.

    The client's own ``download_artifacts`` mixes in files of logged models and reports every failure as a missing file.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(artifact_uri, tracking_uri)


def remote_files(store: ArtifactRepository, folder: str) -> Iterator[tuple[str, int | None]]:
    """Path and size of every file below an artifact folder, as the server lists them.

    Raises:
        IntegrityError: a name that leads outside, or far too many files or folders within folders.
    """
    waiting, seen = [folder], 0
    while waiting:
        here = waiting.pop()
        for info in store.list_artifacts(here):
            path = artifacts.safe_artifact_path(info.path)
            seen += 1
            deep = len(PurePosixPath(path).parts) > _MAX_DEPTH
            if PurePosixPath(here) not in PurePosixPath(path).parents or seen > _MAX_FILES or deep:
                raise IntegrityError(f"the artifact list of {folder} is not plausible at {path[:200]!r}: refused")
            if info.is_dir:
                waiting.append(path)
            else:
                yield path, info.file_size


def download_folder(store: ArtifactRepository, folder: str, target: Path, where: str) -> None:
    """Copy the files of one artifact folder of a run to ``target``.

    Raises:
        IntegrityError: a name that leads outside, a link, an oversized file, or one that is listed and not handed out.
        EnvironmentFailure: the disk is full or ``target`` cannot be written.
    """
    with artifacts.temporary_folder() as temporary:
        for path, size in remote_files(store, folder):
            artifacts.check_size(path, size, where)
            got = _download(store, path, temporary, where)
            _move(got, target / PurePosixPath(path).relative_to(folder))


def _download(store: ArtifactRepository, path: str, folder: Path, where: str) -> Path:
    from mlflow.exceptions import MlflowException

    got = folder / path
    try:
        got.parent.mkdir(parents=True, exist_ok=True)
        store._download_file(path, str(got))  # download_artifacts asks the server first whether this listed file is a folder
    except (MlflowException, OSError) as error:
        known = isinstance(error, MlflowException) and (is_missing(error) or is_refused(error))
        if known or http_status(error) in (400, 404):
            raise IntegrityError(
                f"{path} of {where} is listed by the store, but is not a file that it hands out: refused"
            ) from error
        raise
    if got.is_symlink() or not got.is_file():
        raise IntegrityError(f"{path} of {where} is not a plain file: refused")
    return got


def read_artifacts(run: RunRow, tracking_uri: str, where: str, paths: Sequence[str]) -> dict[str, bytes | None]:
    """The bytes of artifacts of a run; None when the run was deleted or has none of that name.

    Raises:
        IntegrityError: a link or an oversized file.
    """
    if not run.active:
        return dict.fromkeys(paths)
    root = local_folder(run.artifact_uri)
    if root is not None:
        return {path: _read_local(root, path, where) for path in paths}
    return _read_remote(repository(run.artifact_uri, tracking_uri), paths, where)


def _read_remote(store: ArtifactRepository, paths: Sequence[str], where: str) -> dict[str, bytes | None]:
    """Each folder is listed once."""
    folders = {str(PurePosixPath(path).parent) for path in paths}
    listed = [info for folder in sorted(folders) for info in store.list_artifacts(None if folder == "." else folder)]
    sizes = {info.path: info.file_size for info in listed if not info.is_dir}
    found: dict[str, bytes | None] = dict.fromkeys(paths)
    for path in paths:
        if path in sizes:
            artifacts.check_size(path, sizes[path], where)
            with artifacts.temporary_folder() as temporary:
                found[path] = _download(store, path, temporary, where).read_bytes()
    return found


def _read_local(root: Path, path: str, where: str) -> bytes | None:
    place = root / path
    if not place.exists() and not place.is_symlink():
        return None
    links = [part for part in (place, *place.parents) if part != root and root in part.parents and part.is_symlink()]
    if links or not place.is_file():
        raise IntegrityError(f"{path} of {where} is not a plain file: refused")
    artifacts.check_size(path, place.stat().st_size, where)
    return place.read_bytes()


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {target}: {error.strerror or error}; check permissions and free space") from error
