"""Use case: audit a version against its parent and the retrained references."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.auditing import audit_files, measurement
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.metrics.catalog.spec import check_level, left_out
from grmu_audit.policy import judgement
from grmu_audit.records import ForgetRecord, ModelRef, Predictions
from grmu_audit.utils import write_atomic
from grmu_audit.workflows.audits.collection import (
    _names,
    _quality,
    _record,
    _references,
    _training,
    data_record,
    deepen,
    outputs_of,
    predictions_of,
)
from grmu_audit.workflows.audits.publication import Audited, _log, _same_manifest
from grmu_audit.workflows.audits.shadow import Asking
from grmu_audit.workflows.audits.white_box import Asked, Setting, passes
from grmu_audit.workflows.erasure import erasure_summary
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.policy import Policy

ASKING = Asking()
"""Shadow models of level deep unless the caller says otherwise."""
VALID_DAYS = 90
"""Days after which a verdict is stale, unless the caller says otherwise."""


def audit(
    session: Session,
    model: str,
    *,
    policy: Policy,
    out: Path,
    references: Sequence[str] = (),
    seed: int = 0,
    today: date | None = None,
    valid_days: int = VALID_DAYS,
    level: str = "quick",
    shadows: Asking = ASKING,
) -> Audited:
    """Evaluate, judge, write ``audit.json`` and ``report.formats.html``, log both, and index them by tags of the version.

    Args:
        session: store, key, device.
        model: reference of an unlearned or retrained version.
        policy: what to judge by.
        out: folder for the files; made if need be.
        references: retrained versions to compare with; none: all of the same forget set and data, those with REWEIGHT
            first (they are the yardstick).
        seed: of the attacks.
        today: date that waivers are judged at; None: the current day.
        valid_days: days after which the verdict expires.
        level: ``quick`` (predictions only), ``standard`` or ``deep``; see ``levels``.
        shadows: how many shadow models level deep trains, and within which time.

    Raises:
        InputError: the version was not made for a forget request, or there is no such level.
        IntegrityError: a stored file is not what was recorded.
    """
    from grmu_audit import report

    check_level(level)
    ref = session.store.resolve(model)
    session.require_key(ref)
    request = stored_request(session, ref)
    dataset = session.dataset_of(ref)
    baseline = session.store.resolve(ref.parent) if ref.parent else None
    chosen = _references(session, ref, references)
    made = 0
    tables: list[tuple[ModelRef, Predictions]] = []
    for version in [ref, *([baseline] if baseline else []), *chosen]:
        outputs = outputs_of(session, version, dataset)
        made += outputs.forward_passes
        tables.append((version, predictions_of(outputs, request, dataset)))
    setting = Setting(session, dataset, request.pseudonyms, request.digest, seed, Asked(), shadows)
    named = dict(zip(_names(len(tables), baseline is not None), tables, strict=True))
    depth = deepen(
        setting,
        named,
        level,
        dominant=request.dominant_groups,
        confidence=policy.confidence,
        positive_class=policy.positive_class,
    )
    made += passes(setting.asked, dataset)
    facts = measurement.assemble(
        tables[0],
        baseline=tables[1] if baseline else None,
        references=tables[2 if baseline else 1 :],
        data=data_record(dataset, request.groups),
        forget=ForgetRecord(
            len(request.pseudonyms),
            request.digest,
            request.dominant_groups,
            {**request.provenance, **erasure_summary(session.store, ref)},
        ),
        dominant=request.dominant_groups,
        confidence=policy.confidence,
        positive_class=policy.positive_class,
        intervals=policy.intervals,
        seed=seed,
        data_quality=_quality(session, ref),
        record=_record(seed, made, valid_days) | {"level": level, **depth.record},
        not_measured=(*left_out(level), *depth.not_measured),
        measured=depth.values,
        training=_training(session, [version for version, _ in tables], baseline is not None),
    )
    _same_manifest(session, ref)
    judged = audit_files.as_stored(judgement.judge(facts, policy, today))
    page = report.render(judged, "html").encode()
    out.mkdir(parents=True, exist_ok=True)
    audit_files.write_audit(judged, out / "audit.json")
    write_atomic(out / "report.html", page)
    _log(session, judged, evidence_files(judged, policy, [table for _, table in tables]), ref)
    return Audited(judged, ref, out, made)
