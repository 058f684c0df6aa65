"""A chain of requests by command line: it adds up, its champions bind, and another person's key ends it before any training."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.deletions import SmallData, small_table
from support.judged_audits import audited, policy_file, predictions
from support.requests import CLAIMING

from grmu_audit.cli.app import execute
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session

TRAIN = 96
SHORT = ["--set", "epochs=1", "--set", "batch_size=32"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallData:
    """Data and a working folder, with a HOME of its own that holds the key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(CLAIMING, tmp_path))
    move_home(tmp_path / "alice", monkeypatch)
    return small_table(tmp_path / "data")


def move_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home.mkdir(exist_ok=True)
    monkeypatch.delenv("GRMU_AUDIT_HMAC_KEY_FILE", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home / ".config" / "grmu-audit" / "hmac.key"


def listed(name: str, ids: list[str], request: str) -> str:
    Path(name).write_text("id,request_id\n" + "".join(f"{one},{request}\n" for one in ids))
    return name


def passed(label: str) -> None:
    """A PASS for a version, as an audit would record it."""
    store = Session().store
    ref = store.resolve(label)
    audited(store, ref, [predictions(100 * int(ref.version))], CLAIMING)


def test_requests_add_up_from_line_to_line(
    small: SmallData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain = ["pretrain", "--name", "m", "--data", str(tmp_path / "data" / "small.yaml"), "--architecture", "mlp", *SHORT]
    assert execute(pretrain) == 0
    asked: list[str] = []
    for number, (line, ids) in enumerate(
        [(["retrain"], ["r024", "r025"]), (["unlearn"], ["r000"]), (["unlearn", "--method", "ft"], ["r048", "r024"])], 1
    ):
        forget = listed(f"{number}.csv", ids, f"R-{number}")
        assert execute([*line, "--model", f"m/{number}", "--forget", forget, *SHORT]) == 0
        asked += ids
        session = Session()
        stored = stored_request(session, session.store.resolve(f"m/{number + 1}"))
        assert sum(row.retain for row in stored.groups) == TRAIN - len(set(asked))
        assert len(stored.pseudonyms) == len(set(asked))
    refused_lines(pretrain, capsys)
    assert execute(["requests", "list", "--model", "m"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert [rows[name][-2] for name in ("R-1", "R-2", "R-3", "R-9")] == ["served", "served", "again", "open"]
    another_home(pretrain, tmp_path, monkeypatch, capsys)
    small.delete(asked[:2])
    forget = listed("cumulative.csv", [*asked[:3], "r049"], "R-5")
    assert execute(["retrain", "--model", "m/4", "--forget", forget, *SHORT]) == 0
    assert execute(["verify", "--model", "m"]) == 0


def refused_lines(pretrain: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What a champion binds: branch, older version, second pretrain; until its request is opened again."""
    for version in ("3", "4"):
        passed(f"m/{version}")
        assert execute(["promote", "--model", f"m/{version}"]) == 0
    assert execute(pretrain) == 0
    forget = listed("branch.csv", ["r072"], "R-9")
    assert execute(["retrain", "--model", "m/1", "--forget", forget, *SHORT]) == 0
    passed("m/6")
    for line in (["promote", "--model", "m/5"], ["promote", "--model", "m/6"], ["rollback", "--model", "m", "--reason", "x"]):
        capsys.readouterr()
        assert execute(line) == 6
        assert "request R-3, hmac-sha256:" in capsys.readouterr().err
    assert execute(["promote", "--model", "m/3", "--reopen", "R-3"]) == 2
    assert execute(["promote", "--model", "m/3", "--reopen", "R-7", "--reason", "x"]) == 2
    assert execute(["promote", "--model", "m", "--resume", "--reopen", "R-3"]) == 2
    assert execute(["rollback", "--model", "m", "--reopen", "R-3", "--reason", "complaints"]) == 0
    capsys.readouterr()
    assert execute(["history", "--model", "m"]) == 0
    assert "is open again: complaints" in capsys.readouterr().out
    assert execute(["promote", "--model", "m/2"]) == 6
    assert "request R-2, hmac-sha256:" in capsys.readouterr().err


def another_home(
    pretrain: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under another HOME nothing is trained: neither with no key there nor with another one."""
    count = len(Session().store.versions("m"))
    key = move_home(tmp_path / "runner", monkeypatch)
    for _ in ("no key", "another key"):
        for line in (
            ["retrain", "--model", "m/4", "--forget", "branch.csv", *SHORT],
            ["unlearn", "--model", "m/4", "--forget", "branch.csv", *SHORT],
            ["forget", "check", "--model", "m/4", "--forget", "branch.csv"],
            ["forget", "sample", "--model", "m/4", "--random", "--out", "no.csv"],
            ["audit", "--model", "m/4"],
            ["compare", "m/1", "m/4"],
            pretrain,
        ):
            capsys.readouterr()
            assert execute(line) == 2, line
            assert str(key) in capsys.readouterr().err
        if not key.exists():
            key.parent.mkdir(parents=True)
            key.write_text("11" * 32)
            key.chmod(0o600)
    assert not Path("no.csv").exists()
    assert len(Session().store.versions("m")) == count
    move_home(tmp_path / "alice", monkeypatch)


def test_keys_rotate_by_command_line(
    small: SmallData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["pretrain", "--name", "m", "--data", str(tmp_path / "data" / "small.yaml"), "--architecture", "mlp", *SHORT]
    assert execute(line) == 0
    assert execute(["retrain", "--model", "m", "--forget", listed("a.csv", ["r024", "r025"], "R-1"), *SHORT]) == 0
    assert execute(["keys", "rotate", "--model", "m/2"]) == 2
    assert execute(["keys", "rotate"]) == 0
    assert "m: requests of 1 versions recorded under the new key" in capsys.readouterr().out
    assert execute(["retrain", "--model", "m/2", "--forget", listed("b.csv", ["r048"], "R-2"), *SHORT]) == 0
    key = move_home(tmp_path / "runner", monkeypatch)
    assert execute(["keys", "rotate"]) == 2
    cumulative = listed("all.csv", ["r024", "r025", "r048"], "")
    assert execute(["keys", "rotate", "--model", "m/3", "--earlier-forget", "a.csv"]) == 2
    third = ["retrain", "--model", "m/3", "--forget", listed("c.csv", ["r049"], "R-3"), *SHORT]
    assert execute([*third, "--earlier-forget", "a.csv"]) == execute(third) == 2
    assert execute([*third, "--earlier-forget", cumulative]) == 0
    assert key.stat().st_mode & 0o077 == 0
    assert len(stored_request(Session(), Session().store.resolve("m/4")).pseudonyms) == 4
    assert execute(["keys", "rotate", "--model", "m/3", "--earlier-forget", cumulative]) == 2
    assert execute(["verify", "--model", "m"]) == 0
