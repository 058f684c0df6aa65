"""The map and the two journeys of CONTRIBUTING are the package's."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEP = re.compile(r"^( *)([\w.]+) +(\w+(?:/\w+)*\.py)", re.MULTILINE)


def journey(title: str) -> list[tuple[int, str, str]]:
    """Depth, name and module of each step."""
    block = PAGE.split(f"## {title}\n")[1].split("```text\n")[1].split("```")[0]
    return [(len(indent) // 2, name, module) for indent, name, module in STEP.findall(block)]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / "grmu_audit" / module).read_text(encoding="utf-8"))


def definition(module: str, name: str) -> ast.AST:
    """The function, class or method of that name."""
    found: ast.AST = tree(module)
    for part in name.split("."):
        found = next(
            node for node in ast.iter_child_nodes(found) if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part
        )
    return found


def called(node: ast.AST) -> set[str]:
    """Every name and attribute that is read."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names |= {n.name for n in ast.walk(node) if isinstance(n, ast.alias)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


@pytest.mark.parametrize("title", ["A forget list", "An audit"])
def test_each_function_of_a_journey_exists_in_its_module(title: str) -> None:
    steps = journey(title)
    assert len(steps) > 10
    for _, name, module in steps:
        assert definition(module, name), (name, module)


@pytest.mark.parametrize("title", ["A forget list", "An audit"])
def test_a_journey_never_returns_to_a_module_that_it_left(title: str) -> None:
    modules = [module for _, _, module in journey(title)]
    entered = [module for i, module in enumerate(modules) if i == 0 or modules[i - 1] != module]
    assert len(entered) == len(set(entered)), entered


@pytest.mark.parametrize("title", ["A forget list", "An audit"])
def test_each_step_is_reached_from_a_module_above_it(title: str) -> None:
    """Mostly the one directly above; a network is built by what ``unlearn`` hands to ``make_version``."""
    above: dict[int, str] = {}
    for depth, name, module in journey(title):
        callers = [above[level] for level in range(depth)]
        used = "run" if module.startswith("unlearning/methods/") else name.split(".")[-1]  # methods are run from their registry
        assert not depth or any(used in called(tree(caller)) for caller in callers), f"{name}: not in {callers}"
        above[depth] = module


def test_the_map_names_every_package() -> None:
    rows = [line for line in PAGE.split("## Map")[1].split("## ")[0].splitlines() if line.startswith("|")]
    named = {name for line in rows[2:] for name in re.findall(r"`(\w+)`", line.split("|")[2])}
    packages = {p.parent.name for p in (ROOT / "grmu_audit").glob("*/__init__.py")} | {"errors"}
    assert named == packages
