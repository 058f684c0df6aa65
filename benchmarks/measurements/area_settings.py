"""Simulated forget sets against unseen samples: areas, their changes, the rate at 1 % false positives, few people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from benchmarks.measurements.simulation import Case, Floats, Setting
from grmu_audit.intervals import Proportion, RateAtThreshold, Statistic
from grmu_audit.intervals.operating_points import LEVELS
from grmu_audit.metrics.scores import Roc, change_of_areas, normal_change_of_areas, operating_threshold, roc, threshold_shares

_UNSEEN_PEOPLE, _UNSEEN_EACH, _FORGET_EACH = 60, 5, 8
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Areas(Setting):
    """One forget set against unseen samples, normal scores; the model before has a correlated score of the same law."""

    kind: ClassVar[str] = "areas"
    spread: float
    """Standard deviation of the forget set's scores; 1 for unseen ones."""
    forget: int
    """Forget samples."""
    unseen: int
    """Unseen samples."""
    area: float
    """True area."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Scores of both models, and MIA_AUC, its change and MIA_TPR_1 on them."""
        away = _NORMAL.inv_cdf(self.area) * math.hypot(self.spread, 1)
        (z1, y1), (z0, y0) = rng.normal(0, 1, (2, self.forget)), rng.normal(0, 1, (2, self.unseen))
        positive = [away + self.spread * z1, away + self.spread * (0.8 * z1 + 0.6 * y1)]
        negative = [z0, 0.8 * z0 + 0.6 * y0]
        curves = [roc(p, n, np.ones(self.unseen)) for p, n in zip(positive, negative, strict=True)]
        made = {"MIA_AUC": Case(self.area, curves[0].effective_area(None, None), curves[0].area(None, None)), **_moved(curves)}
        if self.unseen >= 100:
            truth = 1 - _NORMAL.cdf((_NORMAL.inv_cdf(0.99) - away) / self.spread)
            made["MIA_TPR_1"] = Case(truth, *_threshold_rates(positive[0], negative[0]))
        return made


def _moved(curves: list[Roc], truth: float = 0.0) -> dict[str, Case]:
    one, two = curves
    found, old = (change(one, two, None, None) for change in (change_of_areas, normal_change_of_areas))
    return {"MIA_AUC change": Case(truth, found, old)}


def _threshold_rates(positive: Floats, negative: Floats) -> tuple[Statistic, Statistic]:
    ones = np.ones(len(negative))
    called = Proportion.of(positive > operating_threshold(negative, ones, 0.01)[0]).exact()
    shares = threshold_shares(positive, negative, ones, 0.01, len(negative))
    return RateAtThreshold(called, LEVELS, *shares), called


@dataclass(frozen=True)
class Changes(Setting):
    """As ``Areas`` with 100 unseen samples, but the area of the model before is another one."""

    kind: ClassVar[str] = "changes"
    spread: float
    """Standard deviation of the forget set's scores by both models; 1 for unseen ones."""
    forget: int
    """Forget samples."""
    area: float
    """True area of the candidate."""
    area_before: float
    """True area of the model before."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Scores of both models, and the change of MIA_AUC on them."""
        away = [_NORMAL.inv_cdf(area) * math.hypot(self.spread, 1) for area in (self.area, self.area_before)]
        (z1, y1), (z0, y0) = rng.normal(0, 1, (2, self.forget)), rng.normal(0, 1, (2, 100))
        positive = [away[0] + self.spread * z1, away[1] + self.spread * (0.8 * z1 + 0.6 * y1)]
        curves = [roc(p, n, np.ones(100)) for p, n in zip(positive, [z0, 0.8 * z0 + 0.6 * y0], strict=True)]
        return _moved(curves, self.area - self.area_before)


@dataclass(frozen=True)
class Forgotten(Setting):
    """A few people in the forget set, eight samples each, against 60 unseen people with five each."""

    kind: ClassVar[str] = "forgotten"
    people: int
    """People in the forget set."""
    correlation: float
    """Share of a score's variance that lies between people."""
    area: float
    """True area for people like them."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Scores with an effect of every person."""
        between, within = math.sqrt(self.correlation), math.sqrt(1 - self.correlation)
        owner = np.repeat(np.arange(self.people), _FORGET_EACH)
        unseen = np.repeat(np.arange(_UNSEEN_PEOPLE), _UNSEEN_EACH)
        away, own = _NORMAL.inv_cdf(self.area) * math.sqrt(2), rng.normal(0, 1, self.people)
        positive = away + between * own[owner] + rng.normal(0, within, len(owner))
        negative = between * rng.normal(0, 1, _UNSEEN_PEOPLE)[unseen] + rng.normal(0, within, len(unseen))
        theirs = float(np.mean([_NORMAL.cdf((away + between * o) / math.sqrt(1 + within**2)) for o in own]))
        curve = roc(positive, negative, np.ones(len(negative)))
        before = curve.area(owner, self.people + unseen)
        like = None if self.people == 1 else curve.effective_area(owner, self.people + unseen)
        return {
            "MIA_AUC, these people": Case(theirs, curve.effective_area(None, self.people + unseen), before),
            "MIA_AUC, people like them": Case(self.area, like, before),
        }
