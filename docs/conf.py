"""Sphinx: the pages of this folder, the README and CONTRIBUTING.md as a site; see ``make docs``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from grmu_audit.utils.resources import VERSION

project = "grmu-audit"
release = VERSION
root_doc = "README"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"grmu-audit {VERSION}"
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 4
exclude_patterns = ["_build"]
OUTSIDE = {"../README.md": "site/project.md", "../CONTRIBUTING.md": "site/contributing.md", "../SECURITY.md": "site/security.md"}
"""Pages of the repository's top that the site has, too."""
REGISTER = "examples/register"
"""The example of a register: pages of its own, which the site holds as they are."""
INDEXES = (root_doc, "metrics/README", "decisions/README")
"""Pages that list others under headings."""
_PAGE = re.compile(r"\]\(((?!https?:)[^)#]+\.md)[)#]")
_REGISTER = re.compile(rf"\[([^\]]+)\]\(({REGISTER}/index\.html)\)")
_FILE = re.compile(r"\[([^\]]+)\]\((?!https?:|docs/)[^)#]+\.(?:yaml|yml|toml|sh)\)")


def contents(text: str) -> str:
    """The tree of pages behind the sections of the index: in the repository they are tables of links."""
    seen: set[str] = set()
    lines = []
    for section in text.split("\n## ")[1:] or [text.removeprefix("# ")]:
        pages = [page for page in dict.fromkeys(_PAGE.findall(section)) if page not in seen and not page.startswith("..")]
        seen.update(pages)
        lines += ["", "```{toctree}", ":hidden:", f":caption: {section.splitlines()[0]}", "", *pages, "```"]
    return "\n".join(lines)


def read(app: Any, docname: str, source: list[str]) -> None:
    """Links to the repository's top and to the example of a register lead to their pages in the site."""
    text = source[0]
    for path, page in OUTSIDE.items() if "/" not in docname else ():
        text = text.replace(f"]({path}", f"]({page}")
    text = _REGISTER.sub(r'<a href="\2">\1</a>', text)  # as Markdown it would become a download of one file
    source[0] = text + contents(text) if docname in INDEXES else text


def include(app: Any, path: Any, parent: str, content: list[str]) -> None:
    """Pages of the repository's top, as the site has them: without links to files that are no page."""
    text = _FILE.sub(r"\1", content[0])
    for name, page in OUTSIDE.items():
        text = text.replace(f"]({name.removeprefix('../')}", f"](docs/{page}")
    content[0] = text


def copy_register(app: Any, failure: Exception | None) -> None:
    """The example of a register lies in the site where it lies here."""
    if failure is None:
        shutil.copytree(Path(app.srcdir) / REGISTER, Path(app.outdir) / REGISTER, dirs_exist_ok=True)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read)
    app.connect("include-read", include)
    app.connect("build-finished", copy_register)
