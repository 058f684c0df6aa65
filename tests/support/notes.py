"""An observer that stores its notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from grmu_audit.utils.progress import Silent


@dataclass
class Notes(Silent):
    """Lines that were noted, in order."""

    lines: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Store the line."""
        self.lines.append(text)
