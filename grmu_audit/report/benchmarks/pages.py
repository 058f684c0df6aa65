"""A benchmark as a page: Markdown for repositories, one HTML file without anything from elsewhere, and the leaderboard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from grmu_audit.records.benchmark import CEILING, FLOOR, METHOD, BenchmarkRow
from grmu_audit.report.benchmarks.claims import Claim, claims, floor_note
from grmu_audit.report.benchmarks.figures import Drawing
from grmu_audit.report.benchmarks.summary import Cell, Line, cells_of
from grmu_audit.report.benchmarks.tables import (
    Field,
    Table,
    fairness_table,
    percent,
    published_fairness,
    published_table,
    result_table,
    to_markdown,
)
from grmu_audit.report.formats.html import render_page
from grmu_audit.report.wording.strings import load_strings


@dataclass(frozen=True)
class SuiteWords:
    """What a page says of its suite beside the numbers."""

    name: str
    """Name."""
    title: str
    """In words."""
    description: str = ""
    """A sentence or two."""
    published: str = ""
    """Dataset of the printed tables that stand beside ours."""
    command: str = ""
    """How the page was made."""


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    """Heading."""
    paragraphs: tuple[str, ...] = ()
    """Sentences."""
    tables: tuple[Table, ...] = ()
    """Tables."""
    drawings: tuple[Drawing, ...] = ()
    """Figures."""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    """Heading."""
    intro: tuple[str, ...]
    """Sentences below it."""
    sections: tuple[Section, ...] = field(default_factory=tuple)
    """Parts."""


READING = (
    "Per cent, mean ± standard deviation over seeds; in brackets the mean absolute difference to the models that were "
    "retrained with REWEIGHT (the reference), taken for each seed. Bold: the approximate method that is nearest to them in "
    "that column. RW: REWEIGHT sampling of the retain set. MIA is the paper's forest; the forgetting share is 0 for the "
    "untouched model and 1 for retrained ones; MIA AUC is 50 where nobody can tell forgotten samples from unseen ones. "
    "Cost: sample-gradients in per cent of those of retraining. *untouched* is the floor, which a method that forgot "
    "nothing scores; *one more* retrained model is the ceiling."
)


def benchmark_page(words: SuiteWords, rows: Sequence[BenchmarkRow], drawings: Sequence[Drawing]) -> Page:
    """The page of one suite.

    Args:
        words: of the suite.
        rows: all that were measured.
        drawings: its figures.
    """
    cells = cells_of(rows)
    intro = [words.description, READING, _made_by(rows), f"Made by `{words.command}`." if words.command else ""]
    sections = [_claims_section(found)] if (found := claims(cells)) else []
    notes = floor_note(words.published, cells) if words.published else []
    for cell in cells:
        beside = published_table(words.published, cell) if words.published else None
        tables = (result_table(cell), *([beside] if beside else []))
        sections.append(Section(tables[0].caption, _cell_notes(cell, notes), tables))
    sections.append(Section("Fairness metrics", ("DP, EP and EO are gaps, lower is fairer; WG is the worst group's accuracy.",),
                            (fairness_table(cells),)))  # fmt: skip
    if words.published and (printed := published_fairness(words.published, cells)) is not None:
        sections.append(Section("Fairness metrics beside the printed ones", (), (printed,)))
    if drawings:
        sections.append(Section("Figures", (), (), tuple(drawings)))
    return Page(words.title, tuple(text for text in intro if text), tuple(sections))


def _cell_notes(cell: Cell, notes: Sequence[str]) -> tuple[str, ...]:
    own = [note for note in notes if f" at {cell.ratio:g} ({cell.groups} group(s))" in note]
    undefined: dict[str, list[str]] = {}
    for line in cell.lines:
        for row in line.rows.values():
            for metric in row.missing:
                if metric in ("AVG_GAP", "FORGET_SHARE", "MIA_AUC"):
                    undefined.setdefault(metric, []).append(line.title)
    own += [
        f"{metric} is undefined in {len(titles)} row(s) and left out of the mean there." for metric, titles in undefined.items()
    ]
    return tuple(own)


def _made_by(rows: Sequence[BenchmarkRow]) -> str:
    tools = sorted({str(row.facts.get("tool", "")) for row in rows})
    machines = sorted({_machine(row) for row in rows})
    seeds = sorted({row.seed for row in rows})
    hours = sum(row.seconds for row in rows) / 3600
    return (
        f"Seeds {', '.join(map(str, seeds))}. {'; '.join(tools)}; {'; '.join(machines)}; the models of the rows took {hours:.2f} "
        "hours of processor time, without those that they are compared with."
    )


def _machine(row: BenchmarkRow) -> str:
    found = row.facts.get("hardware", {})
    return f"{found.get('device_name', found.get('device', 'unknown'))}, torch {found.get('torch', 'unknown')}"


def _claims_section(found: Sequence[Claim]) -> Section:
    lines = [f"**{claim.statement}: {claim.finding}.** " + " ".join(claim.evidence) for claim in found]
    text = (
        "Statements of the seed paper on this suite, with mean differences ± their standard errors over seeds. A difference "
        "counts where its 95 % interval (Student's t) leaves out 0; *not decided* is what these seeds do not show either way."
    )
    return Section("What holds here of the paper's claims", (text, *lines))


def page_markdown(page: Page, pictures: str = "figures") -> str:
    """The page as Markdown.

    Args:
        page: the page.
        pictures: folder of its figures, as it is linked.
    """
    lines = [f"# {page.title}", ""]
    for text in page.intro:
        lines += [text, ""]
    for section in page.sections:
        lines += [f"## {section.title}", ""]
        for text in section.paragraphs:
            lines += [text, ""]
        for number, table in enumerate(section.tables):
            lines += ([f"{table.caption}:", ""] if number or table.caption != section.title else []) + [to_markdown(table)]
        for drawing in section.drawings:
            lines += [f"![{drawing.title}]({pictures}/{drawing.name}.svg)", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def page_html(page: Page) -> str:
    """The page as one HTML file; figures lie in it."""
    strings = load_strings()
    sections = [
        {
            "title": section.title,
            "paragraphs": [_plain(text) for text in section.paragraphs],
            "tables": section.tables,
            "drawings": [(drawing, _inner_svg(drawing.svg)) for drawing in section.drawings],
        }
        for section in page.sections
    ]
    context = {"title": page.title, "intro": [_plain(text) for text in page.intro], "sections": sections}
    return render_page("benchmark.html.j2", None, strings, **context, lang=strings.text("language"))


def _plain(text: str) -> str:
    """A sentence without Markdown's emphasis."""
    return re.sub(r"\*\*|`|(?<!\w)\*|\*(?!\w)", "", text)


def _inner_svg(svg: bytes) -> str:
    """The drawing without its XML declaration, to lie in a page."""
    text = svg.decode()
    return text[text.index("<svg") :]


def leaderboard(groups: Sequence[tuple[str, Sequence[BenchmarkRow]]]) -> Page:
    """Methods of every request of several benchmarks by avg. gap, with floor and ceiling among them.

    Args:
        groups: name and rows of each benchmark.
    """
    sections = [Section(f"{name}: {_title(cell)}", (), (_ranking(cell),)) for name, rows in groups for cell in cells_of(rows)]
    intro = (
        "Rows by avg. gap, the nearness to models that were retrained with REWEIGHT: per cent, mean ± standard deviation over "
        "seeds. The untouched model and one more retrained model are ranked among them: a method below the first is further from "
        "retraining than a model that forgot nothing.",
    )
    return Page("Leaderboard", intro, tuple(sections))


def _title(cell: Cell) -> str:
    return f"{cell.title}, {100 * cell.ratio:g} % forgotten"


def _ranking(cell: Cell) -> Table:
    lines = [line for line in cell.lines if line.part in (METHOD, FLOOR, CEILING)]
    lines.sort(key=_rank)
    rows = []
    number = 0
    for line in lines:
        number += line.part == METHOD
        place = str(number) if line.part == METHOD else "–"
        cost = None if line.part == FLOOR else cell.cost(line)
        values = [percent(line.value(metric)) for metric in ("AVG_GAP", "FORGET_SHARE", "GA", "TA")]
        texts = [place, line.title, *values, "–" if cost is None else f"{100 * cost:.0f}", str(len(line.rows))]
        rows.append(tuple(Field(text, line.part != METHOD) for text in texts))
    heads = ("place", "row", "avg. gap", "forgetting share", "GA", "TA", "cost", "seeds")
    return Table(f"leaderboard-{cell.name}", _title(cell), heads, tuple(rows))


def _rank(line: Line) -> float:
    found = line.value("AVG_GAP")
    return 0.0 if found is None or line.diverged == len(line.rows) else -found.mean
