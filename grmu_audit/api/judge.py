"""The light path: from prediction files or an audit file to a verdict, without torch, MLflow or Great Expectations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit import __version__
from grmu_audit.api.audit_file import as_stored, now, read_audit, require_current, write_audit
from grmu_audit.api.kept_predictions import predictions_sha256
from grmu_audit.api.prediction_file import read_predictions
from grmu_audit.evidence import canonical_json, sha256_file, sha256_hex
from grmu_audit.metrics.changes import align, changes, closeness, mean_changes
from grmu_audit.metrics.curves import curves_of
from grmu_audit.metrics.facts import Facts, facts
from grmu_audit.metrics.grouping import regroup
from grmu_audit.metrics.privacy import Attacked, attacked
from grmu_audit.metrics.redistribution import redistribution
from grmu_audit.metrics.suite import values_of
from grmu_audit.metrics.values import by_method
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

if TYPE_CHECKING:
    from grmu_audit.policy.schema import Policy

__all__ = [
    "as_stored",
    "assemble",
    "group_table",
    "judge",
    "now",
    "read_audit",
    "read_predictions",
    "require_current",
    "score",
    "write_audit",
]

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
            "created": now(),
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


def _same_choices(first: Facts, other: Predictions) -> Facts:
    aligned = align(first.predictions, other)
    return facts(aligned, dominant=first.dominant, seed=first.seed, positive_class=first.positive_class)


def _yardstick(references: Sequence[ModelRef]) -> list[int]:
    """Which references the mean, AVG_GAP and TOW rest on: those with REWEIGHT where there are any, else all."""
    reweighted = [i for i, reference in enumerate(references) if reference.reweight]
    return reweighted or list(range(len(references)))


def _metrics(
    first: Facts,
    others: Mapping[str, Facts],
    attacks: Mapping[str, Attacked],
    yardstick: Sequence[int],
    *,
    confidence: float,
    attack_score: str,
    variant: str,
) -> list[MetricValue]:
    """Values of all sides, then all changes, then the closeness to the references."""
    sides = {"candidate": first, **others}
    values = {
        name: values_of(side, attacks[name], subject=name, confidence=confidence, attack_score=attack_score, variant=variant)
        for name, side in sides.items()
    }
    compared = {
        name: list(
            changes(
                first,
                side,
                (values["candidate"], values[name]),
                (attacks["candidate"], attacks[name]),
                subject=f"candidate-{name}",
                confidence=confidence,
                attack_score=attack_score,
            )
        )
        for name, side in others.items()
    }
    rows = [compared[f"reference#{i + 1}"] for i in yardstick]
    several = len([name for name in others if name != "baseline"]) > 1
    found = [v for side in values.values() for v in side]
    found += closeness(rows, subject="candidate", confidence=confidence)
    found.append(redistribution(first, others.get("baseline"), subject="candidate", confidence=confidence))
    found += [v for side in compared.values() for v in side]
    return found + (list(_mean(rows, values["candidate"], confidence)) if several else [])


def _mean(rows: Sequence[Sequence[MetricValue]], own: Sequence[MetricValue], confidence: float) -> Iterator[MetricValue]:
    return mean_changes(rows, subject="candidate-reference", confidence=confidence, own=own)


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


def score(
    predictions: Path,
    *,
    baseline: Path | None = None,
    references: Sequence[Path] = (),
    policy: Policy | None = None,
    name: str | None = None,
    seed: int = 0,
    today: date | None = None,
    attack_score: str = "margin",
    variant: str = "pairwise",
    by: Sequence[str] = (),
) -> Audit:
    """Audit prediction files of any framework.

    Args:
        predictions: prediction file of the audited model (csv or parquet).
        baseline: prediction file of the model before unlearning.
        references: prediction files of retrained models.
        policy: policy to judge by; without one the audit has no verdict.
        name: label of the audited model; by default the file's name.
        seed: seed of the forest attack.
        today: date that waivers are judged on; by default the current UTC date.
        attack_score: score of MIA_AUC.
        variant: ``pairwise`` or ``paper`` for EO, DP, EP.
        by: attributes (columns ``attribute_NAME``) that make the groups; by default all of them, crossed.

    Raises:
        InputError: a file that cannot be used, with row numbers; files that do not hold the same samples.
    """
    candidate = _side(predictions, name, by)
    table = candidate[1]
    splits = {split: int(table.mask(split).sum()) for split in SPLITS}
    audit = assemble(
        candidate,
        baseline=_side(baseline, by=by) if baseline else None,
        references=[_side(path, by=by) for path in references],
        data=DataRecord(manifest_sha256=sha256_file(Path(predictions)), splits=splits, name=Path(predictions).name),
        confidence=policy.confidence if policy else 0.95,
        seed=seed,
        attack_score=attack_score,
        variant=variant,
        positive_class=policy.positive_class if policy else 1,
        intervals=policy.intervals if policy else "wilson",
        not_measured=_not_measured_by_score(),
    )
    return audit if policy is None else judge(audit, policy, today)


def _side(path: Path, name: str | None = None, by: Sequence[str] = ()) -> Side:
    path = Path(path)
    found = read_predictions(path)
    model = ModelRef(name=name or path.stem, version="", manifest_sha256=sha256_file(path))
    return model, regroup(found, by) if by else found


def _not_measured_by_score() -> tuple[NotMeasured, ...]:
    why = "only prediction files were given, not the model"
    return (NotMeasured("data quality", "only prediction files were given, not the data"), NotMeasured("robustness", why))


def judge(audit: Audit, policy: Policy, today: date | None = None) -> Audit:
    """The same facts with this policy's verdict; a verdict that was there before is replaced.

    Args:
        audit: facts.
        policy: policy.
        today: date that waivers are judged on; by default the current UTC date.
    """
    from grmu_audit.policy.evaluate import evaluate

    return audit.with_verdict(evaluate(audit, policy, today=today or date.fromisoformat(now()[:10])))
