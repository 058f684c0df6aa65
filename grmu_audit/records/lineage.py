"""Lineage: model versions, forget requests, splits and erasure records."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape


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
    """SHA-256 over the version's files (see ``utils.digests``), or None where there is no registry."""
    run_id: str | None = None
    """Tracking run that created the version."""
    parent: str | None = None
    """``name/version`` of the version it was derived from; None for a fresh start."""
    method: str | None = None
    """Training or unlearning method."""
    reweight: bool = False
    """Whether the retain sampler was REWEIGHT."""
    seed: int | None = None
    """Seed of the run that created it."""
    data_digest: str | None = None
    """Digest of the dataset manifest that it was trained on."""
    forget_digest: str | None = None
    """Keyed HMAC of the forget set, the union of all requests of its lineage; None for a pretrain version."""
    request_digest: str | None = None
    """Keyed HMAC of the ids of its own request; None for a pretrain version, and where it was not recorded."""
    key_check: str | None = None
    """Check value of the key that its pseudonyms were created with (``evidence.key_check``); None where it was not recorded."""
    architecture: str | None = None
    """Architecture name."""
    config: dict[str, object] = field(default_factory=dict)
    """Hyper-parameters and facts of the run, as recorded (device, seconds, sample-gradients, ...)."""

    @property
    def settings(self) -> dict[str, object]:
        """Options of the training or unlearning method, as recorded; empty where none are."""
        found = self.config.get("settings")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def label(self) -> str:
        """``name/version``, or the name alone where there is no registry."""
        return f"{self.name}/{self.version}" if self.version else self.name

    @property
    def made(self) -> str:
        """How it was created: role, method, and whether the retain sampler was REWEIGHT.

        >>> ModelRef("faces", "3", role="unlearned", method="miu", reweight=True).made
        'unlearned, miu + REWEIGHT'
        """
        return f"{self.role}, {self.method or 'unknown method'}{' + REWEIGHT' if self.reweight else ''}"

    def __repr__(self) -> str:
        """Name, number, and how it was created.

        >>> ModelRef("faces", "3", role="unlearned", method="miu")
        <ModelRef faces/3: unlearned, miu>
        """
        return f"<ModelRef {self.label}: {self.made}>"

    def _repr_html_(self) -> str:
        """The version as a short table, for notebooks."""
        facts = {
            "version": self.label,
            "how it was created": self.made,
            "derived from": self.parent,
            "architecture": self.architecture,
        }
        rows = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in facts.items() if text)
        return f"<table>{rows}</table>"


@dataclass(frozen=True)
class ForgetRequest:
    """A validated forget list."""

    ids: tuple[str, ...]
    """Sample ids that the list names, in file order, unique; never written to any artifact, log or report."""
    digest: str
    """``hmac-sha256:`` over the sorted ids with the operator's key."""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Optional request fields (``request_id``, ``received_at``, ``subject``, ``ground``), aligned with ``ids``."""
    earlier: tuple[str, ...] = ()
    """Ids that earlier requests of the lineage named and this list does not."""
    deleted: tuple[str, ...] = ()
    """Pseudonyms of rows that earlier requests named and that are no longer in the data."""
    repeated: int = 0
    """Ids of the list that an earlier request of the lineage named too."""
    union_digest: str = ""
    """``hmac-sha256:`` over ``ids``, ``earlier`` and ``deleted``; empty where there is no earlier request."""
    withheld: tuple[str, ...] = ()
    """Validation and test ids that this list or an earlier one names: no model learned from them, none is evaluated on them."""

    @property
    def forget_set(self) -> tuple[str, ...]:
        """Every id of the data that may no longer be trained on: the training rows of all requests of the lineage."""
        withheld = frozenset(self.withheld)
        return tuple(name for name in (*self.ids, *self.earlier) if name not in withheld)

    @property
    def forget_digest(self) -> str:
        """Digest of the forget set."""
        return self.union_digest or self.digest


@dataclass(frozen=True)
class Splits:
    """Row indices of the manifest by role: disjoint, and together exhaustive but for withheld validation and test rows."""

    retain: tuple[int, ...]
    """Training rows that no request of the lineage names."""
    forget: tuple[int, ...]
    """Training rows that this request or an earlier one of the lineage names."""
    val: tuple[int, ...]
    """Validation rows that none of them names."""
    test: tuple[int, ...]
    """Test rows that none of them names."""


@dataclass(frozen=True)
class SystemRecord:
    """One place where the data of a request may lie."""

    name: str
    """Its name, such as ``training store`` or ``backups``."""
    state: str
    """``erased``, ``scheduled`` or ``retained``."""
    reason: str = ""
    """Why it is retained, or when it is scheduled."""


@dataclass(frozen=True)
class ErasureRecord:
    """One request among those that a run serves; it holds no sample id."""

    request_id: str
    """Id of the request, as the operator gave it; ``unnamed`` for rows without one."""
    rows: int
    """Samples that it names."""
    digest: str
    """Keyed digest of those samples."""
    subject: str | None = None
    """Keyed pseudonym of the person; None where the list does not say."""
    received_at: str | None = None
    """Date of receipt, ISO 8601; the earliest of its rows."""
    due_at: str | None = None
    """One month after receipt; None where the date of receipt is unknown."""
    ground: str | None = None
    """Ground as the operator gave it."""
    systems: tuple[SystemRecord, ...] = ()
    """Where else the data is stored, from the operator's list."""
