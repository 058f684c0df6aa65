"""From predictions of every model to an audit: every metric and every change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grmu_audit import __version__
from grmu_audit.auditing.stored_predictions import predictions_sha256
from grmu_audit.metrics.checked_predictions import Facts, facts
from grmu_audit.metrics.measure import _metrics, _same_choices
from grmu_audit.metrics.membership.attacks import attacked
from grmu_audit.metrics.membership.curves import curves_of
from grmu_audit.metrics.outcome import by_method
from grmu_audit.records import (
    SPLITS,
    Audit,
    DataCheckReport,
    DataRecord,
    ForgetRecord,
    Group,
    GroupCount,
    MetricValue,
    ModelRef,
    NotMeasured,
    Predictions,
)
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.clock import utc_now

Side = tuple[ModelRef, Predictions]
"""A model and its predictions."""


def assemble(
    candidate: Side,
    *,
    baseline: Side | None = None,
    references: Sequence[Side] = (),
    data: DataRecord,
    forget: ForgetRecord | None = None,
    dominant: tuple[Group, ...] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    attack_score: str = "margin",
    variant: str = "pairwise",
    positive_class: int = 1,
    intervals: str = "wilson",
    data_quality: DataCheckReport | None = None,
    record: Mapping[str, Any] | None = None,
    not_measured: Sequence[NotMeasured] = (),
    training: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    measured: Sequence[MetricValue] = (),
) -> Audit:
    """The one place where an audit is made from predictions: every metric of every side, and every change.

    Args:
        candidate: the audited model.
        baseline: the model before unlearning; its changes have the subject ``candidate-baseline``.
        references: retrained models; ``candidate-reference#1``..., and their mean as ``candidate-reference`` where
            there are several.  Where some of several were retrained with REWEIGHT and some without, the mean, AVG_GAP
            and TOW rest on those with it; ``record["yardstick"]`` says which.
        data: data record; an empty group table is filled in.
        forget: forget record; by default made from the predictions (a digest of the prediction rows, no ids).
        dominant: group(s) that give the forget set; by default ``forget``'s, else those with its largest share.
        confidence: coverage of each interval taken alone.
        seed: seed of the forest attack.
        attack_score: score of MIA_AUC.
        variant: ``pairwise`` or ``paper`` for EO, DP, EP.
        positive_class: the positive class of a two-class task.
        intervals: limits of proportions, ``wilson`` or ``clopper-pearson``.
        data_quality: the quality checks of the request.
        record: tool and library versions, hardware, created.
        not_measured: what a reader may expect and will not find.
        training: what each epoch logged, by subject, for the training curves.
        measured: values that were measured with the models themselves.

    Returns:
        An audit without a verdict; it holds no sample id.

    Raises:
        InputError: predictions that do not fit together; a side that does not hold the candidate's samples.
    """
    chosen = dominant if dominant is not None else (forget.dominant_groups if forget and forget.dominant_groups else None)
    first = facts(candidate[1], dominant=chosen, seed=seed, positive_class=positive_class)
    others = [_same_choices(first, side[1]) for side in ([baseline] if baseline else []) + list(references)]
    names = (["baseline"] if baseline else []) + [f"reference#{i + 1}" for i in range(len(references))]
    yardstick = _yardstick([side[0] for side in references])
    sides = dict(zip(names, others, strict=True))
    attacks = {name: attacked(side) for name, side in {"candidate": first, **sides}.items()}
    metrics = _metrics(first, sides, attacks, yardstick, confidence=confidence, attack_score=attack_score, variant=variant)
    curves = curves_of({"candidate": first, **sides}, attacks, attack_score=attack_score)
    facts_of_audit: dict[str, object] = {
        "seed": seed,
        "attack_score": attack_score,
        "variant": variant,
        "positive_class": positive_class,
    }
    if intervals != "wilson":
        facts_of_audit["intervals"] = intervals
    return Audit(
        subject=candidate[0],
        data=data if data.groups else replace(data, groups=group_table(candidate[1])),
        forget=forget or _forget_record(first),
        metrics=tuple(by_method(value, intervals) for value in (*metrics, *measured)),
        baseline=baseline[0] if baseline else None,
        references=tuple(side[0] for side in references),
        data_quality=data_quality,
        not_measured=tuple(not_measured),
        curves=curves | ({"training": {name: list(epochs) for name, epochs in training.items()}} if training else {}),
        record={
            "created": utc_now(),
            "tool": f"grmu-audit {__version__}",
            **facts_of_audit,
            **(record or {}),
            "yardstick": [f"reference#{i + 1}" for i in yardstick],
            "confidence": confidence,
            "predictions_sha256": {
                name: predictions_sha256(side.predictions) for name, side in {"candidate": first, **sides}.items()
            },
        },
    )


def _yardstick(references: Sequence[ModelRef]) -> list[int]:
    """Which references the mean, AVG_GAP and TOW rest on: those with REWEIGHT where there are any, else all."""
    reweighted = [i for i, reference in enumerate(references) if reference.reweight]
    return reweighted or list(range(len(references)))


def group_table(p: Predictions) -> tuple[GroupCount, ...]:
    """Counts of every declared group, part by part."""
    codes, index = np.unique(p.group, return_inverse=True)
    counts = np.bincount(index * len(SPLITS) + p.split, minlength=len(codes) * len(SPLITS)).reshape(-1, len(SPLITS)).tolist()
    groups = [Group(code // p.attributes, code % p.attributes) for code in codes.tolist()]
    return tuple(
        GroupCount(group, _group_name(p, group), retain + forget, retain, forget, val, test)
        for group, (retain, forget, val, test) in zip(groups, counts, strict=True)
    )


def _group_name(p: Predictions, group: Group) -> str:
    target = p.class_names[group.target] if group.target < len(p.class_names) else f"class {group.target}"
    value = p.attribute_names[group.attribute] if group.attribute < len(p.attribute_names) else f"attribute {group.attribute}"
    return f"{target} / {value}"


def _forget_record(first: Facts) -> ForgetRecord:
    """Counts and groups; the digest covers how many forget samples each group has, since there is no keyed id."""
    p = first.predictions
    codes, counts = np.unique(p.group[p.mask("forget")], return_counts=True)
    composition = [[int(c) // p.attributes, int(c) % p.attributes, int(k)] for c, k in zip(codes, counts, strict=True)]
    digest = f"counts-sha256:{sha256_hex(canonical_json(composition))}"
    return ForgetRecord(count=int(counts.sum()), digest=digest, dominant_groups=first.dominant)
