"""The convex loss against automatic differentiation, its minimum against SciPy, and the bound on what a Newton step leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from support.data_kinds import table
from support.tiny import runtime, spec

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import DivergedError, InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.guaranteed import LinearOptions
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.distributed import World
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.guaranteed.convex import (
    CURVATURE_CHANGE,
    MOST_WEIGHTS,
    ConvexLoss,
    convex_loss,
    group_differences,
    minimise,
    newton_step,
    require_linear,
)


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


def linear(**options: object) -> Classifier:
    header = table().header
    return build(ModelSpec("linear", 2, header.input_shape, header.mean, header.std, header.class_names, options), 0)


def far_apart(model: Classifier, rows: np.ndarray) -> float:
    """Largest difference of the groups' mean logits within a class, the mean over classes taken out."""
    data, header = table(), table().header
    x = (torch.from_numpy(np.asarray(data.pixels)[rows]) - torch.tensor(header.mean)) / torch.tensor(header.std)
    logits = model.head(x).detach().numpy()
    centred = logits - logits.mean(1, keepdims=True)
    y, a = (data.frame[name].to_numpy()[rows] for name in ("target", "attribute"))
    return max(
        float(np.abs(centred[(y == c) & (a == 0)].mean(0) - centred[(y == c) & (a == 1)].mean(0)).max())
        for c in (0, 1)
        if len(set(a[y == c])) == 2
    )


def test_training_of_a_linear_model_ends_where_automatic_differentiation_finds_no_slope() -> None:
    data, source = table(), BatchSource(table(), torch.device("cpu"))
    rows, header = data.rows("train"), data.header
    model = fit(linear(l2=0.01, noise=0.0, unit_norm=False), source, TrainingRows(rows), TrainConfig(), runtime())
    x = (torch.from_numpy(np.asarray(data.pixels)[rows]).double() - torch.tensor(header.mean)) / torch.tensor(header.std)
    weight, bias = (value.detach().double().requires_grad_() for value in (model.head.weight, model.head.bias))
    y = torch.from_numpy(data.frame["target"].to_numpy()[rows])
    value = torch.nn.functional.cross_entropy(x @ weight.T + bias, y, reduction="sum")
    (value + len(rows) * 0.01 / 2 * (weight.square().sum() + bias.square().sum())).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert max(float(weight.grad.abs().max()), float(bias.grad.abs().max())) < 1e-3
    fair = fit(linear(l2=0.01, noise=0.0, fairness=5.0, unit_norm=False), source, TrainingRows(rows), TrainConfig(), runtime())
    assert far_apart(fair, rows) < 0.5 * far_apart(model, rows)


def test_without_rows_the_loss_has_no_inputs_and_keeps_its_width() -> None:
    loss = convex_loss(linear(), BatchSource(table(), torch.device("cpu")), np.zeros(0, dtype=np.int64))
    assert (loss.x.shape, len(loss.y)) == ((0, 31), 0)


def test_weights_on_rows_several_processes_and_too_large_heads_are_refused() -> None:
    source, rows = BatchSource(table(), torch.device("cpu")), table().rows("train")
    with pytest.raises(InputError, match="REWEIGHT cannot act: use --no-reweight"):
        fit(linear(), source, TrainingRows(rows, weights=np.ones(len(rows))), TrainConfig(), runtime())
    two = runtime()
    two.world = World(0, 2)
    with pytest.raises(InputError, match="linear: the loss is minimised over all rows at once"):
        fit(linear(), source, TrainingRows(rows), TrainConfig(), two)
    width = MOST_WEIGHTS // 2
    wide = build(ModelSpec("linear", 2, (width,), (0.0,) * width, (1.0,) * width), 0)
    with pytest.raises(InputError, match=f"linear: {2 * (width + 1):,} weights; training forms their Hessian, at most"):
        require_linear(wide)
    with pytest.raises(InputError, match="this network is a small_resnet: only a linear model"):
        convex_loss(build(spec(), 0), source, rows)


def test_the_minimum_is_the_same_from_afar() -> None:
    loss = problem(5, 3)
    far = 200 * torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near = minimise(loss, torch.zeros(3, 5, dtype=torch.float64))
    assert torch.allclose(minimise(loss, far), near, atol=1e-5)


def test_a_loss_whose_minimum_is_out_of_reach_is_an_error() -> None:
    """Almost no l2, so that the random term draws the weights away without end."""
    flat = replace(problem(5, 3), options=LinearOptions(l2=1e-12), differences=torch.zeros(0, 5, dtype=torch.float64))
    with pytest.raises(DivergedError, match=r"the convex loss was not minimised in 60 Newton steps.*raise l2"):
        minimise(flat, torch.zeros(3, 5, dtype=torch.float64))


def test_a_hessian_that_is_singular_is_one_clear_error() -> None:
    """Equal shifts of all classes change nothing but the l2 term, which is below the precision here."""
    flat = replace(problem(5, 3, noise=0.0), options=LinearOptions(l2=1e-30), differences=torch.zeros(0, 5, dtype=torch.float64))
    with pytest.raises(DivergedError, match="not positive definite; nothing was registered: raise l2"):
        minimise(flat, torch.zeros(3, 5, dtype=torch.float64))
