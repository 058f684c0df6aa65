"""The command line: parse, call one workflow, print, exit."""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``grmu-audit`` script."""
    from grmu_audit.cli.app import run

    run()
