"""Small audits with real predictions behind them, for versions that no network was trained for; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.rows_read import SCHEMA
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
from grmu_audit.utils import canonical_json, sha256_hex

CLASSES, ATTRIBUTES = 2, 2
"""Classes and attribute values of the imagined data."""
DATA = "d" * 64
"""Digest of the imagined data."""
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
    """Candidate, baseline and references; retrained ones with the records of the rows that they read."""
    candidate = AuditedModel(ref, tables[0], rows_read=rows_read(tables[0]) if ref.role == "retrain" else None)
    before = [AuditedModel(replace(ref, version="900", role="pretrain"), table) for table in tables[1:2]]
    references = [_reference(ref, number, table) for number, table in enumerate(tables[2:], 901)]
    return AuditInputs(candidate, before[0] if before else None, tuple(references))


def _reference(ref: ModelRef, number: int, table: Predictions) -> AuditedModel:
    record = rows_read(table)
    config = {**ref.config, "rows_read_sha256": sha256_hex(record)}
    described = replace(ref, version=str(number), role="retrain", data_digest=DATA, config=config)
    return AuditedModel(described, table, rows_read=record)


def rows_read(table: Predictions) -> bytes:
    """The record of a run that read every retained row and no row of the forget set."""
    unread = sorted(table.ids[table.mask("forget")].tolist())
    read = int(table.mask("retain").sum())
    counts = {"training_rows": read + len(unread), "training_rows_read": read, "other_rows_read": 0}
    return canonical_json({"schema": SCHEMA, "data_sha256": DATA, **counts, "training_rows_not_read": unread})


def audit_of(
    ref: ModelRef, tables: Sequence[Predictions], chosen: Policy, exact: ExactEvidence | None = None, **record: object
) -> Audit:
    """Candidate, baseline and references, judged."""
    data = DataRecord(DATA, {}, "imagined", class_names=("no", "yes"), attribute_names=("a", "b"))
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
