"""Compares several versions by their stored predictions, with paired differences to the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grmu_audit.auditing.measurement import measure
from grmu_audit.errors import InconclusiveError, InputError, IntegrityError, NotFoundError
from grmu_audit.policy import Policy, load_named
from grmu_audit.records import Audit, AuditContext, AuditedModel, AuditInputs, ForgetRecord, ModelRef
from grmu_audit.tracking.requests import StoredRequest
from grmu_audit.workflows.audits.collection import comparable_outputs, data_record, predictions_under_request
from grmu_audit.workflows.audits.common_rows import common_outputs
from grmu_audit.workflows.audits.stored import newest_audit
from grmu_audit.workflows.audits.target import measure_options
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class Comparison:
    """Several versions, measured over the same samples."""

    audits: list[Audit]
    """One a version; each after the first has the first as its baseline."""
    verdicts: list[Audit | IntegrityError | None]
    """The judged audit that is stored of each: None where it was never audited, the error where it cannot be relied on."""

    def __repr__(self) -> str:
        """The versions."""
        return f"<Comparison of {', '.join(audit.subject.label for audit in self.audits)}>"

    def _repr_html_(self) -> str:
        """The page that ``compare --out`` writes, for notebooks."""
        from grmu_audit.report import framed, render_comparison

        return framed(render_comparison(self.audits, self.verdicts))


def compare(session: Session, models: Sequence[str], policy: Policy | None = None, *, seed: int = 0) -> Comparison:
    """Measure each version over the same samples; each after the first has the first as its baseline.

    Args:
        session: store, key, device.
        models: two to six references of versions of one dataset; of several forget sets one must hold all others, as in a
            lineage, and the numbers are those of this one.
        policy: whose confidence, positive class and interval method the numbers have; None: the default policy.
        seed: of the attacks.

    Raises:
        InputError: other data or another forget set among the versions; none of them was created for a request; the dataset
            names another positive class than the policy.
        IntegrityError: stored predictions are damaged.
    """
    refs = [session.store.resolve(text) for text in models]
    if len({(ref.name, ref.version) for ref in refs}) < len(refs):
        raise InputError("the same version is given twice: compare different versions")
    made, request = _request(session, refs)
    dataset = session.dataset_of(made)
    others = [ref.label for ref in refs if ref.data_digest != dataset.identity]
    if others:
        raise InputError(f"{', '.join(others)}: trained on other data than {made.label}: their numbers cannot be compared")
    options = measure_options(policy or load_named("default"), dataset, seed)
    outputs = list(zip(refs, comparable_outputs(session, refs, dataset), strict=True))
    common = common_outputs(outputs, session.pseudonyms_of(dataset), request)
    tables = [predictions_under_request(table, common.request, dataset) for table in common.outputs]
    first, *rest = [AuditedModel(ref, table) for ref, table in zip(refs, tables, strict=True)]
    forget = ForgetRecord(len(request.pseudonyms), request.digest, request.dominant_groups, request.provenance)
    context = AuditContext(data_record(dataset, request.groups), forget, not_measured=common.not_measured)
    inputs = [AuditInputs(first), *(AuditInputs(model, baseline=first) for model in rest)]
    return Comparison([measure(each, context, options) for each in inputs], [_stored_audit(session, ref) for ref in refs])


def _request(session: Session, refs: Sequence[ModelRef]) -> tuple[ModelRef, StoredRequest]:
    """The version with the largest forget set, which holds those of all others where they are of one lineage, and its request."""
    made = [ref for ref in refs if ref.forget_digest]
    if not made:
        raise InputError("none of these versions was created for a forget request: there is nothing to compare them on")
    for ref in refs:
        session.require_key(ref)
    requests = {ref.label: stored_request(session, ref) for ref in made}
    sizes = {label: (len(request.pseudonyms), len(request.withheld)) for label, request in requests.items()}
    largest = max(made, key=lambda ref: sizes[ref.label])
    if not all(request.pseudonyms <= requests[largest.label].pseudonyms for request in requests.values()):
        raise InputError(f"{', '.join(requests)} were created for different forget sets, none of which holds all others")
    return largest, requests[largest.label]


def _stored_audit(session: Session, ref: ModelRef) -> Audit | IntegrityError | None:
    """The stored audit, why it cannot be relied on, or None where the version was never audited."""
    try:
        return newest_audit(session.store, ref)[0]
    except InconclusiveError:
        return None
    except (IntegrityError, NotFoundError) as error:
        return IntegrityError(str(error))
