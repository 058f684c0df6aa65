"""Policy files: validation, digest, schema, the policies that come with the tool."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml

from grmu_audit.errors import InputError, IntegrityError, NotFoundError, PolicyError
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.policy import Policy, json_schema, load, load_named, policy_sha256
from grmu_audit.policy.files import listed_policies, policy_tree, require_listed

ROOT = Path(__file__).parents[3]
HEAD = "schema: grmu-audit/policy/v1\nname: x\nrules:\n"


def errors(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "P").splitlines()


def test_the_example_of_the_documentation_loads(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        HEAD
        + "  - {id: a, metric: GA, compare: baseline, min_change: -0.05, severity: block, why: w}\n"
        + "  - {id: b, metric: EO, max: 0.25}\n  - {id: c, metric: MIA_AUC, within: [0.40, 0.60]}\n"
        + "  - {id: d, metric: UA, compare: reference, max_gap: 0.10, when: reference_available}\n"
        + "  - {id: e, metric: accuracy, group: {target: 1, attribute: 0}, min: 0.5, evidence: point, allow_incomplete: true}\n"
        + "waivers:\n  - {rule: b, reason: r, approved_by: board, expires: 2027-01-31}\n"
    )
    policy = load(path)
    assert policy.rules[0].region == (-0.05, float("inf"))
    assert [r.region for r in policy.rules][2:4] == [(0.40, 0.60), (-0.10, 0.10)]
    assert (policy.confidence, policy.multiplicity, policy.minimum_group_size, policy.positive_class) == (
        0.95,
        "bonferroni",
        30,
        1,
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{id: a, metric: EOO, max: 0.1}", "rules[0].metric: unknown metric (did you mean 'EO'?)"),
        ("{id: a, metric: EO, max: .nan}", "rules[0].max: Input should be a finite number"),
        ("{id: a, metric: EO, max: 25}", "rules[0].max: 25 is outside the range [0, 1] of EO; bounds are fractions"),
        ("{id: a, metric: GA, min: 0.9, max: 0.1}", "rules[0].max: max and min contradict each other"),
        ("{id: a, metric: GA, within: [0.9, 0.1]}", "rules[0].within: within contradict each other"),
        ("{id: a, metric: GA, compare: baseline, min_change: 0.2, max_gap: 0.1}", "contradict each other"),
        ("{id: a, metric: GA}", "rules[0]: no bound"),
        ("{id: a, metric: GA, min_change: -0.1}", "rules[0].min_change: bounds a change: add 'compare: baseline'"),
        ("{id: a, metric: GA, compare: reference, min: 0.1}", "rules[0].min: bounds the value itself"),
        ("{id: a, metric: accuracy, min: 0.1}", "rules[0].group: accuracy exists per group"),
        ("{id: a, metric: GA, group: {target: 0, attribute: 0}, min: 0.1}", "rules[0].group: GA is one value over all groups"),
        ("{id: a, metric: AVG_GAP, compare: reference, max_gap: 0.1}", "rules[0].compare: AVG_GAP already compares"),
        ("{id: a, metric: EO, max: 0.1, sevrity: warn}", "rules[0].sevrity: unknown key (did you mean 'severity'?)"),
        ("{id: a, metric: EO, max: '0.1'}", "rules[0].max: Input should be a valid number"),
        ("{id: a, metric: EO, max: true}", "rules[0].max: Input should be a valid number"),
    ],
)
def test_a_wrong_rule_is_named_by_line_and_key(tmp_path, rule, message):
    lines = errors(tmp_path, f"{HEAD}  - {rule}\n")
    assert len(lines) == 1
    assert lines[0].startswith("P:4: ")
    assert message in lines[0]


def test_all_errors_come_at_once(tmp_path):
    lines = errors(
        tmp_path,
        HEAD.replace("name: x", "name: x\nconfidnce: 0.9")
        + "  - {id: a, metric: EO, max: 25, severity: bloc}\n  - {id: a, metric: WGG, min: .inf}\n"
        + "waivers:\n  - {rule: b, reason: '', approved_by: me, expires: 2027-02-30}\n",
    )
    keys = [line.split(": ")[1] for line in lines]
    assert sorted(keys) == sorted([
        "confidnce", "rules[0].max", "rules[0].severity", "rules[1].id", "rules[1].metric", "rules[1].min",
        "waivers[0].expires", "waivers[0].reason", "waivers[0].rule",
    ])  # fmt: skip


def test_a_rule_may_have_one_waiver_and_ids_are_unique(tmp_path):
    text = (
        HEAD
        + "  - {id: a, metric: EO, max: 0.2}\nwaivers:\n"
        + "  - {rule: a, reason: r, approved_by: b, expires: 2027-01-31}\n" * 2
    )
    assert errors(tmp_path, text) == ["P:7: waivers[1].rule: 'a' has a waiver already: keep one"]
    assert errors(tmp_path, HEAD + "  - {id: a, metric: EO, max: 0.2}\n" * 2) == [
        "P:5: rules[1].id: 'a' is already the id of rules[0]: ids are unique"
    ]


def test_digest_depends_on_content_and_not_on_layout(tmp_path):
    for name, text in (
        ("a", "  - {id: a, metric: EO, max: 0.2}\n"),
        ("b", "  # note\n  - id: a\n    max: 0.20\n    metric: EO\n"),
    ):
        (tmp_path / f"{name}.yaml").write_text(HEAD + text)
    (tmp_path / "c.yaml").write_text(HEAD + "  - {id: a, metric: EO, max: 0.21}\n")
    digests = [policy_sha256(load(tmp_path / f"{name}.yaml")) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64


def test_what_asks_for_two_people_has_another_digest_and_what_does_not_has_that_of_before():
    rules = [{"id": "a", "metric": "EO", "max": 0.2}]
    plain, said, asking = (
        Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": rules, **more})
        for more in ({}, {"sign_off": "optional"}, {"sign_off": "two_people"})
    )
    assert policy_sha256(plain) == policy_sha256(said) != policy_sha256(asking)
    assert "sign_off" not in policy_tree(plain)


def test_the_committed_schema_is_the_generated_one():
    committed = json.loads((ROOT / "policies" / "policy.schema.json").read_text())
    assert committed == json_schema()
    jsonschema.Draft202012Validator.check_schema(committed)


@pytest.mark.parametrize("path", sorted((ROOT / "policies").glob("*.yaml")), ids=lambda p: p.stem)
def test_policies_that_come_with_the_tool_are_valid_and_say_why(path):
    policy = load_named(path.stem)
    assert policy == load(path)
    assert policy.name == path.stem
    assert policy.description
    assert all(rule.why for rule in policy.rules)
    assert any(rule.severity == "block" for rule in policy.rules)
    tree = yaml.safe_load(path.read_text())
    assert not list(jsonschema.Draft202012Validator(json_schema()).iter_errors(tree))


UNFAILING = [
    "metric: TA, min: 0",
    "metric: EO, max: 1",
    "metric: MIA_AUC, within: [0, 1]",
    "metric: GA, min: 0, max: 1.0",
    "metric: accuracy, group: {target: 0, attribute: 1}, min: 0",
    "metric: UA_GA_GAP, min: -1",
    "metric: FORGET_EPS, max: 50",
    "metric: RELEARN, max: 20",
    "metric: FORGET_SHARE, max: 1000000000",
    "metric: TA, compare: baseline, min_change: -1",
    "metric: EO, compare: reference, max_change: 1",
    "metric: UA, compare: reference, max_gap: 1",
    "metric: UA_GA_GAP, compare: baseline, max_gap: 2",
]


@pytest.mark.parametrize("evidence", ["interval", "point", "one-sided", "unless-breached"])
@pytest.mark.parametrize("severity", ["block", "warn"])
@pytest.mark.parametrize("rule", UNFAILING)
def test_a_rule_that_cannot_fail_is_an_error_unless_it_only_informs(tmp_path, rule, severity, evidence):
    text = f"{HEAD}  - {{id: a, {rule}, evidence: {evidence}, severity: SEVERITY}}\n"
    lines = errors(tmp_path, text.replace("SEVERITY", severity))
    assert len(lines) == 1
    assert "the rule cannot fail" in lines[0]
    (tmp_path / "p.yaml").write_text(text.replace("SEVERITY", "inform"))
    assert load(tmp_path / "p.yaml").rules[0].severity == "inform"


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_metric_has_a_range_that_rules_are_checked_against(name):
    entry = CATALOG[name]
    assert entry.low < entry.high
    group = {"group": {"target": 0, "attribute": 0}} if entry.per_group else {}
    inside = entry.low + (entry.high - entry.low) / 3
    for bounds, fails in (
        ({"min": entry.low}, False),
        ({"max": entry.high}, False),
        ({"max": inside}, True),
        ({"min": inside}, True),
    ):
        head = {"schema": "grmu-audit/policy/v1", "name": "x", "control_attributes": ["age"] if name in CONDITIONAL else []}
        tree = {**head, "rules": [{"id": "a", "metric": name, **group, **bounds}]}
        if fails:
            Policy.model_validate(tree)
            continue
        with pytest.raises(ValueError, match="cannot fail"):
            Policy.model_validate(tree)
        assert Policy.stored(tree).rules[0].metric == name


@pytest.mark.parametrize("name", ["a" * 300, f"tests/{'a' * 300}.yaml", f"{'a' * 300}@{'1' * 64}"])
def test_a_name_that_is_too_long_for_a_file_is_not_found(name):
    with pytest.raises(NotFoundError, match="no policy"):
        load_named(name)


def test_a_policy_in_a_folder_that_may_not_be_read_is_not_called_missing(monkeypatch):
    """An administrator may read every folder, so that the system's answer is given here."""
    path = "policies/ours.yaml"
    stat = os.stat

    def refused(name, *args, **more):
        if os.fspath(name) == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return stat(name, *args, **more)

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(PermissionError, match=r"Permission denied: 'policies/ours\.yaml'"):
        load_named(path)


def test_a_policy_is_pinned_by_its_digest(tmp_path):
    digest = policy_sha256(load_named("default"))
    assert load_named(f"default@{digest}") == load_named(f"default@sha256:{digest.upper()}") == load_named("default")
    with pytest.raises(IntegrityError, match=f"has the SHA-256 {digest}, not the required 0000"):
        load_named(f"default@{'0' * 64}")
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        load_named(f"default@{digest[:12]}")
    path = tmp_path / "ours@home.yaml"
    path.write_text(HEAD + "  - {id: a, metric: EO, max: 0.2}\n")
    assert load_named(f"{path}@{policy_sha256(load(path))}") == load_named(str(path))


def test_the_policies_that_count_are_those_that_judge_forgetting_until_the_operator_lists_others(tmp_path, monkeypatch):
    monkeypatch.delenv("GRMU_AUDIT_POLICIES", raising=False)
    assert sorted(policy.name for policy in listed_policies().values()) == [
        "default",
        "eu-ai-act",
        "iso-42001-nist-rmf",
        "strict",
    ]
    packaged = {name: policy_sha256(load_named(name)) for name in ("default", "strict", "fairness-only")}
    path = tmp_path / "ours.yaml"
    path.write_text(HEAD + "  - {id: a, metric: EO, max: 0.2}\n")
    own = policy_sha256(load(path))
    require_listed("default", packaged["default"])
    for digest in (packaged["fairness-only"], own):
        with pytest.raises(IntegrityError, match="GRMU_AUDIT_POLICIES"):
            require_listed("x", digest)
    require_listed("fairness-only", packaged["fairness-only"], unclaimed=True)
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", f"{path}@{own}{os.pathsep}strict")
    require_listed("x", own)
    with pytest.raises(IntegrityError, match="default@"):
        require_listed("default", packaged["default"])
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", f"{path}@{'1' * 64}")
    with pytest.raises(IntegrityError, match="was changed"):
        require_listed("x", own)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(NotFoundError, match="did you mean 'default'"):
        load_named("defalt")
    with pytest.raises(NotFoundError, match="no policy file"):
        load_named(tmp_path / "none.yaml")


def test_python_callers_meet_the_same_checks():
    tree = {"schema": "grmu-audit/policy/v1", "name": "x", "rules": [{"id": "a", "metric": "EO", "max": 0.2}] * 2}
    with pytest.raises(ValueError, match="already the id"):
        Policy.model_validate(tree)


@pytest.mark.parametrize("metric", [["TA"], {"TA": 1}, 3, None])
def test_a_metric_that_is_no_name_is_one_error_with_its_line(tmp_path, metric):
    rule = {"id": "a", "metric": metric, "min": 0.5}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"schema": "grmu-audit/policy/v1", "name": "p", "rules": [rule]}))
    with pytest.raises(PolicyError, match=r"rules\[0\]"):
        load(tmp_path / "p.yaml")


@pytest.mark.parametrize("key", ["min", "minimum_group_size", "positive_class"])
def test_a_number_of_400_digits_is_one_error_with_its_line(tmp_path, key):
    rule = {"id": "a", "metric": "TA", "min": 0.5}
    tree = {"schema": "grmu-audit/policy/v1", "name": "p", "rules": [rule]}
    (rule if key == "min" else tree)[key] = 10**399
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(PolicyError, match="the whole number is beyond 64 bits"):
        load(tmp_path / "p.yaml")
