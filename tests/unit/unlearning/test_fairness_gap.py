"""The fairness-gap against numpy, and the penalty around methods of every kind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.tiny import runtime, spec, tiny
from support.weights import weights_digest
from torch import nn

from grmu_audit.data.batches import Batch
from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, frozen_copy
from grmu_audit.models.normalisation import GapDefinition, channel_spread, choose_layers, gaps, normalisation_layers
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.fairness_gap import FairnessGapPenalty
from grmu_audit.unlearning.method import Method, MethodConfig
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.miu import MiuConfig


def by_hand(z: np.ndarray, labels: np.ndarray, stat: str) -> float:
    """[n, channels, positions] activations -> largest minus smallest mean variance."""
    found = []
    for code in np.unique(labels):
        columns = z[labels == code].transpose(1, 0, 2).reshape(z.shape[1], -1)
        variance = columns.var(axis=1)
        found.append((np.sqrt(variance) if stat == "std" else variance).mean())
    return float(max(found) - min(found))


@pytest.mark.parametrize("stat", ["var", "std"])
def test_spread_of_image_activations_agrees_with_numpy(stat: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    z = rng.normal(size=(40, 5, 4, 3)) * (1 + labels[:, None, None, None])
    expected = by_hand(z.reshape(40, 5, 12), labels, stat)
    assert float(channel_spread(torch.from_numpy(z), torch.from_numpy(labels), 1, stat)) == pytest.approx(expected, rel=1e-5)


def test_spread_of_tokens_runs_over_samples_and_tokens() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 6)
    z = rng.normal(size=(12, 7, 5)) * (1 + labels[:, None, None])
    expected = by_hand(z.transpose(0, 2, 1), labels, "var")
    assert float(channel_spread(torch.from_numpy(z), torch.from_numpy(labels), -1)) == pytest.approx(expected, rel=1e-5)


def test_classes_with_one_sample_do_not_count() -> None:
    z = torch.tensor([[0.0], [2.0], [0.0], [6.0], [99.0]])
    assert channel_spread(z, torch.tensor([0, 0, 1, 1, 2]), 1).item() == 8.0
    assert channel_spread(z, torch.tensor([0, 0, 1, 2, 3]), 1).isnan()


def test_gaps_are_measured_in_eval_mode_where_the_definition_says() -> None:
    problem = tiny()
    model = copy.deepcopy(problem.model).train()
    digest = weights_digest(model)
    batch = problem.source.take(torch.from_numpy(problem.data.retain))
    layers = normalisation_layers(model)
    assert layers[0] == "body.1"
    found = {
        point: gaps(model, batch.pixels, batch.target, layers, GapDefinition(point=point))  # type: ignore[arg-type]
        for point in ("input", "output")
    }
    assert model.training
    assert model.body[1].training
    assert weights_digest(model) == digest
    stem = model.eval().body[0]((batch.pixels - model.mean) / model.std)
    for point, z in (("input", stem), ("output", model.body[1](stem))):
        expected = by_hand(z.detach().flatten(2).double().numpy(), batch.target.numpy(), "var")
        assert found[point][0].item() == pytest.approx(expected, rel=1e-4)
    by_group = gaps(model, batch.pixels, batch.group, layers, GapDefinition(by="group"))
    assert not torch.allclose(by_group, found["output"])


def penalty(original: Classifier, run: Runtime, weight: float = 2.0) -> FairnessGapPenalty:
    problem = tiny()
    retain = torch.zeros(len(problem.source.target), dtype=torch.bool)
    retain[problem.data.retain] = True
    layers = normalisation_layers(original)
    return FairnessGapPenalty(frozen_copy(original), weight, layers, GapDefinition(), retain, run)


def test_the_penalty_is_the_squared_change_on_retain_samples_alone() -> None:
    problem, run = tiny(), runtime()
    other = build(spec(), 5).eval()
    rows = torch.from_numpy(np.concatenate([problem.data.forget, problem.data.retain[:30]]))
    batch = problem.source.take(rows)
    value = penalty(problem.model, run).loss(other, batch)
    assert value is not None
    kept = problem.source.take(rows[len(problem.data.forget) :])
    layers = normalisation_layers(other)
    change = gaps(other, kept.pixels, kept.target, layers, GapDefinition()) - gaps(
        problem.model, kept.pixels, kept.target, layers, GapDefinition()
    )
    assert float(value.detach()) == pytest.approx(2.0 * float(change.detach().square().mean()), rel=1e-5)
    assert run.sample_gradients == 30
    assert penalty(problem.model, run).loss(problem.model, batch).item() == 0.0  # type: ignore[union-attr]


def test_the_penalty_says_nothing_where_it_is_undefined() -> None:
    problem = tiny()
    term = penalty(problem.model, runtime())
    assert term.loss(problem.model, problem.source.take(torch.from_numpy(problem.data.forget))) is None
    one_class = problem.data.retain[problem.source.target.numpy()[problem.data.retain] == 1]
    assert term.loss(problem.model, problem.source.take(torch.from_numpy(one_class))) is None


def change_of_gap(model: Classifier) -> float:
    """Mean absolute change of the gap against the original over layers, on the validation rows."""
    problem = tiny()
    batch = problem.source.take(torch.from_numpy(problem.data.val))
    layers = normalisation_layers(model)
    with torch.no_grad():
        now, then = (gaps(m, batch.pixels, batch.target, layers, GapDefinition()) for m in (model, problem.model))
    return float((now - then).abs().mean())


def run_miu(weight: float, **settings: object) -> tuple[Classifier, Runtime]:
    problem, run = tiny(), runtime()
    config = MiuConfig(epochs=4, batch_size=32, learning_rate=0.01, fairness_gap_weight=weight, **settings)  # type: ignore[arg-type]
    return apply_method(methods.get("miu"), problem.model, problem.data, config, run), run


def test_the_penalty_keeps_the_gap_nearer_to_the_original() -> None:
    free, _ = run_miu(0.0)
    held, run = run_miu(3.0)
    assert change_of_gap(held) < 0.7 * change_of_gap(free)
    assert run.notes["fairness_gap_steps"] > 0


def test_a_method_that_reads_no_retain_data_gets_a_pass_of_its_own() -> None:
    problem, run = tiny(), runtime()
    method = methods.get("gradient_ascent")
    seen: list[dict[str, float]] = []
    run.log = lambda epoch, metrics: seen.append(dict(metrics))
    held = apply_method(method, problem.model, problem.data, method.config(epochs=2, fairness_gap_weight=1.0), run)
    free = apply_method(method, problem.model, problem.data, method.config(epochs=2), runtime())
    assert all("loss_fairness_gap" in metrics for metrics in seen)
    assert weights_digest(held) != weights_digest(free)


def test_a_method_without_steps_cannot_take_the_penalty() -> None:
    def still(model: Classifier, data: UnlearningData, config: MethodConfig, run: Runtime) -> Classifier:
        return model

    method = Method("probe", "for a test", still, MethodConfig, frozenset({"retain"}), "none")
    with pytest.raises(InputError, match="takes no gradient step"):
        apply_method(method, tiny().model, tiny().data, MethodConfig(fairness_gap_weight=1.0), runtime())


def test_layers_are_chosen_by_name() -> None:
    model = build(spec(), 0)
    assert choose_layers(model, ["body.3.norm1"]) == ["body.3.norm1"]
    assert choose_layers(model, []) == normalisation_layers(model)
    with pytest.raises(InputError, match=r"no normalisation layer 'body.3.norm9' \(did you mean"):
        choose_layers(model, ["body.3.norm9"])
    with pytest.raises(InputError, match="no normalisation layer to measure"):
        choose_layers(nn.Linear(2, 2), [])


def test_switches_change_what_is_penalised() -> None:
    problem = tiny()
    batch: Batch = problem.source.take(torch.from_numpy(problem.data.retain[:60]))
    values = set()
    for definition in (
        GapDefinition(), GapDefinition(stat="std"), GapDefinition(point="input"), GapDefinition(by="group"),
    ):  # fmt: skip
        term = penalty(problem.model, runtime())
        term.definition = definition
        found = term.loss(build(spec(), 5), batch)
        assert found is not None
        values.add(round(float(found.detach()), 9))
    assert len(values) == 4
