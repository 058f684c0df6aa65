"""``grmu-audit score``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, json_option, policy_option, seed_option


@click.command("score")
@click.option("--predictions", required=True, type=FILE, help="Prediction file (csv or parquet) of the model to audit.")
@click.option("--baseline", type=FILE, help="Prediction file of the model before unlearning.")
@click.option("--reference", multiple=True, type=FILE, help="Prediction file of a retrained model; repeatable.")
@click.option("--by", multiple=True, metavar="ATTRIBUTE", help="Group by attribute_NAME; repeatable [default: all, crossed].")
@policy_option
@click.option("--name", help="Label of the model in the report [default: the file's name].")
@click.option("--out", type=FILE, help="Also write audit.json here.")
@click.option("--report", "page", type=FILE, help="Also write the HTML report here.")
@seed_option(0)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    predictions: Path,
    baseline: Path | None,
    reference: tuple[Path, ...],
    by: tuple[str, ...],
    policy: str,
    name: str | None,
    out: Path | None,
    page: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Audit prediction files of any framework: exit code 0 PASS, 1 BREACH, 3 INCONCLUSIVE."""
    from grmu_audit import report
    from grmu_audit.api.judge import score, write_audit
    from grmu_audit.evidence import write_atomic
    from grmu_audit.policy import load_named

    chosen = load_named(policy)
    label = name or predictions.stem
    audit = score(predictions, baseline=baseline, references=reference, policy=chosen, name=label, seed=seed, by=by)
    if out is not None:
        write_audit(audit, out)
    if page is not None:
        write_atomic(page, report.render(audit, "html").encode())
    click.echo(report.render(audit, "json" if as_json else "text"))
    ctx.exit(audit.verdict.decision.exit_code if audit.verdict else 3)
