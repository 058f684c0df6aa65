"""scikit-learn's random forest on one number, exactly, without growing a tree.

A fully grown tree on one feature is a step function: between neighbouring values of its bootstrap sample it cuts in the
middle, and at each value it says the share of each class among the sampled rows there.  Gini and entropy give the same
tree, and a forest of fewer trees is a prefix of a larger one.  So a tree is one count per (value, class) and one search.
How often a tree draws each sample depends on the seed and on the number of samples alone: the models of an audit share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from threading import Lock

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals.closed_forms import Floats

Draws = npt.NDArray[np.uint8]
"""[n] how often a tree's bootstrap sample holds each row."""
TREES = 100
"""Trees of the attack's forest."""
_SAME = np.float32(1e-7)
_MOST_SEED = np.iinfo(np.int32).max
_LARGEST = 1e30
_MOST_KEPT = 64_000_000
_KEEPING = Lock()


def forest_probabilities(x: Floats, y: npt.NDArray[np.int64], queried: Floats, *, seed: int, trees: int = TREES) -> Floats:
    """Probabilities of class 0 and 1 as ``RandomForestClassifier(trees, random_state=seed)`` gives them.

    Args:
        x: [n] the feature of the fitted samples, n > 0; rounded to single precision as scikit-learn does.
        y: [n] class 0 or 1.
        queried: [k] the feature of the samples to judge.
        seed: ``random_state``.
        trees: number of trees, > 0.

    Returns:
        [k, 2] probabilities, equal to scikit-learn's 1.6 to 1.9 bit for bit.  Values closer than 1e-7 count as equal, as there.

    Source: Breiman (2001); equality with scikit-learn is tested.

    >>> x, y = np.array([0.1, 0.2, 3.0, 4.0]), np.array([1, 1, 0, 0])
    >>> forest_probabilities(x, y, np.array([0.0, 5.0]), seed=0).round(2).tolist()
    [[0.04, 0.96], [0.91, 0.09]]
    """
    values, code = np.unique(_single(x), return_inverse=True)
    cell = code + y * len(values)
    distinct, place = np.unique(_single(queried), return_inverse=True)
    total = np.zeros((2, len(distinct)))
    for draws in _bootstraps(len(x), seed, trees):
        counts: Floats = np.asarray(np.bincount(cell, weights=draws, minlength=2 * len(values)), dtype=np.float64)
        total += _tree(values, counts.reshape(2, -1), distinct)
    result: Floats = total.T[place] / trees
    return result


def _single(x: Floats) -> npt.NDArray[np.float32]:
    return np.clip(x, -_LARGEST, _LARGEST).astype(np.float32)


def _bootstraps(n: int, seed: int, trees: int) -> Iterable[Draws]:
    """What every tree draws; kept for the next model of the audit where it fits."""
    if n * trees > _MOST_KEPT:
        return _drawn_by_trees(n, seed, trees)
    with _KEEPING:  # models are measured side by side: the first draws, the others wait for it
        return _kept_bootstraps(n, seed, trees)


@lru_cache(maxsize=2)
def _kept_bootstraps(n: int, seed: int, trees: int) -> tuple[Draws, ...]:
    return tuple(_drawn_by_trees(n, seed, trees))


def _drawn_by_trees(n: int, seed: int, trees: int) -> Iterator[Draws]:
    """How often each i occurs in ``RandomState(a tree's seed).randint(0, n, n)``, tree by tree.

    NumPy draws an integer below n from 32-bit words by masking and refusing; the same words are taken here all at once.
    """
    seeds, words = np.random.RandomState(seed), np.random.MT19937()
    source, span = np.random.Generator(words), 1 << (n - 1).bit_length()
    for _ in range(trees):
        np.random.RandomState(words).seed(seeds.randint(_MOST_SEED))
        counts, missing = np.zeros(n, dtype=np.intp), n
        while missing:
            drawn = np.bincount(source.integers(0, 1 << 32, missing, dtype=np.uint32) & np.uint32(span - 1), minlength=span)
            counts, missing = counts + drawn[:n], int(drawn[n:].sum())
        yield counts.astype(np.uint8)


def _tree(values: npt.NDArray[np.float32], counts: Floats, queried: npt.NDArray[np.float32]) -> Floats:
    """[2, k] shares of the classes in the leaf of each queried value.

    Args:
        values: [u] distinct values, ascending.
        counts: [2, u] how often each class was sampled at each value.
        queried: [k] distinct values, ascending.
    """
    drawn = np.flatnonzero(counts[0] + counts[1])
    seen = values[drawn]
    cut = seen[1:] > seen[:-1] + _SAME
    last = len(seen) - 1
    upper = np.minimum(np.searchsorted(seen, queried, side="right"), last)
    lower = np.maximum(upper - 1, 0)
    low, high = seen[lower].astype(np.float64), seen[upper].astype(np.float64)
    middle = low / 2.0 + high / 2.0
    at = np.where(queried <= np.where(middle == high, low, middle), lower, upper)
    hit = counts[:, drawn[at]] if cut.all() else _runs(counts, drawn, np.flatnonzero(cut), at)
    result: Floats = hit / hit.sum(axis=0)
    return result


def _runs(counts: Floats, drawn: npt.NDArray[np.intp], cuts: npt.NDArray[np.intp], at: npt.NDArray[np.intp]) -> Floats:
    """[2, k] counts of the run of uncut values that each position lies in."""
    run = np.searchsorted(cuts, at, side="left")
    first = np.concatenate([[0], cuts + 1])[run]
    last = np.append(cuts, len(drawn) - 1)[run]
    running = np.cumsum(counts, axis=1)
    result: Floats = running[:, drawn[last]] - running[:, drawn[first]] + counts[:, drawn[first]]
    return result


def forest_calls(member: Floats, other: Floats, queried: Floats, *, seed: int, balanced: bool) -> npt.NDArray[np.bool_]:
    """Which of the queried samples a forest on the loss calls non-member.

    100 trees, gini, ``random_state`` = seed, fitted on the losses of members (1) and non-members (0); one fixed
    configuration, never the best of several.  A tie of the two probabilities counts as non-member, as in scikit-learn.

    Args:
        member: [members] losses of retain samples.
        other: [non-members] losses of validation samples.
        queried: [k] losses of forget samples.
        seed: seed of the subsampling and of the forest.
        balanced: subsample the larger class to the size of the smaller one, without replacement.

    Returns:
        [k] True for a non-member.
    """
    if balanced:
        rng, size = np.random.default_rng(seed), min(len(member), len(other))
        member, other = (_draw(x, size, rng) for x in (member, other))
    labels = np.repeat([1, 0], [len(member), len(other)])
    shares = forest_probabilities(np.concatenate([member, other]), labels, queried, seed=seed)
    calls: npt.NDArray[np.bool_] = shares[:, 0] >= shares[:, 1]
    return calls


def _draw(x: Floats, size: int, rng: np.random.Generator) -> Floats:
    return x if len(x) == size else x[np.sort(rng.choice(len(x), size, replace=False))]
