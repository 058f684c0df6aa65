"""``grmu-audit evidence``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, json_option, model_option, next_step, open_session, public_key_option


@click.group("evidence")
def command() -> None:
    """Export the evidence for a verdict as one archive, or check such an archive."""


@command.command("export")
@model_option
@click.option("--out", type=FILE, help="Archive to write [default: NAME-VERSION.evidence.zip].")
@click.pass_context
def export(ctx: click.Context, model: str, out: Path | None) -> None:
    """Write audit, report, policy, predictions, attestation and ledger of a version's newest audit into one archive."""
    from grmu_audit.api.export import export_bundle

    store = open_session(ctx).store
    ref = store.resolve(model)
    path = out or Path(f"{ref.name}-{ref.version}.evidence.zip")
    click.echo(f"{path}\nsha256 {export_bundle(store, ref.label, path)}")
    next_step(f"grmu-audit evidence verify {path}")


@command.command("verify")
@click.argument("bundle", type=FILE)
@public_key_option
@click.option("--sha256", "expected", metavar="HEX", help="Digest that the archive must have, where known from elsewhere.")
@json_option
@click.pass_context
def verify(ctx: click.Context, bundle: Path, public_key: tuple[Path, ...], expected: str | None, as_json: bool) -> None:
    """Check a bundle offline and compute its verdict again: exit code 0 when all agrees, 6 when not."""
    from grmu_audit.api.bundle import verify_bundle
    from grmu_audit.cli.tables import checked_json, checked_text
    from grmu_audit.evidence.signing import configured_public_keys, load_public_key

    keys = [load_public_key(path) for path in public_key] or configured_public_keys()
    checked = verify_bundle(bundle, keys, expected)
    click.echo(checked_json(checked) if as_json else checked_text(checked))
    ctx.exit(6 if checked.findings else 0)
