"""The pages ``docs/audit-json.md`` and ``docs/policy.md``: every key of two formats, from the records and the policy's schema.

python -m benchmarks.pages.formats --write docs
"""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.pages.api import fields_of, plain
from grmu_audit.policy.files import json_schema
from grmu_audit.records import audit, data, forgetting, lineage, metric_value, segments, verdict
from grmu_audit.utils import write_atomic

RECORDS: dict[str, type] = {
    "The document": audit.Audit,
    "A version (`subject`, `baseline`, `references`, `root`)": lineage.ModelRef,
    "The data (`data`)": data.DataRecord,
    "A group of the data": data.GroupCount,
    "The forget set (`forget`)": data.ForgetRecord,
    "A number (`metrics`, and `values` of a control)": metric_value.MetricValue,
    "A group, as a number or a rule names it": metric_value.Group,
    "A control (`controls`)": forgetting.Control,
    "Exact evidence (`exact`)": forgetting.ExactEvidence,
    "Weak segments (`segments`)": segments.SegmentSearch,
    "A weak segment": segments.WeakSegment,
    "Quality checks (`data_quality`)": data.DataCheckReport,
    "A quality check": data.CheckResult,
    "What was not measured (`not_measured`)": audit.NotMeasured,
    "The verdict (`verdict`)": verdict.Verdict,
    "A judged rule": verdict.RuleOutcome,
    "A judged control": verdict.ControlOutcome,
}
"""Heading to record."""
_RECORD_KEYS = ("KEY_CHECK", "NOT_LARGEST", "PURGED", "SHOWN_BEFORE", "MEASURED_PARTS")
"""Constants of ``records.audit`` that name keys of ``record``."""
_AUDIT = """# audit.json

Every key of schema `{schema}`, written from the records by
`python -m benchmarks.pages.formats --write docs`. `audit` and `score --out` write it; `gate`, `report`, `policy try` and
`evidence verify` read it. It is canonical JSON: keys are sorted, and None is written as null. Every report follows from it.
`tests/schemas/audit-v2.json` is the JSON Schema.

`subject` of a number says which model it is of: `candidate`, `baseline`, `root`, `reference#1`, `reference#2`;
`candidate-baseline` is the change of the candidate against the baseline, likewise for the others. Fields that are newer than an
audit are absent in it. The external form has fewer ([evidence.md](evidence.md#the-external-form)).

"""
_RECORD = """## The record (`record`)

Tool, libraries, dates (`created`, `expires`), level, seeds and hardware of the audit, and the options that the numbers were
computed with. `disclosure` is `internal` or `external`; without the key it is internal. Keys that are there only where they
apply:

{keys}
"""
_POLICY = """# The policy file

Every key of schema `grmu-audit/policy/v1`, written from it by `python -m benchmarks.pages.formats --write docs`.
How to write one: [write-a-policy.md](write-a-policy.md). Policies that come with the tool: [policies.md](policies.md).
`grmu-audit policy schema` prints the JSON Schema for editors (`policies/policy.schema.json`). A key that is not listed is an
error.

"""
_HEADINGS = {"Policy": "The document", "Rule": "A rule", "RuleGroup": "The group of a rule", "Waiver": "A waiver"}


def audit_page() -> str:
    """The page on audit.json."""
    parts = [_AUDIT.format(schema=audit.AUDIT_SCHEMA)]
    for heading, record in RECORDS.items():
        lines = [f"- `{name}`: {text}" for name, text in fields_of(record)]
        says = plain((inspect.getdoc(record) or "").partition(">>>")[0]).strip()
        parts.append(f"## {heading}\n\n{says}\n\n" + "\n".join(lines) + "\n\n")
    keys = "\n".join(f"- `{name}`: {text}" for name, text in _record_keys())
    return "".join(parts) + _RECORD.format(keys=keys)


def _record_keys() -> Iterator[tuple[str, str]]:
    """Keys of ``record`` with the text below the constants that name them."""
    body = ast.parse(inspect.getsource(audit)).body
    for node, below in pairwise(body):
        named = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in _RECORD_KEYS
        if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            constant = getattr(audit, node.targets[0].id)  # type: ignore[attr-defined]
            yield constant, plain(str(below.value.value)).partition(": ")[2]


def policy_page() -> str:
    """The page on the policy file."""
    schema = json_schema()
    found = {"Policy": schema, **{name: schema["$defs"][name] for name in ("Rule", "RuleGroup", "Waiver")}}
    parts = [_POLICY]
    for name, part in found.items():
        rows = [_row(key, item, key in part.get("required", ())) for key, item in part["properties"].items()]
        parts.append(f"## {_HEADINGS[name]}\n\n| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n")
    return "".join(parts).rstrip() + "\n"


def _row(key: str, item: dict[str, Any], required: bool) -> str:
    """One key: a default is shown where the schema states one."""
    default = item.get("default")
    shown = "required" if required else "none" if default in (None, "", []) else f"`{str(default).lower()}`"
    choices = f" One of {', '.join(f'`{one}`' for one in item['enum'])}." if "enum" in item else ""
    return f"| `{key}` | {shown} | {item.get('description', '')}{choices} |"


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, required=True, metavar="FOLDER")
    folder = parser.parse_args().write
    write_atomic(folder / "audit-json.md", audit_page().encode())
    write_atomic(folder / "policy.md", policy_page().encode())


if __name__ == "__main__":
    main()
