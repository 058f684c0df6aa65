"""Every family of networks is measured, or it is said why not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.data_kinds import family
from support.tiny import runtime
from support.weights import weights_digest

from grmu_audit.evaluation import adversarial
from grmu_audit.evaluation.relearning import RelearningConfig, relearn_curves
from grmu_audit.evaluation.white_box import auto_attack, collect_white_box, merge
from grmu_audit.records.white_box import RADII_OF, attack_name

STEPPING = [attack_name(kind, radius) for kind in ("FGSM", "PGD") for radius in RADII_OF[kind]]


@pytest.mark.parametrize("name", ["small_vit", "mlp", "bert"])
def test_every_family_is_measured_or_says_why_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "bert":
        pytest.importorskip("transformers")
    monkeypatch.setattr(adversarial, "STEPS", 2)
    monkeypatch.setattr("grmu_audit.evaluation.white_box.MOST_AA", 0)
    problem = family(name)
    source = problem.source
    ids = np.array([str(i) for i in range(len(source.dataset))])
    digest = weights_digest(problem.model)
    found = merge(collect_white_box(problem.model, source, ids, runtime()), auto_attack(problem.model, source, ids, runtime()))
    assert weights_digest(problem.model) == digest
    assert found.features is not None
    assert found.features.shape[0] == len(ids)
    assert np.isfinite(found.features).all()
    test = source.dataset.rows("test")
    if name == "bert":
        assert set(found.missing) == {*STEPPING, "AA@0.03137"}
        assert all("no small steps" in why.text for why in found.missing.values())
        assert found.complete
    else:
        assert set(STEPPING) <= set(found.adversarial_predictions)
        assert all((found.adversarial_predictions[attack][test] >= 0).all() for attack in STEPPING)
        assert all((np.delete(found.adversarial_predictions[attack], test) == -1).all() for attack in STEPPING)
    assert found.layers is not None
    assert len(found.layers.layers) >= 2
    assert all(np.isfinite(values[:, 0]).all() for key, values in found.layers.values.items() if key.endswith("class"))


def test_pgd_attacks_a_sample_that_is_the_same_for_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "STEPS", 1)
    problem = family("mlp")
    source = problem.source
    ids = np.array([str(i) for i in range(len(source.dataset))])
    tests = source.dataset.rows("test")
    one = collect_white_box(problem.model, source, ids, runtime(), 30)
    other = collect_white_box(copy.deepcopy(problem.model).requires_grad_(False), source, ids, runtime(), 30)
    attacked = [np.flatnonzero(found.adversarial_predictions["PGD@0.03137"] >= 0).tolist() for found in (one, other)]
    assert attacked[0] == attacked[1]
    assert len(attacked[0]) == one.settings["pgd_samples"] == 30
    assert set(attacked[0]) < set(tests.tolist())
    assert (one.adversarial_predictions["FGSM@0.03137"][tests] >= 0).all()


def test_relearning_changes_a_copy_and_its_loss_falls() -> None:
    problem = family("mlp")
    digest = weights_digest(problem.model)
    curves = relearn_curves(
        problem.model, problem.source, problem.data.forget, runtime(), RelearningConfig(runs=2, epochs=3, samples=200)
    )
    assert weights_digest(problem.model) == digest
    assert curves.shape == (2, 4)
    assert (curves[:, -1] < curves[:, 0]).all()
    again = relearn_curves(
        problem.model, problem.source, problem.data.forget, runtime(), RelearningConfig(runs=2, epochs=3, samples=200)
    )
    assert (curves == again).all()


def test_what_is_known_already_is_not_relearned() -> None:
    """The run ends after one epoch, and keeps its last value."""
    problem = family("mlp")
    target = problem.source.target[torch.from_numpy(problem.data.forget)]
    forget = problem.data.forget[target.numpy() == 0]
    model = copy.deepcopy(problem.model)
    with torch.no_grad():
        model.head.bias[0] += 8.0
    assert len(forget) > 0
    config = RelearningConfig(runs=1, epochs=4, samples=100, rate=1e-3)
    (curve,) = relearn_curves(model, problem.source, forget, runtime(), config)
    assert 0 < curve[0] < 0.01
    assert 0 < curve[1] < 0.01
    assert curve[0] != curve[1]
    assert set(curve[1:]) == {curve[1]}
