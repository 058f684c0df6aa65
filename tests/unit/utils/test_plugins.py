"""Faces of packages give their names on first use, load nothing heavy before, and shadow no module."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from grmu_audit.errors import InputError
from grmu_audit.utils.plugins import Registry

FACES = ("data", "evaluation", "models", "training", "unlearning")


def listed(face: str) -> tuple[dict[str, str], dict[str, str]]:
    """Module of each name, as type checkers read it and as it is looked up."""
    tree = ast.parse(Path(importlib.import_module(f"grmu_audit.{face}").__file__).read_text())  # type: ignore[arg-type]
    checked = {
        alias.name: node.module.rpartition(".")[2]
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    call = next(node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call))
    return checked, {name: module for module, names in ast.literal_eval(call.args[1]).items() for name in names}


@pytest.mark.parametrize("face", ["training", "unlearning"])
def test_every_name_is_that_of_its_module_and_none_is_a_module(face: str) -> None:
    package = importlib.import_module(f"grmu_audit.{face}")
    checked, looked_up = listed(face)
    assert checked == looked_up != {}
    assert not set(looked_up) & {module.name for module in pkgutil.iter_modules(package.__path__)}
    for name, module in looked_up.items():
        assert getattr(package, name) is getattr(importlib.import_module(f"grmu_audit.{face}.{module}"), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'grmu_audit\.training' has no attribute 'nothing'"):
        importlib.import_module("grmu_audit.training").nothing  # noqa: B018


def test_importing_the_faces_loads_no_heavy_library() -> None:
    code = f"import json, sys, {', '.join(f'grmu_audit.{face}' for face in FACES)}; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout))
    assert not loaded & {"torch", "pandas", "mlflow", "great_expectations", "safetensors"}


def test_a_name_that_is_taken_is_refused_and_keeps_its_item() -> None:
    colours = Registry[str]("colour", "example.colours")
    colours.add("red", "#f00")
    for again in (colours.add, lambda name, item: colours.register(name)(item)):
        with pytest.raises(InputError, match="colour 'red' is registered twice: rename or remove one of the two"):
            again("red", "#e00")
    assert list(colours) == [("red", "#f00")]
