"""Quality checks of a dataset and a forget request, evaluated by Great Expectations before anything is trained."""

from grmu_audit.data.quality.checks import check_quality, require_passed

__all__ = [
    "check_quality",
    "require_passed",
]
