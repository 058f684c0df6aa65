"""The view model: what a template may rely on.

``VIEW_VERSION`` grows when a field is renamed or removed; new fields may come without it.  Every string is formatted already,
so a template does no arithmetic; every string is plain text, so a template escapes it.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

VIEW_VERSION = "1"
"""Version of the fields below."""


class Fact(TypedDict):
    """One recorded fact."""

    label: str
    """What it is."""
    value: str
    """What was recorded."""
    kind: str
    """``text``, or ``code`` for digests and identifiers."""


class Column(TypedDict):
    """One column of a table."""

    title: str
    """Heading."""
    kind: str
    """``text``, ``number`` (tabular figures) or ``word`` (one word, never broken)."""


class Table(TypedDict):
    """A table, ready to print; the first cell of each row names the row."""

    caption: str
    """What it holds."""
    columns: list[Column]
    """Headings, left to right."""
    rows: list[list[str]]
    """Cells, as many a row as there are columns."""
    folded: NotRequired[bool]
    """True for an explanation that may be closed until a reader opens it."""


class RuleRow(TypedDict):
    """One rule of the policy, judged."""

    id: str
    """Rule id."""
    metric: str
    """Metric name, with the group where the rule is on one."""
    title: str
    """The metric in words."""
    says: str
    """One plain sentence: what the metric measures."""
    hides: str
    """What it hides."""
    good: str
    """Good direction in words."""
    word: str
    """``PASS``, ``BREACH``, ``INCONCLUSIVE``, ``WAIVED`` or ``NOT APPLIED``."""
    state: str
    """The same as a style name: ``pass``, ``breach``, ``inconclusive``, ``waived``, ``not-applied``."""
    severity: str
    """Whether the rule blocks, in words."""
    observed: str
    """The value judged."""
    interval: str
    """The interval that decided; empty when there is none."""
    bound: str
    """The allowed range in words."""
    plain: str
    """What was found and what the policy requires, in plain words."""
    reason: str
    """The recorded reason of the decision."""
    needed: str
    """What would decide an undecided rule; empty when nothing is needed."""
    why: str
    """Why the rule exists; empty when the policy does not say."""
    tells_nothing: str
    """That the version before unlearning meets a rule on forgetting as well; empty where it does not."""
    n: str
    """Samples behind the value."""


class Card(TypedDict):
    """Some facts under a heading."""

    title: str
    """Heading."""
    facts: list[Fact]
    """Facts."""


class Figure(TypedDict):
    """A drawing by its name, with the numbers behind it."""

    chart: str
    """Key of the drawing in ``charts``."""
    table: Table
    """The same numbers as a table."""


class Forgetting(TypedDict):
    """Whether it was forgotten."""

    question: str
    """Heading."""
    answer: str
    """One sentence for a reader who knows no machine learning."""
    detail: str
    """One more sentence; may be empty."""
    state: str
    """The answer as a style name: ``pass``, ``breach``, ``inconclusive`` or ``not-judged``."""
    figures: list[Figure]
    """The scale from as before to as retrained; empty where there is no share."""
    controls: Table
    """Models whose truth is known, judged by the same policy; without rows where none was measured."""
    requests: Figure
    """Every request of a lineage by itself; a table without rows where there is one request."""


class People(TypedDict):
    """What unlearning did to people."""

    question: str
    """Heading."""
    answer: str
    """Whether the policy's limits hold, and how many groups lost."""
    detail: str
    """Everybody, and the groups that the forget set comes from, by name."""
    state: str
    """The rules on accuracy and fairness as a style name; ``not-judged`` where none blocks."""
    table: Table
    """The forget set's own groups, and every group that lost, the largest loss first."""
    more: str
    """Names of the groups that lost and have no row; empty when all have one."""


class Branding(TypedDict):
    """Who publishes the report; every text may be empty."""

    organisation: str
    """Name of the organisation."""
    logo: str
    """Logo as a ``data:`` address of an image."""
    footer: str
    """Legal footer."""
    style: str
    """Style rules for the organisation's colours; from checked colours only."""


class Block(TypedDict):
    """One block of the details."""

    id: str
    """Anchor."""
    title: str
    """Heading."""
    intro: str
    """One sentence."""
    facts: list[Fact]
    """What was recorded."""
    cards: list[Card]
    """Groups of facts with a heading of their own, one a model version."""
    figures: list[Figure]
    """Drawings with tables of the same numbers."""
    tables: list[Table]
    """Tables."""
    notes: list[str]
    """Sentences below."""
    missing: list[str]
    """Labels of what was not recorded."""


class View(TypedDict):
    """Everything that a report shows, but for the drawings."""

    view_version: str
    """``VIEW_VERSION``."""
    lang: str
    """Language tag of the sentences."""
    title: str
    """Title of the report."""
    subject: str
    """The audited version."""
    report_id: str
    """First 12 hex digits of the audit's digest."""
    created: str
    """Time of the audit: UTC to the minute where a time was recorded."""
    branding: Branding
    """Who publishes the report."""
    word: str
    """The decision: ``PASS``, ``BREACH``, ``INCONCLUSIVE`` or ``NOT JUDGED``."""
    state: str
    """The decision as a style name."""
    headline: str
    """The verdict as one sentence that names policy, data and n."""
    because: str
    """Why, as one sentence."""
    verdict_facts: list[Fact]
    """Policy, level and the day until which the verdict holds."""
    forgetting: Forgetting
    """Whether it was forgotten, with the scale and the controls."""
    people: People
    """What unlearning did to people: every group that lost."""
    next_steps: list[str]
    """What to do now."""
    unmeasured: list[Fact]
    """What was not measured: names by reason."""
    signatures: Table
    """Who signed, and who has not."""
    summary: list[Fact]
    """What was requested, done, decided, left out, and what comes next."""
    rules: list[RuleRow]
    """Rules, worst first."""
    rule_table: Table
    """The same in short; the table of the drawing's numbers."""
    rules_intro: str
    """How the rules are judged, or that there are none."""
    not_measured: Table
    """What was not measured, and why."""
    limits: list[str]
    """What the report cannot say."""
    figures: list[Figure]
    """Drawings of page one with tables of the same numbers: groups, rules."""
    group_table: Table
    """Test accuracy by group; the table of its drawing's numbers."""
    composition_table: Table
    """Training set and forget set by group; the table of its drawing's numbers."""
    blocks: list[Block]
    """The details, in the order of the report."""
