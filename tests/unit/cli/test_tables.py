"""Tables and checks as text."""

from __future__ import annotations

from grmu_audit.auditing.bundle_check import BundleCheck
from grmu_audit.cli.tables import bundle_check_text
from grmu_audit.records import Decision


def test_a_bundle_that_cannot_be_read_names_no_version() -> None:
    assert bundle_check_text(BundleCheck("ab12", ("it is no archive",))).splitlines() == [
        "sha256 ab12",
        "found: it is no archive",
        "does NOT agree",
    ]


def test_a_bundle_that_agrees_says_what_was_computed_again() -> None:
    checked = BundleCheck("ab12", subject="m/2", decision=Decision.PASS, signed=("k1",), compared=7, notes=("old",))
    assert bundle_check_text(checked).splitlines() == [
        "sha256 ab12",
        "m/2: verdict PASS; 7 numbers computed again",
        "signed by trusted key k1",
        "note: old",
        "everything agrees",
    ]
    assert "m/2: verdict none; 0 numbers" in bundle_check_text(BundleCheck("ab12", subject="m/2"))
