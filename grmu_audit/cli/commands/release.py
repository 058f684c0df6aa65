"""Commands for a version that was audited: ``gate``, ``promote``, ``rollback``, ``sign-off``, ``verify`` and ``history``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import (
    FILE,
    SIGN_OFF_ROLE,
    json_option,
    loads,
    model_option,
    name_option,
    open_session,
    policy_option,
    print_audit,
    reason_option,
    requirement_options,
    write_formats,
)
from grmu_audit.cli.output import say

if TYPE_CHECKING:
    from grmu_audit.tracking import Requirements
    from grmu_audit.tracking.promotion import Promotion

reopen_option = click.option(
    "--reopen",
    multiple=True,
    metavar="REQUEST",
    help="Open a request again that a champion has served, by its id or digest; needs --reason; repeatable.",
)


@click.command("gate")
@click.option("--model", metavar="MODEL", help="Judge the stored audit of this version.")
@click.option("--audit", "audit_file", type=FILE, help="Judge this audit.json; compared with the store where there is one.")
@policy_option
@click.option("--format", "formats", multiple=True, metavar="FORMAT=FILE", help="Also write json, junit, sarif, ...; repeatable.")
@click.pass_context
def gate_command(ctx: click.Context, model: str | None, audit_file: Path | None, policy: str, formats: tuple[str, ...]) -> None:
    """Judge an audit by a policy: exit code 0 PASS, 1 BREACH, 3 INCONCLUSIVE."""
    from grmu_audit.policy import load_named
    from grmu_audit.workflows.release import gate, gate_file

    if (model is None) == (audit_file is None):
        raise click.UsageError("give exactly one of --model and --audit")
    chosen = load_named(policy)
    session = open_session(ctx)
    audit = gate(session, str(model), chosen) if audit_file is None else gate_file(session, audit_file, chosen)
    write_formats(audit, formats)
    print_audit(audit)
    ctx.exit(audit.verdict.decision.exit_code if audit.verdict else 3)


@click.command("history")
@name_option
@json_option
@click.pass_context
def history_command(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show the ledger of a model: every audit, promotion, refusal and rollback, oldest first.

    Versions that were trained on rows of an earlier request of their lineage are named on stderr. Exit code 6 where the registry
    has lost the model; its ledger is shown first.
    """
    import json

    from grmu_audit.cli.tables import text_table
    from grmu_audit.report.wording.names import safe_name as shown
    from grmu_audit.tracking import require_model, reversals
    from grmu_audit.workflows.release import history

    session = open_session(ctx)
    entries = history(session, name)
    for finding in reversals(session.store, name):
        say(f"{finding.check}: {finding.message}", err=True)
    fields = ("number", "time", "kind", "version", "decision", "actor", "account")
    rows = [[shown(entry.get(f) or "-") for f in fields] for entry in entries]
    opened = [(entry["number"], digest, entry["reason"]) for entry in entries for digest in entry["reopened"] or ()]
    purges = [(entry["number"], f"{name}/{version}", entry["reason"]) for entry in entries for version in entry["purged"] or ()]
    click.echo(json.dumps(entries) if as_json else text_table(list(fields), rows))
    for number, digest, reason in () if as_json else opened:
        say(f"entry {number}: request {shown(digest)} is open again: {shown(reason)}")
    for number, label, reason in () if as_json else purges:
        say(f"entry {number}: files of {label} are deleted on purpose{': ' + shown(reason) if reason else ''}")
    require_model(session.store, name)


claim_option = click.option(
    "--without-forgetting-claim",
    metavar="REASON",
    default="",
    help="Why a verdict that claims nothing on forgetting is enough; for ledger and report.",
)


@click.command("promote")
@model_option
@click.option("--reason", default="", help="Why, for the ledger.")
@click.option("--ci-url", help="Address of the CI run, for the ledger.")
@click.option("--resume", is_flag=True, help="Finish the promotion of this model that a crash left open.")
@reopen_option
@claim_option
@requirement_options
@click.pass_context
@loads("the store")
def promote_command(
    ctx: click.Context, /, model: str, reason: str, ci_url: str | None, resume: bool, reopen: tuple[str, ...],
    without_forgetting_claim: str, requirements: Requirements,
) -> None:  # fmt: skip
    """Set the alias champion on a version, if its audit says PASS and its files are the audited ones.

    The version must leave out every request that a champion of the model has served.
    """
    from grmu_audit.workflows import release

    if resume and reopen:
        raise click.UsageError("--resume finishes what was begun: --reopen belongs to the promotion itself")
    session, requirements = open_session(ctx), replace(requirements, without_forgetting_claim=without_forgetting_claim)
    if resume:
        done = release.resume(session, model, requirements)
    else:
        done = release.promote(session, model, reason, ci_url, requirements, reopen)
    if done is None:
        say(f"no promotion of {model} is open")
    else:
        say(_moved(done))


def _moved(done: Promotion) -> str:
    """What a promotion did, in one line."""
    if not done.changed:
        return f"{done.ref.label} is the champion of {done.ref.name} already: nothing was moved, and the ledger has no new entry"
    return f"{done.ref.label} is champion of {done.ref.name} (ledger entry {done.entry}, before: {done.before or 'none'})"


@click.command("rollback")
@name_option
@reason_option
@click.option("--to", metavar="VERSION", help="Version to go back to [default: the champion before the present one].")
@reopen_option
@claim_option
@requirement_options
@click.pass_context
@loads("the store")
def rollback_command(
    ctx: click.Context, /, name: str, reason: str, to: str | None, reopen: tuple[str, ...], without_forgetting_claim: str,
    requirements: Requirements,
) -> None:  # fmt: skip
    """Restore an earlier champion; it needs a PASS like any other, and must leave out every request served since."""
    from grmu_audit.workflows.release import rollback

    requirements = replace(requirements, without_forgetting_claim=without_forgetting_claim)
    done = rollback(open_session(ctx), name, reason, to, requirements, reopen)
    say(_moved(done))


@click.command("sign-off")
@model_option
@click.option("--role", required=True, type=SIGN_OFF_ROLE, help="Role of the signer.")
@click.option("--note", default="", help="Note for the ledger.")
@click.pass_context
@loads("the store")
def sign_off_command(ctx: click.Context, model: str, role: str, note: str) -> None:
    """Sign the newest audit of a version in your name (--actor); preparer and reviewer must be two people."""
    from grmu_audit.workflows.release import sign_off

    session = open_session(ctx)
    number = sign_off(session, model, role, note)
    say(f"{session.actor} signed off {model} as {role} (ledger entry {number})")


@click.command("verify")
@name_option
@click.option("--deep", is_flag=True, help="Also repeat the forward pass on a random sample of rows; needs the data.")
@requirement_options
@click.pass_context
@loads("the store")
def verify_command(ctx: click.Context, name: str, deep: bool, requirements: Requirements) -> None:
    """Look for edits, moved aliases and changed files: exit code 0 when all is as recorded, else that of the finding.

    A warning on stderr names versions whose stored tables, of an earlier version of the tool, reveal the forget set.
    """
    from grmu_audit.workflows.release import history, repeat_outputs, unbound, verify

    session = open_session(ctx)
    findings = verify(session, name, requirements)
    if deep:
        compared, wrong = repeat_outputs(session, name)
        findings += wrong
        for label, rows in compared.items():
            say(
                f"{label}: the network gives what is stored ({rows} rows)"
                if rows
                else f"{label}: no outputs are stored under the present key"
            )
    for finding in findings:
        say(f"{finding.check}: {finding.message}")
    if not findings:
        from grmu_audit.workflows.audits.stored import order_warning  # loads pyarrow, which a finding does not need

        if text := order_warning(session.store, name):
            say(f"warning: {text}", err=True)
        if labels := unbound(session, name):
            say(
                f"not bound: {', '.join(labels)} (no registration record: nothing shows that its predictions and request are"
                f" those of before); not promoted until 'grmu-audit register --bind --name {name}' has measured them again"
            )
        entries = history(session, name)
        audited = len({entry["version"] for entry in entries if entry["kind"] == "audit"})
        say(
            f"{name}: ledger, alias and evidence are as recorded\n(entries: {len(entries)}, audited versions: {audited})"
            if entries
            else f"{name}: nothing was audited or promoted yet: there is no record to compare with"
        )
    ctx.exit(max((f.error.exit_code for f in findings), default=0))
