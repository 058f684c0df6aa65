"""Restriction to layers: what is frozen does not move, whatever the method does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support.tiny import runtime, spec, tiny

from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.layers import leaf_modules, train_only, trainable_layers, unfreeze
from grmu_audit.unlearning.method import Method, MethodConfig
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.miu import MiuConfig

STEM = {"body.0", "body.1"}
FIRST = {f"body.3.{part}" for part in ("conv1", "norm1", "conv2", "norm2")}
LAST = {f"body.4.{part}" for part in ("conv1", "norm1", "conv2", "norm2", "shortcut.0", "shortcut.1")}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", STEM | FIRST | LAST | {"head"}),
        ("1", {"head"}),
        ("2", LAST | {"head"}),
        ("4", STEM | FIRST | LAST | {"head"}),
        ("body.4", LAST | {"head"}),
        ("body.3.conv2", {"body.3.conv2", "body.3.norm2"} | LAST | {"head"}),
        ("head", {"head"}),
    ],
)
def test_which_layers_move(layers: str, expected: set[str]) -> None:
    assert trainable_layers(build(spec(), 0), layers) == expected


@pytest.mark.parametrize(("layers", "message"), [("0", "last 0 stages"), ("5", "has 4"), ("body.9", "no layer 'body.9'")])
def test_layers_that_do_not_exist_are_named(layers: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainable_layers(build(spec(), 0), layers)


@pytest.mark.parametrize("layers", ["1", "2", "body.3.norm2"])
def test_frozen_tensors_rest_and_the_others_move(layers: str) -> None:
    problem = tiny()
    config = MiuConfig(epochs=2, batch_size=32, weight_decay=0.1, momentum=0.9, layers=layers)
    result = apply_method(methods.get("miu"), problem.model, problem.data, config, runtime())
    free = trainable_layers(problem.model, layers)
    before, after = problem.model.state_dict(), result.state_dict()
    for name, _ in leaf_modules(problem.model):
        for key in [key for key in before if key.startswith(f"{name}.")]:
            assert torch.equal(before[key], after[key]) is (name not in free), key
    assert all(p.requires_grad for p in result.parameters())
    assert not any(module._forward_pre_hooks for module in result.modules())


def test_frozen_modules_run_in_eval_mode_even_in_a_copy() -> None:
    model = build(spec(), 0)
    batch = tiny().source.take(torch.arange(8))
    with train_only(model, "1") as held:
        same = copy_model(model).train()
        before = same.body[1].running_mean.clone()
        same(batch.pixels)
        assert torch.equal(same.body[1].running_mean, before)
        assert "body.1.running_mean" in held
        assert "head.weight" not in held
    model.train()(batch.pixels)
    assert not torch.equal(model.body[1].running_mean, before)


def probe(run: Callable[..., Classifier], exact: bool = False) -> Method:
    return Method("probe", "for a test", run, MethodConfig, frozenset({"retain"}), "none", exact=exact)


def test_a_method_that_writes_to_frozen_layers_is_stopped() -> None:
    def rude(model: Classifier, data: object, config: object, runtime: object) -> Classifier:
        with torch.no_grad():
            next(iter(model.parameters())).add_(1.0)
        return model

    problem = tiny()
    assert apply_method(probe(rude), problem.model, problem.data, MethodConfig(), runtime()) is not problem.model
    with pytest.raises(InputError, match=r"moved 1 frozen tensor.*body.0.weight"):
        apply_method(probe(rude), problem.model, problem.data, MethodConfig(layers="1"), runtime())


@pytest.mark.parametrize("option", [{"layers": "1"}, {"fairness_gap_weight": 1.0}])
def test_exact_methods_take_no_restriction(option: dict[str, object]) -> None:
    problem = tiny()
    method = methods.get("retrain")
    with pytest.raises(InputError, match="is exact"):
        apply_method(method, problem.model, problem.data, method.config(epochs=1, **option), runtime())


def test_a_result_that_is_not_finite_is_refused() -> None:
    from grmu_audit.errors import DivergedError

    def broken(model: Classifier, data: object, config: object, runtime: object) -> Classifier:
        with torch.no_grad():
            model.head.bias.fill_(float("nan"))
        return model

    problem = tiny()
    with pytest.raises(DivergedError, match="not finite; nothing was registered"):
        apply_method(probe(broken), problem.model, problem.data, MethodConfig(), runtime())


def test_a_network_that_a_method_copied_is_freed_of_the_restriction() -> None:
    model = build(spec(), 0)
    with train_only(model, "1"):
        copied = copy_model(model)
        held = [name for name, parameter in copied.named_parameters() if not parameter.requires_grad]
    assert "body.1.weight" in held
    copied.train()(torch.rand(4, 3, 32, 32))
    assert not copied.body[1].training  # type: ignore[index, union-attr]
    unfreeze(copied).train()(torch.rand(4, 3, 32, 32))
    assert copied.body[1].training  # type: ignore[index, union-attr]
    assert all(parameter.requires_grad for parameter in copied.parameters())
