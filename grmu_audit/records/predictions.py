"""Per-sample outputs of one model: the one thing that every metric is computed from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SPLITS = ("retain", "forget", "val", "test")
"""Split names, in the order of their codes in ``Predictions.split``."""
LARGEST_LOGIT = 1e6
"""No network that works gives a logit of this size; one that does has diverged without becoming infinite."""
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Table = TypeVar("Table", bound="DataclassInstance")


@dataclass(frozen=True)
class Predictions:
    """n samples of one model on one dataset, all splits together; rows of two models of one audit are aligned by id."""

    ids: npt.NDArray[np.str_]
    """[n] sample ids (keyed pseudonyms when they come from the registry)."""
    split: IntArray
    """[n] index into ``SPLITS``."""
    target: IntArray
    """[n] class index in [0, classes)."""
    attribute: IntArray
    """[n] attribute index in [0, attributes)."""
    prediction: IntArray
    """[n] predicted class."""
    classes: int
    """Number of classes."""
    attributes: int
    """Number of attribute values (combinations, with several attributes)."""
    logits: FloatArray | None = None
    """[n, classes] logits, or log-probabilities where only probabilities were stored; None when only labels are known."""
    loss: FloatArray | None = None
    """[n] cross-entropy in nats; derived from logits where they exist."""
    subject: IntArray | None = None
    """[n] person index, where several samples may come from one person; what is stored is numbered by ``by_appearance``."""
    class_names: tuple[str, ...] = ()
    """Names by index, or empty."""
    attribute_names: tuple[str, ...] = ()
    """Names by index, or empty."""

    factors: tuple[tuple[str, int], ...] = ()
    """Name and number of values of each attribute that ``attribute`` is crossed from, the last one running fastest; or empty."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """[n] prediction == target."""
        result: npt.NDArray[np.bool_] = self.prediction == self.target
        return result

    def mask(self, split: str) -> npt.NDArray[np.bool_]:
        """[n] rows of that split; computed once and read-only."""
        return self._masks[split]

    @cached_property
    def _masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        found = {name: np.asarray(self.split == code) for code, name in enumerate(SPLITS)}
        for mask in found.values():
            mask.flags.writeable = False
        return found

    @cached_property
    def group(self) -> IntArray:
        """[n] group code: target * attributes + attribute; computed once and read-only."""
        code = self.target * self.attributes + self.attribute
        code.flags.writeable = False
        return code


def with_shared_columns(table: Table, first: Table | None) -> Table:
    """A table whose columns are those of the first one wherever they hold the same values.

    Models of a lineage are compared on the same rows; without this, the names of these rows lie in memory once a model.

    Args:
        table: a data class whose fields are arrays among other things.
        first: another of the same class; None: there is none yet.

    >>> a, b = (Predictions(np.array(["x", "y"]), *np.zeros((4, 2), dtype=np.int64), 2, 1) for _ in range(2))
    >>> with_shared_columns(b, a).ids is a.ids
    True
    """
    if first is None:
        return table
    pairs = [(field.name, getattr(first, field.name), getattr(table, field.name)) for field in fields(table)]
    arrays = [(name, ours, own) for name, ours, own in pairs if isinstance(ours, np.ndarray) and isinstance(own, np.ndarray)]
    same = {name: ours for name, ours, own in arrays if ours.dtype == own.dtype and np.array_equal(ours, own)}
    return replace(table, **same)


def by_appearance(codes: IntArray) -> IntArray:
    """The same people, numbered in the order in which they first appear.

    In rows sorted by pseudonym such numbers say nothing that the pseudonyms do not say; numbers in the order of the data are the
    positions of the rows, and anyone who has the data reads the ids from them.

    >>> by_appearance(np.array([40, 7, 40, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    result: IntArray = order[inverse]
    return result
