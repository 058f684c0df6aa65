"""docs/policies.md: its code runs, and every command prints what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from grmu_audit.cli.app import execute
from grmu_audit.policy import Policy, load_named
from grmu_audit.utils.resources import policy_names

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions and the audit of the page."""
    place = tmp_path_factory.mktemp("policies")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec(compile(next(text for language, text in BLOCKS if language == "python"), "docs/policies.md", "exec"), {})
        assert execute(["--quiet", *shlex.split(next(t for _, t in BLOCKS if t.startswith("$ grmu-audit score")))[2:]]) == 3
    return place


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "console" and " policy " in text])
def test_every_command_prints_what_the_page_says(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    line, _, expected = text.partition("\n")
    assert execute(shlex.split(line)[2:]) == 0
    assert capsys.readouterr().out.rstrip() == expected.rstrip()


def test_the_rule_on_control_attributes_is_one_of_a_policy() -> None:
    (text,) = [text for language, text in BLOCKS if language == "yaml"]
    policy = Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", **yaml.safe_load(text)})
    assert policy.control_attributes == ("department",)


def test_every_packaged_policy_is_on_the_page() -> None:
    assert all(f"`{name}`" in PAGE for name in policy_names())


@pytest.mark.parametrize("name", policy_names())
def test_every_packaged_policy_is_valid_and_says_what_it_cannot_show(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["policy", "check", name]) == 0
    policy = load_named(name)
    if name not in ("default", "fairness-only"):
        assert policy.cannot_show
    if name in ("nyc-ll144", "eu-ai-act", "iso-42001-nist-rmf", "research"):
        assert all(rule.clauses for rule in policy.rules)


def test_packs_that_count_for_a_promotion_block_on_all_that_the_default_blocks_on() -> None:
    default = {r.id: (r.metric, r.compare, r.region) for r in load_named("default").rules if r.severity == "block"}
    for name in policy_names():
        policy = load_named(name)
        if not policy.claims_forgetting:
            continue
        blocking = {r.id: r for r in policy.rules if r.severity == "block"}
        for rule, (metric, compare, region) in default.items():
            found = blocking[rule]
            assert (found.metric, found.compare) == (metric, compare)
            assert found.region[0] >= region[0]
            assert found.region[1] <= region[1]
