"""The page ``docs/api.md``: every name of ``import grmu_audit``, written from its signature and docstring.

python -m benchmarks.pages.api --write docs/api.md
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grmu_audit

_HEAD = """# From Python: every name

Written from the docstrings by `python -m benchmarks.pages.api --write docs/api.md`. How they work together:
[python.md](python.md). Errors are those of `grmu_audit.errors`, each with the exit code of the command line.

"""
_SECTION = re.compile(r"^(Args|Returns|Raises|Yields):$", re.MULTILINE)
_ITEM = re.compile(r"^([\w, *`/]+): (.*)$")
_DIRECTIVE = re.compile(r"``([^`]+)``")


def page() -> str:
    """The whole page."""
    names = [name for name in grmu_audit.__all__ if name != "__version__"]
    listed = " · ".join(f"[{name}](#{name.lower()})" for name in names)
    return _HEAD + listed + "\n\n" + "\n".join(_entry(name, getattr(grmu_audit, name)) for name in names)


def _entry(name: str, found: Any) -> str:
    """Heading, signature, text and fields of one name."""
    parts = [f"## {name}", f"```python\n{_signature(name, found)}\n```", _markdown(inspect.getdoc(found) or "")]
    if dataclasses.is_dataclass(found):
        lines = [f"- `{field}`: {text}" for field, text in fields_of(found)]
        parts += ["\n".join(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def _signature(name: str, found: Any) -> str:
    """The call as it is written, without the modules of its types; one parameter a line where it is long."""
    signature = inspect.signature(found)
    arguments, starred = list[str](), False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            arguments.append("*")
            starred = True
        if not parameter.name.startswith("_"):
            default = "" if parameter.default is inspect.Parameter.empty else f" = {_shown(parameter.default)}"
            arguments.append(f"{parameter.name}: {parameter.annotation}{default}")
    arrow = "" if inspect.isclass(found) else f" -> {signature.return_annotation}"
    short = f"{name}({', '.join(arguments)}){arrow}"
    return short if len(short) <= 100 else f"{name}(\n    " + ",\n    ".join(arguments) + f",\n){arrow}"


def _shown(default: Any) -> str:
    """A default: plain values as they are written, others by their type alone."""
    if isinstance(default, Path):
        return f'Path("{default}")'
    if default is None or isinstance(default, str | int | float | tuple):
        return repr(default)
    return f"{type(default).__name__}()" if dataclasses.is_dataclass(default) else "..."


def _markdown(text: str) -> str:
    """A docstring: sections as bold words, their items as lists."""
    examples, found = False, list[str]()
    section = ""
    for line in _DIRECTIVE.sub(r"`\1`", text).splitlines():
        if line.startswith(">>>") and not examples:
            found.append("```python")
            examples = True
        elif examples and not line.strip():
            found.append("```")
            examples = False
        if _SECTION.match(line):
            section = line[:-1]
            found += [f"**{section}**", ""]
        elif section and line.startswith("    "):
            found.append(_item(line, section))
        else:
            section = section if not line.strip() else ""
            found.append(line)
    return "\n".join(found + ["```"] * examples).strip()


def _item(line: str, section: str) -> str:
    """A line of a section: the first of an item with its name, others as they continue it."""
    body = line[4:]
    match = _ITEM.match(body)
    if section == "Returns" or body.startswith(" ") or match is None:
        return f"  {body.strip()}" if section != "Returns" else body.strip()
    return f"- `{match[1]}`: {match[2]}"


def fields_of(found: Any) -> Iterator[tuple[str, str]]:
    """Public fields of a record with the text below each."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    assert isinstance(tree, ast.ClassDef)
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        name = field.target.id if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) else "_"
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(text, str) and not name.startswith("_"):
            yield name, plain(text)


def plain(text: str) -> str:
    """A docstring in one line of Markdown."""
    return _DIRECTIVE.sub(r"`\1`", " ".join(text.split()))


def main() -> None:
    """Write or print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="Write the page there; else it is printed.")
    target = parser.parse_args().write
    print(page()) if target is None else target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
