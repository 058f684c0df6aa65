"""Everything that a verdict or a served file depends on is edited, one at a time: 'verify' and 'promote' find each.

One prepared store for all edits: a version, a champion and a candidate that were derived from it, with real predictions, audits
and a signature.  Each edit is made in place, looked for, and undone.  Here every file, tag and column is edited in one of the
ways that there are, taken in turn; ``benchmarks/pages/reliability.py`` makes all edits.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.servers import database

from benchmarks.measurements.tampering.columns import FOUND, JUDGED
from benchmarks.measurements.tampering.edits import (
    LEDGER,
    Edit,
    Row,
    added_files,
    column_edits,
    edits_of,
    file_edits,
    missed,
    sample_of,
    tag_edits,
    verify_codes,
)
from benchmarks.measurements.tampering.histories import honest_history
from benchmarks.measurements.tampering.stores import NAME, Attacked, attacked_store, open_embedded, sqlite
from grmu_audit.records import ModelRef
from grmu_audit.tracking import open_store, verify
from grmu_audit.tracking.artifacts import served_marks
from grmu_audit.tracking.names import LINEAGE_TAGS, RUN_FILES, TAG_KIND


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a store in which nothing was stored."""
    root = tmp_path_factory.mktemp("empty")
    open_embedded(root)
    return root


@pytest.fixture(scope="module")
def attacked(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    root = tmp_path_factory.mktemp("tampering")
    return attacked_store(open_embedded(root, empty), root, sqlite(root))


def check(attacked: Attacked, edits: Iterable[Edit]) -> list[Edit]:
    """Every edit is found, and every one of them is undone."""
    chosen = sample_of(edits)
    assert verify_codes(attacked) == []
    assert [line for edit in chosen for line in missed(attacked, edit)] == []
    assert verify_codes(attacked) == [], "every edit was undone"
    return chosen


def test_every_file(attacked: Attacked) -> None:
    chosen = check(attacked, file_edits(attacked))
    assert len({edit.target for edit in chosen}) >= 2 * len(RUN_FILES) + 8
    assert len({edit.deed for edit in chosen}) == 6


def test_files_that_are_added(attacked: Attacked) -> None:
    assert len(check(attacked, added_files(attacked))) == 3


def test_every_tag_is_edited_and_removed(attacked: Attacked) -> None:
    chosen = check(attacked, tag_edits(attacked))
    written = {key for version in attacked.versions for key in attacked.store.tags(ModelRef(NAME, version))}
    assert {edit.target.partition(" ")[0] for edit in chosen} >= written
    assert len(written & {*LINEAGE_TAGS}) > 8
    assert {edit.deed.partition(" ")[0] for edit in chosen} == {"edited", "removed"}


def test_every_column_of_the_tables_is_judged(attacked: Attacked) -> None:
    from mlflow.store.model_registry.dbmodels import models
    from mlflow.store.tracking.dbmodels.models import (
        SqlExperiment,
        SqlLatestMetric,
        SqlLoggedModel,
        SqlLoggedModelMetric,
        SqlRun,
    )

    kinds = [models.SqlRegisteredModel, models.SqlRegisteredModelTag, models.SqlRegisteredModelAlias, models.SqlModelVersion,
             models.SqlModelVersionTag, SqlRun, SqlExperiment, SqlLoggedModel, SqlLoggedModelMetric, SqlLatestMetric]  # fmt: skip
    schema = {kind.__tablename__: {column.name for column in kind.__table__.columns} for kind in kinds}
    assert schema == {table: set(columns) for table, columns in JUDGED.items()}
    for table, columns in schema.items():
        assert {row[1] for row in attacked.sql(f"pragma table_info({table})")} == columns, table


def test_every_column_that_something_depends_on(attacked: Attacked) -> None:
    chosen = check(attacked, column_edits(attacked))
    found = {f"{table}.{column}" for table, columns in JUDGED.items() for column, judged in columns.items() if judged == FOUND}
    assert {edit.target for edit in chosen} == found


def test_no_other_column_raises_a_false_alarm_or_changes_what_is_served(attacked: Attacked) -> None:
    client: Any = attacked.store._client  # type: ignore[attr-defined]
    champion = attacked.versions[1]
    served = {version: client.get_model_version_download_uri(NAME, version) for version in attacked.versions}
    row = Row("model_versions", "name = ? and version = ?", (NAME, int(champion)))
    run = Row("runs", "run_uuid = ?", (attacked.run_of[champion],))
    for one in (row, run):
        for column in (name for name, judged in JUDGED[one.table].items() if judged != FOUND):
            for edit in itertools.islice(edits_of(attacked, one, column), 1):
                with edit.made():
                    assert verify_codes(attacked) == [], column
                    now = {version: client.get_model_version_download_uri(NAME, version) for version in attacked.versions}
                    assert now == served, column


def test_tags_of_runs_decide_nothing(attacked: Attacked) -> None:
    attacked.sql("update tags set value = 'x' where key = ? and run_uuid = ?", (TAG_KIND, attacked.run_of[attacked.versions[2]]))
    assert verify_codes(attacked) == []


def test_serving_and_restarts_are_no_damage(attacked: Attacked) -> None:
    marks = []
    for version, run in attacked.run_of.items():
        for content in served_marks(ModelRef(NAME, version)):
            mark = attacked.folder(run) / "model" / "registered_model_meta"
            mark.write_bytes(content)
            marks.append(mark)
            assert verify_codes(attacked) == []
    assert verify(open_embedded(attacked.root), NAME, requirements=attacked.requirements) == []
    for mark in set(marks):
        mark.unlink()


def test_an_honest_history_raises_no_alarm(empty: Path, tmp_path: Path) -> None:
    history = honest_history(tmp_path / "history", empty, 0)
    assert history.findings == []
    assert {"upgrade", "serve", "restart"} <= {*history.done}


@pytest.mark.slow
def test_one_edit_of_each_kind_on_postgresql(postgres_base: str, tmp_path: Path) -> None:
    """A tag, an entry of the ledger, an alias, an address, a run, and a file."""
    import psycopg2

    uri = database(postgres_base, "tampering")

    def sql(text: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(uri.replace("+psycopg2", ""))) as connection, connection, connection.cursor() as cursor:
            cursor.execute(text.replace("?", "%s"), values)
            return list(cursor.fetchall()) if cursor.description else []

    made = attacked_store(open_store(uri, root=tmp_path), tmp_path, sql)
    base, champion, candidate = made.versions
    assert verify_codes(made) == []
    version = "name = ? and version = ?"
    edits: dict[str, tuple[str, str, str, tuple[object, ...], object]] = {
        "tag": ("model_version_tags", "value", f"{version} and key = 'grmu.parent'", (NAME, 3), f"{NAME}/3"),
        "entry": ("model_version_tags", "value", f"{version} and key = 'grmu.ledger.entry'", (LEDGER, 2), "{}"),
        "alias": ("registered_model_aliases", "version", "name = ? and alias = ?", (NAME, "champion"), 3),
        "address": ("model_versions", "storage_location", version, (NAME, 3), "file:///elsewhere"),
        "run": ("model_versions", "run_id", version, (NAME, 3), made.run_of[champion]),
    }

    @contextmanager
    def change(table: str, column: str, where: str, key: tuple[object, ...], to: object) -> Iterator[None]:
        before = sql(f"select {column} from {table} where {where}", key)[0][0]
        sql(f"update {table} set {column} = ? where {where}", (to, *key))
        yield
        sql(f"update {table} set {column} = ? where {where}", (before, *key))

    for kind, what in edits.items():
        assert missed(made, Edit("column", kind, "edited", partial(change, *what))) == []
    assert verify_codes(made) == []
    file = made.folder(made.run_of[base]) / "predictions.parquet"
    copied = Edit("file", "predictions", "copied", nullcontext)
    shutil.copyfile(made.folder(made.run_of[candidate]) / "predictions.parquet", file)
    assert missed(made, copied) == []
