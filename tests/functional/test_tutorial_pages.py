"""Short tutorials: their files are written, their code runs, and their commands print what the pages say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from grmu_audit.cli.app import execute

DOCS = Path(__file__).parents[2] / "docs"


def run(text: str, capsys: pytest.CaptureFixture[str], code: int) -> int:
    """The lines of a console block; what stands below a line is what it prints.  Returns the last exit code."""
    for line, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        if line == "echo $?":
            assert expected == f"{code}\n"
            continue
        capsys.readouterr()
        code = execute(shlex.split(line)[1:])
        said = capsys.readouterr()
        assert code in (0, 1, 3), (line, said.err)
        assert not expected or said.out.rstrip() == expected.rstrip(), line
    return code


@pytest.mark.parametrize("name", ["first-audit", "write-a-policy", "ci"])
def test_every_block_of_the_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    found = re.findall(r"^```(\w+)\n(.*?)^```", (DOCS / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    code, unsaid = 0, 0
    for language, text in found:
        if language == "python":
            exec(compile(text, f"docs/{name}.md", "exec"), {})
        elif language == "yaml":
            Path(text.splitlines()[0].removeprefix("# ")).write_text(text)
        else:
            assert language == "console"
            code = run(text, capsys, code)
            unsaid += code != 0 and "echo $?" not in text
    assert unsaid == 0, "a command that ends with another code than 0 says so"
    named = re.findall(r"--(?:out|report) (\S+)|(?<==)(gate\.\w+)", "".join(text for kind, text in found if kind == "console"))
    assert named
    assert all(Path(one or other).is_file() for one, other in named)
