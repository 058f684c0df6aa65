"""Files of shadow models: margins of all samples, sorted by pseudonym, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.row_order import RowOrder
from grmu_audit.utils import write_atomic
from grmu_audit.utils.array_files import DamagedFileError, pack_arrays, read_array, read_facts, unpack_arrays

Array = npt.NDArray[Any]
STATE = "state"
"""Array of the weights, as the bytes of a safetensors file."""
_MARGIN, _MARK = "margin", "sorted_by"


def margins_file(order: RowOrder | None, margin: Array, facts: Mapping[str, object], more: Mapping[str, Array] = {}) -> bytes:
    """The content of a file of margins.

    Args:
        order: how its rows are sorted; None: as in the dataset.
        margin: [n] in the order of the dataset.
        facts: number of the model, seconds.
        more: further arrays.
    """
    marked = {**facts, **({} if order is None else {_MARK: order.mark})}
    rows = margin if order is None else order.stored(margin)
    return pack_arrays(marked, {**more, _MARGIN: rows})


def write_margins(
    path: Path, order: RowOrder | None, margin: Array, facts: Mapping[str, object], more: Mapping[str, Array] = {}
) -> None:
    """Store margins, see ``margins_file``; whole or not at all."""
    write_atomic(path, margins_file(order, margin, facts, more), mode=0o600)


def read_margins(path: Path, order: RowOrder | None) -> Array:
    """[n] margins in the order of the dataset; a file of an earlier version, which is in that order, is written again.

    Raises:
        IntegrityError: it is damaged, or was sorted by other names.
    """
    rows = stored_array(path, _MARGIN)
    if order is None:
        return rows
    mark = stored_facts(path).get(_MARK)
    try:
        margin = order.restored(rows, mark)
        if mark is None:
            facts, arrays = unpack_arrays(path.read_bytes())
            write_margins(path, order, margin, facts, arrays)
    except (DamagedFileError, IntegrityError) as error:
        raise _damaged(path, error) from None
    return margin


def is_sorted_otherwise(path: Path, order: RowOrder | None) -> bool:
    """Whether a file is sorted by other names, as after a change of the key."""
    return order is not None and stored_facts(path).get(_MARK) not in (None, order.mark)


def stored_array(path: Path, name: str) -> Array:
    """One array of a file.

    Raises:
        IntegrityError: it is damaged.
    """
    try:
        return read_array(path, name)
    except DamagedFileError as error:
        raise _damaged(path, error) from None


def stored_facts(path: Path) -> dict[str, Any]:
    """The facts of a file.

    Raises:
        IntegrityError: it is damaged.
    """
    try:
        return read_facts(path)
    except DamagedFileError as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(f"{path} is damaged ({error}): delete it, and it is trained again")
