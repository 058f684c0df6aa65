"""Charts of a report."""

from __future__ import annotations

from collections.abc import Callable

from grmu_audit.report.charts.curve_charts import draw_layers, draw_losses, draw_radius, draw_return, draw_roc, draw_training
from grmu_audit.report.charts.group_charts import draw_composition, draw_groups, draw_shift
from grmu_audit.report.charts.lineage_chart import draw_lineage
from grmu_audit.report.charts.rule_charts import draw_rules
from grmu_audit.report.charts.share_chart import draw_requests, draw_share
from grmu_audit.report.charts.svg import Drawing
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import Strings


def build_charts(found: Lookup, strings: Strings) -> dict[str, Drawing | None]:
    """All drawings by name, see ``DRAWN``; None where there is nothing to draw."""
    return {name: paint(found, strings) for name, paint in DRAWN.items()}


DRAWN: dict[str, Callable[[Lookup, Strings], Drawing | None]] = {
    "share": draw_share,
    "requests": draw_requests,
    "groups": draw_groups,
    "rules": draw_rules,
    "composition": draw_composition,
    "shift": draw_shift,
    "lineage": draw_lineage,
    "training": draw_training,
    "losses": draw_losses,
    "roc": draw_roc,
    "return": draw_return,
    "layers": draw_layers,
    "radius": draw_radius,
}
"""Every drawing by name."""
