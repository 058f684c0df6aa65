"""Tables of a report: groups, composition, splits, metrics, checks.  Small cells are suppressed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grmu_audit.metrics.catalog.wording import REPORT_STYLE, confidence_text
from grmu_audit.records import BASELINE, CANDIDATE, Group, GroupCount, MetricValue, suppressed
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.rules import direction_words
from grmu_audit.report.content.view_model import Column, RuleRow, Table
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import Strings

SHOWN_REFERENCES = 2
"""References with a column of their own; the audit file holds all."""
ABSENT = "–"
"""Cell of a number that the audit does not hold; a column of nothing else is left out."""
MOST_OPEN = 16
"""Rows of a table that stands open; a longer one is opened by the reader."""
MOST_SEGMENTS, _SMALL_P = 20, 0.0005
"""Weak segments that a table lists, and the p-value below which it says no more than that it is small."""
MOST_ROWS = 100
"""Groups that a table of a document lists; the format ``groups`` has all."""


def suppressed_cells(counts: Sequence[int]) -> list[bool]:
    """Which cells of a column of counts must not be shown.

    Every cell with fewer than k people; and where that is one cell alone, which its total would give away, the next smallest too.

    >>> suppressed_cells([41, 3, 0, 9])
    [False, True, False, True]
    """
    hide = [suppressed(count) for count in counts]
    if sum(hide) == 1:
        others = [i for i, count in enumerate(counts) if count > 0 and not hide[i]]
        if others:
            hide[min(others, key=lambda i: counts[i])] = True
    return hide


def hidden_groups(found: Lookup) -> set[Group]:
    """Groups whose forget count must not be shown, nor anything that it could be worked out from."""
    counts = found.audit.data.groups
    return {count.group for count, hide in zip(counts, suppressed_cells([c.forget for c in counts]), strict=True) if hide}


def count_cells(counts: Sequence[int], hide: Sequence[bool], strings: Strings) -> list[str]:
    """Counts as text, hidden cells by their reason."""
    concealed = strings.text("hidden_complement")
    return [
        numbers.count_text(count) if not secret or suppressed(count) else concealed
        for count, secret in zip(counts, hide, strict=True)
    ]


def share(part: int, whole: int) -> str:
    """Part of a whole as per cent; of nothing, none."""
    return REPORT_STYLE.percent(part / whole if whole else 0.0)


def one_line(cell: str) -> str:
    """The lines of a cell as one.

    >>> one_line("TA\\ntest accuracy")
    'TA (test accuracy)'
    """
    first, *rest = cell.split("\n")
    return f"{first} ({'; '.join(rest)})" if rest else first


def with_interval(value: MetricValue | None) -> str:
    """Estimate and, on a second line, its interval."""
    if value is None:
        return ABSENT
    return "\n".join(part for part in (safe_sentence(numbers.estimate(value)), numbers.interval_of(value)) if part)


def shorten_table(table: Table, keys: Sequence[float], strings: Strings, note: str = "") -> Table:
    """The table, or of a long one the ``MOST_ROWS`` rows with the smallest keys in their own order, which its caption says.

    Args:
        table: one row for each group.
        keys: [rows] what makes a row worth a look: the smallest first.
        strings: wording.
        note: what the caption also says of all rows of a long table.
    """
    count = len(table["rows"])
    if count <= MOST_ROWS:
        return table
    kept = sorted(sorted(range(count), key=lambda i: keys[i])[:MOST_ROWS])
    caption = f"{table['caption']}. {strings.text('tables.shortened', shown=MOST_ROWS, count=f'{count:,}')}{note}"
    return Table(
        caption=caption, columns=table["columns"], rows=[table["rows"][i] for i in kept], folded=table.get("folded", False)
    )


def worst_groups(found: Lookup, strings: Strings) -> Table:
    """``group_table`` for a document: of many groups those with the lowest accuracy, and how it is distributed over all."""
    known = [found.value("accuracy", CANDIDATE, group) for group in found.groups]
    shown = [value.value if value is not None and value.value is not None else 2.0 for value in known]
    rates = sorted(v.value for v in known if numbers.has_number(v) and v.value is not None)
    note = ""
    if rates:
        marks = {key: rates[int(share * (len(rates) - 1))] for key, share in _MARKS.items()}
        spread = {key: REPORT_STYLE.percent(rate) for key, rate in marks.items()}
        note = " " + strings.text("tables.distribution", count=f"{len(rates):,}", **spread)
    return shorten_table(group_table(found, strings), shown, strings, note)


_MARKS = {"lowest": 0.0, "tenth": 0.1, "median": 0.5, "upper": 0.9, "highest": 1.0}
"""Points of the distribution over groups that a caption names."""


def group_table(found: Lookup, strings: Strings) -> Table:
    """Test accuracy by group: before, retrained, after, change; the table of the drawing's numbers."""
    references = found.references[:SHOWN_REFERENCES]
    rows = []
    for group in found.groups:
        after = found.value("accuracy", CANDIDATE, group)
        cells = [found.value("accuracy", subject, group) for subject in (BASELINE, *references)]
        change = found.value("accuracy", BASELINE.as_change(), group)
        shown = [with_interval(value) for value in (*cells, after, change)]
        rows.append([found.group_name(group), numbers.count_text(after.n) if after else ABSENT, *shown])
    columns = [_column(strings, "group"), _column(strings, "samples", "number"), *_subject_columns(found, strings)]
    return _without_absent(Table(caption=strings.text("tables.groups"), columns=columns, rows=rows))


def composition_table(found: Lookup, strings: Strings) -> Table:
    """Groups in the training set and in the forget set; the table of the drawing's numbers."""
    counts = found.audit.data.groups
    columns = [_column(strings, "group")]
    columns += [_column(strings, key, "number") for key in ("train", "train_share", "forget", "forget_share")]
    train, train_share = _count_and_share([count.train for count in counts], strings)
    forget, forget_share = _count_and_share([count.forget for count in counts], strings)
    names = [found.group_name(count.group) for count in counts]
    rows = [list(row) for row in zip(names, train, train_share, forget, forget_share, strict=True)]
    table = Table(caption=strings.text("tables.composition"), columns=columns, rows=rows, folded=len(rows) > MOST_OPEN)
    return shorten_table(table, [-count.forget - count.train / 1e12 for count in counts], strings)


def splits_table(found: Lookup, strings: Strings) -> Table:
    """Samples by group and part; what would give a hidden forget count away is hidden with it."""
    counts = found.audit.data.groups
    secret = hidden_groups(found)
    parts = {part: _part_cells(counts, part, secret, strings) for part in ("train", "retain", "forget", "val", "test")}
    columns = [_column(strings, "group"), *(_column(strings, part, "number") for part in parts)]
    rows = [[found.group_name(count.group), *(parts[part][i] for part in parts)] for i, count in enumerate(counts)]
    return Table(caption=strings.text("tables.splits"), columns=columns, rows=rows, folded=len(rows) > MOST_OPEN)


def smallest_groups(found: Lookup, strings: Strings) -> Table:
    """``splits_table`` for a document: of many groups those with the fewest test samples."""
    return shorten_table(splits_table(found, strings), [count.test for count in found.audit.data.groups], strings)


def metric_table(found: Lookup, metrics: Sequence[str], strings: Strings) -> Table:
    """Metrics that are not broken down by group: before, retrained, after, change, samples."""
    subjects = (BASELINE, *found.references[:SHOWN_REFERENCES], CANDIDATE, BASELINE.as_change())
    rows = []
    for metric in metrics:
        values = [found.value(metric, subject) for subject in subjects]
        after = values[-2]
        words = metric_words(metric)
        why, cells = move_shared_reason(values)
        title = f"\n{words.title}" if words.title != safe_name(metric) else ""
        label = f"{safe_name(metric)}{title}{why}{_incomplete(after, found, strings)}{interval_notes(after, strings)}"
        size = found.count_text(words.part, after.n, strings.text("hidden_complement")) if after else ABSENT
        rows.append([label, *cells, size])
    columns = [_column(strings, "metric"), *_subject_columns(found, strings), _column(strings, "samples", "number")]
    columns[-1]["title"] = strings.text("rules.n")
    caption = strings.text("tables.metrics", confidence_text(found.audit.metrics[0].confidence if found.audit.metrics else 0.95))
    return _without_absent(Table(caption=caption, columns=columns, rows=rows))


def segment_table(found: Lookup, strings: Strings) -> Table:
    """Weak segments: accuracy against all other test samples and against before, with simultaneous intervals."""
    search = found.audit.segments
    rows = []
    for segment in search.weak[:MOST_SEGMENTS] if search else ():
        below = _points(segment.accuracy - segment.others, segment.below_others, segment.p_others)
        cells = [safe_name(segment.name), numbers.count_text(segment.n), REPORT_STYLE.percent(segment.accuracy)]
        cells += [REPORT_STYLE.percent(segment.others), below]
        if segment.before is None or segment.p_before is None:
            rows.append([*cells, ABSENT, ABSENT])
        else:
            change = _points(segment.accuracy - segment.before, segment.change, segment.p_before)
            rows.append([*cells, REPORT_STYLE.percent(segment.before), change])
    columns = [_column(strings, "segment")]
    columns += [_column(strings, key, "number") for key in ("samples", "after", "others", "below_others", "before", "change")]
    return _without_absent(Table(caption=segment_words(found, strings), columns=columns, rows=rows))


def segment_words(found: Lookup, strings: Strings) -> str:
    """What was looked for among the segments, and how many were found; empty in audits that did not look."""
    search = found.audit.segments
    if search is None:
        return ""
    shown = f" {strings.text('segments.shown', shown=MOST_SEGMENTS)}" if len(search.weak) > MOST_SEGMENTS else ""
    key = "found" if search.weak else "none"
    counts = {"weak": len(search.weak), "segments": search.segments, "tests": search.tests, "smallest": search.smallest}
    return strings.text(f"segments.{key}", **counts, confidence=confidence_text(search.confidence)) + shown


def _points(change: float, limits: tuple[float, float] | None, p_value: float) -> str:
    """A difference with its interval and p-value."""
    shown = [REPORT_STYLE.percent(change, signed=True)]
    if limits is not None:
        shown.append(" to ".join(REPORT_STYLE.percent(edge, signed=True) for edge in limits))
    return "\n".join([*shown, f"p {f'= {p_value:.3f}' if p_value >= _SMALL_P else '< 0.001'}"])


def move_shared_reason(values: Sequence[MetricValue | None]) -> tuple[str, list[str]]:
    """A reason that all values without a number share, as a line for the row's name, and the cells without it.

    A column of numbers is too narrow for a sentence.
    """
    cells, absent = [with_interval(value) for value in values], [numbers.no_number(value) if value else None for value in values]
    reasons = {": ".join(why) for why in absent if why}
    if len(reasons) != 1:
        return "", cells
    return f"\n{safe_sentence(reasons.pop())}", [why[0] if why else cell for why, cell in zip(absent, cells, strict=True)]


def glossary_table(metrics: Sequence[str], strings: Strings) -> Table:
    """What each number says, what it hides and which direction is good."""
    rows = []
    for metric in metrics:
        words = metric_words(metric)
        if words.says:
            rows.append([safe_name(metric), words.says, direction_words(words, strings), words.hides])
    columns = [_column(strings, key) for key in ("metric", "says", "good", "hides")]
    return Table(caption=strings.text("tables.glossary"), columns=columns, rows=rows, folded=True)


def quality_table(found: Lookup, strings: Strings) -> Table:
    """Checks in the order of the suite."""
    report = found.audit.data_quality
    rows = []
    hidden = strings.text("hidden_complement")
    for check in report.results if report else ():
        unmet = "warned" if check.severity == "warning" else "failed"
        result = "passed" if check.passed else unmet if check.evaluated else "not_evaluated"
        observed = safe_sentence(found.observed(check, hidden)) or ABSENT
        if not check.passed and check.advice:
            observed += f"\n{safe_sentence(check.advice)}"
        rows.append([safe_sentence(check.expectation), safe_name(check.part), strings.text(f"quality.{result}"), observed])
    columns = [_column(strings, key) for key in ("check", "part", "result", "observed")]
    all_passed = all(check.passed for check in report.results) if report else True
    return Table(caption=strings.text("quality.table"), columns=columns, rows=rows, folded=len(rows) > MOST_OPEN and all_passed)


@dataclass(frozen=True)
class Shift:
    """How the request changes the share of one group; None where a number must not be shown or is not recorded."""

    name: str
    """Group."""
    before: float | None
    """Share of the training data before the request."""
    after: float | None
    """Share of the retain set."""
    weight: float | None
    """REWEIGHT weight."""
    concealed: bool = False
    """Whether share after and weight are hidden because a count behind them is."""


def group_shift(found: Lookup) -> list[Shift]:
    """The groups whose mix was recorded; what would give a hidden count away is hidden with it."""
    report, secret = found.audit.data_quality, hidden_groups(found)
    rows = []
    for entry in report.group_shift if report else ():
        group = _group_of(entry)
        label = found.group_name(group) if group is not None else safe_name(entry.get("name", "?"))
        before, after, weight = (numbers.finite_number(entry.get(key)) for key in ("share_before", "share_after", "weight"))
        concealed = group is None or group in secret
        rows.append(Shift(label, before, None if concealed else after, None if concealed else weight, concealed))
    return rows


def shift_table(found: Lookup, strings: Strings) -> Table:
    """Group mix before and after the request, with REWEIGHT weights; the table of its drawing's numbers."""
    rows = []
    for row in group_shift(found):
        absent = strings.text("hidden_complement") if row.concealed else ABSENT
        shares = [ABSENT if row.before is None else REPORT_STYLE.percent(row.before)]
        shares.append(absent if row.after is None else REPORT_STYLE.percent(row.after))
        rows.append([row.name, *shares, absent if row.weight is None else f"{row.weight:.3g}"])
    columns = [_column(strings, "group")]
    columns += [_column(strings, key, "number") for key in ("share_before", "share_after", "weight")]
    table = Table(caption=strings.text("quality.shift"), columns=columns, rows=rows, folded=len(rows) > MOST_OPEN)
    return shorten_table(table, [-(row.weight or 0.0) for row in group_shift(found)], strings)


def _group_of(entry: Mapping[str, object]) -> Group | None:
    target, attribute = entry.get("target"), entry.get("attribute")
    return Group(target, attribute) if isinstance(target, int) and isinstance(attribute, int) else None


def rule_table(rows: Sequence[RuleRow], strings: Strings) -> Table:
    """Rules in short: decision, observed value with interval, bound; the table of the drawing's numbers."""
    kinds = {"rule": "text", "decision": "word", "observed": "text", "bound": "text"}
    columns = [Column(title=strings.text(f"rules.{key}"), kind=kind) for key, kind in kinds.items()]
    cells = [
        [row["id"], row["word"], "\n".join(part for part in (row["observed"], row["interval"]) if part), row["bound"]]
        for row in rows
    ]
    return Table(caption=strings.text("tables.rules"), columns=columns, rows=cells)


def _without_absent(table: Table) -> Table:
    """The table without the columns in which nothing at all is recorded; the block on models names what is absent."""
    keep = [i for i in range(len(table["columns"])) if i == 0 or any(row[i] != ABSENT for row in table["rows"])]
    columns, rows = [table["columns"][i] for i in keep], [[row[i] for i in keep] for row in table["rows"]]
    return Table(caption=table["caption"], columns=columns, rows=rows)


def interval_notes(value: MetricValue | None, strings: Strings) -> str:
    """Lines on whom the interval of a value of the forget set speaks of, and on what its coverage was not simulated for."""
    if value is None or value.interval is None:
        return ""
    lines, people = [], value.details.get("people")
    if isinstance(people, Mapping):
        lines.append(strings.text("interval_one_person" if people.get("why_missing") else "interval_people"))
    outside = value.details.get("outside_simulated_range")
    if outside:
        lines.append(strings.text("interval_outside", what=safe_sentence(str(outside))))
    return "".join(f"\n{line}" for line in lines)


def _incomplete(value: MetricValue | None, found: Lookup, strings: Strings) -> str:
    if value is None or not value.incomplete:
        return ""
    return "\n" + strings.text("incomplete_mark", groups=found.group_names(value.empty_cells) or "?")


def _count_and_share(counts: Sequence[int], strings: Strings) -> tuple[list[str], list[str]]:
    hide, total = suppressed_cells(counts), sum(counts)
    shares = [ABSENT if secret else share(count, total) for count, secret in zip(counts, hide, strict=True)]
    return count_cells(counts, hide, strings), shares


def _part_cells(counts: Sequence[GroupCount], part: str, secret: set[Group], strings: Strings) -> list[str]:
    values = [int(getattr(count, part)) for count in counts]
    hide = suppressed_cells(values)
    if part in ("retain", "forget"):
        hide = [flag or count.group in secret for flag, count in zip(hide, counts, strict=True)]
    return count_cells(values, hide, strings)


def _subject_columns(found: Lookup, strings: Strings) -> list[Column]:
    titles = [strings.text("columns.before"), *reference_titles(found, strings)]
    titles += [strings.text("columns.after"), strings.text("columns.change")]
    return [Column(title=title, kind="number") for title in titles]


def reference_titles(found: Lookup, strings: Strings) -> list[str]:
    """Headings of the reference columns: how each was trained when there are several."""
    titles = []
    for subject in found.references[:SHOWN_REFERENCES]:
        model = found.reference_model(subject)
        suffix = " + REWEIGHT" if model is not None and model.reweight else ""
        titles.append(strings.text("columns.retrained") + suffix)
    repeated = len(set(titles)) < len(titles)
    return [f"{title} #{i + 1}" for i, title in enumerate(titles)] if repeated else titles


def _column(strings: Strings, key: str, kind: str = "text") -> Column:
    return Column(title=strings.text(f"columns.{key}"), kind=kind)
