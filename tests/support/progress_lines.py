"""Command lines run by the real entry point in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CompletedLine:
    """What the demo printed and where it worked."""

    folder: Path
    code: int
    out: str
    err: str
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command line in the same folder with the same key."""
        return subprocess.run(
            [sys.executable, "-m", "grmu_audit", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def run_once(folder: Path, *arguments: str) -> CompletedLine:
    """Run one command line in an empty folder."""
    root = Path(__file__).parents[2]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "GRMU_AUDIT_"))}
    environment |= {"GRMU_AUDIT_HMAC_KEY_FILE": str(folder.parent / "key" / "hmac.key"), "PYTHONPATH": str(root)}
    (folder.parent / "key").mkdir(exist_ok=True)
    story = CompletedLine(folder, 0, "", "", environment)
    done = story.run(*arguments)
    return CompletedLine(folder, done.returncode, done.stdout, done.stderr, environment)
