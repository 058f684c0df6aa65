"""Quality checks of a dataset and a forget request, evaluated by Great Expectations before anything is trained."""

from grmu_audit.data.quality.checks import check, require

__all__ = [
    "check",
    "require",
]
