"""Plain tables for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grmu_audit.utils.terminal_tables import fit_table, terminal_width

if TYPE_CHECKING:
    from grmu_audit.auditing.bundle_check import BundleCheck
    from grmu_audit.records import DataCheckReport, GroupCount, MetricValue
    from grmu_audit.workflows.erasure import OpenRequest


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    """Columns within the terminal's width; the first is left-aligned, the others right (or left where they hold words).

    >>> print(text_table(["group", "n"], [["a", "10"]]))
    group   n
    a      10
    """
    return "\n".join(fit_table(head, rows, [False, *([not left] * (len(head) - 1))], terminal_width()))


def fact_lines(facts: Mapping[str, object]) -> str:
    """Facts as lines of "name: value" within the terminal's width.

    >>> print(fact_lines({"kind": "exact"}))
    kind: exact
    """
    width = terminal_width()
    return "\n".join(
        line for key, value in facts.items() for line in textwrap.wrap(f"{key}: {value}", width, subsequent_indent="    ")
    )


def group_table(groups: Sequence[GroupCount]) -> str:
    """Group counts by split, with what a request takes and the REWEIGHT weight it implies."""
    rows = []
    for row in groups:
        weight = f"{row.train / row.retain:.2f}" if row.retain else "-"
        counts = [str(n) for n in (row.train, row.forget, row.retain, row.val, row.test)]
        rows.append([f"{row.group.target},{row.group.attribute}  {row.name}", *counts, weight])
    return text_table(["group", "train", "forget", "retain", "val", "test", "REWEIGHT"], rows)


def check_text(report: DataCheckReport, *, as_json: bool) -> str:
    """Quality checks as text, with advice on those that did not pass; or the report as JSON."""
    import json
    from dataclasses import asdict

    if as_json:
        return json.dumps(asdict(report))
    rows = []
    for one in report.results:
        word = "ok" if one.passed else "WARNING" if one.severity == "warning" else "FAILED"
        rows.append([word, one.part, one.expectation, one.observed if one.passed else f"{one.observed}; {one.advice}"])
    passed = sum(result.passed for result in report.results)
    lines = [
        text_table(["", "part", "expected", "found"], rows, left=True),
        f"{passed} of {len(rows)} checks passed ({report.engine})",
    ]
    shift = [f"{row['name']}: {row['share_before']:.3f} -> {row['share_after']:.3f}, REWEIGHT {row['weight']:.2f}"
             for row in report.group_shift if not isinstance(row["weight"], str)]  # fmt: skip
    return "\n".join([*lines, *(["share of training before and after the list:", *shift] if shift else [])])


def baseline_table(metrics: Sequence[MetricValue], groups: Sequence[GroupCount]) -> str:
    """A network's numbers on its test split, with 95 % intervals, then its test accuracy group by group."""
    names = {row.group: row.name for row in groups}
    rows = []
    for m in metrics:
        if m.value is None or (m.group is not None and m.name != "accuracy"):
            continue
        label = m.name if m.group is None else f"  {names.get(m.group, m.group)}"
        bounds = f"[{100 * m.interval[0]:.1f}, {100 * m.interval[1]:.1f}]" if m.interval else "-"
        rows.append([label, f"{100 * m.value:.1f}", bounds, str(m.n)])
    return text_table(["metric", "%", "interval", "n"], rows)


def bundle_check_text(checked: BundleCheck) -> str:
    """Result of an evidence check as text."""
    from grmu_audit.report.wording.names import safe_sentence

    lines = [f"sha256 {checked.sha256}", *(f"found: {safe_sentence(finding)}" for finding in checked.findings)]
    if checked.subject:
        decision = checked.decision.value if checked.decision else "none"
        lines.append(f"{safe_sentence(checked.subject)}: verdict {decision}; {checked.compared} numbers computed again")
    lines += [f"signed by trusted key {keyid}" for keyid in checked.signed] + [
        f"note: {safe_sentence(note)}" for note in checked.notes
    ]
    lines += [f"not recomputed, needs per-row predictions: {safe_sentence(name)}" for name in checked.not_recomputed]
    agrees = (
        f"what was recomputed agrees; {len(checked.not_recomputed)} not recomputed"
        if checked.not_recomputed
        else "everything agrees"
    )
    return "\n".join([*lines, "does NOT agree" if checked.findings else agrees])


def bundle_check_json(checked: BundleCheck) -> str:
    """Result of an evidence check as JSON."""
    import json
    from dataclasses import asdict

    return json.dumps({**asdict(checked), "agrees": not checked.findings})


def request_table(found: Sequence[OpenRequest]) -> str:
    """Erasure requests with their dates, whether a champion has served them, and their answer; an overdue one says so."""
    from grmu_audit.report.wording.names import safe_name

    rows = []
    for one in found:
        record = one.record
        state = f"answered {one.answered_at}" if one.answered_at else "OVERDUE" if one.overdue else "open"
        dates = [record.received_at or "-", record.due_at or "unknown"]
        champion = "served" if one.served else "open again" if one.reopened else "open"
        rows.append(
            [safe_name(record.request_id), str(record.rows), *dates, f"{one.model}/{one.version or '-'}", champion, state]
        )
    head = ["request", "rows", "received", "due", "version", "champion", "answer"]
    return text_table(head, rows) if rows else "no open requests"
