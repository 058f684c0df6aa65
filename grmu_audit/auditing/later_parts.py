"""Parts of an audit that came to the tool without another schema: an audit states which of them it measured.

So a part that was deleted can be told from one that the tool did not measure yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from grmu_audit.metrics.membership.conformal import CONFORMAL
from grmu_audit.metrics.selection import SELECTION
from grmu_audit.records import Audit
from grmu_audit.records.audit import MEASURED_PARTS

SEGMENTS = "weak segments"
"""The part without metrics."""
LATER_PARTS: dict[str, tuple[str, ...]] = {"conformal": CONFORMAL, "selection": SELECTION, SEGMENTS: ()}
"""Parts by name, with their metrics; every audit that this version makes states all of them."""


def unmeasured_names(audit: Audit) -> set[str]:
    """Metrics that the audit neither holds nor states as measured: they came to the tool after it."""
    unstated = {name for part, names in LATER_PARTS.items() if not _states(audit, part) for name in names}
    return unstated - {value.name for value in audit.metrics}


def part_findings(audit: Audit) -> Iterator[str]:
    """What the audit states as measured, and does not hold."""
    recorded = {value.name for value in audit.metrics}
    for part, names in LATER_PARTS.items():
        lacking = [name for name in names if name not in recorded]
        if part == SEGMENTS and audit.segments is None:
            lacking = [SEGMENTS]
        if lacking and _states(audit, part):
            yield f"{', '.join(lacking)}: the audit states that this was measured, and does not hold it"


def part_notes(audit: Audit) -> Iterator[str]:
    """What the audit neither holds nor states as measured."""
    absent = sorted(unmeasured_names(audit))
    if audit.segments is None and not _states(audit, SEGMENTS):
        absent.append(SEGMENTS)
    if absent:
        yield f"made before {', '.join(absent)} were recorded: their absence cannot be told from deletion"


def _states(audit: Audit, part: str) -> bool:
    return part in audit.record.get(MEASURED_PARTS, [])
