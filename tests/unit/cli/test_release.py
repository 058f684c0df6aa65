"""What the commands of a release print."""

from __future__ import annotations

from grmu_audit.cli.commands.release import _moved
from grmu_audit.records import ModelRef
from grmu_audit.tracking.promotion import Promotion


def test_a_promotion_names_its_ledger_entry_and_one_that_moved_nothing_names_none() -> None:
    ref = ModelRef("digits", "2")
    assert _moved(Promotion(ref, "1", 7, changed=True)) == "digits/2 is champion of digits (ledger entry 7, before: 1)"
    said = _moved(Promotion(ref, "2", 0, changed=False))
    assert said == "digits/2 is the champion of digits already: nothing was moved, and the ledger has no new entry"
