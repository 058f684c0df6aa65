"""How often the default policy passes or breaches a rule whose truth lies on its bound, from predictions to verdict.

An audit with its controls takes 0.2 s, of which one rule needs a hundredth.  So the first draws of a setting are measured and
judged as ``score`` does; the others go from the predictions to the limits of that rule's metric alone, by the same functions.
Decisions of the first draws are made in both ways and must agree.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.measurements.many_limits import kept_quantiles, limits_of
from grmu_audit.auditing.measurement import measure
from grmu_audit.intervals import Statistic
from grmu_audit.metrics import CheckedPredictions
from grmu_audit.metrics.accuracy import accuracy_rows
from grmu_audit.metrics.changes import paired_accuracy
from grmu_audit.metrics.checked_predictions import DEFAULTS
from grmu_audit.metrics.fairness import gap_statistic
from grmu_audit.metrics.membership.attacks import run_score_attack
from grmu_audit.metrics.membership.exposure import forget_area
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.policy.multiplicity import rule_alpha
from grmu_audit.policy.sample_size import decide
from grmu_audit.records import (
    SPLITS,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    Decision,
    Group,
    ModelRef,
    Predictions,
)

_NORMAL = NormalDist()
_FORGOTTEN = (Group(1, 0),)
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_BLOCK = 100
"""Draws whose limits are taken together."""


@dataclass(frozen=True)
class GateSetting:
    """Sizes, and what lies on its bound."""

    name: str
    rule: str
    """Id of the rule of the default policy."""
    forget: int = 60
    cell: int = 60
    """Test samples of each of the four groups."""
    area: float = 0.5
    """Area of forget against unseen margins."""
    accuracy: float = 0.8
    """Of the baseline."""
    loss: float = 0.0
    """By how much the candidate is worse in the forgotten group."""
    gap: float = 0.0
    """By how much the second attribute value is worse in both classes, for both models."""
    loss_everywhere: float = 0.0
    people: int | None = None
    """People in the forget set; None: no subject column.  Ten samples of every other person."""


@dataclass
class GateTally:
    """What was said of the rule."""

    rule: str
    draws: int = 0
    passed: int = 0
    breached: int = 0
    open: int = 0
    whole: int = 0
    """How many of the draws were also measured and judged in whole."""


def gate_settings() -> Iterator[GateSetting]:
    """Settings, the truth on one bound of the policy each."""
    area, group, everybody, retained, gap = (
        "forget-set-looks-unseen", "dominant-group-accuracy-kept", "test-accuracy-kept", "retained-data-kept", "equalized-odds"
    )  # fmt: skip
    yield GateSetting("area 0.70, 30 forget samples", area, forget=30, area=0.70)
    yield GateSetting("area 0.30, 60 forget samples", area, area=0.30)
    yield GateSetting("area 0.70, 300 forget samples", area, forget=300, cell=200, area=0.70)
    yield GateSetting("area 0.70, one person of 40 samples", area, forget=40, area=0.70, people=1)
    yield GateSetting("area 0.70, two people of 30 samples", area, area=0.70, people=2)
    yield GateSetting("area 0.70, ten people of 10 samples", area, forget=100, area=0.70, people=10)
    yield GateSetting("group 15 points worse, 30 a group", group, cell=30, loss=0.15)
    yield GateSetting("group 15 points worse, 300 a group", group, cell=300, loss=0.15)
    yield GateSetting("group 15 points worse, accuracy 0.99", group, accuracy=0.99, loss=0.15)
    yield GateSetting("group 15 points worse, 10 samples a person", group, cell=200, loss=0.15, people=6)
    yield GateSetting("everybody 5 points worse, accuracy 0.99", everybody, accuracy=0.99, loss_everywhere=0.05)
    yield GateSetting("retained 5 points worse, accuracy 0.8", retained, loss_everywhere=0.05)
    yield GateSetting("gap 0.25, 60 a group", gap, accuracy=0.9, gap=0.25)
    yield GateSetting("gap 0.25, 10 samples a person", gap, cell=200, accuracy=0.9, gap=0.25, people=6)


def judge_draws(setting: GateSetting, draws: int, seed: int, whole: int = 3) -> GateTally:
    """Decisions on the rule over draws of predictions.

    Args:
        setting: the kind of audit.
        draws: how many.
        seed: of the draws; more of them begin with the same ones.
        whole: how many of them are also measured and judged in whole.

    Raises:
        RuntimeError: the rule's metric alone gives another decision than the whole audit.
    """
    rng = np.random.default_rng([seed, zlib.crc32(setting.name.encode())])
    tally, made = GateTally(setting.rule, whole=min(whole, draws)), list[Decision]()
    with kept_quantiles():
        for first in range(0, draws, _BLOCK):
            pairs = [_predictions(setting, rng) for _ in range(min(_BLOCK, draws - first))]
            found = _decisions(setting.rule, pairs)
            for decision, pair in zip(found[: max(whole - first, 0)], pairs, strict=False):
                if _decision_of_audit(setting.rule, *pair) is not decision:
                    raise RuntimeError(f"{setting.name}: the audit's decision is not {decision}")
            made += found
    tally.draws = len(made)
    tally.passed, tally.breached, tally.open = (
        made.count(decision) for decision in (Decision.PASS, Decision.BREACH, Decision.INCONCLUSIVE)
    )
    return tally


def _decision_of_audit(name: str, candidate: Predictions, baseline: Predictions) -> Decision:
    """As ``score`` decides on the rule."""
    inputs = AuditInputs(_model("candidate", candidate), baseline=_model("baseline", baseline))
    audit = measure(inputs, AuditContext(DataRecord("simulated", {}), record={"created": "2026-01-01T00:00:00Z"}))
    verdict = judge(audit, _policy(), date(2026, 1, 1)).verdict
    assert verdict is not None
    return next(rule.decision for rule in verdict.rules if rule.id == name)


def _decisions(name: str, pairs: Sequence[tuple[Predictions, Predictions]]) -> list[Decision]:
    """Decisions on the rule from its metric alone."""
    rule = next(rule for rule in _policy().rules if rule.id == name)
    checked = ([CheckedPredictions(side, _FORGOTTEN, DEFAULTS) for side in pair] for pair in pairs)
    statistics = [_statistic(rule.metric, *pair).exact() for pair in checked]
    limits = np.stack(limits_of(statistics, rule_error()), axis=1).tolist()
    return [Decision.INCONCLUSIVE if math.isnan(low) else decide(low, high, rule.region) for low, high in limits]


@cache
def _policy() -> Policy:
    return load_named("default")


def rule_error() -> float:
    """The share of a rule without a reference in the default policy's error, both directions together."""
    policy = _policy()
    return rule_alpha(policy.confidence, policy.multiplicity, sum(rule.when == "always" for rule in policy.rules))


def _statistic(metric: str, candidate: CheckedPredictions, baseline: CheckedPredictions) -> Statistic:
    if metric == "MIA_AUC":
        found = run_score_attack(candidate)
        return forget_area(candidate, found.rocs[candidate.options.attack_score], found.matched, found.unseen)[0]
    if metric == "EO":
        gap, reason = gap_statistic(candidate, "EO", candidate.options.gap_variant)
        assert gap is not None, reason
        return gap
    return paired_accuracy(candidate, baseline, metric, accuracy_rows(candidate, metric))


def _model(name: str, predictions: Predictions) -> AuditedModel:
    return AuditedModel(ModelRef(name, "1"), predictions)


class _Layout(NamedTuple):
    """What is the same in all draws of a setting."""

    ids: npt.NDArray[np.str_]
    split: Ints
    target: Ints
    attribute: Ints
    person: Ints | None
    cuts: tuple[Floats, Floats]
    """Latent numbers below which the candidate, and the model before, is right."""
    shift: Floats
    """Of the scores of the forget set."""


@cache
def _layout(setting: GateSetting) -> _Layout:
    sizes = {"retain": 600, "forget": setting.forget, "val": 100, "test": 4 * setting.cell}
    split = np.repeat([SPLITS.index(name) for name in sizes], list(sizes.values()))
    n, forget = len(split), split == SPLITS.index("forget")
    place = np.arange(n) % 4
    target, attribute = np.where(forget, 1, place // 2), np.where(forget, 0, place % 2)
    old = setting.accuracy - setting.gap * (attribute == 1)
    new = old - setting.loss_everywhere - setting.loss * ((target == 1) & (attribute == 0))
    cuts = np.vectorize(_NORMAL.inv_cdf)(new), np.vectorize(_NORMAL.inv_cdf)(old)
    shift = _NORMAL.inv_cdf(setting.area) * math.sqrt(2) * forget
    person = _people(setting, split, target * 2 + attribute)
    return _Layout(np.arange(n).astype(str), split, target, attribute, person, cuts, shift)


def _predictions(setting: GateSetting, rng: np.random.Generator) -> tuple[Predictions, Predictions]:
    """Two models on the same samples: what they get right, and margins whose order the attack sees."""
    fixed = _layout(setting)
    n, person = len(fixed.ids), fixed.person
    alone = person is None or setting.people == 1  # there is no effect of one person alone in the forget set
    own = rng.normal(0, 1, n) if person is None or alone else rng.normal(0, 1, int(person.max()) + 1)[person]
    noise, made = rng.normal(0, 1, (2, n)), []
    for cut, latent in zip(fixed.cuts, (noise[0], 0.8 * noise[0] + 0.6 * noise[1]), strict=True):
        right = math.sqrt(0.7) * latent + math.sqrt(0.3) * own < cut
        logits = np.zeros((n, 2))
        logits[np.arange(n), fixed.target] = math.sqrt(0.7) * rng.normal(0, 1, n) + math.sqrt(0.3) * own + fixed.shift
        predicted = np.where(right, fixed.target, 1 - fixed.target)
        made.append(Predictions(*fixed[:4], prediction=predicted, classes=2, attributes=2, logits=logits, subject=person))
    return made[0], made[1]


def _people(setting: GateSetting, split: Ints, group: Ints) -> Ints | None:
    """Person of every sample: of the forget set by turns, of all others by tens within a group of a split."""
    if setting.people is None:
        return None
    forget = split == SPLITS.index("forget")
    rank = np.empty(len(split), dtype=np.int64)
    for part in range(4 * len(SPLITS)):
        rows = split * 4 + group == part
        rank[rows] = np.arange(rows.sum()) // 10
    return np.where(forget, np.arange(len(split)) % setting.people, 1000 + (split * 4 + group) * 1000 + rank)
