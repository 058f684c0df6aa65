"""``grmu-audit promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import asked_options, model_option, open_session

if TYPE_CHECKING:
    from grmu_audit.api.release import Asked


@click.command("promote")
@model_option
@click.option("--reason", default="", help="Why, for the ledger.")
@click.option("--ci-url", help="Address of the CI run, for the ledger.")
@click.option("--resume", is_flag=True, help="Finish the promotion of this model that a crash left open.")
@asked_options
@click.pass_context
def command(ctx: click.Context, model: str, reason: str, ci_url: str | None, resume: bool, asked: Asked) -> None:
    """Give a version the alias champion, if its audit says PASS and its files are the audited ones."""
    from grmu_audit.api import release

    session = open_session(ctx)
    done = release.resume(session, model) if resume else release.promote(session, model, reason, ci_url, asked)
    if done is None:
        click.echo(f"no promotion of {model} is open")
    else:
        click.echo(
            f"{done.ref.label} is champion of {done.ref.name} (ledger entry {done.entry}, before: {done.before or 'none'})"
        )
