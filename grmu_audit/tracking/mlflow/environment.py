"""The place of the store, and settings that make MLflow quiet, private and quick to fail."""

from __future__ import annotations

import logging
import os
import re
import socket
import sqlite3
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from grmu_audit.errors import EnvironmentFailure, InputError, NotFoundError

CONNECT_SECONDS = 3.0
"""How long a command waits for an unreachable server before it gives up."""
FORCED = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Set whatever the caller's environment says: this tool sends no telemetry."""
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Set only where the caller did not: MLflow's own defaults keep retrying a dead server for minutes.

A server that takes a connection and never answers is given up after three times 7 seconds and two pauses, 1 and 2 seconds.
"""
_TRACEBACKS = ("mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
"""Loggers of MLflow that write a traceback before they raise; ``translated`` says the reason in one sentence."""


@dataclass(frozen=True)
class Location:
    """Where runs and versions are stored."""

    tracking_uri: str
    """Runs and artifacts."""
    registry_uri: str
    """Registered models."""
    artifacts: Path | None
    """Folder for artifacts of new experiments; None where the server decides."""


def locate(tracking_uri: str | None = None, registry_uri: str | None = None, root: Path = Path("mlruns")) -> Location:
    """The store meant by the options, else by ``MLFLOW_TRACKING_URI`` / ``MLFLOW_REGISTRY_URI``, else the embedded one.

    Args:
        tracking_uri: option of the caller; a server, or a database that this process opens itself.
        registry_uri: option of the caller; the tracking store when not given.
        root: folder of the embedded store: ``mlflow.db`` and ``artifacts/``.

    Raises:
        InputError: a URI of a kind that cannot hold a registry.
    """
    tracking = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(root / 'mlflow.db').absolute()}"
    registry = registry_uri or os.environ.get("MLFLOW_REGISTRY_URI") or tracking
    for uri in (tracking, registry):
        _check_scheme(uri)
        _check_sqlite(uri)
    remote = urlsplit(tracking).scheme in ("http", "https")
    return Location(tracking, registry, None if remote else (root / "artifacts").absolute())


def _check_scheme(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        scheme = parts.scheme.partition("+")[0]
        if scheme in ("http", "https") and parts.port == 0:  # ``port`` raises where it is no number
            raise ValueError("no server has port 0")
    except ValueError:  # its text may hold a part of the password
        raise InputError(
            f"tracking URI {shown_uri(uri)!r} cannot be read: check its host and port, and write / and @ in a password as %2F and"
            " %40"
        ) from None
    if scheme not in ("http", "https", "sqlite", "postgresql", "mysql", "mssql") or "://" not in uri:
        raise InputError(
            f"tracking URI {shown_uri(uri)!r} cannot be used: give http(s)://HOST:PORT of an MLflow server or a database such as"
            " sqlite:///FILE (MLflow's file store is deprecated and has no dependable order of versions)"
        )


def _check_sqlite(uri: str) -> None:
    """Refuse what names no file: SQLite would make a database in memory, which ends with the process."""
    if urlsplit(uri).scheme.partition("+")[0] == "sqlite" and database_file(uri) is None:
        raise InputError(
            f"tracking URI {shown_uri(uri)!r} names no file: write three slashes and a path, such as sqlite:///mlruns/mlflow.db"
        )


def shown_uri(uri: str) -> str:
    """A URI, or a text that holds one, without user names and passwords.

    >>> shown_uri("postgresql://ci:secret@db/mlflow")
    'postgresql://***@db/mlflow'
    """
    hidden = re.sub(r"://[^/\s]\S*@", "://***@", uri)  # up to the last @: a password may hold a slash or another @
    return re.sub(r"((?:password|passwd|pwd)(?:=|%3D))[^&\s]+", r"\1***", hidden, flags=re.IGNORECASE)


def prepare(location: Location, *, create: bool = True) -> None:
    """Set MLflow's switches, create the embedded folder, and find an unreachable server fast; call before importing mlflow.

    Raises:
        NotFoundError: without ``create``, a database that does not exist or was never a store.
        EnvironmentFailure: no server answers, the embedded folder cannot be created, or the database cannot be read.
    """
    os.environ.update(FORCED)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _TRACEBACKS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for uri in dict.fromkeys((location.tracking_uri, location.registry_uri)):
        _check_server(uri)
        if create:
            _make_database_folder(uri)
        else:
            _require_store(uri)


def _check_server(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:  # a host name with an empty part is a UnicodeError
        reason = getattr(error, "strerror", None) or error
        raise EnvironmentFailure(
            f"no MLflow server answers at {shown_uri(uri)} ({reason}): start it, or correct --tracking-uri / MLFLOW_TRACKING_URI"
        ) from error


def database_file(uri: str) -> Path | None:
    """The file of an embedded database; None for another kind of store, and for a database in memory."""
    scheme, _, rest = uri.partition(":///")
    text = rest.partition("?")[0] if scheme.partition("+")[0] == "sqlite" else ""
    return Path(text).absolute() if text not in ("", ":memory:") else None


def _require_store(uri: str) -> None:
    """Return when a database holds a store: to open it with MLflow would create one."""
    if urlsplit(uri).scheme in ("http", "https"):
        return
    file = database_file(uri)
    if not (_server_has_tables(uri) if file is None else file.is_file() and _file_has_tables(file, uri)):
        where = f"{shown_uri(uri)}{f' ({file})' if file is not None and str(file) not in uri else ''}"
        raise NotFoundError(
            f"no store at {where}: nothing was registered there yet. Go to the folder that holds mlruns/, or name the store with "
            "--tracking-uri or MLFLOW_TRACKING_URI; 'grmu-audit pretrain' and 'register' create one"
        )


def _file_has_tables(file: Path, uri: str) -> bool:
    """Whether MLflow's tables are in a database."""
    text = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'registered_models'"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)) as connection:
            return bool(connection.execute(text).fetchone()[0])
    except sqlite3.Error as error:
        raise EnvironmentFailure(f"cannot open the tracking store in {shown_uri(uri)}: {error}") from error


def _server_has_tables(uri: str) -> bool:
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    engine = None
    try:
        engine = create_engine(uri)
        return inspect(engine).has_table("registered_models")
    except ValueError:  # its text may hold a part of the password
        raise EnvironmentFailure(f"cannot open the tracking store in {shown_uri(uri)}: its port is not a number") from None
    except (SQLAlchemyError, ImportError, OSError) as error:
        reason = shown_uri(str(error)).split("\n")[0][:300]
        raise EnvironmentFailure(f"cannot open the tracking store in {shown_uri(uri)}: {reason}") from error
    finally:
        if engine is not None:
            engine.dispose()


def _make_database_folder(uri: str) -> None:
    file = database_file(uri)
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFailure(f"cannot create {file.parent} for the embedded store: {error.strerror or error}") from error
