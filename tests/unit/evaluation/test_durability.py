"""Changes of the weights that read none of the forget set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.data_kinds import family
from support.tiny import runtime, tiny
from support.weights import weights_digest

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.evaluation import durability
from grmu_audit.evaluation.durability import (
    FineTuning,
    answers,
    collect_changes,
    collect_fine_tuning,
    fine_tune,
    mixed,
    pruned,
    relative_distance,
    rounded,
)
from grmu_audit.models.classifier import copy_model
from grmu_audit.records.white_box import FINE_TUNING, MIXING
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.inference import infer


def ids_of(source: BatchSource) -> np.ndarray:
    return np.array([str(i) for i in range(len(source.dataset))])


def tuning(epochs: int = 1, **recipe: object) -> FineTuning:
    return FineTuning(tiny().data.retain, TrainConfig(batch_size=32, **recipe), epochs)


def test_fine_tuning_reads_the_retain_set_alone_and_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, read = tiny(), []
    digest = weights_digest(problem.model)
    take = BatchSource.take

    def recorded(source: BatchSource, rows: torch.Tensor, generator: torch.Generator | None = None):
        if torch.is_grad_enabled():
            read.append(rows.numpy())
        return take(source, rows, generator)

    monkeypatch.setattr(BatchSource, "take", recorded)
    found = fine_tune(problem.model, problem.source, tuning(2), runtime())
    assert set(np.concatenate(read)) == set(problem.data.retain)
    assert weights_digest(problem.model) == digest
    assert list(found) == ["epoch 0", "epoch 1", "epoch 2"]
    assert (found["epoch 0"].margin == answers(problem.model, problem.source, runtime()).margin).all()
    again = fine_tune(problem.model, problem.source, tuning(2), runtime())
    assert all((found[name].margin == again[name].margin).all() for name in found)
    other = fine_tune(problem.model, problem.source, tuning(1), runtime(5))
    assert not (found["epoch 1"].margin == other["epoch 1"].margin).all()


def test_the_recipe_is_that_of_training_at_a_fifth_of_its_rate() -> None:
    config = FineTuning(np.arange(3), TrainConfig(optimizer="adam", learning_rate=0.01, epochs=40), 4).config
    assert (config.optimizer, config.learning_rate, config.epochs) == ("adam", 0.002, 4)
    assert (config.schedule, config.warmup, config.keep_best) == ("constant", 0.0, False)


def test_fine_tuning_has_the_precision_that_it_is_given_and_answers_that_of_the_runtime() -> None:
    problem = tiny()
    exact, low = (
        collect_fine_tuning(problem.model, problem.source, ids_of(problem.source), runtime(), replace(tuning(), precision=name))
        for name in ("fp32", "bf16")
    )
    assert (exact.changed["epoch 0"].margin == low.changed["epoch 0"].margin).all()
    apart = np.abs(exact.changed["epoch 1"].margin - low.changed["epoch 1"].margin)
    assert 0 < np.median(apart) < 0.1
    assert [one.settings["return"].get("precision") for one in (exact, low)] == [None, "bf16"]


def test_answers_are_labels_and_margins_of_all_samples() -> None:
    problem = tiny()
    found = answers(problem.model, problem.source, runtime())
    logits = infer(problem.model, problem.source, np.arange(len(problem.dataset)), runtime()).double()
    p = logits.softmax(1)[torch.arange(len(logits)), problem.source.target]
    assert (found.prediction == logits.argmax(1).numpy()).all()
    assert found.margin == pytest.approx(torch.log(p / (1 - p)).numpy(), abs=1e-3)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_run_that_diverges_says_so() -> None:
    problem = tiny()
    found = collect_fine_tuning(
        problem.model, problem.source, ids_of(problem.source), runtime(), tuning(2, learning_rate=1e30, weight_decay=1.0)
    )
    assert found.changed == {}
    assert "diverged" in found.missing[FINE_TUNING].text
    assert found.complete


def test_rounded_weights_are_whole_multiples_of_one_step_a_channel() -> None:
    model = tiny().model
    for bits in (8, 4):
        copy = rounded(model, bits)
        top = 2 ** (bits - 1) - 1
        for (name, new), old in zip(copy.named_parameters(), model.parameters(), strict=True):
            if old.ndim < 2:
                assert torch.equal(new, old), name
                continue
            for channel, was in zip(new.detach(), old.detach(), strict=True):
                step = was.abs().max() / top
                whole = channel / step
                assert torch.allclose(whole, whole.round(), atol=1e-3)
                assert float((channel - was).abs().max()) <= float(step) / 2 * 1.001
    with pytest.raises(InputError, match="2 or more"):
        rounded(model, 1)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_channel_of_zeros_stays_one_when_it_is_rounded(bits: int) -> None:
    model = copy_model(tiny().model)
    with torch.no_grad():
        model.head.weight[0] = 0.0
    weight = rounded(model, bits).head.weight
    assert not weight[0].any()
    assert weight[1].any()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_pruning_takes_the_smallest_weights_of_all_layers_together(share: float) -> None:
    model = tiny().model
    copy = pruned(model, share)
    pairs = [(new, old) for new, old in zip(copy.parameters(), model.parameters(), strict=True) if old.ndim > 1]
    new, old = (torch.cat([pair[side].detach().flatten() for pair in pairs]) for side in (0, 1))
    gone = new == 0
    assert int(gone.sum()) == int(share * len(old))
    assert torch.equal(new[~gone], old[~gone])
    if share:
        assert old[gone].abs().max() <= old[~gone].abs().min()
    assert all(torch.equal(a, b) for a, b in zip(copy.parameters(), model.parameters(), strict=True) if a.ndim < 2)


def test_mixtures_lie_on_the_line_and_the_distance_is_that_of_all_parameters() -> None:
    model = tiny().model
    before = rounded(model, 3)
    for share in (0.0, 0.25, 1.0):
        between = mixed(model, before, share)
        for new, one, other in zip(
            between.state_dict().values(), model.state_dict().values(), before.state_dict().values(), strict=True
        ):
            expected = share * one + (1 - share) * other if one.is_floating_point() else one
            assert torch.allclose(new, expected, atol=1e-6)
    flat = [torch.nn.utils.parameters_to_vector(m.parameters()).detach().double() for m in (model, before)]
    assert relative_distance(model, before) == pytest.approx(float((flat[0] - flat[1]).norm() / flat[1].norm()))
    assert relative_distance(model, model) == 0.0


def test_every_change_is_collected_and_other_architectures_are_not_mixed() -> None:
    problem = tiny()
    ids = ids_of(problem.source)
    found = collect_changes(problem.model, problem.source, ids, runtime(), rounded(problem.model, 8))
    assert list(found.changed) == ["int8", "int4", "pruned", "mixed 0.25", "mixed 0.5", "mixed 0.75"]
    assert 0 < found.distance < 0.1  # type: ignore[operator]
    alone = collect_changes(problem.model, problem.source, ids, runtime(), None)
    assert list(alone.changed) == ["int8", "int4", "pruned"]
    assert alone.distance is None
    other = collect_changes(problem.model, problem.source, ids, runtime(), family("mlp").model)
    assert other.missing[MIXING].text.startswith("the version before has another architecture")
    assert list(other.changed) == list(alone.changed)
    assert other.settings["pruned_share"] == durability.PRUNED_SHARE
