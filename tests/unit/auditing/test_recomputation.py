"""A forger without any key who recreates everything is detected by recomputing the values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.bundles import Files, exported, made_exact, rewritten
from support.judged_audits import predictions

from grmu_audit.auditing.bundle_check import verify_bundle_bytes
from grmu_audit.auditing.recomputation import Recomputed, recompute, rule_findings, statement_findings, value_differences
from grmu_audit.auditing.rows_read import without_record
from grmu_audit.evidence.archive import pack, unpack
from grmu_audit.evidence.ledger import check_ledger
from grmu_audit.policy import Policy
from grmu_audit.policy.judgement import judge
from grmu_audit.records import CANDIDATE, Audit, MetricValue
from grmu_audit.utils import canonical_json, sha256_hex


def set_metric(tree: dict[str, Any]) -> None:
    found = next(m for m in tree["metrics"] if m["name"] == "TA" and m["subject"] == "candidate")
    found["value"] = 0.999


def set_rule(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"][1]["decision"] = "PASS"


def drop_metric(tree: dict[str, Any]) -> None:
    tree["metrics"] = tree["metrics"][1:]


def drop_segments(tree: dict[str, Any]) -> None:
    del tree["segments"]


def drop_later_metrics(tree: dict[str, Any]) -> None:
    names = ("CONFORMAL_COVERAGE", "CONFORMAL_SIZE", "IMPACT_RATIO")
    for part in (tree, *tree["controls"]):
        key = "metrics" if "metrics" in part else "values"
        part[key] = [value for value in part[key] if value["name"] not in names]


def set_segments(tree: dict[str, Any]) -> None:
    tree["segments"]["segments"] += 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_metric, "TA candidate: recorded 0.999"),
        (set_rule, "rule gap is recorded as PASS"),
        (drop_metric, "is not recorded"),
        (set_segments, "the weak segments are recorded otherwise"),
        (drop_segments, "weak segments: the audit states that this was measured"),
        (drop_later_metrics, "IMPACT_RATIO candidate follows from the predictions, but is not recorded"),
    ],
)
def test_even_a_wholly_rewritten_unsigned_bundle_cannot_hide_another_number(
    unsigned: bytes, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    forged = verify_bundle_bytes(pack(rewritten(unpack(unsigned)[0], change)))
    assert any(said in finding for finding in forged.findings), forged.findings


def test_an_audit_of_before_parts_were_stated_verifies_and_says_what_cannot_be_told(unsigned: bytes) -> None:
    def as_before(tree: dict[str, Any]) -> None:
        del tree["record"]["measured_parts"]

    def without(tree: dict[str, Any]) -> None:
        as_before(tree)
        drop_segments(tree)
        drop_later_metrics(tree)

    files, words = unpack(unsigned)[0], "their absence cannot be told from deletion"
    before, absent = (verify_bundle_bytes(pack(rewritten(files, change))) for change in (as_before, without))
    assert before.findings == absent.findings == ()
    assert not any(words in note for note in before.notes)
    said = "made before CONFORMAL_COVERAGE, CONFORMAL_SIZE, IMPACT_RATIO, weak segments were recorded"
    assert f"{said}: {words}" in absent.notes


def test_other_predictions_are_named_even_when_everything_else_is_recreated(unsigned: bytes, folder: Path) -> None:
    from grmu_audit.auditing.stored_predictions import to_parquet

    files = unpack(unsigned)[0]
    better = to_parquet(predictions(200, 102, skill=9.0))
    forged = pack(rewritten({**files, "predictions/candidate.parquet": better}, lambda tree: None))
    findings = verify_bundle_bytes(forged).findings
    assert "predictions of candidate are not those that were audited" in findings
    assert any(finding.startswith("TA candidate") for finding in findings)


def set_control(tree: dict[str, Any]) -> None:
    tree["verdict"]["controls"][0] |= {"decision": "BREACH", "met": [], "not_met": ["accuracy"]}


def drop_control(tree: dict[str, Any]) -> None:
    del tree["controls"][1], tree["verdict"]["controls"][1]


def drop_controls(tree: dict[str, Any]) -> None:
    tree["controls"] = tree["verdict"]["controls"] = []


def set_control_value(tree: dict[str, Any]) -> None:
    value = next(value for value in tree["controls"][1]["values"] if value["name"] == "MIA_AUC")
    value["value"] = 0.001


def make_null_control_positive(tree: dict[str, Any]) -> None:
    tree["verdict"]["controls"][0]["null"] = False


def set_unchanged(tree: dict[str, Any]) -> None:
    tree["unchanged"] = True


def set_claim(tree: dict[str, Any]) -> None:
    tree["verdict"]["claims_forgetting"] = True


def set_acceptance(tree: dict[str, Any]) -> None:
    tree["verdict"]["null_control_accepted"] = "agreed"


def set_reason(tree: dict[str, Any]) -> None:
    tree["verdict"]["reason"] = "All is well."


def set_rule_reason(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"][0]["reason"] = "Met by exact evidence."


def set_observed(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"][0]["observed"] = 0.9999


def claim_exact_evidence(tree: dict[str, Any]) -> None:
    tree["exact"] = {"verified": True, "reason": "no row was read."}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_control, "control 'before' is recorded as BREACH"),
        (drop_control, "control 'before, logits x 0.3' is recorded as not judged"),
        (drop_controls, "the controls are recorded as none"),
        (set_control_value, "of control 'before, logits x 0.3': recorded 0.001"),
        (make_null_control_positive, "control 'before' is recorded as PASS (a retrained model"),
        (set_unchanged, "that nothing was done is recorded as True"),
        (set_claim, "claims_forgetting of the verdict is recorded as True"),
        (set_acceptance, "null_control_accepted of the verdict"),
        (set_reason, "reason of the verdict is recorded as 'All is well.'"),
        (set_rule_reason, "reason of rule accuracy"),
        (set_observed, "observed of rule accuracy is recorded as 0.9999"),
        (claim_exact_evidence, "exact evidence is recorded for a version of role 'unlearned'"),
    ],
)
def test_controls_and_statements_that_were_edited_or_removed_are_named(
    unsigned: bytes, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    forged = verify_bundle_bytes(pack(rewritten(unpack(unsigned)[0], change)))
    assert any(said in finding for finding in forged.findings), forged.findings


@pytest.fixture(scope="module")
def exact(folder: Path) -> bytes:
    """A bundle of a retrained version with the record of the rows that it read."""
    return made_exact(folder)


def test_exact_evidence_agrees_with_the_record_of_the_rows_that_were_read(exact: bytes) -> None:
    checked = verify_bundle_bytes(exact)
    assert checked.findings == ()
    assert {"rows_read.json", "rows_read-reference-1.json"} <= unpack(exact)[0].keys()


def read_a_row(record: dict[str, Any]) -> None:
    record["training_rows_not_read"].pop()
    record["training_rows_read"] += 1


def of_other_data(record: dict[str, Any]) -> None:
    record["data_sha256"] = "0" * 64


RECORDS = {
    "rows_read.json": "exact evidence is recorded as verified, but",
    "rows_read-reference-1.json": "reference#1 is recorded as a reference, but",
}


@pytest.mark.parametrize("change", [read_a_row, of_other_data])
@pytest.mark.parametrize("digest_follows", [False, True])
@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_was_edited_is_named(
    exact: bytes, change: Callable[[dict[str, Any]], None], digest_follows: bool, name: str
) -> None:
    files = unpack(exact)[0]
    record = json.loads(files[name])
    change(record)
    content = canonical_json(record)

    def follow(tree: dict[str, Any]) -> None:
        ref = tree["references"][0] if "reference" in name else tree["subject"]
        if digest_follows:
            ref["config"]["rows_read_sha256"] = sha256_hex(content)

    findings = verify_bundle_bytes(pack(rewritten({**files, name: content}, follow))).findings
    assert any(RECORDS[name] in finding for finding in findings), findings


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_was_removed_is_named(exact: bytes, name: str) -> None:
    files = unpack(exact)[0]
    del files[name]
    findings = verify_bundle_bytes(pack(rewritten(files, lambda tree: None))).findings
    assert any(f"{RECORDS[name]} there is no {name}" in finding for finding in findings), findings


def by_another_version(tree: dict[str, Any]) -> None:
    tree["record"]["tool"] = "grmu-audit 0.0.1"


def saying_so(tree: dict[str, Any]) -> None:
    said = without_record(Audit.from_json(tree).references[0])
    tree["not_measured"] = [*tree["not_measured"], {"name": said.name, "reason": said.reason}]


@pytest.mark.parametrize("change", [by_another_version, saying_so])
def test_an_audit_that_was_stored_without_the_record_of_a_reference_says_so(
    exact: bytes, change: Callable[[dict[str, Any]], None]
) -> None:
    files = unpack(exact)[0]
    del files["rows_read-reference-1.json"]
    checked = verify_bundle_bytes(pack(rewritten(files, change)))
    assert checked.findings == ()
    assert any("the rows that reference#1 read were not compared here" in note for note in checked.notes), checked.notes


def test_exact_evidence_that_was_removed_is_named(exact: bytes) -> None:
    forged = pack(rewritten(unpack(exact)[0], lambda tree: tree.update(exact=None)))
    assert any("exact evidence is not recorded" in finding for finding in verify_bundle_bytes(forged).findings)


def test_entries_before_the_audit_are_those_that_its_attestation_names(unsigned: bytes) -> None:
    """Every entry has another author and every hash fits again; only the attestation, which may be signed, was left as it is."""
    files = unpack(unsigned)[0]
    name, rows = json.loads(files["audit.json"])["subject"]["name"], json.loads(files["ledger.json"])
    hashes = [sha256_hex(name.encode())]
    for row in rows:
        entry = {**json.loads(row["tags"]["grmu.ledger.entry"]), "actor": "somebody else"}
        text = canonical_json({**entry, "chain_sha256": hashes[entry["previous"]]})
        row["tags"] |= {"grmu.ledger.entry": text.decode(), "grmu.ledger.sha256": sha256_hex(text)}
        hashes.append(sha256_hex((hashes[-1] + sha256_hex(text)).encode()))
    assert check_ledger(name, [(row["number"], row["tags"]) for row in rows])[1] == []
    checked = verify_bundle_bytes(pack({**files, **exported(name, rows)}))
    assert any("does not begin with the 1 entries that" in finding for finding in checked.findings), checked.findings


def again(files: Files, change: Callable[[dict[str, Any]], None] = lambda tree: None) -> Recomputed:
    """The audit of a bundle, changed, computed again."""
    tree = json.loads(files["audit.json"])
    change(tree)
    return recompute(Audit.from_json(tree), Policy.stored(json.loads(files["policy.json"])), files)


def other_library(tree: dict[str, Any]) -> None:
    tree["record"]["libraries"] = {"scikit-learn": "0.1"}


def other_forest(tree: dict[str, Any]) -> None:
    for value in tree["metrics"]:
        if value["name"] in ("MIA", "TA") and value["subject"] == "candidate":
            value["value"] = 0.123


def test_numbers_of_a_random_forest_of_another_library_are_told_and_are_no_difference(unsigned: bytes) -> None:
    def both(tree: dict[str, Any]) -> None:
        other_library(tree)
        other_forest(tree)

    files = unpack(unsigned)[0]
    forest = "MIA candidate: recorded 0.123, computed again"
    same, other = again(files, other_forest), again(files, both)
    assert any(finding.startswith(forest) for finding in same.findings)
    assert not any(note.startswith(forest) for note in same.notes)
    assert not any(finding.startswith(forest) for finding in other.findings)
    (note,) = (note for note in other.notes if note.startswith(forest))
    assert "it rests on a random forest, and the audit used scikit-learn 0.1, this machine has" in note
    assert any(finding.startswith("TA candidate: recorded 0.123") for finding in other.findings), "no other number is excused"


def test_a_verdict_that_is_not_there_or_lacks_a_rule_of_the_policy_is_named(unsigned: bytes) -> None:
    files = unpack(unsigned)[0]

    def without_verdict(tree: dict[str, Any]) -> None:
        tree["verdict"] = None

    def without_rule(tree: dict[str, Any]) -> None:
        del tree["verdict"]["rules"][0]

    assert again(files, without_verdict).findings[0] == "the audit has no verdict"
    assert "the verdict does not hold the rules of the policy" in again(files, without_rule).findings


@pytest.mark.parametrize(("name", "value"), [("n", 9), ("incomplete", True), ("smallest_cell", 3)])
def test_the_count_that_differs_is_named(name: str, value: object) -> None:
    plain = MetricValue("accuracy", CANDIDATE, 0.5, 10)
    found = list(value_differences(plain, replace(plain, **{name: value})))
    assert found == [f"recorded {name} = {getattr(plain, name)}, computed again {value}"]


def test_nothing_is_compared_where_either_verdict_is_missing(unsigned: bytes) -> None:
    files = unpack(unsigned)[0]
    audit = Audit.from_json(json.loads(files["audit.json"]))
    judged = judge(audit, Policy.stored(json.loads(files["policy.json"])))
    for pair in ((replace(audit, verdict=None), judged), (audit, replace(judged, verdict=None))):
        assert rule_findings(*pair) == ["the audit has no verdict"]
        assert statement_findings(*pair) == []


@pytest.mark.parametrize(
    ("key", "unnamed", "found"),
    [("old", 0, False), ("old", 1, True), ("new", 0, True), (None, 0, True)],
)
def test_a_record_under_an_earlier_key_is_compared_by_how_many_rows_it_names(
    exact: bytes, key: str | None, unnamed: int, found: bool
) -> None:
    """It calls the rows that were not read by names that the tables do not have."""
    files = unpack(exact)[0]
    record = json.loads(files["rows_read.json"])
    names = record["training_rows_not_read"][unnamed:]
    record |= {"training_rows_not_read": sorted(sha256_hex(name.encode()) for name in names)}
    record["training_rows_read"] += unnamed
    content = canonical_json(record)

    def earlier(tree: dict[str, Any]) -> None:
        tree["record"]["key_check"], tree["subject"]["key_check"] = "new", key
        tree["subject"]["config"]["rows_read_sha256"] = sha256_hex(content)

    checked, read = again({**files, "rows_read.json": content}, earlier), "exact/1 read rows of the forget set"
    assert any(read in finding for finding in checked.findings) is found
    told = [note for note in checked.notes if "calls rows by names of an earlier key" in note]
    assert [note.partition(" ")[0] for note in told] == (["rows_read.json"] if key == "old" else [])
