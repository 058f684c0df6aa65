"""Architectures by name and safe weights."""

from typing import TYPE_CHECKING

from grmu_audit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from grmu_audit.models.catalog import architectures as architectures
    from grmu_audit.models.catalog import build as build
    from grmu_audit.models.catalog import reinitialised as reinitialised
    from grmu_audit.models.classifier import Classifier as Classifier
    from grmu_audit.models.classifier import ModelSpec as ModelSpec
    from grmu_audit.models.classifier import StartWeights as StartWeights
    from grmu_audit.models.classifier import copy_model as copy_model
    from grmu_audit.models.classifier import frozen_copy as frozen_copy
    from grmu_audit.models.weights import load_model as load_model
    from grmu_audit.models.weights import save_model as save_model
    from grmu_audit.models.weights import weights_digest as weights_digest

__getattr__ = lazy_names(
    __name__,
    {
        "catalog": (
            "architectures",
            "build",
            "reinitialised",
        ),
        "classifier": (
            "Classifier",
            "ModelSpec",
            "StartWeights",
            "copy_model",
            "frozen_copy",
        ),
        "weights": (
            "load_model",
            "save_model",
            "weights_digest",
        ),
    },
)
