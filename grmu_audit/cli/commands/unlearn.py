"""``grmu-audit unlearn``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import (
    forget_option,
    model_option,
    next_step,
    open_session,
    parse_settings,
    seed_option,
    settings_option,
    systems_option,
)


@click.command("unlearn")
@model_option
@forget_option
@click.option("--method", default="miu", show_default=True, help="Unlearning method; see 'grmu-audit methods'.")
@click.option("--reweight/--no-reweight", default=None, help="REWEIGHT sampling of the retain set [default: the method's own].")
@settings_option
@seed_option(None)
@systems_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    forget: Path,
    method: str,
    reweight: bool | None,
    settings: tuple[str, ...],
    seed: int | None,
    systems: Path | None,
) -> None:
    """Make a version of a model without the forget set and register it.

    The data is found through the model's registry tags.
    """
    from grmu_audit.api.train import unlearn

    session = open_session(ctx)
    ref = unlearn(
        session, model, forget, method=method, settings=parse_settings(settings), reweight=reweight, seed=seed, systems=systems
    )
    click.echo(ref.label)
    next_step(f"grmu-audit audit --model {ref.label}")
