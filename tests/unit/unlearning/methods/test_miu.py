"""MIU: its terms and switches."""

from __future__ import annotations

from support.tiny import runtime, tiny

from grmu_audit.models.weights import weights_digest
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
        epochs=6, forget_epochs=6, batch_size=20, learning_rate=0.05, warmup=0.0, schedule="constant", mine_steps=0,
        retaining_term=False, calibration_term=False, augment=False,
    )  # fmt: skip
    apply_method(methods.get("miu"), problem.model, problem.data, config, run)
    assert losses[-1] < losses[0]
    assert min(losses) >= 0.0
