"""The external form of an audit: what may be given to anybody, with counts of people in steps of five.

Every number in it is a shown count, a shown rate, a number over outputs that no count follows from, or computed from these alone:

- a count of people is rounded up to a multiple of five, 0 is shown as it is.  Training, forget, validation and test rows of each
  group are rounded on their own; everything else (retain rows, totals) is computed from the shown counts.  Forget rows are shown
  as at most the multiple of five below the group's training rows, which others may know;
- a rate is shown as the middle of a range of fixed width, at least five people wide for the fewest people that the shown count
  leaves possible; where that is wider than a quarter, there is no rate.  Overall accuracy is the mean of the groups' shown rates;
- areas under curves and forgetting shares of the forget set are rounded to a hundredth.  Other numbers, intervals, texts with
  numbers in them, curves and the settings of runs are left out.

So whatever is combined (totals, differences between tables, rates times their denominators), at least five whole numbers remain
possible for each count of people that is not 0; also where the training rows of each group are known, unless these are fewer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.evidence.pseudonyms import DIGEST_PREFIX
from grmu_audit.intervals import Statistic
from grmu_audit.intervals.areas import Area
from grmu_audit.intervals.ratio import Ratio
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.policy import Policy
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    SUPPRESSED_BELOW,
    Audit,
    DataCheckReport,
    DataRecord,
    Decision,
    ForgetRecord,
    GroupCount,
    MetricValue,
    ModelRef,
    NotMeasured,
    RuleOutcome,
    Subject,
    Verdict,
    reference,
)
from grmu_audit.records.audit import DISCLOSURE, EXTERNAL

INTERNAL_SHA256 = "internal_audit_sha256"
"""Key of an external form's record: SHA-256 of the ``audit.json`` that it was made from."""
WIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
"""Widths of the range of a rate; each divides 1."""
LEAST_PEOPLE = 20
"""People below which a number over outputs is not shown."""
_KEPT_RECORD = ("created", "expires", "tool", "level", "attack_score", "variant", "positive_class", "intervals",
                "interval_forms", "confidence", "yardstick")  # fmt: skip
_KEPT_REQUEST = ("request_id", "request_ids", "received_at", "due_at", "ground", "systems", "reversed")
_NOTE = NotMeasured(
    "exact numbers",
    "this is the external form of the audit: counts of people are rounded up to multiples of five, rates are middles of ranges of"
    " at least five people, and the verdict was reached on the exact numbers of the internal form",
)
_WITHHELD = "the exact numbers are in the internal form"


def external_form(audit: Audit, audit_sha256: str) -> Audit:
    """The audit with nothing in it that speaks of fewer than five people; the same for the same audit.

    Args:
        audit: an internal audit.
        audit_sha256: SHA-256 of its file.

    Raises:
        InputError: it is an external form already.
    """
    if audit.external:
        raise InputError(f"the audit of {audit.subject.label} is in its external form already")
    data = _data(audit)
    forget = _forget(audit.forget, data)
    metrics = tuple(_values(audit, data, forget))
    return replace(
        audit,
        subject=_model(audit.subject),
        baseline=_model(audit.baseline) if audit.baseline else None,
        references=tuple(map(_model, audit.references)),
        root=_model(audit.root) if audit.root else None,
        data=data,
        forget=forget,
        metrics=metrics,
        data_quality=_quality(audit.data_quality),
        not_measured=(_NOTE, *map(_without_counts, audit.not_measured)),
        record=_record(audit, audit_sha256),
        verdict=_verdict(audit.verdict, metrics) if audit.verdict else None,
        curves={},
        segments=None,
        controls=tuple(replace(control, values=()) for control in audit.controls),
    )


def shown_count(count: int) -> int:
    """A count rounded up to a multiple of five: each shown number but 0 stands for five.

    >>> [shown_count(count) for count in (0, 1, 5, 6)]
    [0, 5, 5, 10]
    """
    return -(-count // SUPPRESSED_BELOW) * SUPPRESSED_BELOW


def fewest(shown: int) -> int:
    """The smallest count that is shown as that.

    >>> fewest(0), fewest(10)
    (0, 6)
    """
    return max(shown - SUPPRESSED_BELOW + 1, 0)


def shown_range(rate: float, people: int) -> tuple[float, float] | None:
    """The range that a rate is shown as, at least five people wide; None where no width allows that.

    Args:
        rate: in [0, 1].
        people: the fewest people that it may rest on.

    >>> shown_range(0.83, 6), shown_range(0.83, 100), shown_range(1.0, 1000)
    (None, (0.8, 0.85), (0.99, 1.0))
    """
    width = next((width for width in WIDTHS if width * people >= SUPPRESSED_BELOW), None)
    if width is None:
        return None
    number = min(math.floor(rate / width + 1e-9), round(1 / width) - 1)
    return round(number * width, 4), round((number + 1) * width, 4)


def _data(audit: Audit) -> DataRecord:
    groups = tuple(map(_group, audit.data.groups))
    splits = {
        part: sum(getattr(row, part) for row in groups) if groups else shown_count(n) for part, n in audit.data.splits.items()
    }
    return replace(audit.data, groups=groups, splits=splits, excluded=shown_count(audit.data.excluded))


def _group(row: GroupCount) -> GroupCount:
    shown: dict[str, Any] = {part: shown_count(getattr(row, part)) for part in ("train", "val", "test")}
    below = max(row.train // SUPPRESSED_BELOW, 1) * SUPPRESSED_BELOW
    forget = min(shown_count(row.forget), below)  # a count that its known whole cuts off would be narrower
    return replace(row, **shown, forget=forget, retain=shown["train"] - forget)


def _forget(forget: ForgetRecord, data: DataRecord) -> ForgetRecord:
    """Without digests that counts could be guessed from; the largest shown count makes a group dominant."""
    largest = max((row.forget for row in data.groups), default=0)
    dominant = tuple(row.group for row in data.groups if row.forget == largest > 0)
    return ForgetRecord(
        count=sum(row.forget for row in data.groups) if data.groups else shown_count(forget.count),
        digest=forget.digest if forget.digest.startswith(DIGEST_PREFIX) else "",
        dominant_groups=dominant,
        request={key: forget.request[key] for key in _KEPT_REQUEST if key in forget.request},
    )


def _values(audit: Audit, data: DataRecord, forget: ForgetRecord) -> Iterator[MetricValue]:
    subjects = [CANDIDATE, *([BASELINE] if audit.baseline else []), *map(reference, range(1, len(audit.references) + 1))]
    for subject in subjects:
        rates = list(_group_rates(audit, data, subject))
        yield from rates
        yield from _of_groups(audit, data, forget, rates)
        yield from _of_parts(audit, data, subject, rates)
    kinds = _shown_kinds(data, forget)
    for value in audit.metrics:
        of_forget_set = value.group is None and value.name in BUILT_IN and BUILT_IN[value.name].part == "forget"
        if of_forget_set and isinstance(value.statistic, kinds):
            yield MetricValue(value.name, value.subject, None if value.value is None else round(value.value, 2), forget.count)


def _shown_kinds(data: DataRecord, forget: ForgetRecord) -> tuple[type[Statistic], ...]:
    """Kinds of numbers over outputs that are shown: shares for 20 forget rows, areas if each of their groups has 20 test rows.

    It follows from shown counts alone, so that what is shown tells no count either.
    """
    least = sum(fewest(row.forget) for row in data.groups) if data.groups else fewest(forget.count)
    if least < LEAST_PEOPLE:
        return ()
    compared = [row.test for row in data.groups if row.forget]
    return (Ratio, Area) if compared and all(fewest(test) >= LEAST_PEOPLE for test in compared) else (Ratio,)


def _group_rates(audit: Audit, data: DataRecord, subject: Subject) -> Iterator[MetricValue]:
    """Test accuracy of every group that has enough people."""
    for exact, row in zip(audit.data.groups, data.groups, strict=True):
        value = audit.metric("accuracy", subject, row.group)
        if value is not None and value.value is not None and value.n == exact.test:
            yield from _ranged(value, row.test, fewest(row.test))


def _of_groups(audit: Audit, data: DataRecord, forget: ForgetRecord, rates: list[MetricValue]) -> Iterator[MetricValue]:
    """What follows from the shown rates of groups, where every group with test rows has one."""
    people = {row.group: row.test for row in data.groups if row.test}
    known = {value.group: float(value.value or 0.0) for value in rates}
    if not people or known.keys() != people.keys():
        return
    total = sum(people.values())
    numbers = {"TA": sum(known[group] * n for group, n in people.items()) / total, "WG": min(known.values())}
    if len(forget.dominant_groups) == 1 and forget.dominant_groups[0] in known:
        numbers["GA"] = known[forget.dominant_groups[0]]
    for name, number in numbers.items():
        exact = audit.metric(name, rates[0].subject)
        if exact is not None:
            shown = MetricValue(name, exact.subject, round(number, 4), total)
            yield replace(shown, incomplete=exact.incomplete, empty_cells=exact.empty_cells)


def _of_parts(audit: Audit, data: DataRecord, subject: Subject, rates: list[MetricValue]) -> Iterator[MetricValue]:
    """Rates over a part: of forget and retain rows, and of test rows where no group has one."""
    forget = sum(fewest(row.forget) for row in data.groups)
    yield from _whole(audit, subject, "UA", forget, data.splits.get("forget", 0))
    retain = sum(max(fewest(row.train) - row.forget - SUPPRESSED_BELOW + 1, 0) for row in data.groups)
    yield from _whole(audit, subject, "RA", retain, data.splits.get("retain", 0))
    if not rates:
        yield from _whole(audit, subject, "TA", sum(fewest(row.test) for row in data.groups), data.splits.get("test", 0))


def _whole(audit: Audit, subject: Subject, name: str, least: int, shown: int) -> Iterator[MetricValue]:
    value = audit.metric(name, subject)
    if value is not None and value.value is not None:
        yield from _ranged(value, shown, least)


def _ranged(value: MetricValue, shown: int, least: int) -> Iterator[MetricValue]:
    """The value as the middle of its range; nothing where that would be too wide."""
    found = shown_range(float(value.value or 0.0), least)
    if found is not None:
        yield MetricValue(
            value.name, value.subject, round(sum(found) / 2, 4), shown, value.group, details={"within": list(found)}
        )


def _model(ref: ModelRef) -> ModelRef:
    """Without what a run logged: sample gradients and seconds tell how many rows were read, and its seed may be the list's."""
    return replace(ref, config={}, seed=None)


def _quality(report: DataCheckReport | None) -> DataCheckReport | None:
    if report is None:
        return None
    return replace(report, results=tuple(replace(one, observed="", advice="") for one in report.results), group_shift=())


def _without_counts(item: NotMeasured) -> NotMeasured:
    name = "forgetting of deleted rows" if item.name.startswith("forgetting of") else item.name
    return NotMeasured(name, _WITHHELD if re.search(r"\d", item.reason) else item.reason)


def _record(audit: Audit, audit_sha256: str) -> dict[str, Any]:
    kept = {key: audit.record[key] for key in _KEPT_RECORD if key in audit.record}
    return {**kept, DISCLOSURE: EXTERNAL, INTERNAL_SHA256: audit_sha256}


def _verdict(verdict: Verdict, metrics: tuple[MetricValue, ...]) -> Verdict:
    reason = (
        verdict.reason
        if not re.search(r"\d", verdict.reason)
        else f"{verdict.decision} on the exact numbers of the internal form"
    )
    return replace(verdict, rules=tuple(_rule(rule, metrics) for rule in verdict.rules), reason=reason)


def _rule(rule: RuleOutcome, metrics: tuple[MetricValue, ...]) -> RuleOutcome:
    """The decision with the shown value, where a rule bounds the value itself."""
    found = [v for v in metrics if (v.name, v.subject, v.group) == (rule.metric, CANDIDATE, rule.group)]
    observed = found[0].value if found and rule.compare == "absolute" else None
    reason = f"{rule.decision}: {_WITHHELD}."
    return replace(rule, observed=observed, interval=None, n=None, needed=None, reason=reason)


def external_findings(audit: Audit, policy: Policy) -> list[str]:
    """Differences between the rules of a form's verdict and the policy, and between its decision and its rules."""
    verdict = audit.verdict
    if verdict is None:
        return ["the audit has no verdict"]
    known = {rule.id for rule in verdict.rules}
    findings = [f"the verdict holds no rule {rule.id!r} of the policy" for rule in policy.rules if rule.id not in known]
    blocking = [rule for rule in verdict.rules if rule.blocking and not rule.waived]
    unmet = [rule.id for rule in blocking if rule.decision is not Decision.PASS]
    if verdict.decision is Decision.PASS and (unmet or not blocking):
        findings.append(f"the verdict is PASS, but its rules do not say so: {', '.join(unmet) or 'none was applied'}")
    return findings
