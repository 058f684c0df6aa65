"""Audits a version against its parent and the retrained references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.auditing.audit_files import as_read_back
from grmu_audit.auditing.measurement import measure, require_distinct_references
from grmu_audit.policy import Policy
from grmu_audit.policy.judgement import judge
from grmu_audit.workflows.audits.collection import AuditSettings, collect
from grmu_audit.workflows.audits.publication import AuditResult, Finished, publish
from grmu_audit.workflows.audits.target import find_target, measure_options
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.costs import measured_cost

if TYPE_CHECKING:
    import torch

DEFAULTS = AuditSettings()
"""Settings unless the caller says otherwise."""


def audit(session: Session, model: str, policy: Policy, out: Path, settings: AuditSettings = DEFAULTS) -> AuditResult:
    """Collect, measure, judge, and publish: files, a run, the ledger entry, tags of the version.

    Args:
        session: store, key, device.
        model: reference of an unlearned or retrained version.
        policy: what to judge by.
        out: folder for ``audit.json`` and ``report.html``; created if need be.
        settings: references, level, seed, shadow models, dates.

    Raises:
        InputError: a reference does not count, or has the outputs of another model;
            the version was not created for a forget request; the dataset names another positive class than the policy.
        IntegrityError: a stored file is not what was recorded.
    """
    with measured_cost(_device(session, settings.level)) as cost:
        reading = session.read_once()
        target = find_target(reading, model, settings.references)
        options = measure_options(policy, target.dataset, settings.seed)
        collected = collect(reading, target, settings)
        require_distinct_references(collected.inputs)
        measured = measure(collected.inputs, collected.context, options)
        judged = as_read_back(judge(measured, policy, settings.today))
    cost.forwards = cost.forwards or int(judged.record["forward_passes"]) * len(target.dataset)
    return publish(session, Finished(judged, policy, collected.inputs, cost), out)


def _device(session: Session, level: str) -> torch.device | None:
    """Where networks are asked; None for an audit that mostly needs none, so that PyTorch is not loaded for it."""
    if level == "quick":
        return None
    from grmu_audit.training.runtime import choose_device

    return choose_device(session.device)
