"""The whole life of a request on real images, offline, in a few minutes on two cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grmu_audit.data.catalog import DataSpec
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.data.quality.checks import require_quality
from grmu_audit.errors import BreachError, InconclusiveError
from grmu_audit.policy import load_named
from grmu_audit.records import BASELINE, CANDIDATE, Group, ModelRef, Subject, reference
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.publication import AuditResult
from grmu_audit.workflows.forget_requests import read_request, sample_forget_list
from grmu_audit.workflows.release import promote
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

NAME = "photodigits"
"""Model name of the demo."""
RARE_GROUP = Group(1, 0)
"""Digits 5-9 on the photograph that is rare for them."""


@dataclass(frozen=True)
class Row:
    """One version in the summary."""

    what: str
    """In words."""
    version: ModelRef
    """The version."""
    audited: AuditResult
    """An audit that holds its numbers."""
    subject: Subject
    """Its role in that audit."""
    verdict: str
    """Verdict and what became of it, or empty."""


@dataclass(frozen=True)
class DemoResult:
    """Result of the demo."""

    rows: tuple[Row, ...]
    """Versions in order."""
    promoted_audit: AuditResult
    """Audit of MIU."""
    blocked_audit: AuditResult
    """Audit of gradient ascent."""
    promoted: bool
    """Whether MIU became champion."""
    blocked: bool
    """Whether gradient ascent was refused."""


def demo(session: Session, out: Path, note: Callable[[str], None], seed: int = 0) -> DemoResult:
    """Pretrain, sample a forget set, retrain twice, unlearn twice, audit, promote one, block one.

    Args:
        session: store, key, device.
        out: folder for the forget list and the reports.
        note: receives one line for each step.
        seed: of data, training and sampling.

    Raises:
        GrmuAuditError: any failure of a step.
    """
    note("1. pretrain a classifier (digits 5-9 against 0-4) on all training images")
    base = pretrain(session, NAME, DataSpec("photodigits", {"seed": seed}), options=TrainingOptions(seed=seed))
    ids = out / "ids.csv"
    out.mkdir(parents=True, exist_ok=True)
    dataset = session.dataset_of(base)
    rare = f"{RARE_GROUP.target},{RARE_GROUP.attribute}"
    count = sample_forget_list(dataset, ids, ForgetSampling((rare,), ratio=0.5, seed=seed))
    note(f"2. sample half of the rare group as forget set: {count} ids in {ids}")
    request = read_request(session, ids, dataset, base)
    passed = len(require_quality(dataset, request.forget).results)
    note(f"3. check the data under the request: {passed} quality checks passed")
    note("4. retrain without it, plain and with REWEIGHT: the exact references")
    plain = unlearn(session, base.label, ids, UnlearnOptions("retrain", reweight=False, seed=seed))
    weighted = unlearn(session, base.label, ids, UnlearnOptions("retrain", reweight=True, seed=seed))
    note("5. unlearn with MIU, audit, promote")
    good, promoted = _try(session, base, ids, UnlearnOptions("miu", seed=seed), out)
    note("6. unlearn with gradient ascent at a careless rate, audit, try to promote")
    careless = UnlearnOptions("gradient_ascent", {"learning_rate": 2e-3}, seed=seed)
    bad, through = _try(session, base, ids, careless, out)
    rows = (
        Row("pretrain", base, good, BASELINE, ""),
        Row("retrain", plain, good, reference(2), ""),
        Row("retrain + REWEIGHT", weighted, good, reference(1), "reference"),
        Row("MIU", good.ref, good, CANDIDATE, _outcome(good, promoted)),
        Row("gradient ascent", bad.ref, bad, CANDIDATE, _outcome(bad, through)),
    )
    return DemoResult(rows, good, bad, promoted, not through)


def _try(session: Session, base: ModelRef, ids: Path, options: UnlearnOptions, out: Path) -> tuple[AuditResult, bool]:
    """Unlearn, audit, and promote if the policy lets it through."""
    ref = unlearn(session, base.label, ids, options)
    audited = audit(session, ref.label, load_named("default"), out / options.method.replace("_", "-"))
    try:
        promote(session, ref.label, reason="demo")
    except (BreachError, InconclusiveError):
        return audited, False
    return audited, True


def _outcome(audited: AuditResult, promoted: bool) -> str:
    verdict = audited.audit.verdict
    return f"{verdict.decision if verdict else 'not judged'}, {'champion' if promoted else 'blocked'}"
