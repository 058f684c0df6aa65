"""A store with a champion that left rows out, and processes that are killed while they purge what was trained on them."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from support.crashing import PATIENCE, PRELOAD
from support.deletions import small_table
from support.requests import CLAIMING

from grmu_audit.tracking import Requirements
from grmu_audit.utils import sha256_file
from grmu_audit.utils.files import CACHE_VARIABLE
from grmu_audit.workflows.session import Session

SHORT = {"epochs": 1, "batch_size": 32}
IDS = tuple(f"r{number:03d}" for number in range(24, 30))
"""Training rows of one group that ask to be forgotten."""
EVENTS = ("os.remove", "os.rmdir", "os.rename", "shutil.rmtree", "open")
"""What a purging process does to files; it is killed at one of them, or before it commits to the database."""


def open_root(root: Path, server: str | None = None) -> Session:
    """A quiet session on the embedded store in a folder, or on a server; its caches are in the folder."""
    uri = server or f"sqlite:///{root}/mlruns/mlflow.db"
    return Session(root=root / "mlruns", tracking_uri=uri, device="cpu", actor="anna")


def served_store(root: Path, server: str | None = None) -> Session:
    """``m/1`` trained on all rows, ``m/2`` the champion without ``IDS``, an audit with both, and caches of four kinds."""
    from grmu_audit.workflows.audits.pipeline import audit
    from grmu_audit.workflows.release import promote
    from grmu_audit.workflows.versions.method_choice import UnlearnOptions
    from grmu_audit.workflows.versions.network import NetworkChoice
    from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
    from grmu_audit.workflows.versions.unlearning import retrain

    session, data = open_root(root, server), small_table(root / "data")
    pretrain(session, "m", data.spec, NetworkChoice("mlp"), TrainingOptions(SHORT))
    forget = root / "ids.csv"
    forget.write_text("id,request_id\n" + "".join(f"{one},R-1\n" for one in IDS))
    retrain(session, "m/1", forget, UnlearnOptions("retrain", SHORT))
    audit(session, "m/2", CLAIMING, root / "audit")
    promote(session, "m/2", requirements=Requirements())
    for name in ("measured/ab", "shadow/pool", "checkpoints/run", "jobs/inputs"):
        (session.root / name).mkdir(parents=True)
        (session.root / name / "file").write_bytes(f"features of {name}".encode() * 20)
    return session


def doomed_files(session: Session) -> dict[str, str]:
    """SHA-256 of every file that a purge of ``IDS`` must delete, by what it is; files that ``m/2`` has alike are left out."""
    store = session.store
    other = str(store.resolve("m/2").run_id)
    alike = {store.file_sha256(other, path) for path in store.run_files(other)}
    run = str(store.resolve("m/1").run_id)
    found = {path: store.file_sha256(run, path) for path in store.run_files(run)}
    own = {path: digest for path, digest in found.items() if path.startswith("model/") or path == "predictions.parquet"}
    doomed = {path: digest for path, digest in own.items() if digest not in alike}
    audits = [one for one in store.runs_of("m") if one.kind == "audit"]
    doomed |= {f"{one.id}/baseline": store.file_sha256(one.id, "predictions/baseline.parquet") for one in audits}
    return doomed | {str(path): sha256_file(path) for path in session.root.glob("[mscj]*/*/file")}


def rows_with_outputs_of(session: Session, logits: np.ndarray[Any, Any], root: Path) -> Iterator[str]:
    """Pseudonyms of the rows in any table of a folder that have these outputs of ``m/1``."""
    import pandas as pd

    known = {tuple(row) for row in np.round(logits, 4).tolist()}
    for path in root.rglob("*.parquet"):
        frame = pd.read_parquet(path)
        columns = sorted(name for name in frame.columns if name.startswith("logit_"))
        for name, row in zip(frame["id"], np.round(frame[columns].to_numpy(dtype=np.float64), 4).tolist(), strict=True):
            if tuple(row) in known:
                yield str(name)


def restore(snapshot: Path, root: Path) -> None:
    """The store as it was, in its own place: its paths are absolute; the database as the same file, which others have open."""
    place = root / "mlruns"
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    with closing(sqlite3.connect(snapshot / "mlflow.db")) as kept, closing(sqlite3.connect(place / "mlflow.db")) as database:
        kept.backup(database)
    shutil.copytree(snapshot, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow.db*"))


def killed_purge(root: Path, fatal: int | None) -> tuple[bool, list[str]]:
    """A process that purges and kills itself at a given event, from 1; whether it was killed, and the events up to then."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, "grmu_audit.workflows.purges.execution", "grmu_audit.evaluation.predict", "pandas"])
    ours, theirs = context.Pipe()
    process = context.Process(target=_purge, args=(root, fatal, theirs), daemon=True)
    process.start()
    theirs.close()
    events: list[str] = []
    try:
        while ours.poll(PATIENCE):
            events.append(ours.recv())
    except EOFError:
        pass
    process.join(PATIENCE)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0, events


def _purge(root: Path, fatal: int | None, pipe: Any) -> None:
    from sqlalchemy.engine import Engine
    from sqlalchemy.event import listen

    from grmu_audit.workflows.purges.execution import purge
    from grmu_audit.workflows.purges.plan import plan_purge

    sys.dont_write_bytecode = True
    os.environ[CACHE_VARIABLE] = str(root / "cache")  # that of the other tests is only there for the first process
    session = open_root(root)
    plan = plan_purge(session, "m", "R-1", None)
    count, one_by_one = 0, threading.RLock()

    def happened(event: str) -> None:
        nonlocal count
        with one_by_one:
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            pipe.send(event)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        written = event in EVENTS and (event != "open" or (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")))
        path = Path(str(arguments[0]))
        # files elsewhere are caches of libraries, which only the first process writes; a relative one is in a deleted folder
        if written and (path.is_relative_to(root) or not path.is_absolute()):
            happened(event)

    listen(
        Engine, "commit", lambda connection: happened("commit")
    )  # how many connections there are depends on the machine's load
    sys.addaudithook(hook)
    purge(session, plan, "R-1 asked")
    os._exit(0)
