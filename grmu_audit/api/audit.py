"""Use case: audit a version against its parent and the retrained references, from stored predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit import __version__
from grmu_audit.api import judge
from grmu_audit.api.deep import Asked, Setting, deepen, passes
from grmu_audit.api.erasure import request_fields
from grmu_audit.api.export import evidence_files
from grmu_audit.api.kept_probes import Shelf, address
from grmu_audit.api.levels import check_level, left_out
from grmu_audit.api.network import stored_network
from grmu_audit.api.request import StoredRequest, stored_request
from grmu_audit.api.session import Session
from grmu_audit.api.shadow import Asking
from grmu_audit.api.version import PREDICTIONS, QUALITY, TRAINING
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import pseudonyms, write_atomic
from grmu_audit.evidence.signing import configured_signer
from grmu_audit.records import (
    Audit,
    DataCheckReport,
    DataRecord,
    ForgetRecord,
    GroupCount,
    ModelRef,
    Predictions,
)

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.predict import Outputs
    from grmu_audit.policy import Policy

ASKING = Asking()
"""Shadow models of level deep unless the caller says otherwise."""
VALID_DAYS = 90
"""Days after which a verdict is stale, unless the caller says otherwise."""


@dataclass(frozen=True)
class Audited:
    """A finished audit and where it lies."""

    audit: Audit
    """Facts and verdict."""
    ref: ModelRef
    """The audited version."""
    folder: Path
    """Folder with ``audit.json`` and ``report.html``."""
    forward_passes: int
    """Passes over the data that this audit had to make; 0 when all predictions were stored."""


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
    """Evaluate, judge, write ``audit.json`` and ``report.html``, log both, and index them by tags of the version.

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
    setting = Setting(session, dataset, request.names, request.digest, seed, Asked(), shadows)
    named = dict(zip(_names(len(tables), baseline is not None), tables, strict=True))
    depth = deepen(
        setting, named, level, dominant=request.dominant, confidence=policy.confidence, positive_class=policy.positive_class
    )
    made += passes(setting.asked, dataset)
    facts = judge.assemble(
        tables[0],
        baseline=tables[1] if baseline else None,
        references=tables[2 if baseline else 1 :],
        data=data_record(dataset, request.groups),
        forget=ForgetRecord(
            len(request.names), request.digest, request.dominant, {**request.made, **request_fields(session.store, ref)}
        ),
        dominant=request.dominant,
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
    judged = judge.as_stored(judge.judge(facts, policy, today))
    page = report.render(judged, "html").encode()
    out.mkdir(parents=True, exist_ok=True)
    judge.write_audit(judged, out / "audit.json")
    write_atomic(out / "report.html", page)
    _log(session, judged, evidence_files(judged, policy, [table for _, table in tables]), ref)
    return Audited(judged, ref, out, made)


def _names(count: int, has_baseline: bool) -> list[str]:
    """Subject names of the sides of an audit, in order."""
    names = ["candidate", *(["baseline"] if has_baseline else [])]
    return names + [f"reference#{i + 1}" for i in range(count - len(names))]


def outputs_of(session: Session, ref: ModelRef, dataset: Dataset) -> Outputs:
    """Stored predictions of a version, or one forward pass where there are none.

    Raises:
        IntegrityError: stored predictions are damaged or of other data.
    """
    from grmu_audit.evaluation.predict import from_parquet

    stored = session.store.run_artifact(ref.run_id, PREDICTIONS) if ref.run_id else None
    if stored is None:
        return _kept_forward(session, ref, dataset)
    outputs = from_parquet(stored)
    if len(outputs.ids) != len(dataset):
        raise IntegrityError(f"stored predictions of {ref.label} have {len(outputs.ids)} rows, the data has {len(dataset)}")
    return outputs


def _kept_forward(session: Session, ref: ModelRef, dataset: Dataset) -> Outputs:
    """The forward pass of a version that came without one: made once and kept, under the operator's pseudonyms."""
    from grmu_audit.evaluation.predict import from_parquet, to_parquet

    shelf, mark = Shelf(session.root / "measured"), pseudonyms(session.key, ["predictions"])[0]
    key = address({"kind": "predictions", "model": ref.manifest_sha256, "data": dataset.digest, "names": mark})
    path = shelf.path(key, "parquet")
    if path.is_file():
        return from_parquet(path.read_bytes())
    outputs = _forward(session, ref, dataset)
    write_atomic(path, to_parquet(outputs), mode=0o600)
    return outputs


def _forward(session: Session, ref: ModelRef, dataset: Dataset) -> Outputs:
    from grmu_audit.data.source import BatchSource
    from grmu_audit.evaluation.predict import forward

    runtime = session.runtime(0, None)
    model = stored_network(session, ref, runtime.device)
    return forward(model, BatchSource(dataset, runtime.device), runtime, pseudonyms(session.key, dataset.frame["id"].tolist()))


def predictions_of(outputs: Outputs, request: StoredRequest, dataset: Dataset) -> Predictions:
    """A version's predictions under a request."""
    from grmu_audit.evaluation.predict import with_request

    return with_request(outputs, request.names, dataset.header.class_names, dataset.header.attribute_names)


def _references(session: Session, ref: ModelRef, named: Sequence[str]) -> list[ModelRef]:
    if named:
        chosen = [session.store.resolve(text) for text in named]
        for other in chosen:
            if (other.forget_digest, other.data_digest) != (ref.forget_digest, ref.data_digest):
                raise InputError(
                    f"reference {other.label} was made without another forget set, or on other data, than {ref.label}"
                )
        return chosen
    same = [
        v
        for v in session.store.versions(ref.name, "retrain")
        if (v.forget_digest, v.data_digest) == (ref.forget_digest, ref.data_digest) and v.version != ref.version
    ]
    return sorted(same, key=lambda v: not v.reweight)


def data_record(dataset: Dataset, groups: tuple[GroupCount, ...]) -> DataRecord:
    """What an audit says of a dataset under a request."""
    header = dataset.header
    return DataRecord(
        manifest_sha256=dataset.digest,
        splits={part: sum(getattr(row, part) for row in groups) for part in ("retain", "forget", "val", "test")},
        name=header.name,
        groups=groups,
        class_names=header.class_names,
        attribute_names=header.attribute_names,
        source=f"{header.source}. Licence: {header.licence}",
        attribute_provenance=header.attribute_provenance,
        excluded=sum(dataset.excluded.values()),
    )


def _quality(session: Session, ref: ModelRef) -> DataCheckReport | None:
    from pydantic import TypeAdapter, ValidationError

    data = session.store.run_artifact(ref.run_id, QUALITY) if ref.run_id else None
    try:
        return TypeAdapter(DataCheckReport).validate_json(data) if data else None
    except ValidationError as error:
        raise IntegrityError(f"{QUALITY} of {ref.label} is damaged: {error.error_count()} defects") from None


def _training(session: Session, versions: Sequence[ModelRef], has_baseline: bool) -> dict[str, list[dict[str, float]]]:
    """What each epoch logged, by subject; a version without a stored history has none."""
    names = _names(len(versions), has_baseline)
    found = {name: _epochs(session, version) for name, version in zip(names, versions, strict=True)}
    return {name: epochs for name, epochs in found.items() if epochs}


def _epochs(session: Session, ref: ModelRef) -> list[dict[str, float]]:
    data = session.store.run_artifact(ref.run_id, TRAINING) if ref.run_id else None
    try:
        rows = json.loads(data) if data else []
        return [{str(key): float(value) for key, value in row.items()} for row in rows]
    except (ValueError, TypeError, AttributeError):
        raise IntegrityError(f"{TRAINING} of {ref.label} is damaged") from None


def _record(seed: int, passes: int, valid_days: int) -> dict[str, Any]:
    import platform
    from datetime import datetime, timedelta
    from importlib.metadata import version

    created = judge.now()
    expires = datetime.fromisoformat(created) + timedelta(days=valid_days)

    libraries = ("numpy", "scipy", "scikit-learn", "torch", "mlflow", "great-expectations")
    return {
        "tool": f"grmu-audit {__version__}",
        "libraries": {name: version(name) for name in libraries},
        "python": platform.python_version(),
        "created": created,
        "expires": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "attack_seed": seed,
        "forward_passes": passes,
    }


def _same_manifest(session: Session, ref: ModelRef) -> None:
    if session.store.manifest_of(ref) != ref.manifest_sha256:
        raise IntegrityError(f"the stored files of {ref.label} are not the ones that were registered: do not use this version")


def _log(session: Session, audited: Audit, shown: dict[str, bytes], ref: ModelRef) -> None:
    """Store files and numbers under an audit run, then the audit itself, which ledger and tags point at."""
    from grmu_audit import report
    from grmu_audit.tracking.audits import record_audit

    signer = configured_signer()
    with session.store.run(ref.name, "audit", parent=ref.run_id) as run:
        run.log_metrics({m.name: m.value for m in audited.metrics if m.subject == "candidate" and m.group is None})
        run.set_tags({"grmu.subject": ref.label})
        record_audit(session.store, ref, run, audited, actor=session.actor, shown=shown, signer=signer)
        session.store.describe(ref, report.build_view(audited)["headline"], run_id=run.id, artifact="report.html")
