"""The external form of an audit: no count of people can be solved for, and nothing in it depends on exact counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.disclosure_attack import by_subtraction, published
from support.judged_audits import inputs_of, policy

from grmu_audit.auditing.audit_files import write_audit
from grmu_audit.auditing.disclosure.external_form import (
    INTERNAL_SHA256,
    external_findings,
    external_form,
    shown_count,
    shown_range,
)
from grmu_audit.auditing.measurement import measure
from grmu_audit.cli.app import execute
from grmu_audit.errors import InputError
from grmu_audit.policy.judgement import judge
from grmu_audit.records import Audit, AuditContext, CheckResult, DataCheckReport, DataRecord, ModelRef, NotMeasured, Predictions
from grmu_audit.report import render
from grmu_audit.utils import canonical_json

FORMATS = ("text", "html", "junit", "sarif", "markdown", "model-card", "github", "groups", "json")
NAMES = ("no", "yes")


@pytest.fixture(autouse=True)
def _one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")


def table(seed: int, sizes: dict[int, tuple[int, int, int, int]], skill: float = 2.0) -> Predictions:
    """Outputs on groups (codes) of these sizes in retain, forget, val and test."""
    rng = np.random.default_rng(seed)
    rows = [(code, split) for code, parts in sizes.items() for split, count in enumerate(parts) for _ in range(count)]
    group, split = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    target, attribute = group // 2, group % 2
    logits = rng.normal(size=(len(rows), 2)) + skill * np.eye(2)[target]
    ids = np.array([f"{i:032x}" for i in range(len(rows))])
    return Predictions(
        ids, split, target, attribute, logits.argmax(1), 2, 2, logits, class_names=NAMES, attribute_names=("a", "b")
    )


def judged(tables: list[Predictions], drop: int | None = None) -> Audit:
    """An audit of these models; ``drop`` leaves one row out."""
    if drop is not None:
        tables = [_without(one, drop) for one in tables]
    data = DataRecord("d" * 64, {}, "imagined", class_names=NAMES, attribute_names=("a", "b"))
    ref = ModelRef("m", "1", role="unlearned", config={"sample_gradients": 1234, "seconds": 9.5}, seed=7)
    return judge(measure(inputs_of(ref, tables), AuditContext(data)), policy())


def _without(p: Predictions, row: int) -> Predictions:
    kept = np.arange(len(p)) != row
    names = ("ids", "split", "target", "attribute", "prediction", "logits")
    return replace(p, **{name: getattr(p, name)[kept] for name in names})


SIZES = {
    "whole groups forgotten": {0: (0, 41, 9, 30), 1: (1, 42, 8, 33), 2: (4, 6, 6, 64), 3: (0, 5, 5, 27)},
    "one small cell": {0: (61, 3, 9, 41), 1: (40, 22, 8, 33), 2: (55, 31, 6, 64), 3: (20, 9, 5, 27)},
    "small everywhere": {0: (6, 4, 1, 6), 1: (4, 1, 2, 3), 2: (9, 8, 3, 11), 3: (2, 2, 1, 5)},
    "one rare group": {0: (90, 0, 20, 120), 1: (80, 0, 22, 110), 2: (70, 0, 19, 4), 3: (3, 41, 7, 52)},
    "large": {0: (400, 120, 50, 501), 1: (310, 60, 50, 444), 2: (250, 30, 40, 300), 3: (111, 26, 31, 203)},
}


def external(sizes: dict[int, tuple[int, int, int, int]], seed: int = 0) -> tuple[Audit, Audit]:
    exact = judged([table(seed + i, sizes, skill) for i, skill in enumerate((2.0, 2.6, 1.5))])
    return exact, external_form(exact, "e" * 64)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_no_count_can_be_solved_for(name: str, seed: int) -> None:
    exact, form = external(SIZES[name], 10 * seed)
    tree = form.to_json()
    known = {(row.group.target, row.group.attribute): row.train for row in exact.data.groups}
    for train in (None, known):
        system, cells = published(tree, train)
        assert len(cells) >= 15
        small = {f"{part}{key}" for key, count in known.items() if count < 5 for part in ("forget", "retain")}
        nobody = {f"retain{(g.group.target, g.group.attribute)}" for g in exact.data.groups if not g.forget}
        assert system.narrow(cells, small | nobody if train else ()) == []
    true = {f"forget{(g.group.target, g.group.attribute)}": g.forget for g in exact.data.groups}
    for cell, count in true.items():
        low, high = system.range_of({cell: 1.0})
        assert low - 1e-6 <= count <= high + 1e-6, "the attack rests on what is true"


def test_the_attack_solves_tables_with_exact_totals_and_forms_with_one_exact_number() -> None:
    hidden = by_subtraction([41, None, 0, 9], 53)
    assert hidden.narrow({"cell": {"1": 1.0}}) == ["cell: 3.000 to 3.000"]
    two = by_subtraction([41, None, None, 9], 52)
    assert two.narrow({"cell": {"1": 1.0}}), "two hidden cells of 1 to 4 that sum to 2"
    exact, form = external(SIZES["one rare group"])
    system, cells = published(form.to_json())
    total = sum(row.test for row in exact.data.groups)
    system.sums.append(({name: 1.0 for name in cells if name.startswith("test")}, total, total))
    rate = next(v for v in exact.metrics if v.name == "accuracy" and v.group == exact.data.groups[3].group)
    assert rate.value is not None
    right = "right candidate(1, 1)"
    system.sums.append(({right: 1.0, "test(1, 1)": -rate.value}, 0.0, 0.0))
    system.variables["test(1, 1)"] = (52.0, 52.0)
    assert system.narrow({"right": {right: 1.0}}), "a rate with its denominator"


@pytest.mark.parametrize("name", SIZES)
def test_nothing_depends_on_exact_counts_and_rates(name: str) -> None:
    """One person less: as long as all that is shown as a number of people stays, so does every other byte."""
    tables = [table(i, SIZES[name], skill) for i, skill in enumerate((2.0, 2.6))]
    form = external_form(judged(tables), "e" * 64)
    compared = 0
    for row in range(0, len(tables[0]), max(len(tables[0]) // 12, 1)):
        other = external_form(judged(tables, row), "e" * 64)
        if _people(other) == _people(form) and _decisions(other) == _decisions(form):
            compared += 1
            assert _plain(other) == _plain(form)
    assert compared > 0


def _people(form: Audit) -> list[Any]:
    rates = [(v.name, str(v.subject), v.group, v.value) for v in form.metrics if "within" in v.details]
    return [form.data.groups, form.forget.dominant_groups, rates]


def _decisions(form: Audit) -> list[Any]:
    assert form.verdict is not None
    return [form.verdict.decision, [(rule.id, rule.decision) for rule in form.verdict.rules], form.verdict.controls]


def _plain(form: Audit) -> bytes:
    """The form without numbers over outputs, which a row that is left out may move."""
    rounded = {"MIA_AUC", "FORGET_SHARE", "DELETION_AUC"}
    return canonical_json(replace(form, metrics=tuple(v for v in form.metrics if v.name not in rounded)).to_json())


def test_what_is_left_out_and_what_stays() -> None:
    exact, form = external(SIZES["large"])
    assert exact.verdict is not None
    assert form.verdict is not None
    assert (exact.external, form.external) == (False, True)
    assert exact.record["disclosure"] == "internal"
    assert form.record[INTERNAL_SHA256] == "e" * 64
    assert (form.subject.config, form.subject.seed, form.curves) == ({}, None, {})
    assert form.forget.digest == "", "a digest of counts could be guessed"
    assert all(v.statistic is None and v.interval is None and v.smallest_cell is None for v in form.metrics)
    assert [r.decision for r in form.verdict.rules] == [r.decision for r in exact.verdict.rules]
    assert all(r.interval is None and r.n is None and r.needed is None for r in form.verdict.rules)
    assert {"TA", "WG", "UA", "RA", "accuracy", "MIA_AUC"} <= {v.name for v in form.metrics}
    ta, shown = exact.metric("TA"), form.metric("TA")
    assert ta is not None and shown is not None and ta.value is not None and shown.value is not None  # noqa: PT018
    assert abs(ta.value - shown.value) < 0.03
    assert Audit.from_json(json.loads(canonical_json(form.to_json()))) == form
    with pytest.raises(InputError, match="in its external form already"):
        external_form(form, "e" * 64)


def shown_values(form: Audit) -> dict[tuple[str, str, Any], float | None]:
    return {(value.name, str(value.subject), value.group): value.value for value in form.metrics}


@pytest.mark.parametrize("name", ["TA", "WG", "GA", "UA", "RA"])
def test_a_number_that_the_audit_does_not_hold_is_not_made_up(name: str) -> None:
    exact, form = external(SIZES["large"])
    assert form.metric(name) is not None
    without = external_form(replace(exact, metrics=tuple(v for v in exact.metrics if v.name != name)), "e" * 64)
    assert shown_values(without) == {key: value for key, value in shown_values(form).items() if key[0] != name}


def test_a_group_without_test_rows_has_no_rate_and_the_others_keep_theirs() -> None:
    sizes = SIZES["large"] | {3: (111, 26, 31, 0)}
    _, form = external(sizes)
    rates = {value.group: value.value for value in form.metrics if value.name == "accuracy" and str(value.subject) == "candidate"}
    assert {(group.target, group.attribute) for group in rates if group is not None} == {(0, 0), (0, 1), (1, 0)}
    worst = form.metric("WG")
    assert worst is not None
    assert worst.value == min(float(rate or 0) for rate in rates.values())


def test_a_form_without_a_verdict_is_a_finding() -> None:
    _, form = external(SIZES["large"])
    assert external_findings(form, policy()) == []
    assert external_findings(replace(form, verdict=None), policy()) == ["the audit has no verdict"]


def test_texts_and_checks_with_counts_are_left_out() -> None:
    exact, _ = external(SIZES["large"])
    checks = DataCheckReport(
        (CheckResult("train", "enough rows", True, True, "1073 of 1073"),), "engine", "5" * 64, ({"train": 7},)
    )
    exact = replace(
        exact,
        data_quality=checks,
        not_measured=(NotMeasured("forgetting of 17 deleted rows", "they were deleted"), NotMeasured("x", "needs 18 rows")),
        record={**exact.record, "evaluations": 1073, "prediction_not_largest": {"candidate": 3}},
    )
    text = canonical_json(external_form(exact, "e" * 64).to_json()).decode()
    assert not any(
        secret in text for secret in ("1073", "17 deleted", "18 rows", "not_largest", "sample_gradients", "evaluations")
    )


@pytest.mark.parametrize("name", ["large", "small everywhere"])
def test_every_format_is_made_from_the_form_and_says_what_it_is(name: str) -> None:
    _, form = external(SIZES[name])
    for kind in FORMATS:
        assert render(form, kind), kind
    page = render(form, "html")
    assert "Counts of people are rounded up to multiples of 5" in page
    assert "where a single one of them could be worked out from its total" not in page
    for kind in ("text", "html", "markdown", "json"):
        assert "external form" in render(form, kind).lower(), kind


def test_a_form_is_not_judged() -> None:
    with pytest.raises(InputError, match="is an external form: judge the internal one"):
        judge(external(SIZES["large"])[1], policy())


def test_widths_hold_five_people() -> None:
    for people in range(20, 3000, 7):
        for right in (0, 1, people // 2, people - 1, people):
            found = shown_range(right / people, people)
            assert found is not None
            assert found[0] <= right / people <= found[1]
            assert (found[1] - found[0]) * people >= 5 - 1e-6
    assert shown_range(0.5, 19) is None
    assert [shown_count(n) for n in (0, 1, 4, 5, 6, 10, 11)] == [0, 5, 5, 5, 10, 10, 15]


def test_the_command_line_renders_the_form_of_an_audit_file(tmp_path: Path) -> None:
    exact, _ = external(SIZES["large"])
    digest = write_audit(exact, tmp_path / "audit.json")
    line = ["report", "--audit", str(tmp_path / "audit.json"), "--disclosure", "external", "--format"]
    for kind in ("json", "html", "groups"):
        assert execute([*line, kind, "--out", str(tmp_path / kind)]) == 0
    tree = json.loads((tmp_path / "json").read_text())
    assert Audit.from_json(tree) == external_form(exact, digest)
    assert "external form" in (tmp_path / "html").read_text()
    assert execute(["gate", "--audit", str(tmp_path / "json")]) == 2, "it is not judged again"
