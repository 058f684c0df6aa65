"""``grmu-audit site``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, FOLDER, open_session


@click.command("site")
@click.option("--out", type=FOLDER, default=Path("grmu-site"), show_default=True, help="Folder to write.")
@click.option("--model", "names", multiple=True, metavar="NAME", help="Model to list; repeatable [default: all].")
@click.option("--branding", type=FILE, help="YAML file with organisation, logo, colours and footer.")
@click.option("--templates", type=FOLDER, help="Folder whose templates, style and sentences go first.")
@click.pass_context
def command(ctx: click.Context, out: Path, names: tuple[str, ...], branding: Path | None, templates: Path | None) -> None:
    """Write a static, searchable register of all audits: versions, verdicts, open requests, ledger, reports."""
    from grmu_audit.api.site import site

    count = site(open_session(ctx), out, names=names, branding=branding, templates=templates)
    click.echo(f"{out / 'index.html'}: {count} versions")
