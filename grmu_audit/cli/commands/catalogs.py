"""Commands that show methods, metrics and policies: ``methods``, ``metrics`` and ``policy``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, json_option
from grmu_audit.cli.output import say


@click.group("methods", invoke_without_command=True)
@json_option
@click.pass_context
def methods_command(ctx: click.Context, as_json: bool) -> None:
    """List the unlearning methods: exact or not, the data that each reads, its cost, its reference."""
    from grmu_audit.workflows.catalogs import method_rows

    if ctx.invoked_subcommand is None:
        _print_rows(*method_rows(), as_json)


@methods_command.command("list")
@json_option
def list_methods(as_json: bool) -> None:
    """The same as 'grmu-audit methods'."""
    from grmu_audit.workflows.catalogs import method_rows

    _print_rows(*method_rows(), as_json)


@methods_command.command("show")
@click.argument("name")
@json_option
def show_method(name: str, as_json: bool) -> None:
    """Show a method: its reference, and every option with type, default and meaning."""
    import json

    from grmu_audit.cli.tables import fact_lines, text_table
    from grmu_audit.workflows.catalogs import describe_method

    card = describe_method(name)
    if as_json:
        click.echo(json.dumps(card))
        return
    click.echo(fact_lines({key: value for key, value in card.items() if key != "options"}))
    rows = [[o["name"], o["type"], o["default"], o["meaning"]] for o in card["options"]]
    click.echo("\n" + text_table(["option", "type", "default", "meaning"], rows, left=True))


@click.group("metrics", invoke_without_command=True)
@json_option
@click.pass_context
def metrics_command(ctx: click.Context, as_json: bool) -> None:
    """List the metrics: what each says, how to read it, what it needs and costs; those of installed packages included."""
    from grmu_audit.workflows.catalogs import metric_rows

    if ctx.invoked_subcommand is None:
        _print_rows(*metric_rows(), as_json)


@metrics_command.command("list")
@json_option
def list_metrics(as_json: bool) -> None:
    """The same as 'grmu-audit metrics'."""
    from grmu_audit.workflows.catalogs import metric_rows

    _print_rows(*metric_rows(), as_json)


@metrics_command.command("show")
@click.argument("name")
@json_option
def show_metric(name: str, as_json: bool) -> None:
    """Show a metric: definition, range, what it hides, when it is undefined, and its source."""
    import json

    from grmu_audit.cli.tables import fact_lines
    from grmu_audit.workflows.catalogs import describe_metric

    card = describe_metric(name)
    click.echo(json.dumps(card) if as_json else fact_lines(card))


@click.group("policy")
def policy_command() -> None:
    """Check, explain or try a policy; print its JSON Schema."""


@policy_command.command("check")
@click.argument("policy")
def check(policy: str) -> None:
    """Read a policy (name or file) and report every error in it at once."""
    from grmu_audit.policy import load_named, policy_sha256

    found = load_named(policy)
    say(f"{found.name}@{policy_sha256(found)}: {len(found.rules)} rules, valid")


@policy_command.command("show")
@click.argument("policy", default="default")
def show_policy(policy: str) -> None:
    """Print the rules of a policy with the reason for each."""
    from grmu_audit.policy import load_named, policy_sha256

    found = load_named(policy)
    say(f"{found.name}@{policy_sha256(found)}: {found.description}")
    for rule in found.rules:
        say(f"  {rule.id} ({rule.severity}): {rule.metric} {rule.compare} {rule.bounds}\n      {rule.why_with_clauses}")
    for text in found.cannot_show:
        say(f"cannot show: {text}")


@policy_command.command("lint")
@click.argument("policy")
@click.option("--audit", "audit_file", type=FILE, help="Look for rules that the samples of this audit.json do not decide.")
@click.option("--test-size", type=click.IntRange(min=1), help="Test samples that there will be.")
@click.option("--group-size", type=click.IntRange(min=1), help="Test samples of the smallest group.")
@click.option("--forget-size", type=click.IntRange(min=1), help="Samples (or people) to forget.")
def lint(policy: str, audit_file: Path | None, test_size: int | None, group_size: int | None, forget_size: int | None) -> None:
    """Explain a policy in plain words; name rules that the samples cannot decide.

    Exit code 0, whatever is found.
    """
    from grmu_audit.auditing.audit_files import read_audit
    from grmu_audit.policy import load_named
    from grmu_audit.policy.explanation import Sizes, explain_rule, undecidable, undecided_in
    from grmu_audit.utils.clock import utc_today

    found = load_named(policy)
    say(f"{found.name}: {found.description}")
    for rule in found.rules:
        say(f"  {rule.id}: {explain_rule(rule)}")
    for text in found.cannot_show:
        say(f"cannot show: {text}")
    sizes = Sizes(test_size, group_size, forget_size)
    warnings = list(undecidable(found, sizes))
    if audit_file is not None:
        warnings += undecided_in(read_audit(audit_file), found, utc_today())
    for name, reason in warnings:
        say(f"warning: {name}: {reason}")
    if sizes == Sizes() and audit_file is None:
        say("next: --audit audit.json, or --test-size, --group-size and --forget-size, name the rules that cannot be decided")
    elif not warnings:
        say("no rule is known to be undecidable with these samples")


@policy_command.command("try")
@click.argument("policy")
@click.option("--audit", "audit_file", type=FILE, required=True, help="The audit.json to judge.")
@json_option
def try_policy(policy: str, audit_file: Path, as_json: bool) -> None:
    """Judge an audit by another policy, beside its recorded verdict; nothing is stored, and the exit code is 0."""
    import json
    from dataclasses import asdict

    from grmu_audit.auditing.audit_files import read_audit
    from grmu_audit.cli.tables import text_table
    from grmu_audit.policy import load_named
    from grmu_audit.policy.explanation import compare_verdicts
    from grmu_audit.policy.judgement import judge

    recorded, chosen = read_audit(audit_file), load_named(policy)
    other = judge(recorded, chosen).verdict
    assert other is not None
    if as_json:
        click.echo(json.dumps({"decision": other.decision, "reason": other.reason, "rules": [asdict(r) for r in other.rules]}))
        return
    click.echo(text_table(["rule", "severity", chosen.name, "recorded"], compare_verdicts(recorded.verdict, other), left=True))
    before = f" (recorded: {recorded.verdict.decision.value} by {recorded.verdict.policy})" if recorded.verdict else ""
    say(f"{other.decision.value} by {chosen.name}{before}. {other.reason}")


@policy_command.command("schema")
def schema() -> None:
    """Print the JSON Schema of policy files."""
    import json

    from grmu_audit.policy import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _print_rows(head: list[str], rows: list[list[str]], as_json: bool) -> None:
    import json

    from grmu_audit.cli.tables import text_table

    click.echo(json.dumps([dict(zip(head, row, strict=True)) for row in rows]) if as_json else text_table(head, rows, left=True))
