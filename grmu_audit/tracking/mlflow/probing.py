"""Questions to a server or database that open no store: which version of MLflow it is, and whether one may write there."""

from __future__ import annotations

import http.client
import secrets
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from grmu_audit.errors import GrmuAuditError, NotFoundError, first_line
from grmu_audit.tracking.mlflow.environment import CONNECT_SECONDS, locate, prepare, shown_uri
from grmu_audit.tracking.mlflow.errors import translated

_LONGEST = 64


@dataclass(frozen=True)
class Place:
    """A tracking store, as far as it answers."""

    uri: str
    """Where it is; holds no secret."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""
    empty: bool = False
    """Whether nothing is stored there yet."""
    version: str = ""
    """Version of MLflow that a server names; empty for a database."""
    denied: str = ""
    """Why it could not be written, where that was tried."""


def probe(tracking_uri: str | None, registry_uri: str | None, *, write: bool = False) -> Place:
    """The store that the options mean.

    Args:
        tracking_uri: as for ``open_store``.
        registry_uri: as for ``open_store``.
        write: whether to create a registered model and delete it again.
    """
    try:
        location = locate(tracking_uri, registry_uri)
    except GrmuAuditError as error:
        return Place("", str(error))
    uri = shown_uri(location.tracking_uri)
    try:
        prepare(location, create=False)
    except NotFoundError:
        return Place(uri, empty=True)
    except GrmuAuditError as error:
        return Place(uri, str(error))
    version = _server_version(location.tracking_uri)
    return Place(uri, version=version, denied=_denied(location.tracking_uri, location.registry_uri) if write else "")


def _server_version(uri: str) -> str:
    if not uri.startswith(("http://", "https://")):
        return ""
    parts = urlsplit(uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # urllib takes a user name as part of the host
    try:
        with urllib.request.urlopen(f"{bare.rstrip('/')}/version", timeout=CONNECT_SECONDS) as answer:  # noqa: S310  (http)
            return str(answer.read(_LONGEST).decode("ascii", "replace")).strip()
    except (http.client.HTTPException, OSError, ValueError) as error:
        return f"unknown ({first_line(error)})"


def _denied(tracking_uri: str, registry_uri: str) -> str:
    """Why no registered model could be created and deleted; empty where it could."""
    name = f"grmu-audit-doctor-{secrets.token_hex(4)}"
    try:
        with translated(registry_uri, "create and delete a registered model"):
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri, registry_uri)
            client.create_registered_model(name)
            client.delete_registered_model(name)
    except GrmuAuditError as error:
        return str(error)
    return ""
