"""The first two pages: what was asked, what unlearning did to people, what was not measured, who signs, what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grmu_audit.evidence.sign_offs import SIGN_OFF_ROLES
from grmu_audit.metrics.catalog import Topic, topic
from grmu_audit.metrics.catalog.wording import confidence_text
from grmu_audit.records import Decision, RuleOutcome
from grmu_audit.report.content.fact_lists import make_fact
from grmu_audit.report.content.lookup import GroupChange, Lookup, group_changes
from grmu_audit.report.content.rules import rank, state_of
from grmu_audit.report.content.sentences import effect_on_all, rule_sentence, sentence
from grmu_audit.report.content.view_model import Column, Fact, People, RuleRow, Table
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import Strings

MOST_GROUPS = 10
"""Groups that lost and are listed with their numbers; the others are named."""
_MOST_STEPS = 4
_LEVEL = re.compile(r"^the audit was made at level \w+; level (\w+) measures ")


def verdict_facts(found: Lookup, strings: Strings) -> list[Fact]:
    """Level, the day until which the verdict holds, who asked, and by when it was due."""
    audit, request = found.audit, found.audit.forget.request
    level, expires = audit.record.get("level"), audit.record.get("expires")
    rows = {
        "level": strings.get(f"levels.{level}", safe_name(str(level))) if level else None,
        "expires": str(expires).partition("T")[0] if expires else None,
        "asked_by": request.get("request_id") or request.get("subject"),
        "due": request.get("due_at"),
    }
    return [make_fact(strings.text(f"front.{key}"), value) for key, value in rows.items()]


def people_view(found: Lookup, strings: Strings) -> People:
    """Whether the policy's limits on accuracy hold, how many groups lost, and each of them with its numbers."""
    rows = group_changes(found)
    own = [row for row in rows if row.group in found.audit.forget.dominant_groups]
    lost = [row for row in rows if row.lost]
    others = [row for row in lost if row not in own]
    state = _state_on_people(found)
    said = [effect_on_all(found, strings), *(_own_sentence(row, found, strings) for row in own[:MOST_GROUPS])]
    said += [_warned(found, strings)]
    unknown = len(found.groups) - len(rows)
    if rows and unknown:
        said.append(strings.text("people.unknown", count=unknown))
    if not _has_attribute(found):
        said.append(strings.text("people.no_attribute"))
    return People(
        question=strings.text("people.question"),
        answer=f"{strings.text(f'people.limits.{state}')} {_counted(rows, lost, strings)}",
        detail=" ".join(part for part in said if part),
        state=state,
        table=_lost_table([*own, *others[:MOST_GROUPS]], own, found, strings),
        more=_rest(others[MOST_GROUPS:], found, strings),
    )


def _counted(rows: Sequence[GroupChange], lost: Sequence[GroupChange], strings: Strings) -> str:
    """How many groups lost, and for how many of them chance does not explain it."""
    if not rows:
        return strings.text("people.nothing_known")
    if not lost:
        return strings.text("people.none_lost", count=len(rows))
    clear = sum(row.beyond_chance for row in lost)
    key = "none_clear" if not clear else "all_clear" if clear == len(lost) else "some_clear"
    return strings.text(f"people.lost.{key}", lost=len(lost), count=len(rows), clear=clear)


def _own_sentence(row: GroupChange, found: Lookup, strings: Strings) -> str:
    key = "lost" if row.lost else "gained" if row.gained else "same"
    values = {"before": numbers.estimate(row.before), "after": numbers.estimate(row.after)}
    return strings.text(f"people.own.{key}", group=found.group_name(row.group), **values)


def _state_on_people(found: Lookup) -> str:
    """The worst of the blocking rules on accuracy and fairness as a style name; ``not-judged`` without one."""
    rules = [rule for rule in _rules_on_people(found) if rule.blocking]
    return state_of(min(rules, key=rank)) if rules else "not-judged"


def _warned(found: Lookup, strings: Strings) -> str:
    """The rules on accuracy and fairness that only warn and are broken; empty where there is none."""
    rules = [r for r in _rules_on_people(found) if r.severity == "warn" and r.decision is Decision.BREACH and not r.waived]
    return strings.text("people.warned", rules="; ".join(metric_words(r.metric).title for r in rules)) if rules else ""


def _rules_on_people(found: Lookup) -> list[RuleOutcome]:
    """Applied rules on accuracy and fairness."""
    verdict = found.audit.verdict
    return [rule for rule in verdict.rules if rule.applied and topic(rule.metric) is Topic.UTILITY] if verdict else []


def _has_attribute(found: Lookup) -> bool:
    """Whether groups differ in anything but their class."""
    return not found.groups or len({group.attribute for group in found.groups}) > 1


def _lost_table(rows: Sequence[GroupChange], own: Sequence[GroupChange], found: Lookup, strings: Strings) -> Table:
    shown = [
        [
            found.group_name(row.group) + (f"\n{strings.text('people.own_mark')}" if row in own else ""),
            numbers.estimate(row.before),
            numbers.estimate(row.after),
            "\n".join(part for part in (numbers.estimate(row.change), numbers.interval_of(row.change)) if part),
        ]
        for row in rows
    ]
    kinds = {"group": "text", "before": "number", "after": "number", "change": "number"}
    columns = [Column(title=strings.text(f"columns.{key}"), kind=kind) for key, kind in kinds.items()]
    return Table(caption=strings.text("people.table", confidence=_confidence(rows)), columns=columns, rows=shown)


def _confidence(rows: Sequence[GroupChange]) -> str:
    """Confidence of the intervals of the changes, all of which are of one audit."""
    return confidence_text(next((row.change.confidence for row in rows if row.change is not None), 0.95))


def _rest(rows: Sequence[GroupChange], found: Lookup, strings: Strings) -> str:
    """Names of the groups that lost and have no row."""
    names = "; ".join(found.group_name(row.group) for row in rows)
    return strings.text("people.more", count=len(rows), names=names) if rows else ""


def unmeasured(rows: Sequence[Sequence[str]], strings: Strings) -> list[Fact]:
    """What was not measured, by why: one fact a reason, the names together.

    Args:
        rows: name (in its first line) and reason of each.
        strings: wording.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in rows:
        level = _LEVEL.match(reason)
        why = strings.text("not_measured.at_level", level=level.group(1)) if level else sentence(reason)
        by_reason.setdefault(why, []).append(name.partition("\n")[0])
    return [Fact(label=why, value="; ".join(names), kind="text") for why, names in by_reason.items()]


def signatures(found: Lookup, strings: Strings) -> Table:
    """Preparer, reviewer and approver: who signed, or that nobody has yet."""
    signed = found.after.get("sign_off") or found.audit.record.get("sign_off")
    known = dict(signed) if isinstance(signed, dict) else {}
    absent = strings.text("front.unsigned")
    rows = [
        [strings.text(f"fields.{role}"), safe_sentence(numbers.value_text(known.get(role) or absent))] for role in SIGN_OFF_ROLES
    ]
    if known.get("signature"):
        rows.append([strings.text("fields.signature"), safe_sentence(numbers.value_text(known["signature"]))])
    columns = [Column(title=strings.text(f"front.{key}"), kind="text") for key in ("role", "signed")]
    return Table(caption=strings.text("front.signatures"), columns=columns, rows=rows)


def next_steps(found: Lookup, rules: Sequence[RuleRow], first: str, strings: Strings) -> list[str]:
    """What to do: the step of the decision, then what each rule that stands in the way takes, each once.

    Args:
        found: the audit.
        rules: its rules in words.
        first: the step that follows from the decision.
        strings: wording.
    """
    verdict = found.audit.verdict
    if verdict is None or verdict.decision is Decision.PASS:
        return [first]
    rows = {row["id"]: row for row in rules}
    open_rules = [r for r in verdict.rules if r.blocking and not r.waived and r.decision is verdict.decision]
    steps = list(dict.fromkeys(_remedy(rule, rows[safe_name(rule.id)], found, strings) for rule in open_rules))
    more = [strings.text("and_more", count=len(steps) - _MOST_STEPS)] if len(steps) > _MOST_STEPS else []
    return [first, *steps[:_MOST_STEPS], *more]


def _remedy(rule: RuleOutcome, row: RuleRow, found: Lookup, strings: Strings) -> str:
    """What would decide a rule, or else what was found and what is required."""
    if row["needed"]:
        return f"{row['title']}: {row['needed']}"
    return sentence(rule_sentence(rule, found, strings).removeprefix("Not decided: "))
