"""An embedded database reads the same by its tables as by MLflow's client."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.judged_audits import version

from grmu_audit.errors import IntegrityError, NotFoundError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import open_store
from grmu_audit.tracking.mlflow.environment import locate
from grmu_audit.tracking.mlflow.reading import KNOWN_SCHEMAS, ClientReader, TableReader
from grmu_audit.tracking.mlflow.store import MlflowStore


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[MlflowStore, list[ModelRef], str]:
    """A store with three versions, the second deleted, odd tags, an alias, a deleted run, and a model that is a prompt."""
    root = tmp_path_factory.mktemp("embedded")
    uri = f"sqlite:///{root}/mlflow.db"
    store = open_store(uri, root=root)
    assert isinstance(store, MlflowStore)
    refs = [version(store, "faces", root / str(number)) for number in range(3)]
    store.tag(refs[0], {"grmu.note": "a 'quoted' ü; --\nline", "grmu.empty": ""})
    store.set_alias("faces", "champion", "3")
    store.describe_model("faces", "**PASS** ü")
    store._client.delete_model_version("faces", "2")
    store._client.delete_run(str(refs[1].run_id))
    version(store, "spoken", root / "prompt")
    store._client.set_model_version_tag("spoken", "1", "mlflow.prompt.is_prompt", "true")
    return store, refs, uri


def readers(made: tuple[MlflowStore, list[ModelRef], str]) -> tuple[TableReader, ClientReader]:
    tables = TableReader.of(locate(made[2]))
    assert tables is not None
    return tables, ClientReader(made[0]._client)


def test_both_give_the_same_rows(made: tuple[MlflowStore, list[ModelRef], str]) -> None:
    tables, client = readers(made)
    assert sorted(tables.models()) == sorted(client.models())
    for name in ("faces", "faces--ledger", "spoken", "unknown"):
        assert tables.versions(name) == client.versions(name)
        assert tables.aliases(name) == client.aliases(name)
    assert [row.number for row in tables.versions("faces")] == [1, 3]
    assert tables.versions("spoken") == []
    for name, number in (("faces", "1"), ("faces", "3")):
        assert tables.version(name, number) == client.version(name, number)
        assert tables.served_from(name, number) == client.served_from(name, number)
    for ref in made[1]:
        assert tables.run(str(ref.run_id)) == client.run(str(ref.run_id))
    assert not tables.run(str(made[1][1].run_id)).active
    for name in ("faces", "spoken", "unknown"):
        assert tables.model_description(name) == client.model_description(name)


def test_both_give_the_same_metrics(made: tuple[MlflowStore, list[ModelRef], str]) -> None:
    store, refs, _ = made
    tables, client = readers(made)
    with store.run("faces", "audit") as run:
        run.log_metrics({"loss": 0.5}, step=1)
        run.log_metrics({"loss": 0.25}, step=2)
        logged = run.log_audit(refs[0], {"GA": 0.1 + 0.2, "EO": float("nan"), "FGSM@0.03": 0.25}, ("digits", "d" * 64))
    assert tables.run_metrics(run.id) == client.run_metrics(run.id) == {"loss": 0.25, "GA": 0.1 + 0.2, "FGSM/0.03": 0.25}
    assert tables.logged_metrics(logged) == client.logged_metrics(logged) == [("FGSM/0.03", 0.25), ("GA", 0.1 + 0.2)]
    found = store._client.get_logged_model(logged)
    assert {(metric.dataset_name, metric.run_id) for metric in found.metrics} == {("digits", run.id)}
    assert '"version":"1"' in found.tags["mlflow.modelVersions"]
    store._client.delete_logged_model(logged)
    assert tables.logged_metrics(logged) == client.logged_metrics(logged) == []


def test_what_is_not_there_is_one_error_from_either(made: tuple[MlflowStore, list[ModelRef], str]) -> None:
    said = []
    for reader in readers(made):
        made[0]._reads = reader
        with pytest.raises(NotFoundError) as deleted:
            made[0].tags(made[1][1])
        with pytest.raises(NotFoundError) as prompt:
            made[0].tags(ModelRef("spoken", "1"))
        with pytest.raises(NotFoundError) as unknown:
            made[0].tags(ModelRef("nobody", "7"))
        assert made[0].run_artifact("0" * 32, "audit.json") is None
        said.append((str(deleted.value), str(prompt.value), str(unknown.value).partition(": ")[0]))
    assert said[0] == said[1]


def test_the_tables_of_the_installed_mlflow_are_known(made: tuple[MlflowStore, list[ModelRef], str]) -> None:
    with closing(sqlite3.connect(readers(made)[0].registry)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone()[0] in KNOWN_SCHEMAS


def test_other_tables_servers_and_workspaces_are_left_to_mlflow(
    made: tuple[MlflowStore, list[ModelRef], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0000')")
        connection.commit()
    for uri in (f"sqlite:///{other}", f"sqlite:///{tmp_path}/absent.db", "http://localhost:1", "postgresql://db/mlflow"):
        assert TableReader.of(locate(uri)) is None
    assert TableReader.of(locate(made[2], f"sqlite:///{other}")) is None
    assert not (tmp_path / "absent.db").exists()
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    assert TableReader.of(locate(made[2])) is None


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE model_version_tags SET value = cast(value AS blob) WHERE key = 'grmu.note'",
        "UPDATE model_version_tags SET key = x'00ff' WHERE key = 'grmu.note'",
        "UPDATE model_versions SET source = x'00' WHERE version = 1",
        "UPDATE model_versions SET run_id = cast(run_id AS blob) WHERE version = 1",
        "UPDATE model_versions SET description = x'00ff' WHERE version = 1",
        "UPDATE model_versions SET version = '1x' WHERE version = 1",
        "UPDATE model_versions SET version = 1.5 WHERE version = 1",
        "UPDATE runs SET artifact_uri = cast(artifact_uri AS blob)",
    ],
)
def test_what_mlflow_never_writes_into_a_column_is_damage(
    made: tuple[MlflowStore, list[ModelRef], str], edit: str, tmp_path: Path
) -> None:
    file = tmp_path / "edited.db"
    shutil.copyfile(readers(made)[0].registry, file)
    tables = TableReader(file, file)
    assert tables.versions("faces")
    with closing(sqlite3.connect(file)) as connection, connection:
        assert connection.execute(edit).rowcount > 0
    with pytest.raises(IntegrityError, match="in MLflow's tables holds what MLflow never writes"):
        [tables.run(str(row.run_id)) for row in tables.versions("faces")]


def test_a_tag_without_a_value_is_empty(made: tuple[MlflowStore, list[ModelRef], str], tmp_path: Path) -> None:
    file = tmp_path / "edited.db"
    shutil.copyfile(readers(made)[0].registry, file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE model_version_tags SET value = NULL WHERE key = 'grmu.note'")
    assert TableReader(file, file).version("faces", "1").tags["grmu.note"] == ""


def test_a_locked_or_damaged_database_is_one_error(tmp_path: Path) -> None:
    from grmu_audit.errors import EnvironmentFailure

    (tmp_path / "mlflow.db").write_bytes(b"not a database at all, but long enough to look like one" * 40)
    with pytest.raises(EnvironmentFailure, match="cannot open the tracking store"):
        open_store(f"sqlite:///{tmp_path}/mlflow.db", root=tmp_path, create=False)
