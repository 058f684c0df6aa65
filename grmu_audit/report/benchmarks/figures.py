"""The papers' figures from the rows of a suite: SVG and PNG, the same bytes for the same rows, for all kinds of colour vision."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.records.benchmark import CEILING, FLOOR, METHOD, REFERENCE, RETRAINED
from grmu_audit.report.benchmarks.summary import Cell, Line, Spread, by_request, paired, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito (2008); lines differ in their markers too."""
MARKERS = "osD^vP*X<>hdp8"
GREY = "#999999"
"""Floor, reference and ceiling."""
MOST_LINES = 7
"""Lines of a panel; further methods are left to the tables."""


@dataclass(frozen=True)
class Drawing:
    """One figure."""

    name: str
    """For file names."""
    title: str
    """In words."""
    svg: bytes
    """Vector form."""
    png: bytes
    """150 dots an inch."""


def draw_all(cells: Sequence[Cell], names: Sequence[str]) -> list[Drawing]:
    """The named figures, as far as the rows allow.

    Args:
        cells: of one suite.
        names: of ``FIGURES``.
    """
    found = []
    for name in names:
        title, draw = FIGURES[name]
        found += [_rendered(f"{name}{suffix}", title, figure) for suffix, figure in _in_style(draw, cells)]
    return found


def _in_style(draw: Callable[[Sequence[Cell]], Iterator[tuple[str, Figure]]], cells: Sequence[Cell]) -> list[tuple[str, Figure]]:
    import matplotlib as mpl

    with mpl.rc_context(_style()):
        return list(draw(cells))


def _style() -> dict[str, Any]:
    """Nothing of the caller's configuration changes the bytes."""
    return {"svg.hashsalt": "benchmark", "svg.fonttype": "none", "font.size": 9, "font.family": "DejaVu Sans", "axes.grid": True,
            "grid.color": "#dddddd", "grid.linewidth": 0.6, "axes.axisbelow": True}  # fmt: skip


def _rendered(name: str, title: str, figure: Figure) -> Drawing:
    import matplotlib as mpl

    svg, png = io.BytesIO(), io.BytesIO()
    with mpl.rc_context(_style()):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return Drawing(name, title, svg.getvalue(), png.getvalue())


def _panels(count: int, columns: int = 2) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(5.2 * columns, 3.8 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes[count:]:
        one.set_visible(False)
    return figure, axes[:count]


def _looks(titles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each method; a pair with and without REWEIGHT shares the colour, dashed without."""
    plain = list(dict.fromkeys(title.removesuffix(" + REWEIGHT") for title in titles))
    looks = {}
    for title in titles:
        number = plain.index(title.removesuffix(" + REWEIGHT"))
        weighted = title.endswith(" + REWEIGHT")
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 4.5}
        looks[title] = {**look, "linestyle": "-" if weighted else "--", "markerfacecolor": look["color"] if weighted else "white"}
    return looks


def _errorbar(axes: Axes, at: Sequence[float], found: Sequence[Spread | None], label: str, look: Mapping[str, Any]) -> None:
    known = [(x, one) for x, one in zip(at, found, strict=True) if one is not None]
    if known:
        means, errors = [100 * one.mean for _, one in known], [100 * (one.sd or 0.0) for _, one in known]
        axes.errorbar([x for x, _ in known], means, yerr=errors, label=label, capsize=2, linewidth=1.3, elinewidth=0.7, **look)


def _legend(panel: Axes, columns: int = 1) -> None:
    """A legend, where there is a line."""
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=6, ncols=columns)


def _by_title(cells: Sequence[Cell], wanted: Callable[[Line], bool]) -> dict[str, list[Line | None]]:
    """Lines of each title along cells; those without a pair come last where there are too many."""
    titles = list(dict.fromkeys(line.title for cell in cells for line in cell.lines if wanted(line)))
    paired_first = sorted(titles, key=lambda title: not _has_pair(title, titles))[: 2 * MOST_LINES]
    chosen = [title for title in titles if title in paired_first]
    return {title: [next((line for line in cell.lines if line.title == title), None) for cell in cells] for title in chosen}


def _has_pair(title: str, titles: Sequence[str]) -> bool:
    other = title.removesuffix(" + REWEIGHT") if title.endswith(" + REWEIGHT") else f"{title} + REWEIGHT"
    return other in titles


def ga_by_ratio(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """GA against the ratio, a panel for each request: Figures 2, 4 and 7."""
    wanted = {name: own for name, own in by_request(cells).items() if len(own) > 1}
    if not wanted:
        return
    figure, axes = _panels(len(wanted))
    for panel, own in zip(axes, wanted.values(), strict=True):
        named = f" ({own[0].represented} represented)" if own[0].represented else ""
        panel.set(title=f"{own[0].title}{named}", xlabel="share forgotten", ylabel="GA, %")
        _ratio_panel(panel, own, "GA", _shown_by_ratio(own))
    yield "-ga", figure


def _shown_by_ratio(cells: Sequence[Cell]) -> list[str]:
    """Plain retraining, the reference, and the methods that have rows with and without REWEIGHT; else the first methods."""
    titles = [line.title for line in cells[0].lines if line.part == METHOD]
    pairs = [title for title in titles if _has_pair(title, titles)]
    fixed = [line.title for line in cells[0].lines if line.part in (FLOOR, REFERENCE) or line.title == "retrain"]
    return [*fixed, *(pairs or titles)[: MOST_LINES * 2]]


def _ratio_panel(panel: Axes, cells: Sequence[Cell], metric: str, titles: Sequence[str]) -> None:
    ratios, looks = [cell.ratio for cell in cells], _looks(titles)
    for title in titles:
        lines = [next((line for line in cell.lines if line.title == title), None) for cell in cells]
        first = next((line for line in lines if line is not None), None)
        beside = first is not None and first.part in (FLOOR, REFERENCE, CEILING)
        look = {**looks[title], "color": GREY, "linestyle": ":", "markerfacecolor": GREY} if beside else looks[title]
        _errorbar(panel, ratios, [line.value(metric) if line else None for line in lines], title, look)
    panel.set_xticks(ratios)
    _legend(panel, 2)


def gap_by_ratio(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """AVG_GAP against the ratio, floor and ceiling beside: Figure 5."""
    wanted = {name: own for name, own in by_request(cells).items() if len(own) > 1}
    if not wanted:
        return
    figure, axes = _panels(len(wanted))
    for panel, own in zip(axes, wanted.values(), strict=True):
        titles = [line.title for line in own[0].lines if line.part in (FLOOR, CEILING)]
        weighted = [line.title for line in own[0].methods if line.reweight and line.value("AVG_GAP")]
        pairs = [t for t in weighted if _has_pair(t, [line.title for line in own[0].methods])]
        panel.set(title=own[0].title, xlabel="share forgotten", ylabel="avg. gap, %")
        _ratio_panel(panel, own, "AVG_GAP", [*titles, *(pairs or weighted)[:MOST_LINES]])
    yield "-gap", figure


def _by_ratio(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    yield from ga_by_ratio(cells)
    yield from gap_by_ratio(cells)


def reweight_and_dro(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """Retraining with REWEIGHT, with Group-DRO and without either against the model before: Figure 3."""
    shown = [cell for cell in cells if any(line.part == RETRAINED for line in cell.lines)]
    if not shown:
        return
    figure, axes = _panels(len(shown), 3)
    metrics = ("UA", "TA", "EO", "GA")
    for panel, cell in zip(axes, shown, strict=True):
        lines = [line for line in cell.lines if line.part == RETRAINED]
        bars = [*lines, *([found] if (found := cell.line(REFERENCE)) else [])]
        for number, line in enumerate(bars):
            moved = [paired(line, cell.line(FLOOR), metric) for metric in metrics]
            heights, errors = [100 * (m.mean if m else 0) for m in moved], [100 * ((m.sd or 0) if m else 0) for m in moved]
            at = np.arange(len(metrics)) + 0.8 * (number - (len(bars) - 1) / 2) / len(bars)
            look: dict[str, Any] = {
                "color": COLOURS[number % len(COLOURS)],
                "hatch": ("", "//", "..", "xx")[number % 4],
                "edgecolor": "white",
            }
            panel.bar(at, heights, 0.8 / len(bars), yerr=errors, label=line.title, error_kw={"linewidth": 0.7}, **look)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set_xticks(range(len(metrics)), metrics)
        panel.set(title=f"{cell.title}, {cell.ratio:g}", ylabel="minus the untouched model, points")
        _legend(panel)
    yield "", figure


def gap_by_groups(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """AVG_GAP against the number of groups that a request is sampled from: Figure 6."""
    by_ratio: dict[float, list[Cell]] = {}
    for cell in cells:
        if cell.groups:
            by_ratio.setdefault(cell.ratio, []).append(cell)
    for ratio, found in by_ratio.items():
        own = sorted(found, key=lambda cell: cell.groups)
        if len({cell.groups for cell in own}) < 2:
            continue
        figure, (panel,) = _panels(1)
        lines = _by_title(own, lambda line: line.part in (FLOOR, CEILING) or (line.part == METHOD and line.reweight))
        looks, at = _looks(list(lines)), list(range(len(own)))
        for title, along in lines.items():
            _errorbar(panel, at, [line.value("AVG_GAP") if line else None for line in along], title, looks[title])
        panel.set_xticks(at, [str(cell.groups) for cell in own])
        panel.set(title=f"{ratio:g} forgotten", xlabel="groups", ylabel="avg. gap, %")
        _legend(panel)
        yield f"-{ratio:g}", figure


def gap_by_option(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """AVG_GAP, UA and GA against an option of a method that has rows with several values of it: Figure 8."""
    shown = [(cell, name, lines) for cell in cells for name, lines in _varied(cell).items()]
    if not shown:
        return
    figure, axes = _panels(len(shown))
    for panel, (cell, name, lines) in zip(axes, shown, strict=True):
        at = [line.option[name] for line in lines]
        for metric, look in zip(("AVG_GAP", "UA", "GA"), _looks(["AVG_GAP", "UA", "GA"]).values(), strict=True):
            _errorbar(panel, at, [line.value(metric) for line in lines], metric, look)
        panel.set_xscale("symlog", linthresh=min((x for x in at if x > 0), default=1.0))
        panel.set(title=f"{cell.title}, {cell.ratio:g}: {lines[0].method}", xlabel=name, ylabel="%")
        _legend(panel)
    yield "", figure


def _varied(cell: Cell) -> dict[str, list[Line]]:
    """Lines of a method by the option that they differ in."""
    found: dict[str, list[Line]] = {}
    for line in cell.methods:
        for name in line.option:
            found.setdefault(name, []).append(line)
    several = {name: lines for name, lines in found.items() if len({line.option[name] for line in lines}) > 2}
    return {name: sorted(lines, key=lambda line: line.option[name]) for name, lines in several.items()}


def robustness(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """Fairness-gap by layer, and the mean gap against accuracy under FGSM: the second paper."""
    shown = [cell for cell in cells if any(row.extras.get("layers") for line in cell.lines for row in line.rows.values())]
    for cell in shown:
        figure, (left, right) = _panels(2)
        lines = [line for line in cell.lines if line.part != REFERENCE]
        looks = _looks([line.title for line in lines])
        for line in lines:
            gaps = [row.extras["fairness_gap"] for row in line.rows.values() if row.extras.get("fairness_gap")]
            if not gaps:
                continue
            means = _mean_of_layers(gaps)
            left.plot(range(1, len(means) + 1), means, label=line.title, linewidth=1.1, **{**looks[line.title], "markersize": 3})
            accuracy = _fgsm(line)
            if accuracy is not None:
                right.scatter(float(means[np.isfinite(means)].mean()), 100 * accuracy, color=looks[line.title]["color"],
                              marker=looks[line.title]["marker"], s=34, label=line.title)  # fmt: skip
        left.set(title=f"{cell.title}, {cell.ratio:g}", xlabel="normalisation layer, input to output", ylabel="fairness-gap")
        left.set_yscale("symlog", linthresh=1e-3)
        right.set(title="FGSM, 8/255", xlabel="mean fairness-gap", ylabel="accuracy, %")
        _legend(left)
        yield f"-{cell.name}", figure


def _mean_of_layers(gaps: Sequence[Sequence[float | None]]) -> Floats:
    """[layers] mean over seeds; NaN where a layer has no gap in any of them."""
    values = np.array(gaps, dtype=np.float64)
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    result: Floats = np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(axis=0))
    return result


def _fgsm(line: Line) -> float | None:
    """Accuracy under FGSM at 8/255."""
    name = "FGSM@0.03137"
    found = spread([row.extras["fgsm"][name] for row in line.rows.values() if name in row.extras.get("fgsm", {})])
    return None if found is None else found.mean


def cost_against_gap(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """Cost against AVG_GAP and against the forgetting share; what nothing cheaper beats is named."""
    shown = [cell for cell in cells if len(cell.methods) > 1]
    if not shown:
        return
    figure, axes = _panels(2 * len(shown))
    for number, cell in enumerate(shown):
        for panel, metric in zip(axes[2 * number : 2 * number + 2], ("AVG_GAP", "FORGET_SHARE"), strict=True):
            _pareto(panel, cell, metric)
            label = {"AVG_GAP": "avg. gap, %", "FORGET_SHARE": "forgetting share, %"}[metric]
            panel.set(title=f"{cell.title}, {cell.ratio:g}", xlabel="cost, % of retraining", ylabel=label)
    yield "", figure


def _pareto(panel: Axes, cell: Cell, metric: str) -> None:
    lines = [line for line in cell.lines if line.part != REFERENCE and line.value(metric) is not None]
    if not lines:
        panel.text(0.5, 0.5, "undefined in every row", ha="center", va="center", transform=panel.transAxes, color=GREY)
        panel.set(xticks=[], yticks=[])
    points = {line.title: (100 * (cell.cost(line) or 0.0), 100 * _mean(line, metric)) for line in lines}
    methods = {line.title for line in lines if line.part == METHOD}
    own = {title: point for title, point in points.items() if title in methods}
    best = {t for t, (cost, value) in own.items() if not any(c <= cost and v > value for c, v in own.values())}
    for title, (cost, value) in points.items():
        beside = title not in methods
        colour = "#000000" if beside else COLOURS[0] if title in best else GREY
        panel.scatter(cost, value, color=colour, marker="s" if beside else "o", s=26, zorder=3)
        if beside or title in best:
            panel.annotate(title, (cost, value), xytext=(4, 4), textcoords="offset points", color=colour, fontsize=6)
    panel.margins(x=0.15, y=0.1)


def _mean(line: Line, metric: str) -> float:
    found = line.value(metric)
    return float("nan") if found is None else found.mean


def durability(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """Accuracy on the forget set while the model is fine-tuned on the retain set alone."""
    shown = [cell for cell in cells if any(row.extras.get("returned") for line in cell.lines for row in line.rows.values())]
    if not shown:
        return
    figure, axes = _panels(len(shown))
    for panel, cell in zip(axes, shown, strict=True):
        lines = [line for line in cell.lines if any(row.extras.get("returned") for row in line.rows.values())]
        looks = _looks([line.title for line in lines])
        for line in lines:
            epochs = list(next(row.extras["returned"] for row in line.rows.values() if row.extras.get("returned")))
            along = [
                spread([row.extras["returned"][e] for row in line.rows.values() if row.extras.get("returned")]) for e in epochs
            ]
            _errorbar(panel, list(range(len(epochs))), along, line.title, looks[line.title])
        panel.set(title=f"{cell.title}, {cell.ratio:g}", xlabel="epochs on the retain set", ylabel="UA, %")
        _legend(panel, 2)
    yield "", figure


FIGURES: dict[str, tuple[str, Callable[[Sequence[Cell]], Iterator[tuple[str, Figure]]]]] = {
    "ratio": ("GA and avg. gap against the share forgotten", _by_ratio),
    "reweight": ("Retraining with REWEIGHT and with Group-DRO against the untouched model", reweight_and_dro),
    "groups": ("avg. gap against the number of groups", gap_by_groups),
    "option": ("avg. gap, UA and GA against an option", gap_by_option),
    "robustness": ("Fairness-gap by layer, and against accuracy under FGSM", robustness),
    "cost": ("Cost against avg. gap and forgetting share", cost_against_gap),
    "durability": ("Does what was forgotten come back?", durability),
}
"""Title and drawing by name."""
