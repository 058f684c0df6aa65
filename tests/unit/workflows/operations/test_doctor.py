"""Each line of the doctor, on machines that are fit and on those that are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from grmu_audit.cli.app import execute
from grmu_audit.workflows.operations import doctor
from grmu_audit.workflows.operations.doctor import Check, examine
from grmu_audit.workflows.session import Session


def by_name(found: list[Check]) -> dict[str, list[Check]]:
    named: dict[str, list[Check]] = {}
    for one in found:
        named.setdefault(one.name, []).append(one)
    return named


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "hmac.key"))
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))


def test_a_fit_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert execute(["--device", "cpu", "doctor", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = {"python", "libraries", "device", "server", "permissions", "disk"}
    names |= {"folders", "key", "signing", "policies", "telemetry"}
    assert {row["name"] for row in rows} == names
    assert {row["state"] for row in rows} <= {"ok", "warning"}
    assert list(tmp_path.iterdir()) == [], "nothing is created"


@pytest.mark.parametrize(
    ("line", "name", "said"),
    [
        (["--tracking-uri", "http://127.0.0.1:9", "doctor"], "server", "no MLflow server answers"),
        (["--tracking-uri", "mlruns", "doctor"], "server", "cannot be used"),
        (["--device", "nonsense", "doctor"], "device", "is no device"),
        (["--device", "cuda:77", "doctor"], "device", ""),
    ],
)
def test_what_is_wrong_is_a_line_and_exit_code_4(
    line: list[str], name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(line) == 4
    output = capsys.readouterr()
    problems = [row for row in output.out.splitlines() if row.startswith("problem")]
    assert [row for row in problems if row.split()[1] == f"{name}:" and said in row], output.out
    assert "; do: " in problems[0]
    assert "Traceback" not in output.out + output.err


def test_keys_files_and_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "hmac.key"
    key.write_text("ab" * 32)
    key.chmod(0o644)
    monkeypatch.setenv("GRMU_AUDIT_SIGNING_KEY", str(tmp_path / "none.key"))
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", "no-such-policy")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "file" / "cache"))
    named = by_name(examine(Session(device="cpu")))
    for name in ("key", "signing", "policies", "folders"):
        assert "problem" in {one.state for one in named[name]}, name
    assert "0644" in named["key"][0].found
    key.chmod(0o600)
    assert by_name(examine(Session(device="cpu")))["key"][0].state == "ok"


def test_a_full_disk_and_a_library_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    listed = ["numpy<1", "no-such-library>=1", "ray<1; extra == 'ray'", "no-such-server>=2; extra == 'registry'"]
    monkeypatch.setattr(doctor, "requires", lambda name: listed)
    named = by_name(examine(Session(device="cpu")))
    assert {one.state for one in named["disk"]} == {"problem"}
    problems = [one.found for one in named["libraries"] if one.state == "problem"]
    assert len(problems) == 2
    assert "numpy" in problems[0]
    (warning,) = (one for one in named["libraries"] if one.state == "warning" and "judging" in one.found)
    assert "no-such-server" in warning.found
    assert "grmu-audit[all]" in warning.do


def test_a_check_that_breaks_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(doctor, "_policies", broken)
    named = by_name(examine(Session(device="cpu")))
    assert named["policies"][0].state == "problem"
    assert "ZeroDivisionError" in named["policies"][0].found
    assert named["telemetry"]


def test_it_writes_where_it_is_asked_to(tmp_path: Path) -> None:
    from grmu_audit.tracking import open_store

    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    store = open_store(uri)
    with store.run("m", "request"):
        pass
    named = by_name(examine(Session(uri, device="cpu"), write=True))
    assert named["permissions"][0].found == "reads 0 models, creates and deletes one"
    assert open_store(uri).models() == []


def test_torch_and_mlflow_are_not_loaded_for_a_processor() -> None:
    code = (
        "import sys; from grmu_audit.cli.app import execute; execute(['--device', 'cpu', 'doctor']);"
        "sys.exit(bool({'torch', 'mlflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
