"""The policy file as a model: its keys, and which of them contradict each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from grmu_audit.metrics.catalog import CATALOG, Topic, topic
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.catalog.wording import CHANGE_BOUNDS
from grmu_audit.records import Group, MeasureOptions
from grmu_audit.utils import Problem, ProblemsError
from grmu_audit.utils.plugins import did_you_mean

VALUE_BOUNDS = ("max", "min", "within")
"""Bounds on the metric itself."""
_BOUNDS = (*VALUE_BOUNDS, *CHANGE_BOUNDS)
Index = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RuleGroup(_Frozen):
    """One cell of target x attribute, as a rule names it."""

    target: Index = Field(description="Class index, from 0.")
    attribute: Index = Field(description="Index of the attribute value, from 0.")

    @property
    def record(self) -> Group:
        """The same cell as a record."""
        return Group(self.target, self.attribute)


class Rule(_Frozen):
    """One bound on one metric."""

    id: Name = Field(description="Unique within the policy; waivers and reports name it.")
    metric: str = Field(description="A metric of the catalogue.")
    group: RuleGroup | None = Field(None, description="The group, for a metric that exists per group.")
    compare: Literal["absolute", "baseline", "reference", "root"] = Field(
        "absolute",
        description="The value itself, or its change against the parent version, the retrained version(s), or the first version "
        "of the lineage.",
    )
    max: float | None = Field(None, description="Largest allowed value.")
    min: float | None = Field(None, description="Smallest allowed value.")
    within: Annotated[tuple[float, float], Field(strict=False)] | None = Field(
        None, description="Smallest and largest allowed value."
    )
    max_change: float | None = Field(None, description="Largest allowed change, in points as a fraction.")
    min_change: float | None = Field(None, description="Smallest allowed change: -0.05 allows a loss of 5 points.")
    max_gap: float | None = Field(None, description="Largest allowed change in either direction.")
    evidence: Literal["interval", "point", "one-sided", "unless-breached"] = Field(
        "interval",
        description="interval: the whole interval must lie inside the bound. point: the estimate alone is judged. one-sided: met "
        "where the one-sided limit at the policy's confidence, not shared among the rules, lies inside. unless-breached: met "
        "unless the whole interval lies beyond the bound.",
    )
    when: Literal["always", "reference_available"] = Field("always", description="When the rule applies.")
    severity: Literal["block", "warn", "inform"] = Field(
        "block",
        description="A warn rule never blocks; an inform rule is shown and counts for nothing, and may be one that cannot fail.",
    )
    allow_incomplete: bool = Field(False, description="Judge also where declared groups have too few or no test samples.")
    why: str = Field("", max_length=2000, description="Why the rule exists, for the reader of the report.")
    clauses: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (), description="Clauses of laws, standards or frameworks that the rule gives evidence for."
    )

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in CATALOG:
            raise ValueError(f"unknown metric{did_you_mean(name, list(CATALOG))}; known: {', '.join(CATALOG)}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        found = [*_bound_problems(self), *_compare_problems(self)]
        if found:
            raise ProblemsError(found)
        return self

    @property
    def why_with_clauses(self) -> str:
        """Why the rule exists, and the clauses that it gives evidence for."""
        return f"{self.why} [{'; '.join(self.clauses)}]".strip() if self.clauses else self.why

    @property
    def about_forgetting(self) -> bool:
        """Whether it bounds a metric of forgetting."""
        return topic(self.metric) is Topic.FORGETTING

    @property
    def bounds(self) -> dict[str, float | list[float]]:
        """The bounds as written."""
        named = {name: getattr(self, name) for name in _BOUNDS}
        return {name: list(b) if isinstance(b, tuple) else b for name, b in named.items() if b is not None}

    @property
    def region(self) -> tuple[float, float]:
        """Smallest and largest allowed value of the judged quantity; infinite where it is open."""
        lows = [b for b in (self.min, self.min_change, self.within and self.within[0], _negative(self.max_gap)) if b is not None]
        highs = [b for b in (self.max, self.max_change, self.within and self.within[1], self.max_gap) if b is not None]
        return max(lows, default=-math.inf), min(highs, default=math.inf)


def _negative(bound: float | None) -> float | None:
    return None if bound is None else -bound


def _bound_problems(rule: Rule) -> Iterator[Problem]:
    """Bounds that are missing, out of the metric's range, or in contradiction."""
    if not rule.bounds:
        yield Problem((), f"no bound: give one of {', '.join(_BOUNDS)}")
        return
    metric = CATALOG[rule.metric]
    for name, bound in rule.bounds.items():
        low, high = _range(metric, name)
        for number in bound if isinstance(bound, list) else [bound]:
            if not low <= number <= high:
                hint = "; bounds are fractions, not per cent" if abs(number) > 1 else ""
                yield Problem((name,), f"{number:g} is outside the range [{low:g}, {high:g}] of {rule.metric}{hint}")
    low, high = rule.region
    if low > high:
        names = " and ".join(rule.bounds)
        yield Problem(
            (next(iter(rule.bounds)),), f"{names} contradict each other: no value is at least {low:g} and at most {high:g}"
        )


def _range(metric: MetricSpec, bound: str) -> tuple[float, float]:
    span = metric.high - metric.low
    if bound in VALUE_BOUNDS:
        return metric.low, metric.high
    return (0.0 if bound == "max_gap" else -span), span


def _compare_problems(rule: Rule) -> Iterator[Problem]:
    """Bounds, comparison and group that do not go together."""
    wrong = CHANGE_BOUNDS if rule.compare == "absolute" else VALUE_BOUNDS
    for name in wrong:
        if getattr(rule, name) is not None and rule.compare == "absolute":
            yield Problem((name,), "bounds a change: add 'compare: baseline', 'compare: root' or 'compare: reference'")
        elif getattr(rule, name) is not None:
            yield Problem(
                (name,), f"bounds the value itself: use max_change, min_change or max_gap with 'compare: {rule.compare}'"
            )
    if rule.metric in ("AVG_GAP", "TOW") and rule.compare != "absolute":
        yield Problem(("compare",), f"{rule.metric} already compares with the reference: leave compare out")
    if CATALOG[rule.metric].per_group and rule.group is None:
        yield Problem(("group",), f"{rule.metric} exists per group: add 'group: {{target: ..., attribute: ...}}'")
    if not (CATALOG[rule.metric].per_group or CATALOG[rule.metric].also_per_group) and rule.group is not None:
        yield Problem(("group",), f"{rule.metric} is one value over all groups: leave group out, or use the metric 'accuracy'")


class Waiver(_Frozen):
    """A breach that someone accepted, for a time."""

    rule: str = Field(description="Id of the rule.")
    reason: Text = Field(description="Why the breach is accepted.")
    approved_by: Text = Field(description="Who accepted it.")
    expires: Annotated[date, Field(strict=False)] = Field(description="Last day on which it holds.")


class Policy(_Frozen):
    """A policy file."""

    schema_: Literal["grmu-audit/policy/v1"] = Field(alias="schema", description="Schema name and version.")
    name: Name = Field(description="Name of the policy.")
    description: str = Field("", max_length=2000, description="What the policy is for.")
    confidence: float = Field(0.95, ge=0.5, lt=1.0, description="Family-wise confidence over all rules.")
    multiplicity: Literal["bonferroni", "holm", "none"] = Field(
        "bonferroni", description="How the confidence is shared among the rules."
    )
    intervals: Literal["default", "wilson", "clopper-pearson"] = Field(
        "default",
        description="How the limits of a proportion are computed: as measured (default), or by one of two methods throughout.",
    )
    minimum_group_size: int = Field(30, ge=1, description="A rule that rests on a smaller cell decides nothing.")
    positive_class: int = Field(1, ge=0, le=1, description="The positive class of a two-class task.")
    control_attributes: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (), description="Attributes within whose values the CONDITIONAL_ metrics compare the groups of all other attributes."
    )
    null_control: Literal["refuse", "accept"] = Field(
        "refuse", description="What a PASS becomes that the model before unlearning, or a cheat made from it, would get as well."
    )
    null_control_reason: str = Field(
        "", max_length=500, description="Why that is accepted; stands in the headline of the report."
    )
    guarantee: Literal["measured", "exact"] = Field(
        "measured", description="exact: only a retrained model whose record shows that it never read the forget set can pass."
    )
    predictions: Literal["any", "largest_score"] = Field(
        "any",
        description="Whether a prediction may be another class than that of the largest score (a threshold, mixed-up classes).",
    )
    outputs: Literal["stored", "repeated"] = Field(
        "stored",
        description="repeated: a promotion repeats the forward pass on random rows and compares it with the stored outputs.",
    )
    sign_off: Literal["optional", "two_people"] = Field(
        "optional",
        description="two_people: a preparer and a reviewer must have signed an audit before its version is promoted, and the plan"
        " of a purge before anything is deleted.",
    )
    cannot_show: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (), description="What a PASS by this policy does not show, for its readers."
    )
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = Field(description="The rules; without one nothing passes.")
    waivers: Annotated[tuple[Waiver, ...], Field(strict=False)] = Field((), description="Accepted breaches.")

    @property
    def claims_forgetting(self) -> bool:
        """Whether a PASS says something about forgetting: by a blocking rule on a forgetting metric, or by exact evidence."""
        return self.guarantee == "exact" or any(rule.severity == "block" and rule.about_forgetting for rule in self.rules)

    def measure_options(self, seed: int = 0) -> MeasureOptions:
        """The choices that the numbers of an audit depend on.

        Args:
            seed: of the attacks.
        """
        return MeasureOptions(
            confidence=self.confidence,
            seed=seed,
            positive_class=self.positive_class,
            interval_method=self.intervals,
            control_attributes=self.control_attributes,
        )

    @classmethod
    def stored(cls, tree: object) -> Policy:
        """A policy as it was judged by and stored: rules that cannot fail were no error once.

        Raises:
            pydantic.ValidationError: no policy.
        """
        return cls.model_validate(tree, context=_STORED)

    @model_validator(mode="after")
    def _whole(self, info: ValidationInfo) -> Policy:
        found = list(
            document_problems({"rules": [{"id": r.id} for r in self.rules], "waivers": [{"rule": w.rule} for w in self.waivers]})
        )
        if self.null_control == "accept" and not self.null_control_reason.strip():
            found.append(Problem(("null_control_reason",), "null_control: accept needs a reason, which the report shows"))
        if info.context is not _STORED:
            for position, rule in enumerate(self.rules):
                found += [Problem(("rules", position, *p.loc), p.message) for p in _unfailing(rule)]
                if rule.metric in CONDITIONAL and not self.control_attributes:
                    needed = f"{rule.metric} needs control_attributes: name them in the policy"
                    found.append(Problem(("rules", position, "metric"), needed))
        if found:
            raise ProblemsError(found)
        return self


_STORED = {"stored": True}
"""Context of validation for a policy that judged an audit already."""


def document_problems(tree: object) -> Iterator[Problem]:
    """Problems of the document as a whole: an id used twice, a waiver for no rule or two for one.

    The bounds of each rule are looked at too, so that they are reported also where another key of the rule is wrong.
    """
    yield from _rule_problems(tree)
    ids = _texts(tree, "rules", "id")
    for position, name in ids:
        first = next(p for p, other in ids if other == name)
        if first < position:
            yield Problem(("rules", position, "id"), f"{name!r} is already the id of rules[{first}]: ids are unique")
    waived = _texts(tree, "waivers", "rule")
    known = [name for _, name in ids]
    for position, name in waived:
        if name not in known:
            yield Problem(("waivers", position, "rule"), f"no rule has the id {name!r}{did_you_mean(name, known)}")
        elif next(p for p, other in waived if other == name) < position:
            yield Problem(("waivers", position, "rule"), f"{name!r} has a waiver already: keep one")


def _rule_problems(tree: object) -> Iterator[Problem]:
    """Problems of the bounds of every rule, taken from those keys that are valid by themselves."""
    for position, item in _items(tree, "rules"):
        if not isinstance(item.get("metric"), str) or item["metric"] not in CATALOG:
            continue
        raw = {key: item[key] for key in _BOUNDS if _is_bound(key, item.get(key))}
        if not raw:
            continue
        known: dict[str, Any] = {key: tuple(b) if isinstance(b, list) else b for key, b in raw.items()}
        rule = Rule.model_construct(metric=item["metric"], **known | {"severity": item.get("severity")})
        found = [*_bound_problems(rule)] or [*_unfailing(rule)]
        yield from (Problem(("rules", position, *p.loc), p.message) for p in found)


def _unfailing(rule: Rule) -> Iterator[Problem]:
    """The problem of a rule whose bounds allow every value that the metric, or its change, can have, and that does not say so."""
    if rule.severity == "inform" or not rule.bounds:
        return
    names = [name for name in rule.bounds if name in VALUE_BOUNDS] or list(rule.bounds)
    low, high = _range(CATALOG[rule.metric], names[0])
    low = -high if names[0] in CHANGE_BOUNDS else low
    least, most = rule.region
    if least <= low and most >= high:
        what = f"the change of {rule.metric}" if names[0] in CHANGE_BOUNDS else rule.metric
        yield Problem(
            (names[0],),
            f"the rule cannot fail: {what} is always from {low:g} to {high:g}; set a bound inside, or mark it 'severity: inform'",
        )


def _is_bound(key: str, bound: Any) -> bool:
    """Whether a raw value is a number, or for ``within`` a pair of numbers."""
    numbers = bound if key == "within" and isinstance(bound, list | tuple) else [bound]
    right = all(type(x) in (int, float) and math.isfinite(x) for x in numbers)
    return right and len(numbers) == (2 if key == "within" else 1)


def _texts(tree: object, part: str, key: str) -> list[tuple[int, str]]:
    return [(i, item[key]) for i, item in _items(tree, part) if isinstance(item.get(key), str)]


def _items(tree: object, part: str) -> list[tuple[int, dict[Any, Any]]]:
    """The mappings that a part of a raw document lists, each with its place."""
    items = tree.get(part) if isinstance(tree, dict) else None
    return [(i, item) for i, item in enumerate(items if isinstance(items, list | tuple) else []) if isinstance(item, dict)]
