"""``grmu-audit report``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, FOLDER
from grmu_audit.errors import InputError

FORMATS = "html, pdf, markdown, model-card, text, json, junit, sarif or github"


@click.command("report")
@click.option("--audit", "audit_file", required=True, type=FILE, help="audit.json to render.")
@click.option("--format", "kind", default="html", show_default=True, help=f"{FORMATS}.")
@click.option("--out", type=FILE, help="File to write [default: stdout].")
@click.option("--branding", type=FILE, help="YAML file with organisation, logo, colours and footer (html, pdf).")
@click.option("--templates", type=FOLDER, help="Folder whose templates, style and sentences go first (html, pdf).")
@click.option("--paper", type=click.Choice(["A4", "Letter"]), default="A4", show_default=True, help="Paper size (pdf).")
def command(audit_file: Path, kind: str, out: Path | None, branding: Path | None, templates: Path | None, paper: str) -> None:
    """Render an audit.json again; needs neither the model nor the registry."""
    from grmu_audit.evidence import write_atomic

    if kind == "pdf" and out is None:
        raise InputError("a PDF needs a file: give --out")
    content = _rendered(audit_file, kind, branding, templates, paper)
    if out is None:
        click.echo(content.decode())
    else:
        write_atomic(out, content)
        click.echo(out)


def _rendered(audit_file: Path, kind: str, branding: Path | None, templates: Path | None, paper: str) -> bytes:
    from grmu_audit import report
    from grmu_audit.api.judge import read_audit

    audit = read_audit(audit_file)
    if kind == "pdf":
        return report.render_pdf(audit, template_dir=templates, branding=branding, paper=paper)
    if kind == "html":
        return report.render_html(audit, template_dir=templates, branding=branding).encode()
    if branding is not None or templates is not None:
        raise InputError(f"--branding and --templates belong to html and pdf, not to {kind}")
    return report.render(audit, kind).encode()
