"""What the store reads: through MLflow's client, or from the tables of an embedded database without loading MLflow.

MLflow's client and its SQL store take 2 to 4 processor seconds to import; a table is read in milliseconds.  Both readers below
give the same rows, which ``tests/unit/tracking/mlflow/test_reading.py`` compares; everything is written through MLflow alone.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from grmu_audit.errors import IntegrityError
from grmu_audit.tracking.mlflow.environment import Location, database_file
from grmu_audit.tracking.mlflow.errors import MissingRowError, is_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient

KNOWN_SCHEMAS = frozenset({"dc11669786a5"})
"""Revisions of MLflow's tables that ``TableReader`` was compared with; any other is read through MLflow itself."""
_PAGE = 200
_RUN_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}")
"""What MLflow gives to a run; what is written otherwise names none."""
_PROMPT = "mlflow.prompt.is_prompt"
_BUSY_SECONDS = 20.0


@dataclass(frozen=True)
class VersionRow:
    """A registered version as the registry has it."""

    number: int
    """Its version number."""
    source: str
    """Where its files are said to be."""
    run_id: str | None
    """Run that created it; None when unknown."""
    tags: dict[str, str]
    """Its tags."""
    description: str = ""
    """Its description."""


@dataclass(frozen=True)
class RunRow:
    """A run as the tracking store has it."""

    artifact_uri: str
    """Where its artifacts are."""
    active: bool
    """False for a deleted run."""
    experiment: str
    """Id of its experiment."""


class Reader(Protocol):
    """What ``MlflowStore`` asks for."""

    def models(self) -> list[str]:
        """Names of the registered models."""
        ...

    def versions(self, name: str) -> list[VersionRow]:
        """Versions of a model, oldest first; empty for an unknown model."""
        ...

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version number; empty for an unknown model."""
        ...

    def version(self, name: str, number: str) -> VersionRow:
        """One version; ``MissingRowError`` or MLflow's own error where there is none."""
        ...

    def served_from(self, name: str, number: str) -> str:
        """The address that MLflow hands out for the version's files."""
        ...

    def run(self, run_id: str) -> RunRow:
        """One run; ``MissingRowError`` or MLflow's own error where there is none."""
        ...

    def runs_by_id(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        """Those of the runs that there are, by id."""
        ...

    def model_description(self, name: str) -> str:
        """Description of a model; empty for an unknown model."""
        ...

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """The last value of every metric of a run; empty for an unknown run."""
        ...

    def logged_metrics(self, logged_model: str) -> list[tuple[str, float]]:
        """Every metric value of a logged model, sorted; empty for an unknown one."""
        ...


@dataclass(frozen=True)
class ClientReader:
    """Reads through MLflow's client: servers, and databases of other kinds or schemas."""

    client: MlflowClient
    """Connected."""

    def models(self) -> list[str]:
        """See ``Reader``."""
        return [model.name for model in _pages(self.client.search_registered_models)]

    def versions(self, name: str) -> list[VersionRow]:
        """See ``Reader``."""
        found = _pages(partial(self.client.search_model_versions, f"name='{name}'"))
        return sorted(map(self._row, found), key=lambda row: row.number)

    def aliases(self, name: str) -> dict[str, str]:
        """See ``Reader``."""
        found = _unless_missing(partial(self.client.get_registered_model, name))
        return {alias: str(version) for alias, version in found.aliases.items()} if found is not None else {}

    def version(self, name: str, number: str) -> VersionRow:
        """See ``Reader``."""
        return self._row(self.client.get_model_version(name, number))

    def served_from(self, name: str, number: str) -> str:
        """See ``Reader``."""
        return str(self.client.get_model_version_download_uri(name, number))

    def run(self, run_id: str) -> RunRow:
        """See ``Reader``."""
        return self._run(self.client.get_run(run_id))

    def runs_by_id(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        """See ``Reader``; one search in the first one's experiment takes a third of the time of a call for each."""
        from mlflow.entities import ViewType

        found: dict[str, RunRow] = {}
        wanted = [run_id for run_id in run_ids if _RUN_ID.fullmatch(run_id)]
        for run_id in wanted:
            if run_id in found or (run := _unless_missing(partial(self.client.get_run, run_id))) is None:
                continue
            found[run_id] = self._run(run)
            named = ", ".join(f"'{other}'" for other in [one for one in wanted if one not in found][:_PAGE])
            if named:
                experiment, condition = [found[run_id].experiment], f"attributes.run_id IN ({named})"
                search = partial(self.client.search_runs, experiment, condition, ViewType.ALL)
                found |= {other.info.run_id: self._run(other) for other in _pages(search)}
        return found

    def model_description(self, name: str) -> str:
        """See ``Reader``."""
        found = _unless_missing(partial(self.client.get_registered_model, name))
        return (found.description or "") if found is not None else ""

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """See ``Reader``."""
        found = _unless_missing(partial(self.client.get_run, run_id))
        return dict(found.data.metrics) if found is not None else {}

    def logged_metrics(self, logged_model: str) -> list[tuple[str, float]]:
        """See ``Reader``."""
        found = _unless_missing(partial(self.client.get_logged_model, logged_model))
        return sorted((metric.key, metric.value) for metric in found.metrics or ()) if found is not None else []

    @staticmethod
    def _run(run: Any) -> RunRow:
        return RunRow(run.info.artifact_uri, run.info.lifecycle_stage == "active", str(run.info.experiment_id))

    @staticmethod
    def _row(version: Any) -> VersionRow:
        return VersionRow(
            int(version.version), version.source or "", version.run_id or None, dict(version.tags), version.description or ""
        )


def _unless_missing(read: Callable[[], Any]) -> Any:
    """What MLflow's client gives; None where there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return read()
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def _pages(search: Any) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = search(max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@dataclass(frozen=True)
class TableReader:
    """Reads MLflow's tables in SQLite files: the rows that its own store would give, deleted versions and prompts left out."""

    runs: Path
    """Database of the runs."""
    registry: Path
    """Database of the registered models."""

    @classmethod
    def of(cls, location: Location) -> TableReader | None:
        """A reader of the databases at that place; None where MLflow itself must read them.

        That is: a server or another kind of database, tables of a revision that is not known, or workspaces.
        """
        files = [database_file(uri) for uri in (location.tracking_uri, location.registry_uri)]
        enabled = os.environ.get("MLFLOW_ENABLE_WORKSPACES", "").strip().lower() in ("true", "1")
        if enabled or not all(file is not None and file.is_file() and _revision(file) in KNOWN_SCHEMAS for file in files):
            return None
        return cls(*filter(None, files))

    def models(self) -> list[str]:
        """See ``Reader``."""
        text = (
            "SELECT name FROM registered_models WHERE workspace = 'default' AND name NOT IN"
            " (SELECT name FROM registered_model_tags WHERE workspace = 'default' AND key = ? AND value = 'true')"
        )
        return [name for (name,) in _rows(self.registry, text, _PROMPT)]

    def versions(self, name: str) -> list[VersionRow]:
        """See ``Reader``."""
        found = self._versions(name)
        if any(row.tags.get(_PROMPT) == "true" for row, _ in found):  # to MLflow's search all its versions are prompts then
            return []
        return [row for row, _ in found]

    def aliases(self, name: str) -> dict[str, str]:
        """See ``Reader``."""
        text = (
            "SELECT alias, version FROM registered_models JOIN registered_model_aliases USING (workspace, name)"
            " WHERE workspace = 'default' AND name = ?"
        )
        if self._is_prompt(name):
            return {}
        return {alias: str(version) for alias, version in _rows(self.registry, text, name)}

    def version(self, name: str, number: str) -> VersionRow:
        """See ``Reader``."""
        row, _ = self._version(name, number)
        if _PROMPT in row.tags:
            raise MissingRowError(f"Registered Model with name={name!r} not found.")
        return row

    def served_from(self, name: str, number: str) -> str:
        """See ``Reader``."""
        if self._is_prompt(name):
            raise MissingRowError(f"Registered Model with name={name!r} not found.")
        row, location = self._version(name, number)
        return location or row.source

    def run(self, run_id: str) -> RunRow:
        """See ``Reader``."""
        text = "SELECT artifact_uri, lifecycle_stage, experiment_id FROM runs WHERE run_uuid = ?"
        for uri, stage, experiment in _rows(self.runs, text, run_id):
            _require_text(f"run {run_id}", uri, stage)
            return RunRow(uri or "", stage == "active", str(experiment))
        raise MissingRowError(f"Run with id={run_id} not found")

    def runs_by_id(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        """See ``Reader``."""
        found: dict[str, RunRow] = {}
        for run_id in run_ids:
            with suppress(MissingRowError):
                found[run_id] = self.run(run_id)
        return found

    def model_description(self, name: str) -> str:
        """See ``Reader``."""
        text = "SELECT description FROM registered_models WHERE workspace = 'default' AND name = ?"
        found = [] if self._is_prompt(name) else _rows(self.registry, text, name)
        return next((shown or "" for (shown,) in found), "")

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """See ``Reader``."""
        return dict(_rows(self.runs, "SELECT key, value FROM latest_metrics WHERE run_uuid = ?", run_id))

    def logged_metrics(self, logged_model: str) -> list[tuple[str, float]]:
        """See ``Reader``."""
        text = (
            "SELECT metric_name, metric_value FROM logged_model_metrics JOIN logged_models USING (model_id)"
            " WHERE model_id = ? AND lifecycle_stage != 'deleted'"
        )
        return sorted(_rows(self.runs, text, logged_model))

    def _is_prompt(self, name: str) -> bool:
        text = "SELECT 1 FROM registered_model_tags WHERE workspace = 'default' AND name = ? AND key = ?"
        return bool(_rows(self.registry, text, name, _PROMPT))

    def _version(self, name: str, number: str) -> tuple[VersionRow, str]:
        found = self._versions(name, int(number)) if number.isdecimal() else []
        if not found:
            raise MissingRowError(f"Model Version (name={name}, version={number}) not found")
        return found[0]

    def _versions(self, name: str, number: int | None = None) -> list[tuple[VersionRow, str]]:
        """Versions with their tags and the storage location, by one statement: all of one moment, also while others write."""
        text = (
            "SELECT version, source, run_id, storage_location, description, key, value"
            " FROM model_versions LEFT JOIN model_version_tags USING (workspace, name, version)"
            " WHERE workspace = 'default' AND name = ? AND current_stage != 'Deleted_Internal' AND (? IS NULL OR version = ?)"
            " ORDER BY version"
        )
        found: dict[int, tuple[VersionRow, str]] = {}
        for version, source, run_id, location, shown, key, value in _rows(self.registry, text, name, number, number):
            _require_text(f"{name}/{version!s:.40}", source, run_id, location, shown, key, value, number=version)
            row = VersionRow(version, source or "", run_id or None, {}, shown or "")
            tags = found.setdefault(version, (row, location or ""))[0].tags
            if key is not None:
                tags[key] = value or ""
        return list(found.values())


def _require_text(where: str, *cells: object, number: object = 0) -> None:
    """Return when cells are texts or empty, and the number is one: SQLite stores anything in any column.

    Raises:
        IntegrityError: they are not.
    """
    if type(number) is not int or not all(cell is None or isinstance(cell, str) for cell in cells):
        raise IntegrityError(f"the row of {where} in MLflow's tables holds what MLflow never writes: it was edited, restore it")


def _revision(file: Path) -> str | None:
    """Revision of MLflow's tables in a database; None where it has none or cannot be read."""
    try:
        return next((str(row[0]) for row in _rows(file, "SELECT version_num FROM alembic_version")), None)
    except sqlite3.Error:
        return None


def _rows(file: Path, text: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a query; the database is opened for it alone, and not created where it is gone."""
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", timeout=_BUSY_SECONDS, uri=True)) as connection:
        return connection.execute(text, values).fetchall()
