"""All methods of the package, loaded into the registry."""

from __future__ import annotations

from grmu_audit.unlearning import gradient_ascent, miu, retrain
from grmu_audit.unlearning.base import Method, methods

__all__ = ["Method", "gradient_ascent", "methods", "miu", "retrain"]
