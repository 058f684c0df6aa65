"""grmu-audit: the audit tool that makes machine unlearning safe to ship.

Importing the package does no work and loads no heavy library; see ``grmu_audit.workflows`` for the use cases.
"""

from __future__ import annotations

__version__ = "0.1.0"
