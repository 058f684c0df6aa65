"""Audits of level deep: relearning, AutoAttack and shadow models."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.model_inputs import evaluations

from grmu_audit import report
from grmu_audit.cli.observer import ConsoleObserver
from grmu_audit.evaluation import adversarial, relearning
from grmu_audit.evaluation.shadow_models import ShadowPool, UnlearnedPool
from grmu_audit.jobs import IN_THIS_PROCESS, JobOptions
from grmu_audit.policy import load_named
from grmu_audit.records import BASELINE, ModelRef
from grmu_audit.tracking.references import lineage_root
from grmu_audit.utils.array_files import read_array
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.shadow import (
    ShadowOptions,
    ShadowResult,
    _with_method,
    method_bank,
    method_facts,
    open_pool,
    train_elsewhere,
)
from grmu_audit.workflows.audits.target import find_target
from grmu_audit.workflows.session import Session


def test_deep_adds_learning_again_auto_attack_and_shadow_models_and_a_second_one_asks_nothing(
    lineage: tuple[Session, ModelRef, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, ref, root = lineage
    monkeypatch.setattr(relearning, "RELEARNING", relearning.RelearningConfig(runs=2, epochs=1, samples=100))
    monkeypatch.setattr("grmu_audit.evaluation.white_box.MOST_AA", 0)
    monkeypatch.setattr(adversarial, "STEPS", 3)
    monkeypatch.setattr(session, "observer", ConsoleObserver())
    policy = load_named("default")
    none = audit(
        session,
        ref.label,
        policy,
        root / "none",
        AuditSettings(level="deep", shadows=ShadowOptions(4, budget=0.0), return_epochs=1),
    )
    progress = capsys.readouterr().err
    assert "shadow models: 4 wanted, 0 stored, 4 to train, about " in progress
    assert f"collecting from {ref.label}: AutoAttack on 0 test samples" in progress
    assert f"collecting from {ref.label}: relearning the forget set, 2 runs of at most 1 short epochs" in progress
    assert f"collecting from {ref.label}: done in " in progress
    (missing,) = none.audit.not_measured
    assert "0 of 4 shadow models fitted into the budget" in missing.reason
    four = AuditSettings(level="deep", shadows=ShadowOptions(4), return_epochs=1)
    done = audit(session, ref.label, policy, root / "deep", four)
    assert done.audit.not_measured == ()
    for name in ("RMIA_AUC", "LIRA_AUC", "ULIRA_AUC", "RULI_AUC", "FORGET_EPS", "KLOM_95", "SWAP"):
        value = done.audit.metric(name)
        assert value is not None, name
        assert (value.interval is None) == (name in ("FORGET_EPS", "KLOM_95")), (name, value.why_missing)
    assert done.audit.metric("RMIA_AUC", BASELINE) is not None
    share = done.audit.metric("REMAINING_SHARE")
    assert share is not None
    assert share.details["shadow_models"] == 4
    attacked, again = done.audit.metric("AA@0.03137"), done.audit.metric("RELEARN")
    assert attacked is not None
    assert attacked.why_missing == "no test sample was attacked (n = 0)"
    assert again is not None
    assert len(again.details["curves"]) == 2
    assert again.unit == "epochs"
    report.render(done.audit, "html")
    capsys.readouterr()
    with evaluations() as seen:
        repeated = audit(session, ref.label, policy, root / "deeper", four)
    assert seen == []
    assert repeated.audit.record["evaluations"] == 0
    assert repeated.audit.metrics == done.audit.metrics
    assert "collecting" not in capsys.readouterr().err
    left: list[float | None] = []
    monkeypatch.setattr(UnlearnedPool, "train_missing", lambda bank, count, budget, guess, elsewhere: left.append(budget) or 0)
    filled = ShadowPool.train_missing
    monkeypatch.setattr(ShadowPool, "train_missing", lambda *given: time.sleep(0.2) or filled(*given))
    audit(
        session,
        ref.label,
        policy,
        root / "capped",
        AuditSettings(level="deep", shadows=ShadowOptions(4, budget=100.0), return_epochs=1),
    )
    assert left[0] is not None
    assert 50 < left[0] <= 99.8


def test_models_that_workers_train_are_those_that_are_trained_here(
    lineage: tuple[Session, ModelRef, Path], tmp_path: Path
) -> None:
    session, ref, _ = lineage
    files = []
    for jobs in (IN_THIS_PROCESS, JobOptions("local", folder=str(tmp_path / "jobs"))):
        own = replace(session, root=tmp_path / str(jobs.folder is None), jobs=jobs)
        own.store = session.store
        target = find_target(own, ref.label, ())
        pool = open_pool(own, target, lineage_root(own.store, ref))
        assert pool.train_missing(2, elsewhere=train_elsewhere(own, target, pool)) == 2
        bank = method_bank(target, pool)
        assert bank.train_missing(2, elsewhere=train_elsewhere(own, target, pool, method_facts(target))) == 2
        files.append([read_array(path, "margin") for path in sorted(pool.folder.rglob("*.zip"))])
    assert len(files[0]) == 4
    assert all((one == other).all() for one, other in zip(*files, strict=True))
    assert not [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("role", "why"), [("retrain", "was retrained"), ("unlearned", "method 'foreign' is not installed here")])
def test_why_the_method_is_not_run_on_shadow_models(role: str, why: str) -> None:
    target, table = SimpleNamespace(version=ModelRef("m", "2", role=role, method="foreign")), SimpleNamespace()
    found = _with_method(Session(), target, None, ShadowResult(table, ""), None)  # type: ignore[arg-type]
    assert why in found.why
