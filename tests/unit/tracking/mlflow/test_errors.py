"""What MLflow, its database and the disk raise becomes one sentence that says what is wrong."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from requests import HTTPError, Response
from sqlalchemy.exc import OperationalError

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.tracking.mlflow.errors import translated

FULL = OperationalError("INSERT INTO model_versions ...", {}, Exception("database or disk is full"))
FLUSHED = MlflowException(
    "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block if this flush is occurring"
    " prematurely)\n(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO model_versions ...]"
)


@pytest.mark.parametrize("error", [FULL, FLUSHED])
def test_a_full_disk_is_named_in_one_line(error: Exception) -> None:
    with pytest.raises(EnvironmentFailure) as caught, translated("sqlite:///mlflow.db", "register a version of m"):
        raise error
    said = str(caught.value)
    assert said.startswith("cannot register a version of m in sqlite:///mlflow.db: (")
    assert said.endswith("database or disk is full")
    assert "\n" not in said


def answered(status: int) -> HTTPError:
    """What ``requests`` raises for an answer of that status."""
    answer = Response()
    answer.status_code = status
    return HTTPError(f"{status} for http://tracking", response=answer)


@pytest.mark.parametrize(
    ("error", "denied"),
    [
        (MlflowException("Permission denied", PERMISSION_DENIED), True),
        (answered(401), True),
        (answered(403), True),
        (answered(500), False),
    ],
    ids=["permission", "401", "403", "500"],
)
def test_a_refused_account_is_told_apart_from_a_failing_server(error: Exception, denied: bool) -> None:
    with pytest.raises(EnvironmentFailure) as usual, translated("http://tracking", "register a version of m"):
        raise OSError("the server is gone")
    with pytest.raises(EnvironmentFailure) as caught, translated("http://tracking", "register a version of m"):
        raise error
    assert "http://tracking" in str(caught.value)
    assert ("permission" in str(caught.value).lower()) is denied
    assert "permission" not in str(usual.value).lower()
