"""What of an audit follows from counts alone, computed again, and the names of everything that does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from grmu_audit.auditing.disclosure.counts import Counts, as_predictions
from grmu_audit.auditing.disclosure.recorded_facts import control_names, controls_dropped, unchanged_findings, unchanged_notes
from grmu_audit.auditing.later_parts import part_findings, part_notes, unmeasured_names
from grmu_audit.auditing.recomputation import (
    control_findings,
    is_close,
    name_of_key,
    rule_findings,
    statement_findings,
    value_differences,
    values_by_key,
)
from grmu_audit.errors import GrmuAuditError
from grmu_audit.metrics import ModelResult, Outcome, check_predictions, closeness, mean_changes, measure_one
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.changes import changes
from grmu_audit.metrics.controls import OF_LABELS
from grmu_audit.metrics.forgetting.sequence import NAME as SEQUENCE
from grmu_audit.metrics.forgetting.share import NAME as SHARE
from grmu_audit.policy import Policy
from grmu_audit.policy.comparison import judged_value
from grmu_audit.policy.judgement import judge
from grmu_audit.records import AUDIT_SCHEMA, CANDIDATE, Audit, MeasureOptions, MetricValue, Subject, primary_references, reference

COUNTED = (*(name for name in OF_LABELS if name not in CONDITIONAL), "accuracy", "TOW")
"""Metrics that follow from counts of answers; all others need rows, scores or the networks."""
_OF_PERSONS = ("deff", "dependence", "persons")
"""Fields of a statistic that say how alike the samples of one person are; only rows show that."""
_OF_CANDIDATE = (SHARE, SEQUENCE, "GAIN_SHARE")
"""Metrics of the candidate alone that rest on more than answers, or on more models than counts hold together."""
Values = dict[tuple[str, ...], MetricValue]


@dataclass(frozen=True)
class Recount:
    """Result of computing again from counts."""

    findings: tuple[str, ...] = ()
    """Differences."""
    not_recomputed: tuple[str, ...] = ()
    """Names of what needs rows of predictions: metrics, rules, and what else an internal bundle would show."""
    compared: int = 0
    """Numbers that were computed again."""
    notes: tuple[str, ...] = ()
    """What a reader must know beside these."""


def recount(audit: Audit, policy: Policy, counts: Counts) -> Recount:
    """Every metric that follows from counts again, and every rule by these and by the recorded numbers of the others.

    Args:
        audit: the recorded facts and verdict.
        policy: the policy as judged.
        counts: the counts, read for the audit's models.
    """
    recorded = {key: value for key, value in values_by_key(audit).items() if _counted(key)}
    try:
        measured = _values(audit, counts)
        computed = {key: value for key, value in measured.items() if _counted(key) and key[0] not in unmeasured_names(audit)}
        merged = tuple(_merged(value, computed) for value in audit.metrics)
        again = judge(replace(audit, metrics=merged), policy, datetime.fromisoformat(str(audit.record["created"])).date())
    except (GrmuAuditError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        why = str(error) if isinstance(error, GrmuAuditError) else f"{type(error).__name__}: {error}"
        return Recount((f"the verdict cannot be computed from the counts: {why[:300]}",))
    findings = [f"{name_of_key(key)} is recorded, but the counts do not give it" for key in recorded.keys() - computed.keys()]
    findings += [f"{name_of_key(key)} follows from the counts, but is not recorded" for key in computed.keys() - recorded.keys()]
    for key in recorded.keys() & computed.keys():
        findings += [f"{name_of_key(key)}: {defect}" for defect in _differences(recorded[key], computed[key])]
    findings = [*sorted(findings), *rule_findings(audit, again)]
    notes: list[str] = []
    if audit.schema == AUDIT_SCHEMA:
        findings += [*_dropped(audit, measured), *part_findings(audit), *unchanged_findings(audit, counts)]
        findings += [*statement_findings(audit, again), *control_findings(audit, again), *controls_dropped(audit)]
        notes = [*part_notes(audit), *unchanged_notes(audit, counts)]
    return Recount(tuple(findings), tuple(_not_recomputed(audit, policy, recorded)), len(computed), tuple(notes))


def _counted(key: tuple[str, ...]) -> bool:
    """Whether a value follows from counts; those of controls need other pairs of models than the counts hold."""
    return key[0] in COUNTED and not key[-1]


def _dropped(audit: Audit, measured: Values) -> list[str]:
    """Values that every such audit records, and this one does not; what they are cannot be told from counts."""
    known = values_by_key(audit)
    always = [key for key in measured if not _counted(key) and key[0] in BUILT_IN and not key[2]]
    always += [(name, str(CANDIDATE), "", "") for name in _OF_CANDIDATE]
    lacking = [key for key in always if key not in known and key[0] not in unmeasured_names(audit)]
    return sorted(f"{name_of_key(key)} is not recorded, although every such audit records it" for key in lacking)


def _values(audit: Audit, counts: Counts) -> Values:
    """Every value that the counts give, by its key."""
    found: list[tuple[Subject, Sequence[Outcome]]] = []
    changed: dict[Subject, tuple[Outcome, ...]] = {}
    for name in counts.tables:
        subject = Subject.parse(name)
        candidate, other = _results(audit, counts, name)
        found.append((subject, other.outcomes))
        if subject != CANDIDATE:
            changed[subject] = tuple(changes(candidate, other))
    primary = {subject: changed[subject] for subject in primary_references(audit.references)}
    found += [(subject.as_change(), outcomes) for subject, outcomes in changed.items()]
    found.append((CANDIDATE, tuple(closeness(primary))))
    if len(audit.references) > 1:
        found.append((reference(0).as_change(), tuple(mean_changes(primary))))
    values = [outcome.value(subject, _options(audit)) for subject, outcomes in found for outcome in outcomes]
    return values_by_key(replace(audit, metrics=tuple(values), controls=()))


def _results(audit: Audit, counts: Counts, subject: str) -> tuple[ModelResult, ModelResult]:
    """The candidate and one model, measured on the rows that both have."""
    declared = tuple(target * counts.attributes + attribute for target, attribute in counts.cells)
    pair = as_predictions(counts, subject, audit.data.groups)
    dominant = audit.forget.dominant_groups or None
    checked = [replace(check_predictions(table, _options(audit), dominant), declared=declared) for table in pair]
    first, second = (measure_one(one) for one in checked)
    return first, second


def _options(audit: Audit) -> MeasureOptions:
    """The audit's options without control attributes, of which counts hold only the crossed one."""
    return replace(audit.options, control_attributes=())


def _merged(value: MetricValue, computed: Mapping[tuple[str, ...], MetricValue]) -> MetricValue:
    """The value as computed where it is known whole, else as recorded."""
    key = (value.name, str(value.subject), str(value.group or ""), "")
    return replace(computed[key], why_missing=value.why_missing) if key in computed and not _clustered(value) else value


def _clustered(value: MetricValue) -> bool:
    """Whether samples of one person occur, so that the interval rests on who has which rows."""
    return value.subjects is not None


def _differences(recorded: MetricValue, computed: MetricValue) -> Iterator[str]:
    """Differences; where people have several samples, of value and counts, and of the interval from what it was computed from."""
    if not _clustered(recorded):
        yield from value_differences(recorded, computed)
        return
    plain = [replace(value, interval=None, statistic=None) for value in (recorded, computed)]
    yield from value_differences(plain[0], plain[1])
    statistic = recorded.statistic
    if not is_close(*(value.statistic and _without_persons(value.statistic.to_json()) for value in (recorded, computed))):
        yield "the counts of the recorded sufficient statistic are not these"
    elif not is_close(recorded.interval, statistic and statistic.interval(recorded.confidence)):
        yield f"the recorded interval {recorded.interval} does not follow from the recorded statistic"


def _without_persons(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_persons(item) for key, item in tree.items() if key not in _OF_PERSONS}
    return [_without_persons(item) for item in tree] if isinstance(tree, list | tuple) else tree


def _not_recomputed(audit: Audit, policy: Policy, recorded: Values) -> Iterator[str]:
    """Names of everything that counts do not show."""
    yield from sorted({value.name for value in audit.metrics} - set(COUNTED))
    clustered = sorted({value.name for value in recorded.values() if _clustered(value)})
    if clustered:
        yield f"intervals of {', '.join(clustered)} (people with several samples)"
    rules = {rule.id: rule for rule in policy.rules}
    for outcome in audit.verdict.rules if audit.verdict else ():
        value = judged_value(rules[outcome.id], audit) if outcome.id in rules else None
        exact = audit.exact is not None and outcome.id in rules and rules[outcome.id].about_forgetting
        if outcome.applied and (value is None or exact or value.name not in COUNTED or _clustered(value)):
            yield f"rule {outcome.id}"
    if audit.segments is not None:
        yield "weak segments"
    if audit.schema == AUDIT_SCHEMA:
        yield f"controls {', '.join(map(repr, control_names(audit))) or '(there are none)'}"
        if audit.baseline is not None:
            yield "whether anything was done"
    if audit.exact is not None or audit.references:
        yield "that no row of the forget set was read"
    yield "that the predictions are those that were audited"
