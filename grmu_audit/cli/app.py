"""The root group, lazy loading of commands, and the mapping of failures to exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from grmu_audit.cli import completion
from grmu_audit.cli.output import open_standard_files, safe_output, say
from grmu_audit.errors import ExitCode, GrmuAuditError
from grmu_audit.utils.resources import VERSION

COMMANDS = {
    "demo": ("demo", "Run the whole procedure on embedded real data, offline."),
    "data": ("data", "Known datasets, their groups and splits."),
    "forget": ("requests", "Create a forget list, or check one against a dataset."),
    "pretrain": ("versions", "Train on all training samples and register the version."),
    "register": ("versions", "Register an existing checkpoint, and evaluate it."),
    "retrain": ("versions", "Train again from fresh weights without the forget set."),
    "unlearn": ("versions", "Create a version of a model without the forget set."),
    "audit": ("audit", "Evaluate a version, judge it, write the report."),
    "score": ("audit", "Audit prediction files of any framework."),
    "gate": ("release", "Judge an audit by a policy: exit code 0, 1 or 3."),
    "promote": ("release", "Set the alias champion on a version with a PASS."),
    "rollback": ("release", "Restore an earlier champion."),
    "verify": ("release", "Look for edits, moved aliases and changed files."),
    "history": ("release", "Show the ledger of a model."),
    "sign-off": ("release", "Sign an audit; two people are needed."),
    "evidence": ("evidence", "Export the evidence for a verdict, or check it offline."),
    "requests": ("requests", "Erasure requests: which are open, until when."),
    "keys": ("evidence", "Create the keys that sign verdicts."),
    "report": ("reports", "Render an audit.json again: html, pdf, markdown, ..."),
    "compare": ("audit", "Show several versions side by side."),
    "site": ("reports", "Write a static register of all audits."),
    "benchmark": ("benchmark", "Compare methods on a suite: tables, figures, leaderboard."),
    "policy": ("catalogs", "Check or show a policy; print its JSON Schema."),
    "methods": ("catalogs", "List the unlearning methods."),
    "metrics": ("catalogs", "List the metrics."),
    "doctor": ("operations", "Check whether this machine is ready, and what to do."),
    "webhook": ("operations", "Verify a model when the registry reports a change."),
}
"""Module and one-line help of each command, so that the root help imports none of them."""
SECTIONS = {
    "Begin": ("demo",),
    "Data and requests": ("data", "forget", "requests"),
    "Create versions": ("pretrain", "register", "retrain", "unlearn"),
    "Measure and judge": ("audit", "score", "gate", "compare"),
    "Report": ("report", "site"),
    "Release": ("promote", "rollback", "verify", "history", "webhook"),
    "Evidence": ("sign-off", "evidence", "keys"),
    "Compare methods": ("benchmark",),
    "Look up": ("policy", "methods", "metrics", "doctor"),
}
"""The commands in the order of the work, under headings."""
REGISTRY = ("mlflow", "sqlalchemy")
"""Packages of the extra ``registry``, which reading and changing the registry needs."""
TRAINING = ("fsspec", "great_expectations", "safetensors", "torch", "torchvision", "tqdm")
"""Packages of the extra ``train``, which models and data need."""
_NEED_ALL = ("demo", "pretrain", "register", "retrain", "unlearn", "audit", "benchmark")
"""Commands that need both extras."""
DISTRIBUTED = ("pretrain", "retrain", "unlearn")
"""Commands that may run in several processes, started by ``torchrun``."""


class LazyGroup(click.Group):
    """A group whose commands live in ``grmu_audit.cli.commands`` as ``<name>_command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the work."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"grmu_audit.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        if completion.VARIABLE in os.environ:
            completion.add_completion(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The tables above, without importing anything; all sections have the same columns."""
        widest = max(map(len, COMMANDS))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), COMMANDS[name][1]) for name in names])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "GRMU_AUDIT"})
@click.version_option(VERSION, prog_name="grmu-audit")
@click.option("--tracking-uri", metavar="URI", help="MLflow tracking server [default: MLFLOW_TRACKING_URI, else mlruns/].")
@click.option(
    "--registry-uri", metavar="URI", help="MLflow model registry [default: MLFLOW_REGISTRY_URI, else the tracking server]."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option("--actor", metavar="NAME", help="Who acts, for the ledger, beside the account [default: its name].")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def root(ctx: click.Context, /, **options: object) -> None:
    """Audit machine unlearning for group fairness, and gate the promotion of unlearned models.

    Exit codes: 0 done or passed, 1 policy breached, 2 usage or input invalid, 3 inconclusive, 4 environment failure,
    5 data quality failed, 6 integrity or concurrency.
    """
    if "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1" and ctx.invoked_subcommand not in DISTRIBUTED:
        raise click.UsageError(f"torchrun is for {', '.join(DISTRIBUTED)}: run {ctx.invoked_subcommand} in one process")
    ctx.obj = options


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; a traceback appears only with ``--debug`` or ``GRMU_AUDIT_DEBUG=1``."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait spin otherwise, and other programs wait for them
    open_standard_files()
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(execute(given))


def execute(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every failure becomes one message on stderr.

    A terminal that lacks characters, a full disk or a closed pipe does not change the code of a verdict.
    """
    with safe_output() as output:
        code = _run_command(arguments)
        lost = output.lost()
        if lost is not None:
            click.echo(f"grmu-audit: not all output could be written: {lost.strerror or lost}", err=True)
            return int(ExitCode.ENVIRONMENT if code is None else code)
        return int(code or ExitCode.DONE)


def _run_command(arguments: Sequence[str]) -> int | None:
    """Run a command; returns the exit code of a verdict or a failure, None where the command ended without a verdict."""
    debug = "--debug" in arguments or os.environ.get("GRMU_AUDIT_DEBUG", "").lower() in ("1", "true", "t", "yes", "y", "on")
    try:
        code = root.main(args=list(arguments), prog_name="grmu-audit", standalone_mode=False)
        return code if isinstance(code, int) else None
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except GrmuAuditError as error:
        return _say(str(error), error.exit_code, debug)
    except SystemExit as done:  # at the end of a completion; or click exits on a closed connection by 1, which means "breached"
        if completion.VARIABLE in os.environ:
            return int(done.code or 0)
        return _say("a connection was closed by the other side: try again", ExitCode.ENVIRONMENT, debug)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (a traceback would exit 1, which means "breached")
        return _say(_missing_package(error, arguments) or _describe(error), ExitCode.ENVIRONMENT, debug)


def _missing_package(error: BaseException, arguments: Sequence[str]) -> str:
    """Message that says what to install where a package of an extra is missing; empty for another failure."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in (*REGISTRY, *TRAINING):
        return ""
    command = next((word for word in arguments if word in COMMANDS), "")
    extra = "registry" if name in REGISTRY and command not in _NEED_ALL else "all"
    return f"{name} is not installed, which this command needs: pip install 'grmu-audit[{extra}]'"


def _describe(error: BaseException) -> str:
    """Message for an unexpected exception."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "stopped on request"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'no file'}"
    if isinstance(error, MemoryError):
        return "out of memory: use a smaller batch size or dataset"
    return f"internal failure: {type(error).__name__}: {error} (see the traceback with --debug)"


def _say(message: str, code: ExitCode, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    say(f"grmu-audit: {message}", err=True)
    return int(code)
