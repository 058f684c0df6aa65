"""``python -m grmu_audit``."""

from grmu_audit.cli import main

if __name__ == "__main__":
    main()
