"""Every unlearning method on cells of the gate's study: forgetting, fairness, verdict and cost, between a floor and a ceiling.

The floor is the model before the request, the ceiling a model that was retrained with REWEIGHT from a seed of its own; both are
judged like any method, against three models that were retrained with REWEIGHT from other seeds.  Methods that read the retain set
sample it by REWEIGHT.  What is measured is kept in one file for each cell and seed; models stay in the cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.measurements.effect import machine
from benchmarks.measurements.gate import BEFORE, FULL, Cell, Kind, Scale
from benchmarks.measurements.gate_verdicts import FORGETTING_RULES, TODAY
from benchmarks.measurements.kept import RESULTS
from benchmarks.measurements.population import Trial
from grmu_audit.auditing.measurement import measure
from grmu_audit.policy import load_named
from grmu_audit.policy.judgement import evaluate
from grmu_audit.records import Audit, AuditContext, AuditedModel, AuditInputs, DataRecord, Decision, ModelRef, Predictions
from grmu_audit.training.runtime import choose_device
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import canonical_json, write_atomic
from grmu_audit.workflows.versions.method_choice import MethodChoice
from grmu_audit.workflows.versions.tuning import trial_settings

FLOOR, CEILING, PLAIN = "untouched", "retrained, REWEIGHT", "retrained"
"""Rows beside the methods."""
METRICS = ("FORGET_SHARE", "AVG_GAP", "MIA_AUC", "GA", "WG", "UA", "TA", "RA", "EO")
"""What is kept of an audit."""
TRIALS, TUNING_CELL, TUNING_SEED = 6, "C", 50
"""Configurations of each method from which the tuned form is chosen, and where; no page reads this seed."""
LARGEST_SHARES = ("shrink", "rl", "salun", "msg", "scrub")
"""Methods of at most 0.6 of the cost of retraining with the largest forgetting shares in ``TUNING_CELL``, by default options."""
FEWER = {"D": LARGEST_SHARES}
"""Cells in which the study of methods takes these alone: what they are measured for is whether the default policy passes them."""
_RETRAIN = methods.get("retrain")
REFERENCES = tuple(Kind(f"reference {k}", "retrained", _RETRAIN, reweight=True, other_seed=k) for k in (11, 12, 13))
"""Three retrained models of other seeds."""


@dataclass(frozen=True)
class Measured:
    """One row of one cell and seed."""

    title: str
    """Method, or one of the rows beside them."""
    key: str
    """Digest of everything that the model depends on but the code."""
    values: Mapping[str, float] = field(default_factory=dict)
    """``METRICS`` that are defined."""
    lower: float | None = None
    """One-sided 95 % lower limit of the forgetting share; None where undefined."""
    decision: str = ""
    """Verdict of the default policy."""
    not_met: tuple[str, ...] = ()
    """Blocking rules of the default policy that are not met."""
    forgotten: bool = False
    """Whether its rules on forgetting are met."""
    seconds: float = 0.0
    """CPU time of making the model, and of one forward pass."""
    sample_gradients: int = 0
    """Samples that gradients were taken of."""
    diverged: str = ""
    """Why there is no model."""


def _beside() -> list[Kind]:
    """Floor, ceiling and retraining."""
    retrained = [
        Kind(CEILING, "retrained", _RETRAIN, reweight=True, other_seed=14),
        Kind(PLAIN, "retrained", _RETRAIN, other_seed=14),
    ]
    return [BEFORE, *retrained]


def _every_method() -> list[Kind]:
    """Every approximate method with its default options."""
    found = [methods.get(name) for name in methods.names()]
    return [
        Kind(method.name, "method", method, reweight="retain" in method.needs)
        for method in found
        if not (method.exact or method.requires)
    ]


def _miu() -> list[Kind]:
    """MIU with terms switched off, other weights of calibration, and what could make it forget more."""
    published = {"estimator": "mine", "estimator_learning_rate": 0.01, "estimator_steps_first": 100, "estimator_steps": 10}
    changes: dict[str, dict[str, Any]] = {
        "all terms": {},
        "no unlearning term": {"unlearning_term": False},
        "no calibration term": {"calibration_term": False},
        "no retaining term": {"retaining_term": False},
        "retaining term alone": {"unlearning_term": False, "calibration_term": False},
        "calibration weight 0.1": {"lambda_mi": 0.1},
        "calibration weight 10": {"lambda_mi": 10.0},
        "MINE, clipped to the retain gradient (as published)": {**published, "clip": 0.0},
        "MINE": published,
        "MINE, ten times the steps": {**published, "estimator_steps_first": 1000, "estimator_steps": 100},
        "classifier, ten times the steps": {"estimator_steps_first": 20_000, "estimator_steps": 5000},
        "clipped to the retain gradient": {"clip": 0.0},
        **{f"clipped to {norm:g}": {"clip": norm} for norm in (0.1, 1.0, 3.0)},
        **{f"unlearning term in {epochs} epochs": {"forget_epochs": epochs} for epochs in (2, 8, 10)},
        **{f"learning rate {rate:g}": {"learning_rate": rate} for rate in (0.1, 0.02, 0.01)},
        "20 epochs": {"epochs": 20, "forget_epochs": 10},
    }
    method = methods.get("miu")
    base = {"lambda_mi": 1.0}
    weighted = [Kind(title, "method", method, {**base, **options}, reweight=True) for title, options in changes.items()]
    return [*weighted, Kind("all terms, no REWEIGHT", "method", method, base)]


def _forget_statistics() -> list[Kind]:
    """What batch normalisation takes on forget batches, in every method that leaves it open."""
    found = [methods.get(name) for name in ("rl", "salun", "scrub", "neggrad_plus", "regun")]
    return [
        Kind(f"{method.name}, {way}", "method", method, {"forget_statistics": way}, reweight=True)
        for method in found
        for way in ("mixed", "own", "frozen")
    ]


def trials() -> list[Kind]:
    """Every approximate method with as many configurations of its search space, the defaults first."""
    found = []
    for kind in _every_method():
        assert kind.method is not None
        choice = MethodChoice(kind.method, {}, frozenset(), kind.reweight, TUNING_SEED)
        tried = trial_settings(choice, TRIALS)
        found += [replace(kind, name=f"{kind.name}, trial {number}", settings=settings) for number, settings in enumerate(tried)]
    return found


def tuned(results: Path = RESULTS) -> list[Kind]:
    """Every approximate method with the configuration that was best on the tuning seed; ``ValueError`` before."""
    found = read_all(results / "trials", TUNING_CELL)
    best: dict[str, Kind] = {}
    for kind in trials():
        name, _, number = kind.name.partition(", trial ")
        if kind.name not in found:
            raise ValueError(
                f"{kind.name} is not measured: --study trials --cells {TUNING_CELL} --seeds {TUNING_SEED} comes first"
            )
        if number == "0" or tuning_score(found[kind.name]) > tuning_score(found[best[name].name]):
            best[name] = kind
    return [replace(kind, name=name) for name, kind in best.items()]


def tuning_score(row: Mapping[int, Measured]) -> float:
    """Mean over seeds of AVG_GAP and of the forgetting share, cut to 0 to 1; a model that diverged counts as 0."""
    found = [one.values.get("AVG_GAP", 0.0) + min(max(one.values.get("FORGET_SHARE", 0.0), 0.0), 1.0) for one in row.values()]
    return sum(found) / (2 * len(found))


STUDIES: dict[str, Callable[[], list[Kind]]] = {
    "methods": _every_method,
    "miu": _miu,
    "batch-normalisation": _forget_statistics,
    "trials": trials,
    "tuned": tuned,
}
"""What is compared, beside floor, ceiling and retraining: by the name of the page and of the folder of results."""


def rows(study: str, cell: str) -> list[Kind]:
    """Every row of a study in a cell."""
    found = STUDIES[study]()
    if study == "methods" and cell in FEWER:
        found = [kind for kind in found if kind.name in FEWER[cell]]
    return [*_beside(), *found]


class Comparison:
    """One cell and seed of a study.

    Args:
        study: one of ``STUDIES``.
        cell: request and recipe.
        seed: of data, request and the model before.
        cache: folder of the models.
        results: folder of the results of all studies.
        scale: size of the study.
    """

    def __init__(self, study: str, cell: Cell, seed: int, cache: Path, results: Path, scale: Scale = FULL) -> None:
        self.rows, self.cell, self.seed, self.cache, self.scale = rows(study, cell.name), cell, seed, cache, scale
        self.path = results / study / f"{cell.name}-{seed}.json"
        self.found = {one.title: one for one in read(self.path)}

    def missing(self) -> list[Kind]:
        """Rows that were not measured with their present options."""
        known = {title: one.key for title, one in self.found.items()}
        return [kind for kind in self.rows if known.get(title_of(kind)) != kind.key(self.cell, self.seed, self.scale)]

    def measured(self) -> Iterator[Measured]:
        """Measure what is missing; each row is written before it is given."""
        titles = [title_of(kind) for kind in self.rows]
        for kind in self.missing():
            found = self._row(kind)
            self.found[found.title] = found
            kept = [self.found[title] for title in titles if title in self.found]
            tree = {"machine": machine(self._trial.device), "rows": [asdict(one) for one in kept]}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, canonical_json(tree) + b"\n")
            yield found

    @cached_property
    def _trial(self) -> Trial:
        return Trial(self.cell, self.seed, self.scale, self.cache, choose_device("cpu"))

    @cached_property
    def _others(self) -> tuple[Predictions, list[Predictions]]:
        """The model before the request, and the references."""
        before, *references = (self._trial.predictions(self._trial.once(kind)[1]["logits"]) for kind in (BEFORE, *REFERENCES))
        return before, references

    def _audit(self, candidate: Predictions) -> Audit:
        before, references = self._others
        ref, weighted = ModelRef("m", "1"), ModelRef("m", "1", reweight=True)
        inputs = AuditInputs(
            AuditedModel(ref, candidate), AuditedModel(ref, before), tuple(AuditedModel(weighted, other) for other in references)
        )
        return measure(inputs, AuditContext(DataRecord("comparison", {})))

    def _row(self, kind: Kind) -> Measured:
        facts, arrays = self._trial.once(kind)
        plain: dict[str, Any] = {"title": title_of(kind), "key": facts["key"]}
        if kind is not BEFORE:  # there before the request
            plain |= {"seconds": round(facts["seconds"], 2), "sample_gradients": facts["sample_gradients"]}
        if facts["diverged"]:
            return Measured(**plain, diverged=facts["diverged"])
        audit = self._audit(self._trial.predictions(arrays["logits"]))
        verdict = evaluate(audit, load_named("default"), today=TODAY)
        unmet = [r.id for r in verdict.rules if r.severity == "block" and r.applied and r.decision is not Decision.PASS]
        values = {name: audit.metric(name) for name in METRICS}
        share = values["FORGET_SHARE"]
        limits = share.statistic.limits(0.10) if share and share.statistic else None
        return Measured(
            **plain,
            values={name: float(f"{v.value:.5g}") for name, v in values.items() if v is not None and v.value is not None},
            lower=float(f"{limits[0]:.5g}") if limits else None,
            decision=verdict.decision.value,
            not_met=tuple(unmet),
            forgotten=not set(unmet) & set(FORGETTING_RULES),
        )


def title_of(kind: Kind) -> str:
    """As printed."""
    return FLOOR if kind is BEFORE else kind.name


def read(path: Path) -> list[Measured]:
    """The rows of a file; none where it is not there."""
    tree = json.loads(path.read_bytes()) if path.is_file() else {"rows": []}
    return [Measured(**{**row, "not_met": tuple(row["not_met"])}) for row in tree["rows"]]


def read_all(folder: Path, cell: str) -> dict[str, dict[int, Measured]]:
    """Every row of a cell by title and seed."""
    found: dict[str, dict[int, Measured]] = {}
    for path in sorted(folder.glob(f"{cell}-*.json")):
        for row in read(path):
            found.setdefault(row.title, {})[int(path.stem.partition("-")[2])] = row
    return found


def differences(first: Mapping[int, Measured], second: Mapping[int, Measured], metric: str) -> list[float]:
    """First minus second, in the seeds in which both are defined."""
    both = [s for s in sorted(first) if s in second and metric in first[s].values and metric in second[s].values]
    return [first[s].values[metric] - second[s].values[metric] for s in both]


def machines_of(folder: Path, cells: Sequence[str]) -> list[str]:
    """Hardware and software that the rows of these cells were measured on, each once."""
    found = [json.loads(path.read_bytes())["machine"] for name in cells for path in sorted(folder.glob(f"{name}-*.json"))]
    return distinct(found)


def distinct(machines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each machine once, in words."""
    words = "grmu-audit {version}, {processor}, {threads} thread(s), {instructions} instructions, torch {torch}"
    return list(dict.fromkeys(words.format(**one) for one in machines))
