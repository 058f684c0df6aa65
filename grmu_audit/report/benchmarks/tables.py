"""The papers' tables: mean, standard deviation and difference to retrain + REWEIGHT, as Markdown, LaTeX, CSV and for HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grmu_audit.records.benchmark import FLOOR, METHOD, REFERENCE, TABLE_METRICS, BenchmarkRow
from grmu_audit.report.benchmarks.published import PublishedRow, apart, published_for, read_table
from grmu_audit.report.benchmarks.summary import Cell, Line, Spread, best_by

HEADS = {"MIA_PAPER": "MIA", "AVG_GAP": "avg. gap", "FORGET_SHARE": "forgetting share", "MIA_AUC": "MIA AUC"}
"""Metric to the head of its column, where they differ."""
AFTER = ("FORGET_SHARE", "MIA_AUC")
"""Columns behind the papers'."""
_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "−": "$-$"}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field of a table."""

    text: str
    """As printed."""
    best: bool = False
    """Whether it is printed in bold."""


@dataclass(frozen=True)
class Table:
    """A table with its caption."""

    name: str
    """For file names."""
    caption: str
    """In words."""
    heads: tuple[str, ...]
    """Heads of the columns; the first column holds names."""
    rows: tuple[tuple[Field, ...], ...]
    """Fields, as many as heads."""
    notes: tuple[str, ...] = ()
    """Sentences below it."""
    breaks: tuple[int, ...] = ()
    """Rows before which LaTeX draws a line."""


def result_table(cell: Cell) -> Table:
    """A cell in the papers' form: per cent, mean ± standard deviation over seeds, in brackets the mean absolute difference to the
    retrained models; the best method of each column in bold.

    Floor, retrained models and ceiling stand above the methods.
    """
    best = {metric: _best(cell, metric) for metric in (*TABLE_METRICS, "AVG_GAP")}
    rows = []
    for line in cell.lines:
        fields = [Field(_name(line)), Field("yes" if line.reweight else "no")]
        fields += [Field(_with_delta(line, metric), line is best[metric]) for metric in TABLE_METRICS]
        fields += [Field(percent(line.value("AVG_GAP")), line is best["AVG_GAP"])]
        fields += [Field(percent(line.value(metric))) for metric in AFTER]
        cost = None if line.part in (FLOOR, REFERENCE) else cell.cost(line)
        rows.append((*fields, Field("–" if cost is None else f"{100 * cost:.0f}")))
    heads = ("row", "RW", *(HEADS.get(m, m) for m in (*TABLE_METRICS, "AVG_GAP", *AFTER)), "cost")
    caption = f"{cell.title}, {100 * cell.ratio:g} % forgotten ({len(cell.seeds)} seeds)"
    first = next((number for number, line in enumerate(cell.lines) if line.part == METHOD), len(cell.lines))
    return Table(cell.name, caption, heads, tuple(rows), (), (first,))


def _best(cell: Cell, metric: str) -> Line | None:
    """The approximate method that is nearest to the retrained models."""

    def key(line: Line) -> float | None:
        """Mean difference, or what AVG_GAP lacks of 1."""
        found = line.value(metric) if metric == "AVG_GAP" else line.delta(metric)
        return None if found is None or line.diverged else (1 - found.mean if metric == "AVG_GAP" else found.mean)

    return best_by(cell.methods, key)


def _name(line: Line) -> str:
    return f"{line.title} ({line.diverged} of {len(line.rows)} diverged)" if line.diverged else line.title


def _with_delta(line: Line, metric: str) -> str:
    text, delta = percent(line.value(metric)), line.delta(metric)
    return text if delta is None or line.part == REFERENCE else f"{text} ({100 * delta.mean:.1f})"


def percent(found: Spread | None) -> str:
    """``71.2 ± 0.8``; an en dash where there is nothing.

    >>> percent(Spread(0.712, 0.008, 3)), percent(None)
    ('71.2 ± 0.8', '–')
    """
    if found is None:
        return "–"
    text = f"{100 * found.mean:.1f}"
    return text if found.sd is None else f"{text} ± {100 * found.sd:.1f}"


def published_table(dataset: str, cell: Cell) -> Table | None:
    """The printed numbers beside ours; None where the paper has no row of the cell.

    Each field: ours / printed, and in brackets how many standard deviations (of both together) ours is above it.
    """
    pairs = [(line, row) for line in cell.lines if (row := published_for(dataset, cell, line)) is not None]
    if not pairs:
        return None
    metrics = (*TABLE_METRICS, "AVG_GAP")
    rows = [(Field(_name(line)), *(Field(_beside(line, row, metric)) for metric in metrics)) for line, row in pairs]
    tables = sorted({row.table for _, row in pairs}, key=int)
    caption = f"{cell.title}, {100 * cell.ratio:g} % forgotten: ours / Table {', '.join(tables)} of the paper"
    notes = ("In brackets: difference in standard deviations, of both together; an en dash where neither has any.",)
    return Table(f"{cell.name}-published", caption, ("row", *(HEADS.get(m, m) for m in metrics)), tuple(rows), notes)


def _beside(line: Line, row: PublishedRow, metric: str) -> str:
    ours = line.value(metric)
    theirs = row.values.get(metric)
    if ours is None or theirs is None:
        return f"{percent(ours)} / {'–' if theirs is None else f'{100 * theirs:.1f}'}"
    distance = apart(ours, theirs, row.sds.get(metric))
    return f"{100 * ours.mean:.1f} / {100 * theirs:.1f} ({'–' if distance is None else f'{distance:+.1f}'})"


def fairness_table(cells: Sequence[Cell]) -> Table:
    """DP, EP, EO and WG of every line of all cells."""
    metrics = ("DP", "EP", "EO", "WG")
    rows = [
        (Field(f"{cell.title}, {100 * cell.ratio:g} %"), Field(_name(line)), *(Field(percent(line.value(m))) for m in metrics))
        for cell in cells
        for line in cell.lines
    ]
    return Table("fairness", "Fairness metrics", ("request", "row", *metrics), tuple(rows))


def published_fairness(dataset: str, cells: Sequence[Cell]) -> Table | None:
    """The printed DP, EP, EO and WG beside ours, for one group by 0.5; None where the paper or the suite has no such row."""
    cell = next((cell for cell in cells if (cell.ratio, cell.groups) == (0.5, 1)), None)
    printed = [row for row in read_table("paper_fairness") if row["dataset"] == dataset]
    if cell is None or not printed:
        return None
    lines = {
        "PRETRAIN": cell.line(FLOOR),
        "RETRAIN": cell.of_method("retrain", False, "retrain"),
        "RETRAIN+RW": cell.line(REFERENCE),
        "MIU": cell.of_method("miu", True),
    }
    metrics = ("DP", "EP", "EO", "WG")
    rows = []
    for row in printed:
        line = lines[row["method"]]
        texts = [f"{percent(line.value(metric)) if line else '–'} / {row[metric]}" for metric in metrics]
        rows.append(tuple(Field(text) for text in (row["method"], *texts)))
    return Table("fairness-published", f"{cell.title}: ours / printed", ("row", *metrics), tuple(rows))


def to_markdown(table: Table) -> str:
    """GitHub's tables."""
    lines = [f"| {' | '.join(table.heads)} |", "|---|" + "---:|" * (len(table.heads) - 1)]
    for row in table.rows:
        fields = [f"**{field.text}**" if field.best else field.text for field in row]
        lines.append(f"| {' | '.join(text.replace('|', '/') for text in fields)} |")
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)]) + "\n"


def to_latex(table: Table) -> str:
    """A ``tabular`` with booktabs rules."""

    def row(fields: Sequence[Field]) -> str:
        texts = [rf"\textbf{{{_tex(field.text)}}}" if field.best else _tex(field.text) for field in fields]
        return " & ".join(texts) + r" \\"

    body = [line for number, fields in enumerate(table.rows) for line in (*_rule(number, table), row(fields))]
    head = [r"\begin{tabular}{l" + "r" * (len(table.heads) - 1) + "}", r"\toprule", row([Field(text) for text in table.heads])]
    return "\n".join([f"% {table.caption}", *head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _rule(number: int, table: Table) -> tuple[str, ...]:
    return (r"\midrule",) if number and number in table.breaks else ()


def _tex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def to_csv(table: Table) -> str:
    """As printed."""
    return _csv([table.heads, *([field.text for field in row] for row in table.rows)])


def rows_csv(rows: Sequence[BenchmarkRow]) -> str:
    """Every row with every number, for further analysis: fractions, an empty field where a metric is undefined."""
    metrics = sorted({name for row in rows for name in row.values})
    deltas = sorted({name for row in rows for name in row.deltas})
    fixed = ("suite", "request", "groups", "ratio", "title", "method", "reweight", "part", "seed", "sample_gradients", "seconds")
    head = [*fixed, "diverged", *metrics, *(f"delta_{name}" for name in deltas)]
    lines = []
    for row in rows:
        numbers = [row.values.get(name, "") for name in metrics] + [row.deltas.get(name, "") for name in deltas]
        lines.append([*(getattr(row, name) for name in fixed), bool(row.diverged), *numbers])
    return _csv([head, *lines])


def _csv(lines: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([[_plain(field) for field in line] for line in lines])
    return buffer.getvalue()


def _plain(field: object) -> object:
    """Text that a spreadsheet would run as a formula is quoted; a number stays."""
    return f"'{field}" if isinstance(field, str) and field[:1] in ("=", "+", "-", "@") else field


FORMATS: dict[str, Callable[[Table], str]] = {"md": to_markdown, "tex": to_latex, "csv": to_csv}
"""Ending to writer."""
