"""grmu-audit: the audit tool that makes machine unlearning safe to ship.

The functions and types below are imported on first use, so that importing the package loads no other library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grmu_audit.auditing.scoring import score
    from grmu_audit.data.catalog import DataSpec
    from grmu_audit.policy import load_named as load_policy
    from grmu_audit.report import render
    from grmu_audit.utils.resources import VERSION as __version__  # noqa: N811
    from grmu_audit.workflows.audits.collection import AuditSettings
    from grmu_audit.workflows.audits.comparison import compare
    from grmu_audit.workflows.audits.pipeline import audit
    from grmu_audit.workflows.pending import RequestFields, add_requests
    from grmu_audit.workflows.release import gate, history, promote, rollback, sign_off, verify
    from grmu_audit.workflows.session import Session
    from grmu_audit.workflows.versions.method_choice import UnlearnOptions
    from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain, register
    from grmu_audit.workflows.versions.unlearning import retrain, unlearn

__all__ = [
    "AuditSettings",
    "DataSpec",
    "RequestFields",
    "Session",
    "TrainingOptions",
    "UnlearnOptions",
    "__version__",
    "add_requests",
    "audit",
    "compare",
    "gate",
    "history",
    "load_policy",
    "pretrain",
    "promote",
    "register",
    "render",
    "retrain",
    "rollback",
    "score",
    "sign_off",
    "unlearn",
    "verify",
]
_HOMES = {
    "__version__": "utils.resources:VERSION",
    "AuditSettings": "workflows.audits.collection",
    "DataSpec": "data.catalog",
    "RequestFields": "workflows.pending",
    "Session": "workflows.session",
    "TrainingOptions": "workflows.versions.pretraining",
    "UnlearnOptions": "workflows.versions.method_choice",
    "add_requests": "workflows.pending",
    "audit": "workflows.audits.pipeline",
    "compare": "workflows.audits.comparison",
    "gate": "workflows.release",
    "history": "workflows.release",
    "load_policy": "policy:load_named",
    "pretrain": "workflows.versions.pretraining",
    "promote": "workflows.release",
    "register": "workflows.versions.pretraining",
    "render": "report",
    "retrain": "workflows.versions.unlearning",
    "rollback": "workflows.release",
    "score": "auditing.scoring",
    "sign_off": "workflows.release",
    "unlearn": "workflows.versions.unlearning",
    "verify": "workflows.release",
}
"""Module that holds each name, and its name there where that is another."""


def __getattr__(name: str) -> object:
    """Import a name on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, there = _HOMES[name].partition(":")
    found: object = getattr(import_module(f"{__name__}.{module}"), there or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted(_HOMES)
