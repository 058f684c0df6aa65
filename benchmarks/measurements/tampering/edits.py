"""Everything that a verdict or a served file depends on, edited one at a time and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measurements.tampering.columns import ADDRESSES, FOUND, JUDGED, ONE_OF_FEW, SHOWN, SHOWN_TABLES, TO
from benchmarks.measurements.tampering.stores import NAME, Attacked
from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence.ledger import TAG_ENTRY_KIND
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, Store, promote, verify
from grmu_audit.tracking.pages import PAGE_TAGS

LEDGER = f"{NAME}--ledger"
"""Name under which the ledger's entries are registered."""
INTEGRITY = 6
"""Exit code of damage."""


@dataclass(frozen=True)
class Edit:
    """One thing that an attacker does."""

    kind: str
    """``file``, ``added file``, ``tag`` or ``column``."""
    target: str
    """What is edited."""
    deed: str
    """How."""
    made: Callable[[], AbstractContextManager[None]]
    """Makes it, and takes it back at the end."""
    by_promote: bool = True
    """Whether promoting the candidate depends on it, so that ``promote`` must refuse too."""

    @property
    def label(self) -> str:
        """Target and deed."""
        return f"{self.kind} {self.target}: {self.deed}"


def every_edit(attacked: Attacked) -> Iterator[Edit]:
    """All edits of all kinds."""
    yield from file_edits(attacked)
    yield from added_files(attacked)
    yield from tag_edits(attacked)
    yield from column_edits(attacked)


def sample_of(edits: Iterable[Edit]) -> list[Edit]:
    """One edit of every target, with every deed in turn.

    >>> made = [Edit("file", t, d, None) for t in ("a", "b") for d in ("cut", "removed")]
    >>> [edit.label for edit in sample_of(made)]
    ['file a: cut', 'file b: removed']
    """
    by_target: dict[tuple[str, str], list[Edit]] = {}
    for edit in edits:
        by_target.setdefault((edit.kind, edit.target), []).append(edit)
    return [found[number % len(found)] for number, found in enumerate(by_target.values())]


def missed(attacked: Attacked, edit: Edit) -> list[str]:
    """Which of the two commands did not find an edit; it is taken back afterwards."""
    with edit.made():
        lost = [f"{edit.label}: verify"] if INTEGRITY not in verify_codes(attacked) else []
        if edit.by_promote and not _refused(attacked):
            lost.append(f"{edit.label}: promote")
    return lost


def verify_codes(attacked: Attacked) -> list[int]:
    """Exit codes of what ``verify`` finds."""
    try:
        return [int(finding.error.exit_code) for finding in verify(attacked.store, NAME, requirements=attacked.requirements)]
    except GrmuAuditError as error:
        return [int(error.exit_code)]


class _PromotedError(Exception):
    """The candidate would be champion now."""


class _Watched:
    """The store of an operator who promotes: a refusal is not entered, and a promotion ends before it is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, log: str, tags: Mapping[str, str], subject: ModelRef) -> int:
        """See ``Store``."""
        if tags[TAG_ENTRY_KIND] != "refusal":
            raise _PromotedError
        return 0


def _refused(attacked: Attacked) -> bool:
    watched: Any = _Watched(attacked.store)
    try:
        promote(watched, f"{NAME}/{attacked.versions[2]}", Actor("mallory", "x"), requirements=attacked.requirements)
    except GrmuAuditError:
        return True
    except _PromotedError:
        return False
    return False


def file_edits(attacked: Attacked) -> Iterator[Edit]:
    """Every file of the base, of the candidate and of its audit: first, middle, last byte, cut, removed, another version's."""
    base, champion, candidate = attacked.versions
    pairs = [
        ("the baseline", attacked.run_of[base], attacked.run_of[champion]),
        ("the candidate", attacked.run_of[candidate], attacked.run_of[champion]),
        ("the audit", attacked.audit_run_of[candidate], attacked.audit_run_of[champion]),
    ]
    for whose, run, other in pairs:
        folder, twins = attacked.folder(run), attacked.folder(other)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder)
            twin = (twins / name).read_bytes() if (twins / name).is_file() else None
            for deed, content in _damaged(path.read_bytes(), twin):
                yield Edit("file", f"{name} of {whose}", deed, partial(_file, path, content))


def _damaged(content: bytes, other: bytes | None) -> Iterator[tuple[str, bytes | None]]:
    """Every way in which a file is edited; None removes it."""
    for name, at in (("first byte", 0), ("middle byte", len(content) // 2), ("last byte", len(content) - 1)):
        yield name, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    yield "cut", content[:-1]
    yield "removed", None
    if other is not None and other != content:
        yield "another version's", other


def added_files(attacked: Attacked) -> Iterator[Edit]:
    """Files that stand beside those of a version; one has the name of that which MLflow writes when it serves."""
    base, _, candidate = attacked.versions
    for whose, version in (("the baseline", base), ("the candidate", candidate)):
        folder = attacked.folder(attacked.run_of[version]) / "model"
        for name in ("more.bin", "MLmodel", "registered_model_meta"):
            yield Edit("added file", name, f"added to {whose}", partial(_file, folder / name, b"more"))


@contextmanager
def _file(path: Path, content: bytes | None) -> Iterator[None]:
    before = path.read_bytes() if path.is_file() else None
    try:
        _write(path, content)
        yield
    finally:
        _write(path, before)


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def tag_edits(attacked: Attacked) -> Iterator[Edit]:
    """Every tag of every version and of every entry of the ledger: a character edited, and removed."""
    rows = attacked.sql("select name, version, key, value from model_version_tags where name in (?, ?)", (NAME, LEDGER))
    for name, version, key, value in rows:
        target, which = f"{key} of {'an entry' if name == LEDGER else 'a version'}", f"in {name}/{version}"
        champion = name == NAME and str(version) == attacked.versions[1]  # what it is decides nothing for another
        asked = not champion and key not in PAGE_TAGS
        where = ("model_version_tags", "name = ? and version = ? and key = ?", (name, version, key))
        edited = value[:-1] + chr(ord(value[-1]) ^ 1)
        yield Edit("tag", target, f"edited {which}", partial(_column, attacked, where, ("value", value, edited)), asked)
        if key != TAG_ENTRY_KIND:  # for people who look at the registry; entries of before have none
            yield Edit("tag", target, f"removed {which}", partial(_without_row, attacked, where), asked)


@dataclass(frozen=True)
class Row:
    """One row that an attacker edits."""

    table: str
    """Its table."""
    where: str
    """How it is found."""
    key: tuple[object, ...]
    """By which values."""
    by_promote: bool = True
    """Whether promoting the candidate depends on it."""
    columns: tuple[str, ...] = ()
    """Those that count in this row; empty: all."""


def rows_of(attacked: Attacked) -> Iterator[Row]:
    """A row of every table and of every part that a row plays."""
    version = "name = ? and version = ?"
    yield Row("registered_models", "name = ?", (NAME,))
    # entries of a ledger are found by their own rows; no file is read through them
    yield Row("model_versions", version, (LEDGER, 2), columns=("name", "version", "current_stage"))
    yield Row("registered_model_aliases", "alias = ?", ("champion",))
    base, champion, candidate = attacked.versions
    for number in attacked.versions:
        asked = number != champion
        # a baseline that is hidden is one that was deleted, which people may do: what was audited is attested
        columns = ("source", "storage_location", "run_id") if number == base else ()
        yield Row("model_versions", version, (NAME, int(number)), asked, columns)
        yield Row("runs", "run_uuid = ?", (attacked.run_of[number],), asked)
    audit = attacked.audit_run_of[candidate]
    yield Row("runs", "run_uuid = ?", (audit,))
    first = attacked.sql("select model_id, metric_name from logged_model_metrics where run_id = ?", (audit,))[0]
    yield Row("logged_models", "model_id = ?", first[:1])
    yield Row("logged_model_metrics", "model_id = ? and metric_name = ?", first)
    yield Row("latest_metrics", "run_uuid = ? and key = ?", (audit, first[1]))
    yield Row("model_version_tags", f"{version} and key = ?", (NAME, int(candidate), "grmu.parent"))
    yield Row("model_version_tags", f"{version} and key = ?", (LEDGER, 2, "grmu.ledger.entry"))


def column_edits(attacked: Attacked) -> Iterator[Edit]:
    """Every column that something depends on, in every row that plays another part."""
    for row in rows_of(attacked):
        for column in (name for name, judged in JUDGED[row.table].items() if judged == FOUND):
            if not row.columns or column in row.columns:
                yield from edits_of(attacked, row, column)


def edits_of(attacked: Attacked, row: Row, column: str) -> Iterator[Edit]:
    """Every way in which a column of a row is edited."""
    where = (row.table, row.where, row.key)
    value = attacked.sql(f"select {column} from {row.table} where {row.where}", row.key)[0][0]
    for to in _values(attacked, row, column, value):
        change = partial(_column, attacked, where, (column, value, to))
        target = f"{row.table}.{column}"
        asked = row.by_promote and target not in SHOWN and row.table not in SHOWN_TABLES
        yield Edit("column", target, f"of {row.key} = {to!r}", change, asked)


def _values(attacked: Attacked, row: Row, column: str, value: object) -> Iterator[object]:
    if (row.table, column) in ONE_OF_FEW:
        yield ONE_OF_FEW[row.table, column]
    elif column in TO:
        yield TO[column]
    elif column in ADDRESSES:
        others = attacked.sql(f"select distinct {column} from {row.table} where {column} <> ?", (value,))
        yield others[0][0]
        yield f"{str(value)[:-1]}x"
        if column in ("source", "run_id"):
            yield None  # without a storage_location the source is served, which is the same
    elif isinstance(value, str) and value:
        yield value[:-1] + chr(ord(value[-1]) ^ 1)
    else:
        yield 7 if isinstance(value, int) else "7"


_Where = tuple[str, str, tuple[object, ...]]


@contextmanager
def _column(attacked: Attacked, where: _Where, change: tuple[str, object, object]) -> Iterator[None]:
    """One column of one row, until the end; the row is found again by the place of its record."""
    table, condition, key = where
    column, value, to = change
    number = attacked.sql(f"select rowid from {table} where {condition}", key)[0][0]
    attacked.sql(f"update {table} set {column} = ? where rowid = ?", (to, number))
    try:
        yield
    finally:
        attacked.sql(f"update {table} set {column} = ? where rowid = ?", (value, number))


@contextmanager
def _without_row(attacked: Attacked, where: _Where) -> Iterator[None]:
    table, condition, key = where
    row = attacked.sql(f"select * from {table} where {condition}", key)[0]
    attacked.sql(f"delete from {table} where {condition}", key)
    try:
        yield
    finally:
        attacked.sql(f"insert into {table} values ({', '.join('?' * len(row))})", row)
