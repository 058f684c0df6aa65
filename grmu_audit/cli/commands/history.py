"""``grmu-audit history``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import json_option, open_session


@click.command("history")
@click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
@json_option
@click.pass_context
def command(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show the ledger of a model: every audit, promotion, refusal and rollback, oldest first."""
    import json

    from grmu_audit.api.release import history
    from grmu_audit.cli.tables import table
    from grmu_audit.report.clean import name as shown

    entries = history(open_session(ctx), name)
    if as_json:
        click.echo(json.dumps(entries))
        return
    fields = ("number", "time", "kind", "version", "decision", "actor")
    click.echo(table(list(fields), [[shown(entry.get(f) or "-") for f in fields] for entry in entries]))
