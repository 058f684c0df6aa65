"""``grmu-audit compare``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, open_session, seed_option


@click.command("compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL...")
@click.option("--out", type=FILE, help="Write the comparison as an HTML page here.")
@seed_option(0)
@click.pass_context
def command(ctx: click.Context, models: tuple[str, ...], out: Path | None, seed: int) -> None:
    """Show versions side by side, with paired differences to the first: numbers, groups, small multiples.

    Exit code 6 where the stored audit of a version was changed; all versions are shown first.
    """
    from grmu_audit import report
    from grmu_audit.api.compare import compare
    from grmu_audit.errors import IntegrityError
    from grmu_audit.evidence import write_atomic

    audits, verdicts = compare(open_session(ctx), models, seed=seed)
    click.echo(report.render_comparison(audits, verdicts, "text"))
    if out is not None:
        write_atomic(out, report.render_comparison(audits, verdicts).encode())
        click.echo(f"comparison: {out}", err=True)
    damaged = [
        f"{audit.subject.label}: {found}" for audit, found in zip(audits, verdicts, strict=True) if isinstance(found, Exception)
    ]
    if damaged:
        raise IntegrityError(f"evidence damaged: {'; '.join(damaged)}")
