"""Listing and deleting what runs hold, through MLflow's own interface of the artifact store: runs that were deleted there, too.

MLflow deletes a run or a version by a mark; its files stay until ``mlflow gc``.  Here files go, and run and version stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.tracking import names
from grmu_audit.tracking.artifacts import safe_artifact_path, temporary_folder
from grmu_audit.tracking.mlflow.artifacts import local_folder, remote_files, repository
from grmu_audit.tracking.mlflow.processes import has_ended
from grmu_audit.tracking.mlflow.reading import RunRow
from grmu_audit.tracking.store import RunFacts
from grmu_audit.utils import sha256_file, sha256_hex

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 200


def runs_of(client: MlflowClient, experiment: str) -> Iterator[RunFacts]:
    """Every run of an experiment by its name, deleted ones too; none where there is no such experiment."""
    from mlflow.entities import ViewType

    found, token = client.get_experiment_by_name(experiment), None
    search = partial(client.search_runs, run_view_type=ViewType.ALL, max_results=_PAGE)
    while found is not None:
        page = search([found.experiment_id], page_token=token)
        for run in page:
            tags, info = run.data.tags, run.info
            ended = info.status not in ("RUNNING", "SCHEDULED") or has_ended(tags.get(names.TAG_PROCESS, ""))
            kind, subject = tags.get(names.TAG_KIND, ""), tags.get(names.TAG_SUBJECT, "")
            yield RunFacts(info.run_id, kind, subject, ended, deleted=info.lifecycle_stage != "active")
        token = page.token
        if not token:
            return


def run_files(run: RunRow, tracking_uri: str) -> dict[str, int]:
    """Path and size in bytes of every artifact of a run, whether or not the run was deleted."""
    root = local_folder(run.artifact_uri)
    if root is not None:
        found = (path for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file())
        return {path.relative_to(root).as_posix(): path.lstat().st_size for path in found}
    return {path: size or 0 for path, size in remote_files(repository(run.artifact_uri, tracking_uri), "")}


def file_sha256(run: RunRow, tracking_uri: str, path: str) -> str:
    """SHA-256 of one artifact's bytes; of a symbolic link that of the place that it names."""
    root = local_folder(run.artifact_uri)
    if root is not None:
        place = root / safe_artifact_path(path)
        return sha256_hex(str(place.readlink()).encode()) if place.is_symlink() else sha256_file(place)
    with temporary_folder() as folder:
        state = hashlib.sha256()
        got = Path(repository(run.artifact_uri, tracking_uri).download_artifacts(safe_artifact_path(path), str(folder)))
        with got.open("rb") as stream:
            while part := stream.read(1 << 20):
                state.update(part)
        return state.hexdigest()


def remove_files(run: RunRow, tracking_uri: str, paths: Iterable[str]) -> None:
    """Delete artifacts of a run; what is gone already is no failure.

    Raises:
        EnvironmentFailure: the store does not delete, or something is still there.
    """
    wanted = {safe_artifact_path(path) for path in paths}
    there = wanted & run_files(run, tracking_uri).keys()
    store = repository(run.artifact_uri, tracking_uri)
    for path in sorted(there):
        try:
            store.delete_artifacts(path)
        except NotImplementedError:
            raise EnvironmentFailure(
                f"the artifact store behind {run.artifact_uri} cannot delete: delete {path} there by hand, then resume"
            ) from None
    root = local_folder(run.artifact_uri)
    if root is not None:
        _remove_empty_folders(root, there)
    if left := sorted(wanted & run_files(run, tracking_uri).keys()):
        raise EnvironmentFailure(f"{', '.join(left[:5])} could not be deleted: check the account's permissions, then resume")


def _remove_empty_folders(root: Path, removed: Iterable[str]) -> None:
    for folder in sorted({part for path in removed for part in PurePosixPath(path).parents if part.name}, reverse=True):
        place = root / folder
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
