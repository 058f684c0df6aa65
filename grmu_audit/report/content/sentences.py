"""Sentences for a reader who knows no machine learning: one for each rule, one on what unlearning did to the groups."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from grmu_audit.metrics.catalog.wording import REPORT_STYLE
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    SUPPRESSED_BELOW,
    UNVERIFIED,
    Audit,
    Decision,
    RuleOutcome,
)
from grmu_audit.report.content.lookup import Lookup, group_changes
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import Strings

_MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d")


def rule_sentence(rule: RuleOutcome, found: Lookup, strings: Strings) -> str:
    """What was found and what the policy requires; the recorded reason where there is no value to speak of."""
    if not rule.applied:
        return strings.text("rules.not_applied").capitalize() + "."
    small = numbers.is_suppressed(rule)
    if rule.observed is None or small or rule.compare not in ("absolute", "baseline", "reference", "root"):
        return sentence(strings.text("hidden_small", k=SUPPRESSED_BELOW) if small else rule.reason)
    unit, change = metric_words(rule.metric).unit, rule.compare != "absolute"
    return f"{_found(rule, found, unit, change, strings)}{_open(rule, strings)}"


def _found(rule: RuleOutcome, found: Lookup, unit: str, change: bool, strings: Strings) -> str:
    """What was found and what the policy requires."""
    assert rule.observed is not None
    likely = _likely(rule, unit, strings)
    values = {"what": _what(rule, found, strings), "likely": likely, "asks": _asks(rule, unit, change, strings)}
    if not change:
        return strings.text("plain.absolute", observed=REPORT_STYLE.number(rule.observed, unit), **values)
    size = _size(rule.observed, unit, strings)
    none = abs(rule.observed) < 0.0005 if unit == "fraction" else rule.observed == 0
    side = "same" if none else "down" if rule.observed < 0 else "up"
    return strings.text(f"plain.{rule.compare}.{side}", size=size, **values)


def _open(rule: RuleOutcome, strings: Strings) -> str:
    """Why a rule with a value is undecided all the same; empty for one that is decided."""
    if rule.decision is not Decision.INCONCLUSIVE:
        return ""
    return " " + (sentence(rule.reason) if rule.interval is None else strings.text("plain.undecided"))


def sentence(text: str) -> str:
    """One cleaned sentence: first letter large, a full stop at the end.

    >>> sentence("GA is undefined: no sample")
    'GA is undefined: no sample.'
    """
    line = safe_sentence(text)
    line = line[:1].upper() + line[1:]
    return line if not line or line[-1] in ".!?…)" else f"{line}."


def metric_phrase(metric: str, strings: Strings) -> str:
    """A metric as the subject of a sentence."""
    return strings.get(f"plain.names.{metric}", "") or metric_words(metric).title


def effect_on_all(found: Lookup, strings: Strings) -> str:
    """Accuracy on all test samples before and after; empty without a version before."""
    before, after = found.value("TA", BASELINE), found.value("TA", CANDIDATE)
    if before is None or after is None or before.value is None or after.value is None:
        return ""
    return strings.text("plain.effect.all", before=numbers.estimate(before), after=numbers.estimate(after))


def effect_on_groups(found: Lookup, strings: Strings) -> str:
    """Accuracy of everybody before and after, and the group whose accuracy fell most; empty without a version before."""
    parts = [effect_on_all(found, strings)]
    for worst in group_changes(found)[:1]:
        values = {"before": numbers.estimate(worst.before), "after": numbers.estimate(worst.after)}
        key = "worst" if worst.lost else "none"
        parts.append(strings.text(f"plain.effect.{key}", group=found.group_name(worst.group), **values))
    return " ".join(part for part in parts if part)


def short_time(value: object) -> str:
    """A recorded time in UTC to the minute; anything else as it is.

    >>> short_time("2026-03-04T05:06:07+01:00"), short_time("spring")
    ('2026-03-04 04:06 UTC', 'spring')
    """
    text = safe_name(numbers.value_text(value))
    if not _MOMENT.match(text):
        return text
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _size(value: float, unit: str, strings: Strings) -> str:
    """Size of a change without its sign: "4.6 points"."""
    return REPORT_STYLE.number(abs(value), unit, signed=True).lstrip("+").replace("pts", strings.text("plain.points"))


def _likely(rule: RuleOutcome, unit: str, strings: Strings) -> str:
    """The interval as an aside; of a change without signs, in the words of its direction; empty where there is none."""
    if rule.interval is None:
        return ""
    low, high = rule.interval
    if rule.compare == "absolute":
        return strings.text("plain.likely", interval=REPORT_STYLE.interval((low, high), unit))
    if low < 0 < high:
        sizes = {"low": _size(low, unit, strings), "high": _size(high, unit, strings)}
        return strings.text(f"plain.likely_both.{rule.compare}", **sizes)
    small, large = sorted((abs(low), abs(high)))
    words = REPORT_STYLE.interval((small, large), unit, signed=True).replace("+", "").replace("pts", strings.text("plain.points"))
    return strings.text("plain.likely", interval=words)


def _what(rule: RuleOutcome, found: Lookup, strings: Strings) -> str:
    phrase = metric_phrase(rule.metric, strings)
    return strings.text("plain.of_group", what=phrase, group=found.group_name(rule.group)) if rule.group else phrase


def bound_words(rule: RuleOutcome, unit: str, strings: Strings) -> str:
    """The allowed range: "at most 25.0 %", "may fall by at most 5.0 points"; several bounds are joined by "and"."""
    words = _asks(rule, unit, rule.compare != "absolute", strings, "bounds")
    compared = strings.get(f"compares.{rule.compare}", safe_name(rule.compare))
    return " ".join(part for part in (words, compared) if part)


def _asks(rule: RuleOutcome, unit: str, change: bool, strings: Strings, form: str = "plain.asks") -> str:
    """The allowed range: "at most 25 %", "a fall of at most 5 points"."""
    parts = []
    for kind, bound in rule.bound.items():
        edges = [float(edge) for edge in bound] if isinstance(bound, list) else [float(bound)]
        if not change or len(edges) > 1:
            shown = [REPORT_STYLE.number(edge, unit, signed=change) for edge in edges]
            parts.append(strings.text(f"{form}.within" if len(shown) > 1 else f"bounds.{kind}", *shown))
            continue
        size = _size(edges[0], unit, strings)
        side = "" if kind == "max_gap" else "_down" if edges[0] < 0 else "_up"
        parts.append(strings.text(f"{form}.{kind}{side}", size=size))
    return " and ".join(parts)


def unverified(audit: Audit) -> str:
    """Why a judged file was not compared with a store; empty where it was, and for an audit that comes from a store."""
    return next((safe_sentence(item.reason) for item in audit.not_measured if item.name == UNVERIFIED), "")
