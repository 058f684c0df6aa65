"""Computing a verdict again from what was stored with it, and naming every number that comes out otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from grmu_audit.auditing.later_parts import LATER_PARTS, part_findings, part_notes, unmeasured_names
from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.rows_read import record_file, rows_read_defect, without_record
from grmu_audit.auditing.stored_predictions import predictions_sha256, stored_inputs
from grmu_audit.errors import GrmuAuditError
from grmu_audit.metrics.catalog import BUILT_IN, Level
from grmu_audit.metrics.forgetting.sequence import NAME as SEQUENCE
from grmu_audit.metrics.forgetting.share import NAME as SHARE
from grmu_audit.metrics.membership.attacks import FORESTS
from grmu_audit.policy import Policy
from grmu_audit.policy.judgement import judge
from grmu_audit.records import (
    AUDIT_SCHEMA,
    CANDIDATE,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    Control,
    ControlOutcome,
    MetricValue,
    Subject,
    reference,
)
from grmu_audit.records.audit import KEY_CHECK, PURGED, SHOWN_BEFORE
from grmu_audit.utils.resources import VERSION

TOLERANCE = 1e-6
"""How far a number computed again may be from the recorded one: other libraries add up in another order."""


@dataclass(frozen=True)
class Recomputed:
    """Result of the recomputation."""

    findings: tuple[str, ...] = ()
    """Differences."""
    notes: tuple[str, ...] = ()
    """Values that could not be compared, and why they are not differences."""
    compared: int = 0
    """Numbers that were computed again."""


def recompute(audit: Audit, policy: Policy, files: Mapping[str, bytes]) -> Recomputed:
    """Every metric and every rule again, from the stored predictions.

    Args:
        audit: the recorded facts and verdict.
        policy: the policy as judged.
        files: the stored tables and records by name.
    """
    carried = tuple(value for value in audit.metrics if _needs_more_than_tables(value))
    try:
        inputs, created = stored_inputs(audit, files), str(audit.record["created"])
        record = {"created": created, "level": audit.record.get("level"), PURGED: audit.purged, SHOWN_BEFORE: audit.shown_before}
        context = AuditContext(audit.data, audit.forget, audit.data_quality, audit.not_measured, record, audit.exact, carried)
        measured = _as_recorded(measure(inputs, context, audit.options), audit, carried)
        again = judge(measured, policy, datetime.fromisoformat(created).date())
    except (GrmuAuditError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, GrmuAuditError) else f"{type(error).__name__}: {error}"
        return Recomputed((f"the verdict cannot be computed from the predictions: {why[:300]}",))
    numbers, notes = _numbers(audit, again)
    if carried:
        names = ", ".join(sorted({value.name for value in carried}))
        notes.append(f"{names} were measured with the models themselves and are taken over as recorded")
    findings = [f"predictions of {name} are not those that were audited" for name in _differing(audit, inputs)]
    findings += [*numbers, *rule_findings(audit, again)]
    if audit.schema == AUDIT_SCHEMA:
        findings += [*statement_findings(audit, again), *_exact(audit, inputs), *control_findings(audit, again)]
        findings += [*_segments(audit, again), *part_findings(audit)]
        notes += [*_not_compared(audit, inputs), *part_notes(audit)]
    return Recomputed(tuple(findings), tuple(notes), len(again.metrics) - len(carried))


def _needs_more_than_tables(value: MetricValue) -> bool:
    """Whether a value rests on the networks, or on versions whose predictions are not stored with the audit."""
    if value.name == SEQUENCE:
        listed = value.details.get("requests")
        return isinstance(listed, list) and len(listed) > 1
    return value.name in BUILT_IN and BUILT_IN[value.name].level is not Level.QUICK


_LATER = (SHARE, SEQUENCE, "DELETION_AUC", *(name for names in LATER_PARTS.values() for name in names))
"""Metrics of stored predictions that audits of the earlier schema do not hold."""


def _as_recorded(measured: Audit, audit: Audit, carried: tuple[MetricValue, ...]) -> Audit:
    """What the recorded audit can have measured: nothing that is carried over, and of an earlier schema no later metric."""
    left_out = {value.name for value in carried} & {SEQUENCE}
    if audit.schema == AUDIT_SCHEMA:
        left_out |= unmeasured_names(audit)
        fresh = tuple(v for v in measured.metrics if v.name not in left_out or any(v is value for value in carried))
        return replace(measured, metrics=fresh, controls=_controls_without(measured, left_out))
    known = tuple(value for value in measured.metrics if value.name not in _LATER)
    return replace(measured, metrics=known, controls=(), unchanged=False, schema=audit.schema)


def _controls_without(audit: Audit, names: Collection[str]) -> tuple[Control, ...]:
    """The controls without some metrics, which came to the tool after the audit."""
    return tuple(
        replace(control, values=tuple(value for value in control.values if value.name not in names)) for control in audit.controls
    )


def _numbers(audit: Audit, again: Audit) -> tuple[list[str], list[str]]:
    """Findings and notes, metric by metric; the values of controls too."""
    recorded, computed = values_by_key(audit), values_by_key(again)
    findings = [f"{name_of_key(key)} is recorded, but the predictions do not give it" for key in recorded if key not in computed]
    findings += [
        f"{name_of_key(key)} follows from the predictions, but is not recorded" for key in computed if key not in recorded
    ]
    other = _other_library(audit)
    notes: list[str] = []
    for key in recorded.keys() & computed.keys():
        defect = next(value_differences(recorded[key], computed[key]), None)
        if defect is not None and other and recorded[key].name in (*FORESTS, "AVG_GAP"):
            notes.append(f"{name_of_key(key)}: {defect}; it rests on a random forest, and {other}")
        elif defect is not None:
            findings.append(f"{name_of_key(key)}: {defect}")
    return sorted(findings), sorted(notes)


def values_by_key(audit: Audit) -> dict[tuple[str, ...], MetricValue]:
    """Every value of the audit and of its controls, by name, subject, group and control (empty: the audit's own)."""
    found: dict[tuple[str, ...], MetricValue] = {(*_key(value), ""): value for value in audit.metrics}
    for control in audit.controls:
        found |= {(*_key(value), f"of control {control.name!r}"): value for value in control.values}
    return found


def _key(value: MetricValue) -> tuple[str, str, str]:
    return value.name, str(value.subject), str(value.group or "")


def name_of_key(key: tuple[str, ...]) -> str:
    """A key of ``values_by_key`` in words."""
    return " ".join(part for part in key if part)


def value_differences(recorded: MetricValue, computed: MetricValue) -> Iterator[str]:
    """How a number computed again differs from the recorded one: value, interval, sufficient statistic, counts."""
    if not is_close(recorded.value, computed.value):
        yield f"recorded {recorded.value}, computed again {computed.value}"
    if not is_close(recorded.interval, computed.interval):
        yield f"recorded interval {recorded.interval}, computed again {computed.interval}"
    if not is_close(*(value.statistic and value.statistic.to_json() for value in (recorded, computed))):
        yield "the recorded sufficient statistic is not what the predictions give"
    for name in ("n", "incomplete", "smallest_cell"):
        one, other = getattr(recorded, name), getattr(computed, name)
        if one != other:
            yield f"recorded {name} = {one}, computed again {other}"


def is_close(one: Any, other: Any) -> bool:
    """Equal up to the tolerance, whatever the containers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(is_close(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= TOLERANCE * max(1.0, abs(one))
    return bool(one == other)


def _other_library(audit: Audit) -> str:
    """How this machine's random forest differs from the audit's; empty if it does not."""
    made = audit.record.get("libraries")
    recorded = made.get("scikit-learn") if isinstance(made, dict) else None
    try:
        here = version("scikit-learn")
    except PackageNotFoundError:
        here = "unknown"
    return "" if recorded in (None, here) else f"the audit used scikit-learn {recorded}, this machine has {here}"


def rule_findings(audit: Audit, again: Audit) -> list[str]:
    """Rules, and the verdict, that were decided otherwise than recorded."""
    if audit.verdict is None or again.verdict is None:
        return ["the audit has no verdict"]
    recorded, computed = audit.verdict, again.verdict
    findings = []
    if recorded.decision is not computed.decision:
        findings.append(f"the verdict is recorded as {recorded.decision}, computed again it is {computed.decision}")
    if [rule.id for rule in recorded.rules] != [rule.id for rule in computed.rules]:
        return [*findings, "the verdict does not hold the rules of the policy"]
    for one, other in zip(recorded.rules, computed.rules, strict=True):
        if (one.decision, one.severity, one.waived, one.applied) != (other.decision, other.severity, other.waived, other.applied):
            findings.append(f"rule {one.id} is recorded as {one.decision}, computed again it is {other.decision}")
    return findings


def statement_findings(audit: Audit, again: Audit) -> list[str]:
    """What is said beside the decisions: the reason, what the policy claims, and the numbers and reasons of every rule."""
    recorded, computed = audit.verdict, again.verdict
    if recorded is None or computed is None:
        return []
    findings = []
    for name in ("reason", "claims_forgetting", "null_control_accepted"):
        one, other = getattr(recorded, name), getattr(computed, name)
        if one != other:
            findings.append(f"{name} of the verdict is recorded as {one!r}, computed again it is {other!r}")
    library = _other_library(audit)
    for rule, expected in zip(recorded.rules, computed.rules, strict=False):
        forest = bool(library) and rule.metric in (*FORESTS, "AVG_GAP")
        for name in ("metric", "compare", "bound", "n", "group", "why") + (() if forest else ("observed", "interval", "reason")):
            one, other = getattr(rule, name), getattr(expected, name)
            if not is_close(one, other):
                findings.append(f"{name} of rule {rule.id} is recorded as {one}, computed again it is {other}")
    return findings


def _exact(audit: Audit, inputs: AuditInputs) -> Iterator[str]:
    """Where exact evidence is recorded and the records of the rows that were read do not show it, or the other way round."""
    retrained = audit.subject.role == "retrain"
    if retrained != (audit.exact is not None):
        yield f"exact evidence is {'not ' if retrained else ''}recorded for a version of role {audit.subject.role!r}"
        return
    table = inputs.candidate.predictions
    forget, rows = table.mask("forget"), int((table.mask("retain") | table.mask("forget")).sum())
    for subject, model in _never_read(audit, inputs).items():
        if model.rows_read is None and _stored_without_record(audit, subject, model):
            continue
        forgotten = int(forget.sum()) if _of_earlier_key(audit, model) else table.ids[forget].tolist()
        if defect := rows_read_defect(model.rows_read, model.ref, rows, forgotten):
            claim = "exact evidence is recorded as verified" if subject == CANDIDATE else f"{subject} is recorded as a reference"
            missing = f"there is no {record_file(subject)}: audit the version again, then export"
            yield f"{claim}, but {missing if model.rows_read is None else defect}"


def _never_read(audit: Audit, inputs: AuditInputs) -> dict[Subject, AuditedModel]:
    """The models of which the audit says that they never read the forget set: the references, and a candidate with evidence."""
    references = {reference(number): model for number, model in enumerate(inputs.references, 1)}
    return {CANDIDATE: inputs.candidate, **references} if audit.exactly_verified else references


def _stored_without_record(audit: Audit, subject: Subject, model: AuditedModel) -> bool:
    """Whether the audit was stored without the record of a reference: it says so, or another version of this tool made it."""
    earlier = audit.record.get("tool") != f"grmu-audit {VERSION}"
    return subject != CANDIDATE and (earlier or without_record(model.ref) in audit.not_measured)


def _of_earlier_key(audit: Audit, model: AuditedModel) -> bool:
    """Whether a model was trained before the operator's key was replaced, so that its record calls rows by other names."""
    check = audit.record.get(KEY_CHECK, audit.subject.key_check)
    return None not in (check, model.ref.key_check) and check != model.ref.key_check


def _not_compared(audit: Audit, inputs: AuditInputs) -> Iterator[str]:
    """What of exact evidence cannot be compared here."""
    for subject, model in _never_read(audit, inputs).items():
        if model.rows_read is None and _stored_without_record(audit, subject, model):
            yield f"the audit was stored without {record_file(subject)}: the rows that {subject} read were not compared here"
        elif _of_earlier_key(audit, model):
            yield (
                f"{record_file(subject)} calls rows by names of an earlier key: whether it lists the forget set among the rows"
                " that were not read was compared when the audit was made, here only how many they are"
            )


def control_findings(audit: Audit, again: Audit) -> list[str]:
    """Controls that are not the ones that the predictions give, or that the policy judges otherwise."""
    findings = []
    if audit.unchanged != again.unchanged:
        findings.append(f"that nothing was done is recorded as {audit.unchanged}, computed again it is {again.unchanged}")
    facts = [[(c.name, str(c.model), c.made) for c in one.controls] for one in (audit, again)]
    if facts[0] != facts[1]:
        findings.append(f"the controls are recorded as {name_controls(facts[0])}; the predictions give {name_controls(facts[1])}")
    judged = [{c.name: c for c in one.verdict.controls} if one.verdict else {} for one in (audit, again)]
    for name in dict.fromkeys([*judged[0], *judged[1]]):
        recorded, computed = (one.get(name) for one in judged)
        if recorded != computed:
            findings.append(f"control {name!r} is recorded as {_said(recorded)}; computed again it is {_said(computed)}")
    return findings


def _segments(audit: Audit, again: Audit) -> Iterator[str]:
    """Whether the weak segments that an audit records are those that its predictions give."""
    if audit.segments is not None and again.segments is not None and not is_close(asdict(audit.segments), asdict(again.segments)):
        yield "the weak segments are recorded otherwise than the predictions give them"


def name_controls(controls: Iterable[tuple[str, object, bool]]) -> str:
    """The names of controls, for a message."""
    return ", ".join(repr(name) for name, _, _ in controls) or "none"


def _said(control: ControlOutcome | None) -> str:
    if control is None:
        return "not judged"
    kind = "a null control" if control.null else "a retrained model"
    return (
        f"{control.decision} ({kind}; met: {', '.join(control.met) or 'none'}; not met: {', '.join(control.not_met) or 'none'})"
    )


def _differing(audit: Audit, inputs: AuditInputs) -> list[str]:
    """Subjects whose stored predictions have another digest than the recorded one."""
    recorded = audit.record.get("predictions_sha256")
    known = recorded if isinstance(recorded, dict) else {}
    found = {str(subject): predictions_sha256(model.predictions) for subject, model in inputs.models.items()}
    return [name for name, digest in found.items() if known.get(name) != digest]
