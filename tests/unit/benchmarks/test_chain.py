"""The page on chains of requests: a real short chain, and what the page says of its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.measurements.chain import CODE, Size, measure_chain
from benchmarks.measurements.kept import digest_of_files
from benchmarks.pages.chain import BEGIN, END, another_model, replaced, tables
from grmu_audit.unlearning import accuracy_loss

MACHINE = {"device": "cpu", "processor": "imagined", "cores": 2, "threads": 1, "instructions": "AVX2", "torch": "2"}


@pytest.mark.slow
def test_a_short_chain_retains_all_rows_minus_the_union(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "hmac.key"))
    monkeypatch.setattr(accuracy_loss, "LARGEST_FALL", 1.0)  # rows are counted, whatever models of one epoch are worth
    small = Size(requests=3, references=2, settings=("augment=false", "epochs=1"))
    found = measure_chain(0, tmp_path, "cpu", small)
    assert [step["method"] for step in found["steps"]] == ["retrain", "retrain", "miu"]
    assert [step["version"] for step in found["steps"]] == ["chain/2", "chain/5", "chain/6"]
    assert all(step["retained"] == step["expected"] for step in found["steps"])
    assert [step["erased_read"] for step in found["steps"]] == [0, 0, 0]
    asked = [step["asked"] for step in found["steps"]]
    assert [step["union"] for step in found["steps"]] == [sum(asked[: i + 1]) for i in range(3)]
    assert asked[0] == found["rows"] > 6
    assert len(found["references"]) == 2
    assert "in 3 of 3 versions." in tables([{**found, "machine": MACHINE}])


def chain(right: list[int], **more: object) -> dict[str, Any]:
    """A chain whose versions get so many of 100 rows right."""
    step = {"asked": 2, "union": 102, "retained": 898, "expected": 898, "erased_read": 0, "retain": 0.99, "test": 0.9}
    steps = [{**step, "version": f"chain/{i}", "method": "ft", "right": n, **more} for i, n in enumerate(right)]
    facts = {"seed": 0, "settings": ["epochs=2"], "rows": 100, "before": 99, "seconds": 5.0, "machine": MACHINE}
    return {**facts, "references": [80, 82, 84], "steps": steps}


def test_the_page_counts_what_is_inside_the_interval_of_another_retrained_model() -> None:
    text = tables([chain([70, 80, 91, 93])])
    words = " ".join(text.split())
    assert "between 72.1 and 91.9 % (95 % interval by Student's t)" in words
    assert "lies in that interval after 2 of the 3 later requests, and above it after 1." in words
    assert "in 4 of 4 versions." in words
    assert "| 4 | ft | 2 | 102 | 898 | 898 | 0 | 93.0 | 99.0 | 90.0 |" in text
    assert "in 0 of 2 versions." in tables([chain([80, 80], erased_read=1)])
    assert "in 0 of 2 versions." in tables([chain([80, 80], retained=900)])


def test_the_interval_is_wider_than_that_of_the_mean() -> None:
    low, high = another_model([0.5, 0.5])
    assert low == high == 0.5
    assert another_model([0.0, 1.0]) == (0.0, 1.0)


def test_a_page_without_the_markers_is_refused() -> None:
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\n\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="chain: begin"):
        replaced("nothing", "new")


def test_the_code_that_the_numbers_depend_on_is_there() -> None:
    assert digest_of_files(CODE)
