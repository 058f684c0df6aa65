"""``grmu-audit report``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE


@click.command("report")
@click.option("--audit", "audit_file", required=True, type=FILE, help="audit.json to render.")
@click.option("--format", "kind", default="html", show_default=True, help="html, markdown, text, json, junit, sarif or github.")
@click.option("--out", type=FILE, help="File to write [default: stdout].")
def command(audit_file: Path, kind: str, out: Path | None) -> None:
    """Render an audit.json again; needs neither the model nor the registry."""
    from grmu_audit import report
    from grmu_audit.api.judge import read_audit
    from grmu_audit.evidence import write_atomic

    text = report.render(read_audit(audit_file), kind)
    if out is None:
        click.echo(text)
    else:
        write_atomic(out, text.encode())
        click.echo(out)
