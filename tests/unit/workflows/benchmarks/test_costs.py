from __future__ import annotations

import pytest
import torch
from support.tiny import CPU, runtime, tiny

from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.benchmarks.costs import Cost, Rates, Sizes, calibrate, method_cost


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("ft", 0), ("l1_sparse", 0), ("cf", 0), ("miu", 0), ("scrub", 0), ("salun", 0), ("rl", 0), ("ssd", 0), ("msg", 0),
        ("shrink", 0), ("gradient_ascent", 0), ("delete", 0), ("boundary_shrink", 0), ("regun", 0),
        ("neggrad_plus", 0.1), ("bad_teacher", 0.1),
    ],
)  # fmt: skip
def test_the_plan_counts_what_a_run_counts(name: str, tolerance: float) -> None:
    problem, method, used = tiny(), methods.get(name), runtime()
    config = method.config(**({"epochs": 2} if method.trains else {}))
    apply_method(method, problem.model, problem.data, config, used)
    data = problem.data
    sizes = Sizes(len(data.retain), len(data.forget), len(data.val), len(problem.dataset))
    planned = method_cost(method, config, sizes).gradients
    assert abs(planned - used.sample_gradients) <= tolerance * used.sample_gradients


def test_a_method_that_is_not_known_counts_what_it_reads() -> None:
    method = methods.get("ft")
    other = type(method)(**{**vars(method), "name": "third-party", "needs": frozenset({"retain", "forget"})})
    assert method_cost(other, other.config(epochs=3), Sizes(100, 10, 5, 200)) == Cost(330, 215)


def test_rates_are_measured_and_the_network_is_left_alone() -> None:
    model = tiny().model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rates = calibrate(model, 8, CPU, 0.005)
    assert rates.gradients > 0
    assert rates.forwards > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert Rates(10.0, 20.0).seconds(Cost(100, 100)) == 15.0
