"""Where the store is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grmu_audit.errors import EnvironmentFailure, InputError, NotFoundError
from grmu_audit.tracking.mlflow.environment import DEFAULTS, locate, prepare, shown_uri


def test_passwords_are_not_shown() -> None:
    assert shown_uri("cannot open postgresql://ci:secret@db:5432/x") == "cannot open postgresql://***@db:5432/x"
    assert shown_uri("http://host:5000/a") == "http://host:5000/a"
    for password in ("se/cret", "se@cret", "s:e/c@ret"):
        assert shown_uri(f"cannot open postgresql://ci:{password}@db/x now") == "cannot open postgresql://***@db/x now"
    assert shown_uri("postgresql://db/x?password=secret&user=ci") == "postgresql://db/x?password=***&user=ci"
    assert (
        shown_uri("mssql+pyodbc:///?odbc_connect=UID%3Dci%3BPWD%3Dsecret") == "mssql+pyodbc:///?odbc_connect=UID%3Dci%3BPWD%3D***"
    )
    assert shown_uri("sqlite:////builds/job@2/mlflow.db") == "sqlite:////builds/job@2/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["http://localhost:50O0", "http://localhost:99999", "http://localhost:0", "http://[::1", "http://ci:se/cret@host"]
)
def test_an_address_that_cannot_be_read_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        locate(uri)
    assert "'se'" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://mlflow..corp:5000", "postgresql://db:port/x"])
def test_an_address_that_no_library_takes_is_one_message(uri: str) -> None:
    with pytest.raises(EnvironmentFailure, match=r"no MLflow server answers at|cannot open the tracking store in"):
        prepare(locate(uri), create=False)


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns", "databricks", "ftp://x", "sqlite:"])
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


@pytest.mark.parametrize("uri", ["sqlite://mlflow.db", "sqlite:///", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_names_no_file_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="names no file: write three slashes"):
        locate(uri)


def test_reading_commands_make_neither_a_database_nor_a_folder(tmp_path: Path) -> None:
    for name in ("typo.db", "typo/mlflow.db"):
        location = locate(f"sqlite:///{tmp_path}/{name}")
        with pytest.raises(NotFoundError, match="no store at"):
            prepare(location, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_given_up_within_half_a_minute() -> None:
    retries, pause, patience = (
        int(DEFAULTS[f"MLFLOW_HTTP_REQUEST_{name}"]) for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "TIMEOUT")
    )
    assert (retries + 1) * patience + sum(pause * 2**i for i in range(retries)) < 30


FULL_DISK = """
import resource, signal, sys
import subprocess
import sys
from pathlib import Path
from grmu_audit.errors import GrmuAuditError
from grmu_audit.tracking import open_store
folder = Path(sys.argv[1])
store = open_store(f"sqlite:///{folder}/mlflow.db", root=folder)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = (folder / "mlflow.db").stat().st_size - 4096
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
sys.stderr.write("full from here\\n")
try:
    with store.run("digits", "audit") as run:
        run.set_tags({f"t{i}": "x" * 4000 for i in range(80)})
except GrmuAuditError as error:
    sys.stderr.write(f"{type(error).__name__}: {error}\\n")
"""


def test_a_full_disk_is_one_message_without_a_traceback_of_mlflow(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    (message,) = done.stderr.split("full from here\n")[1].splitlines()
    assert message.startswith("EnvironmentFailure: cannot ")
    assert "disk I/O error" in message
