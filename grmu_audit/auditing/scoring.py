"""From prediction files to an audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.auditing.measurement import assemble
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.metrics.checked_predictions import regroup
from grmu_audit.records import SPLITS, Audit, DataRecord, ModelRef, NotMeasured
from grmu_audit.utils import sha256_file

if TYPE_CHECKING:
    from grmu_audit.auditing.measurement import Side
    from grmu_audit.policy.schema import Policy


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
    if policy is None:
        return audit
    from grmu_audit.policy.judgement import judge  # loads pydantic, which measuring does not need

    return judge(audit, policy, today)


def _side(path: Path, name: str | None = None, by: Sequence[str] = ()) -> Side:
    path = Path(path)
    found = read_predictions(path)
    model = ModelRef(name=name or path.stem, version="", manifest_sha256=sha256_file(path))
    return model, regroup(found, by) if by else found


def _not_measured_by_score() -> tuple[NotMeasured, ...]:
    why = "only prediction files were given, not the model"
    return (NotMeasured("data quality", "only prediction files were given, not the data"), NotMeasured("robustness", why))
