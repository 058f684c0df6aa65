"""What an audit measures with the models themselves: asked once, kept, and turned into values by pure functions."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from grmu_audit.api.kept_probes import Shelf, address
from grmu_audit.api.network import stored_network
from grmu_audit.api.shadow import Asking, shadow_table
from grmu_audit.errors import InputError
from grmu_audit.evidence import pseudonyms
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.metrics.changes import align, mean_changes
from grmu_audit.metrics.facts import Facts, facts
from grmu_audit.metrics.representation import distances, recovered, recoveries, recovery_changes, relearn
from grmu_audit.metrics.robustness import (
    correlation,
    fairness_gap_changes,
    fairness_gaps,
    under_attack,
    under_attack_changes,
)
from grmu_audit.metrics.shadow_values import OF_METHOD, attack_method, attack_model
from grmu_audit.records import Group, MetricValue, ModelRef, NotMeasured, Predictions
from grmu_audit.records.probes import Probes

if TYPE_CHECKING:
    from grmu_audit.api.session import Session
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.source import BatchSource
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime

Ask = Callable[["Classifier", "BatchSource", npt.NDArray[np.str_], "Runtime"], Probes]


@dataclass
class Asked:
    """What asking the models cost."""

    evaluations: int = 0
    """Samples that went through a network, every pass counted."""
    models: int = 0
    """Networks that had to be loaded; 0 when everything was kept."""


@dataclass(frozen=True)
class Depth:
    """What a level adds to an audit."""

    values: tuple[MetricValue, ...] = ()
    """Values of all sides and their changes."""
    not_measured: tuple[NotMeasured, ...] = ()
    """What could not be measured."""
    record: dict[str, Any] = field(default_factory=dict)
    """How it was measured."""


@dataclass(frozen=True)
class Setting:
    """What the models of one audit have in common."""

    session: Session
    """Store, key, device."""
    dataset: Dataset
    """The data."""
    forget: frozenset[str]
    """Pseudonyms of the forget set."""
    forget_digest: str
    """Its keyed digest."""
    seed: int
    """Seed of starting points and samples."""
    asked: Asked
    """Counts what was asked."""
    shadows: Asking = field(default_factory=Asking)
    """Shadow models of level deep."""

    @property
    def shelf(self) -> Shelf:
        """Where measurements are kept."""
        return Shelf(self.session.root / "measured")


def probes_of(setting: Setting, ref: ModelRef, level: str) -> Probes:
    """All measurements of a version at a level, each read from the shelf or made and kept."""
    from grmu_audit.evaluation.probe import auto_attack, joined, standard_probes

    found = _measured(setting, ref, "standard", standard_probes, {})
    if level == "deep":
        found = joined(found, _measured(setting, ref, "autoattack", auto_attack, {}))
        found = joined(found, _measured(setting, ref, "relearn", partial(_relearn, setting), {"forget": setting.forget_digest}))
    return found


def _relearn(setting: Setting, model: Classifier, source: BatchSource, ids: npt.NDArray[np.str_], runtime: Runtime) -> Probes:
    from grmu_audit.evaluation import relearn as again

    forget = np.flatnonzero(np.isin(ids, list(setting.forget)))
    curves = again.relearn_curves(model, source, source.dataset.rows("train"), forget, runtime, again.RECIPE)
    return Probes(ids, relearn=curves, facts={"relearn": asdict(again.RECIPE)})


def _measured(setting: Setting, ref: ModelRef, kind: str, ask: Ask, more: Mapping[str, object]) -> Probes:
    session, dataset = setting.session, setting.dataset
    ids = np.asarray(pseudonyms(session.key, dataset.frame["id"].tolist()), dtype=np.str_)
    runtime = session.runtime(setting.seed, None)
    made_from = {
        "kind": kind,
        "model": ref.manifest_sha256,
        "data": dataset.digest,
        "seed": setting.seed,
        "precision": runtime.precision,
        **more,
    }
    key = address(made_from)
    kept = setting.shelf.read(key, ids)
    if kept is None:
        with _told(session, ref, _what(kind, len(dataset.rows("test")))):
            kept = _asked(setting, ref, ask, ids, runtime)
        if not any("not installed" in why for why in kept.missing.values()):
            setting.shelf.write(key, kept)
    return kept


def _what(kind: str, tests: int) -> str:
    """What a kind of measurement asks, in words."""
    from grmu_audit.evaluation import probe, relearn

    return {
        "standard": f"features, layers, FGSM and PGD on {tests} test samples",
        "autoattack": f"AutoAttack on {min(probe.MOST_AA, tests)} test samples, the slowest where many withstand",
        "relearn": f"learning the forget set again, {relearn.RECIPE.runs} runs of at most {relearn.RECIPE.epochs} short epochs",
    }[kind]


@contextmanager
def _told(session: Session, ref: ModelRef, what: str) -> Iterator[None]:
    """Say what a model is asked before it is asked, and how long it took."""
    start = time.perf_counter()
    if session.progress:
        sys.stderr.write(f"asking {ref.label}: {what}\n")
        sys.stderr.flush()
    yield
    if session.progress:
        sys.stderr.write(f"asking {ref.label}: done in {time.perf_counter() - start:.0f} s\n")
        sys.stderr.flush()


def _asked(setting: Setting, ref: ModelRef, ask: Ask, ids: npt.NDArray[np.str_], runtime: Runtime) -> Probes:
    """Load the network, ask it, and count what went through it."""
    from grmu_audit.data.source import BatchSource

    model = stored_network(setting.session, ref, runtime.device)
    setting.asked.models += 1

    def count(module: object, inputs: tuple[Any, ...], output: object) -> None:
        """Count the samples of a forward pass."""
        setting.asked.evaluations += len(inputs[0])

    handle = model.body.register_forward_hook(count)
    try:
        return ask(model, BatchSource(setting.dataset, runtime.device), ids, runtime)
    finally:
        handle.remove()


def deepen(
    setting: Setting,
    sides: Mapping[str, tuple[ModelRef, Predictions]],
    level: str,
    *,
    dominant: tuple[Group, ...],
    confidence: float,
    positive_class: int,
) -> Depth:
    """Values of every side that need the models, and their changes.

    Args:
        setting: what the models have in common.
        sides: ``candidate``, ``baseline``, ``reference#1``... to version and predictions, the candidate first.
        level: of ``levels.LEVELS``; ``quick`` adds nothing.
        dominant: group(s) that give the forget set.
        confidence: coverage of each interval taken alone.
        positive_class: the positive class of a two-class task.
    """
    if level == "quick":
        return Depth()
    first = sides["candidate"][1]
    known = {
        name: facts(align(first, table), dominant=dominant, seed=setting.seed, positive_class=positive_class)
        for name, (_, table) in sides.items()
    }
    probes = {name: probes_of(setting, ref, level) for name, (ref, _) in sides.items()}
    values = list(_values(known, probes, _references(sides), level, confidence))
    record = {"measured": dict(probes["candidate"].facts), "gap_against_robustness": _correlation(values)}
    missing: tuple[NotMeasured, ...] = ()
    if level == "deep":
        found = _shadows(setting, sides["candidate"][0], known, confidence)
        values, missing, record = [*values, *found.values], found.not_measured, {**record, **found.record}
    units = [replace(value, unit=BUILT_IN[value.name].unit) for value in values]
    return Depth(tuple(units), missing, {**record, "evaluations": setting.asked.evaluations})


def _shadows(setting: Setting, ref: ModelRef, known: Mapping[str, Facts], confidence: float) -> Depth:
    """What the shadow models find of every side, and of the method."""
    found = shadow_table(setting.session, ref, setting.dataset, setting.forget, setting.forget_digest, setting.shadows)
    setting.asked.evaluations += found.evaluations
    if found.table is None:
        return Depth((), (NotMeasured("shadow models", found.why),), {"shadow": found.facts})
    values = [v for name, f in known.items() for v in attack_model(f, found.table, subject=name, confidence=confidence)]
    missing: tuple[NotMeasured, ...] = ()
    if found.table.unlearned is None:
        missing = tuple(NotMeasured(name, found.why) for name in OF_METHOD)
    else:
        values += attack_method(known["candidate"], found.table, subject="candidate", confidence=confidence)
    return Depth(tuple(values), missing, {"shadow": found.facts})


def _references(sides: Mapping[str, tuple[ModelRef, Predictions]]) -> list[str]:
    """Names of the references, those with REWEIGHT first."""
    names = [name for name in sides if name.startswith("reference#")]
    return sorted(names, key=lambda name: not sides[name][0].reweight)


def _values(
    known: Mapping[str, Facts], probes: Mapping[str, Probes], references: list[str], level: str, confidence: float
) -> Iterator[MetricValue]:
    read = {name: recovered(f, probes[name]) for name, f in known.items()}
    yardsticks = {name: (known[name], probes[name]) for name in references}
    for name, f in known.items():
        words = {"subject": name, "confidence": confidence}
        yield from under_attack(f, probes[name], **words)  # type: ignore[arg-type]
        yield from fairness_gaps(probes[name], **words)  # type: ignore[arg-type]
        yield from recoveries(f, read[name], **words)  # type: ignore[arg-type]
        if name in ("candidate", "baseline"):
            yield from distances(f, probes[name], yardsticks, **words)  # type: ignore[arg-type]
        if level == "deep":
            yield relearn(probes[name], int(f.predictions.mask("forget").sum()), **words)  # type: ignore[arg-type]
    compared: dict[str, list[MetricValue]] = {}
    for name in known:
        if name != "candidate":
            compared[name] = list(
                _changes(
                    known["candidate"], (probes["candidate"], probes[name]), (read["candidate"], read[name]), name, confidence
                )
            )
            yield from compared[name]
    rows = [compared[name] for name in references]
    if len(rows) > 1 and len({tuple(value.name for value in row) for row in rows}) == 1:
        yield from mean_changes(rows, subject="candidate-reference", confidence=confidence)


def _changes(
    f: Facts, probes: tuple[Probes, Probes], read: tuple[Any, Any], name: str, confidence: float
) -> Iterator[MetricValue]:
    words = {"subject": f"candidate-{name}", "confidence": confidence}
    yield from under_attack_changes(f, probes, **words)  # type: ignore[arg-type]
    yield from fairness_gap_changes(probes, **words)  # type: ignore[arg-type]
    yield from recovery_changes(f, read, **words)  # type: ignore[arg-type]


def _correlation(values: list[MetricValue]) -> dict[str, object]:
    """Rank correlation of fairness-gap and accuracy under FGSM at 8/255 over the models of the audit."""
    found: dict[str, dict[str, float]] = {}
    for value in values:
        if value.group is None and value.value is not None and not value.subject.startswith("candidate-"):
            found.setdefault(value.subject, {})[value.name] = value.value
    pairs = [(v["FAIRNESS_GAP"], v["FGSM@0.03137"]) for v in found.values() if {"FAIRNESS_GAP", "FGSM@0.03137"} <= v.keys()]
    try:
        rho = correlation([a for a, _ in pairs], [b for _, b in pairs])
    except InputError as error:
        return {"why_missing": str(error), "models": len(pairs)}
    return {"spearman": rho.value, "p_value": rho.p_value, "models": rho.n}


def passes(asked: Asked, dataset: Dataset) -> int:
    """Evaluations in passes over the data, rounded up."""
    return math.ceil(asked.evaluations / len(dataset))
