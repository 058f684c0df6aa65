"""Who came from whom: model versions, forget requests and splits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelRef:
    """One registered version, resolved: from here on never an alias."""

    name: str
    """Registered model name; for ``score`` the label of the prediction file."""
    version: str
    """Version number as text; empty where there is no registry."""
    role: str = "unknown"
    """``pretrain``, ``retrain``, ``unlearned`` or ``unknown``."""
    manifest_sha256: str | None = None
    """SHA-256 over the version's files (see ``evidence.digests``), or None where there is no registry."""
    run_id: str | None = None
    """Tracking run that made the version."""
    parent: str | None = None
    """``name/version`` of the version it was made from; None for a fresh start."""
    method: str | None = None
    """Training or unlearning method."""
    reweight: bool = False
    """Whether the retain sampler was REWEIGHT."""
    seed: int | None = None
    """Seed of the run that made it."""
    data_digest: str | None = None
    """Digest of the dataset manifest that it was trained on."""
    forget_digest: str | None = None
    """Keyed HMAC of the forget set that it was made without; None for a pretrain version."""
    architecture: str | None = None
    """Architecture name."""
    config: dict[str, object] = field(default_factory=dict)
    """Hyper-parameters and facts of the run, as recorded (device, seconds, sample-gradients, ...)."""

    @property
    def label(self) -> str:
        """``name/version``, or the name alone where there is no registry."""
        return f"{self.name}/{self.version}" if self.version else self.name


@dataclass(frozen=True)
class ForgetRequest:
    """A validated forget list."""

    ids: tuple[str, ...]
    """Sample ids, in file order, unique; never written to any artifact, log or report."""
    digest: str
    """``hmac-sha256:`` over the sorted ids with the operator's key."""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Optional request fields (``request_id``, ``received_at``, ``subject``, ``ground``), aligned with ``ids``."""


@dataclass(frozen=True)
class Splits:
    """Row indices of the manifest by role: disjoint, and together exhaustive."""

    retain: tuple[int, ...]
    """Training rows that stay."""
    forget: tuple[int, ...]
    """Training rows that must go."""
    val: tuple[int, ...]
    """Validation rows."""
    test: tuple[int, ...]
    """Test rows."""
