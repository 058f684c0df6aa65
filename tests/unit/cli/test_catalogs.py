"""Commands about methods, metrics and data speak from the catalogues, as the pages show them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.judged_audits import audit_of, policy, predictions, version
from support.memory_store import MemoryStore

from benchmarks.pages.method_cards import PLACE
from grmu_audit.auditing.audit_files import write_audit
from grmu_audit.cli.app import COMMANDS, SECTIONS, execute, root
from grmu_audit.data.forget import PRESETS
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.records import ModelRef
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.catalogs import describe_method, method_cards, method_rows


def test_the_list_says_kind_data_cost_and_reference(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert execute(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["name", "kind", "reads", "sample-gradients"]
    assert [line.split()[0] for line in lines[1:]] == methods.names()
    assert execute(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = next(row for row in rows if row["name"] == "retrain")
    assert (found["kind"], found["reads"]) == ("exact", "retain")
    assert all(row["reference"] and row["sample-gradients"] for row in rows)


@pytest.mark.parametrize("words", [["methods"], ["methods", "show", "miu"], ["metrics"], ["data", "list"], ["--help"]])
def test_no_line_is_wider_than_the_terminal(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert execute(words) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("catalogue", ["methods", "metrics"])
def test_list_may_be_said(catalogue: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([catalogue]) == 0
    alone = capsys.readouterr().out
    assert execute([catalogue, "list"]) == 0
    assert capsys.readouterr().out == alone


def test_every_command_is_under_one_heading() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("words", "number", "first"),
    [
        ("grmu-audit metrics show MIA_T", 3, "MIA_TPR_1"),
        ("grmu-audit methods show mi", 3, "miu"),
        ("grmu-audit gate --policy str", 3, "strict"),
        ("grmu-audit data describe celeb", 3, "celeba"),
        ("grmu-audit unlearn --method au", 3, "auto"),
        ("grmu-audit gate --model no", 3, None),
    ],
)
def test_names_are_completed(
    words: str,
    number: int,
    first: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_GRMU_AUDIT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(number))
    assert execute([]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.split()[:1] == ([] if first is None else [f"plain,{first}"])


def test_models_and_versions_are_completed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = MemoryStore(tmp_path / "store")
    version(store, "faces", tmp_path / "v1")
    # not "open_session": a command that is first imported here would keep the other function
    monkeypatch.setattr("grmu_audit.workflows.session.Session.store", store)
    monkeypatch.setenv("_GRMU_AUDIT_COMPLETE", "bash_complete")
    for words, found in (("grmu-audit audit --model f", ["faces", "faces/1"]), ("grmu-audit verify --model f", ["faces"])):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", "3")
        assert execute([]) == 0
        assert capsys.readouterr().out.split() == [f"plain,{name}" for name in found]


def test_a_card_shows_options_defaults_and_source(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert execute(["methods", "show", "miu"]) == 0
    text = capsys.readouterr().out
    assert "reference: De Min et al., Group-robust Machine Unlearning (MIU)" in text
    assert "source: grmu_audit.unlearning.methods.miu" in text
    row = next(line for line in text.splitlines() if line.startswith("lambda_mi "))
    assert row.split()[1:3] == ["float", "0.1"]
    assert "Weight of the calibration term" in row
    assert execute(["methods", "show", "miu", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert {o["name"] for o in card["options"]} == set(methods.get("miu").config.model_fields)


def test_an_unknown_method_exits_with_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["methods", "show", "mio"]) == 2
    assert "did you mean 'miu'" in capsys.readouterr().err


@pytest.mark.parametrize("name", methods.names())
def test_every_option_of_every_method_has_a_sentence(name: str) -> None:
    for option in describe_method(name)["options"]:
        assert option["meaning"], option["name"]
        assert option["default"] != "PydanticUndefined", option["name"]


def test_the_file_of_cards_says_what_the_code_says() -> None:
    assert json.loads(PLACE.read_text()) == method_cards()


def test_rows_and_head_agree() -> None:
    head, rows = method_rows()
    assert {len(row) for row in rows} == {len(head)}


@pytest.mark.parametrize("command", ["unlearn", "retrain"])
def test_options_are_listed_and_checked(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([command, "--help"]) == 0
    output = capsys.readouterr().out
    assert all(option in output for option in ("--preset", "--tune", "--resume"))
    assert ("--layers" in output) is (command == "unlearn")
    assert ("--group-dro" in output) is (command == "retrain")
    assert execute([command, "--model", "m", "--forget", "x.csv", "--tune", "-1"]) == 2


PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")

LINES = [line.removeprefix("$ grmu-audit ") for line in PAGE.splitlines() if line.startswith("$ grmu-audit ")]


@pytest.mark.parametrize("line", LINES)
def test_command_of_the_page_parses(line: str) -> None:
    command: click.Command = root
    words = shlex.split(line)
    context = click.Context(root)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    parsed = command.make_context("x", words)
    assert parsed.command is command


def test_page_has_commands_and_every_preset() -> None:
    assert len(LINES) >= 12
    assert all(f"`{name}`" in PAGE for name in PRESETS)


def test_list_and_show(capsys):
    assert execute(["metrics", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in rows] == list(BUILT_IN)
    assert {row["read it"] for row in rows} >= {"higher", "lower", "as reference", "near 0.5"}
    assert execute(["metrics"]) == 0
    assert "Equalized-odds gap" not in capsys.readouterr().err
    assert execute(["metrics", "show", "EO", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["direction"] == "lower"
    assert card["undefined"]
    assert execute(["metrics", "show", "EOO"]) == 2
    assert "did you mean 'EO'" in capsys.readouterr().err


def test_listing_metrics_loads_no_heavy_library():
    code = (
        "import sys; from grmu_audit.cli.app import execute; code = execute(['metrics', 'show', 'GA']);"
        "sys.exit(code or bool({'torch', 'mlflow', 'great_expectations', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


POLICY = """schema: grmu-audit/policy/v1
name: small
description: For a test.
minimum_group_size: 1
rules:
  - {id: accuracy, metric: TA, min: 0.3, evidence: point, why: For a test.}
cannot_show: [that a row was never read]
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a policy of one rule, and an audit that another policy judged."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(POLICY)
    write_audit(audit_of(ModelRef("faces", "7"), [predictions(100)], policy(1.0)), tmp_path / "audit.json")
    return tmp_path


def test_a_policy_is_shown_with_what_it_cannot_show(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["policy", "show", "small.yaml"]) == 0
    said = capsys.readouterr().out
    assert "accuracy (block): TA" in said
    assert said.splitlines()[-1] == "cannot show: that a row was never read"


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ([], "next: --audit audit.json, or --test-size, --group-size and --forget-size, name the rules that cannot be decided"),
        (["--test-size", "100000"], "no rule is known to be undecidable with these samples"),
        (["--audit", "audit.json"], "no rule is known to be undecidable with these samples"),
    ],
)
def test_a_policy_is_explained_for_sizes_or_an_audit(
    small: Path, options: list[str], last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["policy", "lint", "small.yaml", *options]) == 0
    said = capsys.readouterr().out
    assert "cannot show: that a row was never read" in said.splitlines()
    assert " ".join(said.split()).endswith(last)


def test_a_rule_that_an_audit_does_not_decide_is_a_warning(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = json.loads((small / "audit.json").read_text())["metrics"]
    value = next(one["value"] for one in metrics if (one["name"], one["subject"]) == ("TA", "candidate"))
    (small / "strict.yaml").write_text(POLICY.replace("min: 0.3, evidence: point", f"min: {value:.4f}"))
    assert execute(["policy", "lint", "strict.yaml", "--audit", "audit.json"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "warning: accuracy: " in said
    assert "no rule is known to be undecidable" not in said


def test_another_policy_is_tried_beside_the_recorded_verdict(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["policy", "try", "small.yaml", "--audit", "audit.json", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert (tree["decision"], [(rule["id"], rule["decision"]) for rule in tree["rules"]]) == ("PASS", [("accuracy", "PASS")])
    assert execute(["policy", "try", "small.yaml", "--audit", "audit.json"]) == 0
    assert "PASS by small (recorded: BREACH by test)." in capsys.readouterr().out
