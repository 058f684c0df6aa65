"""The catalogue of methods as a file, so that ``grmu-audit methods`` reads it without importing their code.

python -m benchmarks.pages.method_cards
"""

from __future__ import annotations

import json
from pathlib import Path

from grmu_audit.workflows.catalogs import CARDS, method_cards

PLACE = Path(__file__).resolve().parents[2] / "grmu_audit" / "unlearning" / CARDS


def main() -> None:
    PLACE.write_text(json.dumps(method_cards(), indent=1) + "\n")
    print(PLACE)


if __name__ == "__main__":
    main()
