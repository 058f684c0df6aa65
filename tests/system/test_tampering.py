"""Everything that a verdict or a served file depends on is edited, one at a time: 'verify' and 'promote' find each.

One prepared store for all edits: a version, a champion and a candidate that were derived from it, with real predictions, audits
and a signature.  Each edit is made in place, looked for, and undone; at the end the store is as it was.  The columns come from
MLflow's own tables: a new one fails here until it is judged.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import audit_of, inputs_of, key_pair, policy, predictions
from support.servers import database

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence.ledger import TAG_ENTRY_KIND
from grmu_audit.evidence.signing import load_public_key, load_signer
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, Author, Requirements, Store, lineage_tags, open_store, promote, record_audit, verify
from grmu_audit.tracking.artifacts import served_marks
from grmu_audit.tracking.names import RUN_FILES, TAG_KIND

NAME = "faces"
FOUND = "found"
BASE, CHAMPION, CANDIDATE = "1", "2", "3"

JUDGED: dict[str, dict[str, str]] = {
    "registered_models": {
        "workspace": FOUND,
        "name": FOUND,
        "creation_time": "shown by MLflow, read by nothing here",
        "last_updated_time": "shown by MLflow, read by nothing here",
        "description": "shown by MLflow, read by nothing here",
    },
    "registered_model_tags": dict.fromkeys(
        ("workspace", "name", "key", "value"), "this tool writes none and reads none; no file is found by them"
    ),
    "registered_model_aliases": {"workspace": FOUND, "name": FOUND, "alias": FOUND, "version": FOUND},
    "model_versions": {
        "workspace": FOUND,
        "name": FOUND,
        "version": FOUND,
        "current_stage": FOUND,
        "source": FOUND,
        "storage_location": FOUND,
        "run_id": FOUND,
        "creation_time": "versions are ordered by number",
        "last_updated_time": "versions are ordered by number",
        "description": "a sentence for people with a link to the report",
        "user_id": "this tool names actors in its ledger",
        "run_link": "a link for people",
        "status": "MLflow's client serves a version whatever it says",
        "status_message": "a sentence for people",
    },
    "model_version_tags": {"workspace": FOUND, "name": FOUND, "version": FOUND, "key": FOUND, "value": FOUND},
    "runs": {
        "run_uuid": FOUND,
        "lifecycle_stage": FOUND,
        "artifact_uri": FOUND,
        **dict.fromkeys(
            ("name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time", "end_time",
             "deleted_time", "source_version", "experiment_id"),
            "no file is found by it: the address of the artifacts is stored with the run",
        ),
    },
    "experiments": dict.fromkeys(
        ("experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time", "workspace"),
        "only new runs take anything from it",
    ),
}  # fmt: skip
"""Every column of the tables that hold models and runs: found when it is edited, or why nothing depends on it."""
EDITS: dict[str, object] = {
    "workspace": "elsewhere",
    "name": "other",
    "version": 99,
    "alias": "champion2",
    "current_stage": "Deleted_Internal",
    "lifecycle_stage": "deleted",
    "run_uuid": "f" * 32,
}
"""What a column is set to; all others take another row's value, and are edited by a character."""
OTHERS: dict[tuple[str, str], object] = {
    ("model_versions", "status"): "FAILED_REGISTRATION",
    ("runs", "status"): "FAILED",
    ("runs", "source_type"): "JOB",
    ("runs", "experiment_id"): 0,
}
"""The same for columns that hold one of a few values."""


@dataclass(frozen=True)
class Prepared:
    """The store under attack."""

    store: Store
    root: Path
    run_of: Mapping[str, str]
    """Run by version."""
    audit_of: Mapping[str, str]
    """Audit run by version."""
    requirements: Requirements
    sql: Callable[..., list[tuple[Any, ...]]]
    """Runs one statement."""

    def folder(self, run_id: str) -> Path:
        return next(path for path in self.root.rglob(run_id) if path.is_dir()) / "artifacts"


def add(store: Store, root: Path, parent: ModelRef | None = None) -> ModelRef:
    """A version with every artifact that a run can have, none of them as another version's."""
    number = len(store.versions(NAME))
    folder = root / f"files-{number}"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(f"weights {number}".encode() * 20)
    (folder / "model.json").write_text(f'{{"architecture":"imagined{number}"}}')
    label = parent.label if parent else None
    described = ModelRef(
        NAME, "", method="miu", parent=label, seed=number, data_digest=f"{number}" * 64, architecture="x", config={"n": number},
        key_check=f"{number}" * 8, reweight=bool(number),
    )  # fmt: skip
    with store.run(NAME, "unlearn" if parent else "pretrain") as run:
        for name in RUN_FILES:
            run.log_bytes(f"{name} of version {number}".encode() * 10, name)
        return store.register(
            run, NAME, folder, role="unlearned" if parent else "pretrain", tags=lineage_tags(described), author=Author("ana")
        )


def audit(store: Store, ref: ModelRef, baseline: ModelRef, key: Path) -> str:
    tables = [predictions(100 + int(ref.version)), predictions(100)]
    made = replace(audit_of(ref, tables, policy()), baseline=baseline)
    with store.run(NAME, "audit") as run:
        files = evidence_files(made, policy(), inputs_of(ref, tables))
        record_audit(store, run, made, files, Author("auditor", load_signer(key)))
    return run.id


def prepare(store: Store, root: Path, sql: Callable[..., list[tuple[Any, ...]]]) -> Prepared:
    private, public = key_pair(root)
    base = add(store, root)
    champion, candidate = add(store, root, base), add(store, root, base)
    audits = {ref.version: audit(store, ref, base, private) for ref in (champion, candidate)}
    required = Requirements(keys=(load_public_key(public),))
    promote(store, champion, Actor("ana", "release"), requirements=required)
    runs = {ref.version: str(ref.run_id) for ref in (base, champion, candidate)}
    return Prepared(store, root, runs, audits, required, sql)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    root = tmp_path_factory.mktemp("tampering")
    file = root / "mlflow.db"

    def sql(text: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            return connection.execute(text, values).fetchall()

    made = prepare(open_store(f"sqlite:///{file}", root=root), root, sql)
    assert verify(made.store, NAME, requirements=made.requirements) == []
    yield made
    assert verify(made.store, NAME, requirements=made.requirements) == [], "every edit was undone"


class Watched:
    """The store of an operator who promotes: a refusal is not entered, and a promotion would be a miss."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, log: str, tags: Mapping[str, str], subject: ModelRef) -> int:
        assert tags[TAG_ENTRY_KIND] == "refusal", "promoted"
        return 0


def missed(prepared: Prepared, *, by_promote: bool = True) -> list[str]:
    """Which of the two commands did not find the edit; exit code 6 is that of damage."""
    found = list[str]()
    try:
        findings = verify(prepared.store, NAME, requirements=prepared.requirements)
        codes = [int(finding.error.exit_code) for finding in findings]
    except GrmuAuditError as error:
        codes = [int(error.exit_code)]
    if 6 not in codes:
        found.append(f"verify {codes}")
    if by_promote:
        try:
            watched: Any = Watched(prepared.store)
            promote(watched, f"{NAME}/{CANDIDATE}", Actor("mallory", "x"), requirements=prepared.requirements)
            found.append("promote")
        except GrmuAuditError:
            pass
        except AssertionError:
            found.append("promote")
    return found


def damaged(content: bytes, other: bytes | None) -> Iterator[tuple[str, bytes | None]]:
    """Every way in which a file is edited; None removes it."""
    for name, at in (("first byte", 0), ("middle byte", len(content) // 2), ("last byte", len(content) - 1)):
        yield name, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    yield "cut", content[:-1]
    yield "removed", None
    if other is not None and other != content:
        yield "another version's", other


def files_of(prepared: Prepared) -> Iterator[tuple[str, Path, Path]]:
    """Every file of the baseline, of the candidate and of its audit, with the same file of the champion."""
    pairs = [
        ("baseline", prepared.run_of[BASE], prepared.run_of[CHAMPION]),
        ("candidate", prepared.run_of[CANDIDATE], prepared.run_of[CHAMPION]),
        ("audit", prepared.audit_of[CANDIDATE], prepared.audit_of[CHAMPION]),
    ]
    for whose, run, other in pairs:
        folder = prepared.folder(run)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder)
            yield f"{name} of the {whose}", path, prepared.folder(other) / name


def test_every_file(prepared: Prepared) -> None:
    lost, count = list[str](), 0
    for label, path, twin in files_of(prepared):
        content = path.read_bytes()
        for deed, edited in damaged(content, twin.read_bytes() if twin.is_file() else None):
            try:
                path.unlink() if edited is None else path.write_bytes(edited)
                count += 1
                lost += [f"{label}, {deed}: {command}" for command in missed(prepared)]
            finally:
                path.write_bytes(content)
    assert lost == []
    assert count >= 140


def test_files_that_are_added(prepared: Prepared) -> None:
    for version in (BASE, CANDIDATE):
        folder = prepared.folder(prepared.run_of[version])
        for name in ("model/more.bin", "model/MLmodel", "model/registered_model_meta"):
            (folder / name).write_bytes(b"more")
            try:
                assert missed(prepared) == [], name
            finally:
                (folder / name).unlink()


def test_every_tag_is_edited_and_removed(prepared: Prepared) -> None:
    rows = prepared.sql(
        "select name, version, key, value from model_version_tags where name in (?, ?)", (NAME, f"{NAME}--ledger")
    )
    lost, count = list[str](), 0
    for name, version, key, value in rows:
        where, place = "where name = ? and version = ? and key = ?", (name, version, key)
        champions = name == NAME and str(version) == CHAMPION
        for deed, text in (("edited", value[:-1] + chr(ord(value[-1]) ^ 1)), ("removed", None)):
            if text is None and key == TAG_ENTRY_KIND:
                continue  # for people who look at the registry; entries of before have none
            try:
                if text is None:
                    prepared.sql(f"delete from model_version_tags {where}", place)
                else:
                    prepared.sql(f"update model_version_tags set value = ? {where}", (text, *place))
                count += 1
                lost += [f"{name}/{version} {key} {deed}: {command}" for command in missed(prepared, by_promote=not champions)]
            finally:
                prepared.sql(f"delete from model_version_tags {where}", place)
                _insert(prepared, "model_version_tags", {"name": name, "version": version, "key": key, "value": value})
    assert lost == []
    assert count >= 90


def _insert(prepared: Prepared, table: str, row: dict[str, object]) -> None:
    if table == "model_version_tags" and "workspace" in JUDGED[table]:
        row = {"workspace": _workspace(prepared), **row}
    marks = ", ".join("?" * len(row))
    prepared.sql(f"insert into {table} ({', '.join(row)}) values ({marks})", tuple(row.values()))


def _workspace(prepared: Prepared) -> str:
    return str(prepared.sql("select workspace from registered_models")[0][0])


def test_every_column_of_the_tables_is_judged(prepared: Prepared) -> None:
    from mlflow.store.model_registry.dbmodels import models
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

    kinds = [models.SqlRegisteredModel, models.SqlRegisteredModelTag, models.SqlRegisteredModelAlias, models.SqlModelVersion,
             models.SqlModelVersionTag, SqlRun, SqlExperiment]  # fmt: skip
    schema = {kind.__tablename__: {column.name for column in kind.__table__.columns} for kind in kinds}
    assert schema == {table: set(columns) for table, columns in JUDGED.items()}
    for table, columns in schema.items():
        assert {row[1] for row in prepared.sql(f"pragma table_info({table})")} == columns, table


@dataclass(frozen=True)
class Row:
    """One row that an attacker edits."""

    table: str
    where: str
    key: tuple[object, ...]
    by_promote: bool = True
    columns: tuple[str, ...] = ()
    """Those that count in this row; empty: all."""


def rows_of(prepared: Prepared) -> Iterator[Row]:
    yield Row("registered_models", "name = ?", (NAME,))
    # entries of a ledger are found by their own rows; no file is read through them
    yield Row("model_versions", "name = ? and version = ?", (f"{NAME}--ledger", 2), columns=("name", "version", "current_stage"))
    yield Row("registered_model_aliases", "alias = ?", ("champion",))
    for version in (BASE, CHAMPION, CANDIDATE):
        asked = version != CHAMPION
        # a baseline that is hidden is one that was deleted, which people may do: what was audited is attested
        columns = ("source", "storage_location", "run_id") if version == BASE else ()
        yield Row("model_versions", "name = ? and version = ?", (NAME, int(version)), asked, columns)
        yield Row("runs", "run_uuid = ?", (prepared.run_of[version],), asked)
    yield Row("runs", "run_uuid = ?", (prepared.audit_of[CANDIDATE],))
    yield Row("model_version_tags", "name = ? and version = ? and key = ?", (NAME, int(CANDIDATE), "grmu.parent"))
    yield Row("model_version_tags", "name = ? and version = ? and key = ?", (f"{NAME}--ledger", 2, "grmu.ledger.entry"))


def edits_of(prepared: Prepared, row: Row, column: str, value: object) -> Iterator[object]:
    if (row.table, column) in OTHERS:
        yield OTHERS[row.table, column]
    elif column in EDITS:
        yield EDITS[column]
    elif column == "key":
        yield "grmu.other"
    elif column in ("source", "storage_location", "run_id", "artifact_uri"):
        others = prepared.sql(f"select distinct {column} from {row.table} where {column} <> ?", (value,))
        yield others[0][0]
        yield f"{str(value)[:-1]}x"
        if column in ("source", "run_id"):
            yield None  # without a storage_location the source is served, which is the same
    elif isinstance(value, str) and value:
        yield value[:-1] + chr(ord(value[-1]) ^ 1)
    else:
        yield 7 if isinstance(value, int) else "7"


@contextmanager
def edited(prepared: Prepared, row: Row, column: str, value: object, to: object) -> Iterator[None]:
    """One column of one row, until the end; the row is found again by the place of its record."""
    number = prepared.sql(f"select rowid from {row.table} where {row.where}", row.key)[0][0]
    prepared.sql(f"update {row.table} set {column} = ? where rowid = ?", (to, number))
    try:
        yield
    finally:
        prepared.sql(f"update {row.table} set {column} = ? where rowid = ?", (value, number))


def test_every_column_that_something_depends_on(prepared: Prepared) -> None:
    lost, count = list[str](), 0
    for row in rows_of(prepared):
        for column in (name for name, judged in JUDGED[row.table].items() if judged == FOUND):
            if row.columns and column not in row.columns:
                continue
            value = prepared.sql(f"select {column} from {row.table} where {row.where}", row.key)[0][0]
            for to in edits_of(prepared, row, column, value):
                with edited(prepared, row, column, value, to):
                    count += 1
                    found = missed(prepared, by_promote=row.by_promote)
                lost += [f"{row.table}.{column} of {row.key} = {to!r}: {command}" for command in found]
    assert lost == []
    assert count >= 50


def test_no_other_column_raises_a_false_alarm_or_changes_what_is_served(prepared: Prepared) -> None:
    client: Any = prepared.store._client  # type: ignore[attr-defined]
    served = {version: client.get_model_version_download_uri(NAME, version) for version in prepared.run_of}
    row = Row("model_versions", "name = ? and version = ?", (NAME, int(CHAMPION)))
    run = Row("runs", "run_uuid = ?", (prepared.run_of[CHAMPION],))
    for one in (row, run):
        for column in (name for name, judged in JUDGED[one.table].items() if judged != FOUND):
            value = prepared.sql(f"select {column} from {one.table} where {one.where}", one.key)[0][0]
            for to in itertools.islice(edits_of(prepared, one, column, value), 1):
                with edited(prepared, one, column, value, to):
                    assert verify(prepared.store, NAME, requirements=prepared.requirements) == [], column
                    now = {version: client.get_model_version_download_uri(NAME, version) for version in prepared.run_of}
                    assert now == served, column


def test_tags_of_runs_decide_nothing(prepared: Prepared) -> None:
    prepared.sql("update tags set value = 'x' where key = ? and run_uuid = ?", (TAG_KIND, prepared.run_of[CANDIDATE]))
    assert verify(prepared.store, NAME, requirements=prepared.requirements) == []


def test_serving_and_restarts_are_no_damage(prepared: Prepared) -> None:
    marks = []
    for version, run in prepared.run_of.items():
        for content in served_marks(ModelRef(NAME, version)):
            mark = prepared.folder(run) / "model" / "registered_model_meta"
            mark.write_bytes(content)
            marks.append(mark)
            assert verify(prepared.store, NAME, requirements=prepared.requirements) == []
    again = open_store(f"sqlite:///{prepared.root}/mlflow.db", root=prepared.root)
    assert verify(again, NAME, requirements=prepared.requirements) == []
    for mark in set(marks):
        mark.unlink()


@pytest.mark.slow
def test_one_edit_of_each_kind_on_postgresql(postgres_base: str, tmp_path: Path) -> None:
    """A tag, an entry of the ledger, an alias, an address, a run, and a file."""
    import psycopg2

    uri = database(postgres_base, "tampering")

    def sql(text: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(uri.replace("+psycopg2", ""))) as connection, connection, connection.cursor() as cursor:
            cursor.execute(text.replace("?", "%s"), values)
            return list(cursor.fetchall()) if cursor.description else []

    made = prepare(open_store(uri, root=tmp_path), tmp_path, sql)
    assert verify(made.store, NAME, requirements=made.requirements) == []
    ledger, version = f"{NAME}--ledger", "name = ? and version = ?"
    edits: dict[str, tuple[str, str, str, tuple[object, ...], object]] = {
        "tag": ("model_version_tags", "value", f"{version} and key = 'grmu.parent'", (NAME, 3), f"{NAME}/3"),
        "entry": ("model_version_tags", "value", f"{version} and key = 'grmu.ledger.entry'", (ledger, 2), "{}"),
        "alias": ("registered_model_aliases", "version", "name = ? and alias = ?", (NAME, "champion"), 3),
        "address": ("model_versions", "storage_location", version, (NAME, 3), "file:///elsewhere"),
        "run": ("model_versions", "run_id", version, (NAME, 3), made.run_of[CHAMPION]),
    }
    for kind, (table, column, where, key, to) in edits.items():
        before = sql(f"select {column} from {table} where {where}", key)[0][0]
        sql(f"update {table} set {column} = ? where {where}", (to, *key))
        assert missed(made) == [], kind
        sql(f"update {table} set {column} = ? where {where}", (before, *key))
    assert verify(made.store, NAME, requirements=made.requirements) == []
    file = made.folder(made.run_of[BASE]) / "predictions.parquet"
    shutil.copyfile(made.folder(made.run_of[CANDIDATE]) / "predictions.parquet", file)
    assert missed(made) == []
