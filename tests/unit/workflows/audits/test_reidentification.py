"""Somebody with the public data, but without the key, does no better than chance on what a model leaves behind."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support import layouts
from support.judged_audits import audit_of, inputs_of, policy, predictions, version
from support.memory_store import MemoryStore
from support.reidentification import Attacker, files_of

from grmu_audit.auditing.bundle_check import verify_bundle, verify_bundle_bytes
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.auditing.stored_predictions import order_of_data
from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InconclusiveError
from grmu_audit.evaluation import adversarial
from grmu_audit.evaluation.predict import from_parquet
from grmu_audit.evidence import pseudonyms
from grmu_audit.evidence.archive import pack, unpack
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Author, record_audit
from grmu_audit.tracking.names import PREDICTIONS
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.shadow import ShadowOptions
from grmu_audit.workflows.audits.stored import COUNTS, export_bundle, order_warning
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 2, "batch_size": 64}


def imported_table(root: Path) -> DataSpec:
    """A table of people without a column that says who they are, as ``data import`` reads it."""
    rng, lines = np.random.default_rng(4), []
    for number in range(240):
        target, attribute = int(rng.integers(2)), int(rng.integers(2))
        part = "train" if number < 150 else "val" if number < 180 else "test"
        x, y = rng.normal(2 * target, 1), rng.normal(attribute, 1)
        lines.append([f"applicant-{number:05d}", part, ("no", "yes")[target], "fm"[attribute], f"{x:.3f}", f"{y:.3f}"])
    layouts.table(root / "people.csv", ["id", "split", "hired", "sex", "x", "y"], lines)
    options = ["--target", "hired", "--attribute", "sex", "--split", "split", "--id", "id"]
    assert execute(["data", "import", "--table", str(root / "people.csv"), *options, "--out", str(root / "own.yaml")]) == 0
    assert "subject" not in yaml.safe_load((root / "own.yaml").read_text())
    return DataSpec(str(root / "own.yaml"))


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Path, Attacker]:
    """A store after an audit of level deep and an export, the folder of what was written, and who looks at it."""
    root = tmp_path_factory.mktemp("table")
    session, out = Session(root=root / "store", device="cpu"), root / "out"
    base = pretrain(session, "own", imported_table(root), NetworkChoice("mlp"), TrainingOptions(SHORT))
    dataset = session.dataset_of(base)
    sample_forget_list(dataset, root / "ids.csv", ForgetSampling(("1,0",)))
    unlearn(session, base.label, root / "ids.csv", UnlearnOptions("retrain", SHORT))
    ref = unlearn(session, base.label, root / "ids.csv", UnlearnOptions("cf", SHORT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adversarial, "STEPS", 2)
        patch.setattr("grmu_audit.evaluation.white_box.MOST_AA", 0)
        deep = AuditSettings(level="deep", shadows=ShadowOptions(4), return_epochs=1)
        audit(session, ref.label, load_named("default"), out, deep)
    export_bundle(session.store, ref.label, out / "bundle.zip")
    export_bundle(session.store, ref.label, out / "counts.zip", COUNTS)
    assert verify_bundle(out / "counts.zip").findings == ()
    return session, out, Attacker(dataset, session.key, "own")


def test_nothing_of_an_imported_table_without_people_is_found_again(left_behind: tuple[Session, Path, Attacker]) -> None:
    session, out, attacker = left_behind
    files = files_of(session.root, out)
    kinds = {"predictions.parquet", "candidate.parquet", "rows.zip", "request.json", "audit.json", "report.html", "mlflow.db"}
    assert kinds <= {name.rpartition("/")[2] for name in files}, "the attack saw the files"
    assert any("/shadow/" in name and name.endswith("margin.npy") for name in files)
    assert any("/measured/" in name and name.endswith(".npy") for name in files)
    assert attacker.successes(files) == []
    stored = set(pseudonyms(session.key, attacker.data.frame["id"].tolist()))
    tables = [pd.read_parquet(io.BytesIO(content)) for name, content in files.items() if name.endswith("candidate.parquet")]
    assert len(tables) >= 2, "in the store and in the bundle"
    assert not any(stored & set(table["id"]) for table in tables), "what is given away has names of its model"


def test_the_same_attacks_find_rows_in_what_earlier_versions_stored(left_behind: tuple[Session, Path, Attacker]) -> None:
    session, _, attacker = left_behind
    ref, frame = session.store.resolve("own/3"), attacker.data.frame
    stored = from_parquet(session.store.run_artifact(str(ref.run_id), PREDICTIONS) or b"")
    place = {name: row for row, name in enumerate(pseudonyms(session.key, frame["id"].tolist()))}
    rows = np.array([place[name] for name in stored.ids])
    columns = {"id": stored.ids, "split": stored.split, "target": stored.target, "attribute": stored.attribute}
    before = {
        "position.parquet": pd.DataFrame(columns).iloc[np.argsort(rows)],
        "code.parquet": pd.DataFrame({**columns, "subject": rows}),
        "rank.parquet": pd.DataFrame({**columns, "subject": 1000 + 3 * rows}),
    }
    for name, table in before.items():
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        assert any("150 of 150" in found for found in attacker.successes({name: buffer.getvalue()})), name
    margins = io.BytesIO()
    np.save(margins, np.where(frame["target"] == 1, 1.0, -1.0) + np.random.default_rng(0).normal(size=len(frame)))
    assert attacker.successes({"margin.npy": margins.getvalue()})
    assert attacker.successes({"log.txt": b"row applicant-00007 is odd"})
    seed = b'{"made": {"groups": [[1, 0]], "ratio": 0.5, "seed": 0}}'
    assert attacker.successes({"request.json": seed})


def old_table(content: bytes, order: np.ndarray | None = None) -> bytes:
    """A table as earlier versions wrote it: people numbered in the order of the data."""
    frame, buffer = pd.read_parquet(io.BytesIO(content)), io.BytesIO()
    numbers = np.random.default_rng(3).permutation(int(frame["subject"].max()) + 1)
    frame = frame.assign(subject=numbers[frame["subject"]])
    (frame if order is None else frame.iloc[order]).to_parquet(buffer, index=False)
    return buffer.getvalue()


def old_store(folder: Path, order: np.ndarray | None = None) -> tuple[MemoryStore, ModelRef]:
    """A store with an audit whose tables an earlier version wrote."""
    store, tables = MemoryStore(folder / "store"), [predictions(seed, 120) for seed in (700, 701, 702)]
    ref = version(store, "old", folder / "v1")
    tables = tables if order is None else [_reordered(table, order) for table in tables]
    made = audit_of(ref, tables, policy(0.3))
    with store.run(ref.name, "audit") as run:
        files = evidence_files(made, policy(0.3), inputs_of(ref, tables))
        old = {name: old_table(content) if name.startswith("predictions/") else content for name, content in files.items()}
        record_audit(store, run, made, old, Author("auditor"))
    return store, ref


def _reordered(table, order):  # type: ignore[no-untyped-def]
    names = ("ids", "split", "target", "attribute", "prediction", "logits", "subject")
    return replace(table, **{name: getattr(table, name)[order] for name in names})


def test_tables_of_earlier_versions_are_warned_of_and_numbered_anew_at_export(tmp_path: Path) -> None:
    store, ref = old_store(tmp_path)
    assert order_warning(store, "old").startswith(
        "old/1: the stored predictions, of an earlier version of this tool, number people"
    )
    digests = {export_bundle(store, ref.label, tmp_path / f"{i}.zip") for i in range(2)}
    assert len(digests) == 1, "the same evidence gives the same bytes"
    checked = verify_bundle(tmp_path / "0.zip")
    assert checked.findings == ()
    assert checked.compared > 50
    assert any(note.startswith("3 tables of predictions hold other numbers of people") for note in checked.notes)
    files = {name: content for name, content in files_of(tmp_path / "0.zip").items() if name.endswith(".parquet")}
    assert len(files) == 3
    assert [order_of_data(content, name) for name, content in files.items()] == ["", "", ""]


def test_a_table_that_was_changed_under_cover_of_new_numbers_is_named(tmp_path: Path) -> None:
    store, ref = old_store(tmp_path)
    export_bundle(store, ref.label, tmp_path / "b.zip")
    files, name = unpack((tmp_path / "b.zip").read_bytes())[0], "predictions/candidate.parquet"
    frame, buffer = pd.read_parquet(io.BytesIO(files[name])), io.BytesIO()
    frame.assign(logit_0=frame["logit_0"] + 0.5).to_parquet(buffer, index=False)
    record = json.loads(files["renumbered.json"])
    record["tables"][name]["sha256"] = sha256_hex(buffer.getvalue())
    forged = pack({**files, name: buffer.getvalue(), "renumbered.json": canonical_json(record)})
    assert "predictions of candidate are not those that were audited" in verify_bundle_bytes(forged).findings
    record["tables"][name]["attested_sha256"] = "0" * 64
    other = pack({**files, "renumbered.json": canonical_json(record)})
    assert "renumbered.json is not about the tables of this bundle" in verify_bundle_bytes(other).findings[0]
    moved = {**record, "tables": {"report.html": record["tables"][name]}}
    assert verify_bundle_bytes(pack({**files, "renumbered.json": canonical_json(moved)})).findings


def test_rows_in_the_order_of_the_data_are_not_exported(tmp_path: Path) -> None:
    store, ref = old_store(tmp_path, np.random.default_rng(5).permutation(120))
    assert order_warning(store, "old").startswith("old/1: ")
    table = store.run_artifact(store.tags(ref)["grmu.audit_run"], "predictions/candidate.parquet")
    with store.run("old", "unlearn") as run:
        run.log_bytes(table or b"", "predictions.parquet")
        store.register(run, "old", tmp_path / "v1", role="unlearned", tags={})
    assert order_warning(store, "old").startswith("old/1, old/2: ")
    with pytest.raises(InconclusiveError, match="stored in the order of the data"):
        export_bundle(store, ref.label, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_an_audit_that_names_the_seed_of_a_sampled_list_is_not_exported(tmp_path: Path) -> None:
    store, tables = MemoryStore(tmp_path / "store"), [predictions(700)]
    ref = version(store, "seeded", tmp_path / "v1")
    made = audit_of(ref, tables, policy())
    made = replace(made, forget=replace(made.forget, request={"seed": 3, "ratio": 0.5}))
    with store.run(ref.name, "audit") as run:
        record_audit(store, run, made, evidence_files(made, policy(), inputs_of(ref, tables)), Author("auditor"))
    with pytest.raises(InconclusiveError, match="names the seed"):
        export_bundle(store, ref.label, tmp_path / "b.zip")
