"""SARIF 2.1.0, for code-scanning views: one result a rule.

A breached blocking rule is an ``error``, an undecided one a ``warning``; of a rule that only warns, a breach is a ``warning`` and
the undecided a ``note``.  Passed and unapplied rules are listed with level ``none``; a waived breach carries an
accepted suppression.
"""

from __future__ import annotations

import json
from typing import Any

from grmu_audit.records import EARLIER_SCHEMA, Audit, Decision, RuleOutcome
from grmu_audit.report.content.lookup import Lookup, model_label
from grmu_audit.report.content.rules import tells_nothing, worst_first
from grmu_audit.report.content.sentences import unverified
from grmu_audit.report.content.view import build_view, counted_rules, decision_key
from grmu_audit.report.content.view_model import View
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import load_strings
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.resources import VERSION

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
"""Address of the format's JSON Schema; named in the file, never fetched."""
_LEVELS = {
    ("BREACH", "block"): "error",
    ("INCONCLUSIVE", "block"): "warning",
    ("BREACH", "warn"): "warning",
    ("INCONCLUSIVE", "warn"): "note",
}


def render_sarif(audit: Audit) -> str:
    """The audit as one SARIF run; a decision other than PASS always shows as at least one result of kind ``fail``."""
    found, view = Lookup.of(audit), build_view(audit)
    outcomes = worst_first(audit.verdict.rules) if audit.verdict else []
    identities = list(dict.fromkeys(safe_name(rule.id) for rule in outcomes))
    results = [_result(rule, identities.index(safe_name(rule.id)), found) for rule in outcomes]
    counts = counted_rules(audit)
    if decision_key(audit) != "PASS" and not counts["breached"] + counts["undecided"]:
        identities.append("decision")
        results.append(_decision(f"{view['headline']} {view['because']}", len(identities) - 1, found))
    described = {safe_name(rule.id): rule for rule in reversed(outcomes)}
    rules = [_descriptor(identity, described.get(identity)) for identity in identities]
    driver = {"name": "grmu-audit", "semanticVersion": VERSION, "rules": rules}
    properties = {"decision": view["word"], "reportId": view["report_id"], "created": view["created"], **_forgetting(audit, view)}
    if reason := unverified(audit):
        properties["unverifiedFile"] = reason
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints", "properties": properties}
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _forgetting(audit: Audit, view: View) -> dict[str, Any]:
    """The answer on forgetting; exact evidence, sameness and controls where they were measured."""
    answer = {"forgotten": view["forgetting"]["answer"]}
    if audit.schema == EARLIER_SCHEMA:
        return answer
    controls = [
        {"name": safe_name(c.name), "decision": c.decision.value, "rulesNotMet": [safe_name(rule) for rule in c.not_met]}
        for c in (audit.verdict.controls if audit.verdict else ())
    ]
    return {**answer, "exactEvidence": audit.exactly_verified, "nothingDone": audit.unchanged, "controls": controls}


def _descriptor(identity: str, rule: RuleOutcome | None) -> dict[str, Any]:
    if rule is None:
        return {"id": identity, "shortDescription": {"text": identity}}
    words = metric_words(rule.metric)
    full = " ".join(part for part in (safe_sentence(rule.why), words.says, words.hides) if part)
    return {
        "id": identity,
        "shortDescription": {"text": f"{identity}: {words.title}"},
        "fullDescription": {"text": full or words.title},
        "defaultConfiguration": {"level": "error" if rule.severity == "block" else "warning"},
    }


def _result(rule: RuleOutcome, index: int, found: Lookup) -> dict[str, Any]:
    group = found.group_name(rule.group) if rule.group is not None else ""
    words = [
        safe_sentence(rule.reason),
        f"Group: {group}." if group else "",
        load_strings().text("forgotten.tells_nothing") if tells_nothing(rule, found.audit) else "",
        f"Needed: {safe_sentence(rule.needed)}." if rule.needed else "",
    ]
    result = _located(safe_name(rule.id), index, group, found)
    result |= {"message": {"text": " ".join(word for word in words if word)}, **_kind_and_level(rule)}
    if rule.applied and rule.waived:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": "waived by the policy"}]
    return result


def _kind_and_level(rule: RuleOutcome) -> dict[str, str]:
    if not rule.applied:
        return {"kind": "notApplicable", "level": "none"}
    if rule.decision is Decision.PASS:
        return {"kind": "pass", "level": "none"}
    if rule.severity == "inform":
        return {"kind": "informational", "level": "none"}
    return {"kind": "fail", "level": _LEVELS[rule.decision.value, "block" if rule.severity == "block" else "warn"]}


def _decision(sentence: str, index: int, found: Lookup) -> dict[str, Any]:
    return {**_located("decision", index, "", found), "message": {"text": sentence}, "kind": "fail", "level": "warning"}


def _located(identity: str, index: int, group: str, found: Lookup) -> dict[str, Any]:
    subject = model_label(found.audit.subject)
    place = {"fullyQualifiedName": f"{subject}/{group}" if group else subject, "kind": "object"}
    # the version number stays out of the fingerprint, so that the same finding is recognised in the next version
    fingerprint = sha256_hex(canonical_json([safe_name(found.audit.subject.name), identity, group]))
    return {
        "ruleId": identity,
        "ruleIndex": index,
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": "audit.json"}}, "logicalLocations": [place]}],
        "partialFingerprints": {"grmuAuditRule/v1": fingerprint},
    }
