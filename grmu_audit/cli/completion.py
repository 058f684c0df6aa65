"""Completion in the shell: names of models, versions, methods, metrics, policies and datasets.

``eval "$(_GRMU_AUDIT_COMPLETE=bash_source grmu-audit)"`` in bash; ``zsh_source`` and ``fish_source`` likewise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

VARIABLE = "_GRMU_AUDIT_COMPLETE"
"""The variable with which a shell asks for completion."""
Names = Callable[[click.Context], list[str]]


def add_completion(command: click.Command, name: str) -> None:
    """Add completion of names to the options and arguments of a command and its subcommands.

    Args:
        command: the command; its parameters are changed.
        name: name of the command, or of the group that a subcommand belongs to.
    """
    for parameter in command.params:
        names = _names_for(parameter, name)
        if names is not None:
            parameter.shell_complete = _completer(names)  # type: ignore[assignment, method-assign]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_completion(below, command.name or "")


def _names_for(parameter: click.Parameter, group: str) -> Names | None:
    """The function that lists what a parameter may name, by its option and placeholder; None for any other parameter."""
    options, placeholder = set(parameter.opts), parameter.metavar or ""
    if options & {"--model", "--reference"} or placeholder.startswith("MODEL"):
        return _models if placeholder == "NAME" else _versions
    if "--method" in options or (group == "methods" and parameter.name == "name"):
        return _methods
    if group == "metrics" and parameter.name == "name":
        return _metrics
    if "--policy" in options or parameter.name == "policy":
        return _policies
    return _datasets if placeholder == "NAME|FILE" else None


def _completer(names: Names) -> Callable[[click.Context, str], list[CompletionItem]]:
    def complete(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names with this beginning; none where they cannot be read, since a shell shows no message."""
        with contextlib.suppress(Exception):
            return [CompletionItem(name) for name in names(ctx) if name.startswith(incomplete)]
        return []

    return complete


def _models(ctx: click.Context) -> list[str]:
    from grmu_audit.cli.options import open_session

    root = ctx.find_root()
    root.obj = root.obj or root.params
    return list(open_session(ctx).store.models())


def _versions(ctx: click.Context) -> list[str]:
    """Models, then ``name/version`` of each, the newest first."""
    from grmu_audit.cli.options import open_session

    names = _models(ctx)
    store = open_session(ctx).store
    return [*names, *(ref.label for name in names for ref in reversed(store.versions(name)))]


def _methods(ctx: click.Context) -> list[str]:
    from grmu_audit.workflows.catalogs import method_rows

    return [*(row[0] for row in method_rows()[1]), "auto"]


def _metrics(ctx: click.Context) -> list[str]:
    from grmu_audit.workflows.catalogs import metric_rows

    return [row[0] for row in metric_rows()[1]]


def _policies(ctx: click.Context) -> list[str]:
    from grmu_audit.utils.resources import policy_names

    return policy_names()


def _datasets(ctx: click.Context) -> list[str]:
    from grmu_audit.workflows.datasets import dataset_rows

    return [row[0] for row in dataset_rows()]
