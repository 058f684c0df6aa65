"""Certified removal on Adult: the bound against the true gradient and against retraining, the budget, the assumptions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from support.adult_linear import Adult, read_adult, run
from support.data_kinds import table
from support.tiny import CPU, runtime, tiny

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec, copy_model
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.guaranteed.convex import convex_loss, perturbation, secret_generator, weights_of
from grmu_audit.training.runtime import derive_seed
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.guaranteed.certified import Spent
from grmu_audit.unlearning.methods import methods

METHOD = methods.get("certified")
NOBODY: Rows = np.zeros(0, dtype=np.int64)
REQUESTS = 20


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Adult:
    if sys.version_info >= (3, 13):
        pytest.skip("the package that ships the table is made for Python up to 3.12")
    return read_adult(tmp_path_factory.mktemp("adult"), 6000)


def removed(people: Adult, model: Classifier, forget: Rows, served: Rows = NOBODY, **options: object):  # type: ignore[no-untyped-def]
    run_here = run()
    result = apply_method(METHOD, model, people.data(forget, served), METHOD.config(**options), run_here)
    return result, run_here.notes["certified"]


@pytest.mark.parametrize("fairness", [0.0, 1.0])
def test_the_bound_holds_over_twenty_requests_against_retraining(people: Adult, fairness: float) -> None:
    """The norm of the loss gradient at the retained rows, computed anew, is below the bound each time."""
    model = people.trained(people.train, fairness=fairness)
    order = np.random.default_rng(0).permutation(people.women_of_higher_income())
    served, bounds, norms, distances = NOBODY, [], [], []
    for number in range(REQUESTS):
        forget = np.concatenate([served, order[5 * number : 5 * number + 5]])
        model, facts = removed(people, model, forget, served, epsilon=1e6)
        loss = convex_loss(model, people.source, np.setdiff1d(people.train, forget), perturbation(model, 0, "a key"))
        norms.append(float(loss.gradient(weights_of(model)).norm()))
        bounds.append(float(model.body.residual))
        assert bounds[-1] == facts["gradient_norm_bound"]
        retrained = people.trained(np.setdiff1d(people.train, forget), fairness=fairness)
        assert float(loss.gradient(weights_of(retrained)).norm()) < 1e-3
        distances.append((float((weights_of(model) - weights_of(retrained)).norm()), norms[-1] / (len(loss.y) * 0.01)))
        served = forget
    assert all(0 < norm <= bound for norm, bound in zip(norms, bounds, strict=True))
    assert bounds == sorted(bounds)
    assert all(distance <= most * (1 + 1e-6) for distance, most in distances)  # strong convexity: |w - w*| <= |gradient| / (n l2)
    assert facts["epsilon"] == pytest.approx(np.sqrt(2 * np.log(1.5 / 1e-4)) * bounds[-1] / 5.0)


def test_requests_add_up_and_a_spent_budget_refuses(people: Adult) -> None:
    model, order = people.trained(people.train), people.women_of_higher_income()
    once, first = removed(people, model, order[:5])
    _, second = removed(people, once, order[:10], order[:5])
    assert second["gradient_norm_bound_before"] == first["gradient_norm_bound"] < second["gradient_norm_bound"]
    allowed = (first["epsilon"] + second["epsilon"]) / 2
    with pytest.raises(InputError, match=r"since the last training come to epsilon 0\.\d+, and 0\.\d+ is allowed: retrain"):
        removed(people, once, order[:10], order[:5], epsilon=allowed)
    assert removed(people, model, order[:5], epsilon=allowed)[1] == {**first, "epsilon_allowed": allowed}


def test_without_the_newton_step_the_gradient_would_be_far_larger(people: Adult) -> None:
    model, forget = people.trained(people.train), people.women_of_higher_income()[:20]
    result, facts = removed(people, model, forget, epsilon=1e6)
    loss = convex_loss(model, people.source, np.setdiff1d(people.train, forget), perturbation(model, 0, "a key"))
    assert float(loss.gradient(weights_of(model)).norm()) > 20 * facts["gradient_norm"]
    assert not torch.equal(result.head.weight, model.head.weight)


def test_other_networks_are_refused() -> None:
    with pytest.raises(InputError, match="is a small_resnet: only a linear model"):
        apply_method(METHOD, tiny().model, tiny().data, METHOD.config(), runtime())


def moved(people: Adult) -> Classifier:
    model = copy_model(people.trained(people.train))
    with torch.no_grad():
        model.head.weight[0, 0] += 0.01
    return model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: (p.trained(p.train, noise=0.0), {}, run()), "nothing hides what a removal leaves"),
        (lambda p: (moved(p), {}, run()), "another method, seed, key or dataset made them"),
        (lambda p: (p.trained(p.train), {}, replace(run(), secret="another key")), "another method, seed, key or dataset"),
        (lambda p: (p.trained(p.train), {"start_seed": 1}, run()), "another method, seed, key or dataset"),
        (lambda p: (p.trained(p.train[:-50]), {}, run()), "another method, seed, key or dataset"),
        (lambda p: (p.trained(p.train), {"layers": "1"}, run()), "layers must be 'all'"),
    ],
)
def test_models_outside_the_assumptions_are_refused(people: Adult, change, words: str) -> None:  # type: ignore[no-untyped-def]
    model, options, here = change(people)
    data = people.data(people.women_of_higher_income()[:5], NOBODY)
    with pytest.raises(InputError, match=words):
        apply_method(METHOD, model, data, METHOD.config(**options), here)


def test_untrained_weights_reweight_and_nothing_new_are_refused(people: Adult) -> None:
    forget, model = people.women_of_higher_income()[:5], people.trained(people.train)
    fresh = copy_model(model)
    fresh.body.residual.fill_(-1.0)
    with pytest.raises(InputError, match="no bound on the loss gradient"):
        removed(people, fresh, forget)
    with pytest.raises(InputError, match="nothing is left to remove"):
        removed(people, model, forget, forget)
    with pytest.raises(InputError, match="use --no-reweight"):
        apply_method(METHOD, model, people.data(forget, NOBODY).reweighted(), METHOD.config(), run())
    with pytest.raises(InputError, match="use --no-reweight"):
        apply_method(
            methods.get("retrain"), model, people.data(forget, NOBODY).reweighted(), methods.get("retrain").config(), run()
        )


def test_training_is_the_same_for_the_same_seed_and_key(people: Adult) -> None:
    one, same = people.trained(people.train), people.trained(people.train)
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, people.trained(people.train, seed=1).head.weight)


def test_the_random_term_depends_on_all_bits_of_the_secret(people: Adult) -> None:
    model = people.trained(people.train)
    found = perturbation(model, 0, "a key")
    assert torch.equal(found, perturbation(model, 0, "a key"))
    assert not torch.equal(found, perturbation(model, 0, "another key"))
    assert 4 < float(found.std()) < 6
    low = torch.Generator().manual_seed(derive_seed(0, "perturbation", "a key") & 0xFFFFFFFF)  # one of 2^32 tries
    assert not torch.equal(found, 5.0 * torch.randn(found.shape, generator=low, dtype=torch.float64))
    digests = [bytes(32), *(bytes(i) + b"\1" + bytes(31 - i) for i in range(32))]
    assert len({float(secret_generator(digest).standard_normal()) for digest in digests}) == 33


def test_no_noise_spends_without_end() -> None:
    assert Spent(0.1, 0.0, 1e-4).epsilon == np.inf


@cache
def cells_request() -> UnlearningData:
    """Three of a few hundred measured cells, a table that is there with every Python."""
    train = table().rows("train")
    return UnlearningData(BatchSource(table(), CPU), train[3:], train[:3], table().rows("val"))


@cache
def trained(noise: float = 5.0) -> Classifier:
    header = table().header
    spec = ModelSpec("linear", 2, header.input_shape, header.mean, header.std, header.class_names, {"l2": 0.1, "noise": noise})
    return fit(build(spec, 0), cells_request().source, TrainingRows(table().rows("train")), TrainConfig(), run())


def test_the_gradient_that_is_left_lies_below_the_bound_that_is_stored() -> None:
    here = run()
    after = apply_method(METHOD, trained(), cells_request(), METHOD.config(epsilon=1e3), here)
    facts = here.notes["certified"]
    loss = convex_loss(after, cells_request().source, cells_request().retain, perturbation(after, 0, "a key"))
    left = float(loss.gradient(weights_of(after)).norm())
    assert left == pytest.approx(facts["gradient_norm"])
    assert float(trained().body.residual) < left <= facts["gradient_norm_bound"] == float(after.body.residual)
    assert facts["epsilon"] == pytest.approx(np.sqrt(2 * np.log(1.5 / 1e-4)) * facts["gradient_norm_bound"] / 5.0)
    unmoved = convex_loss(trained(), cells_request().source, cells_request().retain, perturbation(after, 0, "a key"))
    assert left < 0.2 * float(unmoved.gradient(weights_of(trained())).norm())


def changed(change: Callable[[Classifier], object]) -> Classifier:
    model = copy_model(trained())
    with torch.no_grad():
        change(model)
    return model


@pytest.mark.parametrize(
    ("make", "data", "options", "says"),
    [
        (trained, cells_request, {"layers": "1"}, "layers must be 'all'"),
        (trained, lambda: cells_request().reweighted(), {}, "REWEIGHT cannot act: use --no-reweight"),
        (lambda: trained(0.0), cells_request, {}, r"without a random term \(noise is 0\)"),
        (
            lambda: changed(lambda model: model.body.residual.fill_(-1.0)),
            cells_request,
            {},
            "no bound on the loss gradient goes with",
        ),
        (
            lambda: changed(lambda model: model.head.bias.add_(0.1)),
            cells_request,
            {},
            "another method, seed, key or dataset made them",
        ),
        (trained, cells_request, {"start_seed": 1}, "another method, seed, key or dataset made them"),
        (trained, cells_request, {"epsilon": 1e-6}, "come to epsilon .*, and 1e-06 is allowed: retrain with another --seed"),
        (trained, lambda: replace(cells_request(), served=cells_request().forget), {}, "nothing is left to remove"),
    ],
)
def test_what_the_guarantee_does_not_hold_for_is_refused(
    make: Callable[[], Classifier], data: Callable[[], UnlearningData], options: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        apply_method(METHOD, make(), data(), METHOD.config(**options), run())
