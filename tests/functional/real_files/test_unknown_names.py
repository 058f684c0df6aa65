"""Commands that read a registry: a name or a store that does not exist is exit 2, a lost model is 6, and nothing is created."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from grmu_audit.cli.app import execute
from grmu_audit.tracking import open_store
from grmu_audit.tracking.ledger import append_entry, read_ledger

READING = {
    "verify": ["verify", "--model", "{}"],
    "history": ["history", "--model", "{}"],
    "history as JSON": ["history", "--model", "{}", "--json"],
    "requests list": ["requests", "list", "--model", "{}"],
    "requests list, all": ["requests", "list", "--model", "{}", "--all", "--json"],
    "requests answer": ["requests", "answer", "R-1", "--model", "{}"],
    "compare": ["compare", "{}/1", "{}/2"],
    "site": ["site", "--model", "{}", "--out", "register"],
    "rollback": ["rollback", "--model", "{}", "--reason", "test"],
    "rollback to a version": ["rollback", "--model", "{}", "--reason", "test", "--to", "1"],
    "evidence export": ["evidence", "export", "--model", "{}"],
    "gate": ["gate", "--model", "{}"],
    "audit": ["audit", "--model", "{}"],
    "promote": ["promote", "--model", "{}"],
    "promote, resumed": ["promote", "--resume", "--model", "{}"],
    "report": ["report", "--model", "{}"],
    "sign-off": ["--actor", "ann", "sign-off", "--model", "{}", "--role", "preparer"],
    "forget sample": ["forget", "sample", "--model", "{}", "--random"],
}
STORES = {
    "no option, wrong folder": [],
    "a file that is not there": ["--tracking-uri", "sqlite:///typo.db"],
    "a folder that is not there": ["--tracking-uri", "sqlite:///no/such/folder/mlflow.db"],
    "an empty file": ["--tracking-uri", "sqlite:///empty.db"],
    "another database": ["--tracking-uri", "sqlite:///other.db"],
    "a database in memory": ["--tracking-uri", "sqlite://"],
    "one slash": ["--tracking-uri", "sqlite:/typo.db"],
    "a registry that is not there": ["--registry-uri", "sqlite:///typo.db"],
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: digits is whole, faded lost its registered model, torn one of two versions; all have a ledger."""
    folder = tmp_path_factory.mktemp("store")
    store: Any = open_store(root=folder / "mlruns")
    files = folder / "version"
    files.mkdir()
    (files / "weights.bin").write_bytes(b"1")
    for name, count in (("digits", 1), ("faded", 1), ("torn", 2)):
        for _ in range(count):
            with store.run(name, "pretrain") as run:
                ref = store.register(run, name, files, role="pretrain")
        append_entry(store, read_ledger(store, name).new_entry("refusal", version=ref.version, reason="test"), ref)
    store._client.delete_registered_model("faded")
    store._client.delete_model_version("torn", "2")
    return folder


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("line", READING.values(), ids=READING)
def test_an_unknown_name(filled: Path, line: list[str], monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(filled)
    before = tree(filled)
    assert execute([part.format("digit") for part in line]) == 2
    said = capsys.readouterr()
    assert f"no model 'digit' in sqlite:///{filled}/mlruns/mlflow.db (did you mean 'digits'?)" in said.err
    assert said.out == ""
    assert tree(filled) == before


@pytest.mark.parametrize("name", ["verify", "history", "requests list", "requests answer", "promote, resumed"])
@pytest.mark.parametrize(
    "model", ["digits/1", "digits@champion", "models:/digits/1", "digits/latest", "Digits", "digits ", "", "../digits"]
)
def test_what_is_no_name_of_a_model_is_exit_2(filled: Path, name: str, model: str, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(filled)
    before = tree(filled)
    assert execute([part.format(model) for part in READING[name]]) == 2
    said = capsys.readouterr().err
    assert ("name the model without its version or alias" in said) == ("digits/" in model or "@" in model)
    assert f"model name {model!r} is not allowed" in said or "(did you mean 'digits'?)" in said
    assert tree(filled) == before


@pytest.mark.parametrize("line", READING.values(), ids=READING)
def test_a_model_that_only_the_ledger_knows(filled: Path, line: list[str], monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(filled)
    assert execute([part.format("faded") for part in line]) == 6
    said = capsys.readouterr()
    assert "was deleted from the registry" in said.out + said.err
    assert "refusal" in said.out or line[0] != "history", "the ledger is shown all the same"


@pytest.mark.parametrize("place", STORES.values(), ids=STORES)
@pytest.mark.parametrize("name", ["verify", "history", "requests list", "site", "compare", "rollback", "evidence export"])
def test_a_store_that_does_not_exist(place: list[str], name: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    import sqlite3

    monkeypatch.chdir(tmp_path)
    Path("empty.db").touch()
    with sqlite3.connect("other.db") as other:
        other.execute("create table people (name text)")
    other.close()
    before, contents = tree(tmp_path), Path("other.db").read_bytes()
    assert execute([*place, *(part.format("digits") for part in READING[name])]) == 2
    refused = {
        "sqlite:/typo.db": "tracking URI 'sqlite:/typo.db' cannot be used",
        "sqlite://": "tracking URI 'sqlite://' names no file",
    }
    if place and place[1] in refused:
        assert refused[place[1]] in capsys.readouterr().err
        assert tree(tmp_path) == before
        return
    looked_at = place[1] if place and place[0] == "--tracking-uri" else f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert f"no store at {looked_at}" in capsys.readouterr().err
    assert tree(tmp_path) == before
    assert Path("other.db").read_bytes() == contents


def test_a_whole_store_is_listed_with_what_is_lost(filled: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(filled)
    assert execute(["site", "--out", str(tmp_path / "register")]) == 0
    page = (tmp_path / "register" / "index.html").read_text()
    assert "damaged: faded has a ledger" in page


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["requests", "list", "--model", "torn"], 6, "names 2, which the registry no longer has"),
        (["requests", "list", "--model", "digits"], 0, "no open requests"),
        (["verify", "--model", "digits"], 0, "(entries: 2, audited versions: 0)"),
        (["history", "--model", "torn"], 0, "refusal"),
        (["promote", "--resume", "--model", "digits"], 0, "no promotion of digits is open"),
    ],
)
def test_what_the_ledger_knows_is_counted(
    filled: Path, line: list[str], code: int, says: str, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(filled)
    assert execute(line) == code
    said = capsys.readouterr()
    assert says in said.out + said.err


def test_a_store_without_models_makes_no_register(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    open_store(root=tmp_path / "mlruns")
    assert execute(["site"]) == 2
    assert "no model is registered in sqlite:///" in capsys.readouterr().err
    assert not Path("grmu-site").exists()


def test_a_first_version_that_cannot_be_made_leaves_neither_store_nor_key(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "keys" / "hmac.key"))
    torch.save({"weight": torch.zeros(2, 3)}, "trained.pth")
    for line in (["pretrain", "--name", "m"], ["register", "--name", "m", "--weights", "trained.pth"]):
        assert execute([*line, "--data", "absent.yaml"]) == 2
        assert "absent.yaml" in capsys.readouterr().err
    assert tree(tmp_path) == {"trained.pth"}
