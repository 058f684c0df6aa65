"""Controls: models whose truth is known, measured in the candidate's place from the same stored predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grmu_audit.metrics.accuracy import SPLIT_OF
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.changes import ModelResult, area_change, changes
from grmu_audit.metrics.checked_predictions import CheckedPredictions
from grmu_audit.metrics.forgetting.share import measure_share
from grmu_audit.metrics.kept_rows import KeptModel
from grmu_audit.metrics.membership.attacks import measure_membership, run_score_attack
from grmu_audit.metrics.outcome import Outcome
from grmu_audit.metrics.references import mean_changes
from grmu_audit.records import MeasureOptions, Predictions
from grmu_audit.records.forgetting import Control
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, ROOT, Subject, reference

_FLATTER = 0.3
_SURE = 4.0
_FLATTENED, _OF_LABELS = f"before, logits x {_FLATTER}", "before, labels only"


@dataclass(frozen=True)
class _Made:
    """Outcomes of a control by subject, as if it were the candidate."""

    name: str
    model: Subject
    made: bool
    found: tuple[tuple[Subject, Outcome], ...]

    def record(self, options: MeasureOptions) -> Control:
        """The control with its values over everything."""
        values = (outcome.value(subject, options) for subject, outcome in self.found if outcome.group is None)
        return Control(self.name, self.model, self.made, tuple(values))


def measure_controls(
    results: Mapping[Subject, ModelResult],
    primary: Sequence[Subject],
    options: MeasureOptions,
    kept_root: KeptModel | None = None,
) -> tuple[Control, ...]:
    """Null controls (the model before, its logits x 0.3, its labels only), then every retrained model; none without a baseline.

    No forest attack is fitted for a cheat: what is not measured for a control is taken as met when it is judged.

    Args:
        results: every model of the audit, rows in the same order.
        primary: the references that count.
        options: choices that the numbers depend on.
        kept_root: the root of the lineage, where it was purged.
    """
    before = results.get(BASELINE)
    if before is None:
        return ()
    references, root = {subject: results[subject] for subject in primary}, results.get(ROOT) or kept_root
    made = [_Made("before", BASELINE, False, (*_before(before, references), *_from_root(before, root)))]
    if before.checked.predictions.logits is not None:
        for name, model in cheats(before.checked.predictions).items():
            one, result = _cheat(name, model, before, references)
            made.append(replace(one, found=(*one.found, *_cheat_from_root(result, before, root))))
    for subject, result in references.items():
        found = tuple((BASELINE.as_change(), outcome) for outcome in changes(result, before))
        made.append(_Made(str(subject), subject, False, (*found, *_from_root(result, root))))
    return tuple(one.record(options) for one in made)


def expected_controls(primary: Sequence[Subject], *, scores: bool) -> tuple[tuple[str, Subject, bool], ...]:
    """Name, model and whether it is made, of every control that there is with a model before.

    Args:
        primary: the references that count.
        scores: whether the logits of the model before are known.

    >>> from grmu_audit.records.metric_value import reference
    >>> [name for name, _, _ in expected_controls([reference(1)], scores=False)]
    ['before', 'reference#1']
    """
    cheating = ((_FLATTENED, BASELINE, True), (_OF_LABELS, BASELINE, True)) if scores else ()
    return (("before", BASELINE, False), *cheating, *((str(subject), subject, False) for subject in primary))


def _from_root(result: ModelResult, root: ModelResult | KeptModel | None) -> Iterator[tuple[Subject, Outcome]]:
    """The changes of a control from the root of the lineage; none where that is the model before."""
    if root is not None:
        found = root.changes_of(result) if isinstance(root, KeptModel) else changes(result, root)
        yield from ((ROOT.as_change(), outcome) for outcome in found)


def _cheat_from_root(
    cheat: ModelResult, before: ModelResult, root: ModelResult | KeptModel | None
) -> Iterator[tuple[Subject, Outcome]]:
    """The changes of a cheat from the root: of what its scores decide its own, of its labels those of the model before.

    Of a purged root no training row is left, so that nothing that scores decide can be compared with it.
    """
    yield from (pair for pair in _from_root(before, root) if pair[1].metric in OF_LABELS)
    if isinstance(root, ModelResult):
        yield ROOT.as_change(), area_change(cheat, root)


OF_LABELS = (*SPLIT_OF, "GA", "WG", "EO", "DP", "EP", "UA_GA_GAP", "IMPACT_RATIO", "PREDICTIVE_PARITY", *CONDITIONAL)
"""Metrics that follow from labels alone."""


def cheats(before: Predictions) -> dict[str, Predictions]:
    """Models that have forgotten nothing and look different: from the predictions of the model before, by name.

    >>> from grmu_audit.metrics.catalog.examples import example
    >>> list(cheats(example("baseline")))
    ['before, logits x 0.3', 'before, labels only']
    """
    assert before.logits is not None
    labels = np.zeros_like(before.logits)
    labels[np.arange(len(before)), before.prediction] = _SURE
    return {
        _FLATTENED: replace(before, logits=before.logits * _FLATTER, loss=None),
        _OF_LABELS: replace(before, logits=labels, loss=None),
    }


def _before(before: ModelResult, references: Mapping[Subject, ModelResult]) -> Iterator[tuple[Subject, Outcome]]:
    """The share, which is 0, and the changes from the references."""
    checked = {subject: result.checked for subject, result in references.items()}
    yield CANDIDATE, measure_share(before.checked, before.checked, checked)
    rows = {subject: tuple(changes(before, other)) for subject, other in references.items()}
    if len(rows) > 1:
        yield from ((reference(0).as_change(), outcome) for outcome in mean_changes(rows))
    else:
        yield from ((subject.as_change(), outcome) for subject, row in rows.items() for outcome in row)


def _cheat(
    name: str, predictions: Predictions, before: ModelResult, references: Mapping[Subject, ModelResult]
) -> tuple[_Made, ModelResult]:
    """What of a cheat depends on its scores; its labels are those of the model before."""
    checked = CheckedPredictions(predictions, before.checked.dominant_groups, before.checked.options)
    attacks = run_score_attack(checked)
    area = tuple(outcome for outcome in measure_membership(checked, attacks) if outcome.metric == "MIA_AUC")
    result = ModelResult(checked, attacks, area)
    share = measure_share(checked, before.checked, {subject: other.checked for subject, other in references.items()})
    found = [(CANDIDATE, outcome) for outcome in (share, *result.outcomes)]
    return _Made(name, BASELINE, True, (*found, (BASELINE.as_change(), area_change(result, before)))), result
