"""GitHub annotations: workflow commands on stdout, worst first, at most 10 of a kind, since a step shows no more."""

from __future__ import annotations

from grmu_audit.records import Audit, Decision, RuleOutcome
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.rules import worst_first
from grmu_audit.report.content.view import build_view
from grmu_audit.report.content.view_model import View
from grmu_audit.report.wording.names import safe_name, safe_sentence
from grmu_audit.report.wording.strings import load_strings

MOST = 10
"""Annotations of one kind that a step shows."""


def render_github(audit: Audit) -> str:
    """The audit as annotations: ``error`` for what blocks, ``warning`` for what is undecided or only warns, else ``notice``."""
    view, found = build_view(audit), Lookup.of(audit)
    hidden = load_strings().text("hidden_complement")
    listed: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    _add(listed, _decision_kind(audit), f"{view['word']}: {view['subject']}", _said(view))
    for check in audit.data_quality.results if audit.data_quality else ():
        if not check.passed:
            kind = "warning" if check.severity == "warning" else "error"
            _add(
                listed,
                kind,
                f"Data quality: {safe_name(check.part)}",
                safe_sentence(f"{check.expectation}; observed: {found.observed(check, hidden)}"),
            )
    for rule in worst_first(audit.verdict.rules) if audit.verdict else []:
        level = _kind(rule)
        if level is not None:
            group = f" [{found.group_name(rule.group)}]" if rule.group is not None else ""
            _add(
                listed,
                level,
                f"{rule.decision}: {safe_name(rule.id)}{group}",
                safe_sentence(f"{rule.reason} {rule.needed or ''}"),
            )
    return "".join(line + "\n" for kind, lines in listed.items() for line in _at_most(kind, lines))


def _said(view: View) -> str:
    found = view["forgetting"]
    return f"{view['headline']} {view['because']} {found['question']} {found['answer']}"


def escape_message(text: str) -> str:
    r"""Text of an annotation: ``%``, CR and LF are coded.

    >>> escape_message("50 %\n::error::")
    '50 %25%0A::error::'
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Text of a property such as the title: ``:`` and ``,`` are coded too.

    >>> escape_property("a: b, c")
    'a%3A b%2C c'
    """
    return escape_message(text).replace(":", "%3A").replace(",", "%2C")


def _add(listed: dict[str, list[str]], kind: str, title: str, message: str) -> None:
    listed[kind].append(f"::{kind} title={escape_property(title)}::{escape_message(message)}")


def _decision_kind(audit: Audit) -> str:
    if audit.verdict is None:
        return "warning"
    return {Decision.PASS: "notice", Decision.BREACH: "error", Decision.INCONCLUSIVE: "warning"}[audit.verdict.decision]


def _kind(rule: RuleOutcome) -> str | None:
    if not rule.applied or rule.decision is Decision.PASS:
        return None
    if rule.waived:
        return "notice"
    if rule.severity == "inform":
        return None
    if rule.severity != "block":
        return "warning" if rule.decision is Decision.BREACH else "notice"
    return "error" if rule.decision is Decision.BREACH else "warning"


def _at_most(kind: str, lines: list[str]) -> list[str]:
    """The first 10; with more, the tenth says how many are not shown."""
    if len(lines) <= MOST:
        return lines
    rest = len(lines) - (MOST - 1)
    return [*lines[: MOST - 1], f"::{kind} title={rest} more::{rest} more of this kind stand in the report."]
