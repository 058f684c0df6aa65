"""``python -m grmu_audit``."""

from __future__ import annotations

from grmu_audit.cli import main

if __name__ == "__main__":
    main()
