"""Commands for operators: ``doctor`` and ``webhook``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import FILE, json_option, open_session, requirement_options
from grmu_audit.cli.output import say

if TYPE_CHECKING:
    from grmu_audit.tracking import Requirements


@click.command("doctor")
@click.option("--write", is_flag=True, help="Also create a registered model, and delete it again.")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, write: bool, as_json: bool) -> None:
    """Check whether this machine is ready: libraries, device, server, permissions, disk, keys. Exit code 4 when something is not.

    Nothing is created without --write.
    """
    import json
    from dataclasses import asdict

    from grmu_audit.workflows.operations.doctor import examine

    found = examine(open_session(ctx), write=write)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
    else:
        for one in found:
            say(f"{one.state:8} {one.name}: {one.found}{f'; do: {one.do}' if one.do else ''}")
    ctx.exit(4 if any(one.state == "problem" for one in found) else 0)


@click.group("webhook")
def webhook_command() -> None:
    """Verify a model as soon as the registry reports a change of an alias or a version."""


@webhook_command.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="Port; 0: a free one.")
@click.option("--secret-file", required=True, type=FILE, help="The webhook's secret, readable by its owner alone.")
@click.option(
    "--on-moved", type=click.Choice(["report", "restore"]), default="report", show_default=True,
    help="restore: move an alias that was changed by hand back to the version that the ledger names.",
)  # fmt: skip
@click.option("--tls-cert", type=FILE, help="Certificate chain, for HTTPS; with --tls-key.")
@click.option("--tls-key", type=FILE, help="Private key of the certificate.")
@requirement_options
@click.pass_context
def serve(
    ctx: click.Context, host: str, port: int, secret_file: Path, on_moved: str, tls_cert: Path | None, tls_key: Path | None,
    requirements: Requirements,
) -> None:  # fmt: skip
    """Receive the calls of an MLflow server and verify the models that they name; one line for each finding, with its exit code.

    Calls must carry MLflow's X-MLflow-Signature, made with the secret, and be at most five minutes old.
    """
    import signal
    import threading

    from grmu_audit.workflows.operations.calls import CallCheck, read_webhook_secret
    from grmu_audit.workflows.operations.webhook import Receiver, Server, serve

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    check, session = CallCheck(read_webhook_secret(secret_file)), open_session(ctx)
    names = session.store.models()  # opens the store now, so that the first event does not wait for it

    def log(line: str) -> None:
        """Print a line at once."""
        say(line)
        sys.stdout.flush()

    receiver = Receiver(session, check, log, requirements, restore=on_moved == "restore")
    server = Server(receiver, (host, port), (str(tls_cert), str(tls_key)) if tls_cert else None)
    log(f"listening at {host}:{server.server_port}, {len(names)} models in {session.store.uri}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    serve(server)
    log("stopped")
