"""What is audited: a version, its parent, retrained references, and the data and request that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import InputError
from grmu_audit.policy import Policy
from grmu_audit.records import MeasureOptions, ModelRef
from grmu_audit.tracking.requests import Lineages, StoredRequest
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class AuditTarget:
    """The audited version and the versions that it is compared with."""

    version: ModelRef
    """The audited version."""
    baseline: ModelRef | None
    """Its parent, the version before unlearning."""
    references: tuple[ModelRef, ...]
    """Retrained versions."""
    dataset: Dataset
    """The data."""
    request: StoredRequest
    """The forget request."""


def find_target(session: Session, model: str, references: Sequence[str]) -> AuditTarget:
    """The version, its parent, its references, and their data.

    Args:
        session: store and key.
        model: reference of an unlearned or retrained version.
        references: references of retrained versions; empty: all of the same forget set and data, those with REWEIGHT first.

    Raises:
        InputError: the version was not created for a forget request, or a reference for another one.
        IntegrityError: the dataset is not what it was at training time.
    """
    version = session.store.resolve(model)
    session.require_key(version)
    request, dataset = stored_request(session, version), session.dataset_of(version)
    baseline = session.store.resolve(version.parent) if version.parent else None
    return AuditTarget(version, baseline, tuple(_references(session, version, references)), dataset, request)


def measure_options(policy: Policy, dataset: Dataset, seed: int) -> MeasureOptions:
    """The policy's options, for a dataset that agrees with them.

    Raises:
        InputError: the task has two classes, and the dataset names another positive class than the policy.
    """
    header, positive = dataset.header, policy.positive_class
    if len(header.class_names) == 2 and header.positive_class != positive:
        raise InputError(
            f"dataset {header.name!r} has the positive class {header.positive_class}, policy {policy.name!r} has {positive}: "
            f"set 'positive_class: {header.positive_class}' in the policy, or correct the dataset's manifest"
        )
    return policy.measure_options(seed)


def _references(session: Session, ref: ModelRef, named: Sequence[str]) -> list[ModelRef]:
    lineages = Lineages(session.store)
    if named:
        chosen = [session.store.resolve(text) for text in named]
        for other in chosen:
            if other.data_digest != ref.data_digest or not lineages.same_forget_set(other, ref):
                raise InputError(
                    f"reference {other.label} was created without another forget set, or on other data, than {ref.label}"
                )
        return chosen
    same = [
        v
        for v in session.store.versions(ref.name, "retrain")
        if v.version != ref.version and v.data_digest == ref.data_digest and lineages.same_forget_set(v, ref)
    ]
    return sorted(same, key=lambda v: not v.reweight)
