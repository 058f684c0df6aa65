"""``mlflow server`` on PostgreSQL with basic auth: the CI account promotes, people read, and a dead server registers nothing."""

from __future__ import annotations

import base64
import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.judged_audits import audited, policy, policy_file, predictions, version
from support.servers import database, free_port, kill, mlflow_server

from grmu_audit.cli.app import execute
from grmu_audit.errors import EnvironmentFailure
from grmu_audit.records import ModelRef
from grmu_audit.tracking import open_store, read_ledger

ADMIN = ("admin", "a-long-admin-password")
CI = ("ci", "a-long-ci-password")
READER = ("reader", "a-long-reader-password")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy of these tests is one that counts."""
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(policy(), tmp_path))


@dataclass(frozen=True)
class Served:
    url: str
    ref: ModelRef


def as_user(monkeypatch: pytest.MonkeyPatch, user: tuple[str, str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", user[1])


def post(url: str, path: str, method: str = "POST", **body: str) -> None:
    secret = base64.b64encode(":".join(ADMIN).encode()).decode()
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Basic {secret}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def cheap_hashes(accounts: Path) -> None:
    """The same passwords, hashed in one round: the server checks one with every request, and a test makes hundreds."""
    from werkzeug.security import generate_password_hash

    with closing(sqlite3.connect(accounts)) as connection:
        for name, password in (ADMIN, CI, READER):
            hashed = generate_password_hash(password, "pbkdf2:sha256:1")
            connection.execute("UPDATE users SET password_hash = ? WHERE username = ?", (hashed, name))
        connection.commit()


@pytest.fixture(scope="module")
def served(postgres_base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("auth")
    settings = root / "auth.ini"
    accounts = f"sqlite:///{root}/auth.db"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = {accounts}\n"
        f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-the-tests"}
    with mlflow_server(root, database(postgres_base, "served"), "--app-name", "basic-auth", env=env) as url:
        for name, password in (CI, READER):
            post(url, "users/create", username=name, password=password)
        cheap_hashes(root / "auth.db")
        with pytest.MonkeyPatch.context() as patch:
            as_user(patch, CI)
            store = open_store(url)
            ref = version(store, "faces-prod", root / "v")
            audited(store, ref, [predictions(100)], policy())
        yield Served(url, ref)


def test_a_reader_cannot_promote_and_the_missing_permission_is_named(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_user(monkeypatch, READER)
    assert execute(["--tracking-uri", served.url, "promote", "--model", served.ref.label]) == 4
    said = capsys.readouterr().err
    assert "EDIT permission" in said
    assert "PERMISSION_DENIED" in said or "Permission denied" in said or "403" in said
    as_user(monkeypatch, CI)
    store = open_store(served.url)
    assert "champion" not in store.aliases("faces-prod")
    assert [n.entry.kind for n in read_ledger(store, "faces-prod").entries] == ["registration", "audit"]


def test_the_ci_account_promotes_and_a_reader_verifies(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, CI)
    assert execute(["--tracking-uri", served.url, "--actor", "ci", "promote", "--model", served.ref.label]) == 0
    as_user(monkeypatch, READER)
    assert execute(["--tracking-uri", served.url, "verify", "--model", "faces-prod"]) == 0
    every = [n.entry for n in read_ledger(open_store(served.url), "faces-prod").entries]
    entries = [entry for entry in every if entry.kind != "registration"]  # the fixture's, by no actor
    assert {(entry.actor, entry.account) for entry in entries} == {("auditor", "mlflow:ci"), ("ci", "mlflow:ci")}


def test_two_names_of_one_account_do_not_sign_off_and_two_accounts_do(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def signs(user: tuple[str, str], actor: str, role: str) -> int:
        as_user(monkeypatch, user)
        line = ["--tracking-uri", served.url, "--actor", actor, "sign-off", "--model", served.ref.label, "--role", role]
        return execute(line)

    assert signs(CI, "ana", "preparer") == 0
    assert signs(CI, "ben", "reviewer") == 2
    assert "one account (mlflow:ci)" in capsys.readouterr().err
    assert signs(ADMIN, "ben", "reviewer") == 0
    line = ["--tracking-uri", served.url, "verify", "--model", "faces-prod", "--require-sign-off"]
    assert execute(line) == 0


def test_a_wrong_password_is_an_environment_failure(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_user(monkeypatch, ("ci", "not-the-password-1"))
    assert execute(["--tracking-uri", served.url, "verify", "--model", "faces-prod"]) == 4
    assert "MLFLOW_TRACKING_PASSWORD" in capsys.readouterr().err


def test_a_bundle_comes_over_the_network_too(served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    as_user(monkeypatch, READER)
    bundle = tmp_path / "b.zip"
    assert execute(["--tracking-uri", served.url, "evidence", "export", "--model", served.ref.label, "--out", str(bundle)]) == 0
    assert execute(["evidence", "verify", str(bundle)]) == 0


def test_a_server_that_dies_in_the_middle_registers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from grmu_audit.tracking import artifacts

    backend, port = f"sqlite:///{tmp_path}/dying.db", free_port()
    for name, value in (("MAX_RETRIES", "2"), ("BACKOFF_FACTOR", "0")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    real = artifacts.check_digest
    with mlflow_server(tmp_path / "one", backend, port=port) as url:
        store = open_store(url)

        def die(ref: ModelRef, found: str) -> None:
            """Everything is uploaded; the server goes before the version is made."""
            real(ref, found)
            kill(url)

        monkeypatch.setattr(artifacts, "check_digest", die)
        with pytest.raises(EnvironmentFailure, match="cannot"):
            version(store, "lost", tmp_path / "v")
    monkeypatch.setattr(artifacts, "check_digest", real)
    with mlflow_server(tmp_path / "one", backend, port=port) as url:
        assert open_store(url).versions("lost") == []
        assert version(open_store(url), "lost", tmp_path / "again").version == "1"


def test_no_server_at_all_is_an_environment_failure_at_once() -> None:
    assert execute(["--tracking-uri", f"http://127.0.0.1:{free_port()}", "verify", "--model", "x"]) == 4
