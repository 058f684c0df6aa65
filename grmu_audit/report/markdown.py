"""A comment on a pull request: Markdown under 64 KB, worst first, every name defused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grmu_audit.records import Audit
from grmu_audit.report.fields import Table, View
from grmu_audit.report.strings import Strings, load_strings
from grmu_audit.report.text import SHAPES
from grmu_audit.report.view import build_view

MAX_BYTES = 60_000
"""Size that is never passed; the hosts' limit is 65,536 characters."""

_RESERVE = 2_000
_CELL = 240
_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>&|~!:$=+#\"']")


def render_markdown(audit: Audit) -> str:
    """The verdict as a comment: headline, rules, groups, what was not measured.

    Tables that would pass the size limit are cut, and say by how many rows.
    """
    strings = load_strings()
    view = build_view(audit, strings=strings)
    text = "\n".join(_head(view))
    for heading, table in _sections(view, strings):
        text += f"\n\n### {heading}\n\n" + markdown_table(table, MAX_BYTES - _RESERVE - len(text.encode()))
    tail = f"{strings.text('report_id')} `{view['report_id']}` · {strings.text('created')} {defuse(view['created'])}"
    return f"{text}\n\n<sub>{tail}</sub>\n"


def defuse(text: str, limit: int = _CELL) -> str:
    r"""Plain text that Markdown, HTML, mentions and issue references leave alone.

    >>> defuse("<b> a|b @you")
    '&#60;b&#62; a&#124;b @\u200byou'
    """
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    coded = _SPECIAL.sub(lambda match: f"&#{ord(match.group())};", short)
    return coded.replace("@", "@\u200b").replace("&#35;", "&#35;\u200b").replace("\n", "<br>")


def _head(view: View) -> Iterator[str]:
    yield f"## {SHAPES[view['state']]} {view['word']}: {defuse(view['subject'])}"
    yield ""
    yield f"**{defuse(view['headline'])}** {defuse(view['because'])}"
    for item in view["summary"][-1:]:
        yield ""
        yield f"**{defuse(item['label'])}:** {defuse(item['value'], 400)}"


def _sections(view: View, strings: Strings) -> Iterator[tuple[str, Table]]:
    if view["rules"]:
        keys = ("decision", "rule", "observed", "bound", "reason")
        rows = [
            [
                _decision(row["state"], row["word"]),
                row["id"],
                _observed(row["observed"], row["interval"]),
                row["bound"],
                row["plain"],
            ]
            for row in view["rules"]
        ]
        columns = [{"title": strings.text(f"rules.{key}"), "kind": "text"} for key in keys]
        yield strings.text("rules.heading"), Table(caption="", columns=columns, rows=rows)  # type: ignore[typeddict-item]
    if view["group_table"]["rows"]:
        yield strings.text("charts.groups.title"), view["group_table"]
    yield strings.text("not_measured.heading"), view["not_measured"]


def _decision(state: str, word: str) -> str:
    return f"{SHAPES[state]} {word}"


def _observed(value: str, interval: str) -> str:
    return f"{value}\n{interval}" if interval else value


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def markdown_table(table: Table, room: int) -> str:
    """A table in Markdown, cells defused, with as many rows as there is room for in bytes; what is cut is counted."""
    lines = [_line([defuse(column["title"]) for column in table["columns"]])]
    lines.append(_line(["---:" if column["kind"] == "number" else "---" for column in table["columns"]]))
    used = len("\n".join(lines).encode())
    for index, row in enumerate(table["rows"]):
        line = _line([defuse(cell) for cell in row])
        used += len(line.encode()) + 1
        if used > room:
            return "\n".join(lines) + f"\n\n… {len(table['rows']) - index} more"
        lines.append(line)
    return "\n".join(lines)
