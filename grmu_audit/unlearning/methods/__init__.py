"""All unlearning methods by family; importing the package registers them."""

from grmu_audit.unlearning import guaranteed
from grmu_audit.unlearning.method import Method, methods
from grmu_audit.unlearning.methods import (
    amun,
    boundary,
    distillation,
    fine_tuning,
    gradient_ascent,
    miu,
    msg,
    random_labels,
    regun,
    retraining,
    scrub,
    weight_editing,
)

__all__ = [
    "Method",
    "amun",
    "boundary",
    "distillation",
    "fine_tuning",
    "gradient_ascent",
    "guaranteed",
    "methods",
    "miu",
    "msg",
    "random_labels",
    "regun",
    "retraining",
    "scrub",
    "weight_editing",
]
