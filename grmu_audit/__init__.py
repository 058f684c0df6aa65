"""grmu-audit: the audit tool that makes machine unlearning safe to ship.

Importing the package does no work and loads no heavy library; see ``grmu_audit.api`` for the use cases.
"""

__version__ = "0.1.0"
