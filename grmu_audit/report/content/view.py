"""From an audit to the flat view that every human-readable format prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grmu_audit.metrics.catalog.wording import confidence_text
from grmu_audit.records import EARLIER_SCHEMA, SUPPRESSED_BELOW, Audit, Decision, MetricValue, RuleOutcome, suppressed
from grmu_audit.report.content import tables
from grmu_audit.report.content.blocks import audit_digest, build_blocks, report_id
from grmu_audit.report.content.branding import no_branding
from grmu_audit.report.content.fact_lists import make_fact
from grmu_audit.report.content.forgetting import forgetting_view
from grmu_audit.report.content.front_page import next_steps, people_view, signatures, unmeasured, verdict_facts
from grmu_audit.report.content.lookup import Lookup, model_label
from grmu_audit.report.content.rules import rule_row, worst_first
from grmu_audit.report.content.sentences import effect_on_groups, rule_sentence, sentence, short_time, unverified
from grmu_audit.report.content.view_model import VIEW_VERSION, Branding, Column, Fact, Figure, Table, View
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import Strings, load_strings

_SHOWN_REASONS = 2
_SHOWN_MISSING = 6
_ABSENT_MARKS = {
    "robustness": (("FGSM", "PGD", "AA@"), ("fgsm", "pgd", "robust", "adversarial")),
    "layers": (("FAIRNESS_GAP",), ("fairness_gap", "layer")),
    "shadow": (("ULIRA", "RMIA", "LIRA"), ("lira", "rmia", "shadow")),
    "relearn": (("RELEARN",), ("relearn", "learned again")),
}
"""Kinds of check that a reader expects: the metrics that are one, and the words by which an audit names it as left out."""


def build_view(
    audit: Audit,
    *,
    strings: Strings | None = None,
    branding: Branding | None = None,
    after: Mapping[str, Any] | None = None,
) -> View:
    """Everything that a report shows, formatted; see ``view_model.View`` for each field.

    Args:
        audit: facts, with or without a verdict.
        strings: sentences; by default those that come along.
        branding: who publishes the report; see ``branding``.
        after: what the ledger says since the audit was recorded; see ``Lookup.after``.

    Raises:
        InputError: a sentence is missing, or the audit holds a number that is not finite.
    """
    text = strings or load_strings()
    found, digest = Lookup.of(audit, after), audit_digest(audit)
    key = decision_key(audit)
    verdict = audit.verdict
    rules = [rule_row(rule, found, text) for rule in worst_first(verdict.rules)] if verdict else []
    group_table, rule_table = tables.worst_groups(found, text), tables.rule_table(rules, text)
    missing = _not_measured(found, text)
    return View(
        view_version=VIEW_VERSION,
        lang=text.text("language"),
        title=text.text("title"),
        subject=model_label(audit.subject),
        report_id=report_id(digest),
        created=short_time(audit.record.get("created")),
        branding=branding or no_branding(),
        word=text.text(f"decisions.{key}"),
        state=key.lower().replace("_", "-"),
        headline=_headline(audit, text),
        because=_because(audit, text),
        verdict_facts=verdict_facts(found, text),
        forgetting=forgetting_view(found, text),
        people=people_view(found, text),
        next_steps=next_steps(found, rules, text.text(f"next_steps.{_next_step(found)}"), text),
        unmeasured=unmeasured(missing["rows"], text),
        signatures=signatures(found, text),
        summary=_summary(found, text),
        rules=rules,
        rule_table=rule_table,
        rules_intro=_rules_intro(audit, text),
        not_measured=missing,
        limits=[str(item) for item in text.node("limits.items")],
        figures=[Figure(chart="groups", table=group_table), Figure(chart="rules", table=rule_table)],
        group_table=group_table,
        composition_table=tables.composition_table(found, text),
        blocks=build_blocks(found, digest, text),
    )


def _headline(audit: Audit, strings: Strings) -> str:
    """The verdict, and what the policy does not claim."""
    verdict = audit.verdict
    policy = safe_name(verdict.policy_label) if verdict else ""
    said = [strings.text(f"headlines.{decision_key(audit)}", policy=policy, data=data_phrase(audit, strings))]
    if verdict is not None and audit.forget.count and not verdict.claims_forgetting:
        said.append(strings.text("headlines.no_claim"))
    elif verdict is not None and verdict.claims_forgetting and verdict.null_control_accepted:
        said.append(strings.text("headlines.accepted", reason=sentence(verdict.null_control_accepted)))
    if reason := unverified(audit):
        said.append(strings.text("headlines.unverified", reason=reason))
    return " ".join(said)


def decision_key(audit: Audit) -> str:
    """``PASS``, ``BREACH``, ``INCONCLUSIVE``, or ``NOT_JUDGED`` where no policy was applied."""
    return audit.verdict.decision.value if audit.verdict else "NOT_JUDGED"


def data_phrase(audit: Audit, strings: Strings) -> str:
    """The data and its size: "PhotoDigits (n = 497 test samples)"."""
    data = audit.data
    label = safe_name(data.name) or f"sha256:{safe_name(data.manifest_sha256)[:12]}"
    return strings.text("data_phrase", name=label, n=numbers.count_text(int(data.splits.get("test", 0))))


def counted_rules(audit: Audit) -> dict[str, int]:
    """How many rules block, and how many of those are breached or undecided."""
    rules = audit.verdict.rules if audit.verdict else ()
    blocking = [rule for rule in rules if rule.blocking]
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
    if audit.verdict.reason and audit.schema != EARLIER_SCHEMA:
        return sentence(audit.verdict.reason)
    counts = counted_rules(audit)
    key = audit.verdict.decision.value if any(rule.applied for rule in audit.verdict.rules) else "NO_RULES"
    return strings.text(f"because.{key}", **counts)


def _deciding_reasons(found: Lookup, strings: Strings) -> list[str]:
    """The first blocking rules that decided, in plain words."""
    verdict = found.audit.verdict
    if verdict is None or verdict.decision is Decision.PASS:
        return []
    rules = [rule for rule in verdict.rules if rule.blocking and _is(rule, verdict.decision)]
    return list(dict.fromkeys(rule_sentence(rule, found, strings) for rule in rules[:_SHOWN_REASONS]))


def _warnings(audit: Audit, strings: Strings) -> str:
    """How many rules that only warn are not met; empty when all are."""
    rules = audit.verdict.rules if audit.verdict else ()
    unmet = [rule for rule in rules if rule.applied and rule.severity == "warn" and rule.decision is not Decision.PASS]
    return (
        strings.text("because.warnings", count=len(unmet), rules=", ".join(safe_name(rule.id) for rule in unmet)) if unmet else ""
    )


def _waivers(audit: Audit, strings: Strings) -> str:
    """The waivers that cover a breach, in words; empty when there is none."""
    if audit.verdict is None:
        return ""
    covered = {rule.id for rule in audit.verdict.rules if rule.waived}
    listed = [waiver for waiver in audit.verdict.waivers if waiver.get("rule") in covered]
    absent = strings.text("not_recorded")
    rows = [
        {key: safe_name(waiver.get(key) or absent) for key in ("rule", "reason", "approved_by", "expires")} for waiver in listed
    ]
    return " ".join(strings.text("waiver_text", **row) for row in rows)


def _rules_intro(audit: Audit, strings: Strings) -> str:
    if audit.verdict is None:
        return strings.text("rules.none")
    verdict = audit.verdict
    if not verdict.rules:
        return strings.text("rules.empty")
    jointly = strings.get(f"rules.joint.{verdict.multiplicity}", f" ({safe_name(verdict.multiplicity)})")
    return strings.text("rules.intro", confidence=confidence_text(verdict.confidence), jointly=jointly)


def _summary(found: Lookup, strings: Strings) -> list[Fact]:
    audit = found.audit
    missing = [row[0].partition("\n")[0] for row in _not_measured(found, strings)["rows"]]
    more = strings.text("and_more", count=len(missing) - _SHOWN_MISSING) if len(missing) > _SHOWN_MISSING else ""
    why = [*_deciding_reasons(found, strings), _warnings(audit, strings)]
    rows = {
        "asked": _asked(found, strings),
        "done": _done(found, strings),
        "effect": effect_on_groups(found, strings),
        "why": " ".join(part for part in why if part),
        "waivers": _waivers(audit, strings),
        "not_measured": "; ".join([part[:1].upper() + part[1:] for part in missing[:_SHOWN_MISSING]]) + more,
        "next": strings.text(f"next_steps.{_next_step(found)}"),
    }
    return [make_fact(strings.text(f"summary.{part}"), value) for part, value in rows.items() if value]


def _next_step(found: Lookup) -> str:
    """Key of the sentence on what happens next."""
    audit = found.audit
    if decision_key(audit) == "PASS" and found.after.get("current_champion") == audit.subject.label:
        return "RELEASED"
    return "EARLIER" if audit.schema == EARLIER_SCHEMA else decision_key(audit)


def _asked(found: Lookup, strings: Strings) -> str:
    audit = found.audit
    if audit.forget.count == 0:
        return strings.text("asked_none")
    few = suppressed(audit.forget.count)
    count = strings.text("fewer", k=SUPPRESSED_BELOW) if few else numbers.count_text(audit.forget.count)
    values = {"model": model_label(audit.baseline or audit.subject), "count": count}
    groups = found.group_names(audit.forget.dominant_groups)
    if not groups:
        return strings.text("asked_text_unknown", **values)
    return strings.text("asked_text_all" if _only_dominant(audit) else "asked_text", groups=groups, **values)


def _only_dominant(audit: Audit) -> bool:
    """Whether every forget sample is of a dominant group, as far as the group table says."""
    counts = [count for count in audit.data.groups if count.forget]
    return bool(counts) and all(count.group in audit.forget.dominant_groups for count in counts)


def _done(found: Lookup, strings: Strings) -> str:
    model = found.audit.subject
    if not model.method:
        return strings.text("done_unknown")
    reweight = strings.text("with_reweight") if model.reweight else ""
    method = strings.get(f"methods.{model.method}", "") or safe_name(model.method)
    if model.parent and model.method != "retrain":
        return strings.text("done_text", method=method, reweight=reweight, parent=safe_name(model.parent))
    return strings.text("done_scratch", method=method, reweight=reweight)


def _not_measured(found: Lookup, strings: Strings) -> Table:
    known = {str(key).lower(): str(text) for key, text in strings.node("not_measured.names").items()}
    rows = [[known.get(item.name.lower()) or _titled(item.name), safe_sentence(item.reason)] for item in found.audit.not_measured]
    rows += [
        [_titled(value.name), safe_sentence(value.why_missing or strings.text("not_recorded"))] for value in _undefined(found)
    ]
    named = " ".join(part for row in rows for part in row).lower()
    reason = strings.text("not_measured.absent_reason")
    for key, (metrics, words) in _ABSENT_MARKS.items():
        if not any(metric.startswith(metrics) for metric in found.metric_names) and not any(word in named for word in words):
            rows.append([strings.text(f"not_measured.absent.{key}"), reason])
    columns = [Column(title=strings.text(f"columns.{key}"), kind="text") for key in ("what", "reason")]
    return Table(caption=strings.text("tables.not_measured"), columns=columns, rows=_once(rows))


def _titled(metric: str) -> str:
    """A metric in words, its name on a second line."""
    title, short = metric_words(metric).title, safe_name(metric)
    return title if title == short else f"{title}\n{short}"


def _once(rows: list[list[str]]) -> list[list[str]]:
    """The rows without those that were listed before under the same name."""
    first: dict[str, list[str]] = {}
    for row in rows:
        first.setdefault(row[0].casefold(), row)
    return list(first.values())


def _undefined(found: Lookup) -> list[MetricValue]:
    listed = {item.name for item in found.audit.not_measured}
    values = [found.value(metric) for metric in found.metric_names]
    return [value for value in values if value is not None and value.value is None and value.name not in listed]
