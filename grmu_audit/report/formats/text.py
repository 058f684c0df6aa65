"""The verdict on a terminal: plain text, no colour codes, nothing that a terminal obeys."""

from __future__ import annotations

import csv
import io
import textwrap

from grmu_audit.metrics.catalog.wording import NBSP
from grmu_audit.records import Audit
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.tables import group_table, one_line, splits_table
from grmu_audit.report.content.view import build_view
from grmu_audit.report.content.view_model import RuleRow, Table, View
from grmu_audit.report.wording.strings import Strings, load_strings
from grmu_audit.utils.terminal_tables import NARROW, fit_table

SHAPES = {"pass": "✔", "breach": "✖", "inconclusive": "?", "waived": "◆", "not-applied": "–", "not-judged": "–"}
"""One shape for each state, beside its word."""
MOST_ROWS = 24
"""Groups that are listed."""
_INDENT = "    "


def render_text(audit: Audit, *, width: int = NARROW) -> str:
    """The verdict, the rules with their reasons, the groups, and what was not measured.

    Args:
        audit: facts, with or without a verdict.
        width: columns of the terminal, at least 60.
    """
    strings, width = load_strings(), max(width, 60)
    view = build_view(audit, strings=strings)
    parts = [_head(view, width), _rules(view, strings, width), *_tables(view, width), _left_out(view, strings, width)]
    tail = f"{strings.text('report_id')} {view['report_id']} · {strings.text('created')} {view['created']}"
    return "\n\n".join(part for part in (*parts, tail) if part).replace(NBSP, " ") + "\n"


def render_groups(audit: Audit) -> str:
    """Every group as CSV: accuracy with intervals before, retrained and after, then samples by part; small counts suppressed."""
    strings, found = load_strings(), Lookup.of(audit)
    rates, parts = group_table(found, strings), splits_table(found, strings)
    counts = {row[0]: row[1:] for row in parts["rows"]}
    blank = [""] * (len(parts["columns"]) - 1)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column["title"] for column in (*rates["columns"], *parts["columns"][1:]))
    for row in rates["rows"]:
        cells = [" ".join(cell.split("\n")) for cell in (*row, *counts.get(row[0], blank))]
        writer.writerow(f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells)
    return out.getvalue().replace(NBSP, " ")


def _head(view: View, width: int) -> str:
    lines = [f"{SHAPES[view['state']]} {view['word']}  {view['subject']}"]
    lines += textwrap.wrap(f"{view['headline']} {view['because']}", width)
    lines += ["", *textwrap.wrap(f"{view['forgetting']['question']} {view['forgetting']['answer']}", width)]
    return "\n".join(lines)


def _rules(view: View, strings: Strings, width: int) -> str:
    if not view["rules"]:
        return view["rules_intro"]
    shown = []
    for row in view["rules"]:
        found = ", ".join(part for part in (row["observed"], row["interval"]) if part)
        shown += textwrap.wrap(f"{SHAPES[row['state']]} {row['word']}  {row['id']}", width, subsequent_indent=_INDENT)
        allowed = f"{strings.text('rules.observed')}: {found}. {strings.text('rules.bound')}: {row['bound']}."
        shown += textwrap.wrap(allowed, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        shown += _explained(row, strings, width)
    return "\n".join(shown)


def _explained(row: RuleRow, strings: Strings, width: int) -> list[str]:
    """Reason and remedy of a rule that does not pass, and that a rule tells nothing."""
    lead = "" if row["state"] == "not-applied" else f"{row['severity']}: "
    said = [] if row["state"] == "pass" else [f"{lead}{row['reason']}"]
    said += [row["tells_nothing"], f"{strings.text('rules.needed')}: {row['needed']}" if row["needed"] else ""]
    return [line for text in said for line in textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)]


def _tables(view: View, width: int) -> list[str]:
    tables = (view["forgetting"]["controls"], view["forgetting"]["requests"]["table"], view["group_table"])
    return [_table(table, width) for table in tables if table["rows"]]


def _table(table: Table, width: int) -> str:
    shown = [[one_line(row[0]), *row[1:]] for row in table["rows"][:MOST_ROWS]]
    rest = len(table["rows"]) - len(shown)
    more = [f"{_INDENT}… {rest} more"] if rest else []
    titles, numeric = [c["title"] for c in table["columns"]], [c["kind"] == "number" for c in table["columns"]]
    return "\n".join([*textwrap.wrap(table["caption"], width), *fit_table(titles, shown, numeric, width), *more])


def _left_out(view: View, strings: Strings, width: int) -> str:
    lines = [f"{one_line(what)}: {why}" for what, why in view["not_measured"]["rows"]]
    wrapped = [part for line in lines for part in textwrap.wrap(line, width, initial_indent="  ", subsequent_indent=_INDENT)]
    return "\n".join([strings.text("not_measured.heading"), *wrapped])
