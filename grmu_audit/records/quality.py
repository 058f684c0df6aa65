"""What the data-quality checks found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckResult:
    """One expectation on one part of the data."""

    part: str
    """``train``, ``retain``, ``forget``, ``val``, ``test`` or ``all``."""
    expectation: str
    """What was expected, in words."""
    passed: bool
    """False when it failed or could not be evaluated."""
    evaluated: bool
    """False when the engine did not evaluate it, which counts as failed."""
    observed: str
    """The observed value as text; holds no sample id."""
    severity: str = "error"
    """``error`` stops the command (exit 5), ``warning`` is only reported."""
    advice: str = ""
    """What to do when it does not pass."""


@dataclass(frozen=True)
class DataCheckReport:
    """All checks of one request."""

    results: tuple[CheckResult, ...]
    """In the order of the suite."""
    engine: str
    """Library and version that evaluated them."""
    suite_sha256: str
    """Digest of the expectations."""
    group_shift: tuple[dict[str, float | int | str], ...] = ()
    """Per group: train count, retain count, share before and after, REWEIGHT weight."""

    @property
    def passed(self) -> bool:
        """True when there is at least one result and no error-level check failed."""
        return bool(self.results) and all(r.passed or r.severity == "warning" for r in self.results)
