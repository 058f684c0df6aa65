"""``grmu-audit rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import asked_options, open_session

if TYPE_CHECKING:
    from grmu_audit.api.release import Asked


@click.command("rollback")
@click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
@click.option("--reason", required=True, help="Why, for the ledger.")
@click.option("--to", metavar="VERSION", help="Version to go back to [default: the champion before the present one].")
@asked_options
@click.pass_context
def command(ctx: click.Context, name: str, reason: str, to: str | None, asked: Asked) -> None:
    """Make an earlier champion the champion again; it needs a PASS like any other."""
    from grmu_audit.api.release import rollback

    done = rollback(open_session(ctx), name, reason, to, asked)
    click.echo(f"{done.ref.label} is champion of {done.ref.name} (ledger entry {done.entry}, before: {done.before or 'none'})")
