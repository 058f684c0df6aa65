"""From an audit to the flat view that every human-readable format prints."""

from __future__ import annotations

from pathlib import Path

from grmu_audit.records import Audit, Decision, MetricValue, RuleOutcome
from grmu_audit.report import numbers, tables
from grmu_audit.report.blocks import audit_digest, build_blocks, report_id
from grmu_audit.report.clean import clean, name
from grmu_audit.report.facts import fact
from grmu_audit.report.fields import VIEW_VERSION, Column, Fact, Table, View
from grmu_audit.report.lookup import Lookup, model_label
from grmu_audit.report.rules import rule_row, worst_first
from grmu_audit.report.strings import Strings, load_strings

_SHOWN_REASONS = 2

_ABSENT_MARKS = {
    "robustness": ("FGSM", "PGD", "AA@"),
    "layers": ("FAIRNESS_GAP",),
    "shadow": ("ULIRA", "RMIA"),
    "relearn": ("RELEARN",),
}


def build_view(audit: Audit, *, strings: Strings | None = None, template_dir: Path | None = None) -> View:
    """Everything that a report shows, formatted; see ``fields.View`` for each field.

    Args:
        audit: facts, with or without a verdict.
        strings: sentences; by default those of ``template_dir``.
        template_dir: template folder of the user's, whose sentences go before those that come along.

    Raises:
        InputError: a sentence is missing, or the audit holds a number that is not finite.
    """
    text = strings or load_strings(template_dir)
    found, digest = Lookup.of(audit), audit_digest(audit)
    key = decision_key(audit)
    verdict = audit.verdict
    rules = [rule_row(rule, found, text) for rule in worst_first(verdict.rules)] if verdict else []
    return View(
        view_version=VIEW_VERSION,
        lang=text.text("language"),
        title=text.text("title"),
        subject=model_label(audit.subject),
        report_id=report_id(digest),
        created=name(numbers.plain(audit.record.get("created"))),
        word=text.text(f"decisions.{key}"),
        state=key.lower().replace("_", "-"),
        headline=text.text(f"headlines.{key}", policy=name(verdict.policy) if verdict else "", data=data_phrase(audit, text)),
        because=_because(audit, text),
        summary=_summary(found, text),
        rules=rules,
        rule_table=tables.rule_table(rules, text),
        rules_intro=_rules_intro(audit, text),
        not_measured=_not_measured(found, text),
        limits=[str(item) for item in text.node("limits.items")],
        group_table=tables.group_table(found, text),
        composition_table=tables.composition_table(found, text),
        blocks=build_blocks(found, digest, text),
    )


def decision_key(audit: Audit) -> str:
    """``PASS``, ``BREACH``, ``INCONCLUSIVE``, or ``NOT_JUDGED`` where no policy was applied."""
    return audit.verdict.decision.value if audit.verdict else "NOT_JUDGED"


def data_phrase(audit: Audit, strings: Strings) -> str:
    """The data and its size: "PhotoDigits (n = 497 test samples)"."""
    data = audit.data
    label = name(data.name) or f"sha256:{name(data.manifest_sha256)[:12]}"
    return strings.text("data_phrase", name=label, n=numbers.people(int(data.splits.get("test", 0))))


def counted_rules(audit: Audit) -> dict[str, int]:
    """How many rules block, and how many of those are breached or undecided."""
    rules = audit.verdict.rules if audit.verdict else ()
    blocking = [rule for rule in rules if rule.applied and rule.severity == "block"]
    return {
        "blocking": len(blocking),
        "breached": sum(_is(rule, Decision.BREACH) for rule in blocking),
        "undecided": sum(_is(rule, Decision.INCONCLUSIVE) for rule in blocking),
    }


def _is(rule: RuleOutcome, decision: Decision) -> bool:
    return rule.decision is decision and not rule.waived


def _because(audit: Audit, strings: Strings) -> str:
    if audit.verdict is None:
        return strings.text("because.NOT_JUDGED")
    counts = counted_rules(audit)
    key = audit.verdict.decision.value if any(rule.applied for rule in audit.verdict.rules) else "NO_RULES"
    return strings.text(f"because.{key}", **counts)


def _deciding_reasons(audit: Audit) -> list[str]:
    """Reasons of the first blocking rules that made the decision, each with its rule."""
    verdict = audit.verdict
    if verdict is None or verdict.decision is Decision.PASS:
        return []
    rules = [rule for rule in verdict.rules if rule.applied and rule.severity == "block" and _is(rule, verdict.decision)]
    return [f"{name(rule.id)}: {clean(rule.reason)}" for rule in rules[:_SHOWN_REASONS]]


def _rules_intro(audit: Audit, strings: Strings) -> str:
    if audit.verdict is None:
        return strings.text("rules.none")
    if not audit.verdict.rules:
        return strings.text("rules.empty")
    verdict = audit.verdict
    return strings.text("rules.intro", confidence=numbers.confidence(verdict.confidence), multiplicity=name(verdict.multiplicity))


def _summary(found: Lookup, strings: Strings) -> list[Fact]:
    audit, key = found.audit, decision_key(found.audit)
    rows = {
        "asked": _asked(found, strings),
        "done": _done(found, strings),
        "why": " ".join([_because(audit, strings), *_deciding_reasons(audit)]),
        "not_measured": "; ".join(row[0] for row in _not_measured(found, strings)["rows"]),
        "next": strings.text(f"next_steps.{key}"),
    }
    return [fact(strings.text(f"summary.{part}"), value) for part, value in rows.items()]


def _asked(found: Lookup, strings: Strings) -> str:
    audit = found.audit
    if audit.forget.count == 0:
        return strings.text("asked_none")
    values = {"model": model_label(audit.baseline or audit.subject), "count": numbers.people(audit.forget.count)}
    groups = found.group_names(audit.forget.dominant_groups)
    return strings.text("asked_text", groups=groups, **values) if groups else strings.text("asked_text_unknown", **values)


def _done(found: Lookup, strings: Strings) -> str:
    model = found.audit.subject
    if not model.method:
        return strings.text("done_unknown")
    reweight = strings.text("with_reweight") if model.reweight else ""
    if model.parent:
        return strings.text("done_text", method=name(model.method), reweight=reweight, parent=name(model.parent))
    return strings.text("done_scratch", method=name(model.method), reweight=reweight)


def _not_measured(found: Lookup, strings: Strings) -> Table:
    rows = [[name(item.name), clean(item.reason)] for item in found.audit.not_measured]
    rows += [[name(value.name), clean(value.why_missing or strings.text("not_recorded"))] for value in _undefined(found)]
    named = " ".join(row[0] for row in rows)
    reason = strings.text("not_measured.absent_reason")
    for key, marks in _ABSENT_MARKS.items():
        if not any(metric.startswith(marks) for metric in found.metric_names) and not any(mark in named for mark in marks):
            rows.append([strings.text(f"not_measured.absent.{key}"), reason])
    columns = [Column(title=strings.text(f"columns.{key}"), kind="text") for key in ("what", "reason")]
    return Table(caption=strings.text("tables.not_measured"), columns=columns, rows=rows)


def _undefined(found: Lookup) -> list[MetricValue]:
    listed = {item.name for item in found.audit.not_measured}
    values = [found.value(metric) for metric in found.metric_names]
    return [value for value in values if value is not None and value.value is None and value.name not in listed]
