"""What the seed paper says, and whether the rows of a suite show it: sentences with the numbers behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grmu_audit.records.benchmark import CEILING, FLOOR, REFERENCE
from grmu_audit.report.benchmarks.published import floor_by_means, published_rows
from grmu_audit.report.benchmarks.summary import Cell, Line, Spread, by_request, paired

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"


@dataclass(frozen=True)
class Claim:
    """One statement of the paper on this suite."""

    statement: str
    """What the paper says."""
    finding: str
    """``HOLDS``, ``FAILS`` or ``OPEN``."""
    evidence: tuple[str, ...]
    """Sentences with numbers."""


def claims(cells: Sequence[Cell]) -> list[Claim]:
    """The paper's claims that the suite's rows can speak to."""
    found = [_drop(cells), _recovers(cells), _nearest(cells), _dro_raises(cells), _together(cells)]
    return [claim for claim in found if claim is not None]


def _verdict(differences: Sequence[Spread], sign: int) -> str:
    """Whether all mean differences have a sign clearly; fails where one clearly has the other."""
    if not differences:
        return OPEN
    if all(found.clear and found.mean * sign > 0 for found in differences):
        return HOLDS
    return FAILS if any(found.clear and found.mean * sign < 0 for found in differences) else OPEN


def points(found: Spread) -> str:
    """A difference in points with its standard error.

    >>> points(Spread(-0.062, 0.02, 4))
    '-6.2 ± 1.0 points'
    """
    return f"{100 * found.mean:+.1f}{'' if found.error is None else f' ± {100 * found.error:.1f}'} points"


def _drop(cells: Sequence[Cell]) -> Claim | None:
    """GA of plain retraining at the largest ratio against the smallest."""
    least: list[Spread] = []
    lines: list[str] = []
    for own in by_request(cells).values():
        first, last = own[0], own[-1]
        found = paired(last.of_method("retrain", False, "retrain"), first.of_method("retrain", False, "retrain"), "GA")
        if first is last or found is None:
            continue
        if first.represented != "most":
            least.append(found)
        lines.append(f"{first.title}: GA of plain retraining from {first.ratio:g} to {last.ratio:g}: {points(found)}.")
        lines += _method_drops(first, last)
    if not lines:
        return None
    return Claim("GA drops as more of a rare group is forgotten without REWEIGHT", _verdict(least, -1), tuple(lines))


def _method_drops(first: Cell, last: Cell) -> Iterator[str]:
    """The same for approximate methods that read the retain set without REWEIGHT."""
    plain = [line for line in first.methods if not line.reweight and first.of_method(line.method, True)]
    found = [(line.title, paired(last.of_method(line.method, False, line.title), line, "GA")) for line in plain]
    words = [f"{title} {points(drop)}" for title, drop in found if drop is not None]
    if words:
        yield f"Methods without REWEIGHT: {', '.join(words)}."


def _recovers(cells: Sequence[Cell]) -> Claim | None:
    """GA of retraining with REWEIGHT against retraining without, and of methods with it against without."""
    differences, lines = [], []
    for cell in cells:
        gain = paired(cell.line(REFERENCE), cell.of_method("retrain", False, "retrain"), "GA")
        rest = paired(cell.line(REFERENCE), cell.line(FLOOR), "GA")
        if gain is None or rest is None:
            continue
        if cell.represented != "most":
            differences.append(gain)
        both = _pairs(cell)
        rises = sum(found.mean > 0 for found in both)
        words = f"; of {len(both)} methods with and without it, GA rises in {rises}" if both else ""
        lines.append(
            f"{cell.title}, {cell.ratio:g}: GA with REWEIGHT {points(gain)} against plain retraining, {points(rest)} against the "
            f"untouched model{words}."
        )
    return Claim("REWEIGHT recovers GA in retraining", _verdict(differences, 1), tuple(lines)) if lines else None


def _pairs(cell: Cell) -> list[Spread]:
    found = [(cell.of_method(line.method, True), line) for line in cell.methods if not line.reweight]
    return [gain for one, line in found if (gain := paired(one, line, "GA")) is not None]


def _nearest(cells: Sequence[Cell]) -> Claim | None:
    """Place of MIU + REWEIGHT by AVG_GAP among the methods; the floor beside it.

    It holds where MIU + REWEIGHT is clearly ahead of every other method in each cell, and fails where it is clearly behind one,
    or diverged, in each.
    """
    lines, found = [], []
    for cell in cells:
        miu, floor = cell.of_method("miu", True), cell.line(FLOOR)
        finished = [line for line in cell.methods if line.value("AVG_GAP") is not None and not line.diverged]
        others = [line for line in finished if line is not miu]
        if miu is None or floor is None or (miu in finished and not others):
            continue
        place, finding = _place(miu, others) if miu in finished else (_unfinished(miu), FAILS)
        found.append(finding)
        below = sum(_gap(line) < _gap(floor) for line in finished)
        lines.append(
            f"{cell.title}, {cell.ratio:g}: MIU + REWEIGHT {place}; the untouched model scores {100 * _gap(floor):.1f}, above "
            f"{below} of {len(finished)} methods{_ceiling(cell)}."
        )
    if not lines:
        return None
    finding = found[0] if len(set(found)) == 1 else OPEN
    return Claim("MIU + REWEIGHT is nearest to retrain + REWEIGHT in avg. gap", finding, tuple(lines))


def _place(miu: Line, others: Sequence[Line]) -> tuple[str, str]:
    """Rank by the means, with the paired difference to the best other method; whether it is clearly ahead of all others."""
    best = max(others, key=_gap)
    pairs = [paired(miu, line, "AVG_GAP") for line in others]
    shared, beside = [pair for pair in pairs if pair is not None], paired(miu, best, "AVG_GAP")
    rank = 1 + sum(_gap(line) > _gap(miu) for line in others)
    near = "" if beside is None else f", {points(beside)} against {best.title} ({100 * _gap(best):.1f})"
    finding = _verdict(shared, 1)
    finding = OPEN if finding == HOLDS and len(shared) < len(pairs) else finding
    return f"is {rank} of {len(others) + 1} ({100 * _gap(miu):.1f}{near})", finding


def _unfinished(line: Line) -> str:
    missing = len(line.rows) - len([seed for seed in line.values("AVG_GAP") if not line.rows[seed].diverged])
    return f"has no result in {missing} of {len(line.rows)} seeds, so that it is not first"


def _gap(line: Line) -> float:
    found = line.value("AVG_GAP")
    return -1.0 if found is None else found.mean


def _ceiling(cell: Cell) -> str:
    ceiling = cell.line(CEILING)
    return "" if ceiling is None else f"; one more retrained model scores {100 * _gap(ceiling):.1f}"


def _dro_raises(cells: Sequence[Cell]) -> Claim | None:
    """UA of retraining with Group-DRO against plain retraining, and against the model before."""
    differences, lines = [], []
    for cell in cells:
        dro = next((line for line in cell.lines if "Group-DRO" in line.title), None)
        found = paired(dro, cell.of_method("retrain", False, "retrain"), "UA")
        before, test = paired(dro, cell.line(FLOOR), "UA"), paired(dro, cell.of_method("retrain", False, "retrain"), "TA")
        if found is None or before is None or test is None:
            continue
        differences.append(found)
        lines.append(
            f"{cell.title}, {cell.ratio:g}: UA with Group-DRO {points(found)} against plain retraining, {points(before)} against "
            f"the untouched model; TA {points(test)}."
        )
    return Claim("Retraining with Group-DRO raises UA", _verdict(differences, 1), tuple(lines)) if lines else None


def _together(cells: Sequence[Cell]) -> Claim | None:
    """Rank correlation of UA and GA over the lines of a cell."""
    lines, found = [], []
    for cell in cells:
        pairs = [(ua.mean, ga.mean) for line in cell.lines if (ua := line.value("UA")) and (ga := line.value("GA"))]
        if len(pairs) < 5 or min(len({pair[side] for pair in pairs}) for side in (0, 1)) < 2:
            continue
        from scipy.stats import spearmanr

        rank = float(spearmanr([a for a, _ in pairs], [b for _, b in pairs]).statistic)
        found.append(rank)
        lines.append(f"{cell.title}, {cell.ratio:g}: rank correlation {rank:.2f} over {len(pairs)} rows.")
    if not lines:
        return None
    finding = HOLDS if min(found) >= 0.7 else FAILS if max(found) < 0.7 else OPEN
    return Claim("UA and GA go together after unlearning (rank correlation of at least 0.7)", finding, tuple(lines))


def floor_note(dataset: str, cells: Sequence[Cell]) -> list[str]:
    """What the untouched model would score by the printed means, beside the best printed avg. gap."""
    notes = []
    for ratio, groups in sorted({(cell.ratio, cell.groups) for cell in cells}):
        floor = floor_by_means(dataset, ratio, groups)
        rows = [
            r for r in published_rows() if (r.dataset, r.ratio, r.groups) == (dataset, ratio, groups) and "AVG_GAP" in r.values
        ]
        if floor is not None and rows:
            best = max(rows, key=lambda row: row.values["AVG_GAP"])
            name = f"{best.method}{' + REWEIGHT' if best.reweight else ''}"
            notes.append(
                f"By the paper's printed means for {dataset} at {ratio:g} ({groups} group(s)) the untouched model would score "
                f"about {100 * floor:.1f} in avg. gap, against {100 * best.values['AVG_GAP']:.1f} of the best method ({name})."
            )
    return notes
