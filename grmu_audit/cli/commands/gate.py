"""``grmu-audit gate``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, open_session, policy_option, write_formats


@click.command("gate")
@click.option("--model", metavar="MODEL", help="Judge the stored audit of this version.")
@click.option("--audit", "audit_file", type=FILE, help="Judge this audit.json, without a registry.")
@policy_option
@click.option("--format", "formats", multiple=True, metavar="FORMAT=FILE", help="Also write json, junit, sarif, ...; repeatable.")
@click.pass_context
def command(ctx: click.Context, model: str | None, audit_file: Path | None, policy: str, formats: tuple[str, ...]) -> None:
    """Judge an audit by a policy: exit code 0 PASS, 1 BREACH, 3 INCONCLUSIVE."""
    from grmu_audit import report
    from grmu_audit.api.judge import judge, read_audit, require_current
    from grmu_audit.policy import load_named

    if (model is None) == (audit_file is None):
        raise click.UsageError("give exactly one of --model and --audit")
    chosen = load_named(policy)
    if audit_file is not None:
        facts = read_audit(audit_file)
        require_current(facts)
        audit = judge(facts, chosen)
    else:
        from grmu_audit.api.release import gate

        audit = gate(open_session(ctx), str(model), chosen)
    write_formats(audit, formats)
    click.echo(report.render(audit, "text"))
    ctx.exit(audit.verdict.decision.exit_code if audit.verdict else 3)
