"""Where the store is."""

from __future__ import annotations

from pathlib import Path

import pytest

from grmu_audit.errors import InputError
from grmu_audit.tracking.mlflow.environment import locate, shown_uri


def test_passwords_are_not_shown() -> None:
    assert shown_uri("cannot open postgresql://ci:secret@db:5432/x") == "cannot open postgresql://***@db:5432/x"
    assert shown_uri("http://host:5000/a") == "http://host:5000/a"


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "databricks", "ftp://x"])
def test_stores_without_a_registry_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        locate(uri)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    embedded = locate(root=tmp_path)
    assert embedded.tracking_uri == embedded.registry_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert embedded.artifacts == tmp_path / "artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry:5000")
    served = locate(root=tmp_path)
    assert (served.tracking_uri, served.registry_uri, served.artifacts) == ("http://tracking:5000", "http://registry:5000", None)
    assert locate("http://mine:1").tracking_uri == "http://mine:1"
