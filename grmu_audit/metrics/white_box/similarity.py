"""How alike two sets of features or predictions are, and which labels features still hold: pure functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats

Ints = npt.NDArray[np.int64]
Features = npt.NDArray[Any]
"""[n, d] float features."""
LEAST_CKA = 4
"""Samples that the unbiased estimator needs."""
_CHUNK = 512


def cka(x: Features, y: Features) -> float:
    """Linear centred kernel alignment with the unbiased HSIC estimator over the whole set.

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = X X^T, L = Y Y^T, diagonals removed, and
    HSIC = [tr(KL) + 1^T K 1 1^T L 1 / ((n - 1)(n - 2)) - 2 / (n - 2) 1^T K L 1] / (n (n - 3)).
    No n x n matrix is formed: memory is d_x d_y.

    Args:
        x: [n, d_x] features.
        y: [n, d_y] features of the same samples in the same order.

    Returns:
        At most 1 (the same up to rotation and scale), about 0 for unrelated features (it can be a little below);
        NaN where one of the two does not vary.

    Raises:
        InputError: fewer than four samples, or another number of rows.

    Source: Kornblith et al. (2019); Song et al. (2012) for the estimator.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(cka(x, -2 * x[:, ::-1]), 6)
    1.0
    """
    if len(x) != len(y) or len(x) < LEAST_CKA:
        raise InputError(f"CKA needs the same {LEAST_CKA} or more samples on both sides; there are {len(x)} and {len(y)}")
    a, b = (z.astype(np.float64) - z.mean(axis=0, dtype=np.float64) for z in (x, y))
    scale = _hsic(a, a) * _hsic(b, b)
    return float(_hsic(a, b) / np.sqrt(scale)) if scale > 0 else float("nan")


def _hsic(x: Floats, y: Floats) -> float:
    """Unbiased estimator up to the factor 1 / (n (n - 3)), which cancels."""
    n = len(x)
    own_x, own_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    rows_x, rows_y = x @ x.sum(axis=0) - own_x, y @ y.sum(axis=0) - own_y
    trace = float(((x.T @ y) ** 2).sum() - own_x @ own_y)
    both = float(rows_x.sum() * rows_y.sum()) / ((n - 1) * (n - 2))
    return trace + both - 2 / (n - 2) * float(rows_x @ rows_y)


def nearest_neighbours(bank: Features, labels: Ints, queried: Features, k: int = 5) -> Ints:
    """Label of each queried sample by majority of its k nearest in the bank (Euclidean); a tie goes to the smallest label.

    Args:
        bank: [m, d] features, m >= k.
        labels: [m] labels of the bank, from 0.
        queried: [n, d].
        k: neighbours.

    Raises:
        InputError: the bank is smaller than k.

    >>> nearest_neighbours(np.array([[0.0], [1.0], [9.0]]), np.array([1, 1, 0]), np.array([[0.4], [8.0]]), k=1).tolist()
    [1, 0]
    """
    if len(bank) < k:
        raise InputError(f"{k} nearest neighbours of a bank of {len(bank)}")
    held, classes = bank.astype(np.float64), int(labels.max()) + 1
    norms, out = (held**2).sum(axis=1), np.empty(len(queried), dtype=np.int64)
    for start in range(0, len(queried), _CHUNK):
        part = queried[start : start + _CHUNK].astype(np.float64)
        near = np.argpartition(norms - 2 * part @ held.T, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(part), classes))
        np.add.at(votes, (np.arange(len(part))[:, None], labels[near]), 1.0)
        out[start : start + _CHUNK] = votes.argmax(axis=1)
    return out


def linear_probe(known: Features, labels: Ints, queried: Features) -> Ints:
    """Predictions of a logistic regression on frozen features, standardised by the samples that it is fitted on.

    Args:
        known: [m, d] features to fit on.
        labels: [m] their labels, at least two different ones.
        queried: [n, d].

    Raises:
        InputError: only one label.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise InputError("a linear probe needs samples of two classes to fit on")
    fitted = known.astype(np.float64)
    middle, width = fitted.mean(axis=0), fitted.std(axis=0)
    width[width == 0] = 1.0
    probe = LogisticRegression(max_iter=2000).fit((fitted - middle) / width, labels)
    found: Ints = probe.predict((queried.astype(np.float64) - middle) / width).astype(np.int64)
    return found


def nearest_prototype(known: Features, labels: Ints, queried: Features) -> Ints:
    """Label whose mean feature is nearest (Euclidean).

    >>> nearest_prototype(np.array([[0.0], [2.0], [9.0]]), np.array([0, 0, 1]), np.array([[4.0], [7.0]])).tolist()
    [0, 1]
    """
    codes = np.unique(labels)
    centres = np.stack([known[labels == code].astype(np.float64).mean(axis=0) for code in codes])
    away = ((queried.astype(np.float64)[:, None] - centres[None]) ** 2).sum(axis=2)
    result: Ints = codes[away.argmin(axis=1)]
    return result


def activation_distance(p: Floats, q: Floats) -> Floats:
    """[n] Euclidean distance between two probability vectors per sample, in [0, sqrt 2] (Golatkar et al. 2021).

    >>> activation_distance(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).round(3).tolist()
    [1.414]
    """
    result: Floats = np.sqrt(((p - q) ** 2).sum(axis=1))
    return result


def js_divergence(p: Floats, q: Floats) -> Floats:
    """[n] Jensen-Shannon divergence between two probability vectors per sample, in bits, in [0, 1] (Lin 1991).

    JS = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2.

    >>> js_divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).tolist()
    [1.0]
    """
    middle = (p + q) / 2
    result: Floats = (_kl(p, middle) + _kl(q, middle)) / 2
    return result


def _kl(p: Floats, m: Floats) -> Floats:
    ratio = np.divide(p, m, out=np.ones_like(p), where=p > 0)
    result: Floats = (p * np.log2(ratio)).sum(axis=1)
    return result
