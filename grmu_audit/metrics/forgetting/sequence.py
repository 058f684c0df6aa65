"""Every request of a lineage by itself: is what an earlier version forgot still forgotten?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grmu_audit.intervals import Least
from grmu_audit.metrics.accuracy import measure_accuracy
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask, check_kept, check_same
from grmu_audit.metrics.forgetting.share import share_on
from grmu_audit.metrics.outcome import NEEDS_BEFORE, Basis, Outcome
from grmu_audit.records.audit import HISTORY_OF, PURGED_REASON, MeasureOptions
from grmu_audit.records.inputs import AuditInputs, EarlierRequest, OwnRequest
from grmu_audit.records.metric_value import CANDIDATE

NAME = "WORST_REQUEST_SHARE"
_SHOWN = 0.95


@dataclass(frozen=True, eq=False)
class _Request:
    """One request with the models that it is measured by."""

    label: str
    rows: Mask
    before: CheckedPredictions
    served: CheckedPredictions
    name: str = ""


def measure_sequence(
    candidate: CheckedPredictions,
    baseline: CheckedPredictions | None,
    references: Sequence[CheckedPredictions],
    earlier: Sequence[EarlierRequest],
    own: Sequence[OwnRequest] = (),
) -> Outcome:
    """WORST_REQUEST_SHARE: the smallest FORGET_SHARE over all requests of the lineage, each against the version before it.

    ``details["requests"]`` holds one row a request, oldest first, and one for each of several that the candidate serves together:
    who served it, its id where it is one of several, samples, the share when it was served and now,
    and the accuracy on it before, when served, now and of the retrained models.  Undefined where the share of one of them is, or
    where the version before one of them was purged.

    Args:
        candidate: the audited model.
        baseline: the model before the candidate's own request.
        references: models retrained without any of the requests.
        earlier: earlier requests, oldest first.
        own: the candidate's own requests, where they are several.
    """
    basis = Basis(int(candidate.predictions.mask("forget").sum()))
    if baseline is None:
        return Outcome.missing(NAME, NEEDS_BEFORE, basis)
    now, rows, missing = [], [], ""
    for one in _requests(candidate, baseline, earlier, own):  # one by one: a lineage may have hundreds
        share = share_on(one.rows, candidate, one.before, references)
        now.append(share)
        rows.append(_row(one, share, candidate, references))
        if share.statistic is None and not missing:
            missing = f"the share of the request {one.name}{' ' if one.name else ''}that {one.label} served: {share.reason}"
    lost = [one for one in earlier if one.before is None or one.served is None]
    listed = [*(_lost_row(one, candidate) for one in lost), *rows]
    basis = replace(basis, smallest_cell=min(share.basis.n for share in now), details={"requests": listed})
    if lost:
        return Outcome.missing(NAME, f"{_lost(lost[0])}; the request that {lost[0].label} served cannot be measured again", basis)
    if missing:
        return Outcome.missing(NAME, missing, basis)
    return Outcome(NAME, basis, Least(tuple(share.statistic for share in now if share.statistic is not None)))


def _requests(
    candidate: CheckedPredictions,
    baseline: CheckedPredictions,
    earlier: Sequence[EarlierRequest],
    parts: Sequence[OwnRequest],
) -> Iterator[_Request]:
    ids, own = candidate.predictions.ids, candidate.predictions.mask("forget")
    for request in earlier:
        rows = np.isin(ids, list(request.ids))
        own = own & ~rows
        if request.before is None or request.served is None:
            continue
        before, served = check_same(candidate, request.before), check_same(candidate, request.served)
        yield _Request(request.label, rows, before, served)
    single = [_Request("this version", own & np.isin(ids, list(part.ids)), baseline, candidate, part.name) for part in parts]
    new = [one for one in single if one.rows.any()]  # the others name only rows that earlier requests had named
    yield from new if len(new) > 1 else [_Request("this version", own, baseline, candidate)]


def _row(one: _Request, now: Outcome, candidate: CheckedPredictions, references: Sequence[CheckedPredictions]) -> dict[str, Any]:
    then = now if one.served is candidate else share_on(one.rows, one.served, one.before, references)
    limits = None if now.statistic is None else now.statistic.interval(_SHOWN)
    models = {"before": [one.before], "served": [one.served], "now": [candidate], "retrained": list(references)}
    accuracy = {name: _accuracy(found, one.rows) for name, found in models.items()}
    share = {"when_served": then.estimate, "now": now.estimate, "interval": list(limits) if limits else None}
    named = {"request": one.name} if one.name else {}
    return {
        "served_by": one.label,
        **named,
        "n": int(one.rows.sum()),
        "share": share,
        "accuracy": accuracy,
        "why_missing": now.reason,
    }


def _lost(one: EarlierRequest) -> str:
    return f"{PURGED_REASON}{one.why_purged}"


def _lost_row(one: EarlierRequest, candidate: CheckedPredictions) -> dict[str, Any]:
    """A request that cannot be measured, because the version before it was purged: what is there is the accuracy now."""
    rows = np.isin(candidate.predictions.ids, list(one.ids))
    return {
        "served_by": one.label,
        "n": int(rows.sum()),
        "share": dict.fromkeys(("when_served", "now", "interval")),
        "accuracy": {"before": None, "served": None, "now": _accuracy([candidate], rows), "retrained": None},
        "why_missing": _lost(one),
    }


def _accuracy(models: Sequence[CheckedPredictions], rows: Mask) -> float | None:
    """Mean accuracy of the models on the rows; None without models or rows."""
    return float(np.mean([model.correct[rows].mean() for model in models])) if models and rows.any() else None


def measure_history(candidate: CheckedPredictions, inputs: AuditInputs, options: MeasureOptions) -> list[dict[str, Any]]:
    """Accuracies of every version of a lineage on the samples of the candidate's request, from the root to the candidate.

    Returns:
        One row a version: ``version``, and for each of ``HISTORY_OF`` value, lower and upper limit; None where it is undefined.
    """
    models = {inputs.root.ref.label: inputs.root.predictions} if inputs.root else {}
    models |= {request.label: request.served for request in inputs.earlier if request.served is not None}
    if inputs.baseline is not None:
        models[inputs.baseline.ref.label] = inputs.baseline.predictions
    purged = {model.ref.label for model in (inputs.root, inputs.baseline) if model is not None and model.purged}
    before = (
        _history_row(label, (check_kept if label in purged else check_same)(candidate, table), options)
        for label, table in models.items()
        if label != inputs.candidate.ref.label
    )
    return [*before, _history_row(inputs.candidate.ref.label, candidate, options)]


def _history_row(label: str, model: CheckedPredictions, options: MeasureOptions) -> dict[str, Any]:
    found = {o.metric: o.value(CANDIDATE, options) for o in measure_accuracy(model) if o.metric in HISTORY_OF and o.group is None}
    return {"version": label, **{name: [v.value, *v.interval] if v.interval else None for name, v in found.items()}}
