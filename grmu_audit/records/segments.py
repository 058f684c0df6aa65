"""Weak segments: parts of the test rows, by one or two attributes, that a model serves worse than all others or than before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeakSegment:
    """Test samples with one value of one attribute, or of each of two, on which the audited model is shown to be weaker."""

    name: str
    """Attributes with their values."""
    n: int
    """Test samples in it."""
    accuracy: float
    """Accuracy of the audited model on them."""
    others: float
    """Its accuracy on all other test samples."""
    below_others: tuple[float, float] | None
    """Interval of ``accuracy`` - ``others``, simultaneous over everything that was tested; None where there is none."""
    p_others: float
    """Holm's adjusted p-value that the accuracy is no lower than the others'."""
    before: float | None = None
    """Accuracy of the version before on them; None without one."""
    change: tuple[float, float] | None = None
    """Interval of ``accuracy`` - ``before``, simultaneous as above."""
    p_before: float | None = None
    """Holm's adjusted p-value that the accuracy did not fall; None without a version before."""


@dataclass(frozen=True)
class SegmentSearch:
    """What was looked for, and what was found."""

    segments: int
    """Segments with enough test samples."""
    tests: int
    """Tests, which Holm's step-down goes over."""
    smallest: int
    """Test samples, and people where they are known, that a segment and its complement must have."""
    confidence: float
    """Family-wise confidence."""
    weak: tuple[WeakSegment, ...] = ()
    """Segments with an adjusted p-value of at most 1 - confidence, the smallest p-value first."""
