"""Margins on disk: in the order of the names, not of the data; files of earlier versions are read and written again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.margin_files import is_sorted_otherwise, read_margins, stored_array, write_margins
from grmu_audit.evaluation.row_order import RowOrder

MARGIN = np.array([0.5, -1.0, 2.0, 3.0], np.float32)
ORDER = RowOrder.of(["d", "a", "c", "b"])


def test_margins_are_stored_by_name_and_come_back_by_row(tmp_path: Path) -> None:
    path = tmp_path / "0000.zip"
    write_margins(path, ORDER, MARGIN, {"number": 0}, {"state": np.arange(3, dtype=np.uint8)})
    assert stored_array(path, "margin").tolist() == [-1.0, 3.0, 2.0, 0.5]
    assert read_margins(path, ORDER).tolist() == MARGIN.tolist()
    assert stored_array(path, "state").tolist() == [0, 1, 2]


def test_a_file_of_an_earlier_version_is_read_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / "0000.zip"
    write_margins(path, None, MARGIN, {"number": 0, "seconds": 2.5}, {"state": np.arange(3, dtype=np.uint8)})
    assert not is_sorted_otherwise(path, ORDER)
    assert read_margins(path, None).tolist() == MARGIN.tolist()
    assert read_margins(path, ORDER).tolist() == MARGIN.tolist()
    assert stored_array(path, "margin").tolist() == [-1.0, 3.0, 2.0, 0.5]
    assert stored_array(path, "state").tolist() == [0, 1, 2]


def test_a_file_that_was_sorted_under_another_key_is_not_misread(tmp_path: Path) -> None:
    path = tmp_path / "0000.zip"
    write_margins(path, RowOrder.of(["w", "z", "x", "y"]), MARGIN, {})
    assert is_sorted_otherwise(path, ORDER)
    with pytest.raises(IntegrityError, match="sorted by other names"):
        read_margins(path, ORDER)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(IntegrityError, match="is damaged"):
        read_margins(path, ORDER)
