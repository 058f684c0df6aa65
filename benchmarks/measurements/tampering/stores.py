"""Stores with versions, audits and champions that no network was trained for."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measurements.imagined_audits import audit_of, inputs_of, key_pair, policy, predictions
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.evidence.signing import load_public_key, load_signer
from grmu_audit.records import Audit, ModelRef
from grmu_audit.tracking import Actor, Author, Requirements, Store, lineage_tags, open_store, promote, record_audit
from grmu_audit.tracking.names import RUN_FILES

NAME = "faces"
"""Name of the model."""
Sql = Callable[..., list[tuple[Any, ...]]]
"""Runs one statement in the store's database."""


@dataclass(frozen=True)
class Attacked:
    """A store with a first version, a champion, and a candidate for promotion that was derived like it."""

    store: Store
    """The store."""
    root: Path
    """Folder of its files."""
    run_of: Mapping[str, str]
    """Run by version: base, champion, candidate."""
    audit_run_of: Mapping[str, str]
    """Newest audit run by version: champion, candidate."""
    requirements: Requirements
    """What the operator requires."""
    sql: Sql
    """Its database."""

    @property
    def versions(self) -> tuple[str, str, str]:
        """Base, champion and candidate."""
        base, champion, candidate = self.run_of
        return base, champion, candidate

    def folder(self, run_id: str) -> Path:
        """Where the artifacts of a run lie."""
        return next(path for path in self.root.rglob(run_id) if path.is_dir()) / "artifacts"


def sqlite(root: Path) -> Sql:
    """Statements in the database of an embedded store."""

    def run(text: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement, committed."""
        with closing(sqlite3.connect(root / "mlflow.db", timeout=30)) as connection, connection:
            return connection.execute(text, values).fetchall()

    return run


def open_embedded(root: Path, empty: Path | None = None) -> Store:
    """The embedded store in a folder.

    Args:
        root: the folder.
        empty: folder of a store in which nothing was stored: its tables are copied, which takes less time than making them.
    """
    root.mkdir(parents=True, exist_ok=True)
    if empty is not None and not (root / "mlflow.db").exists():
        shutil.copyfile(empty / "mlflow.db", root / "mlflow.db")
    return open_store(f"sqlite:///{root}/mlflow.db", root=root)


def add_version(store: Store, root: Path, parent: ModelRef | None = None, author: str = "ana") -> ModelRef:
    """A version with every artifact that a run can have, none of them as another version's."""
    number = len(list(root.glob("files-*")))
    folder = root / f"files-{number}"
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(f"weights {number}".encode() * 20)
    (folder / "model.json").write_text(f'{{"architecture":"imagined{number}"}}')
    described = ModelRef(
        NAME, "", method="miu", parent=parent.label if parent else None, seed=number, data_digest=f"{number % 10}" * 64,
        architecture="x", config={"n": number}, key_check=f"{number % 10}" * 8, reweight=bool(number % 2),
    )  # fmt: skip
    with store.run(NAME, "unlearn" if parent else "pretrain") as run:
        for name in RUN_FILES:
            run.log_bytes(f"{name} of version {number}".encode() * 10, name)
        role = "unlearned" if parent else "pretrain"
        return store.register(run, NAME, folder, role=role, tags=lineage_tags(described), author=Author(author))


@cache
def _judged(seed: int) -> Audit:
    return audit_of(ModelRef(NAME, "1"), [predictions(seed), predictions(100)], policy())


def add_audit(store: Store, ref: ModelRef, baseline: ModelRef, key: Path, seed: int = 101) -> str:
    """A signed audit of a version with a PASS; the run that holds it.

    Args:
        store: the store.
        ref: the version.
        baseline: the version before.
        key: private key.
        seed: of the version's imagined predictions, 101 to 199.
    """
    made = replace(_judged(seed), subject=ref, baseline=baseline)
    with store.run(NAME, "audit") as run:
        files = evidence_files(made, policy(), inputs_of(ref, [predictions(seed), predictions(100)]))
        record_audit(store, run, made, files, Author("auditor", load_signer(key)))
    return run.id


def attacked_store(store: Store, root: Path, sql: Sql) -> Attacked:
    """A first version, a champion derived from it, and a candidate derived from it with a PASS, in an empty store."""
    private, public = key_pair(root)
    base = add_version(store, root)
    champion, candidate = add_version(store, root, base), add_version(store, root, base)
    audits = {ref.version: add_audit(store, ref, base, private, 100 + int(ref.version)) for ref in (champion, candidate)}
    required = Requirements(keys=(load_public_key(public),))
    promote(store, champion, Actor("ana", "release"), requirements=required)
    runs = {ref.version: str(ref.run_id) for ref in (base, champion, candidate)}
    return Attacked(store, root, runs, audits, required, sql)
