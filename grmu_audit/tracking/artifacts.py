"""Files on their way in and out of a store: names inside the folder, plain files only, bounded sizes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.utils import folder_manifest, manifest_sha256
from grmu_audit.utils.digests import FileEntry

SIZE_CAPS = {"model.json": 1 << 20, "MLmodel": 1 << 20, "audit.json": 64 << 20}
"""Largest size in bytes of files that are read whole, by file name."""
SERVED_MARK = "registered_model_meta"
"""File that MLflow's client writes into the folder of a version whenever it serves it from a local store."""
_LARGEST_MARK = 1000
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
"""Endings of files that run code when they are opened."""


def safe_artifact_path(path: str) -> str:
    """The relative POSIX path itself, if it is below the folder it is put in.

    Raises:
        IntegrityError: empty, absolute, with ``..``, a backslash, a drive, a control character or an empty part.

    >>> safe_artifact_path("data/model.pt2")
    'data/model.pt2'
    """
    parts = path.split("/")
    odd = any(part in ("", ".", "..") for part in parts) or any(ord(char) < 32 or char in "\\:\x7f" for char in path)
    if odd or PurePosixPath(path).is_absolute():
        raise IntegrityError(f"artifact name {path[:200]!r} leads outside its folder or is not portable: refused")
    return path


def check_size(path: str, size: int | None, where: str) -> None:
    """Refuse a file that is larger than ``SIZE_CAPS`` allows.

    Raises:
        IntegrityError: it is.
    """
    cap = SIZE_CAPS.get(PurePosixPath(path).name)
    if cap is not None and size is not None and size > cap:
        raise IntegrityError(f"{path} of {where} has {size} bytes, more than the {cap} that such a file can need: refused")


def served_marks(ref: ModelRef) -> tuple[bytes, ...]:
    r"""Every content that MLflow gives the mark of a version: its number comes as text, or as a number where an alias led to it.

    >>> served_marks(ModelRef("faces", "3"))
    (b"model_name: faces\nmodel_version: '3'\n", b'model_name: faces\nmodel_version: 3\n')
    """
    import yaml

    numbers: tuple[str | int, ...] = (ref.version, *([int(ref.version)] if ref.version.isdigit() else []))
    return tuple(
        yaml.safe_dump({"model_name": ref.name, "model_version": number}, allow_unicode=True).encode() for number in numbers
    )


def is_served_mark(path: Path) -> bool:
    """Whether a file is MLflow's mark of having served some version, and nothing else."""
    import yaml

    if path.is_symlink() or not path.is_file() or path.stat().st_size >= _LARGEST_MARK:
        return False
    try:
        tree = yaml.safe_load(path.read_bytes())
        return path.read_bytes() in served_marks(ModelRef(str(tree["model_name"]), str(tree["model_version"])))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return False


def version_files(folder: Path, ref: ModelRef | None) -> dict[str, FileEntry]:
    """The files of a folder without what MLflow itself wrote beside them when it served the version.

    Args:
        folder: of the version.
        ref: the version; None where it is not registered yet, and nothing can have been served.
    """
    entries = folder_manifest(folder)
    size = entries[SERVED_MARK]["size"] if SERVED_MARK in entries else 0
    if ref is not None and 0 < size < _LARGEST_MARK and (folder / SERVED_MARK).read_bytes() in served_marks(ref):
        del entries[SERVED_MARK]
    return entries


def folder_digest(folder: Path, where: str, ref: ModelRef | None = None) -> str:
    """Manifest digest of a folder of a version.

    Args:
        folder: its files.
        where: what it is, for messages.
        ref: the version, where it is registered: MLflow's mark of having served it is no part of its files.

    Raises:
        IntegrityError: it is missing or empty, or holds a link or a pickle.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise IntegrityError(f"the files of {where} are gone from the store")
    _check_sizes(folder, where)
    entries = version_files(folder, ref)
    if not entries:
        raise IntegrityError(f"the files of {where} are gone from the store")
    for path in entries:
        safe_artifact_path(path)
        if PurePosixPath(path).suffix.lower() in PICKLES:
            raise IntegrityError(f"{path} of {where} is a pickle by its name, which could run code when it is opened: refused")
    return manifest_sha256(entries)


def _check_sizes(folder: Path, where: str) -> None:
    """Before anything is read, so that an oversized file costs nothing."""
    for path in folder.rglob("*"):
        check_size(path.relative_to(folder).as_posix(), path.lstat().st_size, where)


def check_folder(folder: Path) -> None:
    """Refuse to register a folder that is missing, empty, or holds pickles, links or odd names.

    Raises:
        InputError: missing, empty, or a pickle.
        IntegrityError: a symbolic link or a name that leads outside.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: give the folder that holds the version's files")
    _check_sizes(folder, str(folder))
    entries = folder_manifest(folder)
    if not entries:
        raise InputError(f"{folder} is empty: a version needs its weights")
    for path in entries:
        safe_artifact_path(path)
        if PurePosixPath(path).suffix.lower() in PICKLES:
            raise InputError(f"{path} in {folder} is a pickle by its name: store weights as safetensors")
    if SERVED_MARK in entries:
        raise InputError(f"{SERVED_MARK} in {folder} is a file that MLflow writes when it serves a model: remove it")


def copy_folder(source: Path, target: Path) -> None:
    """Copy the plain files of a folder; ``target`` must not exist.

    Raises:
        IntegrityError: a symbolic link or another odd file.
        EnvironmentFailure: the disk is full or the folder cannot be written.
    """
    _check_sizes(source, str(target))
    try:
        for path in folder_manifest(source):
            place = target / safe_artifact_path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, place, follow_symlinks=False)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot copy to {target}: {error.strerror or error}; check permissions and free space"
        ) from error


def check_digest(ref: ModelRef, found: str) -> None:
    """Compare the digest of the files found with the one recorded at registration.

    Raises:
        IntegrityError: they differ, or none was recorded.
    """
    if ref.manifest_sha256 is None:
        raise IntegrityError(
            f"{ref.label} carries no manifest digest: it was not registered by this tool, or its tag was removed"
        )
    if found != ref.manifest_sha256:
        raise IntegrityError(
            f"the files of {ref.label} are not those that were registered: manifest digest {found[:16]}..., recorded"
            f" {ref.manifest_sha256[:16]}...; restore the files or register a new version"
        )


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder, removed at the end whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=".grmu-audit-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_checked(ref: ModelRef, into: Path, download: Callable[[Path], None]) -> Path:
    """Download beside ``into``, check the digest, then rename: the folder has all the right files or none.

    Raises:
        InputError: ``into`` exists and is not an empty folder.
        IntegrityError: the files are not those recorded.
        EnvironmentFailure: ``into`` cannot be written.
    """
    if into.is_symlink() or (into.exists() and not (into.is_dir() and not any(into.iterdir()))):
        raise InputError(f"{into} exists and is not an empty folder: give a new one")
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(into.parent) as temporary:
            files = temporary / "files"
            download(files)
            check_digest(ref, folder_digest(files, ref.label, ref))
            if SERVED_MARK not in version_files(files, ref):
                (files / SERVED_MARK).unlink(missing_ok=True)
            files.replace(into)
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {into}: {error.strerror or error}; check permissions and free space") from error
    return into
