"""What an audit knows of forgetting beyond metrics: controls, and exact evidence."""

from __future__ import annotations

from dataclasses import dataclass

from grmu_audit.records.metric_value import MetricValue, Subject


@dataclass(frozen=True)
class Control:
    """A model whose truth is known, measured in the candidate's place.

    The version before unlearning has forgotten nothing, and two cheats made from its predictions neither: a policy that they
    meet cannot tell (null controls).  A retrained model has never seen the forget set (positive control).
    """

    name: str
    """``before``, ``before, logits x 0.3``, ``before, labels only``, ``reference#1``..."""
    model: Subject
    """Whose predictions it has, or is made from: its values over everything stand among those of the audit."""
    made: bool = False
    """Whether its outputs were changed, so that only ``values`` are known of it."""
    values: tuple[MetricValue, ...] = ()
    """Values that the audit does not have otherwise, as if the control were the candidate."""


@dataclass(frozen=True)
class ExactEvidence:
    """Whether a model's own record shows that no row of the forget set was read while it was trained, from fresh weights."""

    verified: bool
    """True where the record was compared with the request and agrees."""
    reason: str
    """One sentence: what was compared, or what does not agree."""
