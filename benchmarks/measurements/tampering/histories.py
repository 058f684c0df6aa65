"""Honest histories of a model, drawn at random: what is done with a store in a year, without anybody editing anything."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from benchmarks.measurements.imagined_audits import before_records, key_pair
from benchmarks.measurements.tampering.stores import NAME, Sql, add_audit, add_version, open_embedded, sqlite
from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence.signing import load_public_key, load_signer
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, Author, Requirements, Store, promote, read_ledger, rollback, sign_off, verify
from grmu_audit.tracking.names import CHAMPION, RUN_FILES
from grmu_audit.tracking.registration import enter_registration, unbound_versions
from grmu_audit.utils import sha256_hex

STEPS = 8
"""Things that are done in a history."""


@dataclass
class History:
    """A store and what was done with it."""

    root: Path
    """Its folder."""
    store: Store
    """The store, as it was opened last."""
    dice: random.Random
    """Chance."""
    keys: tuple[Path, Path]
    """Private and public key of the auditor."""
    done: list[str] = field(default_factory=list)
    """What was done, in order."""
    findings: list[str] = field(default_factory=list)
    """What ``verify`` found; nothing was edited, so each is a false alarm."""
    verified: int = 0
    """How often it was asked."""

    @property
    def requirements(self) -> Requirements:
        """Signed by the auditor."""
        return Requirements(keys=(load_public_key(self.keys[1]),))

    @property
    def sql(self) -> Sql:
        """The database."""
        return sqlite(self.root)

    def versions(self) -> list[ModelRef]:
        """All versions."""
        return self.store.versions(NAME)

    def verify(self) -> None:
        """Ask, and keep what is found."""
        self.verified += 1
        found = verify(self.store, NAME, requirements=self.requirements)
        self.findings += [f"after {', '.join(self.done)}: {finding.check}: {finding.message}" for finding in found]


def honest_history(root: Path, empty: Path, seed: int) -> History:
    """A history of ``STEPS`` random steps, serving and a restart among them; every third begins with a store of before records.

    Args:
        root: folder of the store; must be empty.
        empty: folder of a store in which nothing was stored.
        seed: of the history.
    """
    dice = random.Random(seed)
    root.mkdir(parents=True)
    history = History(root, open_embedded(root, empty), dice, key_pair(root))
    if seed % 3 == 0:
        with before_records(), mock.patch("grmu_audit.tracking.requirements._check_bound", return_value=None):
            _begin(history)
        history.done.append("upgrade")
        history.verify()
    else:
        _begin(history)
    steps = [_serve, _restart, *(dice.choice(DEEDS) for _ in range(STEPS - 2))]
    dice.shuffle(steps)
    for chosen in steps:
        try:
            chosen(history)
        except GrmuAuditError as error:
            history.done.append(f"{chosen.__name__[1:]} refused ({int(error.exit_code)})")
        else:
            history.done.append(chosen.__name__[1:])
        history.verify()
    return history


def _begin(history: History) -> None:
    """A first version, and a champion that was derived from it."""
    base = add_version(history.store, history.root)
    champion = add_version(history.store, history.root, base)
    add_audit(history.store, champion, base, history.keys[0])
    promote(history.store, champion, Actor("ana", "first"), requirements=history.requirements)


def _register(history: History) -> None:
    """One more version, derived from any."""
    add_version(history.store, history.root, history.dice.choice(history.versions()))


def _audit(history: History) -> None:
    ref = history.dice.choice(history.versions())
    baseline = history.store.resolve(ref.parent) if ref.parent else ref
    add_audit(history.store, ref, baseline, history.keys[0], history.dice.randrange(101, 105))


def _promote(history: History) -> None:
    promote(history.store, history.dice.choice(history.versions()), Actor("ana", "release"), requirements=history.requirements)


def _audit_and_promote(history: History) -> None:
    ref = add_version(history.store, history.root, history.dice.choice(history.versions()))
    add_audit(history.store, ref, history.store.resolve(str(ref.parent)), history.keys[0])
    promote(history.store, ref, Actor("ben", "release"), requirements=history.requirements)


def _rollback(history: History) -> None:
    rollback(history.store, NAME, Actor("ana", "complaints"), requirements=history.requirements)


def _sign_off(history: History) -> None:
    role = history.dice.choice(["preparer", "reviewer"])
    ref = history.dice.choice(history.versions())
    sign_off(history.store, ref, role, Author(f"{role} ana", load_signer(history.keys[0])))


def _serve(history: History) -> None:
    """As MLflow's client does it, by number or by alias; it writes into the version's folder."""
    import mlflow.artifacts

    ref = history.dice.choice(history.versions())
    by_alias = CHAMPION in history.store.aliases(NAME) and history.dice.random() < 0.5
    uri = f"sqlite:///{history.root}/mlflow.db"
    address = f"models:/{NAME}@{CHAMPION}" if by_alias else f"models:/{ref.label}"
    with mock.patch.dict(os.environ, MLFLOW_TRACKING_URI=uri, MLFLOW_REGISTRY_URI=uri):
        mlflow.artifacts.download_artifacts(address)


def _restart(history: History) -> None:
    history.store = open_embedded(history.root)


def _fail(history: History) -> None:
    """A run that registers and then fails: its version is deleted again, and its record in the ledger stays."""

    class FailedError(Exception):
        """Something went wrong."""

    try:
        with history.store.run(NAME, "unlearn") as run:
            run.log_bytes(b"predictions", "predictions.parquet")
            folder = next(history.root.glob("files-*"))
            history.store.register(run, NAME, folder, role="unlearned", author=Author("ana"))
            raise FailedError
    except FailedError:
        pass


def _bind(history: History) -> None:
    """Records for the versions of before, as ``register --bind`` enters them once it has measured them again."""
    for ref in unbound_versions(history.store, read_ledger(history.store, NAME)):
        stored = history.store.run_artifacts(str(ref.run_id), RUN_FILES)
        files = {name: sha256_hex(content) for name, content in stored.items() if content is not None}
        enter_registration(history.store, ref, history.store.tags(ref), files, Author("ana"))


DEEDS: tuple[Callable[[History], None], ...] = (
    _register,
    _audit,
    _promote,
    _audit_and_promote,
    _audit_and_promote,
    _rollback,
    _sign_off,
    _serve,
    _serve,
    _restart,
    _fail,
    _bind,
)
"""What people do; some of it more often."""
