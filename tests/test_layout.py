"""tests/unit mirrors the package: a test file stands in its module's folder and has its module's name."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
ACROSS_MODULES = {
    "auditing/test_external_bundle.py",
    "data/readers/test_published_datasets.py",
    "metrics/catalog/test_pages.py",
    "metrics/test_add_a_metric.py",
    "metrics/test_degenerate.py",
    "metrics/test_golden.py",
    "report/formats/test_machine_formats.py",
    "tracking/test_rewritten_ledger.py",
    "unlearning/methods/test_battery.py",
    "unlearning/methods/test_data_kinds.py",
    "unlearning/methods/test_host_syncs.py",
    "unlearning/test_add_a_method.py",
    "workflows/audits/test_reidentification.py",
    "workflows/test_request_chains.py",
}
"""Test files that hold what several modules have in common."""
OTHER_PACKAGES = {"benchmarks"}
"""Folders of tests/unit whose code stands beside the package."""


def find_test_files() -> list[Path]:
    unit = ROOT / "tests" / "unit"
    found = sorted(path.relative_to(unit) for path in unit.rglob("test_*.py"))
    return [path for path in found if path.parts[0] not in OTHER_PACKAGES]


def test_every_unit_test_mirrors_its_module() -> None:
    files = find_test_files()
    assert len(files) > 100
    package = ROOT / "grmu_audit"
    lost = [
        str(file)
        for file in files
        if str(file) not in ACROSS_MODULES and not list((package / file.parent).rglob(f"{file.name.removeprefix('test_')}"))
    ]
    assert lost == []


def test_exceptions_exist_and_are_needed() -> None:
    package = ROOT / "grmu_audit"
    for name in ACROSS_MODULES:
        file = Path(name)
        assert file in find_test_files(), name
        assert not (package / file.parent / file.name.removeprefix("test_")).exists(), name
