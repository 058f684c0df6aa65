"""A comment on a pull request: Markdown under 64 KB, worst first, every name escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grmu_audit.records import CANDIDATE, Audit, MetricValue
from grmu_audit.report.content.forgetting import share_scale
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.view import build_view
from grmu_audit.report.content.view_model import Column, Forgetting, People, Table, View
from grmu_audit.report.formats.text import SHAPES
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name
from grmu_audit.report.wording.strings import Strings, load_strings

MAX_BYTES = 60_000
"""Size that is never passed; the hosts' limit is 65,536 characters."""
_RESERVE = 2_000
_CELL = 240
_SENTENCE = 600
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
    return f"{text}\n\n<sub>{_tail(view, strings)}</sub>\n"


def _tail(view: View, strings: Strings) -> str:
    """Which report it is, and when it was made."""
    return f"{strings.text('report_id')} `{view['report_id']}` · {strings.text('created')} {escape_markdown(view['created'])}"


def escape_markdown(text: str, limit: int = _CELL) -> str:
    r"""Plain text that Markdown, HTML, mentions and issue references leave alone.

    >>> escape_markdown("<b> a|b @you")
    '&#60;b&#62; a&#124;b @\u200byou'
    """
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    coded = _SPECIAL.sub(lambda match: f"&#{ord(match.group())};", short)
    return coded.replace("@", "@\u200b").replace("&#35;", "&#35;\u200b").replace("\n", "<br>")


def _opening(view: View, limit: int = _SENTENCE) -> str:
    """Verdict, version, and the reason; a name, a headline and a reason of at most so many characters before they are escaped."""
    heading = f"## {SHAPES[view['state']]} {view['word']}: {escape_markdown(view['subject'], min(limit, _CELL))}"
    return f"{heading}\n\n**{escape_markdown(view['headline'], limit)}** {escape_markdown(view['because'], limit)}"


def _head(view: View) -> Iterator[str]:
    yield _opening(view)
    yield ""
    yield _answered(view["forgetting"])
    for item in view["summary"][-1:]:
        yield ""
        yield f"**{escape_markdown(item['label'])}:** {escape_markdown(item['value'], 400)}"


def _answered(found: Forgetting | People) -> str:
    """A question of the first page with its answer."""
    answer = f"{found['answer']} {found['detail']}".strip()
    return f"**{escape_markdown(found['question'])}** {escape_markdown(answer, _SENTENCE)}"


def _sections(view: View, strings: Strings) -> Iterator[tuple[str, Table]]:
    if view["rules"]:
        keys = ("decision", "rule", "observed", "bound", "reason")
        rows = [
            [
                f"{SHAPES[row['state']]} {row['word']}",
                row["id"],
                f"{row['observed']}\n{row['interval']}" if row["interval"] else row["observed"],
                row["bound"],
                "\n".join(part for part in (row["plain"], row["tells_nothing"]) if part),
            ]
            for row in view["rules"]
        ]
        columns = [Column(title=strings.text(f"rules.{key}"), kind="text") for key in keys]
        yield strings.text("rules.heading"), Table(caption="", columns=columns, rows=rows)
    if view["forgetting"]["controls"]["rows"]:
        yield view["forgetting"]["controls"]["caption"], view["forgetting"]["controls"]
    if view["forgetting"]["requests"]["table"]["rows"]:
        yield view["forgetting"]["requests"]["table"]["caption"], view["forgetting"]["requests"]["table"]
    if view["group_table"]["rows"]:
        yield strings.text("charts.groups.title"), view["group_table"]
    yield strings.text("not_measured.heading"), view["not_measured"]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def markdown_table(table: Table, limit: int) -> str:
    """A table in Markdown, cells escaped, with as many rows as fit into ``limit`` bytes; rows left out are counted."""
    lines = [_line([escape_markdown(column["title"]) for column in table["columns"]])]
    lines.append(_line(["---:" if column["kind"] == "number" else "---" for column in table["columns"]]))
    used = len("\n".join(lines).encode())
    for index, row in enumerate(table["rows"]):
        line = _line([escape_markdown(cell) for cell in row])
        used += len(line.encode()) + 1
        if used > limit:
            return "\n".join(lines) + f"\n\n… {len(table['rows']) - index} more"
        lines.append(line)
    return "\n".join(lines)


MAX_DESCRIPTION = 4_000
"""Characters of a version's description; MLflow's registry keeps 5,000."""
MAX_MODEL_DESCRIPTION = 5_000
"""Characters of a model's description that are never passed."""
_MOST_VERSIONS = 8
"""Audited versions that a model's description lists."""
_STEPS = 30
"""Steps of the scale between a model that forgot nothing and a retrained one."""


def render_description(audit: Audit) -> str:
    """The audit as the description of its version in a registry: verdict, answers, the scale as text, what to do now.

    Names are escaped; parts that would pass ``MAX_DESCRIPTION`` are left out, the last first, but never the verdict.
    """
    strings = load_strings()
    view = build_view(audit, strings=strings)
    scale = share_scale(Lookup.of(audit))
    opening = _opening(view)
    if len(opening) >= MAX_DESCRIPTION:  # an escaped character takes up to six
        opening = _opening(view, _SENTENCE // 6)
    parts = [opening, _answered(view["forgetting"])]
    parts += [f"`{_scale_text(scale.value, scale.interval, strings)}`"] if scale is not None else []
    parts.append(_answered(view["people"]))
    parts.append(_facts([(fact["label"], fact["value"]) for fact in view["verdict_facts"]]))
    parts.append(f"**{strings.text('front.next')}:** {escape_markdown(' '.join(view['next_steps']), _SENTENCE)}")
    parts.append(_tail(view, strings))
    while len("\n\n".join(parts)) >= MAX_DESCRIPTION:
        parts.pop()
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class AuditedVersion:
    """An audited version in the list of its model's page."""

    version: str
    """Number."""
    made: str
    """How it was created."""
    decision: str | None
    """PASS, BREACH or INCONCLUSIVE; None where no policy judged it."""
    audited: str
    """Day of its newest audit."""


def render_model_description(name: str, versions: Sequence[AuditedVersion], champion: str | None, told: str) -> str:
    """The description of a model in a registry: champion, audited versions, what the audit of the champion found.

    Args:
        name: of the model; letters, digits, ``.``, ``_`` and ``-``.
        versions: those that were audited, newest first.
        champion: number of the champion; None where there is none.
        told: description of the champion; empty where there is none.  It is left out where it would pass
            ``MAX_MODEL_DESCRIPTION``.
    """
    strings = load_strings()
    address = f"`models:/{name}@champion`"
    served = strings.text("model_page.champion", version=_link(name, champion), address=address) if champion else ""
    parts = [f"**{served or strings.text('model_page.no_champion')}**"]
    if versions:
        parts.append(_version_table(name, versions[:_MOST_VERSIONS], strings))
    if (more := len(versions) - _MOST_VERSIONS) > 0:
        parts.append(strings.text("model_page.more", count=more))
    parts.append(strings.text("model_page.written", command=f"`grmu-audit verify --model {name}`"))
    whole = "\n\n".join([*parts, told.strip()]).strip()
    return (whole if len(whole) < MAX_MODEL_DESCRIPTION else "\n\n".join(parts)) + "\n"


def _version_table(name: str, versions: Sequence[AuditedVersion], strings: Strings) -> str:
    head = [strings.text(f"model_page.{key}") for key in ("version", "made", "verdict", "audited")]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in versions:
        word = f"{SHAPES[row.decision.lower()]} {row.decision}" if row.decision else strings.text("model_page.not_judged")
        lines.append(_line([_link(name, row.version), escape_markdown(row.made, 80), word, escape_markdown(row.audited)]))
    return "\n".join(lines)


def _link(name: str, version: str) -> str:
    """A link to a version's page, relative to the server's own pages."""
    return f"[{version}](#/models/{name}/versions/{version})"


def _scale_text(value: float, interval: tuple[float, float], strings: Strings) -> str:
    """The share on a line from "as before" to "as retrained": ``=`` the interval, ``o`` the value.

    A share beyond an end stands at that end.
    """
    low, high, place = (round(_STEPS * min(max(edge, 0.0), 1.0)) for edge in (*interval, value))
    marks = ["=" if low <= i <= high else "-" for i in range(_STEPS + 1)]
    marks[place] = "o"
    return f"{strings.text('forgotten.before')} |{''.join(marks)}| {strings.text('forgotten.retrained')}"


MAX_CARD_BYTES = 200_000
"""Size that is never passed."""
_TASKS = {
    "image": ("image-classification", "Image classification"),
    "table": ("tabular-classification", "Classification of table rows"),
    "text": ("text-classification", "Text classification"),
    "predictions": ("other", "Classification, from prediction files"),
}
"""Task of a model card, as its format names tasks, by the kind of the data."""


def render_model_card(audit: Audit) -> str:
    """The audit as ``README.md``: YAML metadata (tags, ``model-index`` with one entry a metric), then the report in Markdown.

    The metadata holds only what was measured: a metric that is undefined or rests on too few samples is not in it.
    """
    import yaml

    strings, found = load_strings(), Lookup.of(audit)
    view = build_view(audit, strings=strings)
    head = yaml.safe_dump(_metadata(found, view), sort_keys=False, allow_unicode=True, width=1000)
    text = f"---\n{head}---\n\n" + "\n".join(_card_head(view))
    for heading, body in _card_sections(view, strings):
        text += f"\n\n## {heading}\n\n{body}"
    return f"{text}\n\n{_tail(view, strings)}\n"


def _metadata(found: Lookup, view: View) -> dict[str, Any]:
    data = found.audit.data
    dataset = {"type": safe_name(data.name) or "unnamed", "name": safe_name(data.name) or "unnamed", "split": "test"}
    metrics = [value for value in found.audit.metrics if _shown(value)]
    kind, name = _TASKS.get(data.kind, ("other", "Classification"))
    task = {"type": kind, "name": name}
    results = [{"task": task, "dataset": dataset, "metrics": [_metric(value, found) for value in metrics]}] if metrics else []
    architecture = safe_name(found.audit.subject.architecture or "")
    return {
        "language": "en",
        "tags": ["machine-unlearning", "fairness", "audit", *([architecture] if architecture else [])],
        "model_name": view["subject"],
        **({"base_model": safe_name(found.audit.subject.parent)} if found.audit.subject.parent else {}),
        **({"model-index": [{"name": view["subject"], "results": results}]} if results else {}),
    }


def _shown(value: MetricValue) -> bool:
    return value.subject == CANDIDATE and value.group is None and numbers.has_number(value)


def _metric(value: MetricValue, found: Lookup) -> dict[str, Any]:
    """One entry of the metadata, without a count that would give the size of a very small forget set away."""
    assert value.value is not None
    entry: dict[str, Any] = {
        "type": safe_name(value.name),
        "name": metric_words(value.name).title,
        "value": round(value.value, 6),
    }
    if value.interval is not None:
        size = {"n": value.n} if found.counts_tell(metric_words(value.name).part) else {}
        entry["args"] = {"interval": [round(edge, 6) for edge in value.interval], "confidence": value.confidence, **size}
    return entry


def _card_head(view: View) -> Iterator[str]:
    yield f"# {escape_markdown(view['subject'])}"
    yield ""
    yield f"**{view['word']}.** {escape_markdown(view['headline'], _SENTENCE)} {escape_markdown(view['because'], _SENTENCE)}"
    yield ""
    yield _answered(view["forgetting"])


def _card_sections(view: View, strings: Strings) -> Iterator[tuple[str, str]]:
    yield strings.text("summary.heading"), _facts([(fact["label"], fact["value"]) for fact in view["summary"]])
    if view["rules"]:
        yield strings.text("rules.heading"), _table(view["rule_table"])
    if view["forgetting"]["controls"]["rows"]:
        yield view["forgetting"]["controls"]["caption"], _table(view["forgetting"]["controls"])
    if view["group_table"]["rows"]:
        yield strings.text("tables.groups"), _table(view["group_table"])
    yield strings.text("not_measured.heading"), _table(view["not_measured"])
    yield strings.text("limits.heading"), "\n".join(f"- {escape_markdown(limit, 1000)}" for limit in view["limits"])
    for block in view["blocks"]:
        parts = [_facts([(fact["label"], fact["value"]) for fact in block["facts"]])] if block["facts"] else []
        parts += [_table(table) for table in block["tables"] if not table.get("folded")]
        if block["missing"]:
            parts.append(f"{strings.text('not_recorded_list')} {escape_markdown(', '.join(block['missing']), 1000)}.")
        yield block["title"], "\n\n".join([f"_{escape_markdown(block['intro'])}_", *parts])


def _facts(items: list[tuple[str, str]]) -> str:
    return "\n".join(f"- **{escape_markdown(label)}:** {escape_markdown(value, 1000)}" for label, value in items)


def _table(table: Table) -> str:
    return markdown_table(table, MAX_CARD_BYTES // 20)
