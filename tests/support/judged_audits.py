"""Small audits with real predictions behind them: what bundles, ledgers and gates are tested with; no torch, no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.auditing.measurement import measure
from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence.signing import generate_keys, load_signer
from grmu_audit.policy import Policy, policy_sha256
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
from grmu_audit.tracking import Author, Store, lineage_tags, record_audit

CLASSES, ATTRIBUTES = 2, 2
QUALITY = DataCheckReport((CheckResult("all", "ids are unique", True, True, "200 of 200"),), "engine 1.0", "5" * 64)


def policy(bound: float = 0.3, **more: object) -> Policy:
    """Accuracy of at least so much, by the estimate, and a warning on the gap."""
    rules = [
        {"id": "accuracy", "metric": "TA", "min": bound, "evidence": "point"},
        {"id": "gap", "metric": "EO", "max": 0.0, "evidence": "point", "severity": "warn"},
    ]
    return Policy.model_validate(
        {"schema": "grmu-audit/policy/v1", "name": "test", "minimum_group_size": 1, "rules": rules, **more}
    )


def policy_file(chosen: Policy, folder: Path) -> str:
    """Path of a policy as a file, pinned, as an operator lists it."""
    path = folder / f"{chosen.name}.yaml"
    path.write_text(json.dumps(chosen.model_dump(mode="json", by_alias=True)))
    return f"{path}@{policy_sha256(chosen)}"


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


def version(store: Store, name: str, folder: Path, content: bytes = b"weights", role: str = "unlearned", **more: Any) -> ModelRef:
    """A registered version with a few bytes of weights."""
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(content)
    (folder / "model.json").write_text('{"architecture":"imagined"}')
    with store.run(name, "unlearn") as run:
        return store.register(run, name, folder, role=role, tags=lineage_tags(ModelRef(name, "", method="miu", **more)))


def audited(
    store: Store, ref: ModelRef, tables: Sequence[Predictions], chosen: Policy, key: Path | None = None, **record: Any
) -> Audit:
    """Audit a version and record it, signed when there is a key."""
    made = audit_of(ref, tables, chosen, **record)
    with store.run(ref.name, "audit") as run:
        files = evidence_files(made, chosen, inputs_of(ref, tables))
        record_audit(store, run, made, files, Author("auditor", load_signer(key) if key else None))
    return made


def key_pair(folder: Path, name: str = "ci") -> tuple[Path, Path]:
    """A fresh key pair."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    generate_keys(private, public)
    return private, public


def code_of(error: GrmuAuditError) -> int:
    """Exit code that the command line leaves with."""
    return int(error.exit_code)


__all__ = [
    "audit_of", "audited", "code_of", "key_pair", "policy", "policy_file", "predictions", "version",
]  # fmt: skip
