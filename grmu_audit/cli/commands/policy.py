"""``grmu-audit policy``."""

from __future__ import annotations

import click


@click.group("policy")
def command() -> None:
    """Check or show a policy; print its JSON Schema."""


@command.command("check")
@click.argument("policy")
def check(policy: str) -> None:
    """Read a policy (name or file) and report every error in it at once."""
    from grmu_audit.policy import load_named

    found = load_named(policy)
    click.echo(f"{found.name}: {len(found.rules)} rules, valid")


@command.command("show")
@click.argument("policy", default="default")
def show(policy: str) -> None:
    """Print the rules of a policy with the reason for each."""
    from grmu_audit.policy import load_named

    found = load_named(policy)
    click.echo(f"{found.name}: {found.description}")
    for rule in found.rules:
        click.echo(f"  {rule.id} ({rule.severity}): {rule.metric} {rule.compare} {rule.bounds}\n      {rule.why}")


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of policy files."""
    import json

    from grmu_audit.policy import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
