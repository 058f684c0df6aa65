"""Commands for evidence of verdicts: ``evidence`` (bundles, signatures of models) and ``keys`` (generate, rotate)."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import (
    EXTERNAL,
    FILE,
    FOLDER,
    json_option,
    loads,
    model_option,
    next_step,
    open_session,
    public_key_option,
)
from grmu_audit.cli.output import say


@click.group("evidence")
def evidence_command() -> None:
    """Export the evidence for a verdict as one archive, or check such an archive."""


@evidence_command.command("export")
@model_option
@click.option("--out", type=FILE, help="Archive to write [default: NAME-VERSION.KIND.zip, KIND evidence, counts or external].")
@click.option(
    "--disclosure",
    type=click.Choice(["internal", "counts", "external"]),
    default="internal",
    show_default=True,
    help="counts: in place of predictions the counts of answers by group, from which most metrics can still be recomputed; "
    f"{EXTERNAL}",
)
@click.pass_context
@loads("the store")
def export(ctx: click.Context, model: str, out: Path | None, disclosure: str) -> None:
    """Write audit, report, policy, predictions, attestation and ledger of a version's newest audit into one archive.

    Two kinds of archive hold no predictions: one of counts, from which a recipient can recompute most metrics, and an external
    one, which holds no exact count of people.
    """
    from grmu_audit.workflows.audits.stored import export_bundle
    from grmu_audit.workflows.purges.bundles import record_export

    session = open_session(ctx)
    store = session.store
    ref = store.resolve(model)
    kind = "evidence" if disclosure == "internal" else disclosure
    path = out or Path(f"{ref.name}-{ref.version}.{kind}.zip")
    digest = export_bundle(store, ref.label, path, disclosure)
    if disclosure == "internal":
        record_export(session, ref, path, digest)
    say(f"{path}\nsha256 {digest}")
    next_step(f"grmu-audit evidence verify {path}")


@evidence_command.command("verify")
@click.argument("bundle", type=FILE)
@public_key_option
@click.option("--sha256", "expected", metavar="HEX", help="Digest that the archive must have.")
@click.option("--internal", type=FILE, help="Internal bundle from which an external one, or one of counts, must be made.")
@json_option
@click.pass_context
@loads("the bundle")
def verify(
    ctx: click.Context, bundle: Path, public_key: tuple[Path, ...], expected: str | None, internal: Path | None, as_json: bool
) -> None:
    """Check a bundle offline and recompute its verdict: exit code 0 when all agrees, 6 when not.

    Of a bundle of counts, what follows from the counts is recomputed, and the rest is listed; of an external bundle nothing is.
    """
    from dataclasses import replace

    from grmu_audit.auditing.bundle_check import compare_forms, verify_bundle
    from grmu_audit.cli.tables import bundle_check_json, bundle_check_text
    from grmu_audit.evidence.signing import trusted_keys

    checked = verify_bundle(bundle, trusted_keys(public_key), expected)
    if internal is not None and not checked.findings:
        checked = replace(checked, findings=compare_forms(bundle, internal))
    click.echo(bundle_check_json(checked) if as_json else bundle_check_text(checked))
    ctx.exit(6 if checked.findings else 0)


model_key_option = click.option("--public-key", required=True, type=FILE, help="Public EC key that must have signed.")


@evidence_command.command("sign-model")
@model_option
@click.option("--key", "private", required=True, type=FILE, help="Private EC key, of 'keys generate --kind model'.")
@click.option("--out", type=FILE, help="File for the signature [default: NAME-VERSION.model.sig].")
@click.pass_context
@loads("the store")
def sign_model_command(ctx: click.Context, model: str, private: Path, out: Path | None) -> None:
    """Sign the files of a version (OpenSSF Model Signing), and enter the signature in the ledger.

    'model_signing verify key' can check the written file, too. No network is used.
    """
    from grmu_audit.workflows.operations.model_signing import sign_model

    session = open_session(ctx)
    ref = session.store.resolve(model)
    path = out or Path(f"{ref.name}-{ref.version}.model.sig")
    ref, key, number = sign_model(session, ref.label, private, path)
    say(f"{path}\n{ref.label} signed by key {key} (ledger entry {number})")
    next_step(f"grmu-audit evidence verify-model --model {ref.label} --public-key {private.with_suffix('.pub')}")


@evidence_command.command("verify-model")
@click.option("--model", metavar="MODEL", help="Version whose files and signature are in the store.")
@click.option("--files", type=FOLDER, help="Or a folder of files, without a store.")
@click.option("--signature", type=FILE, help="With --files: the signature.")
@model_key_option
@click.pass_context
@loads("the store")
def verify_model_command(
    ctx: click.Context, model: str | None, files: Path | None, signature: Path | None, public_key: Path
) -> None:
    """Check the files of a version against their signature: exit code 6 when one was changed, added or removed, or another key
    signed; 3 when nobody did.
    """
    from grmu_audit.workflows.operations.model_signing import verify_folder, verify_model

    if (model is None) == (files is None) or (files is None) != (signature is None):
        raise click.UsageError("give either --model, or --files with --signature")
    if files is None:
        ref = verify_model(open_session(ctx), str(model), public_key)
        say(f"{ref.label}: its files are those that {public_key} signed")
    else:
        verify_folder(files, Path(str(signature)), public_key)
        say(f"{files}: its files are those that {public_key} signed")


@click.group("keys")
def keys_command() -> None:
    """Keys of signatures and of pseudonyms."""


@keys_command.command("generate")
@click.option(
    "--out", type=FILE, default=Path("grmu-audit.key"), show_default=True, help="Private key; the public one gets .pub."
)
@click.option(
    "--kind",
    type=click.Choice(["evidence", "model"]),
    default="evidence",
    show_default=True,
    help="What it signs: verdicts and sign-offs (Ed25519), or the files of models (EC, P-256).",
)
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase [default: $GRMU_AUDIT_SIGNING_PASSPHRASE, else none].")
def generate(out: Path, kind: str, passphrase: bool) -> None:
    """Make a key pair: the private key readable by its owner alone, the public key to hand out."""
    import os

    from grmu_audit.evidence.model_signatures import generate_model_keys
    from grmu_audit.evidence.signing import PASSPHRASE_VARIABLE, SIGNING_KEY_VARIABLE, generate_keys

    secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    public = out.with_suffix(".pub")
    make = generate_keys if kind == "evidence" else generate_model_keys
    keyid = make(out, public, secret or os.environ.get(PASSPHRASE_VARIABLE))
    say(f"private key: {out}\npublic key:  {public}\nkey id:      {keyid}")
    sign_model = f"grmu-audit evidence sign-model --key {out} --model NAME"
    next_step(f"export {SIGNING_KEY_VARIABLE}={out}" if kind == "evidence" else sign_model)


@keys_command.command("rotate")
@click.option("--model", metavar="MODEL", help="With a lost key: the newest version of the lineage whose requests are recorded.")
@click.option("--earlier-forget", type=FILE, help="With a lost key: the ids of all requests of that lineage, as a forget list.")
@click.pass_context
@loads("the store and the data")
def rotate_command(ctx: click.Context, model: str | None, earlier_forget: Path | None) -> None:
    """Replace the key of the pseudonyms, and record the requests of all models again under the new one.

    The key in the key file is the old one; it is kept beside the new one. Where it is lost, --model and --earlier-forget record
    the requests of one lineage under the key in the key file, if the list has as many rows of each group as were forgotten.
    """
    from grmu_audit.workflows.keys import rekey_lost, rotate

    if (model is None) != (earlier_forget is None):
        raise click.UsageError("--model and --earlier-forget belong together: both for a lost key, else neither")
    session = open_session(ctx)
    done = rekey_lost(session, model, earlier_forget) if model and earlier_forget else rotate(session)
    for name, count in done.versions.items():
        say(f"{name}: requests of {count} versions recorded under the new key")
    for request in done.left:
        say(f"{request}: this request was recorded with the earlier key, and no data has its rows: withdraw it, and add it again")
    if done.kept is not None:
        say(f"the earlier key is kept in {done.kept}: the records of earlier runs need it")
