"""Versions of before registration records: bound only where stored outputs, requests and data are what they give."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from support.deletions import small_table
from support.earlier_stores import before_records
from support.judged_audits import audited, policy_file, predictions
from support.memory_store import MemoryStore
from support.requests import CLAIMING
from support.sessions import open_session

from grmu_audit import tracking
from grmu_audit.auditing.stored_predictions import from_parquet
from grmu_audit.cli.app import execute
from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence import key_path, load_key
from grmu_audit.evidence.ledger import Author
from grmu_audit.evidence.registration import registration_of
from grmu_audit.records import ModelRef, Predictions
from grmu_audit.tracking import Requirements, read_ledger, verify
from grmu_audit.tracking.names import PREDICTIONS, REQUEST, RUN_FILES
from grmu_audit.tracking.registration import enter_registration
from grmu_audit.utils import sha256_hex
from grmu_audit.workflows import measured_again
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.keys import rotate
from grmu_audit.workflows.measured_again import bind, check_outputs
from grmu_audit.workflows.release import promote, repeat_outputs, unbound
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 2, "batch_size": 32}


@pytest.fixture(autouse=True)
def _small_groups_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grmu_audit.data.quality.checks.MINIMUM_GROUP", 1)


@pytest.fixture
def old(tmp_path: Path) -> tuple[Session, ModelRef, ModelRef]:
    """A pretrained and a retrained version without records, of real networks."""
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    small = small_table(tmp_path / "data")
    (tmp_path / "ids.csv").write_text("id\nr001\nr002\nr003\n")
    with before_records():
        base = pretrain(session, "m", small.spec, NetworkChoice("mlp"), TrainingOptions(SHORT))
        return session, base, unlearn(session, base.label, tmp_path / "ids.csv", UnlearnOptions("retrain", SHORT))


def place(session: Session, ref: ModelRef, name: str) -> Path:
    return session.store.folder / str(ref.run_id) / name  # type: ignore[attr-defined,no-any-return]


def changed(content: bytes, column: str, by: object) -> bytes:
    """A table of outputs whose rows are edited in one column."""
    frame = pd.read_parquet(io.BytesIO(content))
    frame[column] = frame[column] + by if isinstance(by, float) else by
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def test_honest_versions_are_bound_and_verified_from_then_on(old: tuple[Session, ModelRef, ModelRef]) -> None:
    session, base, ref = old
    assert unbound(session, "m") == ["m/1", "m/2"]
    assert [one.label for one in bind(session, "m")] == ["m/1", "m/2"]
    assert unbound(session, "m") == []
    assert bind(session, "m") == []
    found = registration_of(read_ledger(session.store, "m"), ref)
    assert found is not None
    assert found.record.parent == (base.label, base.manifest_sha256)
    assert {PREDICTIONS, REQUEST} <= set(found.record.files)
    assert verify(session.store, "m") == []
    place(session, base, PREDICTIONS).write_bytes(place(session, ref, PREDICTIONS).read_bytes())
    assert [finding.check for finding in verify(session.store, "m")] == ["registration"]


@pytest.mark.parametrize("deed", ["another version's", "logits", "target", "attribute", "split", "rows", "weights", "request"])
def test_what_does_not_fit_is_not_bound(old: tuple[Session, ModelRef, ModelRef], deed: str) -> None:
    session, base, ref = old
    file = place(session, ref, PREDICTIONS)
    content = file.read_bytes()
    if deed == "another version's":
        file.write_bytes(place(session, base, PREDICTIONS).read_bytes())
    elif deed == "rows":
        frame = pd.read_parquet(io.BytesIO(content)).iloc[1:]
        frame.to_parquet(file, index=False)
    elif deed == "weights":
        weights = place(session, ref, "model/state.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    elif deed == "request":
        request = json.loads(place(session, ref, REQUEST).read_bytes())
        other = session.pseudonyms_of(session.dataset_of(base))[10:13]
        place(session, ref, REQUEST).write_text(json.dumps({**request, "pseudonyms": sorted(other)}))
    else:
        column, by = {"logits": ("logit_0", 0.05), "split": ("split", "train")}.get(deed, (deed, 1))
        file.write_bytes(changed(content, column, by))
    with pytest.raises(IntegrityError):
        bind(session, "m")
    assert unbound(session, "m") == ["m/2"], "the version before it is as it was"


def test_another_key_binds_nothing(
    old: tuple[Session, ModelRef, ModelRef], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = old[0]
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "other.key"))
    session.forget_key()
    assert load_key()
    with pytest.raises(InputError, match="created with another key than the one in"):
        bind(session, "m")
    assert key_path() == tmp_path / "other.key"


def test_a_sample_is_drawn_anew_each_time(old: tuple[Session, ModelRef, ModelRef], monkeypatch: pytest.MonkeyPatch) -> None:
    session, _, ref = old
    drawn: list[tuple[int, ...]] = []
    real = measured_again._logits

    def watched(session: Session, ref: ModelRef, dataset: object, rows: object) -> object:
        """Which rows."""
        drawn.append(tuple(rows.tolist()))  # type: ignore[attr-defined]
        return real(session, ref, dataset, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(measured_again, "_logits", watched)
    assert [check_outputs(session, ref, 20) for _ in range(2)] == [20, 20]
    assert drawn[0] != drawn[1]
    assert {len(set(rows)) for rows in drawn} == {20}
    assert check_outputs(session, ref, 10_000) == len(session.dataset_of(ref))


def test_versions_of_before_a_request_are_compared_after_its_rows_were_deleted(
    old: tuple[Session, ModelRef, ModelRef], tmp_path: Path
) -> None:
    session, base, ref = old
    rows = len(session.dataset_of(base))
    small_table(tmp_path / "data").delete(["r001", "r002", "r003"])
    later = open_session(session.store, tmp_path)  # type: ignore[arg-type]
    assert [check_outputs(later, one) for one in (base, ref)] == [rows - 3] * 2
    small_table(tmp_path / "data").delete(["r001", "r002", "r003", "r004"])
    later = open_session(session.store, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError, match="1 gone that no request of the lineage named"):
        check_outputs(later, base)


def test_an_infinite_logit_of_the_network_hides_no_other_difference(
    old: tuple[Session, ModelRef, ModelRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _, ref = old
    real = measured_again._logits

    def infinite(*given: Any) -> npt.NDArray[np.float64]:
        """The logits of a network that overflows on one row."""
        found = real(*given) + 1.0
        found[0, 0] = np.inf
        return found

    monkeypatch.setattr(measured_again, "_logits", infinite)
    with pytest.raises(IntegrityError, match="was not computed from its weights"):
        check_outputs(session, ref, 20)


def forge(session: Session, base: ModelRef, ref: ModelRef) -> None:
    """The chain is whole, and what it holds was never computed by the network."""
    place(session, ref, PREDICTIONS).write_bytes(place(session, base, PREDICTIONS).read_bytes())
    for one in (base, ref):
        files = {
            name: sha256_hex(place(session, one, name).read_bytes()) for name in RUN_FILES if place(session, one, name).exists()
        }
        enter_registration(session.store, one, session.store.tags(one), files, Author("mallory"))
    assert verify(session.store, "m") == []


def test_outputs_that_no_network_gave_are_found_by_a_new_forward_pass(old: tuple[Session, ModelRef, ModelRef]) -> None:
    session, base, ref = old
    forge(session, base, ref)
    compared, findings = repeat_outputs(session, "m")
    assert compared == {"m/1": len(session.dataset_of(base))}
    assert [(finding.check, int(finding.error.exit_code)) for finding in findings] == [("outputs", 6)]
    assert "predictions.parquet of m/2 was not computed from its weights" in findings[0].message


@pytest.mark.parametrize("forged", [False, True])
def test_a_policy_can_ask_for_it_at_promotion(
    old: tuple[Session, ModelRef, ModelRef], forged: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, base, ref = old
    forge(session, base, ref) if forged else bind(session, "m")
    demanding = CLAIMING.model_copy(update={"outputs": "repeated"})
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(demanding, tmp_path))
    audited(session.store, session.store.resolve("m/2"), [predictions(100)], demanding)
    with pytest.raises(InconclusiveError, match="asks for a new forward pass at promotion"):
        tracking.promote(session.store, "m/2")
    if forged:
        with pytest.raises(IntegrityError, match="was not computed from its weights"):
            promote(session, "m/2")
        assert "champion" not in session.store.aliases("m")
    else:
        assert promote(session, "m/2").changed
        assert verify(session.store, "m") == []


NOTHING = "nothing of m/2 can be compared with a new forward pass.*audit m/2 again under that key"
DEMANDING = CLAIMING.model_copy(update={"outputs": "repeated"})


@pytest.fixture
def rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Session, ModelRef, ModelRef]:
    """The versions with records, and a key that came after them."""
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "keys" / "hmac.key"))
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(DEMANDING, tmp_path))
    session, base, ref = request.getfixturevalue("old")
    bind(session, "m")
    rotate(session)
    return session, base, ref


def compared_rows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Versions and numbers of rows that networks are asked for from now on."""
    asked: list[tuple[str, int]] = []
    real = measured_again._logits

    def watched(session: Session, ref: ModelRef, dataset: Any, rows: Any) -> npt.NDArray[np.float64]:
        """Keeps what was asked."""
        asked.append((ref.label, len(rows)))
        return real(session, ref, dataset, rows)

    monkeypatch.setattr(measured_again, "_logits", watched)
    return asked


def audit_again(session: Session, folder: Path) -> None:
    made = audit(session, "m/2", DEMANDING, folder).audit
    assert made.verdict is not None
    assert made.verdict.decision.value == "PASS", made.verdict.rules


def test_after_a_rotation_the_audits_own_outputs_are_compared(
    rotated: tuple[Session, ModelRef, ModelRef], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, base, ref = rotated
    audit_again(session, tmp_path / "out")
    assert repeat_outputs(session, "m") == ({"m/1": 0, "m/2": 0}, []), "verify --deep compares stored outputs alone"
    rotate(session)
    with pytest.raises(InconclusiveError, match=NOTHING):
        promote(session, "m/2")
    audit_again(session, tmp_path / "again")
    asked = compared_rows(monkeypatch)
    assert promote(session, "m/2").changed
    assert asked == [(one.label, min(measured_again.SAMPLE, len(session.dataset_of(base)))) for one in (ref, base)]


def test_outputs_that_only_an_audit_after_a_rotation_has_cannot_be_invented(
    rotated: tuple[Session, ModelRef, ModelRef], tmp_path: Path
) -> None:
    session = rotated[0]
    audit_again(session, tmp_path / "out")
    for file in (session.root / "measured").rglob("*.parquet"):
        file.write_bytes(changed(file.read_bytes(), "logit_0", 0.05))
    audit_again(session, tmp_path / "forged")
    with pytest.raises(IntegrityError, match=r"the audit's table predictions/candidate\.parquet of m/2 was not computed from"):
        promote(session, "m/2")
    assert "champion" not in session.store.aliases("m")


def forged_split(table: Predictions) -> Predictions:
    """Forgotten rows and as many others have changed places."""
    split, forgotten = table.split.copy(), table.mask("forget")
    split[forgotten], split[np.flatnonzero(table.mask("retain"))[: forgotten.sum()]] = 0, 1
    return replace(table, split=split)


FORGED: dict[str, tuple[Callable[[Predictions], Predictions], str]] = {
    "target": (lambda p: replace(p, target=1 - p.target), "another target than the data"),
    "attribute": (lambda p: replace(p, attribute=1 - p.attribute), "another attribute than the data"),
    "prediction": (lambda p: replace(p, prediction=1 - p.prediction), "another prediction than its logits"),
    "split": (forged_split, "another split than the data"),
    "logits": (lambda p: replace(p, logits=p.logits + 1.0), "was not computed from its weights"),  # type: ignore[operator]
    "rows": (lambda p: replace(p, ids=np.char.replace(p.ids, p.ids[0], "0" * 32)), "differs from the data in"),
}


def test_what_an_audit_after_a_rotation_says_is_compared_with_the_data(
    rotated: tuple[Session, ModelRef, ModelRef], tmp_path: Path
) -> None:
    session, _, ref = rotated
    made = audit(session, "m/2", DEMANDING, tmp_path / "out")
    name = "predictions/candidate.parquet"
    content = session.store.run_artifact(tracking.read_evidence(session.store, ref).run_id, name)
    assert content is not None
    table = from_parquet(content, name, made.audit.data)
    for change, message in FORGED.values():
        audited(session.store, ref, [change(table)], DEMANDING)
        with pytest.raises(IntegrityError, match=message):
            promote(session, "m/2")
    audited(session.store, ref, [predictions(100)], DEMANDING)
    with pytest.raises(InconclusiveError, match="names no row by that key"):
        promote(session, "m/2")
    by_classes = DEMANDING.rules[0].model_copy(update={"metric": "TA", "within": (0.0, 1.0)})
    audited(session.store, ref, [replace(table, logits=None)], DEMANDING.model_copy(update={"rules": (by_classes,)}))
    with pytest.raises(InconclusiveError, match="has no logits"):
        promote(session, "m/2", requirements=Requirements(without_forgetting_claim="no logits"))
    assert "champion" not in session.store.aliases("m")
    audited(session.store, ref, [table], DEMANDING)
    assert promote(session, "m/2").changed


@pytest.mark.parametrize("real", [True, False])
def test_a_version_without_stored_outputs_is_compared_by_its_audit(
    old: tuple[Session, ModelRef, ModelRef], real: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, base, ref = old
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(DEMANDING, tmp_path))
    for one in (base, ref):
        place(session, one, PREDICTIONS).unlink()
    bind(session, "m")
    asked = compared_rows(monkeypatch)
    if real:
        audit_again(session, tmp_path / "out")
        assert promote(session, "m/2").changed
        assert [label for label, _ in asked] == ["m/2", "m/1"]
    else:
        audited(session.store, session.store.resolve("m/2"), [predictions(100)], DEMANDING)
        with pytest.raises(InconclusiveError, match=NOTHING):
            promote(session, "m/2")


def test_register_asks_for_weights_or_bind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"x")
    assert execute(["register", "--name", "m"]) == 2
    assert execute(["register", "--name", "m", "--bind", "--weights", str(tmp_path / "w.pth")]) == 2
    assert "give --weights FILE for a new version, or --bind" in capsys.readouterr().err
