"""A pool of shadow models: trained once on random halves, stored, and shared by every attack and every later audit."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.data.batches import BatchSource
from grmu_audit.evaluation.durability import answers
from grmu_audit.evaluation.margin_files import (
    STATE,
    is_sorted_otherwise,
    margins_file,
    read_margins,
    stored_array,
    stored_facts,
    write_margins,
)
from grmu_audit.evaluation.row_order import RowOrder
from grmu_audit.models.catalog import reinitialised
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.weights import packed_tensors, unpacked_tensors
from grmu_audit.records.white_box import ShadowTable
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
FORMAT = "grmu-audit/shadow/v1"
DEFAULT_MODELS = 16
"""Models of a pool unless the caller wants more."""
Unlearner = Callable[[Classifier, Rows, Rows, Runtime], Classifier]
"""The audited method: model, retain rows, forget rows, runtime -> new model."""
TrainElsewhere = Callable[[Iterable[int]], Iterator[tuple[int, bytes]]]
"""Trains models of the numbers that it draws, in any order; gives the number and the file of each."""


@dataclass(frozen=True)
class LeftOut:
    """Rows that no model of a pool is trained on, and what rows are called."""

    rows: Rows
    """Their numbers."""
    digest: str
    """Keyed digest of them, part of the pool's key."""
    names: npt.NDArray[np.str_] | None = None
    """[n] names of all rows of the data, which files of the pool are sorted by; None: by the order of the data."""
    members: tuple[str, ...] = ()
    """What the rows are called, those that are no longer in the data too."""


NOTHING = LeftOut(np.zeros(0, dtype=np.int64), "")
"""All training rows may be drawn."""


@dataclass(frozen=True)
class TrainingCost:
    """What a pool would cost before it is trained."""

    wanted: int
    """Models requested."""
    stored: int
    """Models that are there already."""
    seconds_each: float | None
    """Seconds per model, from those that are there or as the caller guesses; None when unknown."""

    @property
    def seconds(self) -> float | None:
        """Seconds for the models that are missing."""
        missing = self.wanted - self.stored
        return 0.0 if not missing else None if self.seconds_each is None else missing * self.seconds_each

    def words(self, what: str, budget: float | None) -> str:
        """One line to print before it starts.

        >>> TrainingCost(16, 12, 30.0).words("shadow models", 60.0)
        'shadow models: 16 wanted, 12 stored, 4 to train, about 2.0 min; budget 1.0 min'
        """
        about = "at an unknown cost" if self.seconds is None else f"about {self.seconds / 60:.1f} min"
        cap = "" if budget is None else f"; budget {budget / 60:.1f} min"
        return f"{what}: {self.wanted} wanted, {self.stored} stored, {self.wanted - self.stored} to train, {about}{cap}"


def population_of(source: BatchSource, without: LeftOut = NOTHING) -> Rows:
    """What the halves are sampled from: training rows, and the first row of every person in validation and test.

    Args:
        source: the data.
        without: rows that are left out.
    """
    frame = source.dataset.frame
    unseen = frame[(frame["split"] != "train") & ~frame.index.isin(without.rows)]
    first = unseen.index[~unseen["subject"].duplicated().to_numpy()].to_numpy(dtype=np.int64)
    return np.sort(np.concatenate([np.setdiff1d(source.dataset.rows("train"), without.rows), first]))


class _Bank(ABC):
    """Models in numbered files of one folder."""

    folder: Path

    @abstractmethod
    def train(self, number: int) -> bytes:
        """Train one model; returns the content of its file."""

    def is_stored(self, number: int) -> bool:
        """Whether a model is there."""
        return self._path(number).is_file()

    def count_stored(self, wanted: int) -> int:
        """How many of the first ``wanted`` models are there."""
        return sum(map(self.is_stored, range(wanted)))

    def cost(self, wanted: int, guess: float | None = None) -> TrainingCost:
        """Cost of the missing ones.

        Args:
            wanted: models.
            guess: seconds per model while none is there.
        """
        times = [self._seconds(k) for k in range(wanted) if self.is_stored(k)]
        return TrainingCost(wanted, len(times), float(np.mean(times)) if times else guess)

    def train_missing(
        self, wanted: int, budget: float | None = None, guess: float | None = None, elsewhere: TrainElsewhere | None = None
    ) -> int:
        """Train what is missing, each stored at once; a killed run continues where it stopped.

        Args:
            wanted: models.
            budget: seconds; no model is begun that would not end within it, as far as is known.
            guess: seconds per model while none is there.
            elsewhere: trains them in other processes; None: one after the other, here.

        Returns:
            Number of leading models that are there, rounded down to whole pairs of halves.
        """
        start = time.perf_counter()

        def missing() -> Iterator[int]:
            """Numbers of the models to train, as long as the budget lasts."""
            for number in range(wanted):
                if not self.is_stored(number):
                    each = 0.0 if budget is None else self.cost(wanted, guess).seconds_each or 0.0
                    if budget is not None and not time.perf_counter() - start + each <= budget:
                        return
                    yield number

        for number, content in elsewhere(missing()) if elsewhere else ((k, self.train(k)) for k in missing()):
            self.store(number, content)
        there = next((number for number in range(wanted) if not self.is_stored(number)), wanted)
        return there - there % 2

    def store(self, number: int, content: bytes) -> None:
        """Store the file of a model, whole or not at all."""
        write_atomic(self._path(number), content, mode=0o600)

    def content(self, number: int) -> bytes:
        """The file of a model that is there."""
        return self._path(number).read_bytes()

    def _seconds(self, number: int) -> float:
        return float(stored_facts(self._path(number))["seconds"])

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.zip"


class ShadowPool(_Bank):
    """Shadow models of one architecture, recipe and dataset.

    Args:
        folder: parent of all pools; this one is stored under the digest of everything it depends on.
        source: the data.
        like: a network of the architecture, with the weights that its lineage started from where it has any.
        recipe: training recipe; the last epoch is used, since a shadow model has no validation rows of its own.
        runtime: device, precision, and the seed of halves and weights.
        without: rows of earlier requests, which no model of the pool is trained on.
    """

    def __init__(
        self,
        folder: Path,
        source: BatchSource,
        like: Classifier,
        recipe: TrainConfig,
        runtime: Runtime,
        without: LeftOut = NOTHING,
    ) -> None:
        self.source, self.like, self.seed, self.runtime, self.without = source, like, runtime.seed, runtime, without
        self.recipe = recipe.model_copy(update={"keep_best": False})
        self.population = population_of(source, without)
        self.order = None if without.names is None else RowOrder.of(without.names)
        asked = runtime.without_gradients.precision
        made_from = {
            "format": FORMAT,
            "spec": like.spec.to_json(),
            "recipe": self.recipe.model_dump(mode="json"),
            "data": source.dataset.digest,
            "seed": self.seed,
            "precision": runtime.precision,
            **({"asked_in": asked} if asked != runtime.precision else {}),
            **({"without": without.digest} if len(without.rows) else {}),
        }
        self.key = sha256_hex(canonical_json(made_from))
        self.folder = folder / self.key[:24]

    def member(self, number: int) -> Mask:
        """[n] training rows of one model: a random half of the population, or for odd numbers the other half."""
        rng = np.random.default_rng([self.seed, number // 2, 29])
        half = rng.permutation(len(self.population)) < len(self.population) // 2
        mask = np.zeros(len(self.source.dataset), dtype=bool)
        mask[self.population[half if number % 2 == 0 else ~half]] = True
        return mask

    def train(self, number: int) -> bytes:
        """Train one model on its half; its file holds margins and weights."""
        start = time.perf_counter()
        runtime = Runtime(self.runtime.device, derive_seed(self.seed, "shadow", number), self.runtime.precision)
        model = reinitialised(self.like, derive_seed(runtime.seed, "init"))
        move_to(model, runtime.device)
        member = self.member(number)
        fit(model, self.source, TrainingRows(np.flatnonzero(member)), self.recipe, runtime)
        facts = {"number": number, "seconds": time.perf_counter() - start}
        return margins_file(self.order, self._margins(model), facts, {STATE: packed_tensors(model.state_dict())})

    def _margins(self, model: Classifier) -> npt.NDArray[np.float32]:
        return answers(model, self.source, self.runtime).margin

    def model(self, number: int) -> Classifier:
        """One shadow model, on the device."""
        model = reinitialised(self.like, 0)
        model.load_state_dict(unpacked_tensors(stored_array(self._path(number), STATE)))
        move_to(model, self.runtime.device)
        return model.eval()

    def table(self, count: int, ids: npt.NDArray[np.str_]) -> ShadowTable:
        """The first ``count`` models' margins for all samples.

        Args:
            count: models that are there.
            ids: [n] names of the samples, in the order of the dataset.
        """
        margin = np.stack([self._stored_margins(number) for number in range(count)]).astype(np.float64)
        population = np.zeros(len(ids), dtype=bool)
        population[self.population] = True
        return ShadowTable(ids, margin, np.stack([self.member(number) for number in range(count)]), population)

    def _stored_margins(self, number: int) -> npt.NDArray[Any]:
        """Margins of one model; where they were sorted under another key, computed from its weights again."""
        path = self._path(number)
        if is_sorted_otherwise(path, self.order):
            facts = {"number": number, "seconds": self._seconds(number)}
            write_margins(path, self.order, self._margins(self.model(number)), facts, {STATE: stored_array(path, STATE)})
        return read_margins(path, self.order)


class UnlearnedPool(_Bank):
    """The audited method applied to each model of a pool, with the model's members of the forget set as the request.

    Args:
        pool: the shadow models.
        made_from: method, options and keyed digest of the forget set.
        forget: rows of the forget set.
        unlearn: the method.
    """

    def __init__(self, pool: ShadowPool, made_from: dict[str, object], forget: Rows, unlearn: Unlearner) -> None:
        self.pool, self.forget, self.unlearn = pool, forget, unlearn
        self.folder = pool.folder / f"unlearned-{sha256_hex(canonical_json(made_from))[:24]}"

    def forgotten(self, number: int) -> Mask:
        """[n] members of a model that are in the forget set."""
        mask = np.zeros(len(self.pool.source.dataset), dtype=bool)
        mask[self.forget] = True
        return mask & self.pool.member(number)

    def train(self, number: int) -> bytes:
        """Run the method on one model of the pool; the file holds margins alone."""
        start, forget = time.perf_counter(), self.forgotten(number)
        retain = self.pool.member(number) & ~forget
        runtime = Runtime(self.pool.runtime.device, derive_seed(self.pool.seed, "unlearn", number), self.pool.runtime.precision)
        model = self.unlearn(self.pool.model(number), np.flatnonzero(retain), np.flatnonzero(forget), runtime)
        facts = {"number": number, "seconds": time.perf_counter() - start}
        return margins_file(self.pool.order, self.pool._margins(model), facts)

    def add_to(self, table: ShadowTable, count: int) -> ShadowTable:
        """The first ``count`` models of a pool's table with their margins after unlearning."""
        after = np.stack([read_margins(self._path(number), self.pool.order) for number in range(count)]).astype(np.float64)
        forget = np.stack([self.forgotten(number) for number in range(count)])
        return ShadowTable(table.ids, table.margin[:count], table.member[:count], table.population, after, forget)
