"""The section on branches in ``docs/reliability.md``: how many of the code's branches the tests run.

python -m benchmarks.pages.tested_branches REPORT [--write docs/reliability.md]

REPORT is what ``coverage json`` writes; ``make coverage`` runs the tests, and then this.  Exit code 1: fewer than asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measurements import kept
from benchmarks.pages.sections import replace_section
from grmu_audit.utils import canonical_json, write_atomic
from grmu_audit.utils.resources import VERSION

RESULT = kept.RESULTS / "reliability" / "branches.json"
"""The numbers of the section."""
BEGIN = "<!-- branches: begin, written by python -m benchmarks.pages.tested_branches -->"
END = "<!-- branches: end -->"
LEAST = {"the judging core": 0.95, "all": 0.90}
"""Shares of the branches that the tests must run."""


def judging_core(root: Path = kept.ROOT) -> tuple[str, ...]:
    """Packages that judge, from the import contract that keeps torch and MLflow out of them."""
    tree = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (one for one in tree["tool"]["importlinter"]["contracts"] if one["name"].startswith("The light path"))
    return tuple(name.removeprefix("grmu_audit.") for name in contract["source_modules"])


def numbers(report: Mapping[str, Any], core: tuple[str, ...]) -> dict[str, Any]:
    """Branches and lines, run and in all.

    Args:
        report: what ``coverage json`` wrote.
        core: names of packages and modules of the judging core.

    Raises:
        ValueError: the report holds no branches of one of them.
    """
    shares = {}
    for label in LEAST:
        files = {name: one["summary"] for name, one in report["files"].items() if label == "all" or _package(name) in core}
        missing = set(core) - {_package(name) for name in files}
        if missing or not sum(one["num_branches"] for one in files.values()):
            raise ValueError(f"the report holds no branches of {', '.join(sorted(missing)) or label}: were they measured?")
        pairs = (("covered_branches", "num_branches"), ("covered_lines", "num_statements"))
        shares[label] = [[sum(one[key] for one in files.values()) for key in pair] for pair in pairs]
    return {"version": VERSION, "core": list(core), "shares": shares}


def _package(name: str) -> str:
    """First part of a file's name below ``grmu_audit``: a package, or a module without its suffix."""
    parts = Path(name).parts
    return parts[parts.index("grmu_audit") + 1].removesuffix(".py")


def good(found: Mapping[str, Any]) -> bool:
    """Whether the tests run as many branches as asked for."""
    return all(run >= LEAST[label] * of for label, ((run, of), _) in found["shares"].items())


def section(found: Mapping[str, Any] | None) -> str:
    """The section between its markers; it says so where nothing was measured."""
    if found is None:
        return "\n".join([BEGIN, "", "Not measured yet.", "", END])
    rows = [
        f"| {label} | {run:,} of {of:,} | {run / of:.1%} | {LEAST[label]:.0%} | {lines / all_lines:.1%} |"
        for label, ((run, of), (lines, all_lines)) in ((label, found["shares"][label]) for label in LEAST)
    ]
    return "\n".join(
        [
            BEGIN, "",
            "`make coverage` runs the tests and counts, also in the processes that they start. The short long run is left out,",
            "and so is what needs a program or device that the machine lacks (a GPU, Ray, a browser, PostgreSQL).",
            "", f"The judging core: {', '.join(f'`{name}`' for name in found['core'])}.",
            "", "| code | branches run | share | at least | lines run |", "|---|---:|---:|---:|---:|", *rows,
            "", f"grmu-audit {found['version']}.", "", END,
        ]
    )  # fmt: skip


def read_section(path: Path = RESULT) -> str:
    """The section from the stored numbers."""
    return section(json.loads(path.read_bytes()) if path.is_file() else None)


def main() -> None:
    """Count, then print or write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="what 'coverage json' wrote")
    parser.add_argument("--write", type=Path, help="page that has the section")
    options = parser.parse_args()
    found = numbers(json.loads(options.report.read_bytes()), judging_core())
    if options.write:
        write_atomic(RESULT, canonical_json(found) + b"\n")
        page = replace_section(options.write.read_text(encoding="utf-8"), section(found), BEGIN, END)
        write_atomic(options.write, page.encode())
    else:
        sys.stdout.write(section(found) + "\n")
    sys.exit(0 if good(found) else 1)


if __name__ == "__main__":
    main()
