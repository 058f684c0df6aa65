"""MLflow's exceptions as this tool's errors and exit codes."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, InputError, NotFoundError
from grmu_audit.tracking.mlflow.environment import shown_uri

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException


class MissingRowError(LookupError):
    """A row that is not in the tables of an embedded database."""


_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}


@contextmanager
def translated(uri: str, doing: str) -> Iterator[None]:
    """Turn what MLflow, its database or the disk raise into one clear error.

    Args:
        uri: the store, for the message.
        doing: what was tried, such as ``"register celeba-v3"``.

    Raises:
        NotFoundError: the thing does not exist.
        InputError: MLflow does not accept a value.
        EnvironmentFailure: permission, network, database, disk, or anything else that MLflow reports.
    """
    try:
        yield
    except MissingRowError as error:
        raise NotFoundError(f"cannot {doing} in {shown_uri(uri)}: {_reason(error)}") from error
    except Exception as error:
        if _is(error, "mlflow.exceptions", "MlflowException"):
            raise _mapped(error, uri, doing) from error
        if not isinstance(error, (OSError, sqlite3.Error)) and not _is(error, "sqlalchemy.exc", "SQLAlchemyError"):
            raise
        reason = _reason(error)
        if http_status(error) in (401, 403):
            raise _denied(uri, doing, reason) from error
        raise EnvironmentFailure(f"cannot {doing} in {shown_uri(uri)}: {reason}") from error


def _is(error: Exception, module: str, name: str) -> bool:
    """Whether an error is of a library's class; nothing is imported: a library that raised an error is loaded already."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(error, kind)


def is_missing(error: MlflowException) -> bool:
    """Whether MLflow says that the thing does not exist."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND")


def is_refused(error: MlflowException) -> bool:
    """Whether MLflow calls the request itself invalid."""
    return error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


def is_taken(error: MlflowException) -> bool:
    """Whether MLflow says that the name exists already."""
    return error.error_code in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")


def http_status(error: BaseException) -> int | None:
    """The status of an HTTP error that MLflow's artifact client lets through, else None."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _reason(error: BaseException) -> str:
    """The first line, but SQLAlchemy's hint at its own session, below which the database says what is wrong."""
    lines = shown_uri(str(error)).split("\n")
    return next((line for line in lines if not line.startswith("(raised as a result of")), lines[0])[:300]


def _denied(uri: str, doing: str, reason: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"no permission to {doing} in {shown_uri(uri)}: the account needs EDIT permission on it, or the credentials"
        f" (MLFLOW_TRACKING_USERNAME / MLFLOW_TRACKING_PASSWORD) are missing or wrong ({reason})"
    )


def _mapped(error: MlflowException, uri: str, doing: str) -> GrmuAuditError:
    reason = _reason(error)
    if error.error_code in _DENIED:
        return _denied(uri, doing, reason)
    failure = NotFoundError if is_missing(error) else InputError if is_refused(error) else EnvironmentFailure
    return failure(f"cannot {doing} in {shown_uri(uri)}: {reason}")
