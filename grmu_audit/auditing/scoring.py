"""From prediction files to an audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.auditing.measurement import measure, require_distinct_references, same_outputs
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.errors import InputError
from grmu_audit.metrics.checked_predictions import regroup
from grmu_audit.records import (
    SPLITS,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    MeasureOptions,
    ModelRef,
    NotMeasured,
)
from grmu_audit.utils import sha256_file

if TYPE_CHECKING:
    from grmu_audit.policy.schema import Policy


@dataclass(frozen=True)
class PredictionFiles:
    """Prediction files (csv or parquet) of one audit."""

    candidate: Path
    """The audited model's."""
    baseline: Path | None = None
    """That of the model before unlearning."""
    references: tuple[Path, ...] = ()
    """Those of retrained models."""
    by: tuple[str, ...] = ()
    """Attributes (columns ``attribute_NAME``) that form the groups; empty: all of them, crossed."""
    name: str | None = None
    """Label of the audited model; None: the file's name."""

    def read(self) -> AuditInputs:
        """The models as the files give them.

        Raises:
            InputError: a file that cannot be used, with row numbers.
        """
        return AuditInputs(
            candidate=self._model(self.candidate, self.name),
            baseline=self._model(self.baseline) if self.baseline else None,
            references=tuple(self._model(path) for path in self.references),
        )

    def _model(self, path: Path, name: str | None = None) -> AuditedModel:
        found = read_predictions(path)
        ref = ModelRef(name=name or path.stem, version="", manifest_sha256=sha256_file(path))
        return AuditedModel(ref, regroup(found, self.by) if self.by else found)


def score(
    files: PredictionFiles | Path,
    policy: Policy | None = None,
    options: MeasureOptions | None = None,
    today: date | None = None,
) -> Audit:
    """Audit prediction files of any framework.

    Args:
        files: the files, or that of the audited model alone.
        policy: policy to judge by; without one the audit has no verdict.
        options: choices that the numbers depend on; by default the policy's.
        today: date that waivers are judged on; by default the current UTC date.

    Raises:
        InputError: a file that cannot be used, with row numbers; files that do not hold the same samples.
    """
    files = files if isinstance(files, PredictionFiles) else PredictionFiles(files)
    inputs = files.read()
    require_distinct_references(inputs)
    if inputs.baseline is not None and same_outputs(inputs.candidate.predictions, inputs.baseline.predictions):
        raise InputError(
            f"{files.candidate} holds the outputs of the baseline {files.baseline}, up to rounding: nothing was done"
        )
    splits = {split: int(inputs.candidate.predictions.mask(split).sum()) for split in SPLITS}
    data = DataRecord(inputs.candidate.ref.manifest_sha256 or "", splits, files.candidate.name)
    if options is None:
        options = policy.measure_options() if policy else MeasureOptions()
    audit = measure(inputs, AuditContext(data, not_measured=_NOT_MEASURED), options)
    if policy is None:
        return audit
    from grmu_audit.policy.judgement import judge  # loads pydantic, which measuring does not need

    return judge(audit, policy, today)


_NOT_MEASURED = (
    NotMeasured("data quality", "only prediction files were given, not the data"),
    NotMeasured("robustness", "only prediction files were given, not the model"),
)
