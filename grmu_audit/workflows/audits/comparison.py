"""Use case: several versions side by side, from their stored predictions, with paired differences to the first."""

from __future__ import annotations

from collections.abc import Sequence

from grmu_audit.auditing import measurement
from grmu_audit.errors import InconclusiveError, InputError, IntegrityError, NotFoundError
from grmu_audit.records import Audit, ForgetRecord, ModelRef
from grmu_audit.workflows.audits.collection import data_record, outputs_of, predictions_of
from grmu_audit.workflows.audits.stored import newest
from grmu_audit.workflows.forget_requests import StoredRequest, stored_request
from grmu_audit.workflows.session import Session


def compare(session: Session, models: Sequence[str], *, seed: int = 0) -> tuple[list[Audit], list[Audit | IntegrityError | None]]:
    """Measure each version over the same samples; each after the first has the first as its baseline.

    Args:
        session: store, key, device.
        models: two to six references of versions of one dataset and at most one forget set.
        seed: of the attacks.

    Returns:
        One audit a version, and beside it the judged audit that is stored for it: None where it was never audited, the
        error where the stored audit cannot be relied on.

    Raises:
        InputError: other data or another forget set among the versions; none of them was made for a request.
        IntegrityError: stored predictions are damaged.
    """
    refs = [session.store.resolve(text) for text in models]
    if len({(ref.name, ref.version) for ref in refs}) < len(refs):
        raise InputError("the same version is given twice: compare different versions")
    request = _request(session, refs)
    dataset = session.dataset_of(refs[0])
    others = [ref.label for ref in refs if ref.data_digest != dataset.digest]
    if others:
        raise InputError(f"{', '.join(others)}: trained on other data than {refs[0].label}: their numbers cannot be compared")
    sides = [(ref, predictions_of(outputs_of(session, ref, dataset), request, dataset)) for ref in refs]
    forget = ForgetRecord(len(request.pseudonyms), request.digest, request.dominant_groups, request.provenance)
    audits = [
        measurement.assemble(
            side,
            baseline=sides[0] if index else None,
            data=data_record(dataset, request.groups),
            forget=forget,
            dominant=request.dominant_groups,
            seed=seed,
        )
        for index, side in enumerate(sides)
    ]
    return audits, [_judged(session, ref) for ref in refs]


def _request(session: Session, refs: Sequence[ModelRef]) -> StoredRequest:
    made = {ref.forget_digest: ref for ref in refs if ref.forget_digest}
    if len(made) > 1:
        raise InputError(f"{', '.join(ref.label for ref in made.values())} were made without different forget sets")
    if not made:
        raise InputError("none of these versions was made without a forget set: there is nothing to compare them on")
    return stored_request(session, next(iter(made.values())))


def _judged(session: Session, ref: ModelRef) -> Audit | IntegrityError | None:
    """The stored audit, why it cannot be relied on, or None where the version was never audited."""
    try:
        return newest(session.store, ref)[0]
    except InconclusiveError:
        return None
    except (IntegrityError, NotFoundError) as error:
        return IntegrityError(str(error))
