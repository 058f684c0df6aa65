"""The documentation: links lead somewhere, the index is whole, the tutorial and the notebook run."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from packaging.version import Version
from support.command_lines import parse

import grmu_audit
from benchmarks.pages import api, commands, formats
from grmu_audit.cli.app import execute
from grmu_audit.errors import ExitCode
from grmu_audit.report.content.branding import load_branding

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
REGISTER = DOCS / "examples" / "register"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
VARIABLE = re.compile(r"\$\(cat (\S+)\)")


@cache
def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as the hosts write them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)).lower().replace(" ", "-") for title in headings
    }


def links(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    yield from (link for link in LINK.findall(text) if not re.match(r"[a-z+]+:", link))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_the_index_names_every_page() -> None:
    named = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert {page for page in DOCS.glob("*.md") if page.name != "README.md"} <= named


def test_the_glossary_is_in_order_and_names_each_term_once() -> None:
    rows = [line for line in (DOCS / "glossary.md").read_text().splitlines() if line.startswith("| ")]
    terms = [line.split(" | ")[0].removeprefix("| ") for line in rows[1:]]
    assert len(terms) > 30
    assert [term.casefold() for term in terms] == sorted({term.casefold() for term in terms})


def test_the_reference_of_the_names_is_written_from_their_docstrings() -> None:
    assert (DOCS / "api.md").read_text(encoding="utf-8") == api.page(), "make docs"


@pytest.mark.skipif(Version(version("click")) < Version("8.5"), reason="earlier versions write usage lines in other words")
def test_the_reference_of_the_commands_is_what_help_says() -> None:
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == commands.page(), "make docs"


def test_the_index_of_decisions_names_each_with_its_title_and_they_are_short() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert len(pages) >= 8
    for number, page in enumerate(pages, 1):
        title, _, date, *rest = page.read_text(encoding="utf-8").splitlines()
        assert title.startswith(f"# {number}. ")
        assert f"| [{title[2:]}]({page.name}) | {date[:10]} |" in index
        assert len(rest) < 22
        assert all(any(line.startswith(f"**{word}") for line in rest) for word in ("Context", "Decision", "Conseq", "Rejected"))


def test_numbers_on_what_an_audit_can_show_are_those_of_the_pages_that_measured_them() -> None:
    rows = [line for line in (DOCS / "limits.md").read_text(encoding="utf-8").splitlines() if re.search(r"`\d", line)]
    assert len(rows) >= 5
    for row in rows:
        measured = (DOCS / LINK.findall(row)[-1]).read_text(encoding="utf-8")
        assert all(number in measured for number in re.findall(r"`(\d[^`]*)`", row)), row


def test_the_references_of_the_formats_are_written_from_records_and_schema() -> None:
    assert (DOCS / "audit-json.md").read_text(encoding="utf-8") == formats.audit_page(), "make docs"
    assert (DOCS / "policy.md").read_text(encoding="utf-8") == formats.policy_page(), "make docs"


def test_every_record_of_an_audit_is_on_its_page() -> None:
    schema = json.loads((ROOT / "tests" / "schemas" / "audit-v2.json").read_text())
    page = formats.audit_page()
    assert set(schema["$defs"]) == {record.__name__ for record in formats.RECORDS.values()}
    assert all(f"- `{key}`: " in page for part in schema["$defs"].values() for key in part["properties"])


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in ("README", "site/project", "site/contributing", "commands", "metrics/GA", "methods"):
        assert (tmp_path / f"{page}.html").is_file(), page
    for page in REGISTER.rglob("*.html"):
        assert (tmp_path / page.relative_to(DOCS)).is_file(), page
    assert 'href="examples/register/index.html"' in (tmp_path / "report.html").read_text()
    text = (tmp_path / "tutorial.html").read_text()
    assert not re.search(r"(?:src|href)=\"https?://[^\"]*\.(?:js|css)", text)  # nothing is loaded from elsewhere


def blocks(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def command_lines(page: Path) -> Iterator[str]:
    """Lines of a page that are to be typed: in fenced blocks, or indented by four blanks; continued ones as one line."""
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    fenced = "\n".join(found for found in FENCE.findall(text) if not found.startswith(("```text", "```python")))
    prefix = r"(?:[A-Z_]+=\S+ )?grmu-audit (.+)$"
    yield from re.findall(rf"^(?:\$ )?{prefix}", fenced, re.MULTILINE)
    yield from re.findall(rf"^    {prefix}", FENCE.sub("", text), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_has_commands_and_options_of_the_tool(page: Path) -> None:
    for line in command_lines(page):
        assert parse(shlex.split(line, comments=True)), line


def test_command_lines_are_found() -> None:
    assert sum(len(list(command_lines(page))) for page in PAGES) > 140
    with pytest.raises(click.UsageError):
        parse(["gate", "--audit", "audit.json", "--formats", "json=gate.json"])


def test_the_code_about_deep_audits_fits_the_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deep audit takes minutes: here the call is bound to the function's parameters and not made."""
    signature, calls = inspect.signature(grmu_audit.audit), []
    monkeypatch.setattr(grmu_audit, "audit", lambda *given: calls.append(signature.bind(*given)) or mock.MagicMock())
    (code,) = [text for language, text in blocks(DOCS / "deep-audit.md") if language == "python"]
    exec(compile(code, "docs/deep-audit.md", "exec"), dict.fromkeys(("session", "policy", "folder")))
    assert calls[0].arguments["settings"].level == "deep"


def test_the_branding_of_the_page_on_reports_is_read(tmp_path: Path) -> None:
    (text,) = [text for language, text in blocks(DOCS / "report.md") if language == "yaml"]
    (tmp_path / "branding.yaml").write_text(text)
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>')
    assert load_branding(tmp_path / "branding.yaml")["organisation"] == "Example Ltd"


def run_line(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """One line of a console block: a command, or a variable that is exported."""
    words = shlex.split(VARIABLE.sub(lambda found: Path(found[1]).read_text(), line))
    if words[0] == "export":
        monkeypatch.setenv(*words[1].split("=", 1))
        return 0
    assert words[0] == "grmu-audit", line
    return execute(["--quiet", *words[1:]])


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "hmac.key"))
    scope: dict[str, object] = {}
    said: dict[str, str] = {}
    for language, text in blocks(DOCS / "tutorial.md"):
        if language == "python":
            exec(compile(text, "docs/tutorial.md", "exec"), scope)
            continue
        for line in text.splitlines():
            assert line.startswith("$ "), line
            code = run_line(line[2:], monkeypatch)
            output = capsys.readouterr()
            said[line[2:]] = output.out
            allowed = {ExitCode.DONE, ExitCode.BREACH, ExitCode.INCONCLUSIVE} if " gate " in line else {ExitCode.DONE}
            assert code in allowed, (line, output.err)
    signed = Path("signed.html").read_text()
    assert "ana" in signed
    assert "ben" in signed
    lists = [output for line, output in said.items() if "requests list" in line]
    assert len(lists) == 1, "the same line twice: the last one counts"
    assert "R-1" in lists[0]
    assert "desk/3" in lists[0] or " 3 " in lists[0]


@pytest.mark.slow
def test_the_notebook_runs_and_its_results_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code cells one after the other in one namespace, and what the last line of a cell shows, as a notebook does it."""
    notebook = json.loads((DOCS / "examples" / "audit.ipynb").read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "stored without outputs"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "hmac.key"))
    scope: dict[str, Any] = {}
    shown = [shown_by("".join(cell["source"]), scope) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    page = "\n".join(shown)
    assert "digits/3" in page
    assert page.count("<iframe") == 2, "the report and the comparison"
    assert "<b>" in page, "the verdict"
    assert "[]" in shown, "nothing differs from the record"
    assert (tmp_path / "report" / "report.html").is_file()


def shown_by(cell: str, scope: dict[str, Any]) -> str:
    """What a cell shows for its last line: HTML where the object has it, else its text."""
    *body, last = ast.parse(cell).body
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if not isinstance(last, ast.Expr):
            exec(compile(ast.Module([*body, last], []), "docs/examples/audit.ipynb", "exec"), scope)
            return output.getvalue()
        exec(compile(ast.Module(body, []), "docs/examples/audit.ipynb", "exec"), scope)
        value = eval(compile(ast.Expression(last.value), "docs/examples/audit.ipynb", "eval"), scope)
    shown = getattr(value, "_repr_html_", lambda: repr(value))()
    return output.getvalue() + str(shown)


@pytest.mark.slow
def test_the_deployment_example_loads_only_what_is_as_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of docs/server.md against a champion by another policy: they load it, and nothing once its alias was moved."""
    from support.judged_audits import policy_file
    from support.purges import served_store
    from support.requests import CLAIMING

    from grmu_audit.errors import IntegrityError

    monkeypatch.chdir(tmp_path)
    listed = policy_file(CLAIMING, tmp_path)
    policy = listed.partition("@")[0]
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", listed)
    monkeypatch.setenv("GRMU_AUDIT_GATE_POLICY", policy)
    session = served_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    found = blocks(DOCS / "server.md")
    lines = [line[2:] for language, text in found if language == "console" for line in text.splitlines()]
    assert len(lines) == 2
    assert [run_line(line.replace("faces", "m"), monkeypatch) for line in lines] == [0, 0]
    code = (
        "".join(text for language, text in found if language == "python").replace("faces", "m").replace('"default"', repr(policy))
    )
    scope: dict[str, Any] = {}
    exec(compile(code, "docs/server.md", "exec"), scope)
    assert type(scope["model"]).__name__ == "PyFuncModel"
    session.store.set_alias("m", "champion", "1")
    assert run_line(lines[0].replace("faces", "m"), monkeypatch) == 6
    with pytest.raises(IntegrityError, match="moved by hand"):
        exec(compile(code, "docs/server.md", "exec"), {})
