"""Folded, low-precision and compiled passes give the plain ones' answers, within the limits of the guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import CPU, runtime, tiny
from torch import nn

from grmu_audit.evaluation.precision_guard import compare, settle_inference
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec, copy_model, counted_forwards
from grmu_audit.training import forms
from grmu_audit.training.forms import folded, forward_of
from grmu_audit.training.inference import batch_size, infer, near_ties
from grmu_audit.training.runtime import Inference

ROWS = np.arange(200, dtype=np.int64)


def logits(way: Inference | None, *, features: bool = False) -> torch.Tensor:
    run = runtime()
    run.inference = way
    return infer(tiny().model, tiny().source, ROWS, run, features=features)


def test_plain_fp32_has_the_bits_of_the_network() -> None:
    model = tiny().model.eval()
    with torch.no_grad():
        expected = model(tiny().source.take(torch.from_numpy(ROWS)).pixels)
    assert torch.equal(logits(None), expected)


@pytest.mark.parametrize("features", [False, True])
def test_folded_fp32_is_the_same_up_to_rounding(features: bool) -> None:
    plain, other = logits(None, features=features), logits(Inference("fp32", "folded"), features=features)
    assert torch.allclose(other, plain, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded(copy_model(tiny().model).body).modules())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_networks_of_torchvision_are_folded_where_normalisation_follows_a_convolution(name: str) -> None:
    model = build(ModelSpec(name, 3, (3, 32, 32), (0.5,) * 3, (0.25,) * 3), 0).train()
    pixels = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model(pixels)  # running statistics that are not those of a fresh network
        expected = model.eval()(pixels)
        assert torch.allclose(forward_of(model, Inference("fp32", "folded"), CPU)(pixels), expected, rtol=1e-4, atol=1e-5)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in folded(model.body).modules())  # type: ignore[union-attr]
    assert left == {"resnet18": 0, "mobilenet_v2": 0, "densenet121": 62}[name]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) > left


@pytest.mark.parametrize("form", ["plain", "folded"])
def test_bf16_keeps_the_verdicts_of_a_trained_model(form: str) -> None:
    """Every row, those that it was not trained on too; the rows near a tie, a few of a hundred, are those of fp32."""
    run, source = Inferring(Inference("bf16", form)), tiny().source
    settle_inference(tiny().model, source, run)
    assert run.inference.precision == "bf16", run.notes
    rows = np.arange(len(tiny().dataset), dtype=np.int64)
    exact, fast = (infer(tiny().model, source, rows, one) for one in (runtime(), run))
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast)
    found = compare(exact, fast, source.target, source.group)
    assert found.holds, found
    ties = near_ties(fast, run.inference.near_tie)
    assert torch.allclose(fast[ties], exact[ties], atol=1e-5)
    assert 0.0 < float(ties.float().mean()) < 0.2


def test_weights_that_change_later_are_followed_by_the_next_pass() -> None:
    model = copy_model(tiny().model)
    run = runtime()
    run.inference = Inference("fp32", "folded")
    before = infer(model, tiny().source, ROWS, run)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    assert not torch.allclose(infer(model, tiny().source, ROWS, run), before)


def test_passes_in_any_form_are_counted() -> None:
    model, seen = copy_model(tiny().model).eval(), list[int]()
    model.body.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    with counted_forwards() as counted:
        for way in (Inference(), Inference("fp32", "folded"), Inference("bf16", "folded")):
            infer(model, tiny().source, ROWS, Inferring(way))
    assert seen == [200, 200, 200]
    assert counted.samples == 600


def test_few_rows_are_not_worth_folding() -> None:
    few = Inference("fp32", "folded", fold_from=len(ROWS) + 1)
    assert torch.equal(logits(few), logits(None))
    assert not torch.equal(logits(replace(few, fold_from=len(ROWS))), logits(None))


def Inferring(way: Inference):  # type: ignore[no-untyped-def]  # noqa: N802
    run = runtime()
    run.inference = way
    return run


class Branching(nn.Module):
    """Cannot be traced: what it does depends on its input."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) if float(x.sum()) > -1e30 else x  # type: ignore[no-any-return]


def test_a_network_that_cannot_be_traced_stays_plain() -> None:
    model = tiny().model.eval()
    odd = Classifier(Branching(model.body), model.head, model.spec)
    pixels = tiny().source.take(torch.arange(5)).pixels
    with torch.no_grad():
        assert torch.equal(forward_of(odd, Inference("fp32", "folded"), CPU)(pixels), model(pixels))


def test_compiled_batches_have_one_shape_and_a_compiler_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[int] = []

    def pretend(body: nn.Module, **_: Any) -> Any:
        def run(x: torch.Tensor) -> torch.Tensor:
            shapes.append(len(x))
            if len(shapes) > 4:
                raise RuntimeError("no C++ compiler")
            return body(x)  # type: ignore[no-any-return]

        return run

    monkeypatch.setattr(torch, "compile", pretend)
    run = Inferring(Inference("fp32", "folded", compile_from=100))
    expected = infer(tiny().model, tiny().source, ROWS[:99], run, size=64)
    assert shapes == []
    found = infer(tiny().model, tiny().source, ROWS, run, size=64)
    assert shapes == [64, 64, 64, 64]
    assert torch.allclose(found[:99], expected, atol=1e-5)
    assert torch.allclose(infer(tiny().model, tiny().source, ROWS, run, size=64), found, atol=1e-6)
    assert shapes == [64] * 5


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms.shutil, "which", lambda name: None)
    assert not forms.compiler_is_there()


@pytest.mark.parametrize(("side", "size"), [(8, 512), (32, 512), (64, 256), (224, 32), (600, 32)])
def test_batches_shrink_with_the_inputs_on_a_cpu(side: int, size: int) -> None:
    model = copy_model(tiny().model)
    model.spec = replace(model.spec, image_size=(3, side, side))
    assert batch_size(model, CPU) == size
    assert batch_size(model, torch.device("cuda")) == 512


def test_batches_of_another_shape_do_not_go_through_the_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the compiler, which takes long and is not everywhere: smaller batches are filled up to its shape."""
    body = nn.Flatten()
    seen: list[tuple[int, ...]] = []

    def compiler(network: nn.Module, dynamic: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        assert (network, dynamic) == (body, False)
        return lambda pixels: (seen.append(tuple(pixels.shape)), network(pixels))[1]  # type: ignore[func-returns-value, no-any-return]

    monkeypatch.setattr(torch, "compile", compiler)
    forward = forms.compiled(body)
    for shape in ((4, 1, 2, 2), (3, 1, 2, 2), (5, 1, 2, 2), (4, 1, 2, 3)):
        pixels = torch.rand(shape)
        assert torch.equal(forward(pixels), pixels.flatten(1))
    assert seen == [(4, 1, 2, 2), (4, 1, 2, 2)]
