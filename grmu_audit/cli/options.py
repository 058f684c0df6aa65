"""Options that several commands share, and the session that they open."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from grmu_audit.cli.output import COMMAND, say
from grmu_audit.errors import InputError
from grmu_audit.utils.terminal_tables import terminal_width

if TYPE_CHECKING:
    from grmu_audit.data.catalog import DataSpec
    from grmu_audit.jobs import JobOptions
    from grmu_audit.records import Audit
    from grmu_audit.utils.progress import Observer
    from grmu_audit.workflows.session import Session

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
model_option = click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="NAME (its champion, else its newest pretrain version), NAME/3, NAME@alias or models:/...",
)
"""``--model`` of commands on a version."""
name_option = click.option("--model", "name", required=True, metavar="NAME", help="Model name.")
"""``--model`` of commands on a model and all its versions."""
reason_option = click.option("--reason", required=True, help="Why, for the ledger.")
FORGET_LIST = "Forget list: CSV with a column id (or subject), one id per line, or parquet."
forget_option = click.option("--forget", required=True, type=FILE, help=FORGET_LIST)
SIGN_OFF_ROLE = click.Choice(["preparer", "reviewer", "approver"])
"""A copy of ``evidence.sign_offs.SIGN_OFF_ROLES``, so that the help imports nothing."""
EXTERNAL = "external: what may be given to anybody; counts of people in steps of five, rates in ranges, no predictions."
whole_subjects_option = click.option(
    "--whole-subjects", is_flag=True, help="Take all rows of every subject that the list names a row of."
)
systems_option = click.option(
    "--systems", type=FILE, help="YAML list of the systems that may hold the data, for the erasure record."
)
earlier_forget_option = click.option(
    "--earlier-forget",
    type=FILE,
    help="Where the key of the earlier requests is lost: the list of all their ids, as for 'keys rotate'.",
)
policy_option = click.option(
    "--policy",
    default="default",
    show_default=True,
    metavar="NAME|FILE[@SHA256]",
    help="Policy by name or file; with its digest, only that exact policy.",
)
settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Setting that differs from the default; repeatable."
)
data_root_option = click.option(
    "--data-root", type=FOLDER, help="Folder that holds the dataset [default: $GRMU_AUDIT_DATA_ROOT]."
)
data_option_option = click.option("--data-option", multiple=True, metavar="KEY=VALUE", help="Option of the dataset; repeatable.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
disclosure_option = click.option(
    "--disclosure",
    type=click.Choice(["internal", "external"]),
    default="internal",
    show_default=True,
    help=EXTERNAL,
)
public_key_option = click.option(
    "--public-key",
    multiple=True,
    type=FILE,
    help="Trusted public key; repeatable. With any, what is unsigned does not count [default: $GRMU_AUDIT_PUBLIC_KEYS].",
)


def seed_option(default: int | None) -> Callable[[F], F]:
    """``--seed``; without a default it is the model's own."""
    text = "Seed of every random draw." if default is not None else "Seed of every random draw [default: the model's own]."
    return click.option("--seed", type=click.IntRange(min=0), default=default, show_default=default is not None, help=text)


def architecture_options(function: F) -> F:
    """``--architecture`` and ``--architecture-option``."""
    text = "small_resnet, small_vit, mlp, bert, a classifier of torchvision, or package.module:function if allowed."
    for option in (
        click.option("--architecture-option", multiple=True, metavar="KEY=VALUE", help="Option of the architecture; repeatable."),
        click.option("--architecture", default="small_resnet", show_default=True, metavar="NAME", help=text),
    ):
        function = option(function)
    return function


def search_options(function: F) -> F:
    """``--preset``, ``--tune`` and ``--resume``."""
    for option in (
        click.option("--resume", is_flag=True, help="Continue an interrupted run of the same options."),
        click.option(
            "--tune", "trials", type=click.IntRange(min=0), default=0, metavar="N",
            help="Try N configurations; rank by validation groups and a held-out attack.",
        ),
        click.option(
            "--preset", metavar="paper[:DATASET[:RATIO[:GROUPS]]]", help="The seed paper's options for the request; --set wins."
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def data_options(function: F) -> F:
    """``--data``, ``--data-root`` and ``--data-option``, put together as ``data``, a ``DataSpec``."""

    @functools.wraps(function)
    def command(*args: Any, data: str, data_root: Path | None, data_option: tuple[str, ...], **kwargs: Any) -> Any:
        return function(*args, data=data_spec(data, data_root, data_option), **kwargs)

    known = "Dataset by name ('grmu-audit data list'), or a manifest file (*.yaml)."
    for option in (
        click.option("--data", default="photodigits", show_default=True, metavar="NAME|FILE", help=known),
        data_root_option,
        data_option_option,
    ):
        command = option(command)
    return command  # type: ignore[return-value]


def data_spec(name: str, root: Path | None, pairs: Sequence[str]) -> DataSpec:
    """A dataset as a version's tags store it: paths absolute, so that it is found from any folder.

    Raises:
        InputError: an option is malformed, or the root is given twice.
    """
    from grmu_audit.data.catalog import MANIFEST_ENDINGS, DataSpec

    options = parse_settings(pairs)
    if root is not None:
        if "root" in options:
            raise InputError("the data root is given twice: with --data-root and with --data-option root=")
        options["root"] = str(root.absolute())
    elif "root" in options:
        options["root"] = str(Path(str(options["root"])).absolute())
    return DataSpec(str(Path(name).absolute()) if name.endswith(MANIFEST_ENDINGS) else name, options)


def requirement_options(function: F) -> F:
    """``--policy``, ``--require-sign-off``, ``--public-key``: what is required beyond a PASS, as ``requirements``."""

    @functools.wraps(function)
    def command(*args: Any, policy: str | None, require_sign_off: bool, public_key: tuple[Path, ...], **kwargs: Any) -> Any:
        from grmu_audit.policy import load_named
        from grmu_audit.tracking import Requirements

        named = load_named(policy) if policy else None
        return function(*args, requirements=Requirements.read(named, require_sign_off, public_key), **kwargs)

    for option in (
        click.option(
            "--policy",
            metavar="NAME|FILE[@SHA256]",
            help="Only a verdict by this policy counts [default: those of $GRMU_AUDIT_POLICIES, else the packaged ones that judge"
            " forgetting].",
        ),
        click.option("--require-sign-off", is_flag=True, help="A preparer and a reviewer must have signed off."),
        public_key_option,
    ):
        command = option(command)
    return command  # type: ignore[return-value]


def parse_settings(pairs: Sequence[str]) -> dict[str, object]:
    """``("epochs=3", "augment=false")`` to typed values, read as YAML scalars.

    Raises:
        InputError: a pair without ``=``, a key twice, or a value that is no YAML.

    >>> parse_settings(("epochs=3", "augment=false"))
    {'epochs': 3, 'augment': False}
    """
    import yaml

    settings: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{pair!r} is not KEY=VALUE")
        if key in settings:
            raise InputError(f"{key!r} is given twice")
        try:
            settings[key] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):  # ValueError: a date that does not exist
            raise InputError(f"the value of {key!r} cannot be read: {value!r}") from None
    return settings


def observer(ctx: click.Context) -> Observer:
    """Receiver of notes and progress: stderr, or none with ``--quiet``."""
    from grmu_audit.cli.observer import ConsoleObserver
    from grmu_audit.utils.progress import SILENT

    return SILENT if ctx.find_root().obj["quiet"] else ConsoleObserver()


def loads(what: str) -> Callable[[F], F]:
    """Print a line at once on a terminal, for a command that loads for a while; to be placed below ``click.pass_context``.

    Args:
        what: what is loaded, in words.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(ctx: click.Context, /, *args: Any, **kwargs: Any) -> Any:
            root = ctx.find_root()
            if not root.obj["quiet"] and sys.stderr.isatty():
                name = ctx.command_path.removeprefix(f"{root.info_name} ")
                say(f"{name}: loading {what}", err=True)
            return function(ctx, *args, **kwargs)

        return command  # type: ignore[return-value]

    return decorate


def open_session(ctx: click.Context, jobs: JobOptions | None = None) -> Session:
    """The session of this invocation, from the root options."""
    from grmu_audit.jobs import IN_THIS_PROCESS
    from grmu_audit.workflows.session import Session

    root = ctx.find_root()
    options = root.obj
    return Session(
        tracking_uri=options["tracking_uri"],
        registry_uri=options["registry_uri"],
        device=options["device"],
        precision=options["precision"],
        observer=observer(ctx),
        actor=options["actor"] or _account(),
        jobs=jobs or IN_THIS_PROCESS,
    )


def _account() -> str:
    """The operating system's account name, or ``unknown``."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def write_formats(audit: Audit, formats: Sequence[str]) -> None:
    """Write an audit in each ``FORMAT=FILE``, atomically.

    Raises:
        InputError: not FORMAT=FILE, or an unknown format; nothing is written then.
    """
    from grmu_audit import report
    from grmu_audit.utils import write_atomic

    pairs = [text.partition("=") for text in formats]
    for (kind, equals, name), text in zip(pairs, formats, strict=True):
        if not (kind and equals and name):
            raise InputError(f"--format {text!r} is not FORMAT=FILE, such as junit=gate.xml")
    rendered = [(Path(name), report.render(audit, kind)) for kind, _, name in pairs]
    for path, text in rendered:
        write_atomic(path, text.encode())


def print_audit(audit: Audit, *, as_json: bool = False) -> None:
    """Print an audit on stdout: JSON, or text within the width of the terminal."""
    from grmu_audit import report

    click.echo(report.render(audit, "json") if as_json else report.render_text(audit, width=terminal_width()))


def next_step(text: str) -> None:
    """Print the next command to type on stderr."""
    say(COMMAND + text, err=True)
