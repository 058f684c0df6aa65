"""Attacks against the closed form of a linear model, and what they must never touch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny import runtime, tiny

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import InputError
from grmu_audit.evaluation.adversarial import Attack, predict_adversarial
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.weights import weights_digest

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
