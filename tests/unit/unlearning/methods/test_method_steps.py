"""Steps and closed forms of single methods, by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import data_kinds
from support.tiny import runtime, tiny
from torch import nn
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.errors import InputError
from grmu_audit.models.adversarial import fgsm, pgd_l2
from grmu_audit.models.classifier import frozen_copy
from grmu_audit.models.weights import weights_digest
from grmu_audit.training.inference import infer
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.blocks.gradients import mean_gradient, sample_gradients
from grmu_audit.unlearning.blocks.group_dro import GroupDro, balanced
from grmu_audit.unlearning.blocks.passes import distillation, forward_frozen_batchnorm, forward_mixed_with_retain, soft_kl
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.amun import AmunConfig, neighbours
from grmu_audit.unlearning.methods.boundary import expanded, nearest_class, pruned
from grmu_audit.unlearning.methods.distillation import retain_subset, without_class
from grmu_audit.unlearning.methods.fine_tuning import penalty, transpose_kernels
from grmu_audit.unlearning.methods.msg import reinitialise_weights
from grmu_audit.unlearning.methods.random_labels import SalUnConfig, random_labels, top_mask
from grmu_audit.unlearning.methods.regun import targets_by_group
from grmu_audit.unlearning.methods.retraining import RetrainConfig, retrain
from grmu_audit.unlearning.methods.scrub import Rewind, nearest
from grmu_audit.unlearning.methods.weight_editing import SsdConfig, dampening, flat_each, importance, published, woodbury


def result(name: str, data: UnlearningData | None = None, **settings: object):  # type: ignore[no-untyped-def]
    problem, method = tiny(), methods.get(name)
    return apply_method(method, problem.model, data or problem.data, method.config(**settings), runtime())


# --- SCRUB -----------------------------------------------------------------------------------------------------------


def test_distillation_scales_with_temperature_and_its_gradient_is_t_times_the_difference() -> None:
    teacher, student = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.5], [1.0, 0.0]], requires_grad=True)
    t = 4.0
    p, q = torch.softmax(teacher / t, 1), torch.softmax(student.detach() / t, 1)
    loss = distillation(teacher, student, t)
    assert float(loss.detach()) == pytest.approx(float(t * t * (p * (p / q).log()).sum(1).mean()), rel=1e-5)
    loss.backward()
    assert student.grad is not None
    assert torch.allclose(student.grad, t * (q - p) / 2, atol=1e-6)


def test_scrub_forget_passes_move_away_from_the_teacher() -> None:
    problem = tiny()
    batch = problem.source.take(torch.from_numpy(problem.data.forget))

    def distance(model: nn.Module) -> float:
        with torch.no_grad():
            return float(distillation(problem.model.eval()(batch.pixels), model.eval()(batch.pixels), 4.0))

    plain = {"epochs": 3, "learning_rate": 0.02, "schedule": "constant", "warmup": 0.0, "augment": False, "alpha": 0.5}
    assert distance(result("scrub", forget_epochs=3, **plain)) > distance(result("scrub", forget_epochs=0, **plain))


def test_scrub_forget_step_climbs_the_distance_to_the_teacher() -> None:
    """theta_1 = theta_0 + rate d/dtheta of T^2 sum p log(p / q), with the batch's own statistics, and nothing else."""
    problem, t, rate = tiny(), 4.0, 0.01
    settings = {"epochs": 1, "forget_epochs": 1, "gamma": 0.0, "alpha": 0.0, "temperature": t, "batch_size": 512}
    plain = {"learning_rate": rate, "schedule": "constant", "warmup": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    found = result("scrub", augment=False, **settings, **plain)
    twin = copy.deepcopy(problem.model)
    batch = problem.source.take(torch.from_numpy(problem.data.forget))
    p = torch.softmax(problem.model.eval()(batch.pixels).detach() / t, 1)
    q = torch.softmax(forward_frozen_batchnorm(twin, batch.pixels) / t, 1)
    (t * t * (p * (p / q).log()).sum(1).mean()).backward()
    for name, weight in twin.named_parameters():
        assert weight.grad is not None
        moved = found.get_parameter(name) - problem.model.get_parameter(name)
        assert torch.allclose(moved, rate * weight.grad, rtol=1e-3, atol=1e-6), name


def test_at_rest_normalises_by_the_batch_and_writes_nothing_down() -> None:
    model = copy.deepcopy(tiny().model)
    pixels = tiny().source.take(torch.arange(8)).pixels
    kept = {name: value.clone() for name, value in model.named_buffers()}
    rested = forward_frozen_batchnorm(model, pixels)
    assert all(torch.equal(value, kept[name]) for name, value in model.named_buffers())
    assert torch.equal(forward_frozen_batchnorm(model, pixels[:1]), model.eval()(pixels[:1]))
    assert torch.allclose(rested, copy.deepcopy(model).train()(pixels))
    assert not torch.allclose(rested, model.eval()(pixels))
    forward_frozen_batchnorm(model, pixels, published=True)
    assert any(not torch.equal(value, kept[name]) for name, value in model.named_buffers())


def test_scrub_rewinds_to_the_nearest_error_and_the_original_can_win() -> None:
    assert nearest({0: 0.0, 1: 0.4, 2: 0.6}, 0.5) == 1
    assert nearest({0: 0.1, 1: 0.9}, 0.0) == 0
    problem = tiny()
    model = copy.deepcopy(problem.model)
    rewind = Rewind(model, problem.data, False, runtime())
    groups = problem.source.group.numpy()
    assert set(groups[rewind.like]) == set(groups[problem.data.forget])
    kept = weights_digest(model)
    with torch.no_grad():
        model.head.bias[0] += 100.0  # everything is class 0: the forget set (class 1) is all wrong, and so is the target
    rewind.keep(1)
    assert weights_digest(rewind.apply()) != kept
    fresh = Rewind(copy.deepcopy(problem.model), problem.data, False, runtime())
    fresh.load_state_dict(rewind.state_dict())
    assert set(fresh.kept) == {0, 1}
    alone = Rewind(copy.deepcopy(problem.model), problem.data, True, runtime())
    assert weights_digest(alone.apply()) == kept


def test_scrub_rewinds_by_the_error_of_its_last_epoch_whatever_state_it_is_left_in() -> None:
    problem = tiny()
    model = copy.deepcopy(problem.model)
    rewind, run = Rewind(model, problem.data, False, runtime()), runtime()
    rewind.runtime = run
    first = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model.head.bias[0] += 100.0
    rewind.keep(1)
    model.load_state_dict(first)  # as keep_best does
    rewind.apply()
    assert run.notes["rewind_target_error"] == 1.0  # the last epoch calls all of class 1 wrong


def test_scrub_rewind_needs_validation_samples_of_the_group() -> None:
    problem = tiny()
    groups = problem.source.group.numpy()
    val = problem.data.val[groups[problem.data.val] != 2]
    with pytest.raises(InputError, match="switch rewind off"):
        result("scrub", replace(problem.data, val=val), rewind=True, epochs=1)
    assert result("scrub", replace(problem.data, val=val), rewind=True, as_published=True, epochs=1) is not None


# --- SalUn, random labels ----------------------------------------------------------------------------------------------


def test_salun_mask_is_the_exact_top_k_over_all_parameters() -> None:
    values = {"a": torch.tensor([1.0, -5.0, 0.0]), "b": torch.tensor([[4.0, -4.0], [0.5, 2.0]])}
    mask = top_mask(values, 3 / 7)
    assert mask["a"].tolist() == [False, True, False]
    assert mask["b"].tolist() == [[True, True], [False, False]]
    ties = top_mask({"a": torch.ones(10)}, 0.3)
    assert ties["a"].tolist() == [True] * 3 + [False] * 7


@pytest.mark.parametrize("as_published", [False, True])
def test_salun_holds_what_its_mask_holds_and_the_published_form_does_not(as_published: bool) -> None:
    problem = tiny()
    batches = problem.source.batches(problem.data.forget, 64)
    mask = top_mask(mean_gradient(copy.deepcopy(problem.model), batches, runtime()), SalUnConfig().density)
    after = dict(result("salun", epochs=2, batch_size=64, as_published=as_published).named_parameters())
    same = [torch.equal(after[name][~mask[name]], p[~mask[name]]) for name, p in problem.model.named_parameters()]
    assert all(same) is not as_published
    assert any(not torch.equal(after[name][mask[name]], p[mask[name]]) for name, p in problem.model.named_parameters())


def test_forget_batches_are_normalised_together_with_as_many_retain_samples() -> None:
    problem, counted = tiny(), runtime()
    config = methods.get("rl").config(batch_size=16, augment=False)
    model = copy.deepcopy(problem.model)
    kept = {name: value.clone() for name, value in model.named_buffers()}
    pixels = problem.source.take(torch.from_numpy(problem.data.forget[:5])).pixels
    found = forward_mixed_with_retain(model, problem.data, config, counted, 0)(pixels)
    mixed = next(problem.data.retain_batches(16, runtime().generator("company", 0, 0), augment=False))
    assert not set(mixed.rows.tolist()) & set(problem.data.forget.tolist())
    together = copy.deepcopy(model).train()(torch.cat([pixels, mixed.pixels[:5]]))[:5]
    assert torch.allclose(found, together)
    assert counted.sample_gradients == 5
    assert all(torch.equal(value, kept[name]) for name, value in model.named_buffers())
    assert not torch.allclose(found, forward_frozen_batchnorm(model, pixels))


def test_forget_batches_go_alone_where_there_is_no_batch_normalisation() -> None:
    problem = data_kinds.family("small_vit")
    counted, config = runtime(), methods.get("rl").config(batch_size=16, augment=False)
    pixels = problem.source.take(torch.from_numpy(problem.data.forget[:5])).pixels
    torch.manual_seed(0)  # of dropout
    alone = copy.deepcopy(problem.model).train()(pixels)
    torch.manual_seed(0)
    assert torch.equal(forward_mixed_with_retain(copy.deepcopy(problem.model), problem.data, config, counted, 0)(pixels), alone)
    assert counted.sample_gradients == 0


def test_random_labels_are_uniform_over_all_classes() -> None:
    labels = random_labels(9000, 3, torch.Generator().manual_seed(0))
    assert np.allclose(np.bincount(labels.numpy()) / 9000, 1 / 3, atol=0.02)


# --- gradients, SSD, influence -----------------------------------------------------------------------------------------


def test_sample_gradients_average_to_the_mean_gradient() -> None:
    problem = tiny()
    rows = problem.data.retain[:10]
    model = copy.deepcopy(problem.model)
    counted = runtime()
    mean = mean_gradient(model, problem.source.batches(rows, 4), counted)
    parts = list(sample_gradients(model, problem.source.batches(rows, 4), counted, chunk=3))
    assert counted.sample_gradients == 20
    for name, value in mean.items():
        assert torch.allclose(torch.cat([part[name] for part in parts]).mean(0), value, atol=1e-5), name


def test_ssd_dampens_by_its_rule_only() -> None:
    config = SsdConfig(strength=0.5)
    whole, forget = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([2.0, 4.0, 3.0, 0.0])
    assert dampening(whole, forget, 2.0, config).tolist() == [1.0, 0.125, 0.0, 1.0]
    strong = SsdConfig(strength=100.0)
    assert dampening(whole, forget, 2.0, strong).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_ssd_importance_is_the_mean_squared_gradient_of_samples_or_of_batch_means() -> None:
    problem = tiny()
    model, rows = copy.deepcopy(problem.model), problem.data.forget[:6]
    each = [mean_gradient(model, problem.source.batches(rows[i : i + 1], 1), runtime())["head.weight"] for i in range(6)]
    found = importance(model, problem.source.batches(rows, 4), runtime(), False)["head.weight"]
    assert torch.allclose(found, torch.stack(each).square().mean(0), rtol=1e-4, atol=1e-8)
    pairs = [torch.stack(each[i : i + 2]).mean(0).square() for i in (0, 2, 4)]
    means = importance(model, problem.source.batches(rows, 2), runtime(), True)["head.weight"]
    assert torch.allclose(means, torch.stack(pairs).mean(0), rtol=1e-4, atol=1e-8)


def test_ssd_as_published_measures_all_data_on_mixed_batches() -> None:
    """One batch holds all eight samples: F is the square of their mean gradient, F^f that of the forget samples' own."""
    problem = tiny()
    few = replace(problem.data, retain=problem.data.retain[:6], forget=problem.data.forget[:2])
    model = copy.deepcopy(problem.model)
    every = np.concatenate([few.retain, few.forget])
    whole, forget = (mean_gradient(model, problem.source.batches(rows, 8), runtime()) for rows in (every, few.forget))
    config = SsdConfig(selection=1.0)
    after = result("ssd", few, selection=1.0, batch_size=8, as_published=True)
    for name, before in problem.model.named_parameters():
        factor = dampening(whole[name].square(), forget[name].square(), 1.0, config)
        assert torch.allclose(after.get_parameter(name), before * factor, rtol=1e-3, atol=1e-6), name


def test_woodbury_is_the_dense_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    G, v = torch.randn(30, 7, generator=generator), torch.randn(30, generator=generator)
    dense = torch.linalg.solve(0.3 * torch.eye(30) + G @ G.T / 7, v)
    assert torch.allclose(woodbury(G, v, 0.3), dense, atol=1e-4)
    assert torch.allclose(published(torch.zeros(3, 30), v), v)


def test_influence_moves_so_that_the_forget_loss_rises() -> None:
    problem = tiny()

    def loss(model: nn.Module) -> float:
        logits = infer(model, problem.source, problem.data.forget, runtime())  # type: ignore[arg-type]
        return float(functional.cross_entropy(logits, problem.source.target[problem.data.forget]))

    assert loss(result("influence", step=0.05)) > loss(problem.model)
    part = next(sample_gradients(copy.deepcopy(problem.model), problem.source.batches(problem.data.retain[:3], 3), runtime()))
    assert flat_each(part).shape == (3, sum(p.numel() for p in problem.model.parameters()))


# --- L1, layers, kernels -----------------------------------------------------------------------------------------------


def test_l1_penalty_falls_linearly_and_ends() -> None:
    assert [round(penalty(0.2, e, 4, 0), 3) for e in range(4)] == [0.2, 0.15, 0.1, 0.05]
    assert [penalty(1.0, e, 4, 2) for e in range(4)] == [1.0, 0.5, 0.0, 0.0]


def test_l1_sparse_without_an_epoch_for_its_penalty_is_refused() -> None:
    with pytest.raises(InputError, match="epochs_without: 2 leaves none of 2"):
        result("l1_sparse", epochs=2, epochs_without=2)


def test_l1_sparse_shrinks_the_norm() -> None:
    def norm(model: nn.Module) -> float:
        return float(sum(p.abs().sum() for p in model.parameters()))

    assert norm(result("l1_sparse", epochs=2, alpha=0.02)) < norm(result("l1_sparse", epochs=2, alpha=0.0))


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_last_k_moves_the_last_k_only(name: str) -> None:
    before, after = tiny().model.state_dict(), result(name, last=2, epochs=1).state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved
    assert all(key.startswith(("head.", "body.4.")) for key in moved), moved


def test_eu_k_draws_the_stages_again_and_respects_frozen_layers() -> None:
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    after = result("eu_k", last=1, **still)
    assert not torch.allclose(after.head.weight, tiny().model.head.weight, atol=1e-3)
    both = result("eu_k", last=2, layers="1", **still)
    assert torch.equal(both.body[4].conv1.weight, tiny().model.body[4].conv1.weight)


def test_ct_transposes_square_kernels_only() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, (3, 1)))
    before = [layer.weight.detach().clone() for layer in net]
    assert transpose_kernels(net) == 1
    assert torch.equal(net[0].weight, before[0].transpose(-1, -2))
    assert torch.equal(net[1].weight, before[1])
    assert torch.equal(net[2].weight, before[2])


def test_msg_draws_again_the_smallest_and_keeps_the_rest() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 2))
    before = net[0].weight.detach().clone()
    values = {"0.weight": torch.tensor([0.1, 5.0, -0.2, 4.0, 3.0, -6.0, 7.0, 8.0]).view(2, 1, 2, 2)}
    mask = reinitialise_weights(net, values, 0.25, torch.Generator().manual_seed(0))["0.weight"]
    assert mask.flatten().tolist() == [True, False, True, False, False, False, False, False]
    assert torch.equal(net[0].weight[~mask], before[~mask])
    assert not torch.equal(net[0].weight[mask], before[mask])


# --- boundaries, distillation ------------------------------------------------------------------------------------------


class Line(nn.Module):
    """Logit 0 = -x, logit 1 = x, of the mean pixel about one half."""

    spec = SimpleNamespace(kind="image")

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = (pixels - 0.5).mean((1, 2, 3))
        return torch.stack([-x, x], 1)


def test_fgsm_steps_by_its_radius_in_pixels_and_stays_in_range() -> None:
    pixels = torch.full((2, 1, 2, 2), 0.55)
    stepped = fgsm(Line(), pixels, torch.tensor([1, 0]), 0.1)  # type: ignore[arg-type]
    assert torch.allclose(stepped[0], torch.tensor(0.45))
    assert torch.allclose(stepped[1], torch.tensor(0.65))
    assert float(fgsm(Line(), torch.ones(1, 1, 2, 2), torch.tensor([0]), 0.3).max()) == 1.0  # type: ignore[arg-type]


def test_pgd_stays_in_its_ball_and_crosses_the_boundary_when_it_can() -> None:
    pixels = torch.full((1, 1, 2, 2), 0.55)  # the boundary is 0.05 * 2 = 0.1 away in L2
    near = pgd_l2(Line(), pixels, torch.tensor([1]), torch.tensor([0.09]), 50)  # type: ignore[arg-type]
    far = pgd_l2(Line(), pixels, torch.tensor([1]), torch.tensor([0.12]), 50)  # type: ignore[arg-type]
    assert float((near - pixels).norm()) == pytest.approx(0.09, abs=1e-5)
    assert int(Line()(near).argmax()) == 1
    assert int(Line()(far).argmax()) == 0


def test_boundary_shrink_never_fits_the_true_label_unless_published() -> None:
    logits, target = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]]), torch.tensor([0, 2])
    assert nearest_class(logits, target, fallback=True).tolist() == [2, 1]
    assert nearest_class(logits, target, fallback=False).tolist() == [0, 1]


def test_boundary_expansion_adds_one_output_and_takes_it_away() -> None:
    head = nn.Linear(4, 3)
    wide = expanded(head, torch.Generator().manual_seed(0))
    assert wide.weight.shape == (4, 4)
    assert float(wide.weight[3].abs().max()) <= 0.5
    back = pruned(wide, 3)
    assert torch.equal(back.weight, head.weight)
    assert torch.equal(back.bias, head.bias)
    assert result("boundary_expansion", epochs=1).head.out_features == 2


def test_delete_takes_the_true_class_out() -> None:
    q = without_class(torch.tensor([[9.0, math.log(3.0), 0.0]]), torch.tensor([0]))
    assert torch.allclose(q, torch.tensor([[0.0, 0.75, 0.25]]))
    assert float(soft_kl(q, torch.tensor([[-50.0, math.log(3.0), 0.0]]))) == pytest.approx(0.0, abs=1e-5)


def test_delete_and_boundary_shrink_change_answers_on_the_forget_set() -> None:
    problem = tiny()

    def right(model: nn.Module) -> float:
        logits = infer(model, problem.source, problem.data.forget, runtime())  # type: ignore[arg-type]
        return float(torch.softmax(logits, 1).gather(1, problem.source.target[problem.data.forget][:, None]).mean())

    for name in ("delete", "boundary_shrink"):
        assert right(result(name, epochs=15, learning_rate=0.01)) < right(problem.model), name
    assert right(result("boundary_expansion", epochs=15, learning_rate=0.01)) != right(problem.model)


def test_bad_teacher_takes_its_share_of_the_retain_set_once() -> None:
    rows = retain_subset(tiny().data, 0.3, runtime())
    assert len(rows) == len(set(rows.tolist())) == round(0.3 * len(tiny().data.retain))
    assert set(rows) <= set(tiny().data.retain)


# --- ReGUn, AMUN, NegGrad+ ---------------------------------------------------------------------------------------------


def test_regun_targets_are_means_of_the_same_group_then_class_then_all() -> None:
    problem = tiny()
    groups = problem.source.group.numpy()
    rows = np.concatenate([problem.data.val[groups[problem.data.val] == code][:3] for code in (0, 2)])
    p = torch.softmax(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), 1)
    by_group = targets_by_group(p, rows, problem.data, "group")
    assert torch.allclose(by_group[0], p[:3].mean(0))
    assert torch.allclose(by_group[2], p[3:].mean(0))
    assert torch.allclose(by_group[1], p[:3].mean(0))  # no row of its group: its class
    assert torch.allclose(targets_by_group(p, rows, problem.data, "all"), p.mean(0).expand(4, -1))
    lonely = targets_by_group(p[:3], rows[:3], problem.data, "group")
    assert torch.allclose(lonely[3], p[:3].mean(0))  # neither group nor class: all


def test_amun_neighbours_are_wrong_for_the_original_and_near() -> None:
    problem = tiny()
    config = AmunConfig(attack_steps=10, with_forget=False)
    original = frozen_copy(problem.model)
    found = neighbours(original, problem.data, config, runtime())
    beside = found.batch
    assert len(beside.target) + found.failed == len(problem.data.forget)
    assert set(beside.rows.tolist()) <= set(problem.data.forget.tolist())
    with torch.no_grad():
        assert torch.equal(original(beside.pixels).argmax(1), beside.target)
    assert bool((beside.target == 0).all())  # the forget set is of class 1
    assert float(beside.pixels.min()) >= 0.0
    assert float(beside.pixels.max()) <= 1.0


def test_amun_costs_the_retain_set_the_forget_set_and_its_neighbours_in_every_epoch() -> None:
    problem, method = tiny(), methods.get("amun")
    counted = [runtime(), runtime()]
    for epochs, run in zip((1, 2), counted, strict=True):
        apply_method(method, problem.model, problem.data, method.config(epochs=epochs, attack_steps=6), run)
    expected = len(problem.data.retain) + 2 * len(problem.data.forget) - counted[0].notes["forget_samples_without_neighbour"]
    assert counted[1].sample_gradients - counted[0].sample_gradients == expected


def test_neggrad_plus_is_the_weighted_difference_of_two_gradients() -> None:
    problem = tiny()
    small = replace(problem.data, retain=problem.data.retain[:12], forget=problem.data.forget[:8])
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "augment": False}
    after = result("neggrad_plus", small, epochs=1, batch_size=12, learning_rate=0.01, balance=0.9, **plain)
    twin = copy.deepcopy(problem.model).train()
    retain, forget = (problem.source.take(torch.from_numpy(rows)) for rows in (small.retain, small.forget))
    (0.9 * functional.cross_entropy(twin(retain.pixels), retain.target)).backward()
    (-0.1 * functional.cross_entropy(forward_frozen_batchnorm(twin, forget.pixels), forget.target)).backward()
    for (name, old), new in zip(twin.named_parameters(), after.parameters(), strict=True):
        assert torch.allclose(new, old - 0.01 * old.grad, atol=1e-5), name  # type: ignore[operator]


# --- Group-DRO ---------------------------------------------------------------------------------------------------------


def test_group_dro_weights_by_hand() -> None:
    dro = GroupDro(torch.tensor([4, 1, 0]), step_size=0.5)
    assert dro.q.tolist() == [0.5, 0.5, 0.0]
    loss = dro.loss(torch.tensor([1.0, 3.0, 4.0]), torch.tensor([0, 0, 1]))
    raw = np.array([math.exp(0.5 * 2.0), math.exp(0.5 * 4.0)])
    q = raw / raw.sum()
    assert np.allclose(dro.q.numpy(), [*q, 0.0], atol=1e-6)
    assert float(loss) == pytest.approx(float(q @ [2.0, 4.0]), rel=1e-5)


def test_group_dro_adjustment_steers_the_weights_and_stays_out_of_the_loss() -> None:
    dro = GroupDro(torch.tensor([4, 1]), step_size=1.0, adjustment=2.0)
    loss = dro.loss(torch.tensor([0.0, 0.0]), torch.tensor([0, 1]))
    assert float(loss) == 0.0
    assert float(dro.q[1] / dro.q[0]) == pytest.approx(math.exp(2.0 - 1.0), rel=1e-5)


def test_group_dro_gradient_does_not_pass_through_the_weights_and_absent_groups_shrink() -> None:
    dro = GroupDro(torch.tensor([1, 1]), step_size=1.0)
    losses = torch.tensor([2.0], requires_grad=True)
    dro.loss(losses, torch.tensor([0])).backward()
    assert losses.grad is not None
    assert float(losses.grad) == pytest.approx(float(dro.q[0]))
    assert float(dro.q[1]) < 0.5


def test_retrain_with_group_dro_records_weights_and_starts_fresh() -> None:
    used = runtime()
    config = RetrainConfig(epochs=2, group_dro=True, keep_best_by="worst_group")
    model = retrain(copy.deepcopy(tiny().model), tiny().data, config, used)
    assert sum(used.notes["group_weights"]) == pytest.approx(1.0, abs=1e-4)
    assert used.notes["epoch_kept_by"] == "worst_group validation accuracy"
    blind = runtime()
    retrain(copy.deepcopy(tiny().model), replace(tiny().data, val=tiny().data.val[:0]), config, blind)
    assert blind.notes["epoch_kept_by"] == "last"
    plain = retrain(copy.deepcopy(tiny().model), tiny().data, RetrainConfig(epochs=2), runtime())
    assert weights_digest(model) != weights_digest(plain)
    assert balanced(np.array([0, 1, 1])).tolist() == [3.0, 1.5, 1.5]


def test_group_dro_continues_from_a_checkpoint() -> None:
    dro, other = (GroupDro(torch.tensor([1, 1]), 1.0) for _ in range(2))
    dro.loss(torch.tensor([2.0]), torch.tensor([0]))
    other.load_state_dict(dro.state_dict())
    batch = Batch(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    model = copy.deepcopy(tiny().model).eval()
    assert float(dro(model, batch)) == float(other(model, batch))
