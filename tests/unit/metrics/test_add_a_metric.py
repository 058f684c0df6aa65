"""The tutorial's metric is taken from the page, installed as an entry point, measured, judged and compared."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from support.distributions import lay_out
from support.measured_audits import measured

from grmu_audit.errors import GrmuAuditError, InputError
from grmu_audit.metrics import catalog
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.policy import Policy, evaluate
from grmu_audit.utils.plugins import Registry

PAGE = Path(__file__).parents[3] / "docs" / "add-a-metric.md"


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with a metric, as pip would lay it out, before the entry points are first looked up."""

    def installed(code: str, line: str) -> None:
        modules = {"your_package/__init__.py": "", "your_package/missed.py": code}
        lay_out(tmp_path, "your_package", "grmu_audit.metrics", [line], modules, monkeypatch)

    fresh = Registry("metric", "grmu_audit.metrics")
    for name in ("grmu_audit.metrics.catalog", "grmu_audit.metrics.measure", "grmu_audit.metrics.changes"):
        monkeypatch.setattr(sys.modules[name], "PLUGINS", fresh)
    yield installed
    for name in [name for name in sys.modules if name.startswith("your_package")]:
        del sys.modules[name]


def audit():
    return measured(example(), example("baseline"))


def rules(*found):
    return Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": list(found)})


def test_the_pages_metric_is_measured_compared_and_judged(install):
    group, line = block("toml").strip().splitlines()
    assert group == '[project.entry-points."grmu_audit.metrics"]'
    install(block("python"), line)
    (rule,) = yaml.safe_load(block("yaml"))["rules"]
    change = {"id": "not-more", "metric": "MISSED", "compare": "baseline", "max_change": 0.2}
    made = audit()
    p = example()
    rows = p.mask("test") & (p.target == 1)
    assert made.metric("MISSED").value == pytest.approx((p.prediction[rows] != 1).mean())
    assert made.metric("MISSED").interval[0] < made.metric("MISSED").value
    verdict = evaluate(made, rules(rule, change), today=date(2026, 6, 1))
    assert [r.decision.value for r in verdict.rules] == ["PASS", "PASS"]
    assert catalog.spec("MISSED").title == "Missed positives"
    assert list(catalog.CATALOG)[-1] == "MISSED"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("n = int(rows.sum())", "n = 1 / 0"), "its code failed: ZeroDivisionError"),
        (("n = int(rows.sum())", "raise RuntimeError('x')"), "its code failed: RuntimeError: x"),
        (("n = int(rows.sum())", "import no_such_package"), "its code failed: ModuleNotFoundError"),
        (("n = int(rows.sum())", "return None"), "its code gave a NoneType"),
        (("Proportion(int(wrong.sum())", "Proportion(9 * n"), "outside its range"),
        (("if n == 0:", "if n:"), "no test sample of the positive class"),
        (('Outcome("MISSED", basis', 'Outcome("EO", basis'), "its code gave an outcome of 'EO'"),
        (("Proportion(int(wrong.sum()), n, effect, basis.persons)", "{'kind': 'proportion'}"), "its code failed: AttributeError"),
    ],
)
def test_a_metric_that_fails_is_undefined_and_never_passes(install, change, reason):
    install(block("python").replace(*change), block("toml").strip().splitlines()[1])
    made = audit()
    assert made.metric("MISSED").value is None
    assert reason in made.metric("MISSED").why_missing
    verdict = evaluate(made, rules({"id": "r", "metric": "MISSED", "max": 0.9}), today=date(2026, 6, 1))
    assert verdict.decision.value == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ('EO = "your_package.missed:MISSED"', lambda c: c.replace('"MISSED"', '"EO"'), "which comes with the tool"),
        ('OTHER = "your_package.missed:MISSED"', lambda c: c, "both must be the same"),
    ],
)
def test_names_that_clash_are_refused(install, line, code, message):
    install(code(block("python")), line)
    with pytest.raises(InputError, match=message):
        list(catalog.CATALOG)
    with pytest.raises(GrmuAuditError):
        rules({"id": "r", "metric": "NONE", "max": 1.0})


def test_without_packages_the_catalogue_is_the_tools_own():
    assert list(catalog.CATALOG) == list(catalog.BUILT_IN)
    assert len(catalog.CATALOG) == len(catalog.BUILT_IN)
    assert replace(catalog.spec("EO")).direction == "lower"
