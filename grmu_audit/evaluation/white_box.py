"""What an audit collects of a model beyond its predictions, as arrays that outlive it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import NotFoundError
from grmu_audit.evaluation.adversarial import STEP_SHARE, STEPS, Attack, predict_adversarial, stratified_rows
from grmu_audit.evaluation.layer_statistics import folds_of, layer_table
from grmu_audit.models.classifier import Classifier
from grmu_audit.records.white_box import PGD_SAMPLES, RADII_OF, Missing, MissingCode, WhiteBoxOutputs, attack_name
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Runtime

Ids = npt.NDArray[np.str_]
NO_STEPS = Missing(MissingCode.NOT_APPLICABLE, "the inputs are texts: token numbers have no small steps")
"""Why a text model is not attacked."""
MOST_AA = 256
"""Test samples that AutoAttack is run on: it queries a model some ten thousand times per sample that withstands."""


def collect_white_box(
    model: Classifier, source: BatchSource, ids: Ids, runtime: Runtime, pgd_samples: int | None = PGD_SAMPLES
) -> WhiteBoxOutputs:
    """Features of all samples; layers and FGSM on the test split, PGD on a sample of it, the same for every model.

    Args:
        model: on the source's device; comes back as it was.
        source: the data.
        ids: [n] names of all samples, in the order of the dataset.
        runtime: seed and precision.
        pgd_samples: most test samples that PGD attacks (``stratified_rows``); None: all.
    """
    rows = source.dataset.rows("test")
    chosen = rows[stratified_rows(source.group.cpu().numpy()[rows], pgd_samples, runtime.seed)]
    everything = np.arange(len(source.dataset), dtype=np.int64)
    features = infer(model, source, everything, runtime, features=True).cpu().numpy().astype(np.float32)
    subject = source.dataset.frame["subject"].to_numpy()
    codes = np.unique(subject, return_inverse=True)[1]
    layers = layer_table(model, source, rows, folds_of(codes[rows])) if len(rows) else None
    no_layers = Missing(MissingCode.NOT_APPLICABLE, "the network has no normalisation layer, or there is no test sample")
    missing = {} if layers else {"layers": no_layers}
    adversarial: dict[str, npt.NDArray[np.int64]] = {}
    for kind in ("FGSM", "PGD"):
        if model.spec.kind == "text":
            missing |= {attack_name(kind, radius): NO_STEPS for radius in RADII_OF[kind]}
        else:
            adversarial |= _attacked(model, source, chosen if kind == "PGD" else rows, kind, runtime)
    settings: dict[str, Any] = {"seed": runtime.seed, "pgd_steps": STEPS, "pgd_step_share": STEP_SHARE, "samples": len(rows)}
    settings |= {"pgd_samples": len(chosen)} if len(chosen) < len(rows) else {}
    return WhiteBoxOutputs(ids, adversarial, features, layers, missing=missing, settings=settings)


def auto_attack(model: Classifier, source: BatchSource, ids: Ids, runtime: Runtime) -> WhiteBoxOutputs:
    """AutoAttack on at most ``MOST_AA`` random test samples, the same for every model, or the reason why it was not run."""
    rows = source.dataset.rows("test")
    if model.spec.kind == "text":
        return WhiteBoxOutputs(ids, missing={attack_name("AA", radius): NO_STEPS for radius in RADII_OF["AA"]})
    chosen = np.sort(np.random.default_rng([runtime.seed, 23]).permutation(rows)[:MOST_AA])
    try:
        return WhiteBoxOutputs(ids, _attacked(model, source, chosen, "AA", runtime), settings={"autoattack_samples": len(chosen)})
    except NotFoundError as error:
        missing = Missing(MissingCode.NOT_INSTALLED, str(error))
        return WhiteBoxOutputs(ids, missing={attack_name("AA", radius): missing for radius in RADII_OF["AA"]})


def _attacked(
    model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], kind: str, runtime: Runtime
) -> dict[str, npt.NDArray[np.int64]]:
    found = predict_adversarial(model, source, rows, Attack(kind, RADII_OF[kind]), runtime)
    out = {}
    for name, answers in found.items():
        out[name] = np.full(len(source.dataset), -1, dtype=np.int64)
        out[name][rows] = answers
    return out


def merge(one: WhiteBoxOutputs, other: WhiteBoxOutputs) -> WhiteBoxOutputs:
    """The outputs of both, rows alike."""
    return replace(
        one,
        adversarial_predictions={**one.adversarial_predictions, **other.adversarial_predictions},
        features=one.features if one.features is not None else other.features,
        layers=one.layers or other.layers,
        relearn=one.relearn if one.relearn is not None else other.relearn,
        changed={**one.changed, **other.changed},
        distance=one.distance if one.distance is not None else other.distance,
        missing={**one.missing, **other.missing},
        settings={**one.settings, **other.settings},
    )
