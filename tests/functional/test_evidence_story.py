"""The command line from training to a checked bundle: signed audit, two sign-offs, promotion, export, erasure record."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from grmu_audit.cli.app import execute
from grmu_audit.evidence.archive import unpack

pytestmark = pytest.mark.slow

POLICY = """schema: grmu-audit/policy/v1
name: story
minimum_group_size: 1
rules:
  - {id: accuracy, metric: TA, min: 0.05, evidence: point}
"""


def run(*arguments: str, code: int = 0) -> None:
    assert execute(["--quiet", "--device", "cpu", *arguments]) == code, arguments


def require_counts_without_names(capsys: pytest.CaptureFixture[str]) -> None:
    """The bundle of counts agrees, fits the internal one, names what it cannot show, and holds no name of a row."""
    run("evidence", "export", "--model", "digits/2", "--disclosure", "counts")
    capsys.readouterr()
    run("evidence", "verify", "digits-2.counts.zip", "--public-key", "ci.pub", "--internal", "b.zip", "--json")
    checked = json.loads(capsys.readouterr().out)
    assert (checked["agrees"], checked["compared"] > 50) == (True, True)
    assert {"MIA_AUC", "AVG_GAP", "intervals of "} <= {
        name if name.isupper() else name[:13] for name in checked["not_recomputed"]
    }
    content = Path("digits-2.counts.zip").read_bytes()
    tables = {name: data for name, data in unpack(Path("b.zip").read_bytes())[0].items() if name.endswith(".parquet")}
    names = {name for data in tables.values() for name in pd.read_parquet(io.BytesIO(data))["id"]}
    assert len(names) > 500
    assert not [name for name in names if name.encode() in content]


def require_signed_model() -> None:
    """Files of a version, signed, then fetched by MLflow and checked by the signature library's own command line and by ours."""
    run("evidence", "verify-model", "--model", "digits/2", "--public-key", "ci.pub", code=2)
    run("keys", "generate", "--kind", "model", "--out", "model.key")
    run("keys", "generate", "--kind", "model", "--out", "other.key")
    run("evidence", "verify-model", "--model", "digits/2", "--public-key", "model.pub", code=3)
    run("evidence", "sign-model", "--model", "digits/2", "--key", "model.key")
    run("evidence", "verify-model", "--model", "digits/2", "--public-key", "model.pub")
    run("evidence", "verify-model", "--model", "digits/2", "--public-key", "other.pub", code=6)
    fetch = [sys.executable, "-m", "mlflow", "artifacts", "download", "-u", "models:/digits/2", "-d", "served"]
    subprocess.run(fetch, check=True, env={**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db"})
    assert Path("served/registered_model_meta").exists()
    offline = ["evidence", "verify-model", "--files", "served", "--signature", "digits-2.model.sig"]
    run(*offline, "--public-key", "model.pub")
    theirs = [sys.executable, "-m", "model_signing", "verify", "key", "--signature", "digits-2.model.sig"]
    theirs += ["--ignore-paths", "served/registered_model_meta", "served", "--public_key"]
    assert subprocess.run([*theirs, "model.pub"], check=False).returncode == 0
    assert subprocess.run([*theirs, "other.pub"], check=False).returncode != 0
    Path("served/.gitattributes").write_text("*.bin filter=lfs")
    run(*offline, "--public-key", "model.pub", code=6)
    private = Path("model.key").read_text().splitlines()[1].encode()
    stored = [path for path in Path("mlruns").rglob("*") if path.is_file() and private in path.read_bytes()]
    assert stored == []


def test_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ours.yaml").write_text(POLICY)
    Path("systems.yaml").write_text("systems:\n  - {name: backups, state: scheduled, reason: rotated}\n")
    for person in ("ci", "ana", "ben"):
        run("keys", "generate", "--out", f"{person}.key")
    run("pretrain", "--name", "digits", "--data-option", "renders=1", "--set", "epochs=1")
    run("forget", "sample", "--model", "digits", "--group", "1,0", "--ratio", "0.5", "--out", "drawn.csv")
    ids = [row["id"] for row in csv.DictReader(Path("drawn.csv").read_text().splitlines())]
    rows = [f"{name},R-{index % 2},2026-01-31,person-{index}" for index, name in enumerate(ids)]
    Path("ids.csv").write_text("\n".join(["id,request_id,received_at,subject", *rows]) + "\n")
    run("unlearn", "--model", "digits", "--forget", "ids.csv", "--method", "gradient_ascent", "--set", "epochs=1",
        "--systems", "systems.yaml")  # fmt: skip
    monkeypatch.setenv("GRMU_AUDIT_SIGNING_KEY", "ci.key")
    run("audit", "--model", "digits/2", "--policy", "./ours.yaml", "--out", "out")
    for person, role in (("ana", "preparer"), ("ben", "reviewer")):
        monkeypatch.setenv("GRMU_AUDIT_SIGNING_KEY", f"{person}.key")
        run("--actor", person, "sign-off", "--model", "digits/2", "--role", role)
    trusted = [part for name in ("ci", "ana", "ben") for part in ("--public-key", f"{name}.pub")]
    requirements = ["--policy", "./ours.yaml", "--require-sign-off", *trusted]
    run("promote", "--model", "digits/2", "--policy", "default", code=6)
    claim = ["--without-forgetting-claim", "a drill with one epoch of training"]
    run("promote", "--model", "digits/2", *requirements, code=3)
    run("promote", "--model", "digits/2", *requirements, *claim)
    run("verify", "--model", "digits", *requirements)
    run("gate", "--model", "digits/2", "--policy", "./ours.yaml")
    run("evidence", "export", "--model", "digits/2", "--out", "b.zip")
    run("evidence", "verify", "b.zip", "--public-key", "ci.pub", code=6)  # who exported it is nobody that is trusted
    monkeypatch.setenv("GRMU_AUDIT_SIGNING_KEY", "ci.key")
    run("evidence", "export", "--model", "digits/2", "--out", "b.zip")
    assert Path("b.zip").stat().st_mode & 0o077 == 0
    capsys.readouterr()
    run("evidence", "verify", "b.zip", "--public-key", "ci.pub", "--json")
    checked = json.loads(capsys.readouterr().out)
    assert checked["agrees"]
    assert checked["findings"] == []
    assert checked["compared"] > 50
    require_signed_model()
    require_counts_without_names(capsys)
    run("requests", "list", "--model", "digits", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [(r["record"]["request_id"], r["record"]["due_at"], r["overdue"]) for r in found] == [
        ("R-0", "2026-02-28", True),
        ("R-1", "2026-02-28", True),
    ]
    assert found[0]["record"]["systems"] == [{"name": "backups", "state": "scheduled", "reason": "rotated"}]
    run("--actor", "dpo", "requests", "answer", "R-0", "--model", "digits")
    run("requests", "list", "--model", "digits")
    assert "R-0" not in capsys.readouterr().out.partition("request")[2]
    run("--actor", "dpo", "requests", "answer", "R-1", "--model", "digits")
    run("verify", "--model", "digits", *requirements)
    run("report", "--model", "digits/2", "--format", "html", "--out", "after.html")
    page = " ".join(re.sub(r"<[^>]+>", " ", Path("after.html").read_text()).split())
    assert all(text in page for text in ("R-0, R-1", "2026-01-31", "2026-02-28", "Backups scheduled: rotated", "hmac-sha256:"))
    assert "It was promoted without such a claim: a drill with one epoch of training" in page
    assert re.search(r"Preparer +ana \(account os:\S+\), 20\d\d-", page)
    assert re.search(r"Reviewer +ben \(account os:\S+\), 20\d\d-", page)
    assert re.search(r"Signature +preparer: Ed25519 key [0-9a-f]{16}; reviewer: Ed25519 key", page)
    assert re.search(r"Answered +20\d\d-", page)
    run("report", "--format", "html", code=2)
    run("site", "--out", "register")
    assert "Answered requests: 2" in Path("register/index.html").read_text()
    secrets = [*ids, *(f"person-{index}" for index in range(len(ids)))]
    stored = b"".join(path.read_bytes() for path in Path("mlruns").rglob("*") if path.is_file()) + Path("b.zip").read_bytes()
    stored += Path("after.html").read_bytes() + b"".join(path.read_bytes() for path in Path("register").rglob("*.html"))
    assert [secret for secret in secrets if secret.encode() in stored and len(secret) > 8] == []
