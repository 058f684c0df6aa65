"""A tokenizer from its file: pairs of sentences to token numbers, as BERT reads them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import Vocabulary
from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.utils import cache_folder, canonical_json, sha256_file, write_atomic

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset

POOL = 50
"""Batches whose texts are sorted by length together; between pools and between batches the order is random."""


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
        """The selected texts, in order."""
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

    slow = False

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        import torch

        texts, vocabulary = dataset.pixels, dataset.header.vocabulary
        if not isinstance(texts, Tokens) or vocabulary is None:
            raise TypeError("a dataset of texts holds Tokens, and its header a Vocabulary")
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

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> None:
        """Nothing: texts are not augmented."""

    def augmented(self, rows: torch.Tensor, draws: object) -> torch.Tensor:
        """The same, unchanged."""
        return self.take(rows)


def pooled(order: torch.Tensor, lengths: torch.Tensor, size: int) -> torch.Tensor:
    """A shuffled order, sorted by length within pools of ``POOL`` batches, so that a batch holds texts of like length.

    Which texts share a pool is random; ties within a pool are broken at random by the order itself.

    Args:
        order: [n] shuffled row numbers.
        lengths: tokens of every row of the dataset.
        size: batch size.
    """
    import torch

    parts = torch.split(order, POOL * size)
    return torch.cat([part[torch.sort(lengths[part], stable=True).indices] for part in parts]) if len(order) else order


START, SEPARATOR, PADDING = "[CLS]", "[SEP]", "[PAD]"
CHUNK = 8192
"""Pairs that are read at a time."""
LARGEST_FILE = 64 << 20
"""Bytes that a tokenizer's file may have."""


@dataclass(frozen=True)
class Tokenizer:
    """Token numbers of ``[CLS] first [SEP] second [SEP]``."""

    vocabulary: Vocabulary
    """What a model must know."""
    length: int
    """Longest pair in tokens."""
    _encoder: Any
    """The tokenizer of the ``tokenizers`` package."""

    @classmethod
    def read(cls, path: Path, length: int) -> Tokenizer:
        """From ``tokenizer.json``, or from ``vocab.txt`` of a lowercased BERT.

        Args:
            path: the file; nothing in it is run.
            length: longest pair in tokens.

        Raises:
            InputError: the file is no tokenizer, or one without the tokens of BERT.
            EnvironmentFailure: the package ``tokenizers`` is not installed.
        """
        try:
            import tokenizers
        except ImportError:
            raise EnvironmentFailure("texts need the package tokenizers: pip install 'grmu-audit[text]'") from None
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: larger than {LARGEST_FILE >> 20} MiB: it is not a tokenizer")
        encoder = _load(tokenizers, path)
        numbers = {token: encoder.token_to_id(token) for token in (START, SEPARATOR, PADDING)}
        missing = [token for token, number in numbers.items() if number is None]
        if missing:
            raise InputError(f"{path}: this tokenizer has no {', '.join(missing)}: take the one of a BERT")
        encoder.no_padding()
        encoder.enable_truncation(length, strategy="longest_first")
        encoder.post_processor = tokenizers.processors.BertProcessing((SEPARATOR, numbers[SEPARATOR]), (START, numbers[START]))
        vocabulary = Vocabulary(encoder.get_vocab_size(), numbers[PADDING], numbers[SEPARATOR], sha256_file(path))
        return cls(vocabulary, length, encoder)

    def pairs(self, texts: Sequence[tuple[str, str]]) -> Tokens:
        """Token numbers of each pair; the same texts with the same tokenizer and length come from the cache."""
        state = hashlib.sha256(canonical_json([self.vocabulary.sha256, self.length, metadata.version("tokenizers")]))
        for pair in texts:
            state.update(canonical_json(pair))
        path = cache_folder() / "tokens" / f"{state.hexdigest()}.npz"
        found = _read_cached(path, len(texts))
        if found is None:
            found = self._encode(texts)
            _write_cached(path, found)
        return found

    def _encode(self, texts: Sequence[tuple[str, str]]) -> Tokens:
        parts: list[npt.NDArray[np.int32]] = []
        for start in range(0, len(texts), CHUNK):
            chunk = self._encoder.encode_batch_fast(list(texts[start : start + CHUNK]))
            parts += [np.array(one.ids, dtype=np.int32) for one in chunk]
        return Tokens.of(parts)


def _read_cached(path: Path, count: int) -> Tokens | None:
    """The cached texts; None if they are absent or damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            values, lengths = stored["values"], stored["lengths"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = len(lengths) == count and int(lengths.sum()) == len(values) and values.dtype == np.int32
    return Tokens(values, lengths) if fits else None


def _write_cached(path: Path, tokens: Tokens) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, values=tokens.values, lengths=tokens.lengths)
    with suppress(OSError, EnvironmentFailure):  # without a cache the texts are read again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())


def _load(tokenizers: Any, path: Path) -> Any:
    try:
        if path.suffix == ".txt":
            words = path.read_text(encoding="utf-8").splitlines()
            model = tokenizers.models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")  # noqa: S106
            encoder = tokenizers.Tokenizer(model)
            encoder.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
            encoder.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
            return encoder
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  (the package raises bare exceptions)
        raise InputError(
            f"{path}: is not a tokenizer that can be read: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from None
