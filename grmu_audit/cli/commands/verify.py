"""``grmu-audit verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import asked_options, open_session

if TYPE_CHECKING:
    from grmu_audit.api.release import Asked


@click.command("verify")
@click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
@asked_options
@click.pass_context
def command(ctx: click.Context, name: str, asked: Asked) -> None:
    """Look for edits, moved aliases and changed files: exit code 0 when all is as recorded, else that of the finding."""
    from grmu_audit.api.release import verify

    findings = verify(open_session(ctx), name, asked)
    for finding in findings:
        click.echo(f"{finding.check}: {finding.message}")
    if not findings:
        click.echo(f"{name}: ledger, alias and evidence are as recorded")
    ctx.exit(max((f.error.exit_code for f in findings), default=0))
