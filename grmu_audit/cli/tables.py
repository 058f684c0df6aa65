"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grmu_audit.records import GroupCount


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    """Columns padded to their widest cell; the first is left-aligned, the others right (or left where they hold words).

    >>> print(table(["group", "n"], [["a", "10"]]))
    group   n
    a      10
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [cell.ljust(width) if left else cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def group_table(groups: Sequence[GroupCount]) -> str:
    """Group counts by split, with what a request takes and the REWEIGHT weight it implies."""
    rows = []
    for row in groups:
        weight = f"{row.train / row.retain:.2f}" if row.retain else "-"
        counts = [str(n) for n in (row.train, row.forget, row.retain, row.val, row.test)]
        rows.append([f"{row.group.target},{row.group.attribute}  {row.name}", *counts, weight])
    return table(["group", "train", "forget", "retain", "val", "test", "REWEIGHT"], rows)
