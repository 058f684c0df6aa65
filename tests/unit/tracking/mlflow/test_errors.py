"""What MLflow, its database and the disk raise becomes one sentence that says what is wrong."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
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
