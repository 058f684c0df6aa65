"""``grmu-audit audit``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FOLDER, json_option, model_option, next_step, open_session, policy_option, seed_option


@click.command("audit")
@model_option
@policy_option
@click.option(
    "--reference", multiple=True, metavar="MODEL", help="Retrained version to compare with [default: found by its tags]."
)
@click.option("--out", type=FOLDER, help="Folder for audit.json and report.html [default: grmu-reports/NAME-VERSION].")
@click.option("--valid-days", type=click.IntRange(min=1), default=90, show_default=True, help="Days until the verdict is stale.")
@click.option(
    "--level",
    type=click.Choice(["quick", "standard", "deep"]),
    default="quick",
    show_default=True,
    help="Predictions only; + layers, FGSM, PGD, features; + AutoAttack, learning again, shadow models.",
)
@click.option("--shadows", type=click.IntRange(min=4), default=16, show_default=True, help="Shadow models of level deep.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="Most time for training them and running the method on them; the rest waits.",
)
@seed_option(0)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    policy: str,
    reference: tuple[str, ...],
    out: Path | None,
    valid_days: int,
    level: str,
    shadows: int,
    budget: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Evaluate a version against its parent and its references, judge it, write the report.

    Exits 0 whatever the verdict: 'gate' turns the verdict into an exit code.
    """
    from grmu_audit import report
    from grmu_audit.api.audit import audit
    from grmu_audit.api.shadow import Asking
    from grmu_audit.policy import load_named
    from grmu_audit.records.verdict import Decision

    session = open_session(ctx)
    ref = session.store.resolve(model)
    folder = out or Path("grmu-reports") / f"{ref.name}-{ref.version}"
    chosen = load_named(policy)
    done = audit(
        session,
        ref.label,
        policy=chosen,
        out=folder,
        references=reference,
        seed=seed,
        valid_days=valid_days,
        level=level,
        shadows=Asking(shadows, None if budget is None else 60 * budget),
    )
    click.echo(report.render(done.audit, "json" if as_json else "text"))
    click.echo(f"report: {done.folder / 'report.html'}", err=True)
    passed = done.audit.verdict is not None and done.audit.verdict.decision is Decision.PASS
    next_step(f"grmu-audit promote --model {ref.label}" if passed else "read the reasons in the report; grmu-audit methods")
