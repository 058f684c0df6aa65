"""From prediction files to an audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.auditing.measurement import measure, not_largest, require_distinct_references, same_outputs
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.errors import InputError
from grmu_audit.metrics.checked_predictions import regroup
from grmu_audit.metrics.scores import per_sample_loss
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
    Predictions,
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
    root: Path | None = None
    """That of the first model of the lineage, where it is another than the baseline."""

    def read(self) -> AuditInputs:
        """The models as the files give them.

        Raises:
            InputError: a file that cannot be used, with row numbers.
        """
        return AuditInputs(
            candidate=self._model(self.candidate, self.name),
            baseline=self._model(self.baseline) if self.baseline else None,
            references=tuple(self._model(path) for path in self.references),
            root=self._model(self.root) if self.root else None,
        )

    def _model(self, path: Path, name: str | None = None) -> AuditedModel:
        found = read_predictions(path)
        ref = ModelRef(name=name or path.stem, version="", manifest_sha256=sha256_file(path))
        return AuditedModel(ref, regroup(found, self.by) if self.by else found)


def example_files() -> PredictionFiles:
    """Predictions that come with the package: PhotoDigits, half of the rare group unlearned by ``shrink``, three references.

    They are those of seed 42 of the first request in ``docs/methods.md``; ``benchmarks/pages/example.py`` writes them.

    >>> audit = score(example_files())
    >>> audit.subject.name, len(audit.references)
    ('shrink', 3)
    """
    folder = Path(__file__).with_name("example")
    references = tuple(folder / f"retrained-{number}.parquet" for number in (1, 2, 3))
    return PredictionFiles(folder / "unlearned.parquet", folder / "before.parquet", references, name="shrink")


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
    data = DataRecord(inputs.candidate.ref.manifest_sha256 or "", splits, files.candidate.name, kind="predictions")
    if options is None:
        options = policy.measure_options() if policy else MeasureOptions()
    missing = (*_NOT_MEASURED, *_contradictions(inputs))
    audit = measure(inputs, AuditContext(data, not_measured=missing), options)
    if policy is None:
        return audit
    from grmu_audit.policy.judgement import judge  # loads pydantic, which measuring does not need

    return judge(audit, policy, today)


CONTRADICTION = "agreement of columns"
"""Name under which an audit of files says that columns of a file contradict each other."""
_LOSS_SLACK, _SUM_SLACK = 0.05, 0.001


def _contradictions(inputs: AuditInputs) -> Iterator[NotMeasured]:
    """What columns of the files say differently, with the share of rows."""
    for subject, model in inputs.models.items():
        p = model.predictions
        for rows, what in (
            (
                not_largest(p),
                "the prediction is not the class with the largest score: rates use the prediction, attacks the scores",
            ),
            (_other_loss(p), "the loss is not the cross-entropy of the scores, which are used"),
            (
                _probabilities(p),
                "the logits lie between 0 and 1 and sum to 1, as probabilities do: name those prob_0, prob_1",
            ),
        ):
            if count := int(rows.sum()):
                yield NotMeasured(CONTRADICTION, f"{subject}: in {count} of {len(p)} rows ({count / len(p):.1%}) {what}")


def _other_loss(p: Predictions) -> npt.NDArray[np.bool_]:
    """[n] whether a row's loss is another than that of its scores."""
    if p.loss is None or p.logits is None:
        return np.zeros(len(p), dtype=bool)
    own = np.asarray(per_sample_loss(p))
    return np.asarray(~(np.abs(own - p.loss) <= _LOSS_SLACK + _LOSS_SLACK * np.abs(p.loss)))


def _probabilities(p: Predictions) -> npt.NDArray[np.bool_]:
    """[n] True where the logits of all rows look like probabilities, else False everywhere."""
    if p.logits is None or not len(p):
        return np.zeros(len(p), dtype=bool)
    inside = (p.logits >= 0).all() and (p.logits <= 1).all()
    return np.full(len(p), bool(inside and (np.abs(p.logits.sum(axis=1) - 1) <= _SUM_SLACK).all()))


_NOT_MEASURED = (
    NotMeasured("data quality", "only prediction files were given, not the data"),
    NotMeasured("robustness", "only prediction files were given, not the model"),
)
