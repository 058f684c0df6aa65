"""Other groups on the same stored predictions: one attribute of several, or labels that were not known before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.plugins import nearest
from grmu_audit.records import Predictions


def regroup(p: Predictions, by: Sequence[str]) -> Predictions:
    """The same predictions, grouped by some of the attributes that ``attribute`` is crossed from.

    Args:
        p: predictions whose ``factors`` name the attributes.
        by: names, in the order of the new crossing; one name gives that attribute alone.

    Returns:
        Predictions with new ``attribute``, ``attributes``, ``attribute_names`` and ``factors``; no forward pass is needed.

    Raises:
        InputError: no such attribute, the same twice, or none.
    """
    known = [name for name, _ in p.factors]
    wrong = [name for name in by if name not in known]
    if wrong:
        raise InputError(f"no attribute {wrong[0]!r}{nearest(wrong[0], known)}; known: {', '.join(known) or 'none by name'}")
    if not by or len(set(by)) < len(by):
        raise InputError("name one or more attributes to group by, each once")
    sizes = [size for _, size in p.factors]
    columns = dict(zip(known, np.unravel_index(p.attribute, sizes), strict=True))
    chosen = tuple((name, sizes[known.index(name)]) for name in by)
    widths = tuple(size for _, size in chosen)
    code = np.ravel_multi_index(tuple(columns[name] for name in by), widths).astype(np.int64)
    return replace(p, attribute=code, attributes=int(np.prod(widths)), attribute_names=crossed_names(chosen), factors=chosen)


def crossed_names(factors: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Names of all combinations of attribute values.

    >>> crossed_names([("sex", 2), ("age", 1)])
    ('sex=0, age=0', 'sex=1, age=0')
    """
    sizes = tuple(size for _, size in factors)
    cells = np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1).tolist()
    return tuple(", ".join(f"{name}={value}" for (name, _), value in zip(factors, cell, strict=True)) for cell in cells)


def with_groups(p: Predictions, attribute: npt.NDArray[np.int64], names: tuple[str, ...] = ()) -> Predictions:
    """The same predictions with another attribute column, such as labels that became known later.

    Raises:
        InputError: not one whole number from 0 per sample.
    """
    column = np.asarray(attribute)
    if column.shape != (len(p),) or not np.issubdtype(column.dtype, np.integer) or (len(column) and int(column.min()) < 0):
        raise InputError(f"groups must be one whole number from 0 for each of the {len(p)} samples")
    width = max(int(column.max()) + 1 if len(column) else 1, len(names))
    return replace(p, attribute=column.astype(np.int64), attributes=width, attribute_names=names, factors=())
