"""What a run may cost, and on which rows that is measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny import runtime, tiny

from grmu_audit.errors import CollapsedError
from grmu_audit.models.classifier import copy_model
from grmu_audit.unlearning.accuracy_loss import (
    FEWEST_ROWS,
    LARGEST_FALL,
    SAFE_FALL,
    Accuracies,
    Fall,
    RateProbe,
    Watch,
    probe_rates,
    watched_rows,
)
from grmu_audit.unlearning.methods.fine_tuning import FineTuneConfig


@pytest.mark.parametrize(
    ("after", "collapsed"),
    [
        ((0.9, 0.9), False),
        ((0.901 - LARGEST_FALL, 0.9), False),
        ((0.74, 0.9), True),
        ((0.85, 0.5), True),
        ((math.nan, 0.9), True),
    ],
)
def test_a_fall_in_either_accuracy_counts_and_what_is_not_finite_never_passes(
    after: tuple[float, float], collapsed: bool
) -> None:
    assert Fall(10, Accuracies(0.9, 0.9), Accuracies(*after)).collapsed is collapsed


def test_groups_that_the_request_aims_at_are_not_watched() -> None:
    data = tiny().data
    groups = data.groups_of(watched_rows(data, torch.Generator()))
    assert 2 not in groups, "half of the training rows of group (1, 0) are to be forgotten"
    assert len(groups) >= FEWEST_ROWS
    few = replace(data, val=data.val[:10], forget=data.forget[:5])
    rows = watched_rows(few, torch.Generator())
    assert (len(rows), set(few.val) - set(rows)) == (FEWEST_ROWS, set())
    every = replace(data, forget=data.retain, retain=data.retain[:1], val=data.val[:3])
    assert len(watched_rows(every, torch.Generator())) == 4


def test_a_network_that_names_one_class_only_has_collapsed() -> None:
    problem = tiny()
    broken = copy_model(problem.model)
    with torch.no_grad():
        broken.head.weight.zero_()
    watch = Watch(problem.model, problem.data, runtime())
    assert watch.fall(broken).after.balanced == 0.5
    assert watch.fall(broken).collapsed
    assert watch.fall(problem.model).worst == 0.0
    with torch.no_grad():
        broken.head.weight.fill_(math.nan)
    assert str(watch.fall(broken)) == f"the outputs on {len(watch.rows)} rows that are not to be forgotten are not finite"


def test_the_probe_ends_at_the_first_rate_that_does_no_harm() -> None:
    problem = tiny()
    before = {name: value.clone() for name, value in problem.model.state_dict().items()}
    found = probe_rates(problem.model, problem.data, FineTuneConfig(learning_rate=5.0, augment=False), runtime)
    rates = [rate for rate, _ in found.tried]
    assert found.rate <= 0.5
    assert all(cost is None or cost > SAFE_FALL for _, cost in found.tried[:-1])
    assert np.allclose(np.diff(np.log10(rates)), -0.5, atol=0.01)
    assert all(torch.equal(before[name], value) for name, value in problem.model.state_dict().items())


def test_no_safe_rate_is_an_honest_refusal() -> None:
    assert RateProbe(((0.05, 0.2), (0.005, 0.07))).rate == 0.005
    assert RateProbe(((0.05, None), (0.005, 0.1), (0.0005, 0.12))).rate == 0.005, "the least harm, where none does little"
    with pytest.raises(CollapsedError, match=r"no safe learning rate was found.*0.05 down to 0.005; nothing was registered"):
        _ = RateProbe(((0.05, None), (0.005, 0.3))).rate


def test_the_probe_gives_up_after_eight_rates_that_all_do_harm() -> None:
    problem = tiny()
    config = FineTuneConfig(learning_rate=1e9, augment=False, batch_size=200)
    found = probe_rates(problem.model, replace(problem.data, retain=problem.data.retain[:40]), config, runtime)
    assert [rate for rate, _ in found.tried] == pytest.approx([1e9 / 10 ** (n / 2) for n in range(8)], rel=1e-2)
    with pytest.raises(CollapsedError, match=r"at every rate from 1e\+09 down to 3\.2e\+05; nothing was registered"):
        _ = found.rate
