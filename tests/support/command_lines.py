"""Whether a command line is one of the tool: its commands and options, not the values."""

from __future__ import annotations

import click

from grmu_audit.cli.app import root


def parse(words: list[str]) -> str:
    """The command that click finds in the words; names of commands, options and missing ones count, values are not looked at.

    Raises:
        click.UsageError: no command or option of that name, or one is missing.
    """
    command, context, words = root, click.Context(root, info_name="grmu-audit"), _without_global_options(words)
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=found.name)
        if not words:
            return context.command_path  # the name of a command, as in "see 'grmu-audit keys'"
    try:
        command.make_context(command.name, words)
    except click.MissingParameter:
        raise
    except (click.exceptions.Exit, click.BadParameter):
        pass  # --help, or a value that stands for one of the user
    return context.command_path


def _without_global_options(words: list[str]) -> list[str]:
    known = {name: option for option in root.params for name in option.opts}
    while words and words[0] in known:
        words = words[1 if getattr(known[words[0]], "is_flag", False) else 2 :]
    return words
