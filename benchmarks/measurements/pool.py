"""A pool of small networks of which it is known whether they saw a forget set: which metric tells the two kinds apart?

Half of the networks are trained on all rows of PhotoDigits, half without the forget set; nothing differs but that and the seeds
of weights and order.  Of each network the pool holds the outputs as trained, after rounding of the weights to 8 bits, and after
fine-tuning on the retain set alone, as one number for each sample: the difference of the two logits, in half precision.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.measurements.effect import machine
from benchmarks.measurements.gate import BEFORE, CELLS, Scale
from benchmarks.measurements.kept import RESULTS, digest
from benchmarks.measurements.population import Trial, predictions_of
from grmu_audit.auditing.measurement import measure
from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.durability import FineTuning, rounded
from grmu_audit.metrics.scores import roc
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.records import CANDIDATE, AuditContext, AuditedModel, AuditInputs, DataRecord, MetricValue, ModelRef, Predictions
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Runtime
from grmu_audit.utils import canonical_json, write_atomic
from grmu_audit.utils.array_files import Array, pack_arrays, unpack_arrays

FORMS = ("as trained", "rounded to 8 bits", "fine-tuned on the retain set")
"""What is stored of each network."""
CELL, DATA_SEED, FIRST_SEED = CELLS["B"], 0, 1000
"""The request, the seed of data and request, and the first seed of a network; the networks of a kind have consecutive ones."""
FULL = Scale(widths=(8, 16, 32), renders=1)
"""Size of the networks and of the data."""
PATH = RESULTS / "pool.npz"
"""The pool in the repository."""
BEFORE_NETWORKS, REFERENCES = 1, 3
"""Networks that saw all rows, and retrained ones, that comparative metrics use as version before and references; not ranked."""
Margins = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Pool:
    """Outputs of all networks."""

    margin: Margins
    """[networks, forms, samples] second logit less the first."""
    retrained: npt.NDArray[np.bool_]
    """[networks] whether the network never saw the forget set."""
    seed: npt.NDArray[np.int64]
    """[networks] of weights and order."""
    facts: Mapping[str, Any]
    """What the networks were made from, and on which machine."""

    def ranked(self) -> npt.NDArray[np.bool_]:
        """[networks] those that are ranked: all but the first few of each kind, which comparative metrics use."""
        place = np.where(self.retrained, np.cumsum(self.retrained), np.cumsum(~self.retrained))
        chosen: npt.NDArray[np.bool_] = place > np.where(self.retrained, REFERENCES, BEFORE_NETWORKS)
        return chosen


class PoolMaker:
    """Trains what is missing, each network stored in the cache folder as soon as it is ready.

    Args:
        cache: folder.
        networks: of each kind that are ranked.
        scale: size of networks and data.
    """

    def __init__(self, cache: Path, networks: int, scale: Scale = FULL) -> None:
        self.cache, self.networks, self.scale = cache, networks, scale
        self.trial = Trial(CELL, DATA_SEED, scale, cache, torch.device("cpu"))

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that the outputs depend on but the code and the machine."""
        return {
            "data": "photodigits",
            "data_seed": DATA_SEED,
            "data_sha256": self.trial.dataset.digest,
            "request": CELL.title,
            "scale": {**asdict(self.scale), "widths": list(self.scale.widths)},
            "recipe": BEFORE.config(CELL, self.scale).model_dump(mode="json"),
            "forms": list(FORMS),
            "first_seed": FIRST_SEED,
            "networks": self.networks,
        }

    def pool(self, told: Callable[[int], None] = lambda left: None) -> Pool:
        """All networks; ``told`` hears after each how many are left."""
        wanted = [(False, FIRST_SEED + k) for k in range(BEFORE_NETWORKS + self.networks)]
        wanted += [(True, FIRST_SEED + k) for k in range(REFERENCES + self.networks)]
        found = []
        for number, (retrained, seed) in enumerate(wanted, 1):
            found.append(self._margins(retrained, seed))
            told(len(wanted) - number)
        kinds, seeds = zip(*wanted, strict=True)
        facts = self.facts | {"machine": machine(torch.device("cpu"))}
        return Pool(np.stack(found), np.array(kinds), np.array(seeds, dtype=np.int64), facts)

    def _margins(self, retrained: bool, seed: int) -> Margins:
        named = {key: value for key, value in self.facts.items() if key != "networks"}
        path = self.cache / f"pool-{digest([named, retrained, seed])[:20]}.bin"
        if not path.is_file():
            write_atomic(path, pack_arrays({}, {"margin": self._made(retrained, seed)}))
        margin: Margins = unpack_arrays(path.read_bytes())[1]["margin"].astype(np.float16)
        return margin

    def _made(self, retrained: bool, seed: int) -> Margins:
        """[forms, samples] outputs of one network."""
        trial, runtime = self.trial, Runtime(self.trial.device, seed)
        config = BEFORE.config(CELL, self.scale)
        rows = trial.data.retain if retrained else trial.dataset.rows("train")
        model = fit(trial.fresh(seed), trial.source, TrainingRows(rows, trial.data.val), config, runtime)
        tuning = FineTuning(trial.data.retain, config)
        tuned = fit(
            copy_model(model), trial.source, TrainingRows(trial.data.retain), tuning.config, Runtime(trial.device, seed + 1)
        )
        return np.stack([self._outputs(one) for one in (model, rounded(model, 8), tuned)])

    def _outputs(self, model: Classifier) -> Margins:
        every = np.arange(len(self.trial.dataset), dtype=np.int64)
        logits = infer(model, self.trial.source, every, Runtime(self.trial.device, 0)).float().numpy()
        margin: Margins = (logits[:, 1] - logits[:, 0]).astype(np.float16)
        return margin


def write_pool(pool: Pool, path: Path = PATH) -> None:
    """One compressed file of NumPy arrays, the same bytes for the same outputs."""
    buffer = io.BytesIO()
    facts = np.array(canonical_json(pool.facts).decode())
    np.savez_compressed(buffer, facts=facts, margin=pool.margin, retrained=pool.retrained, seed=pool.seed)
    write_atomic(path, buffer.getvalue())


def read_pool(path: Path = PATH) -> Pool:
    """The pool in the repository, or another one."""
    with np.load(path, allow_pickle=False) as found:
        return Pool(found["margin"], found["retrained"], found["seed"], json.loads(str(found["facts"])))


class Ranking:
    """Every metric of every network of a pool that is ranked, and what it is worth.

    Args:
        pool: the outputs.

    Raises:
        IntegrityError: PhotoDigits gives other data today than the pool was made from.
    """

    def __init__(self, pool: Pool) -> None:
        scale = Scale(**{**pool.facts["scale"], "widths": tuple(pool.facts["scale"]["widths"])})
        self.pool, self.dataset = pool, scale.dataset(DATA_SEED)
        if self.dataset.digest != pool.facts["data_sha256"]:
            raise IntegrityError("the pool was made from other data than PhotoDigits gives today: make it again")
        chosen = pool.ranked()
        self.networks, beside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        kinds = pool.retrained[beside]
        self.before, self.references = int(beside[~kinds][0]), beside[kinds].tolist()

    def values(self, form: str, told: Callable[[int], None] = lambda left: None) -> dict[str, Array]:
        """[ranked networks] each metric of each network in one form; NaN where it is undefined."""
        before, *references = (self._predictions(number, FORMS[0]) for number in (self.before, *self.references))
        ref = ModelRef("pool", "1")
        found: list[dict[str, float]] = []
        for done, number in enumerate(self.networks.tolist(), 1):
            inputs = AuditInputs(
                AuditedModel(ref, self._predictions(number, form)),
                AuditedModel(ref, before),
                tuple(AuditedModel(ref, one) for one in references),
            )
            audit = measure(inputs, AuditContext(DataRecord("pool", {})))
            found.append({one.name: one.value for one in audit.metrics if _ranks(one) and one.value is not None})
            told(len(self.networks) - done)
        names = sorted({name for one in found for name in one})
        return {name: np.array([one.get(name, np.nan) for one in found]) for name in names}

    def _predictions(self, number: int, form: str) -> Predictions:
        margin = self.pool.margin[number, FORMS.index(form)].astype(np.float64)
        return predictions_of(self.dataset, CELL.sampling(DATA_SEED), np.stack([-margin / 2, margin / 2], axis=1))


def _ranks(one: MetricValue) -> bool:
    """Whether it is a number of the candidate over all groups."""
    return one.subject == CANDIDATE and one.group is None


@dataclass(frozen=True)
class Separation:
    """How well a metric tells retrained networks from those that saw the forget set."""

    area: float
    """P(a retrained network's value is larger than another's) + half the ties: 1 or 0 where it always tells, 0.5 where never."""
    low: float
    """Lower limit at 95 %."""
    high: float
    """Upper limit."""
    undefined: int
    """Networks without a value, which are left out."""


def separation(values: Array, retrained: npt.NDArray[np.bool_]) -> Separation | None:
    """Area under the curve with the 95 % interval that areas of audits have; None without two networks of each kind."""
    known = np.isfinite(values)
    one, other = values[known & retrained].astype(np.float64), values[known & ~retrained].astype(np.float64)
    if min(len(one), len(other)) < 2:
        return None
    area = roc(one, other, np.ones(len(other))).effective_area(None, None)
    low, high = area.limits(0.05) or (0.0, 1.0)
    return Separation(area.value, low, high, int((~known).sum()))
