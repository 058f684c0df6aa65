"""Small audits with real predictions behind them, for versions that no network was trained for; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from grmu_audit.auditing.measurement import measure
from grmu_audit.evidence.signing import generate_keys
from grmu_audit.policy import Policy
from grmu_audit.policy.judgement import judge
from grmu_audit.records import (
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    CheckResult,
    DataCheckReport,
    DataRecord,
    ExactEvidence,
    ModelRef,
    Predictions,
)

CLASSES, ATTRIBUTES = 2, 2
"""Classes and attribute values of the imagined data."""
QUALITY = DataCheckReport((CheckResult("all", "ids are unique", True, True, "200 of 200"),), "engine 1.0", "5" * 64)
"""The quality report of every audit."""


def policy(bound: float = 0.3, **more: object) -> Policy:
    """Accuracy of at least so much, by the estimate, and a warning on the gap."""
    rules = [
        {"id": "accuracy", "metric": "TA", "min": bound, "evidence": "point"},
        {"id": "gap", "metric": "EO", "max": 0.0, "evidence": "point", "severity": "warn"},
    ]
    return Policy.model_validate(
        {"schema": "grmu-audit/policy/v1", "name": "test", "minimum_group_size": 1, "rules": rules, **more}
    )


def predictions(seed: int, n: int = 120, skill: float = 2.0) -> Predictions:
    """Outputs of an imagined model on the samples of ``seed // 100``; ids look like pseudonyms."""
    world, own = np.random.default_rng(seed // 100), np.random.default_rng(seed)
    target, attribute = world.integers(0, CLASSES, n), world.integers(0, ATTRIBUTES, n)
    split = np.concatenate([np.arange(4).repeat(4), world.integers(0, 4, n - 16)])
    logits = own.normal(size=(n, CLASSES)) + skill * np.eye(CLASSES)[target]
    ids = np.asarray(sorted(f"{i:032x}" for i in world.permutation(n)), dtype=np.str_)
    return Predictions(
        ids, split, target, attribute, logits.argmax(1), CLASSES, ATTRIBUTES, logits, subject=world.integers(0, 60, n)
    )


def inputs_of(ref: ModelRef, tables: Sequence[Predictions]) -> AuditInputs:
    """Candidate, baseline and references."""
    refs = [ref, *(replace(ref, version=str(900 + i), role="retrain") for i in range(len(tables) - 1))]
    models = [AuditedModel(*pair) for pair in zip(refs, tables, strict=True)]
    return AuditInputs(models[0], models[1] if len(models) > 1 else None, tuple(models[2:]))


def audit_of(
    ref: ModelRef, tables: Sequence[Predictions], chosen: Policy, exact: ExactEvidence | None = None, **record: object
) -> Audit:
    """Candidate, baseline and references, judged."""
    data = DataRecord("d" * 64, {}, "imagined", class_names=("no", "yes"), attribute_names=("a", "b"))
    named = [replace(table, class_names=data.class_names, attribute_names=data.attribute_names) for table in tables]
    context = AuditContext(data, data_quality=QUALITY, record=record, exact=exact)
    return judge(measure(inputs_of(ref, named), context), chosen)


def key_pair(folder: Path, name: str = "ci") -> tuple[Path, Path]:
    """A fresh key pair."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    generate_keys(private, public)
    return private, public


@contextmanager
def before_records(*more: object) -> Iterator[None]:
    """Inside, no registration is entered, and no entry says up to which version there are none: as versions before did.

    Args:
        more: modules of further stores that enter registrations.
    """
    from grmu_audit.tracking import ledger
    from grmu_audit.tracking.mlflow import store

    def no_entry(*given: object) -> str:
        """Nothing is entered."""
        return ""

    with ExitStack() as patches:
        for module in (store, *more):
            patches.enter_context(mock.patch.object(module, "enter_registration", no_entry))
        patches.enter_context(mock.patch.object(ledger, "_newest", return_value=None))
        yield
