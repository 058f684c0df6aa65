"""``grmu-audit methods``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import json_option


@click.command("methods")
@json_option
def command(as_json: bool) -> None:
    """List the unlearning methods: exact or not, what data each reads, where it is described."""
    import json

    from grmu_audit.cli.tables import table
    from grmu_audit.unlearning.catalog import methods

    rows = [[m.name, "exact" if m.exact else "approximate", "+".join(sorted(m.needs)), m.title, m.reference] for _, m in methods]
    head = ["name", "kind", "reads", "what", "reference"]
    click.echo(json.dumps([dict(zip(head, row, strict=True)) for row in rows]) if as_json else table(head, rows))
