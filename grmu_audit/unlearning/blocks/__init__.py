"""What unlearning methods are built from: passes over the data, gradients, estimators."""

from grmu_audit.unlearning.blocks.gradients import mean_gradient, sample_gradients
from grmu_audit.unlearning.blocks.group_dro import GroupDro
from grmu_audit.unlearning.blocks.passes import (
    cross_entropy_loss,
    distillation,
    fine_tune_on_retain,
    forget_pass,
    forward_frozen_batchnorm,
    forward_mixed_with_retain,
    retain_pass,
    soft_kl,
)

__all__ = [
    "GroupDro",
    "cross_entropy_loss",
    "distillation",
    "fine_tune_on_retain",
    "forget_pass",
    "forward_frozen_batchnorm",
    "forward_mixed_with_retain",
    "mean_gradient",
    "retain_pass",
    "sample_gradients",
    "soft_kl",
]
