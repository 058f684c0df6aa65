"""Every method on every family of architectures, two epochs on a few samples; and the options around them."""

from __future__ import annotations

import pytest
import torch
from support.data_kinds import family
from support.tiny import runtime
from support.weights import weights_digest

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.layers import leaf_modules, trainable_layers
from grmu_audit.unlearning.methods import methods

NAMES = [name for name in methods.names() if not methods.get(name).requires]
"""Methods for any network; those for networks that are built for them are tested in ``unlearning.guaranteed``."""
OPTIONS: dict[str, dict[str, object]] = {"ssd": {"selection": 0.5}, "amun": {"attack_steps": 2, "doublings": 2}}
SLOW = ["eu_k", "miu", "influence"]
"""Methods that a full-width ResNet is tried with: the last stages, the features, single-sample gradients."""


def run(name: str, method: str, **settings: object) -> Classifier:
    problem = family(name, 6 if name == "resnet18" else 24)
    chosen = methods.get(method)
    config = chosen.config(epochs=2, batch_size=8, **{**OPTIONS.get(method, {}), **settings})  # type: ignore[arg-type]
    return apply_method(chosen, problem.model, problem.data, config, runtime())


MOVE_INPUTS = {"amun", "boundary_shrink"}
CASES = [
    (name, method) for name in ("mlp", "small_vit", "bert") for method in NAMES if name != "bert" or method not in MOVE_INPUTS
]
CASES += [("resnet18", method) for method in SLOW]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_every_method_runs(name: str, method: str) -> None:
    before = weights_digest(family(name, 6 if name == "resnet18" else 24).model)
    result = run(name, method)
    assert weights_digest(result) != before
    assert all(bool(torch.isfinite(p).all()) for p in result.parameters())
    assert result.head.out_features == result.spec.classes


@pytest.mark.parametrize("method", sorted(MOVE_INPUTS))
def test_methods_that_move_inputs_refuse_texts(method: str) -> None:
    with pytest.raises(InputError, match="moves inputs by small steps, and token numbers have none"):
        run("bert", method)


@pytest.mark.parametrize("name", ["mlp", "small_vit", "bert"])
def test_the_fairness_gap_penalty_acts_at_its_normalisation_layers(name: str) -> None:
    plain, penalised = run(name, "ft"), run(name, "ft", fairness_gap_weight=5.0)
    assert weights_digest(plain) != weights_digest(penalised)


@pytest.mark.parametrize(
    ("name", "layers"), [("mlp", "1"), ("mlp", "body.4"), ("small_vit", "2"), ("small_vit", "body.blocks.1"), ("bert", "2")]
)
def test_a_restriction_to_layers_holds_all_others_still(name: str, layers: str) -> None:
    start = family(name).model
    result = run(name, "ft", layers=layers)
    free = trainable_layers(start, layers)
    before, after = start.state_dict(), result.state_dict()
    still = [k for k in before if k.rpartition(".")[0] not in free]
    assert still
    assert all(torch.equal(before[k], after[k]) for k in still)
    assert not all(torch.equal(before[k], after[k]) for k in before)
    assert len(free) < len(leaf_modules(start))
