"""What an audit is measured from: stored predictions, white-box outputs and shadow models of every model in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from grmu_audit import __version__
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evaluation.output_cache import OutputCache, cache_key
from grmu_audit.evidence import pseudonyms
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.metrics.checked_predictions import Facts, align, facts
from grmu_audit.metrics.measure import _correlation, _white_box_values
from grmu_audit.metrics.membership.shadow_metrics import OF_METHOD, attack_method, attack_model
from grmu_audit.records import DataCheckReport, DataRecord, Group, GroupCount, MetricValue, ModelRef, NotMeasured, Predictions
from grmu_audit.tracking.names import PREDICTIONS, QUALITY, TRAINING
from grmu_audit.utils import clock, write_atomic
from grmu_audit.workflows.audits.shadow import shadow_table
from grmu_audit.workflows.audits.white_box import probes_of
from grmu_audit.workflows.forget_requests import StoredRequest
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.network import load_network

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.evaluation.predict import ModelOutputs
    from grmu_audit.workflows.audits.white_box import Setting


@dataclass(frozen=True)
class Depth:
    """What a level adds to an audit."""

    values: tuple[MetricValue, ...] = ()
    """Values of all sides and their changes."""
    not_measured: tuple[NotMeasured, ...] = ()
    """What could not be measured."""
    record: dict[str, Any] = field(default_factory=dict)
    """How it was measured."""


def deepen(
    setting: Setting,
    sides: Mapping[str, tuple[ModelRef, Predictions]],
    level: str,
    *,
    dominant: tuple[Group, ...],
    confidence: float,
    positive_class: int,
) -> Depth:
    """Values of every side that need the models, and their changes.

    Args:
        setting: what the models have in common.
        sides: ``candidate``, ``baseline``, ``reference#1``... to version and predictions, the candidate first.
        level: of ``levels.LEVELS``; ``quick`` adds nothing.
        dominant: group(s) that give the forget set.
        confidence: coverage of each interval taken alone.
        positive_class: the positive class of a two-class task.
    """
    if level == "quick":
        return Depth()
    first = sides["candidate"][1]
    known = {
        name: facts(align(first, table), dominant=dominant, seed=setting.seed, positive_class=positive_class)
        for name, (_, table) in sides.items()
    }
    probes = {name: probes_of(setting, ref, level) for name, (ref, _) in sides.items()}
    values = list(_white_box_values(known, probes, _reference_names(sides), level, confidence))
    record = {"measured": dict(probes["candidate"].facts), "gap_against_robustness": _correlation(values)}
    missing: tuple[NotMeasured, ...] = ()
    if level == "deep":
        found = _shadows(setting, sides["candidate"][0], known, confidence)
        values, missing, record = [*values, *found.values], found.not_measured, {**record, **found.record}
    units = [replace(value, unit=BUILT_IN[value.name].unit) for value in values]
    return Depth(tuple(units), missing, {**record, "evaluations": setting.asked.evaluations})


def _shadows(setting: Setting, ref: ModelRef, known: Mapping[str, Facts], confidence: float) -> Depth:
    """What the shadow models find of every side, and of the method."""
    found = shadow_table(setting.session, ref, setting.dataset, setting.forget, setting.forget_digest, setting.shadows)
    setting.asked.evaluations += found.evaluations
    if found.table is None:
        return Depth((), (NotMeasured("shadow models", found.why),), {"shadow": found.facts})
    values = [v for name, f in known.items() for v in attack_model(f, found.table, subject=name, confidence=confidence)]
    missing: tuple[NotMeasured, ...] = ()
    if found.table.unlearned is None:
        missing = tuple(NotMeasured(name, found.why) for name in OF_METHOD)
    else:
        values += attack_method(known["candidate"], found.table, subject="candidate", confidence=confidence)
    return Depth(tuple(values), missing, {"shadow": found.facts})


def _reference_names(sides: Mapping[str, tuple[ModelRef, Predictions]]) -> list[str]:
    """Names of the references, those with REWEIGHT first."""
    names = [name for name in sides if name.startswith("reference#")]
    return sorted(names, key=lambda name: not sides[name][0].reweight)


def _names(count: int, has_baseline: bool) -> list[str]:
    """Subject names of the sides of an audit, in order."""
    names = ["candidate", *(["baseline"] if has_baseline else [])]
    return names + [f"reference#{i + 1}" for i in range(count - len(names))]


def outputs_of(session: Session, ref: ModelRef, dataset: Dataset) -> ModelOutputs:
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


def _kept_forward(session: Session, ref: ModelRef, dataset: Dataset) -> ModelOutputs:
    """The forward pass of a version that came without one: made once and kept, under the operator's pseudonyms."""
    from grmu_audit.evaluation.predict import from_parquet, to_parquet

    shelf, mark = OutputCache(session.root / "measured"), pseudonyms(session.key, ["predictions"])[0]
    key = cache_key({"kind": "predictions", "model": ref.manifest_sha256, "data": dataset.digest, "names": mark})
    path = shelf.path(key, "parquet")
    if path.is_file():
        return from_parquet(path.read_bytes())
    outputs = _forward(session, ref, dataset)
    write_atomic(path, to_parquet(outputs), mode=0o600)
    return outputs


def _forward(session: Session, ref: ModelRef, dataset: Dataset) -> ModelOutputs:
    from grmu_audit.data.batches import BatchSource

    runtime = session.runtime(0)
    model = load_network(session, ref, runtime.device)
    return forward(model, BatchSource(dataset, runtime.device), runtime, pseudonyms(session.key, dataset.frame["id"].tolist()))


def predictions_of(outputs: ModelOutputs, request: StoredRequest, dataset: Dataset) -> Predictions:
    """A version's predictions under a request."""

    return with_request(outputs, request.pseudonyms, dataset.header.class_names, dataset.header.attribute_names)


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

    created = clock.now()
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
