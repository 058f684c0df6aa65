"""``grmu-audit sign-off``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import model_option, open_session


@click.command("sign-off")
@model_option
@click.option("--role", required=True, type=click.Choice(["preparer", "reviewer", "approver"]), help="In which role.")
@click.option("--note", default="", help="In your own words.")
@click.pass_context
def command(ctx: click.Context, model: str, role: str, note: str) -> None:
    """Put your name (--actor) under the newest audit of a version; preparer and reviewer must be two persons."""
    from grmu_audit.api.release import sign_off

    session = open_session(ctx)
    number = sign_off(session, model, role, note)
    click.echo(f"{session.actor} signed off {model} as {role} (ledger entry {number})")
