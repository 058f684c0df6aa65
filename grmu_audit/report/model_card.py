"""The audit as a model card: a README.md with the metadata block that model hubs read, from the same view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grmu_audit.records import Audit, MetricValue
from grmu_audit.report import numbers
from grmu_audit.report.clean import name
from grmu_audit.report.fields import Table, View
from grmu_audit.report.lookup import CANDIDATE, Lookup
from grmu_audit.report.markdown import defuse, markdown_table
from grmu_audit.report.strings import Strings, load_strings
from grmu_audit.report.view import build_view
from grmu_audit.report.words import metric_words

MAX_BYTES = 200_000
"""Size that is never passed."""

_TASK = {"task": {"type": "image-classification", "name": "Classification"}}


def render_model_card(audit: Audit) -> str:
    """The audit as ``README.md``: YAML metadata (tags, ``model-index`` with one entry a metric), then the report in Markdown.

    The metadata holds only what was measured: a metric that is undefined or rests on too few people is not in it.
    """
    import yaml

    strings, found = load_strings(), Lookup.of(audit)
    view = build_view(audit, strings=strings)
    head = yaml.safe_dump(_metadata(found, view), sort_keys=False, allow_unicode=True, width=1000)
    text = f"---\n{head}---\n\n" + "\n".join(_head(view))
    for heading, body in _sections(view, strings):
        text += f"\n\n## {heading}\n\n{body}"
    tail = f"{strings.text('report_id')} `{view['report_id']}` · {strings.text('created')} {defuse(view['created'])}"
    return f"{text}\n\n{tail}\n"


def _metadata(found: Lookup, view: View) -> dict[str, Any]:
    data = found.audit.data
    dataset = {"type": name(data.name) or "unnamed", "name": name(data.name) or "unnamed", "split": "test"}
    metrics = [value for value in found.audit.metrics if _shown(value)]
    results = [_TASK | {"dataset": dataset, "metrics": [_metric(value) for value in metrics]}] if metrics else []
    architecture = name(found.audit.subject.architecture or "")
    return {
        "language": "en",
        "tags": ["machine-unlearning", "fairness", "audit", *([architecture] if architecture else [])],
        "model_name": view["subject"],
        **({"base_model": name(found.audit.subject.parent)} if found.audit.subject.parent else {}),
        **({"model-index": [{"name": view["subject"], "results": results}]} if results else {}),
    }


def _shown(value: MetricValue) -> bool:
    return value.subject == CANDIDATE and value.group is None and value.value is not None and not numbers.hidden(value)


def _metric(value: MetricValue) -> dict[str, Any]:
    assert value.value is not None
    entry: dict[str, Any] = {"type": name(value.name), "name": metric_words(value.name).title, "value": round(value.value, 6)}
    if value.interval is not None:
        entry["args"] = {"interval": [round(edge, 6) for edge in value.interval], "confidence": value.confidence, "n": value.n}
    return entry


def _head(view: View) -> Iterator[str]:
    yield f"# {defuse(view['subject'])}"
    yield ""
    yield f"**{view['word']}.** {defuse(view['headline'])} {defuse(view['because'])}"


def _sections(view: View, strings: Strings) -> Iterator[tuple[str, str]]:
    yield strings.text("summary.heading"), _facts([(fact["label"], fact["value"]) for fact in view["summary"]])
    if view["rules"]:
        yield strings.text("rules.heading"), _table(view["rule_table"])
    if view["group_table"]["rows"]:
        yield strings.text("tables.groups"), _table(view["group_table"])
    yield strings.text("not_measured.heading"), _table(view["not_measured"])
    yield strings.text("limits.heading"), "\n".join(f"- {defuse(limit, 1000)}" for limit in view["limits"])
    for block in view["blocks"]:
        parts = [_facts([(fact["label"], fact["value"]) for fact in block["facts"]])] if block["facts"] else []
        parts += [_table(table) for table in block["tables"] if not table.get("folded")]
        if block["missing"]:
            parts.append(f"{strings.text('not_recorded_list')} {defuse(', '.join(block['missing']), 1000)}.")
        yield block["title"], "\n\n".join([f"_{defuse(block['intro'])}_", *parts])


def _facts(items: list[tuple[str, str]]) -> str:
    return "\n".join(f"- **{defuse(label)}:** {defuse(value, 1000)}" for label, value in items)


def _table(table: Table) -> str:
    return markdown_table(table, MAX_BYTES // 20)
