import html
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator
from support import audits

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.policy import load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import UNVERIFIED, Audit, CheckResult, ControlOutcome, Decision, Group, NotMeasured
from grmu_audit.report.formats import FORMATS, render
from grmu_audit.report.formats.github import escape_message, escape_property
from grmu_audit.report.formats.markdown import escape_markdown
from grmu_audit.report.formats.text import render_text

NAMES = sorted(audits.ALL)


def test_formats_are_known_by_name():
    assert {"html", "json", "text", "markdown", "junit", "sarif", "github"} <= set(FORMATS.names())
    with pytest.raises(NotFoundError, match="did you mean 'junit'"):
        render(audits.unjudged(), "junt")


@pytest.mark.parametrize("name", NAMES)
def test_json_reads_back_to_the_same_audit(name):
    text = render(audits.ALL[name](), "json")
    assert Audit.from_json(json.loads(text)).to_json() == audits.ALL[name]().to_json()


def test_json_refuses_nan():
    base = audits.unjudged()
    with pytest.raises(InputError, match=r"metrics\[0\].value is nan"):
        render(replace(base, metrics=(replace(base.metrics[0], value=float("nan")),)), "json")


@pytest.mark.parametrize("name", NAMES)
def test_junit_is_xml_and_fails_exactly_when_the_gate_does(name):
    audit = audits.ALL[name]()
    root = ET.fromstring(render(audit, "junit"))
    cases = root.findall(".//testcase")
    assert int(root.get("tests")) == len(cases) > 0
    policy = root.find("testsuite")
    passed = audit.verdict is not None and audit.verdict.decision is Decision.PASS
    assert (int(policy.get("failures")) + int(policy.get("errors")) == 0) is passed


def test_junit_kinds():
    base = audits.judged(Decision.BREACH)
    odd = [
        replace(base.verdict.rules[0], id="waived", waived=True),
        replace(base.verdict.rules[0], id="off", applied=False),
        replace(base.verdict.rules[0], id="undecided", decision=Decision.INCONCLUSIVE, group=Group(0, 1)),
        replace(base.verdict.rules[0], id="warns", severity="warn"),
    ]
    checks = replace(
        base.data_quality, results=(CheckResult("test", "x", False, False, "–"), CheckResult("test", "y", False, True, "7"))
    )
    audit = replace(base, data_quality=checks).with_verdict(replace(base.verdict, rules=(*base.verdict.rules, *odd)))
    cases = {case.get("name"): case for case in ET.fromstring(render(audit, "junit")).iter("testcase")}
    assert cases["dominant-group-accuracy-kept"].find("failure").get("type") == "breach"
    assert cases["undecided [digit below 5, dark paper]"].find("failure").get("type") == "inconclusive"
    assert cases["waived"].find("skipped") is not None
    assert cases["off"].find("skipped") is not None
    assert cases["warns"].find("failure") is None
    assert "warning only" in cases["warns"].findtext("system-out")
    assert cases["x"].find("error").get("type") == "not-evaluated"
    assert cases["y"].find("failure").get("type") == "data-quality"


@pytest.mark.parametrize("name", NAMES)
def test_sarif_structure(name):
    audit = audits.ALL[name]()
    document = json.loads(render(audit, "sarif"))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "audit.json"
        assert (result["level"] == "none") is (result["kind"] != "fail")
    passed = audit.verdict is not None and audit.verdict.decision is Decision.PASS
    blocking = [result for result in run["results"] if result["kind"] == "fail" and result["level"] in ("error", "warning")]
    assert (blocking == []) is passed


@pytest.mark.parametrize("kind", ["github", "junit"])
def test_a_failed_check_does_not_give_the_size_of_a_very_small_forget_set_away(kind):
    base = audits.judged(Decision.BREACH)
    checks = replace(base.data_quality, results=(CheckResult("retain", "x", False, True, "2 of 997 rows fail"),))
    told = replace(base, data_quality=checks)
    assert "2 of 997 rows fail" in render(told, kind)
    assert "997" not in render(replace(told, forget=replace(told.forget, count=3)), kind)


def test_sarif_levels_and_fingerprints():
    document = json.loads(render(audits.judged(Decision.BREACH), "sarif"))
    results = {result["ruleId"]: result for result in document["runs"][0]["results"]}
    assert results["dominant-group-accuracy-kept"]["level"] == "error"
    assert results["close-to-retraining"]["level"] == "note"
    assert results["equalized-odds"]["kind"] == "pass"
    prints = [result["partialFingerprints"]["grmuAuditRule/v1"] for result in results.values()]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("name", NAMES)
def test_github_lines_are_commands_and_nothing_else(name):
    lines = render(audits.ALL[name](), "github").splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,]*::.*", line), line
        message = line.split("::", 2)[2]
        assert not re.search(r"%(?!25|0A|0D)", message)


@pytest.mark.parametrize(
    ("changes", "line", "result"),
    [
        ({"decision": Decision.BREACH}, "error", ("fail", "error")),
        ({"decision": Decision.BREACH, "waived": True}, "notice", ("fail", "error")),
        ({"decision": Decision.BREACH, "severity": "warn"}, "warning", ("fail", "warning")),
        ({"decision": Decision.INCONCLUSIVE, "severity": "warn"}, "notice", ("fail", "note")),
        ({"decision": Decision.BREACH, "severity": "inform"}, None, ("informational", "none")),
        ({"decision": Decision.INCONCLUSIVE, "severity": "inform"}, None, ("informational", "none")),
        ({"decision": Decision.BREACH, "applied": False}, None, ("notApplicable", "none")),
        ({"decision": Decision.PASS, "severity": "inform"}, None, ("pass", "none")),
    ],
)
def test_what_a_rule_is_in_annotations_and_in_code_scanning(changes, line, result):
    base = audits.judged(Decision.PASS)
    changed = replace(base.verdict.rules[0], id="the-rule", **changes)
    audit = base.with_verdict(replace(base.verdict, rules=(changed, *base.verdict.rules[1:])))
    lines = [text for text in render(audit, "github").splitlines() if "the-rule" in text.split("::")[1]]
    assert [text.split(" ")[0] for text in lines] == ([] if line is None else [f"::{line}"])
    (run,) = json.loads(render(audit, "sarif"))["runs"]
    (found,) = (one for one in run["results"] if one["ruleId"] == "the-rule")
    assert (found["kind"], found["level"]) == result
    accepted = [{"kind": "external", "status": "accepted", "justification": "waived by the policy"}]
    assert found.get("suppressions") == (accepted if changes.get("waived") else None)


def test_code_scanning_says_why_a_file_was_not_compared_with_a_store():
    base = audits.judged(Decision.PASS)
    alone = replace(base, not_measured=(*base.not_measured, NotMeasured(UNVERIFIED, "no store was given")))
    reasons = [json.loads(render(audit, "sarif"))["runs"][0]["properties"].get("unverifiedFile") for audit in (base, alone)]
    assert reasons == [None, "no store was given"]


def test_github_shows_at_most_ten_of_a_kind_worst_first():
    base = audits.judged(Decision.BREACH)
    many = tuple(replace(base.verdict.rules[0], id=f"rule-{i}") for i in range(30))
    lines = render(base.with_verdict(replace(base.verdict, rules=many)), "github").splitlines()
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == 10
    assert "Did not meet policy" in errors[0]
    assert "22 more of this kind" in errors[-1]


def test_github_escapes():
    assert escape_message("a%b\r\n") == "a%25b%0D%0A"
    assert escape_property("x:y,z\n") == "x%3Ay%2Cz%0A"


@pytest.mark.parametrize("name", NAMES)
def test_markdown_is_small_and_its_tables_hold_together(name):
    text = render(audits.ALL[name](), "markdown")
    assert len(text.encode()) < 64_000
    widths = {}
    for number, line in enumerate(text.splitlines()):
        if line.startswith("|"):
            widths.setdefault(number - sum(n < number for n in widths), set())
            assert line.count("|") == line.replace("\\|", "").count("|")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_markdown_escapes_names():
    text = escape_markdown("<img src=x> [a](javascript:x) @team #12 **b** `c`")
    assert "<" not in text
    assert "](" not in text
    assert "@team" not in text
    assert "`" not in text
    assert "**" not in text


def test_markdown_cuts_what_does_not_fit_and_says_so():
    base = audits.judged(Decision.BREACH)
    many = tuple(replace(base.verdict.rules[0], id=f"rule-{i}-" + "<" * 200, reason="<" * 1000) for i in range(200))
    text = render(base.with_verdict(replace(base.verdict, rules=many)), "markdown")
    assert len(text.encode()) < 64_000
    assert re.search(r"… \d+ more", text)


@pytest.mark.parametrize("name", NAMES)
def test_text_holds_nothing_that_a_terminal_obeys(name):
    text = render(audits.ALL[name](), "text")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "What was not measured" in text


def test_text_says_verdict_reason_and_remedy():
    text = render_text(audits.judged(Decision.INCONCLUSIVE), width=80)
    assert text.startswith("? INCONCLUSIVE  photodigits-v1/4\n")
    assert "about 310 test samples" in text
    assert "✔ PASS" in text


@pytest.mark.parametrize("kind", ["html", "text", "markdown", "junit", "sarif", "github"])
def test_people_s_formats_show_no_request_id(kind):
    assert "secret-id-1" not in render(audits.judged(Decision.PASS), kind)


@pytest.mark.parametrize("name", sorted(audits.ALL))
def test_sarif_and_junit_are_read_by_independent_libraries(name):
    junitparser, sarif_pydantic = pytest.importorskip("junitparser"), pytest.importorskip("sarif_pydantic")
    audit = audits.ALL[name]()
    log = sarif_pydantic.Sarif.model_validate_json(render(audit, "sarif"))
    assert log.version == "2.1.0"
    assert len(log.runs[0].results) >= len(audit.verdict.rules if audit.verdict else ())
    suites = junitparser.JUnitXml.fromstring(render(audit, "junit").encode())
    assert suites.tests == sum(suite.tests for suite in suites)
    assert sum(len(list(suite)) for suite in suites) == suites.tests


@pytest.mark.parametrize(
    "text", ["\u202eabc\u202c", "=1+1", "+1", "-1", "@SUM(A1)", "]]>", "'\"`", "🙂" * 50, "<b>&amp;</b>", "%0A::error::"]
)
def test_every_format_holds_odd_names_as_text(text):
    audit = audits.hostile(text)
    for kind in ("html", "markdown", "model-card", "text", "json", "junit", "sarif", "github"):
        assert render(audit, kind).endswith("\n")
    assert "<b>" not in render(audit, "markdown")
    assert "<b>" not in render(audit, "html")
    assert len(render(audit, "html").encode()) < 500_000


def test_every_format_names_the_request_whose_rows_were_trained_on_again():
    base = audits.judged(Decision.PASS)
    forget = replace(base.forget, request={**base.forget.request, "reversed": ["request R-1 of digits/2"]})
    found = judge(replace(base, forget=forget), load_named("default"))
    for name in sorted(set(FORMATS.names()) - {"pdf", "groups"}):
        assert "request R-1 of digits/2" in " ".join(render(found, name).split()), name


def undecided_by_the_null_control() -> Audit:
    """Every rule is met, and by a cheat, too."""
    base = audits.judged(Decision.PASS)
    cheat = ControlOutcome("before, labels only", True, Decision.PASS, ("forgotten",), ())
    reason = "On this data the policy cannot tell this version from one that forgot nothing. 4 of 4 blocking rules met."
    return replace(base, verdict=replace(base.verdict, decision=Decision.INCONCLUSIVE, controls=(cheat,), reason=reason))


@pytest.mark.parametrize("kind", ["text", "markdown", "model-card", "html", "junit", "sarif", "github"])
def test_every_format_says_whether_it_was_forgotten(kind):
    for audit, said in (
        (audits.judged(Decision.PASS), "Yes, as far as its outputs show"),
        (audits.exact(), "Yes: the model was trained again"),
        (undecided_by_the_null_control(), "a model that forgot nothing meets the policy as well"),
        (replace(audits.judged(Decision.PASS), unchanged=True), "Nothing was done"),
    ):
        assert said in " ".join(html.unescape(render(audit, kind)).split()), said


def test_the_terminal_says_it_before_the_rules():
    text = render_text(audits.judged(Decision.PASS))
    assert text.index("Was it forgotten? Yes") < text.index("PASS  equalized-odds")
    assert "The version before unlearning meets this rule too" in text
    assert max(map(len, text.splitlines())) <= 80


def test_junit_has_controls_exact_evidence_and_sameness():
    def properties(audit):
        return {p.get("name"): p.get("value") for p in ET.fromstring(render(audit, "junit")).iter("property")}

    found = properties(audits.exact())
    assert found["exact_evidence"].startswith("verified: photodigits-v1/4 was trained from fresh weights")
    assert found["nothing_done"] == "false"
    assert found["control.before, logits x 0.3"] == "BREACH; rules not met: forgotten"
    assert found["control.reference#1"] == "PASS; rules not met: none"
    assert set(properties(audits.earlier())) == {"subject", "decision", "report_id", "created", "forgotten"}
    cases = {case.get("name"): case for case in ET.fromstring(render(audits.judged(Decision.PASS), "junit")).iter("testcase")}
    assert "says nothing about forgetting" in cases["forget-set-looks-unseen"].findtext("system-out")


def test_a_verdict_that_the_null_control_leaves_open_fails_in_junit_and_sarif():
    audit = undecided_by_the_null_control()
    failure = ET.fromstring(render(audit, "junit")).find(".//testcase[@name='decision']/failure")
    assert failure.get("type") == "inconclusive"
    (run,) = json.loads(render(audit, "sarif"))["runs"]
    decision = next(result for result in run["results"] if result["ruleId"] == "decision")
    assert (decision["kind"], decision["level"]) == ("fail", "warning")
    assert "cannot tell this version" in decision["message"]["text"]


def test_sarif_has_controls_exact_evidence_and_sameness():
    (run,) = json.loads(render(audits.exact(), "sarif"))["runs"]
    assert run["properties"]["exactEvidence"] is True
    assert run["properties"]["nothingDone"] is False
    assert run["properties"]["controls"][0] == {"name": "before", "decision": "BREACH", "rulesNotMet": ["forgotten"]}
    (run,) = json.loads(render(audits.judged(Decision.PASS), "sarif"))["runs"]
    marked = [result["ruleId"] for result in run["results"] if "says nothing about forgetting" in result["message"]["text"]]
    assert marked == ["forget-set-looks-unseen"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "earlier"])
def test_audit_json_has_the_form_of_its_schema(name):
    schema = json.loads((Path(__file__).parents[3] / "schemas" / "audit-v2.json").read_text())
    Draft202012Validator.check_schema(schema)
    tree = audits.ALL[name]().to_json()
    assert list(Draft202012Validator(schema).iter_errors(tree)) == []
    assert list(Draft202012Validator(schema).iter_errors({**tree, "schema": "grmu-audit/audit/v3"}))
    assert list(Draft202012Validator(schema).iter_errors({**tree, "more": 1}))


def test_the_kind_of_the_data_stands_in_audit_json_only_where_it_is_recorded():
    audit = audits.rich()
    stored = replace(audit, data=replace(audit.data, kind="")).to_json()
    assert "kind" not in stored["data"]
    assert Audit.from_json(stored).to_json() == stored
    assert replace(audit, data=replace(audit.data, kind="table")).to_json() == stored | {
        "data": stored["data"] | {"kind": "table"}
    }
