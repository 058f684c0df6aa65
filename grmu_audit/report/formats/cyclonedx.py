"""A machine-learning bill of materials, CycloneDX 1.6: model, data, metrics with slices and intervals, fairness.

The document is made and validated with cyclonedx-python-lib (the extra ``grmu-audit[bom]``).  That library has no model card yet,
which is put into its document before the whole is validated against the published schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.records import CANDIDATE, Audit, MetricValue, suppressed
from grmu_audit.report.content.lookup import Lookup, model_label
from grmu_audit.report.content.view import build_view
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.resources import VERSION

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom

_MODEL, _DATA = "model", "data"
FAIRNESS = ("WG", "EO", "DP", "EP", "IMPACT_RATIO", "PREDICTIVE_PARITY", "CALIBRATION_GAP", *CONDITIONAL)
"""Metrics that the fairness assessment names."""


def render_cyclonedx(audit: Audit) -> str:
    """The audit as a CycloneDX 1.6 document; the same bytes for the same audit.

    Numbers are those of ``audit.json``, as decimal text; values that rest on fewer people than may be counted are left out.

    Raises:
        EnvironmentFailure: cyclonedx-python-lib is not installed.
        InputError: the document would not be valid; the message is the validator's.
    """
    found = Lookup.of(audit)
    try:
        from cyclonedx.output.json import JsonV1Dot6
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        tree = json.loads(JsonV1Dot6(_document(found)).output_as_string())
        validator = JsonStrictValidator(SchemaVersion.V1_6)
    except ImportError as error:
        raise EnvironmentFailure(f"the bill of materials needs cyclonedx-python-lib: install grmu-audit[bom] ({error})") from None
    model = tree["metadata"]["component"]
    model["modelCard"] = _card(found)
    text = json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    defect = validator.validate_str(text)
    if defect is not None:
        raise InputError(f"the bill of materials of {model_label(audit.subject)} is not valid: {str(defect.data)[:300]}")
    return text


def _document(found: Lookup) -> Bom:
    """Metadata and components, without the model card."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType

    audit, subject = found.audit, found.audit.subject
    digest = subject.manifest_sha256
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=safe_name(subject.name),
        version=subject.version or None,
        bom_ref=_MODEL,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
        properties=[Property(name=f"grmu-audit:{name}", value=value) for name, value in _facts(found)],
    )
    data = Component(type=ComponentType.DATA, name=safe_name(audit.data.name) or "data", bom_ref=_DATA)
    tool = Component(type=ComponentType.APPLICATION, name="grmu-audit", version=VERSION, bom_ref="tool")
    identity = uuid5(NAMESPACE_URL, f"urn:grmu-audit:audit:{sha256_hex(canonical_json(audit.to_json()))}")
    bom = Bom(serial_number=identity, components=[data], metadata=BomMetaData(component=model, timestamp=_created(audit)))
    bom.metadata.tools.components.add(tool)
    bom.register_dependency(model, [data])
    return bom


def _created(audit: Audit) -> datetime:
    try:
        return datetime.fromisoformat(str(audit.record["created"])).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def _facts(found: Lookup) -> Iterator[tuple[str, str]]:
    """Verdict, policy, method and lineage as properties."""
    audit, view = found.audit, build_view(found.audit)
    yield "verdict", view["word"]
    yield "verdict-reason", safe_sentence(audit.verdict.reason) if audit.verdict else ""
    if audit.verdict is not None:
        yield "policy", safe_name(audit.verdict.policy_label)
        yield "policy-sha256", audit.verdict.policy_sha256
    yield "report-id", view["report_id"]
    yield "forgotten", view["forgetting"]["answer"]
    yield "exact-evidence", "verified" if audit.exactly_verified else "none"
    for name in ("role", "method", "parent", "data_digest"):
        value = getattr(audit.subject, name)
        if value:
            yield name.replace("_", "-"), safe_name(str(value))


def _card(found: Lookup) -> dict[str, Any]:
    audit, subject = found.audit, found.audit.subject
    architecture = safe_name(subject.architecture or "")
    parameters: dict[str, Any] = {"approach": {"type": "supervised"}, "task": "classification", "datasets": [_data(found)]}
    if architecture:
        parameters["modelArchitecture"] = architecture
    shown = [value for value in audit.metrics if value.subject == CANDIDATE and _is_shown(value, found)]
    return {
        "bom-ref": "model-card",
        "modelParameters": parameters,
        "quantitativeAnalysis": {"performanceMetrics": [_metric(value, found) for value in shown]},
        "considerations": _considerations(found, shown),
        "properties": [
            {"name": "grmu-audit:not-measured", "value": safe_sentence(f"{n.name}: {n.reason}")} for n in audit.not_measured
        ],
    }


def _data(found: Lookup) -> dict[str, Any]:
    """The dataset with its digests and the sizes of its splits."""
    data = found.audit.data
    sizes = {part: found.count_text(part, count, "") for part, count in data.splits.items()}
    properties = [{"name": f"grmu-audit:samples:{part}", "value": text} for part, text in sorted(sizes.items()) if text]
    digest = found.audit.subject.data_digest
    digests = [{"name": "grmu-audit:sha256", "value": digest}] if digest else []
    return {"type": "dataset", "name": safe_name(data.name) or "data", "contents": {"properties": [*digests, *properties]}}


def _is_shown(value: MetricValue, found: Lookup) -> bool:
    """Whether a value is there and rests on enough people to be given away."""
    part = CATALOG[value.name].part if value.name in CATALOG else "forget"
    return value.value is not None and not suppressed(value.n) and not suppressed(value.cell_size) and found.counts_tell(part)


def _metric(value: MetricValue, found: Lookup) -> dict[str, Any]:
    """One value with its slice and interval, as decimal text that reads back to the very numbers of the audit."""
    part = CATALOG[value.name].part if value.name in CATALOG else "all"
    where = f"{part}; group {found.group_name(value.group)}" if value.group is not None else part
    metric: dict[str, Any] = {"type": value.name, "value": json.dumps(value.value), "slice": where}
    if value.interval is not None:
        low, high = value.interval
        metric["confidenceInterval"] = {"lowerBound": json.dumps(low), "upperBound": json.dumps(high)}
    return metric


def _considerations(found: Lookup, shown: list[MetricValue]) -> dict[str, Any]:
    """What each number hides, what the verdict says of risks, and the groups at risk."""
    audit = found.audit
    whole = [value.name for value in shown if value.group is None]
    limits = [f"{name}: {metric_words(name).hides}" for name in dict.fromkeys(whole) if metric_words(name).hides]
    risks = [
        {"name": safe_sentence(f"{rule.id}: {rule.decision.value}. {rule.reason}")}
        for rule in (audit.verdict.rules if audit.verdict else ())
        if rule.applied and not numbers.is_suppressed(rule)
    ]
    return {
        "technicalLimitations": limits,
        "ethicalConsiderations": risks,
        "fairnessAssessments": [*_groups_at_risk(found, shown), *_gaps(shown)],
    }


def _groups_at_risk(found: Lookup, shown: list[MetricValue]) -> Iterator[dict[str, str]]:
    """The groups that most of the forget set comes from, with their test accuracy."""
    for group in found.audit.forget.dominant_groups:
        value = next((v for v in shown if v.name == "accuracy" and v.group == group), None)
        if value is not None:
            yield {"groupAtRisk": found.group_name(group), "harms": f"test accuracy {_words(value)}"}


def _gaps(shown: list[MetricValue]) -> Iterator[dict[str, str]]:
    for value in shown:
        if value.name in FAIRNESS and value.group is None:
            yield {"groupAtRisk": "all groups", "harms": f"{metric_words(value.name).title} ({value.name}): {_words(value)}"}


def _words(value: MetricValue) -> str:
    between = f" ({value.interval[0]:.3f} to {value.interval[1]:.3f})" if value.interval else ""
    return f"{value.value:.3f}{between}, n = {value.n}"
