"""The job that measures one model of a suite as an audit would, against several retrained models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grmu_audit.auditing.measurement import measure
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.records import (
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    ForgetRecord,
    MeasureOptions,
    ModelRef,
    reference,
)
from grmu_audit.records.benchmark import TABLE_METRICS
from grmu_audit.utils import canonical_json
from grmu_audit.utils.array_files import unpack_arrays
from grmu_audit.workflows.benchmarks.models import Problem, open_problem, read_model
from grmu_audit.workflows.benchmarks.plan import job_of, sampling_of

if TYPE_CHECKING:
    from grmu_audit.records import Predictions

METRICS = (
    *TABLE_METRICS,
    "AVG_GAP",
    "TOW",
    "FORGET_SHARE",
    "MIA_AUC",
    "MIA",
    "RETAIN_AUC",
    "DELETION_AUC",
    "WG",
    "DP",
    "EP",
    "VA",
)
"""What is kept of an audit."""


def run_row_job(job: Job, folder: JobFolder) -> bytes:
    """Measure a model: ``values``, ``deltas``, ``missing``, ``references`` (means over the retrained models), and its facts."""
    given = job.arguments
    problem, model = open_problem(given), job_of(given["model"])
    content = folder.result(model)
    facts, arrays = unpack_arrays(content) if content is not None else read_model(model, folder)
    header = problem.dataset.header
    about = {"data": header.name, "dataset_sha256": problem.dataset.digest, "classes": list(header.class_names)}
    found: dict[str, Any] = {"values": {}, "deltas": {}, "missing": {}, "references": {}, "model": facts, "facts": about}
    if facts["diverged"]:
        return canonical_json(found)
    before, *others = (read_model(job_of(tree), folder)[1]["logits"] for tree in (given["before"], *given["references"]))
    request = given["request"]
    tables = [problem.predictions(logits, request) for logits in (arrays["logits"], before, *others)]
    audit = _audit(tables, problem, request, given["gap_variant"])
    return canonical_json({**found, **_numbers(audit, len(others))})


def _audit(tables: list[Predictions], problem: Problem, request: Mapping[str, Any], variant: str) -> Audit:
    """The audit of the first model, before which the second was; the others are references."""
    from grmu_audit.data.forget.sampling import sampled_groups

    header = problem.dataset.header
    plain, weighted = ModelRef("benchmark", "1"), ModelRef("benchmark", "1", reweight=True)
    candidate, before, *others = tables
    references = tuple(AuditedModel(weighted, other) for other in others)
    groups = sampled_groups(sampling_of(request), header)
    forget = ForgetRecord(int(candidate.mask("forget").sum()), "", groups)
    positive = header.positive_class if len(header.class_names) == 2 else 1
    options = MeasureOptions(gap_variant=variant, positive_class=positive)
    inputs = AuditInputs(AuditedModel(plain, candidate), AuditedModel(plain, before), references)
    return measure(inputs, AuditContext(DataRecord("benchmark", {}), forget), options)


def _numbers(audit: Audit, count: int) -> dict[str, Any]:
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name in METRICS:
        found = audit.metric(name)
        if found is None or found.value is None:
            missing[name] = (found.why_missing if found else None) or "not measured"
        else:
            values[name] = found.value
    references = {name: [_value(audit, name, number) for number in range(1, count + 1)] for name in METRICS}
    known = {name: [one for one in found if one is not None] for name, found in references.items()}
    whole = {name: found for name, found in known.items() if len(found) == count}
    return {
        "values": values,
        "missing": missing,
        "deltas": {name: sum(abs(values[name] - one) for one in whole[name]) / count for name in values if name in whole},
        "references": {name: sum(found) / count for name, found in whole.items()},
    }


def _value(audit: Audit, name: str, number: int) -> float | None:
    found = audit.metric(name, reference(number))
    return found.value if found is not None else None
