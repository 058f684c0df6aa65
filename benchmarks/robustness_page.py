"""The page of the fairness-gap study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def write_page(found: list[dict[str, Any]], folder: Path | None, device: torch.device) -> None:
    """Write it."""
