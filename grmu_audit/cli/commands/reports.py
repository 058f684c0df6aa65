"""Commands that write documents: ``report`` and ``site``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grmu_audit.cli.options import FILE, FOLDER, disclosure_option, loads, open_session
from grmu_audit.cli.output import say
from grmu_audit.errors import InputError

if TYPE_CHECKING:
    from grmu_audit.records import Audit

FORMATS = "html, pdf, markdown, model-card, text, json, groups (CSV of all groups), junit, sarif, cyclonedx or github"


@click.command("report")
@click.option("--audit", "audit_file", type=FILE, help="audit.json to render; needs neither the model nor the registry.")
@click.option("--model", metavar="REF", help="Newest audit of a version, with later ledger entries: sign-offs, answers.")
@click.option("--format", "kind", default="html", show_default=True, help=f"{FORMATS}.")
@click.option("--out", type=FILE, help="File to write [default: stdout].")
@click.option("--branding", type=FILE, help="YAML file with organisation, logo, colours and footer (html, pdf).")
@click.option("--templates", type=FOLDER, help="Folder whose templates, style and sentences replace the tool's (html, pdf).")
@disclosure_option
@click.option("--paper", type=click.Choice(["A4", "Letter"]), default="A4", show_default=True, help="Paper size (pdf).")
@click.pass_context
@loads("the audit")
def report_command(
    ctx: click.Context,
    audit_file: Path | None,
    model: str | None,
    kind: str,
    out: Path | None,
    branding: Path | None,
    templates: Path | None,
    disclosure: str,
    paper: str,
) -> None:
    """Render an audit again, from its file or from the registry."""
    from grmu_audit.utils import write_atomic

    if kind == "pdf" and out is None:
        raise InputError("a PDF needs a file: give --out")
    audit, after = _read(ctx, audit_file, model)
    content = _render(_disclose(audit, disclosure), after, kind, branding, templates, paper)
    if out is None:
        click.echo(content.decode())
    else:
        write_atomic(out, content)
        click.echo(out)


def _read(ctx: click.Context, audit_file: Path | None, model: str | None) -> tuple[Audit, dict[str, Any]]:
    if (audit_file is None) == (model is None):
        raise InputError("give either --audit FILE or --model REF")
    if audit_file is not None:
        from grmu_audit.auditing.audit_files import read_audit

        return read_audit(audit_file), {}
    from grmu_audit.workflows.audits.stored import newest_audit

    store = open_session(ctx).store
    return newest_audit(store, store.resolve(str(model)))


def _disclose(audit: Audit, disclosure: str) -> Audit:
    """The audit, or its external form."""
    if disclosure == "internal" or audit.external:
        return audit
    from grmu_audit.auditing.audit_files import as_read_back
    from grmu_audit.auditing.disclosure.external_form import external_form
    from grmu_audit.utils import canonical_json, sha256_hex

    return as_read_back(external_form(audit, sha256_hex(canonical_json(audit.to_json()))))


def _render(audit: Audit, after: dict[str, Any], kind: str, branding: Path | None, templates: Path | None, paper: str) -> bytes:
    from grmu_audit import report

    if kind == "pdf":
        return report.render_pdf(audit, template_dir=templates, branding=branding, paper=paper, after=after)
    if kind == "html":
        return report.render_html(audit, template_dir=templates, branding=branding, after=after).encode()
    if branding is not None or templates is not None:
        raise InputError(f"--branding and --templates belong to html and pdf, not to {kind}")
    return report.render(audit, kind).encode()


@click.command("site")
@click.option("--out", type=FOLDER, default=Path("grmu-site"), show_default=True, help="Folder to write.")
@click.option("--model", "names", multiple=True, metavar="NAME", help="Model to list; repeatable [default: all].")
@click.option("--branding", type=FILE, help="YAML file with organisation, logo, colours and footer.")
@click.option("--templates", type=FOLDER, help="Folder whose templates, style and sentences replace the tool's.")
@click.pass_context
@loads("the store")
def site_command(ctx: click.Context, out: Path, names: tuple[str, ...], branding: Path | None, templates: Path | None) -> None:
    """Write a static, searchable register of all audits: versions, verdicts, open requests, ledger, reports."""
    from grmu_audit.workflows.site import write_site

    count = write_site(open_session(ctx), out, names=names, branding=branding, templates=templates)
    say(f"{out / 'index.html'}: {count} versions")
