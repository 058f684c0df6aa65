"""Training of an ensemble whose members share no row (SISA): each member on its own shard, as if it were alone.

Source: Bourtoule et al. 2021, Machine Unlearning (arXiv 1912.03817), without slices inside a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.guaranteed import ShardEnsemble, shards_of
from grmu_audit.training.runtime import Runtime

Rows = npt.NDArray[np.int64]
TrainMember = Callable[[Classifier, Rows], object]
"""Trains one member, in place, on the positions in the list of rows that are its own."""


def require_ensemble(model: Classifier) -> ShardEnsemble:
    """The body of an ensemble of shards.

    Raises:
        InputError: it is another network.
    """
    if not isinstance(model.body, ShardEnsemble):
        raise InputError(
            f"this network is a {model.spec.architecture}: only an ensemble whose members share no row (--architecture sisa) can"
            " be retrained by shards; use retrain"
        )
    return model.body


def shard_of_rows(model: Classifier, source: BatchSource, rows: Rows) -> Rows:
    """[len(rows)] the shard of each row of the data; by its id where the data names no people (``subject`` is a place then)."""
    named = "subject" if source.dataset.header.subject_name else "id"
    people = source.dataset.frame[named].iloc[rows].astype(str)
    return shards_of(people.tolist(), source.group.cpu().numpy()[rows], require_ensemble(model).options)


def fit_shards(
    model: Classifier, source: BatchSource, rows: Rows, train: TrainMember, runtime: Runtime, only: Collection[int] | None = None
) -> Classifier:
    """Train members on their shards, in place; which rows each one read is kept where the source records it.

    A member's result depends on its shard, the seed and its number alone, so that the same member comes out whichever others are
    trained with it.

    Args:
        model: the ensemble; the members to be trained have fresh weights.
        source: the data.
        rows: every row that may be trained on.
        train: trains one member.
        runtime: seed, record of rows.
        only: numbers of the members to train; None: all.

    Raises:
        InputError: a shard has no rows.
    """
    body, shard = require_ensemble(model), shard_of_rows(model, source, rows)
    chosen = range(body.options.shards) if only is None else sorted(only)
    for number in chosen:
        if not (shard == number).any():
            raise InputError(f"sisa: shard {number} has no rows to train on: retrain with fewer shards or rule balanced")
    for number in chosen:
        before = None if source.rows_read is None else source.rows_read.clone()
        if source.rows_read is not None:
            source.rows_read.zero_()
        runtime.stage = number
        train(body.member(number, model.spec), np.flatnonzero(shard == number))
        if source.rows_read is not None and before is not None:
            runtime.shard_rows[number] = source.rows_read.clone()
            source.rows_read |= before
    return model.eval()


def member_digests(model: Classifier) -> list[str]:
    """SHA-256 over the weights of each member."""
    from grmu_audit.models.foreign_weights import state_digest

    return [state_digest(member.state_dict()) for member in require_ensemble(model).members]


def same_bits(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two networks have equal weights and running statistics, bit for bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
