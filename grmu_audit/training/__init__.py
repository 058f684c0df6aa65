"""The one training loop, schedules, precision and seeding."""

from typing import TYPE_CHECKING

from grmu_audit.utils.plugins import lazy_names

if TYPE_CHECKING:
    from grmu_audit.training.checkpoint import Checkpoints as Checkpoints
    from grmu_audit.training.checkpoint import Stateful as Stateful
    from grmu_audit.training.config import TrainConfig as TrainConfig
    from grmu_audit.training.fit import TrainingRows as TrainingRows
    from grmu_audit.training.inference import accuracy as accuracy
    from grmu_audit.training.inference import infer as infer
    from grmu_audit.training.loop import repeat_batches as repeat_batches
    from grmu_audit.training.loop import run_epochs as run_epochs
    from grmu_audit.training.loop import steps_of as steps_of
    from grmu_audit.training.plan import Hooks as Hooks
    from grmu_audit.training.plan import Loss as Loss
    from grmu_audit.training.plan import Phase as Phase
    from grmu_audit.training.runtime import Runtime as Runtime
    from grmu_audit.training.runtime import derive_seed as derive_seed
    from grmu_audit.training.runtime import move_to as move_to

__getattr__ = lazy_names(
    __name__,
    {
        "checkpoint": ("Checkpoints", "Stateful"),
        "config": ("TrainConfig",),
        "fit": ("TrainingRows",),
        "inference": ("accuracy", "infer"),
        "loop": ("repeat_batches", "run_epochs", "steps_of"),
        "plan": ("Hooks", "Loss", "Phase"),
        "runtime": ("Runtime", "derive_seed", "move_to"),
    },
)
