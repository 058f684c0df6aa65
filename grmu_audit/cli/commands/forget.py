"""``grmu-audit forget``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, forget_option, model_option, next_step, open_session, seed_option
from grmu_audit.errors import InputError


@click.group("forget")
def command() -> None:
    """Make a forget list, or check one against a dataset."""


@command.command("sample")
@model_option
@click.option(
    "--group", "groups", multiple=True, required=True, metavar="TARGET,ATTRIBUTE", help="Group by its two numbers; repeatable."
)
@click.option("--ratio", type=float, default=0.5, show_default=True, help="Share of each group's training samples.")
@click.option("--out", type=FILE, default=Path("ids.csv"), show_default=True, help="Forget list to write.")
@seed_option(0)
@click.pass_context
def sample(ctx: click.Context, model: str, groups: tuple[str, ...], ratio: float, out: Path, seed: int) -> None:
    """Draw a forget set from groups of the model's training data, as in the papers."""
    from grmu_audit.api.request import sample as draw
    from grmu_audit.records import Group

    session = open_session(ctx)
    ref = session.store.resolve(model)
    chosen = [Group(*pair) for pair in map(_pair, groups)]
    count = draw(session, session.dataset_of(ref), out, groups=chosen, ratio=ratio, seed=seed)
    click.echo(f"{count} ids in {out}")
    next_step(f"grmu-audit forget check --model {ref.label} --forget {out}")


@command.command("check")
@model_option
@forget_option
@click.pass_context
def check(ctx: click.Context, model: str, forget: Path) -> None:
    """Check a forget list against the model's training data, and the data's quality under the request."""
    from grmu_audit.api.request import read_request
    from grmu_audit.api.version import checked
    from grmu_audit.cli.tables import group_table

    session = open_session(ctx)
    ref = session.store.resolve(model)
    dataset = session.dataset_of(ref)
    request = read_request(session, forget, dataset, ref)
    report = checked(dataset, request)
    click.echo(group_table(request.groups))
    passed = sum(result.passed for result in report.results)
    click.echo(f"{len(request.names)} ids; {passed} of {len(report.results)} quality checks passed")
    next_step(f"grmu-audit unlearn --model {model} --forget {forget}")


def _pair(text: str) -> tuple[int, int]:
    try:
        target, attribute = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--group {text!r} is not TARGET,ATTRIBUTE with two whole numbers, such as 1,0") from None
    return target, attribute
