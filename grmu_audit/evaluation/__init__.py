"""What a network answers: predictions, adversarial predictions, layers, shadow models."""

from typing import TYPE_CHECKING

from grmu_audit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from grmu_audit.evaluation.adversarial import Attack as Attack
    from grmu_audit.evaluation.adversarial import predict_adversarial as predict_adversarial
    from grmu_audit.evaluation.output_cache import OutputCache as OutputCache
    from grmu_audit.evaluation.output_cache import cache_key as cache_key
    from grmu_audit.evaluation.predict import ModelOutputs as ModelOutputs
    from grmu_audit.evaluation.predict import apply_request as apply_request
    from grmu_audit.evaluation.predict import predict_all as predict_all
    from grmu_audit.evaluation.relearning import RelearningConfig as RelearningConfig
    from grmu_audit.evaluation.relearning import relearn_curves as relearn_curves
    from grmu_audit.evaluation.shadow_models import ShadowPool as ShadowPool
    from grmu_audit.evaluation.shadow_models import TrainingCost as TrainingCost
    from grmu_audit.evaluation.shadow_models import UnlearnedPool as UnlearnedPool

__getattr__ = lazy_names(
    __name__,
    {
        "adversarial": (
            "Attack",
            "predict_adversarial",
        ),
        "output_cache": (
            "OutputCache",
            "cache_key",
        ),
        "predict": (
            "ModelOutputs",
            "apply_request",
            "predict_all",
        ),
        "relearning": (
            "RelearningConfig",
            "relearn_curves",
        ),
        "shadow_models": (
            "ShadowPool",
            "TrainingCost",
            "UnlearnedPool",
        ),
    },
)
