"""Texts as token numbers: kept without padding, padded to the longest of a batch, batched by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset

POOL = 50
"""Batches whose texts are sorted by length together; between pools and between batches the order stays random."""


class Tokens:
    """Token numbers of n texts, one after the other.

    Args:
        values: all tokens of all texts.
        lengths: tokens of each text.

    >>> texts = Tokens.of([[2, 7, 3], [2, 3]])
    >>> len(texts), texts[1].tolist(), texts.longest
    (2, [2, 3], 3)
    """

    dtype = np.dtype(np.int32)

    def __init__(self, values: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> None:
        self.values = values
        self.lengths = lengths
        self.offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])

    @classmethod
    def of(cls, texts: Sequence[Sequence[int] | npt.NDArray[np.int32]]) -> Tokens:
        """From one sequence of numbers per text."""
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        parts = [np.asarray(text, dtype=np.int32) for text in texts]
        return cls(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32), lengths)

    def only(self, keep: npt.NDArray[np.bool_]) -> Tokens:
        """The texts that are kept, in order."""
        return Tokens(self.values[np.repeat(keep, self.lengths)], self.lengths[keep])

    @property
    def longest(self) -> int:
        """Tokens of the longest text; 0 without texts."""
        return int(self.lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> npt.NDArray[np.int32]:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[npt.NDArray[np.int32]]:
        return (self[index] for index in range(len(self)))


class TokenInputs:
    """Token numbers on the device, padded to the longest text of what is taken; there is nothing to augment."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        import torch

        texts, vocabulary = dataset.pixels, dataset.header.vocabulary
        if not isinstance(texts, Tokens) or vocabulary is None:
            raise TypeError("a dataset of texts keeps Tokens, and its header a Vocabulary")
        self.lengths = torch.from_numpy(texts.lengths)
        self._pad = vocabulary.pad
        self._values = torch.from_numpy(texts.values).to(device)
        self._starts = torch.from_numpy(texts.offsets[:-1]).to(device)
        self._counts = self.lengths.to(device)

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """[b, longest of the batch] int64 token numbers."""
        import torch

        longest = int(self.lengths[rows.cpu()].max()) if len(rows) else 0
        index = rows.to(self._values.device)
        place = torch.arange(longest, device=self._values.device)
        inside = place < self._counts[index][:, None]
        where = torch.where(inside, self._starts[index][:, None] + place, 0)
        return torch.where(inside, self._values[where].long(), self._pad)

    def augmented(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The same, unchanged."""
        return self.take(rows)


def pooled(order: torch.Tensor, lengths: torch.Tensor, size: int) -> torch.Tensor:
    """A shuffled order, sorted by length within pools of ``POOL`` batches, so that a batch holds texts of like length.

    Which texts share a pool stays random; ties within a pool are broken at random by the order itself.

    Args:
        order: [n] shuffled row numbers.
        lengths: tokens of every row of the dataset.
        size: batch size.
    """
    import torch

    parts = torch.split(order, POOL * size)
    return torch.cat([part[torch.sort(lengths[part], stable=True).indices] for part in parts]) if len(order) else order
