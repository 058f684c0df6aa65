"""BERT for texts, through transformers (extra ``grmu-audit[text]``)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.models.architecture import DEEPEST, WIDEST, Options
from grmu_audit.models.classifier import ModelSpec

MOST_WORDS = 10_000_000
"""Tokens that a tokenizer may know."""


class BertOptions(Options):
    """Options of ``bert``; the defaults are those of BERT base (Devlin et al. 2019)."""

    vocabulary: int = Field(30522, ge=2, le=MOST_WORDS)
    """Tokens that the tokenizer knows."""
    hidden: int = Field(768, ge=1, le=WIDEST)
    """Width of a token."""
    layers: int = Field(12, ge=1, le=DEEPEST)
    """Transformer blocks."""
    heads: int = Field(12, ge=1, le=WIDEST)
    """Attention heads; they divide ``hidden``."""
    intermediate: int = Field(3072, ge=1, le=WIDEST)
    """Hidden width of the feed-forward part."""
    positions: int = Field(512, ge=1, le=WIDEST)
    """Longest text in tokens."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of values dropped."""
    pad: int = Field(0, ge=0, le=MOST_WORDS)
    """Number of the padding token."""
    sep: int = Field(102, ge=0, le=MOST_WORDS)
    """Number of the token that ends each of the two sentences."""


def bert_body(spec: ModelSpec, options: BertOptions) -> nn.Module:
    """A BERT without its classifier.

    Raises:
        InputError: the inputs are no texts, or the options do not fit together.
        EnvironmentFailure: transformers is not installed.
    """
    if len(spec.image_size) != 1 or spec.mean:
        raise InputError(f"bert is for texts, but one input of this data has the shape {list(spec.image_size)}")
    if spec.image_size[0] > options.positions:
        raise InputError(f"bert: texts have up to {spec.image_size[0]} tokens, but positions is {options.positions}")
    if options.hidden % options.heads:
        raise InputError(f"bert: heads is {options.heads}, which does not divide hidden = {options.hidden}")
    if options.pad >= options.vocabulary:
        raise InputError(f"bert: pad is {options.pad}, but the vocabulary has {options.vocabulary} tokens, from 0")
    return Bert(options)


class Bert(nn.Module):
    """[b, n] token numbers -> [b, hidden] pooled features of the first token.

    The attention mask and the sentence that a token belongs to follow from the padding and separator tokens.
    """

    containers = ("bert", "bert.encoder")
    foreign_head = "classifier"
    foreign_root = "bert"

    def __init__(self, options: BertOptions) -> None:
        super().__init__()
        try:
            from transformers import BertConfig, BertModel
        except ImportError:
            raise EnvironmentFailure("architecture bert needs transformers: pip install 'grmu-audit[text]'") from None
        self.pad, self.sep = options.pad, options.sep
        config = BertConfig(
            vocab_size=options.vocabulary,
            hidden_size=options.hidden,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            intermediate_size=options.intermediate,
            max_position_embeddings=options.positions,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
            pad_token_id=options.pad,
            attn_implementation="sdpa",
        )
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed, mask, encode, pool."""
        tokens = tokens.long()
        real = tokens != self.pad
        ends = (tokens == self.sep).long()
        second = ((ends.cumsum(1) - ends) > 0) & real
        embedded = self.bert.embeddings(input_ids=tokens, token_type_ids=second.long())
        mask = real[:, None, None, :].expand(-1, 1, tokens.shape[1], -1)
        hidden = self.bert.encoder(embedded, attention_mask=mask).last_hidden_state
        result: torch.Tensor = self.dropout(self.bert.pooler(hidden))
        return result
