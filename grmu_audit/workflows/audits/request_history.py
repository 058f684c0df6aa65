"""Earlier requests of a version's lineage, with the predictions of the versions before and after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from grmu_audit.records import ModelRef
from grmu_audit.records.inputs import EarlierRequest
from grmu_audit.workflows.forget_requests import stored_request

if TYPE_CHECKING:
    from grmu_audit.records import Predictions
    from grmu_audit.workflows.audits.target import AuditTarget
    from grmu_audit.workflows.session import Session

Predict = Callable[[ModelRef], "Predictions"]
"""Predictions of a version under the audited request."""


def earlier_requests(session: Session, target: AuditTarget, predict: Predict) -> tuple[EarlierRequest, ...]:
    """Every request that an ancestor of the audited version was created for, oldest first.

    Args:
        session: store and key.
        target: the audited version.
        predict: predictions of a version under the audited request.
    """
    found: list[EarlierRequest] = []
    for parent, served in _served(session, target.baseline):
        known = stored_request(session, parent).pseudonyms if parent.forget_digest else frozenset()
        ids = stored_request(session, served).pseudonyms - known
        found.append(EarlierRequest(served.label, ids, predict(parent), predict(served)))
    return tuple(reversed(found))


def _served(session: Session, ref: ModelRef | None) -> Iterator[tuple[ModelRef, ModelRef]]:
    """Each ancestor that was created for a request, after its parent; the newest first."""
    while ref is not None and ref.parent:
        parent = session.store.resolve(ref.parent)
        if ref.forget_digest:
            yield parent, ref
        ref = parent
