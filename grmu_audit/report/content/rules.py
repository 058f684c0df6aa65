"""Rules of a verdict as rows of a report."""

from __future__ import annotations

from grmu_audit.metrics.catalog import Topic, topic
from grmu_audit.metrics.catalog.wording import REPORT_STYLE
from grmu_audit.records import SUPPRESSED_BELOW, Audit, Decision, RuleOutcome
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.sentences import bound_words, rule_sentence
from grmu_audit.report.content.view_model import RuleRow
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import MetricWords, metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import Strings

_ORDER = {Decision.BREACH: 0, Decision.INCONCLUSIVE: 1, Decision.PASS: 4}


def state_of(rule: RuleOutcome) -> str:
    """``pass``, ``breach``, ``inconclusive``, ``waived`` or ``not-applied``."""
    if not rule.applied:
        return "not-applied"
    return "waived" if rule.waived else rule.decision.value.lower()


def rank(rule: RuleOutcome) -> tuple[int, int]:
    """Sorting key, worst first: what blocks before what warns, breaches before what is undecided."""
    if not rule.applied:
        return 6, 0
    if rule.waived:
        return 3, 0
    return _ORDER[rule.decision], int(rule.severity != "block")


def worst_first(rules: tuple[RuleOutcome, ...]) -> list[RuleOutcome]:
    """The rules, worst first; the policy's order among equals."""
    return sorted(rules, key=rank)


def rule_row(rule: RuleOutcome, found: Lookup, strings: Strings) -> RuleRow:
    """One rule in words."""
    words = metric_words(rule.metric)
    state = state_of(rule)
    change = rule.compare != "absolute"
    group = f" · {found.group_name(rule.group)}" if rule.group is not None else ""
    return RuleRow(
        id=safe_name(rule.id),
        metric=f"{safe_name(rule.metric)}{group}",
        title=words.title,
        says=words.says,
        hides=words.hides,
        good=direction_words(words, strings),
        word=strings.text(f"decisions.{state.upper().replace('-', '_')}"),
        state=state,
        severity=_severity(rule, strings),
        observed=_observed(rule, words.unit, change, strings),
        interval="" if numbers.is_suppressed(rule) else REPORT_STYLE.interval(rule.interval, words.unit, signed=change),
        bound=bound_words(rule, words.unit, strings),
        plain=rule_sentence(rule, found, strings),
        reason=safe_sentence(rule.reason),
        needed=safe_sentence(rule.needed or ""),
        why=safe_sentence(rule.why),
        tells_nothing=strings.text("forgotten.tells_nothing") if tells_nothing(rule, found.audit) else "",
        n=strings.text("not_recorded")
        if rule.n is None
        else found.count_text(words.part, rule.n, strings.text("hidden_complement")),
    )


def about_forgetting(rule: RuleOutcome) -> bool:
    """Whether a rule bounds a metric of forgetting."""
    return topic(rule.metric) is Topic.FORGETTING


def tells_nothing(rule: RuleOutcome, audit: Audit) -> bool:
    """Whether the version before unlearning meets a rule on forgetting that was decided by measurement, too."""
    met = audit.verdict is not None and audit.verdict.met_by_before(rule.id)
    return met and not audit.exactly_verified and rule.applied and about_forgetting(rule)


def direction_words(words: MetricWords, strings: Strings) -> str:
    """A good direction in words; empty when the catalogue does not know the metric."""
    if not words.direction:
        return ""
    target = REPORT_STYLE.number(words.target, words.unit) if words.target is not None else ""
    return strings.text(f"directions.{words.direction}", target)


def _observed(rule: RuleOutcome, unit: str, change: bool, strings: Strings) -> str:
    if numbers.is_suppressed(rule):
        return strings.text("hidden_small", k=SUPPRESSED_BELOW)
    if rule.observed is None:
        return strings.text("charts.no_value")
    return REPORT_STYLE.number(rule.observed, unit, signed=change)


def _severity(rule: RuleOutcome, strings: Strings) -> str:
    if not rule.applied:
        return strings.text("rules.not_applied")
    if rule.waived:
        return strings.text("rules.waived")
    return strings.text(f"rules.{rule.severity if rule.severity in ('block', 'inform') else 'warn'}")
