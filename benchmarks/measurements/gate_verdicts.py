"""What the gate says of every model of the population: the packaged policies, the forgetting rules alone, and each metric alone.

Each model is judged as a candidate, with the model before as baseline and one or two retrained models of other seeds as
references; a retrained candidate has no exact evidence here, so that its forgetting must show in its outputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache

import numpy as np

from benchmarks.measurements.cheats import CHEATS, partway
from benchmarks.measurements.gate import KINDS
from grmu_audit.auditing.measurement import measure
from grmu_audit.intervals import Proportion, design_effect
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.judgement import evaluate
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    Decision,
    ModelRef,
    Predictions,
)

TODAY = date(2026, 1, 1)
POLICIES = ("default", "strict")
"""Packaged policies that claim forgetting."""
FORGETTING_RULES = ("forgotten", "not-singled-out")
"""Rules of the packaged policies on the forgetting share."""
PARTS = (0.25, 0.5)
"""Models part of the way to a retrained one, by logits."""


@dataclass(frozen=True)
class Judged:
    """One model as a candidate."""

    cell: str
    """Cell of the population."""
    seed: int
    """Its seed."""
    kind: str
    """Kind of model."""
    role: str
    """``retrained``, ``must not pass``, ``method`` or ``part of the way``."""
    references: int
    """Retrained models that it was compared with."""
    decisions: Mapping[str, str]
    """Verdict by policy."""
    forgetting: Mapping[str, bool]
    """Whether the forgetting rules of a policy are met, by policy."""
    not_met: tuple[str, ...]
    """Blocking rules of the default policy that are not met."""
    share: float | None
    """Its forgetting share; None where undefined."""
    lower: float | None
    """One-sided 95 % lower limit of the share, by which the rule decides; None where undefined."""
    why_not: str
    """Why the forgetting rules of the default policy are not met; empty where they are."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Every metric of it and every change from the model before that is defined, by name."""


def judge_cell(cell: str, seed: int, models: Mapping[str, Predictions]) -> Iterator[Judged]:
    """Every model of one cell and seed, with the retrained models of seeds 1 and 2 as references, and with that of seed 1 alone.

    A retrained candidate is compared with those of the other two seeds.

    Args:
        cell: name of the cell.
        seed: its seed.
        models: predictions by kind.
    """
    before = models.get("before")
    retrained = [name for name in models if name.startswith("retrained, seed")]
    if before is None or len(retrained) < 3:
        return
    for kind, role, candidate in _candidates(models, before, seed):
        others = [name for name in retrained if name != kind]
        for count in (1, 2):
            references = [models[name] for name in others[:count]]
            yield _judged(cell, seed, (kind, role), _audit(candidate, before, references))


def _candidates(models: Mapping[str, Predictions], before: Predictions, seed: int) -> Iterator[tuple[str, str, Predictions]]:
    for kind in KINDS:
        if kind.name in models and kind.role != "before":
            yield kind.name, kind.role, models[kind.name]
    for name, cheat in CHEATS.items():
        yield name, "must not pass", cheat(before, seed)
    for part in PARTS:
        yield f"{part:g} of the way to a retrained model", "part of the way", partway(before, models["retrained, seed 3"], part)


def _audit(candidate: Predictions, before: Predictions, references: Sequence[Predictions]) -> Audit:
    ref = ModelRef("m", "1")
    inputs = AuditInputs(
        AuditedModel(ref, candidate), AuditedModel(ref, before), tuple(AuditedModel(ref, other) for other in references)
    )
    return measure(inputs, AuditContext(DataRecord("population", {})))


@cache
def _policies() -> dict[str, Policy]:
    return {name: load_named(name) for name in POLICIES}


def _judged(cell: str, seed: int, what: tuple[str, str], audit: Audit) -> Judged:
    verdicts = {name: evaluate(audit, policy, today=TODAY) for name, policy in _policies().items()}
    default = verdicts["default"]
    share = audit.metric("FORGET_SHARE")
    limits = share.statistic.limits(0.10) if share and share.statistic else None
    unmet = [rule for rule in default.rules if rule.id in FORGETTING_RULES and rule.decision is not Decision.PASS]
    return Judged(
        cell=cell,
        seed=seed,
        kind=what[0],
        role=what[1],
        references=len(audit.references),
        decisions={name: found.decision.value for name, found in verdicts.items()},
        forgetting={
            name: all(rule.decision is Decision.PASS for rule in found.rules if rule.id in FORGETTING_RULES)
            for name, found in verdicts.items()
        },
        not_met=tuple(r.id for r in default.rules if r.severity == "block" and r.applied and r.decision is not Decision.PASS),
        share=share.value if share else None,
        lower=limits[0] if limits else None,
        why_not=unmet[0].reason if unmet else "",
        metrics=_metrics(audit),
    )


def _metrics(audit: Audit) -> dict[str, float]:
    """Values over everything of the candidate, and its changes from the model before (``change of NAME``)."""
    named = {CANDIDATE: "", BASELINE.as_change(): "change of "}
    return {
        f"{named[value.subject]}{value.name}": value.value
        for value in audit.metrics
        if value.group is None and value.subject in named and value.value is not None
    }


@dataclass(frozen=True)
class Rate:
    """A rate with a Wilson interval whose sample is n / design effect, since models of one seed are not independent."""

    k: int
    """Models of which it is true."""
    n: int
    """Models."""
    effective: float
    """n / design effect by seed."""
    interval: tuple[float, float]
    """95 % limits."""


def rate(rows: Sequence[Judged], true: Callable[[Judged], bool]) -> Rate:
    """The share of models of which something is true, clustered by seed.

    The design effect is that of the outcomes.  Where they are all equal they say nothing of how alike the models of a seed are:
    then it is that of the lower limits by which the rule decides, an undefined one counted as the least.

    Args:
        rows: models.
        true: what is counted.
    """
    if not rows:
        return Rate(0, 0, 0.0, (0.0, 1.0))
    seeds, found = np.array([row.seed for row in rows], dtype=np.int64), np.array([true(row) for row in rows], dtype=bool)
    statistic = Proportion.of(found, seeds)
    known = [row.lower for row in rows if row.lower is not None]
    if known and found.all() == found.any():
        values = np.array([min(known) if row.lower is None else row.lower for row in rows])
        statistic = replace(statistic, deff=design_effect(values, seeds))
    limits = statistic.limits(0.05)
    return Rate(int(found.sum()), len(rows), float(statistic.n / statistic.deff), limits if limits else (0.0, 1.0))


def separation(rows: Sequence[Judged]) -> dict[str, float]:
    """By metric: the area under the curve between models that must not pass and retrained ones, in the better direction.

    Args:
        rows: models of one or more cells.
    """
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"retrained": [], "must not pass": []})
    for row in rows:
        if row.role in ("retrained", "must not pass"):
            for name, value in row.metrics.items():
                values[name][row.role].append(value)
    return {name: _area(found["retrained"], found["must not pass"]) for name, found in values.items() if all(found.values())}


def _area(one: Sequence[float], other: Sequence[float]) -> float:
    a, b = np.asarray(one), np.asarray(other)
    wins = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    return float(max(wins, 1 - wins))
