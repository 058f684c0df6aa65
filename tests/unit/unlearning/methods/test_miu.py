"""MIU: its terms and switches."""

from __future__ import annotations

import pytest
from support.notes import Notes
from support.tiny import runtime, tiny
from support.weights import weights_digest

from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.miu import MiuConfig


def test_miu_without_any_term_moves_nothing_but_its_last_switch_matters() -> None:
    problem = tiny()
    still = MiuConfig(epochs=1, retaining_term=False, unlearning_term=False, calibration_term=False)
    result = apply_method(methods.get("miu"), problem.model, problem.data, still, runtime())
    assert weights_digest(result) == weights_digest(problem.model)
    digests = set()
    for switch in ("retaining_term", "unlearning_term", "calibration_term"):
        config = MiuConfig(epochs=2, batch_size=32, **{switch: False})  # type: ignore[arg-type]
        digests.add(weights_digest(apply_method(methods.get("miu"), problem.model, problem.data, config, runtime())))
    digests.add(
        weights_digest(
            apply_method(methods.get("miu"), problem.model, problem.data, MiuConfig(epochs=2, batch_size=32), runtime())
        )
    )
    assert len(digests) == 4


def test_miu_forget_pass_lowers_the_information_it_sees() -> None:
    """With the unlearning term alone, the estimate on forget samples falls from epoch to epoch start."""
    problem = tiny()
    losses: list[float] = []
    run = runtime()
    run.log = lambda epoch, metrics: losses.append(metrics["loss_forget"])
    config = MiuConfig(
        epochs=6, forget_epochs=6, batch_size=20, learning_rate=0.05, warmup=0.0, schedule="constant", estimator_steps=0,
        retaining_term=False, calibration_term=False, augment=False,
    )  # fmt: skip
    apply_method(methods.get("miu"), problem.model, problem.data, config, run)
    assert losses[-1] < losses[0]
    assert min(losses) >= 0.0


def test_the_unlearning_term_has_a_gradient_in_nearly_every_step_and_its_estimates_are_noted() -> None:
    problem, run = tiny(), runtime()
    config = MiuConfig(epochs=4, forget_epochs=4, batch_size=8, learning_rate=0.005, augment=False)
    apply_method(methods.get("miu"), problem.model, problem.data, config, run)
    noted = run.notes["information"]
    assert noted["forget_steps"] == 4 * problem.data.forget_steps(8)
    assert noted["without_gradient"] <= 0.1 * noted["forget_steps"]
    assert len(noted["retain"]) == len(noted["forget"]) == 4


def test_a_term_without_a_gradient_is_said() -> None:
    problem, run = tiny(), runtime()
    run.observer = heard = Notes()
    config = MiuConfig(epochs=2, forget_epochs=2, batch_size=8, estimator="mine", estimator_steps_first=1, estimator_steps=0)
    apply_method(methods.get("miu"), problem.model, problem.data, config, run)
    noted = run.notes["information"]
    said = 2 * noted["without_gradient"] > noted["forget_steps"]
    assert bool(heard.lines) is said
    assert said, noted


def test_the_unlearning_gradient_is_no_longer_than_the_clip() -> None:
    """One plain step of the unlearning term alone moves the weights by the learning rate times the norm of its gradient."""
    problem = tiny()
    moved = []
    for clip in (1e-3, 2e-3, 1e6):
        config = MiuConfig(
            epochs=1, forget_epochs=1, batch_size=20, learning_rate=1.0, momentum=0.0, weight_decay=0.0, warmup=0.0,
            schedule="constant", augment=False, retaining_term=False, calibration_term=False, clip=clip,
        )  # fmt: skip
        after = apply_method(methods.get("miu"), problem.model, problem.data, config, runtime())
        then = dict(problem.model.named_parameters())
        moved.append(float(sum((p - then[name]).detach().square().sum() for name, p in after.named_parameters()) ** 0.5))
    assert moved[0] == pytest.approx(1e-3, rel=1e-2)
    assert moved[1] == pytest.approx(2e-3, rel=1e-2)
    assert moved[2] > 2 * moved[1]
