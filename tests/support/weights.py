"""A digest by which tests compare networks."""

from __future__ import annotations

from grmu_audit.models.classifier import Classifier
from grmu_audit.models.foreign_weights import state_digest
from grmu_audit.utils import canonical_json, sha256_hex


def weights_digest(model: Classifier) -> str:
    """SHA-256 over the spec and the bytes of all parameters and persistent buffers, by name."""
    return sha256_hex(canonical_json([model.spec.to_json(), state_digest(model.state_dict())]))
