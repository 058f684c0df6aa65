"""``grmu-audit requests``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import json_option, open_session


@click.group("requests")
def command() -> None:
    """Erasure requests that versions were made for: which are open, until when."""


@command.command("list")
@click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
@click.option("--all", "everything", is_flag=True, help="Answered requests too.")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, everything: bool, as_json: bool) -> None:
    """Show the open requests of a model by their due dates."""
    import json
    from dataclasses import asdict

    from grmu_audit.api.erasure import open_requests
    from grmu_audit.cli.tables import request_table

    found = [r for r in open_requests(open_session(ctx).store, name) if everything or r.answered_at is None]
    click.echo(json.dumps([asdict(r) for r in found]) if as_json else request_table(found))


@command.command("answer")
@click.argument("request_id")
@click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
@click.option("--note", default="", help="How it was answered, for the ledger.")
@click.pass_context
def answered(ctx: click.Context, request_id: str, name: str, note: str) -> None:
    """Enter in the ledger that a request was answered now."""
    from grmu_audit.api.erasure import answer

    click.echo(f"{request_id}: answered (ledger entry {answer(open_session(ctx), name, request_id, note)})")
