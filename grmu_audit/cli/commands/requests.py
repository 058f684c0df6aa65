"""Commands for forget lists and erasure requests: ``forget`` (sample, check) and ``requests`` (add, list, withdraw, answer; those
of ``purges``)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from grmu_audit.cli.commands.purges import hold_command, impact_command, purge_command, release_command
from grmu_audit.cli.options import (
    FILE,
    forget_option,
    json_option,
    loads,
    model_option,
    name_option,
    next_step,
    open_session,
    reason_option,
    seed_option,
    whole_subjects_option,
)
from grmu_audit.cli.output import say


@click.group("requests")
def requests_command() -> None:
    """Erasure requests: record them, answer them, list the open ones, and purge what holds the rows of one that was served."""


@requests_command.command("add")
@model_option
@forget_option
@click.option("--id", "request_id", default="", help="Request id of rows without one [default: from the digest of the rows].")
@click.option(
    "--received", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Date of receipt, where the list has no received_at."
)
@click.option("--ground", default="", help="Ground, where the list has none.")
@click.pass_context
@loads("the store and the data")
def add(ctx: click.Context, model: str, forget: Path, request_id: str, received: datetime | None, ground: str) -> None:
    """Record the requests of a list, by pseudonyms; 'unlearn --requests pending' serves all that wait with one version.

    The model need not have a version yet.
    """
    from grmu_audit.tracking import parse_reference
    from grmu_audit.workflows.pending import RequestFields, add_requests

    fields = RequestFields(request_id, received.date() if received else None, ground)
    session = open_session(ctx)
    for record in add_requests(session, model, forget, fields):
        say(f"{record.request_id}: {record.rows} rows, due {record.due_at or 'unknown: give --received DATE'}")
    known = session.store.versions(parse_reference(model).name)
    next_step(f"grmu-audit {f'unlearn --model {model} --requests pending' if known else f'pretrain --name {model}'}")


@requests_command.command("withdraw")
@click.argument("request_id")
@name_option
@reason_option
@click.pass_context
@loads("the store")
def withdraw(ctx: click.Context, request_id: str, name: str, reason: str) -> None:
    """Record that a waiting request was withdrawn."""
    from grmu_audit.workflows.pending import withdraw_request

    say(f"{request_id}: withdrawn (ledger entry {withdraw_request(open_session(ctx), name, request_id, reason)})")


@requests_command.command("list")
@name_option
@click.option("--all", "everything", is_flag=True, help="Answered requests too.")
@json_option
@click.pass_context
def list_requests(ctx: click.Context, name: str, everything: bool, as_json: bool) -> None:
    """Show the open requests of a model by their due dates, and whether a champion has served them.

    Exit code 6 where versions that the ledger names were deleted: their requests cannot be counted.
    """
    import json
    from dataclasses import asdict

    from grmu_audit.cli.tables import request_table
    from grmu_audit.workflows.erasure import open_requests, require_all_versions

    store = open_session(ctx).store
    found = [r for r in open_requests(store, name) if everything or r.answered_at is None or r.reopened]
    click.echo(json.dumps([asdict(r) for r in found]) if as_json else request_table(found))
    require_all_versions(store, name)


@requests_command.command("answer")
@click.argument("request_id")
@name_option
@click.option("--note", default="", help="How it was answered, for the ledger.")
@click.pass_context
@loads("the store")
def answer(ctx: click.Context, request_id: str, name: str, note: str) -> None:
    """Record that a request was answered now."""
    from grmu_audit.workflows.erasure import record_answer

    say(f"{request_id}: answered (ledger entry {record_answer(open_session(ctx), name, request_id, note)})")


for command in (impact_command, purge_command, hold_command, release_command):
    requests_command.add_command(command)


NAMES = (
    "celeba-blond-male",
    "celeba-attractive-male",
    "waterbirds-waterbird-land",
    "waterbirds-landbird-water",
    "fairface-1",
    "fairface-9",
    "fairface-25",
    "multinli-negation",
)
"""Names of ``data.forget.PRESETS``, so that the help imports nothing; a test checks that the two are equal."""


@click.group("forget")
def forget_command() -> None:
    """Create a forget list, or check one against a dataset."""


@forget_command.command("sample")
@model_option
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="As 1,0 or 'blond / male'; repeatable.")
@click.option(
    "--preset", type=click.Choice(list(NAMES)), metavar="NAME", help="A forget set of the papers: " + ", ".join(NAMES) + "."
)
@click.option("--class", "class_", metavar="CLASS", help="From one class, by name or number.")
@click.option("--subject", metavar="SUBJECT", help="All samples of one subject.")
@click.option("--random", is_flag=True, help="From all training samples.")
@click.option("--ratio", type=float, help="Share to sample of the training samples that match [default: 0.5; 1 for a subject].")
@click.option("--out", type=FILE, default=Path("ids.csv"), show_default=True, help="Forget list to write.")
@seed_option(0)
@click.pass_context
@loads("the store and the data")
def sample(ctx: click.Context, /, model: str, ratio: float | None, out: Path, **how: Any) -> None:
    """Draw a forget set from the model's training data, as in the papers: from groups, a class, a subject, or at random.

    Ids that earlier requests of the version's lineage named are not drawn again.
    """
    from grmu_audit.data.forget import ForgetSampling
    from grmu_audit.workflows.forget_requests import forgotten_ids, sample_forget_list

    session = open_session(ctx)
    ref = session.store.resolve(model)
    share = ratio if ratio is not None else 1.0 if how["subject"] is not None else 0.5
    dataset = session.dataset_of(ref)
    sampling = ForgetSampling(ratio=share, **how)
    count = sample_forget_list(dataset, out, sampling, forgotten_ids(session, ref, dataset))
    say(f"{count} ids in {out}")
    next_step(f"grmu-audit forget check --model {ref.label} --forget {out}")


@forget_command.command("check")
@model_option
@forget_option
@whole_subjects_option
@click.pass_context
@loads("the store and the data")
def check(ctx: click.Context, model: str, forget: Path, whole_subjects: bool) -> None:
    """Check a forget list against the model's training data, and the data's quality under the request."""
    from grmu_audit.cli.tables import group_table
    from grmu_audit.data.quality.checks import require_quality
    from grmu_audit.workflows.forget_requests import advice_on_request, read_request

    session = open_session(ctx)
    ref = session.store.resolve(model)
    dataset = session.dataset_of(ref)
    request = read_request(session, forget, dataset, ref, whole_subjects=whole_subjects)
    report = require_quality(dataset, request.forget)
    click.echo(group_table(request.groups))
    passed = sum(result.passed for result in report.results)
    if request.forget.repeated:
        say(f"{request.forget.repeated} of {len(request.forget.ids)} ids were named by an earlier request already")
    if request.forget.earlier:
        say(f"{len(request.forget.earlier)} more ids of earlier requests of the lineage remain in the forget set")
    if request.forget.withheld:
        say(f"{len(request.forget.withheld)} ids are validation or test rows: nothing to unlearn, left out of evaluations")
    say(f"{len(request.forget.ids)} ids; {passed} of {len(report.results)} quality checks passed")
    for line in advice_on_request(session, request, dataset, ref, f"--forget {forget}"):
        say(f"forgetting: {line}")
    next_step(f"grmu-audit unlearn --model {model} --forget {forget}")
