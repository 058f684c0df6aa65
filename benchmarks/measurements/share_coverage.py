"""Coverage of the interval of FORGET_SHARE over simulated audits whose true share is known.

A simulated audit has 500 unseen samples, ``retained`` and ``forget`` samples of one group, and three models: before (training
samples have margins larger by the trace), retrained (its forget set has lost the trace, sample by sample differently), and a
candidate that has lost ``share`` of it.  With people of four samples each, what is drawn by sample is drawn half by person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.forgetting.contrast import LEAST_RETAINED
from grmu_audit.metrics.forgetting.share import measure_share
from grmu_audit.metrics.outcome import Outcome
from grmu_audit.records import SPLITS, Predictions, reference
from grmu_audit.records.predictions import FloatArray

UNSEEN = 500
LARGE = 200_000


@dataclass(frozen=True)
class Setting:
    """What one audit of a setting is drawn from."""

    forget: int
    """Forget samples."""
    retained: int
    """Retained samples of the group."""
    share: float
    """Share that the candidate has lost of the trace."""
    trace: float
    """Mean loss of margin by retraining; margins have a spread of 1.5."""
    per_person: int = 1
    """Samples of each person."""


@dataclass(frozen=True)
class Coverage:
    """Result of the simulated audits of one setting."""

    setting: Setting
    """The setting."""
    truth: float
    """The share in 200,000 samples."""
    audits: int
    """Simulated audits."""
    undefined: float
    """Share of audits without an interval."""
    covered: float
    """Share of audits whose interval does not miss the truth; without an interval nothing is claimed, and nothing missed."""
    covered_where_defined: float
    """The same among audits with an interval."""
    passes_above: float
    """Share of audits whose one-sided 95 % lower limit is above the truth."""


def settings() -> Iterator[Setting]:
    """The grid of the page."""
    for per_person in (1, 4):
        for forget, retained in ((20, 40), (40, 40), (40, 10), (100, 200), (200, 300)):
            for share in (0.0, 0.25, 1.0):
                for trace in (0.5, 1.0, 2.0):
                    if forget // per_person >= 20:
                        yield Setting(forget, retained, share, trace, per_person)


def draw(setting: Setting, rng: np.random.Generator, unseen: int = UNSEEN) -> dict[str, Predictions]:
    """Predictions of the three models of one audit."""
    sizes = {"retain": setting.retained, "forget": setting.forget, "test": unseen}
    split = np.concatenate([np.full(count, SPLITS.index(name)) for name, count in sizes.items()])
    person = np.arange(len(split)) // setting.per_person

    def spread(size: float) -> FloatArray:
        """Noise of that standard deviation, half of its variance by person where people have several samples."""
        own: FloatArray = rng.normal(0, size, len(split))
        if setting.per_person == 1:
            return own
        mixed: FloatArray = (own + rng.normal(0, size, person.max() + 1)[person]) / np.sqrt(2)
        return mixed

    trained, forget = split < 2, split == SPLITS.index("forget")
    before = 2.0 + spread(1.5) + setting.trace * trained
    lost = forget * (setting.trace + spread(setting.trace / 2))
    margins = {"before": before, "retrained": before - lost + spread(1.0)}
    margins["candidate"] = before - setting.share * lost + spread(0.7)
    zeros = np.zeros(len(split), dtype=np.int64)
    ids = np.arange(len(split)).astype(str)
    made = {}
    for name, margin in margins.items():
        logits = np.stack([np.zeros(len(split)), margin], axis=1)
        subject = None if setting.per_person == 1 else person
        made[name] = Predictions(ids, split, zeros + 1, zeros, logits.argmax(axis=1), 2, 1, logits=logits, subject=subject)
    return made


def simulate(setting: Setting, audits: int, seed: int = 0) -> Coverage:
    """Coverage of one setting.

    Args:
        setting: what is drawn from.
        audits: how many are drawn.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, setting.forget, setting.retained, int(100 * setting.share), setting.per_person])
    kept = LARGE if setting.retained >= LEAST_RETAINED else setting.retained  # so that the same samples are compared with
    many = replace(setting, forget=LARGE, retained=kept)
    truth = float(_share(draw(many, np.random.default_rng(seed), LARGE)).estimate or 0.0)
    found = [_share(draw(setting, rng)) for _ in range(audits)]
    limits = [None if one.statistic is None else one.statistic.limits(0.05) for one in found]
    lower = [None if one.statistic is None else one.statistic.limits(0.10) for one in found]
    missed = sum(pair is not None and not pair[0] <= truth <= pair[1] for pair in limits)
    defined = sum(pair is not None for pair in limits)
    return Coverage(
        setting=setting,
        truth=truth,
        audits=audits,
        undefined=1 - defined / audits,
        covered=1 - missed / audits,
        covered_where_defined=1 - missed / defined if defined else float("nan"),
        passes_above=sum(pair is not None and pair[0] > truth for pair in lower) / audits,
    )


def _share(models: dict[str, Predictions]) -> Outcome:
    candidate, before, retrained = (check_predictions(models[name]) for name in ("candidate", "before", "retrained"))
    return measure_share(candidate, before, {reference(1): retrained})
