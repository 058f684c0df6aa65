"""``grmu-audit keys``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import FILE, next_step


@click.group("keys")
def command() -> None:
    """Keys that verdicts and sign-offs are signed with."""


@command.command("generate")
@click.option(
    "--out", type=FILE, default=Path("grmu-audit.key"), show_default=True, help="Private key; the public one gets .pub."
)
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase [default: $GRMU_AUDIT_SIGNING_PASSPHRASE, else none].")
def generate(out: Path, passphrase: bool) -> None:
    """Make an Ed25519 key pair: the private key readable by its owner alone, the public key to hand out."""
    import os

    from grmu_audit.evidence.signing import PASSPHRASE_VARIABLE, SIGNING_KEY_VARIABLE, generate_keys

    secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    public = out.with_suffix(".pub")
    keyid = generate_keys(out, public, secret or os.environ.get(PASSPHRASE_VARIABLE))
    click.echo(f"private key: {out}\npublic key:  {public}\nkey id:      {keyid}")
    next_step(f"export {SIGNING_KEY_VARIABLE}={out}")
