"""``grmu-audit metrics``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import json_option


@click.group("metrics", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the metrics: what each says, how to read it, what it needs and costs; those of installed packages included."""
    import json

    from grmu_audit.api.metric_cards import metric_rows
    from grmu_audit.cli.tables import table

    if ctx.invoked_subcommand is not None:
        return
    head, rows = metric_rows()
    click.echo(json.dumps([dict(zip(head, row, strict=True)) for row in rows]) if as_json else table(head, rows, left=True))


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a metric: definition, range, what it hides, when it is undefined, and its source."""
    import json

    from grmu_audit.api.metric_cards import describe_metric

    card = describe_metric(name)
    click.echo(json.dumps(card) if as_json else "\n".join(f"{key}: {value}" for key, value in card.items()))
