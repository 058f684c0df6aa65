"""What an audit records beside its numbers, held against counts: whether anything was done, and which controls there are."""

from __future__ import annotations

from collections.abc import Iterator

from grmu_audit.auditing.disclosure.counts import Counts
from grmu_audit.auditing.recomputation import name_controls
from grmu_audit.metrics.catalog import BUILT_IN
from grmu_audit.metrics.controls import expected_controls
from grmu_audit.metrics.membership.conformal import CONFORMAL, NO_LOGITS
from grmu_audit.records import BASELINE, CANDIDATE, Audit, Subject, primary_references

_SAME = "every answer that the counts show is that of the version before"


def unchanged_findings(audit: Audit, counts: Counts) -> Iterator[str]:
    """Where counts, or the rest of the audit, contradict what it records on whether anything was done."""
    if audit.baseline is None:
        if audit.unchanged:
            yield "that nothing was done is recorded as True, but no version before is recorded"
        return
    if audit.unchanged and not _same_answers(counts):
        yield "that nothing was done is recorded as True, but the counts show answers that differ from the version before's"
    if audit.unchanged or not _same_answers(counts):
        return
    if _same_digest(audit):
        yield f"that nothing was done is recorded as False, but {_SAME}, and both have the same digest of predictions"
    elif _tells_all_labels(counts) and not audit.purged and not _have_scores(audit):
        yield f"that nothing was done is recorded as False, but {_SAME}, and the audit holds no number that rests on scores"


def unchanged_notes(audit: Audit, counts: Counts) -> Iterator[str]:
    """What counts say on whether anything was done, where scores alone can tell."""
    if audit.baseline is not None and _same_answers(counts):
        yield f"{_SAME}: only scores, which are not in this bundle, can show that anything was done"


def _same_answers(counts: Counts) -> bool:
    return all(bool((rows[:, 2] == rows[:, 3]).all()) for rows in counts.tables[str(BASELINE)].values())


def _tells_all_labels(counts: Counts) -> bool:
    """Whether the same answers are the same labels: of other rows than test rows counts tell only right or wrong."""
    others = [rows for split, rows in counts.tables[str(BASELINE)].items() if split != "test"]
    return counts.classes == 2 or all(bool((rows[:, 2] == 1).all()) for rows in others)


def _same_digest(audit: Audit) -> bool:
    digests = audit.record.get("predictions_sha256", {})
    return str(CANDIDATE) in digests and digests[str(CANDIDATE)] == digests.get(str(BASELINE))


def _have_scores(audit: Audit) -> bool:
    """Whether a value of each of both versions rests on scores."""
    return {CANDIDATE, BASELINE} <= {
        value.subject for value in audit.metrics if value.value is not None and _of_scores(value.name)
    }


def _of_scores(name: str) -> bool:
    return name in BUILT_IN and BUILT_IN[name].from_scores


def controls_dropped(audit: Audit) -> Iterator[str]:
    """Where the recorded controls are not those that there are of the models of the audit."""
    recorded = tuple((control.name, control.model, control.made) for control in audit.controls)
    possible = _expected(audit)
    if recorded not in possible:
        yield f"the controls are recorded as {name_controls(recorded)}; the models of the audit give {name_controls(possible[0])}"


def control_names(audit: Audit) -> list[str]:
    """Names of the controls that are recorded, and of those that there must be."""
    recorded = [control.name for control in audit.controls]
    return list(dict.fromkeys([*recorded, *(name for name, _, _ in _expected(audit)[0])]))


def _expected(audit: Audit) -> list[tuple[tuple[str, Subject, bool], ...]]:
    """The controls by what is known of the scores of the version before; both lists where the audit does not tell that."""
    if audit.baseline is None or str(BASELINE) in audit.purged:
        return [()]
    sets = audit.metric(CONFORMAL[0], BASELINE)
    known = (True, False) if sets is None else (sets.why_missing != NO_LOGITS,)
    return [expected_controls(primary_references(audit.references), scores=scores) for scores in known]
