"""The order in which rows are stored: that of their pseudonyms, so that no file says which row of the data is where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import IntegrityError
from grmu_audit.utils import sha256_hex

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RowOrder:
    """Between the order of a dataset and that of a file."""

    order: npt.NDArray[np.int64]
    """[n] row of the dataset at each place of a file."""
    mark: str
    """SHA-256 of the sorted names: tells files that were sorted by other names, or under another key."""

    @classmethod
    def of(cls, names: Sequence[str] | npt.NDArray[np.str_]) -> RowOrder:
        """The order of a dataset's rows, named by pseudonyms.

        >>> order = RowOrder.of(["c", "a", "b"])
        >>> order.stored(np.array([30, 10, 20])).tolist(), order.restored(np.array([10, 20, 30]), order.mark).tolist()
        ([10, 20, 30], [30, 10, 20])
        """
        table = np.asarray(names, dtype=np.str_)
        order = np.argsort(table, kind="stable").astype(np.int64)
        return cls(order, sha256_hex("\n".join(table[order].tolist()).encode("utf-8", "surrogatepass")))

    def stored(self, rows: Array) -> Array:
        """Rows of a dataset as a file holds them."""
        return rows[self.order]

    def restored(self, rows: Array, mark: object) -> Array:
        """Rows of a file in the order of the dataset.

        Args:
            rows: as stored.
            mark: the file's mark; None: an early file, which has no mark and whose rows are in the order of the dataset.

        Raises:
            IntegrityError: the file was sorted by other names.
        """
        if mark is None:
            return rows
        if mark != self.mark or len(rows) != len(self.order):
            raise IntegrityError("the rows were sorted by other names")
        result = np.empty_like(rows)
        result[self.order] = rows
        return result
