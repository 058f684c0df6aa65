"""The whole procedure for a request on real images, offline, in a few minutes on two cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from grmu_audit.data.catalog import DataSpec
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.data.quality.checks import require_quality
from grmu_audit.errors import BreachError, InconclusiveError
from grmu_audit.policy import load_named
from grmu_audit.records import BASELINE, CANDIDATE, Decision, Group, ModelRef, Subject, reference
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
    tried: tuple[Tried, ...]
    """Versions whose promotion was tried, in order."""

    @property
    def promoted(self) -> Tried | None:
        """The version that became champion."""
        return next((one for one in self.tried if one.promoted), None)

    @property
    def as_expected(self) -> bool:
        """Whether neither gradient ascent was promoted nor the version that did next to nothing."""
        return not any(one.promoted for one in self.tried if one.what in MUST_NOT_PASS)


@dataclass(frozen=True)
class Tried:
    """A version that was audited, and what became of its promotion."""

    what: str
    """Its method in words."""
    audited: AuditResult
    """Its audit."""
    promoted: bool
    """Whether it became champion."""

    @property
    def undecided(self) -> list[str]:
        """Rules that keep it from a PASS without a breach; none where a rule is breached."""
        verdict = self.audited.audit.verdict
        if verdict is None or verdict.decision is not Decision.INCONCLUSIVE:
            return []
        return [rule.id for rule in verdict.rules if rule.blocking and rule.decision is Decision.INCONCLUSIVE]

    @property
    def row(self) -> Row:
        """Its line in the summary."""
        verdict = self.audited.audit.verdict
        decision = verdict.decision if verdict else "not judged"
        outcome = f"{decision}, champion" if self.promoted else f"{decision}, {'not tried' if decision == 'PASS' else 'refused'}"
        return Row(self.what, self.audited.ref, self.audited, CANDIDATE, outcome)


MUST_NOT_PASS = ("gradient ascent", "one epoch at 1e-7")
"""What the gate has to refuse."""
_METHODS = {
    "shrink": UnlearnOptions("shrink"),
    "gradient ascent": UnlearnOptions("gradient_ascent", {"learning_rate": 2e-3}, keep_collapsed=True),
    "one epoch at 1e-7": UnlearnOptions("ft", {"learning_rate": 1e-7, "epochs": 1}),
}


def demo(session: Session, out: Path, note: Callable[[str], None], seed: int = 0) -> DemoResult:
    """Pretrain, sample a forget set, retrain twice, unlearn three times, audit, and promote the first version that passes.

    The retrained version with REWEIGHT comes last: its record of the rows that it read shows that it forgot, and REWEIGHT keeps
    the accuracy of the group.

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
    note("4. retrain without it, plain and with REWEIGHT, from two seeds: what forgetting would change")
    plain = unlearn(session, base.label, ids, UnlearnOptions("retrain", reweight=False, seed=seed))
    weighted = unlearn(session, base.label, ids, UnlearnOptions("retrain", reweight=True, seed=seed + 1))
    tried = []
    for number, (what, options) in enumerate(_METHODS.items(), 5):
        note(f"{number}. unlearn with {what}, audit, try to promote")
        ref = unlearn(session, base.label, ids, replace(options, seed=seed))
        tried.append(_try(session, what, ref, out))
    first = tried[0].audited
    rows = [Row("pretrain", base, first, BASELINE, ""), Row("retrain", plain, first, reference(2), "reference")]
    rows += [Row("retrain + REWEIGHT", weighted, first, reference(1), "reference"), *(one.row for one in tried)]
    note("8. audit the version that was retrained with REWEIGHT, promote it if none passed before")
    last = _try(session, "retrain + REWEIGHT", weighted, out, first=not any(one.promoted for one in tried))
    rows[2] = last.row
    return DemoResult(tuple(rows), (*tried, last))


def _try(session: Session, what: str, ref: ModelRef, out: Path, *, first: bool = True) -> Tried:
    """Audit a version, and promote it if the policy lets it through and it is the first."""
    audited = audit(session, ref.label, load_named("default"), out / what.lower().replace(" + ", "-").replace(" ", "-"))
    if not first:
        return Tried(what, audited, False)
    try:
        promote(session, ref.label, reason="demo")
    except (BreachError, InconclusiveError):
        return Tried(what, audited, False)
    return Tried(what, audited, True)
