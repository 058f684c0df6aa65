"""The page ``docs/commands.md``: what ``--help`` says of every command, on 80 columns.

python -m benchmarks.pages.commands --write docs/commands.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from grmu_audit.cli.app import root
from grmu_audit.utils import write_atomic

_HEAD = """# From the command line: every command

Written by `python -m benchmarks.pages.commands --write docs/commands.md`.

Every option can also come from the environment as `GRMU_AUDIT_<COMMAND>_<OPTION>`. Data goes to stdout, progress and the
next command to type to stderr; `--json` is for programs. What is printed fits the terminal, 80 columns where its width is
unknown. Names of models, versions, methods, metrics, policies and datasets complete in the shell after `eval
"$(_GRMU_AUDIT_COMPLETE=bash_source grmu-audit)"` in `~/.bashrc` (`zsh_source` in `~/.zshrc`; for fish,
`_GRMU_AUDIT_COMPLETE=fish_source grmu-audit | source`).

```text
{root}
```

"""


def page() -> str:
    """The whole page."""
    names = root.context_settings["help_option_names"]
    with click.Context(root, info_name="grmu-audit", terminal_width=80, help_option_names=names) as ctx:
        parts = [part for name in root.list_commands(ctx) for part in _parts(root, name, ctx)]
        head = _HEAD.replace("{root}", root.get_help(ctx))
    return head + "\n".join(parts)


def _parts(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    command = group.get_command(parent, name)
    assert command is not None
    command._help_option = None  # kept from a call without the root, it would lack -h
    with click.Context(command, info_name=name, parent=parent, terminal_width=80) as ctx:
        level = "#" * (ctx.command_path.count(" ") + 1)
        yield f"{level} {ctx.command_path.removeprefix('grmu-audit ')}\n\n```text\n{command.get_help(ctx)}\n```\n"
        if isinstance(command, click.Group):
            for child in command.list_commands(ctx):
                yield from _parts(command, child, ctx)


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.write:
        write_atomic(options.write, page().encode())
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
