"""Commands of ``requests`` for what still holds the rows of a request: ``impact``, ``purge``, ``hold`` and ``release``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grmu_audit.cli.options import (
    FILE,
    SIGN_OFF_ROLE,
    json_option,
    loads,
    name_option,
    next_step,
    open_session,
    public_key_option,
    reason_option,
)
from grmu_audit.cli.output import say
from grmu_audit.errors import InconclusiveError, InputError

if TYPE_CHECKING:
    from grmu_audit.workflows.purges.execution import Purged
    from grmu_audit.workflows.purges.holders import Holder
    from grmu_audit.workflows.purges.plan import PurgePlan
    from grmu_audit.workflows.session import Session

request_argument = click.argument("request", required=False)
list_option = click.option("--forget", type=FILE, help="Forget list, in place of REQUEST.")
descendants_option = click.option(
    "--descendants", is_flag=True, help="Also versions derived from them without the rows, except the champion."
)
job_folder_option = click.option("--job-folder", metavar="FOLDER", help="Folder of jobs [default: mlruns/jobs].")


@click.command("impact")
@request_argument
@name_option
@list_option
@descendants_option
@job_folder_option
@json_option
@click.pass_context
@loads("the store")
def impact_command(
    ctx: click.Context, request: str | None, name: str, forget: Path | None, descendants: bool, job_folder: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """List everything that still holds the rows of REQUEST (its id or digest), or of a list: versions, outputs, caches, bundles.

    'purged' is what a purge deletes, 'kept' what it leaves, 'blocks' what forbids it, 'open' what it cannot reach.
    """
    import json
    from dataclasses import asdict

    from grmu_audit.workflows.purges.holders import Holders
    from grmu_audit.workflows.purges.selection import select

    session = _session(ctx, job_folder)
    found = Holders(session, select(session, name, request, forget), descendants).listed()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
    else:
        _show(found)


@click.command("purge")
@request_argument
@name_option
@list_option
@descendants_option
@job_folder_option
@click.option("--reason", default="", help="Why, for the ledger.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--resume", is_flag=True, help="Finish the purge that a crash left open.")
@click.option("--sign-off", "role", type=SIGN_OFF_ROLE, help="Sign this plan; delete nothing.")
@click.option(
    "--require-sign-off",
    is_flag=True,
    help="A preparer and a reviewer must have signed exactly this plan; a champion's policy or promotion may require it, too.",
)
@public_key_option
@click.pass_context
@loads("the store")
def purge_command(
    ctx: click.Context, /, request: str | None, name: str, forget: Path | None, descendants: bool, job_folder: str | None,
    resume: bool, **how: Any,
) -> None:  # fmt: skip
    """Delete what holds the rows of a request that the champion was created without: versions trained on them, caches.

    Weights, outputs and features are deleted; the outputs of test rows that no request names stay, so that later audits can
    compare with the version. The ledger lists what is deleted before it is, and the purge ends when all of it is gone.
    """
    from grmu_audit.evidence.signing import trusted_keys
    from grmu_audit.workflows.purges.execution import resume_purge
    from grmu_audit.workflows.purges.plan import plan_purge, sign_plan

    session = _session(ctx, job_folder)
    if resume:
        if request is not None or forget is not None:
            raise click.UsageError("--resume finishes what was begun: it takes no REQUEST and no list")
        done = resume_purge(session, name, trusted_keys(how["public_key"]))
        say(_summary(done) if done is not None else f"no purge of {name} is open")
        return
    plan = plan_purge(session, name, request, forget, descendants=descendants)
    _show(plan.listed)
    say(f"plan {plan.record.plan_sha256}")
    if how["role"] is not None:
        number = sign_plan(session, plan, how["role"], how["reason"])
        say(f"{session.actor} signed this plan off as {how['role']} (ledger entry {number}); nothing was deleted")
        return
    _delete(session, plan, how)


def _delete(session: Session, plan: PurgePlan, how: dict[str, Any]) -> None:
    """Check what is required, ask, and purge."""
    from grmu_audit.evidence.signing import trusted_keys
    from grmu_audit.workflows.purges.execution import purge
    from grmu_audit.workflows.purges.plan import require_permitted, require_sign_offs

    require_permitted(session, plan)
    keys = trusted_keys(how["public_key"])
    try:
        require_sign_offs(session, plan, keys, asked=how["require_sign_off"])
    except InconclusiveError as error:
        if not how["dry_run"]:
            raise
        say(f"missing: {error}", err=True)
    if how["dry_run"]:
        say("dry run: nothing was deleted")
        return
    _confirm(plan.record.model, yes=how["yes"])
    say(_summary(purge(session, plan, how["reason"], sign_off=how["require_sign_off"], keys=keys)))
    next_step(f"grmu-audit verify --model {plan.record.model}")


@click.command("hold")
@request_argument
@name_option
@reason_option
@click.pass_context
@loads("the store")
def hold_command(ctx: click.Context, request: str | None, name: str, reason: str) -> None:
    """Record a legal hold for REQUEST, or for the whole model: until it is released, nothing of the model is purged."""
    from grmu_audit.workflows.purges.holds import hold

    say(f"{request or name}: held (ledger entry {hold(open_session(ctx), name, request, reason)})")


@click.command("release")
@request_argument
@name_option
@reason_option
@click.pass_context
@loads("the store")
def release_command(ctx: click.Context, request: str | None, name: str, reason: str) -> None:
    """Record that a legal hold has ended."""
    from grmu_audit.workflows.purges.holds import release

    say(f"{request or name}: released (ledger entry {release(open_session(ctx), name, request, reason)})")


def _session(ctx: click.Context, job_folder: str | None) -> Session:
    from grmu_audit.jobs import JobOptions

    return open_session(ctx, JobOptions(folder=job_folder) if job_folder else None)


def _show(found: Sequence[Holder]) -> None:
    """One line for each holder, what is purged first."""
    from grmu_audit.report.wording.names import safe_name as shown

    for one in found:
        size = f" ({_bytes(one.size)})" if one.size else ""
        why = f": {shown(one.why)}" if one.why else ""
        say(f"{one.action:6}  {one.kind} {shown(one.name)}, {shown(one.holds)}{size}{why}")


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _summary(done: Purged) -> str:
    versions, folders = ", ".join(done.versions) or "no version", ", ".join(done.folders) or "none"
    text = f"purged {versions}: {done.files} files; caches deleted: {folders} (ledger entries {done.begun} to {done.ended})"
    return text + (f"; open, delete it there: {', '.join(done.elsewhere)}" if done.elsewhere else "")


def _confirm(name: str, *, yes: bool) -> None:
    """Ask for the model's name; without a terminal only ``--yes`` deletes.

    Raises:
        InputError: another text was typed, or there is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nothing was deleted: this cannot be undone; --yes deletes what is listed above")
    typed = click.prompt(f"This cannot be undone. Type {name} to delete what is listed above", default="", show_default=False)
    if typed.strip() != name:
        raise InputError(f"nothing was deleted: {typed[:80]!r} is not {name!r}")
