"""Commands that measure and judge: ``audit``, ``compare`` and ``score``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import (
    FILE,
    FOLDER,
    json_option,
    loads,
    model_option,
    next_step,
    open_session,
    policy_option,
    print_audit,
    seed_option,
)
from grmu_audit.cli.output import say
from grmu_audit.cli.training_options import job_options

if TYPE_CHECKING:
    from grmu_audit.jobs import JobOptions


def _finite(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """The number, unless it is NaN, which no range excludes, or infinite."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value


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
    help="Predictions only; + layers, FGSM, PGD, features, fine-tuning; + AutoAttack, relearning, shadow models.",
)
@click.option("--shadows", type=click.IntRange(min=4), default=16, show_default=True, help="Shadow models of level deep.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    callback=_finite,
    metavar="MINUTES",
    help="Time limit for fine-tuning on the retain set and for shadow models; the rest is left for the next audit.",
)
@click.option(
    "--return-epochs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Epochs of fine-tuning on the retain set, from level standard on.",
)
@click.option(
    "--pgd-samples",
    type=click.IntRange(min=0),
    default=512,
    show_default=True,
    help="Test samples that PGD attacks, stratified by group, from level standard on; 0: all.",
)
@seed_option(0)
@job_options
@json_option
@click.pass_context
@loads("PyTorch, the store and the data")
def audit_command(
    ctx: click.Context,
    model: str,
    policy: str,
    reference: tuple[str, ...],
    out: Path | None,
    valid_days: int,
    level: str,
    shadows: int,
    budget: float | None,
    return_epochs: int,
    pgd_samples: int,
    seed: int,
    jobs: JobOptions,
    as_json: bool,
) -> None:
    """Evaluate a version against its parent and its references, judge it, write the report.

    Exits 0 whatever the verdict: 'gate' turns the verdict into an exit code.
    """
    from grmu_audit.policy import load_named
    from grmu_audit.records.verdict import Decision
    from grmu_audit.workflows.audits.collection import AuditSettings
    from grmu_audit.workflows.audits.pipeline import audit
    from grmu_audit.workflows.audits.shadow import ShadowOptions

    session = open_session(ctx, jobs)
    ref = session.store.resolve(model)
    folder = out or Path("grmu-reports") / f"{ref.name}-{ref.version}"
    options = ShadowOptions(shadows, None if budget is None else 60 * budget)
    settings = AuditSettings(
        reference, level, seed, options, valid_days, return_epochs=return_epochs, pgd_samples=pgd_samples or None
    )
    done = audit(session, ref.label, load_named(policy), folder, settings)
    print_audit(done.audit, as_json=as_json)
    say(f"report: {done.folder / 'report.html'}", err=True)
    passed = done.audit.verdict is not None and done.audit.verdict.decision is Decision.PASS
    next_step(f"grmu-audit promote --model {ref.label}" if passed else "read the reasons in the report; grmu-audit methods")


@click.command("compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL...")
@policy_option
@click.option("--out", type=FILE, help="Write the comparison as an HTML page here.")
@seed_option(0)
@click.pass_context
@loads("PyTorch, the store and the data")
def compare_command(ctx: click.Context, models: tuple[str, ...], policy: str, out: Path | None, seed: int) -> None:
    """Show versions side by side, with paired differences to the first: numbers, groups, small multiples.

    Exit code 6 where the stored audit of a version was changed; all versions are shown first.
    """
    from grmu_audit import report
    from grmu_audit.errors import IntegrityError
    from grmu_audit.policy import load_named
    from grmu_audit.utils import write_atomic
    from grmu_audit.utils.terminal_tables import terminal_width
    from grmu_audit.workflows.audits.comparison import compare

    report.require_version_count(len(models))  # before anything is measured
    found = compare(open_session(ctx), models, load_named(policy), seed=seed)
    click.echo(report.render_comparison(found.audits, found.verdicts, "text", terminal_width()))
    if out is not None:
        write_atomic(out, report.render_comparison(found.audits, found.verdicts).encode())
        say(f"comparison: {out}", err=True)
    damaged = [
        f"{audit.subject.label}: {stored}"
        for audit, stored in zip(found.audits, found.verdicts, strict=True)
        if isinstance(stored, Exception)
    ]
    if damaged:
        raise IntegrityError(f"evidence damaged: {'; '.join(damaged)}")


@click.command("score")
@click.option("--predictions", type=FILE, help="Prediction file (csv or parquet) of the model to audit.")
@click.option("--demo", is_flag=True, help="Audit predictions that come with the package, and write grmu-demo.html.")
@click.option("--baseline", type=FILE, help="Prediction file of the model before unlearning.")
@click.option("--reference", multiple=True, type=FILE, help="Prediction file of a retrained model; repeatable.")
@click.option("--root", type=FILE, help="Prediction file of the first model of a chain of requests [default: the baseline].")
@click.option("--by", multiple=True, metavar="ATTRIBUTE", help="Group by attribute_NAME; repeatable [default: all, crossed].")
@click.option("--control-attribute", multiple=True, metavar="NAME", help="Compare within its values [default: the policy's].")
@policy_option
@click.option("--name", help="Label of the model in the report [default: the file's name].")
@click.option("--out", type=FILE, help="Also write audit.json here.")
@click.option("--report", "page", type=FILE, help="Also write the HTML report here.")
@seed_option(0)
@json_option
@click.pass_context
@loads("the predictions")
def score_command(
    ctx: click.Context,
    predictions: Path | None,
    demo: bool,
    baseline: Path | None,
    reference: tuple[Path, ...],
    root: Path | None,
    by: tuple[str, ...],
    control_attribute: tuple[str, ...],
    policy: str,
    name: str | None,
    out: Path | None,
    page: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Audit prediction files of any framework: exit code 0 PASS, 1 BREACH, 3 INCONCLUSIVE."""
    from dataclasses import replace

    from grmu_audit import report
    from grmu_audit.auditing.audit_files import write_audit
    from grmu_audit.auditing.scoring import CONTRADICTION, PredictionFiles, example_files, score
    from grmu_audit.policy import load_named
    from grmu_audit.utils import write_atomic

    chosen = load_named(policy)
    if demo == (predictions is not None) or (demo and (baseline or reference or root or name)):
        raise click.UsageError("give --predictions FILE, or --demo without files and name")
    files = example_files() if predictions is None else PredictionFiles(predictions, baseline, reference, by, name, root)
    page = page or (Path("grmu-demo.html") if demo else None)
    options = chosen.measure_options(seed)
    audit = score(files, chosen, replace(options, control_attributes=control_attribute) if control_attribute else options)
    for item in audit.not_measured:
        if item.name == CONTRADICTION:
            say(f"warning: {item.reason}", err=True)
    if out is not None:
        write_audit(audit, out)
    if page is not None:
        write_atomic(page, report.render(audit, "html").encode())
    print_audit(audit, as_json=as_json)
    if demo:
        say(f"report: {page}", err=True)
        next_step("grmu-audit score --predictions after.csv --baseline before.csv")
    ctx.exit(audit.verdict.decision.exit_code if audit.verdict else 3)
