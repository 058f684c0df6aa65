"""The convex loss against automatic differentiation, its minimum against SciPy, and the bound on what a Newton step leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from grmu_audit.models.guaranteed import LinearOptions
from grmu_audit.training.guaranteed.convex import CURVATURE_CHANGE, ConvexLoss, group_differences, minimise, newton_step


def problem(seed: int, classes: int = 3, fairness: float = 0.7, noise: float = 2.0, n: int = 40, d: int = 4) -> ConvexLoss:
    rng = torch.Generator().manual_seed(seed)
    x = torch.cat([torch.randn(n, d, generator=rng, dtype=torch.float64), torch.ones(n, 1, dtype=torch.float64)], 1)
    y = torch.randint(classes, (n,), generator=rng)
    attribute = torch.randint(2, (n,), generator=rng)
    b = noise * torch.randn(classes, d + 1, generator=rng, dtype=torch.float64)
    return ConvexLoss(x, y, LinearOptions(l2=0.01, fairness=fairness), classes, group_differences(x, y, attribute), b)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_gradient_and_hessian_are_the_derivatives_of_the_value(classes: int) -> None:
    loss = problem(classes, classes)
    w = torch.randn(classes, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (slope,) = torch.autograd.grad(loss.value(w), w)
    assert torch.allclose(slope, loss.gradient(w.detach()), atol=1e-9)
    second = torch.autograd.functional.hessian(loss.value, w.detach()).reshape(classes * 5, classes * 5)
    assert torch.allclose(second, loss.hessian(w.detach()), atol=1e-8)


@pytest.mark.parametrize(("classes", "fairness"), [(2, 0.0), (2, 3.0), (4, 1.0)])
def test_the_minimum_is_that_of_another_optimiser(classes: int, fairness: float) -> None:
    loss = problem(5, classes, fairness)
    found = minimise(loss, torch.zeros(classes, 5, dtype=torch.float64))

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(flat).reshape(classes, 5)
        return float(loss.value(w)), loss.gradient(w).numpy().ravel()

    other = minimize(value, np.zeros(classes * 5), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
    assert np.abs(found.numpy().ravel() - other.x).max() < 1e-4
    assert float(loss.gradient(found).norm()) < 1e-6


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.01, 20.0))
def test_the_remainder_bounds_what_is_left(seed: int, classes: int, size: float) -> None:
    """From any weights and in any direction, however large."""
    loss = problem(seed, classes)
    rng = torch.Generator().manual_seed(seed + 1)
    w, step = (torch.randn(classes, 5, generator=rng, dtype=torch.float64) for _ in range(2))
    step = step * size
    linear = (loss.hessian(w) @ step.reshape(-1)).reshape(step.shape)
    left = float((loss.gradient(w + step) - loss.gradient(w) - linear).norm())
    assert left <= loss.remainder(step) * (1 + 1e-9) + 1e-9


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=7), st.integers(0, 1000), st.floats(1e-3, 30))
def test_the_curvature_of_softmax_changes_no_faster_than_stated(logits: list[float], seed: int, size: float) -> None:
    z = torch.tensor(logits, dtype=torch.float64)
    u = size * torch.nn.functional.normalize(
        torch.randn(len(z), generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=0
    )

    def curvature(at: torch.Tensor) -> torch.Tensor:
        p = torch.softmax(at, 0)
        return torch.diag(p) - torch.outer(p, p)

    change = float(torch.linalg.matrix_norm(curvature(z + u) - curvature(z), 2))
    assert change <= CURVATURE_CHANGE * float(u.norm()) + 1e-12


def test_the_stated_rate_is_reached() -> None:
    """By two classes, where the third derivative of the logistic loss is largest; no smaller constant would do."""
    s = float(np.log((3 + np.sqrt(3)) / (3 - np.sqrt(3))))  # p = 1/2 + 1/(2 sqrt 3)
    h = 1e-5

    def curvature(at: float) -> float:
        p = 1 / (1 + np.exp(-at))
        return 2 * p * (1 - p)  # in the direction (1, -1) / sqrt 2

    rate = abs(curvature(s + h) - curvature(s - h)) / (2 * h / np.sqrt(2))
    assert rate == pytest.approx(CURVATURE_CHANGE, rel=1e-6)


def test_one_newton_step_solves_a_loss_without_rows_to_curve_it() -> None:
    loss = problem(0, n=1)
    w = torch.zeros(3, 5, dtype=torch.float64)
    step = newton_step(loss, w, -loss.gradient(w))
    assert torch.allclose(loss.hessian(w) @ step.reshape(-1), -loss.gradient(w).reshape(-1))


def test_group_differences_are_those_of_the_means() -> None:
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0], [0.0, 1.0]], dtype=torch.float64)
    found = group_differences(x, torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
    assert found.tolist() == [[-2.0, 5.0]]
