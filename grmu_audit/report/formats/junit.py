"""JUnit XML: one test case a rule, one a quality check, so that any CI server shows the verdict.

BREACH is a failure; INCONCLUSIVE is a failure of type ``inconclusive``; a rule that did not apply and a waived breach are
skipped; a rule that only warns passes and says so in its output; a check that was not evaluated is an error.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from grmu_audit.records import EARLIER_SCHEMA, Audit, CheckResult, Decision, RuleOutcome
from grmu_audit.report.content.lookup import Lookup, model_label
from grmu_audit.report.content.rules import state_of, tells_nothing
from grmu_audit.report.content.sentences import unverified
from grmu_audit.report.content.view import build_view
from grmu_audit.report.wording.names import safe_name, safe_sentence
from grmu_audit.report.wording.strings import load_strings


def render_junit(audit: Audit) -> str:
    """The audit as JUnit XML; a decision other than PASS always shows as at least one failure or error."""
    root = ET.Element("testsuites", name="grmu-audit")
    _policy_suite(root, audit)
    if audit.data_quality is not None:
        suite, found = ET.SubElement(root, "testsuite", name="data-quality"), Lookup.of(audit)
        for check in audit.data_quality.results:
            _check_case(suite, check, found)
    for suite in root:
        _count(suite)
    _count(root)
    del root.attrib["skipped"]  # the schema that CI servers share has it on each suite only
    seconds = audit.record.get("seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        root.set("time", f"{seconds:.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _policy_suite(root: ET.Element, audit: Audit) -> None:
    verdict = audit.verdict
    policy = safe_name(verdict.policy_label) if verdict else "none"
    suite = ET.SubElement(root, "testsuite", name=f"policy {policy}")
    properties = ET.SubElement(suite, "properties")
    view = build_view(audit)
    facts = {
        "subject": model_label(audit.subject),
        "decision": view["word"],
        "report_id": view["report_id"],
        "created": view["created"],
        "forgotten": view["forgetting"]["answer"],
        **({"unverified_file": unverified(audit)} if unverified(audit) else {}),
        **_forgetting(audit),
    }
    for key, value in facts.items():
        ET.SubElement(properties, "property", name=key, value=value)
    found = Lookup.of(audit)
    for rule in verdict.rules if verdict else ():
        _rule_case(suite, rule, f"{model_label(audit.subject)}.{policy}", found)
    failed = suite.find("testcase/failure") is not None
    if verdict is None or (verdict.decision is not Decision.PASS and not failed):
        case = ET.SubElement(suite, "testcase", classname=f"{model_label(audit.subject)}.{policy}", name="decision")
        kind = "error" if verdict is None else "failure"
        _said(
            case,
            kind,
            "not-judged" if verdict is None else verdict.decision.value.lower(),
            f"{view['headline']} {view['because']}",
        )


def _forgetting(audit: Audit) -> dict[str, str]:
    """Exact evidence, sameness, and the verdict on each control, as properties; nothing where they were not measured."""
    if audit.schema == EARLIER_SCHEMA:
        return {}
    facts = {"nothing_done": str(audit.unchanged).lower()}
    if audit.exact is not None:
        facts["exact_evidence"] = f"{'verified' if audit.exact.verified else 'not verified'}: {safe_sentence(audit.exact.reason)}"
    for control in audit.verdict.controls if audit.verdict else ():
        unmet = ", ".join(map(safe_name, control.not_met)) or "none"
        facts[f"control.{safe_name(control.name)}"] = f"{control.decision}; rules not met: {unmet}"
    return facts


def _rule_case(suite: ET.Element, rule: RuleOutcome, owner: str, found: Lookup) -> None:
    group = f" [{found.group_name(rule.group)}]" if rule.group is not None else ""
    case = ET.SubElement(suite, "testcase", classname=owner, name=f"{safe_name(rule.id)}{group}")
    message = safe_sentence(f"{rule.decision}: {rule.reason}" + (f" Needed: {rule.needed}" if rule.needed else ""))
    state = state_of(rule)
    if state == "not-applied":
        ET.SubElement(case, "skipped", message=load_strings().text("rules.not_applied"))
    elif state == "waived":
        ET.SubElement(case, "skipped", message=safe_sentence(f"waived: {message}"))
    elif rule.decision is Decision.PASS:
        if tells_nothing(rule, found.audit):
            ET.SubElement(case, "system-out").text = load_strings().text("forgotten.tells_nothing")
    elif rule.severity == "block":
        _said(case, "failure", rule.decision.value.lower(), message)
    else:
        lead = "warning only" if rule.severity == "warn" else "for information"
        ET.SubElement(case, "system-out").text = f"{lead}: {message}"


def _check_case(suite: ET.Element, check: CheckResult, found: Lookup) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=f"data-quality.{safe_name(check.part)}", name=safe_sentence(check.expectation)
    )
    message = safe_sentence(f"observed: {found.observed(check, load_strings().text('hidden_complement'))}")
    if not check.evaluated:
        _said(case, "error", "not-evaluated", message)
    elif check.passed:
        return
    elif check.severity == "warning":
        ET.SubElement(case, "system-out").text = f"warning only: {message}"
    else:
        _said(case, "failure", "data-quality", message)


def _said(case: ET.Element, tag: str, kind: str, message: str) -> None:
    ET.SubElement(case, tag, type=kind, message=message).text = message


def _count(element: ET.Element) -> None:
    element.set("tests", str(len(element.findall(".//testcase"))))
    for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        element.set(key, str(len(element.findall(f".//{tag}"))))
