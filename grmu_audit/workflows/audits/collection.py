"""Collects what an audit is measured from: predictions, white-box outputs and shadow models of every model in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.auditing.model_names import with_model_names
from grmu_audit.auditing.rows_read import names_rows_by_pseudonyms, without_record
from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evaluation.output_cache import OutputCache, cache_key
from grmu_audit.evidence import key_check, pseudonyms
from grmu_audit.metrics.catalog import check_level, not_measured_at
from grmu_audit.metrics.membership.shadow_metrics import METHOD_ATTACKS
from grmu_audit.records import (
    BASELINE,
    ROOT,
    SUPPRESSED_BELOW,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataCheckReport,
    DataRecord,
    ForgetRecord,
    GroupCount,
    ModelRef,
    NotMeasured,
    Predictions,
    suppressed,
)
from grmu_audit.records.audit import KEY_CHECK, PURGED, SHOWN_BEFORE
from grmu_audit.records.inputs import OwnRequest
from grmu_audit.records.predictions import with_shared_columns
from grmu_audit.records.white_box import PGD_SAMPLES, RETURN_EPOCHS
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.audits import shown_before
from grmu_audit.tracking.names import PREDICTIONS, QUALITY, TRAINING
from grmu_audit.tracking.registration import version_artifact
from grmu_audit.tracking.requests import Lineages, kept_outputs
from grmu_audit.utils import clock, write_atomic
from grmu_audit.utils.resources import VERSION
from grmu_audit.workflows.audits.common_rows import common_outputs
from grmu_audit.workflows.audits.request_history import past_requests
from grmu_audit.workflows.audits.shadow import ShadowOptions, ShadowResult, collect_shadows
from grmu_audit.workflows.audits.white_box import ForwardPassCount, TimeLeft, WhiteBoxCollector
from grmu_audit.workflows.erasure import erasure_summary
from grmu_audit.workflows.rows_read import records_for_bundle
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.precision import common_precision, measured_precision, recorded_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.predict import ModelOutputs
    from grmu_audit.records.white_box import WhiteBoxOutputs
    from grmu_audit.tracking.requests import StoredRequest
    from grmu_audit.workflows.audits.target import AuditTarget
    from grmu_audit.workflows.session import Session


MOST_DAYS = 3650
"""Most days until a verdict expires."""


@dataclass(frozen=True)
class AuditSettings:
    """Options of an audit, apart from model and policy."""

    references: tuple[str, ...] = ()
    """Retrained versions to compare with; empty: all of the same forget set and data, those with REWEIGHT first."""
    level: str = "quick"
    """``quick`` (predictions only), ``standard`` or ``deep``."""
    seed: int = 0
    """Seed of the attacks."""
    shadows: ShadowOptions = field(default_factory=ShadowOptions)
    """Shadow models of level deep; its budget also caps the fine-tuning of level standard, which comes first."""
    valid_days: int = 90
    """Days after which the verdict expires."""
    today: date | None = None
    """Date that waivers are judged on; None: the current day."""
    return_epochs: int = RETURN_EPOCHS
    """Epochs of fine-tuning on the retain set, levels standard and deep."""
    pgd_samples: int | None = PGD_SAMPLES
    """Test samples that PGD attacks, every group with its share, levels standard and deep; None: all."""

    def __post_init__(self) -> None:
        check_level(self.level)
        if not 1 <= self.valid_days <= MOST_DAYS:
            raise InputError(f"a verdict cannot hold for {self.valid_days} days: use 1 to {MOST_DAYS}")
        if self.return_epochs < 1:
            raise InputError(f"{self.return_epochs} epochs of fine-tuning on the retain set: use 1 or more")
        if self.pgd_samples is not None and self.pgd_samples < 1:
            raise InputError(f"PGD on {self.pgd_samples} test samples: use 1 or more, or none for all")


@dataclass(frozen=True)
class Collected:
    """What an audit is measured from."""

    inputs: AuditInputs
    """The models with everything that was collected of them."""
    context: AuditContext
    """What the audit says beside its numbers."""


def collect(session: Session, target: AuditTarget, settings: AuditSettings) -> Collected:
    """Everything that an audit of a level is measured from; what is stored or cached is not computed again.

    Raises:
        IntegrityError: a stored file is damaged or of other data.
    """
    counter, dataset = ForwardPassCount(), target.dataset
    versions = target.present
    past = past_requests(session, target.version)
    root = [target.root] if target.root and target.root.label not in target.purged else []
    ancestors = [*root, *(ref for one in past for ref in one.versions)]
    needed = {ref.label: ref for ref in (*versions, *ancestors)}
    outputs = comparable_outputs(session, list(needed.values()), dataset)
    names, stored = session.pseudonyms_of(dataset), settings.level == "quick"
    common = common_outputs(list(zip(needed.values(), outputs, strict=True)), names, target.request, stored=stored)
    tables: dict[str, Predictions] = {}
    for label, table in zip(needed, common.outputs, strict=True):
        under_request = predictions_under_request(table, common.request, dataset)
        tables[label] = with_shared_columns(under_request, next(iter(tables.values()), None))
    kept = kept_models(session, target, common.outputs[0].ids)
    left = TimeLeft(settings.shadows.budget)
    white_box = _white_box(session, target, settings, counter, left)
    histories = [_epochs(session, ref) for ref in versions]
    records = records_for_bundle(session, target.version, target.references)
    rows_read = [None if ref is target.baseline else records.get(ref.label) for ref in versions]
    parts = zip(versions, (tables[ref.label] for ref in versions), white_box, histories, rows_read, strict=True)
    models = {part[0].label: AuditedModel(*part) for part in parts}
    candidate = models[target.version.label]
    pool = replace(settings.shadows, budget=left.seconds)
    shadows = None
    if settings.level == "deep":
        shadows = ShadowResult(None, target.why_purged) if target.why_purged else collect_shadows(session, target, pool)
    record = _environment(settings) | _costs(candidate, shadows, counter) | _purged(session, target, kept)
    if target.version.key_check not in (None, check := key_check(session.key)):
        record[KEY_CHECK] = check
    record["forward_passes"] = sum(table.forward_passes for table in outputs) + counter.passes(dataset)
    inputs = AuditInputs(
        candidate=candidate,
        baseline=models.get(target.baseline.label, kept.get(target.baseline.label)) if target.baseline else None,
        references=tuple(models[ref.label] for ref in target.references),
        shadows=shadows.table if shadows else None,
        earlier=tuple(one.measured(tables) for one in past),
        own=tuple(OwnRequest(name, rows) for name, rows in target.request.parts.items()),
        root=kept.get(target.root.label) or AuditedModel(target.root, tables[target.root.label]) if target.root else None,
    )
    if not names_rows_by_pseudonyms(candidate.rows_read):  # of a retrained version of earlier: its audit follows its record
        inputs = with_model_names(inputs, target.version.name)
    left_out = _without_people(dataset) + tuple(NotMeasured("reference", reason) for reason in target.left_out)
    left_out += tuple(without_record(ref) for ref in target.references if ref.label not in records)
    left_out += (NotMeasured("root", target.without_root),) if target.without_root else ()
    left_out += tuple(NotMeasured(f"rows of {label} other than test rows", why) for label, why in target.purged.items())
    without = _without_shadows(shadows) if shadows else ()
    missing = (*not_measured_at(settings.level), *left_out, *without, *common.not_measured)
    return Collected(inputs, _context(session, target, missing, record))


def kept_models(session: Session, target: AuditTarget, rows: npt.NDArray[np.str_]) -> dict[str, AuditedModel]:
    """The baseline and the root of a lineage where they were purged, with the outputs that stayed, by label.

    Args:
        session: store.
        target: what is audited.
        rows: pseudonyms of the rows that all other models have outputs of.

    Raises:
        InconclusiveError: nothing that can be compared stayed.
        IntegrityError: what stayed is not what the ledger names.
    """
    from grmu_audit.evaluation.predict import from_parquet

    request, found = replace(target.request, pseudonyms=frozenset()), dict[str, AuditedModel]()  # only test rows are kept
    for ref in [ref for ref in (target.baseline, target.root) if ref is not None and ref.label in target.purged]:
        content = kept_outputs(session.store, read_ledger(session.store, ref.name), ref.version)
        outputs = from_parquet(content) if content is not None else None
        outputs = outputs.only(np.isin(outputs.ids, rows)) if outputs is not None else None
        if outputs is None or not len(outputs.ids):
            raise InconclusiveError(
                f"nothing that can be compared is left of {ref.label} ({target.purged[ref.label]}): retrain from it,"
                " and audit that version"
            )
        table = predictions_under_request(outputs, request, target.dataset)
        found[ref.label] = AuditedModel(ref, table, purged=target.purged[ref.label])
    return found


def _purged(session: Session, target: AuditTarget, kept: Mapping[str, AuditedModel]) -> dict[str, Any]:
    """The roles of purged versions, and the audit that showed forgetting before the baseline was purged, for the record."""
    roles = {str(BASELINE): target.baseline, str(ROOT): target.root}
    found = {role: kept[ref.label].purged for role, ref in roles.items() if ref is not None and ref.label in kept}
    ref, baseline = target.version, target.baseline
    shown = shown_before(session.store, read_ledger(session.store, ref.name), ref, baseline.version) if baseline else ""
    return ({PURGED: found} if found else {}) | ({SHOWN_BEFORE: shown} if str(BASELINE) in found and shown else {})


def _without_people(dataset: Dataset) -> tuple[NotMeasured, ...]:
    """Why fairness between people is not measured on data without an attribute; empty for other data."""
    if len(dataset.header.attribute_names) > 1:
        return ()
    reason = (
        "the data has no attribute of people, so that its groups are the classes: add labels ('data import --attribute-file', or "
        "the dataset's option attribute_file) and register a model on them"
    )
    return (NotMeasured("fairness between people", reason),)


def _white_box(
    session: Session, target: AuditTarget, settings: AuditSettings, counter: ForwardPassCount, left: TimeLeft
) -> list[WhiteBoxOutputs | None]:
    """What needs the networks themselves, of every version; None at level quick."""
    versions = target.present
    if settings.level == "quick":
        return [None] * len(versions)
    before = target.baseline if target.baseline in versions else None
    collector = WhiteBoxCollector(
        session, target.dataset, target.request, settings.seed, counter, before, settings.return_epochs, left,
        common_precision(versions), settings.pgd_samples, target.baseline,
    )  # fmt: skip
    collector.note_cost(versions)
    return [collector.collect(ref, settings.level) for ref in versions]


def _costs(candidate: AuditedModel, shadows: ShadowResult | None, counter: ForwardPassCount) -> dict[str, Any]:
    """How the levels beyond predictions were collected, for the record; samples of shadow models are added to the counter."""
    found: dict[str, Any] = {}
    if shadows is not None:
        counter.samples += shadows.samples
        found["shadow"] = shadows.facts
    if candidate.white_box is not None:
        found |= {"measured": dict(candidate.white_box.settings), "evaluations": counter.samples}
    return found


def _context(
    session: Session, target: AuditTarget, not_measured: tuple[NotMeasured, ...], record: dict[str, Any]
) -> AuditContext:
    version, request = target.version, target.request
    fields = {**request.provenance, **erasure_summary(session.store, version)}
    if found := [one.title for one in Lineages(session.store).reversed_by(version)]:
        fields["reversed"] = found
    if count := len(request.withheld):
        fields["withheld"] = f"fewer than {SUPPRESSED_BELOW}" if suppressed(count) else count
    return AuditContext(
        data=data_record(target.dataset, request.groups),
        forget=ForgetRecord(len(request.pseudonyms), request.digest, request.dominant_groups, fields),
        data_quality=_quality(session, version),
        not_measured=not_measured,
        record=record,
        exact=target.exact,
    )


def _without_shadows(found: ShadowResult) -> tuple[NotMeasured, ...]:
    """What cannot be measured because shadow models, or the method on them, are missing."""
    if found.table is None:
        return (NotMeasured("shadow models", found.why),)
    return tuple(NotMeasured(name, found.why) for name in METHOD_ATTACKS) if found.table.unlearned is None else ()


def comparable_outputs(session: Session, refs: Sequence[ModelRef], dataset: Dataset) -> list[ModelOutputs]:
    """Outputs of versions in one precision: those that are stored in another one are computed again and cached.

    Where rows were deleted since, what is stored is all there is, and is taken as it is.

    Raises:
        IntegrityError: see ``stored_or_new_outputs``.
    """
    common = common_precision(refs)
    others = [ref for ref in refs if recorded_precision(ref) != common and not dataset.deleted]
    found: list[ModelOutputs] = []
    for ref in refs:
        outputs = stored_or_new_outputs(session, ref, dataset, common if ref in others else None)
        found.append(with_shared_columns(outputs, found[0] if found else None))
    return found


def stored_or_new_outputs(session: Session, ref: ModelRef, dataset: Dataset, precision: str | None = None) -> ModelOutputs:
    """Stored predictions of a version, or one forward pass where there are none under the operator's present key.

    Args:
        session: store, key, device.
        ref: the version.
        dataset: its data.
        precision: compute them in this one, whatever is stored; None: what is stored, else in the recorded one.

    Raises:
        IntegrityError: stored predictions are damaged, or not those that were there at registration.
    """
    from grmu_audit.evaluation.predict import from_parquet

    readable = precision is None and session.has_key_of(ref)
    stored = version_artifact(session.store, ref, PREDICTIONS) if readable else None
    return _cached_outputs(session, ref, dataset, precision) if stored is None else from_parquet(stored)


def _cached_outputs(session: Session, ref: ModelRef, dataset: Dataset, precision: str | None) -> ModelOutputs:
    """The forward pass of a version that came without one: computed once and cached, under the operator's pseudonyms."""
    from grmu_audit.evaluation.predict import from_parquet, to_parquet

    cache, key_mark = OutputCache(session.root / "measured"), pseudonyms(session.key, ["predictions"])[0]
    made_from = {"kind": "predictions", "model": ref.manifest_sha256, "data": dataset.digest, "names": key_mark}
    key = cache_key(made_from if precision is None else {**made_from, "precision": precision})
    path = cache.path(key, "parquet")
    if path.is_file():
        return from_parquet(path.read_bytes())
    outputs = new_outputs(session, ref, dataset, precision)
    write_atomic(path, to_parquet(outputs), mode=0o600)
    return outputs


def new_outputs(session: Session, ref: ModelRef, dataset: Dataset, precision: str | None = None) -> ModelOutputs:
    """One forward pass of a version under the operator's present key; nothing is stored.

    Args:
        session: store, key, device.
        ref: the version.
        dataset: its data.
        precision: compute them in this one; None: in the recorded one.
    """
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.evaluation.predict import predict_all
    from grmu_audit.training.calibration import Job
    from grmu_audit.training.runtime import Inference

    runtime = session.runtime(0)
    model = load_network(session, ref, runtime.device)
    measured_precision(session, runtime, model, Job(len(dataset)), ref)
    if precision is not None or session.precision != "auto":  # outputs in the caller's precision would not be comparable
        runtime.inference = Inference(precision or recorded_precision(ref))
    return predict_all(model, BatchSource(dataset, runtime.device), runtime, session.pseudonyms_of(dataset))


def predictions_under_request(outputs: ModelOutputs, request: StoredRequest, dataset: Dataset) -> Predictions:
    """A version's predictions under a request."""
    from grmu_audit.evaluation.predict import apply_request

    names = dataset.header.class_names, dataset.header.attribute_names
    return apply_request(outputs, request.pseudonyms, *names, request.withheld)


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
        kind=header.kind,
    )


def _quality(session: Session, ref: ModelRef) -> DataCheckReport | None:
    from pydantic import TypeAdapter, ValidationError

    data = version_artifact(session.store, ref, QUALITY)
    try:
        return TypeAdapter(DataCheckReport).validate_json(data) if data else None
    except ValidationError as error:
        raise IntegrityError(f"{QUALITY} of {ref.label} is damaged: {error.error_count()} defects") from None


def _epochs(session: Session, ref: ModelRef) -> tuple[dict[str, float], ...]:
    """What each training epoch logged; empty for a version without a stored history."""
    data = version_artifact(session.store, ref, TRAINING)
    try:
        rows = json.loads(data) if data else []
        return tuple({str(key): float(value) for key, value in row.items()} for row in rows)
    except (ValueError, TypeError, AttributeError):
        raise IntegrityError(f"{TRAINING} of {ref.label} is damaged") from None


def _environment(settings: AuditSettings) -> dict[str, Any]:
    """Dates, versions and settings, for the record."""
    import platform
    from importlib.metadata import version

    created = clock.utc_now()
    expires = datetime.fromisoformat(created) + timedelta(days=settings.valid_days)
    libraries = ("numpy", "scipy", "scikit-learn", "torch", "mlflow", "great-expectations")
    return {
        "tool": f"grmu-audit {VERSION}",
        "libraries": {name: version(name) for name in libraries},
        "python": platform.python_version(),
        "created": created,
        "expires": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "attack_seed": settings.seed,
        "level": settings.level,
    }
