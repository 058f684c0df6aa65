"""Attacks against the closed form of a linear model, and what they must never touch."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import runtime, tiny
from support.weights import weights_digest

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import InputError
from grmu_audit.evaluation.adversarial import STEP_SHARE, STEPS, Attack, attack_passes, predict_adversarial, stratified_rows
from grmu_audit.models.adversarial import answer_and_gradient, input_gradient
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.records.white_box import RADII_OF
from grmu_audit.training.runtime import Inference

SIDE = 4


def linear() -> tuple[Classifier, BatchSource, np.ndarray]:
    """Two classes split by a plane over pixels that stay clear of 0 and 1; [n] signed logit margin of each sample."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 166, size=(200, 3, SIDE, SIDE)).astype(np.uint8)
    weight = rng.normal(size=3 * SIDE * SIDE)
    score = (pixels.reshape(200, -1) / 255.0 - 0.5) @ weight
    frame = tiny().dataset.frame.iloc[:200].copy()
    frame["target"], frame["split"] = (score > 0).astype(np.int64), "test"
    header = replace(tiny().dataset.header, image_size=(3, SIDE, SIDE))
    model = Classifier(
        torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 2), ModelSpec("linear", 2, (3, SIDE, SIDE), (0.5,) * 3, (1.0,) * 3)
    )
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(np.stack([-weight, weight]) / 2))
        model.head.bias.zero_()
    return model, BatchSource(Dataset(header, frame, pixels), torch.device("cpu")), np.abs(score) / np.abs(weight).sum()


def linear_table() -> tuple[Classifier, BatchSource, np.ndarray]:
    """The same over seven columns of very different size; distances in standard deviations of each column."""
    rng = np.random.default_rng(0)
    std = 10.0 ** np.arange(-3, 4)
    mean = std * rng.normal(0, 3, 7)
    columns = (mean + std * rng.normal(0, 0.1, (200, 7))).astype(np.float32)
    weight = rng.normal(size=7)
    score = (columns - mean) / std @ weight
    frame = tiny().dataset.frame.iloc[:200].copy()
    frame["target"], frame["split"] = (score > 0).astype(np.int64), "test"
    names = tuple(f"c{i}" for i in range(7))
    known = tiny().dataset.header
    header = replace(known, kind="table", image_size=(7,), mean=tuple(mean.tolist()), std=tuple(std.tolist()), features=names)
    model = Classifier(torch.nn.Identity(), torch.nn.Linear(7, 2), ModelSpec("linear", 2, (7,), header.mean, header.std))
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(np.stack([-weight, weight]) / 2))
        model.head.bias.zero_()
    return model, BatchSource(Dataset(header, frame, columns), torch.device("cpu")), np.abs(score) / np.abs(weight).sum()


@pytest.mark.parametrize("kind", ["FGSM", "PGD", "AA"])
@pytest.mark.parametrize("make", [linear, linear_table])
def test_a_linear_model_falls_exactly_where_the_closed_form_says(
    kind: str, make: Callable[[], tuple[Classifier, BatchSource, np.ndarray]]
) -> None:
    """A sample falls at radius r if and only if its margin is below r |w|_1: the distance to the plane in L-infinity."""
    if kind == "AA":
        pytest.importorskip("pyautoattack")
    model, source, distance = make()
    rows = np.arange(24 if kind == "AA" else 200)
    radii = (0.002, 0.01, 0.03)
    found = predict_adversarial(model, source, rows, Attack(kind, radii), runtime())
    truth = source.target.numpy()[rows]
    for radius in radii:
        clear = np.abs(distance[rows] - radius) > 1e-4
        fell = found[f"{kind}@{radius:.4g}"] != truth
        assert (fell[clear] == (distance[rows] < radius)[clear]).all()
        assert fell.sum() > 0


def test_pgd_is_at_least_as_strong_as_one_step_and_grows_with_the_radius() -> None:
    problem = tiny()
    rows = problem.dataset.rows("test")[:150]
    truth = problem.source.target.numpy()[rows]
    radii = (2 / 255, 8 / 255)
    one = predict_adversarial(problem.model, problem.source, rows, Attack("FGSM", radii), runtime())
    many = predict_adversarial(problem.model, problem.source, rows, Attack("PGD", radii), runtime())
    again = predict_adversarial(problem.model, problem.source, rows, Attack("PGD", radii), runtime())
    right = {name: (answer == truth).mean() for name, answer in (one | many).items()}
    assert right["PGD@0.03137"] <= right["FGSM@0.03137"]
    assert right["PGD@0.03137"] <= right["PGD@0.007843"]
    fallen = many["PGD@0.007843"] != truth
    assert (many["PGD@0.03137"][fallen] != truth[fallen]).all()
    assert all((many[name] == again[name]).all() for name in many)


def test_gradients_in_bf16_find_as_many_and_only_what_falls_in_fp32() -> None:
    """The model is moved so that half of the rows lie on each side of its border, and some so near that bf16 turns them."""
    problem, low = tiny(), runtime()
    low.inference = Inference("bf16")
    model, rows = copy.deepcopy(problem.model).eval(), problem.dataset.rows("test")
    batch = problem.source.take(torch.from_numpy(rows))
    with torch.no_grad():
        logits = model(batch.pixels)
        model.head.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
        model.head.bias += 64.0  # where neighbouring numbers of bf16 are 0.5 apart, whatever the processor
        exact = model(batch.pixels).argmax(1).numpy()
    assert (answer_and_gradient(model, batch.pixels, batch.target, low=True)[0].numpy() != exact).any(), "or this shows nothing"
    nobody = predict_adversarial(model, problem.source, rows, Attack("PGD", (1e-9,)), low)["PGD@1e-09"]
    assert (nobody == exact).all()
    some, truth = rows[:300], batch.target[:300].numpy()
    one, other = (
        (predict_adversarial(problem.model, problem.source, some, Attack("PGD", (2 / 255,)), run)["PGD@0.007843"] == truth).mean()
        for run in (runtime(), low)
    )
    assert abs(one - other) <= 0.02
    assert 0.05 < one < 0.95


def test_parameters_and_statistics_are_frozen_and_given_back() -> None:
    problem = tiny()
    model = copy.deepcopy(problem.model).train()
    model.head.bias.requires_grad_(False)
    digest = weights_digest(model)
    predict_adversarial(model, problem.source, problem.dataset.rows("test")[:40], Attack("PGD", (0.01,)), runtime())
    assert weights_digest(model) == digest
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert model.head.weight.requires_grad
    assert not model.head.bias.requires_grad


@pytest.mark.parametrize(("kind", "radius"), [("DEEPFOOL", 0.1), ("FGSM", 0.0), ("FGSM", float("nan")), ("PGD", 2.0)])
def test_unknown_attacks_and_radii_are_refused(kind: str, radius: float) -> None:
    problem = tiny()
    with pytest.raises(InputError, match=r"radii in \(0, 1\]"):
        predict_adversarial(problem.model, problem.source, np.arange(2), Attack(kind, (radius,)), runtime())


def pgd_in_two_passes(model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: float) -> torch.Tensor:
    """PGD as written down: a pass for the gradient, and another one for the answer at the new point."""
    generator = runtime().generator("attack", "PGD")
    answer = model(pixels).argmax(1)
    rest = torch.nonzero(answer == target).flatten()
    moved = pixels.clone()
    moved[rest] = (pixels[rest] + radius * (2 * torch.rand(pixels[rest].shape, generator=generator) - 1)).clamp(0, 1)
    for _ in range(STEPS):
        step = STEP_SHARE / STEPS * radius * input_gradient(model, moved[rest], target[rest]).sign()
        moved[rest] = (pixels[rest] + (moved[rest] + step - pixels[rest]).clamp(-radius, radius)).clamp(0, 1)
        answer[rest] = model(moved[rest]).argmax(1)
        rest = torch.nonzero(answer == target).flatten()
    return answer


def test_one_pass_a_step_gives_the_answers_of_two() -> None:
    problem, seen = tiny(), [0]
    rows = problem.dataset.rows("test")[:200]
    batch = problem.source.take(torch.from_numpy(rows))
    with torch.no_grad():
        expected = pgd_in_two_passes(problem.model, batch.pixels, batch.target, 8 / 255)

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen[0] += 1

    handle = problem.model.body.register_forward_hook(count)
    found = predict_adversarial(problem.model, problem.source, rows, Attack("PGD", (8 / 255,)), runtime())["PGD@0.03137"]
    handle.remove()
    assert (found != expected.numpy()).mean() <= 0.005
    assert 0 < (found != batch.target.numpy()).mean() < 1
    assert seen[0] <= 2 + STEPS


def test_the_cost_that_is_said_first_is_never_exceeded() -> None:
    problem, seen = tiny(), [0, 0]
    rows = problem.dataset.rows("test")[:40]

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen[0] += len(output)
        seen[1] += len(output) if torch.is_grad_enabled() else 0

    handle = problem.model.body.register_forward_hook(count)
    for kind, chosen in (("FGSM", rows), ("PGD", rows[:10])):
        predict_adversarial(problem.model, problem.source, chosen, Attack(kind, RADII_OF[kind]), runtime())
    handle.remove()
    forward, back = attack_passes(40, 10)
    assert 0 < seen[0] <= forward
    assert 0 < seen[1] <= back


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.integers(1, 320), st.integers(0, 3))
def test_a_sample_holds_every_group_by_its_share(groups: list[int], most: int, seed: int) -> None:
    group = np.array(groups)
    rows = stratified_rows(group, most, seed)
    assert len(set(rows.tolist())) == len(rows) == min(most, len(group))
    for code in set(groups):
        share = len(rows) * (group == code).mean()
        assert share - 1 < (group[rows] == code).sum() < share + 1
    assert (rows == stratified_rows(group, most, seed)).all()


@pytest.mark.parametrize("kind", ["PGD", "AA"])
def test_samples_that_have_all_fallen_are_attacked_no_more(kind: str) -> None:
    if kind == "AA":
        pytest.importorskip("pyautoattack")
    model, source, distance = linear()
    rows = np.flatnonzero(distance < 0.01)[:6]
    assert len(rows) == 6
    seen: list[int] = []
    handle = model.body.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    one = predict_adversarial(model, source, rows, Attack(kind, (0.1,)), runtime())
    passes = len(seen)
    both = predict_adversarial(model, source, rows, Attack(kind, (0.1, 0.2)), runtime())
    handle.remove()
    assert (one[f"{kind}@0.1"] != source.target.numpy()[rows]).all()
    assert np.array_equal(both[f"{kind}@0.2"], one[f"{kind}@0.1"])
    assert len(seen) == 2 * passes


def test_autoattack_leaves_the_trace_function_of_a_debugger_where_it_was() -> None:
    pytest.importorskip("pyautoattack")
    model, source, _ = linear()

    def trace(*_: object) -> None:
        """Traces nothing."""

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        predict_adversarial(model, source, np.arange(2), Attack("AA", (0.01,)), runtime())
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
