"""``grmu-audit methods``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import json_option


@click.group("methods", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the unlearning methods: exact or not, what data each reads, what it costs, where it is described."""
    import json

    from grmu_audit.api.describe import method_rows
    from grmu_audit.cli.tables import table

    if ctx.invoked_subcommand is not None:
        return
    head, rows = method_rows()
    click.echo(json.dumps([dict(zip(head, row, strict=True)) for row in rows]) if as_json else table(head, rows, left=True))


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a method: every option with its type, default and meaning, and where the method is described."""
    import json

    from grmu_audit.api.describe import describe_method
    from grmu_audit.cli.tables import table

    card = describe_method(name)
    if as_json:
        click.echo(json.dumps(card))
        return
    click.echo("\n".join(f"{key}: {value}" for key, value in card.items() if key != "options"))
    rows = [[o["name"], o["type"], o["default"], o["meaning"]] for o in card["options"]]
    click.echo("\n" + table(["option", "type", "default", "meaning"], rows, left=True))
