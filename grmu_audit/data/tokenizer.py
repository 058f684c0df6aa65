"""A tokenizer from its file: pairs of sentences to token numbers, as BERT reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmu_audit.data.dataset import Vocabulary
from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.evidence import sha256_file

START, SEPARATOR, PADDING = "[CLS]", "[SEP]", "[PAD]"
LARGEST_FILE = 64 << 20
"""Bytes that a tokenizer's file may have."""


@dataclass(frozen=True)
class Tokenizer:
    """Token numbers of ``[CLS] first [SEP] second [SEP]``."""

    vocabulary: Vocabulary
    """What a model must know."""
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
            raise InputError(f"{path}: larger than {LARGEST_FILE >> 20} MiB: it is no tokenizer")
        encoder = _loaded(tokenizers, path)
        numbers = {token: encoder.token_to_id(token) for token in (START, SEPARATOR, PADDING)}
        missing = [token for token, number in numbers.items() if number is None]
        if missing:
            raise InputError(f"{path}: this tokenizer has no {', '.join(missing)}: take the one of a BERT")
        encoder.no_padding()
        encoder.enable_truncation(length, strategy="longest_first")
        encoder.post_processor = tokenizers.processors.BertProcessing((SEPARATOR, numbers[SEPARATOR]), (START, numbers[START]))
        vocabulary = Vocabulary(encoder.get_vocab_size(), numbers[PADDING], numbers[SEPARATOR], sha256_file(path))
        return cls(vocabulary, encoder)

    def pairs(self, texts: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Token numbers of each pair."""
        return [list(found.ids) for found in self._encoder.encode_batch(list(texts))]


def _loaded(tokenizers: Any, path: Path) -> Any:
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
            f"{path}: is no tokenizer that can be read: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from None
