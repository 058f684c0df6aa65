"""The precision of training and inference of a version: chosen, recorded in its lineage, or measured on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from grmu_audit.records import ModelRef
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.calibration import Job
    from grmu_audit.training.runtime import Runtime

INFERENCE = "inference"
"""Key of a version's configuration: precision and form of its passes without gradients, where they are not those of training."""


def recorded_precision(ref: ModelRef) -> str:
    """Precision that a version's predictions were computed in."""
    found = ref.config.get(INFERENCE)
    name = found.get("precision") if isinstance(found, dict) else ref.config.get("precision")
    return "bf16" if name == "bf16" else "fp32"


def common_precision(refs: Iterable[ModelRef]) -> str:
    """The one that all models of an audit are compared in: bf16 where every one was predicted in it, else fp32."""
    found = {recorded_precision(ref) for ref in refs}
    return "bf16" if found == {"bf16"} else "fp32"


def inference_runtime(session: Session, seed: int, recorded: str) -> Runtime:
    """A runtime whose passes without gradients have the recorded precision of versions, unless the caller chose one."""
    from grmu_audit.training.runtime import Inference

    runtime = session.runtime(seed)
    if session.precision == "auto":
        runtime.inference = Inference(recorded)
    return runtime


def measured_precision(session: Session, runtime: Runtime, network: Classifier, job: Job, parent: ModelRef | None) -> None:
    """Set precision and form of a run to the fastest of this machine, where nobody chose one and the run is long.

    Passes without gradients keep the recorded precision of the lineage, so that its versions can be compared.  A training on
    several processes stays as it is: each would measure by itself.

    Args:
        session: whose ``precision`` is ``auto`` where it is to be chosen.
        runtime: changed in place.
        network: of the version, on the device.
        job: what will be computed.
        parent: the version that it starts from.
    """
    from grmu_audit.training.calibration import calibrate
    from grmu_audit.training.runtime import Inference

    if session.precision != "auto" or runtime.world.size > 1:
        return
    recorded = None if parent is None else recorded_precision(parent)
    asked = recorded or runtime.precision
    if asked != "fp32" or runtime.precision != "fp32":
        runtime.inference = Inference(asked)
    calibrate(network, runtime, job, recorded)
