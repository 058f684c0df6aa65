"""Exact evidence: the record of the rows that a retraining run read, and every way in which it does not hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from grmu_audit.data.catalog import DataSpec
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import model_row_names
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import ROWS_READ, SHARDS
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.forget_requests import sample_forget_list, stored_request
from grmu_audit.workflows.rows_read import exact_evidence, marks_of_shards, rows_read_artifact, shards_artifact
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 128}
Lineage = tuple[Session, ModelRef, ModelRef]


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    root = tmp_path_factory.mktemp("rows")
    session = Session(root=root, device="cpu")
    base = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions(SHORT))
    sample_forget_list(session.dataset_of(base), root / "ids.csv", ForgetSampling(("1,0",)))
    retrained = unlearn(session, base.label, root / "ids.csv", UnlearnOptions("retrain", SHORT))
    tuned = unlearn(session, base.label, root / "ids.csv", UnlearnOptions("cf", SHORT))
    return session, session.store.resolve(retrained.label), session.store.resolve(tuned.label)


def evidence_of(lineage: Lineage, ref: ModelRef):
    session, retrained, _ = lineage
    return exact_evidence(session, ref, session.dataset_of(retrained))


def test_a_retrained_version_shows_that_it_never_read_the_forget_set(lineage: Lineage) -> None:
    session, retrained, _ = lineage
    found = evidence_of(lineage, retrained)
    assert found.verified
    assert "fresh weights" in found.reason
    tree = json.loads(session.store.run_artifact(retrained.run_id, ROWS_READ))
    forgotten = stored_request(session, retrained).pseudonyms
    assert set(tree["training_rows_not_read"]) == set(model_row_names("m", forgotten)), "names of the model, not pseudonyms"
    assert tree["training_rows_read"] + len(tree["training_rows_not_read"]) == tree["training_rows"]
    ids = session.dataset_of(retrained).frame["id"].tolist()
    assert not set(ids) & set(tree["training_rows_not_read"])


def test_other_methods_have_none(lineage: Lineage) -> None:
    session, _, tuned = lineage
    assert evidence_of(lineage, tuned) is None
    assert session.store.run_artifact(tuned.run_id, ROWS_READ) is None


def _drop_a_row(tree: dict) -> None:
    tree["training_rows_not_read"].pop()


def _read_a_forgotten_row(tree: dict) -> None:
    tree["training_rows_not_read"].pop()
    tree["training_rows_read"] += 1


def _other_data(tree: dict) -> None:
    tree["data_sha256"] = "0" * 64


@pytest.mark.parametrize("tag_follows", [False, True])
@pytest.mark.parametrize("change", [_drop_a_row, _read_a_forgotten_row, _other_data])
def test_an_edited_record_is_not_verified(lineage: Lineage, monkeypatch, change, tag_follows) -> None:
    session, retrained, _ = lineage
    stored = session.store.run_artifact
    tree = json.loads(stored(retrained.run_id, ROWS_READ))
    change(tree)
    content = canonical_json(tree)
    monkeypatch.setattr(session.store, "run_artifact", lambda run, name: content if name == ROWS_READ else stored(run, name))
    ref = replace(retrained, config={**retrained.config, "rows_read_sha256": sha256_hex(content)}) if tag_follows else retrained
    found = evidence_of(lineage, ref)
    assert found is not None
    assert not found.verified


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"nonsense"])
def test_a_missing_or_damaged_record_is_not_verified(lineage: Lineage, monkeypatch, content) -> None:
    session, retrained, _ = lineage
    stored = session.store.run_artifact
    monkeypatch.setattr(session.store, "run_artifact", lambda run, name: content if name == ROWS_READ else stored(run, name))
    found = evidence_of(lineage, retrained)
    assert found is not None
    assert not found.verified


def test_rows_read_before_a_kill_are_in_the_record_of_the_resumed_run(lineage: Lineage, tmp_path: Path, monkeypatch) -> None:
    from grmu_audit.training.checkpoint import Checkpoints

    session = lineage[0]
    base, two = session.store.resolve("m/1"), {**SHORT, "epochs": 2}
    save, saved = Checkpoints.save, []

    def save_and_die(self: Checkpoints, *parts: object) -> None:
        save(self, *parts)  # type: ignore[arg-type]
        saved.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        unlearn(session, base.label, session.root / "ids.csv", UnlearnOptions("retrain", two, seed=3))
    monkeypatch.setattr(Checkpoints, "save", save)
    resumed = unlearn(session, base.label, session.root / "ids.csv", UnlearnOptions("retrain", two, seed=3, resume=True))
    assert saved == [1]
    assert evidence_of(lineage, session.store.resolve(resumed.label)).verified


ENSEMBLE = NetworkChoice("sisa", {"shards": 6, "member_options": {"widths": [4]}})


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, list[ModelRef], Path]:
    """A pretrained ensemble and two requests of one image each."""
    root = tmp_path_factory.mktemp("shards")
    session = Session(root=root, device="cpu")
    versions = [pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), ENSEMBLE, TrainingOptions(SHORT))]
    rare = session.dataset_of(versions[0]).frame.query("split == 'train' and target == 1 and attribute == 0")["id"].tolist()
    for number in range(2):
        (root / f"{number}.csv").write_text(f"id\n{rare[number]}\n")
        made = unlearn(session, versions[-1].label, root / f"{number}.csv", UnlearnOptions("retrain_shards", SHORT))
        versions.append(session.store.resolve(made.label))
    (root / "third.csv").write_text(f"id\n{rare[2]}\n")
    return session, versions, root


def test_versions_of_shards_show_what_every_member_read(sharded: tuple[Session, list[ModelRef], Path]) -> None:
    session, versions, _ = sharded
    dataset = session.dataset_of(versions[0])
    assert exact_evidence(session, versions[0], dataset) is None
    for number, ref in enumerate(versions[1:], 1):
        found = exact_evidence(session, ref, dataset)
        assert found is not None
        assert found.verified, found.reason
        assert "by any of its 6 members: 1 were trained again, 5 are unchanged" in found.reason
        tree = json.loads(session.store.run_artifact(ref.run_id, ROWS_READ))
        assert len(tree["training_rows_not_read"]) == number
        assert tree["training_rows_read"] == 1100 - number
        shards = json.loads(session.store.run_artifact(ref.run_id, SHARDS))["shards"]
        assert sum(map(len, shards)) == len(set().union(*shards)) == 1100 - number


def test_what_unchanged_members_read_counts_as_read(sharded: tuple[Session, list[ModelRef], Path]) -> None:
    """A record of the parent that names a forgotten row for a member that was not trained again shows in the evidence."""
    session, versions, _ = sharded
    record = json.loads(session.store.run_artifact(versions[1].run_id, SHARDS))
    dataset = session.dataset_of(versions[0])
    marks = marks_of_shards(session, dataset, record, "m")
    tree = rows_read_artifact(session, dataset, marks, "m")
    assert set(tree["training_rows_not_read"]) == set(model_row_names("m", stored_request(session, versions[1]).pseudonyms))


def test_an_edited_or_missing_record_of_shards_is_refused(
    sharded: tuple[Session, list[ModelRef], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, versions, root = sharded
    third, options = root / "third.csv", UnlearnOptions("retrain_shards", SHORT)
    forged = replace(versions[2], config={**versions[2].config, "shard_rows_sha256": "0"})
    with pytest.raises(IntegrityError, match="is not the record of its run"):
        shards_artifact(session, session.dataset_of(versions[0]), {}, "m", forged)
    monkeypatch.setattr("grmu_audit.workflows.rows_read.version_artifact", lambda *_: None)
    with pytest.raises(InputError, match="no record of which rows each member read"):
        unlearn(session, versions[2].label, third, options)


def test_a_new_ensemble_has_a_record_and_other_networks_have_none(
    sharded: tuple[Session, list[ModelRef], Path], lineage: Lineage
) -> None:
    session, versions, _ = sharded
    assert session.store.run_artifact(versions[0].run_id, ROWS_READ) is None
    assert session.store.run_artifact(versions[0].run_id, SHARDS) is not None
    assert lineage[0].store.run_artifact(lineage[1].run_id, SHARDS) is None
