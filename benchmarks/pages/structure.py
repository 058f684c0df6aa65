"""How is the package laid out?  Folder sizes, circles of imports, long parameter lists, long functions and long modules.

python -m benchmarks.pages.structure --root .
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

PACKAGE = "grmu_audit"
MOST_FILES, MOST_PARAMETERS, LONG_BODY, VERY_LONG_BODY, LONG_MODULE = 13, 5, 25, 50, 300

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Graph: TypeAlias = Mapping[str, Iterable[str]]


class Import(NamedTuple):
    """One module of the package imports another."""

    source: str
    target: str
    type_checking: bool


@dataclass(frozen=True)
class Function:
    """One function or method."""

    name: str
    """Module and qualified name."""
    parameters: int
    """Without self and cls."""
    lines: int
    """Lines of the body, docstring left out, from its first statement to its last."""
    is_command: bool
    """Whether Click calls it: its parameters are the options of a command."""


@dataclass
class Module:
    """One source file."""

    name: str
    path: Path
    is_package: bool
    lines: int
    tree: ast.Module = field(repr=False)


def read_modules(root: Path, package: str = PACKAGE) -> dict[str, Module]:
    """All modules of a package by dotted name.

    Args:
        root: folder that holds the package.
        package: its name.

    Raises:
        FileNotFoundError: there is no such package.
    """
    if not (root / package).is_dir():
        raise FileNotFoundError(f"{root} holds no folder {package!r}: give the top of a checkout with --root")
    found = (read_module(root, path) for path in sorted((root / package).rglob("*.py")))
    return {module.name: module for module in found}


def read_module(root: Path, path: Path) -> Module:
    """One parsed file."""
    parts = path.relative_to(root).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    text = path.read_text(encoding="utf-8")
    return Module(".".join(parts[:-1] if is_package else parts), path, is_package, len(text.splitlines()), ast.parse(text))


def find_imports(modules: Mapping[str, Module]) -> set[Import]:
    """Imports between modules of the package, at any depth of the code.

    ``from a import b`` means ``a.b`` where that is a module, else ``a``.
    """
    found: set[Import] = set()
    for module in modules.values():
        for node, type_checking in walk(module.tree):
            for target in imported_names(module, node):
                known = longest_known(target, modules)
                if known is not None and known != module.name:
                    found.add(Import(module.name, known, type_checking))
    return found


def walk(node: ast.AST, type_checking: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, and whether only a type checker executes it."""
    for name, value in ast.iter_fields(node):
        inside = type_checking or (isinstance(node, ast.If) and name == "body" and is_type_checking(node.test))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child, inside
                yield from walk(child, inside)


def is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is ``TYPE_CHECKING`` or ``typing.TYPE_CHECKING``."""
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def imported_names(module: Module, node: ast.AST) -> list[str]:
    """Dotted names that an import statement loads; empty for other nodes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parts = module.name.split(".")
        kept = parts[: len(parts) - node.level + module.is_package]
        base = ".".join([*kept, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def longest_known(name: str, modules: Mapping[str, Module]) -> str | None:
    """The module that a dotted name belongs to, or None outside of the package."""
    parts = name.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in modules), None)


def folder_graph(folder: str, imports: Iterable[Import]) -> dict[str, set[str]]:
    """Imports between the children of a folder: what lies below a child counts as the child.

    An import of the folder itself, that is of its ``__init__``, counts as one of the child ``__init__``.
    """
    graph: dict[str, set[str]] = {}
    for item in imports:
        source, target = child_of(folder, item.source), child_of(folder, item.target)
        if source is not None and target is not None and source != target:
            graph.setdefault(source, set()).add(target)
    return graph


def child_of(folder: str, name: str) -> str | None:
    """The child of a folder that a module belongs to, or None when it lies elsewhere."""
    if name == folder:
        return "__init__"
    return name[len(folder) + 1 :].split(".")[0] if name.startswith(folder + ".") else None


def find_circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that all reach each other (strongly connected components of two or more), each sorted."""
    reached = {node: reach(graph, node) for node in graph}
    circles = {tuple(sorted(other for other in found if node in reached.get(other, ()))) for node, found in reached.items()}
    return [list(circle) for circle in sorted(circles) if len(circle) > 1]


def reach(graph: Graph, start: str) -> set[str]:
    """Nodes that can be reached from a node in one step or more."""
    found: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(graph.get(node, ()))
    return found


def find_functions(modules: Mapping[str, Module]) -> list[Function]:
    """All functions and methods, nested ones included."""
    return [function for module in modules.values() for function in functions_in(module.tree, module.name)]


def functions_in(node: ast.AST, prefix: str, in_class: bool = False) -> Iterator[Function]:
    """Functions below a node, with qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            name = f"{prefix}.{child.name}"
            yield Function(name, count_parameters(child, in_class), count_body_lines(child), is_click_command(child))
            yield from functions_in(child, name)
        elif isinstance(child, ast.ClassDef):
            yield from functions_in(child, f"{prefix}.{child.name}", in_class=True)
        else:
            yield from functions_in(child, prefix, in_class)


def count_parameters(node: Definition, in_class: bool) -> int:
    """Parameters without the self or cls of a method; ``*args`` and ``**kwargs`` count one each."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    is_static = any(getattr(d, "id", None) == "staticmethod" for d in node.decorator_list)
    own = bool(in_class and positional and not is_static)
    return len(positional) - own + len(arguments.kwonlyargs) + bool(arguments.vararg) + bool(arguments.kwarg)


def count_body_lines(node: Definition) -> int:
    """Lines from the first statement after the docstring to the end; 0 for a body of a docstring alone."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return (body[-1].end_lineno or body[-1].lineno) - first_line(body[0]) + 1 if body else 0


def first_line(node: ast.stmt) -> int:
    """Line that a statement starts at, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def is_click_command(node: Definition) -> bool:
    """Whether a decorator is ``@click.command(...)``, ``@click.group(...)`` or ``@GROUP.command(...)``."""
    called = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return any(isinstance(d, ast.Attribute) and d.attr in ("command", "group") for d in called)


def folder_files(modules: Mapping[str, Module]) -> dict[str, tuple[int, int]]:
    """Per folder the number of source files, with and without ``__init__.py``."""
    counts: dict[str, tuple[int, int]] = {}
    for module in modules.values():
        folder = module.name if module.is_package else module.name.rpartition(".")[0]
        every, own = counts.get(folder, (0, 0))
        counts[folder] = (every + 1, own + (not module.is_package))
    return dict(sorted(counts.items()))


def report(root: Path, package: str = PACKAGE) -> str:
    """All measurements of a package as text."""
    modules = read_modules(root, package)
    functions = find_functions(modules)
    sections = [
        folder_section(modules),
        circle_section(modules),
        parameter_section(functions),
        body_section(functions),
        module_section(modules),
    ]
    return "\n\n".join(sections)


def folder_section(modules: Mapping[str, Module]) -> str:
    """Files per folder, files and lines in all."""
    counts = folder_files(modules)
    large = [name for name, (_, own) in counts.items() if own > MOST_FILES]
    rows = [
        f"  {every:4d} {own:4d}  {name}{f'  over {MOST_FILES}' if own > MOST_FILES else ''}"
        for name, (every, own) in counts.items()
    ]
    lines = sum(module.lines for module in modules.values())
    total = f"files: {len(modules)}, lines: {lines}, folders: {len(counts)}, folders over {MOST_FILES} files: {len(large)}"
    return "\n".join([total, "files per folder (with __init__.py, without)", *rows])


def circle_section(modules: Mapping[str, Module]) -> str:
    """Circles among the children of each folder: at run time, and those that type-checking imports add."""
    imports = find_imports(modules)
    executed = {item for item in imports if not item.type_checking}
    run_time, typed = circles_by_folder(modules, executed), circles_by_folder(modules, imports)
    added = {
        folder: extra for folder, found in typed.items() if (extra := [c for c in found if c not in run_time.get(folder, [])])
    }
    return "\n".join(
        [
            f"circles of imports among the children of a folder (module and function level): {count_all(run_time)}",
            *circle_rows(run_time),
            f"circles that exist or grow only with type-checking imports: {count_all(added)}",
            *circle_rows(added),
        ]
    )


def circles_by_folder(modules: Mapping[str, Module], imports: Iterable[Import]) -> dict[str, list[list[str]]]:
    """Circles of every folder that has any."""
    found = {folder: find_circles(folder_graph(folder, imports)) for folder in folder_files(modules)}
    return {folder: circles for folder, circles in found.items() if circles}


def count_all(circles: Mapping[str, Sequence[object]]) -> int:
    """How many there are in all folders."""
    return sum(len(found) for found in circles.values())


def circle_rows(circles: Mapping[str, list[list[str]]]) -> list[str]:
    """One line per circle."""
    return [f"  {folder}: {', '.join(circle)}" for folder, found in circles.items() for circle in found]


def parameter_section(functions: Sequence[Function]) -> str:
    """Functions with many parameters; commands are counted apart."""
    many = sorted((f for f in functions if f.parameters > MOST_PARAMETERS), key=lambda f: (-f.parameters, f.name))
    plain = [f for f in many if not f.is_command]
    commands = len(many) - len(plain)
    title = f"functions with more than {MOST_PARAMETERS} parameters: {len(plain)} (and {commands} click commands, not listed)"
    return "\n".join([title, *(f"  {f.parameters:4d}  {f.name}" for f in plain)])


def body_section(functions: Sequence[Function]) -> str:
    """Lengths of function bodies."""
    lengths = [f.lines for f in functions]
    over = {limit: sum(length > limit for length in lengths) for limit in (LONG_BODY, VERY_LONG_BODY)}
    words = ", ".join(f"over {limit}: {count}" for limit, count in over.items())
    longest = sorted(functions, key=lambda f: (-f.lines, f.name))
    rows = [f"  {f.lines:4d}  {f.name}" for f in longest if f.lines > LONG_BODY]
    return "\n".join([f"function bodies: {len(lengths)}, {spread(lengths, ninety=True)}, {words}", *rows])


def module_section(modules: Mapping[str, Module]) -> str:
    """Lengths of modules."""
    long = sorted((m for m in modules.values() if m.lines > LONG_MODULE), key=lambda m: (-m.lines, m.name))
    lengths = [module.lines for module in modules.values()]
    title = f"module lengths: {spread(lengths)}, over {LONG_MODULE}: {len(long)}"
    return "\n".join([title, *(f"  {m.lines:4d}  {m.name}" for m in long)])


def spread(lengths: Sequence[int], ninety: bool = False) -> str:
    """Median, 90th percentile if requested, and maximum; the percentile is the smallest length that nine tenths do not exceed."""
    if not lengths:
        return "none"
    percentile = f", 90th percentile {sorted(lengths)[-(-9 * len(lengths) // 10) - 1]}" if ninety else ""
    return f"median {statistics.median(lengths):g}{percentile}, max {max(lengths)}"


def main() -> None:
    """Print the report of one checkout."""
    parser = argparse.ArgumentParser(description="Structure of the package: folders, circles, parameters, lengths.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="Top of a checkout.")
    parser.add_argument("--package", default=PACKAGE, help="Name of the package.")
    options = parser.parse_args()
    try:
        print(report(options.root, options.package))
    except (FileNotFoundError, SyntaxError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
