"""``grmu-audit verify``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import open_session


@click.command("verify")
@click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
@click.pass_context
def command(ctx: click.Context, name: str) -> None:
    """Look for edits, moved aliases and changed files: exit code 0 when all is as recorded, else that of the finding."""
    from grmu_audit.api.release import verify

    findings = verify(open_session(ctx), name)
    for finding in findings:
        click.echo(f"{finding.check}: {finding.message}")
    if not findings:
        click.echo(f"{name}: ledger, alias and the champion's evidence are as recorded")
    ctx.exit(max((f.error.exit_code for f in findings), default=0))
