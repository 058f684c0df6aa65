"""One row of a benchmark: one model of one request and seed, measured against retrained models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from grmu_audit.errors import IntegrityError

FLOOR, REFERENCE, CEILING, RETRAINED, METHOD = "floor", "reference", "ceiling", "retrained", "method"
"""Parts of a row: the model before the request, the retrained models that all others are compared with, one more of them from
a seed of its own, models that were retrained otherwise, and approximate methods."""
PARTS = (FLOOR, RETRAINED, REFERENCE, CEILING, METHOD)
"""In the order of a table."""
TABLE_METRICS = ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA")
"""Metrics of the seed paper's tables, which AVG_GAP is the mean over."""


@dataclass(frozen=True)
class BenchmarkRow:
    """What was measured of one model; plain JSON."""

    id: str
    """SHA-256 of everything that it depends on but the code."""
    suite: str
    """Name of the suite."""
    request: str
    """Name of the request in the suite."""
    request_title: str
    """The request in words."""
    groups: int
    """Groups that the forget set is sampled from; 0: all training samples."""
    ratio: float
    """Share of these that is forgotten."""
    title: str
    """Method, as printed."""
    method: str
    """Name of the method; empty for the model before the request."""
    reweight: bool
    """REWEIGHT sampling of the retain set."""
    part: str
    """One of ``PARTS``."""
    seed: int
    """Seed of the row."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Metrics by name, fractions; what is undefined is left out."""
    deltas: Mapping[str, float] = field(default_factory=dict)
    """Mean over the references of the absolute difference to each, by metric."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why a metric is left out."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What needed the network itself: ``layers`` and ``fairness_gap`` (a number a layer, on the retain set), ``fgsm`` (accuracy
    by radius), ``returned`` (accuracy on the forget set, after epochs of fine-tuning on the retain set and after roundings)."""
    option: Mapping[str, float] = field(default_factory=dict)
    """The option that rows of this method differ in, where they differ in one number (``lambda_mi``)."""
    sample_gradients: int = 0
    """Samples that gradients were taken of, to create the model from the one before."""
    seconds: float = 0.0
    """Processor time of that on a CPU, wall time on a GPU."""
    diverged: str = ""
    """Why there is no model."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Dataset, digest, network, hardware, version of this package."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @staticmethod
    def from_json(tree: object, source: str) -> BenchmarkRow:
        """Read what ``to_json`` wrote.

        Raises:
            IntegrityError: it is no such row.
        """
        known = {one.name for one in fields(BenchmarkRow)}
        if not isinstance(tree, dict) or set(tree) != known or tree["part"] not in PARTS:
            raise IntegrityError(f"{source} is no row of a benchmark: remove the file, and the suite measures it again")
        return BenchmarkRow(**tree)
