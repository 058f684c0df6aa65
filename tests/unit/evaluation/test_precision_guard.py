"""What the guard lets pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.notes import Notes
from support.tiny import runtime, tiny

from grmu_audit.evaluation import precision_guard
from grmu_audit.evaluation.precision_guard import compare, sample_rows, settle_inference
from grmu_audit.training.runtime import Inference

N = 2000
TARGET = torch.arange(N) % 2
GROUP = torch.arange(N) % 4
EXACT = torch.stack([-(TARGET * 2.0 - 1), TARGET * 2.0 - 1], 1) * 3


def changed(rows: list[int], by: float = -1.0) -> torch.Tensor:
    """The logits with those of some rows multiplied."""
    found = EXACT.clone()
    found[rows] *= by
    return found


@pytest.mark.parametrize(
    ("fast", "difference", "flips", "accuracy", "holds"),
    [
        (EXACT, 0.0, 0.0, 0.0, True),
        (EXACT * 1.04, 0.04, 0.0, 0.0, True),
        (EXACT * 1.06, 0.06, 0.0, 0.0, False),
        (changed([0]), 2.0, 1 / N, 4 / N, False),
        (changed([0, 1]), 2.0, 2 / N, 4 / N, False),
        (torch.full_like(EXACT, float("nan")), float("nan"), 0.5, 1.0, False),
    ],
)
def test_differences_are_those_by_hand(fast: torch.Tensor, difference: float, flips: float, accuracy: float, holds: bool) -> None:
    found = compare(EXACT, fast, TARGET, GROUP)
    assert (found.difference, found.flips, found.accuracy) == pytest.approx((difference, flips, accuracy), abs=1e-6, nan_ok=True)
    assert found.holds is holds


def test_a_flip_near_the_boundary_counts_only_by_its_share() -> None:
    """One of 4,000 rows of one group with logits of 0.01 apart: 0.025 per cent of the rows, and of the group."""
    exact = torch.cat([EXACT, EXACT])
    exact[0] = torch.tensor([0.01, 0.0])
    fast = exact.clone()
    fast[0] = torch.tensor([0.0, 0.01])
    target = torch.cat([TARGET, TARGET])
    assert compare(exact, fast, target, torch.zeros_like(target)).holds
    assert not compare(exact, fast, target, torch.cat([GROUP, GROUP]) + 4 * (torch.arange(2 * N) < 100)).holds


def test_the_sample_is_a_share_within_limits_and_the_same_each_time() -> None:
    assert [len(sample_rows(n)) for n in (0, 10, 256, 6000, 200_000)] == [0, 10, 256, 300, 1024]
    assert (sample_rows(6000) == sample_rows(6000)).all()
    assert len(np.unique(sample_rows(6000))) == 300


@pytest.mark.parametrize(("limit", "value"), [("MOST_DIFFERENCE", 0.0), ("MOST_FLIPS", -1.0), ("MOST_TIES", 0.0)])
def test_bf16_is_kept_within_the_limits_and_left_beyond_any_of_them(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    run, notes = runtime(), Notes()
    run.observer, run.inference = notes, Inference("bf16", "folded")
    settle_inference(tiny().model, tiny().source, run)
    assert isinstance(run.inference, Inference)
    assert run.inference == Inference("bf16", "folded", near_tie=run.inference.near_tie)
    assert run.inference.near_tie > 0.0
    assert run.notes["precision_guard"]["holds"]
    monkeypatch.setattr(precision_guard, limit, value)
    run.inference = replace(run.inference, fold_from=10**9)
    settle_inference(tiny().model, tiny().source, run)
    assert run.inference == Inference("fp32", "folded", fold_from=10**9)
    assert "predictions are computed in fp32" in notes.lines[0]


@pytest.mark.parametrize("way", [None, Inference("fp32", "folded")])
def test_fp32_and_a_precision_that_somebody_chose_are_left_alone(way: Inference | None) -> None:
    run = runtime()
    run.inference, run.precision = way, "bf16"
    settle_inference(tiny().model, tiny().source, run)
    assert run.inference is way
    assert not run.notes
