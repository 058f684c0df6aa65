"""The structure of a made-up package, measured and compared with what was written into it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.pages.structure import find_functions, find_imports, folder_files, read_modules, report

FILES = {
    "__init__.py": "",
    "left/__init__.py": "",
    "left/one.py": "from sample.right.two import f\n",
    "left/kinds.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sample.left.user import User\n",
    "left/user.py": "from . import kinds\n\n\nclass User:\n    pass\n",
    "right/__init__.py": "",
    "right/two.py": "def f():\n    import sample.left.one\n\n    return sample\n",
    "wide.py": '''import click


class Thing:
    def method(self, a, b, c, d, e):
        """Five without self."""

    @staticmethod
    def many(a, b, c, d, e, *, f):
        """Six.

        And a long docstring, which does not count.
        """
        x = a
        return x


@click.command("x")
def command(a, b, c, d, e, f, g):
    def nested(*args, **kwargs):
        return args

    return nested
''',
    "long.py": "def g():\n" + "    x = 1\n" * 30 + "\n" * 280,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {**FILES, **{f"full/m{i:02d}.py": "" for i in range(14)}, "full/__init__.py": ""}.items():
        (tmp_path / "sample" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sample" / name).write_text(text)
    return tmp_path


def test_imports_of_every_kind_are_found(root):
    found = {(item.source, item.target): item.type_checking for item in find_imports(read_modules(root, "sample"))}
    assert found == {
        ("sample.left.one", "sample.right.two"): False,
        ("sample.right.two", "sample.left.one"): False,
        ("sample.left.kinds", "sample.left.user"): True,
        ("sample.left.user", "sample.left.kinds"): False,
    }


def test_circles_are_distinguished_from_those_of_the_type_checker(root):
    text = report(root, "sample")
    run_time, typed = text.split("circles of imports")[1].split("circles that exist")
    assert run_time.splitlines()[0].endswith(": 1")
    assert run_time.splitlines()[1] == "  sample: left, right"
    assert typed.splitlines()[0].endswith(": 1")
    assert typed.splitlines()[1] == "  sample.left: kinds, user"


def test_parameters_and_bodies_are_counted_without_self_and_docstring(root):
    found = {f.name.removeprefix("sample."): f for f in find_functions(read_modules(root, "sample"))}
    assert {name: f.parameters for name, f in found.items()} == {
        "right.two.f": 0,
        "wide.Thing.method": 5,
        "wide.Thing.many": 6,
        "wide.command": 7,
        "wide.command.nested": 2,
        "long.g": 0,
    }
    assert {name: f.lines for name, f in found.items()} == {
        "right.two.f": 3,
        "wide.Thing.method": 0,
        "wide.Thing.many": 2,
        "wide.command": 4,
        "wide.command.nested": 1,
        "long.g": 30,
    }
    assert [name for name, f in found.items() if f.is_command] == ["wide.command"]


def test_the_report_names_what_is_over_a_limit(root):
    assert folder_files(read_modules(root, "sample"))["sample.full"] == (15, 14)
    lines = report(root, "sample").splitlines()
    assert lines[0] == "files: 24, lines: 347, folders: 4, folders over 13 files: 1"
    assert "    15   14  sample.full  over 13" in lines
    assert "functions with more than 5 parameters: 1 (and 1 click commands, not listed)" in lines
    assert "     6  sample.wide.Thing.many" in lines
    assert "function bodies: 6, median 2.5, 90th percentile 30, max 30, over 25: 1, over 50: 0" in lines
    assert "    30  sample.long.g" in lines
    assert "module lengths: median 0, max 311, over 300: 1" in lines


def test_the_command_line_measures_any_root_and_refuses_one_without_the_package(root):
    start = [sys.executable, "-m", "benchmarks.pages.structure", "--root", str(root)]
    where = Path(__file__).parents[3]
    done = subprocess.run([*start, "--package", "sample"], cwd=where, capture_output=True, text=True, check=True)
    assert done.stdout == report(root, "sample") + "\n"
    refused = subprocess.run(start, cwd=where, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "holds no folder 'grmu_audit'" in refused.stderr
