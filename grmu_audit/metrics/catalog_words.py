"""Pieces that the entries of several catalogue modules share: the code of their examples."""

from __future__ import annotations

OPEN = 1e9
"""Upper end of a range that is open."""
FROM = "from grmu_audit.metrics import facts\nfrom grmu_audit.metrics.example import example\n"
"""First lines of an example."""
WORDS = 'subject="candidate", confidence=0.95)\n'
"""Last arguments of a call that makes values."""
_PRINT = (
    'found = next(v for v in values if v.name == "{name}")\n'
    "low, high = found.interval\n"
    'print(f"{found.name} = {found.value:.3f}, 95 % interval {low:.3f} to {high:.3f}, n = {found.n}")'
)


def shown(code: str, name: str) -> str:
    """The example of one metric."""
    return (code + _PRINT).replace("{name}", name, 1)
