"""audit.json: everything measured; from here on neither torch nor MLflow is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError
from grmu_audit.records.data import DataCheckReport, DataRecord, ForgetRecord
from grmu_audit.records.forgetting import Control, ExactEvidence
from grmu_audit.records.lineage import ModelRef
from grmu_audit.records.metric_value import CANDIDATE, Group, MetricValue, Subject
from grmu_audit.records.segments import SegmentSearch
from grmu_audit.records.verdict import Verdict

if TYPE_CHECKING:
    from pydantic import TypeAdapter

AUDIT_SCHEMA = "grmu-audit/audit/v2"
EARLIER_SCHEMA = "grmu-audit/audit/v1"
"""Audits from before controls were measured: read, verified and shown; not promoted."""
HISTORY_OF = ("TA", "GA", "RA")
"""Metrics that an audit records of every version of a lineage, as ``curves["lineage"]``."""
KEY_CHECK = "key_check"
"""Key of an audit's record: check value of the key that its rows are named by, where the version has names of an earlier one."""
NOT_LARGEST = "prediction_not_largest"
"""Key of an audit's record: by subject, rows whose prediction is not the class with the largest score; absent where none is."""
PURGED = "purged"
"""Key of an audit's record: by role (``baseline``, ``root``), why a version has outputs of test rows alone; absent where none was
purged."""
SHOWN_BEFORE = "forgetting_shown_before"
"""Key of an audit's record: the audit that showed forgetting before the baseline was purged, in words; absent where none did."""
MEASURED_PARTS = "measured_parts"
"""Key of an audit's record: names of the measured parts that were added to the tool without a new schema; absent in earlier
audits."""
PURGED_REASON = "purged: "
"""How the reason begins why a value is undefined that rests on purged rows."""
UNVERIFIED = "unverified file"
"""Name under which a judged audit file says that no store was compared with it."""
DISCLOSURE, INTERNAL, EXTERNAL = "disclosure", "internal", "external"
"""Key of an audit's record, and its values: exact counts, or what may be given to anybody; without the key it is internal."""


@dataclass(frozen=True)
class NotMeasured:
    """Something a reader may expect and will not find."""

    name: str
    """Metric or check."""
    reason: str
    """Why it is absent."""


@dataclass(frozen=True)
class MeasureOptions:
    """Choices that the numbers of an audit depend on; part of audit.json."""

    confidence: float = 0.95
    """Coverage of each interval taken alone."""
    seed: int = 0
    """Seed of the attacks."""
    attack_score: str = "margin"
    """The score that MIA_AUC is taken on."""
    gap_variant: str = "pairwise"
    """``pairwise`` or ``paper``, for EO, DP and EP."""
    positive_class: int = 1
    """Positive class of a two-class task."""
    interval_method: str = "default"
    """Limits of proportions: ``wilson`` or ``clopper-pearson``; ``default``: by the forms below."""
    interval_forms: int = 2
    """Forms of the statistics: 1 as before they were measured near 0 and 1 and with few people, 2 since then."""
    control_attributes: tuple[str, ...] = ()
    """Attributes within whose values the conditional metrics compare the others; empty: these are not measured."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> MeasureOptions:
        """The options that an audit's record states; what it does not state has the default.

        Raises:
            InputError: a value of the wrong kind.
        """
        known = {name: record[key] for name, key in _OPTION_KEYS.items() if key in record}
        known.setdefault("interval_forms", 1)  # audits of that time do not name them
        try:
            return cls(**{name: type(getattr(cls, name))(value) for name, value in known.items()})
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the record of the audit holds an option of the wrong kind: {error}") from None

    def to_record(self) -> dict[str, Any]:
        """The options under the keys of audit.json; ``intervals`` and ``control_attributes`` only where they are set."""
        made = {key: getattr(self, name) for name, key in _OPTION_KEYS.items()}
        if self.interval_method == MeasureOptions.interval_method:
            del made["intervals"]
        if self.control_attributes:
            made["control_attributes"] = list(self.control_attributes)
        else:
            del made["control_attributes"]
        return made


_OPTION_KEYS = {
    "seed": "seed",
    "attack_score": "attack_score",
    "gap_variant": "variant",
    "positive_class": "positive_class",
    "interval_method": "intervals",
    "interval_forms": "interval_forms",
    "confidence": "confidence",
    "control_attributes": "control_attributes",
}


@dataclass(frozen=True)
class Audit:
    """One audit of one version: facts, and the verdict once a policy has judged them."""

    subject: ModelRef
    """The audited version (the candidate)."""
    data: DataRecord
    """Data and splits."""
    forget: ForgetRecord
    """Forget set."""
    metrics: tuple[MetricValue, ...]
    """All numbers."""
    baseline: ModelRef | None = None
    """The version before unlearning."""
    references: tuple[ModelRef, ...] = ()
    """Retrained versions, in the order of ``reference#1``, ``reference#2``..."""
    data_quality: DataCheckReport | None = None
    """Quality checks of the request; None for ``score``."""
    not_measured: tuple[NotMeasured, ...] = ()
    """What was not measured, and why."""
    record: dict[str, Any] = field(default_factory=dict)
    """Tool and library versions, hardware, seed, created, forward passes."""
    verdict: Verdict | None = None
    """The judgement; None before a policy was applied."""
    curves: dict[str, Any] = field(default_factory=dict)
    """Summaries for charts, in which no step represents fewer than k samples (``metrics.membership.curves``); empty where there
    are none: ``losses`` and ``roc`` per subject, ``training``: per subject what each epoch logged, and ``lineage``: one row a
    version with value and limits of ``HISTORY_OF``."""
    controls: tuple[Control, ...] = ()
    """Models whose truth is known, in the candidate's place; empty without a baseline."""
    exact: ExactEvidence | None = None
    """For a retrained candidate: whether its record shows that no row of the forget set was read; None for any other method."""
    root: ModelRef | None = None
    """The first version of the lineage, where it is another than the baseline and its predictions are compared."""
    unchanged: bool = False
    """Whether the candidate's outputs are those of the baseline up to rounding: nothing was done."""
    segments: SegmentSearch | None = None
    """Segments on which the audited version is weaker than elsewhere or than the baseline; None in audits that did not look."""
    schema: str = AUDIT_SCHEMA
    """Schema name and version."""

    def __repr__(self) -> str:
        """Version, number of values and decision."""
        return f"<Audit of {self.subject.label}: {len(self.metrics)} values, {self._decision}>"

    def _repr_html_(self) -> str:
        """The version and the verdict as a short table, for notebooks."""
        table = self.verdict._repr_html_() if self.verdict else ""
        return f"<p>{escape(self.subject.label)}: {len(self.metrics)} values, {self._decision}</p>{table}"

    @property
    def _decision(self) -> str:
        return self.verdict.decision.value if self.verdict else "not judged"

    @property
    def exactly_verified(self) -> bool:
        """Whether exact evidence was verified."""
        return self.exact is not None and self.exact.verified

    @property
    def external(self) -> bool:
        """Whether this is an external form (``auditing.disclosure.external_form``), which holds no exact count of people."""
        return self.record.get(DISCLOSURE) == EXTERNAL

    @property
    def options(self) -> MeasureOptions:
        """The options that the numbers were computed with."""
        return MeasureOptions.from_record(self.record)

    @property
    def versions(self) -> tuple[ModelRef, ...]:
        """Every version whose predictions are in it: candidate, baseline, references, root of the lineage, in this order."""
        baseline = () if self.baseline is None else (self.baseline,)
        return (self.subject, *baseline, *self.references, *(() if self.root is None else (self.root,)))

    @property
    def purged(self) -> dict[str, str]:
        """By role, why a version has outputs of test rows alone; what rests on its other rows was not measured."""
        return dict(self.record.get(PURGED) or {})

    @property
    def shown_before(self) -> str:
        """The audit that showed forgetting before the baseline was purged, in words; empty where none did."""
        return str(self.record.get(SHOWN_BEFORE) or "")

    def with_verdict(self, verdict: Verdict) -> Audit:
        """The same facts with this verdict."""
        return replace(self, verdict=verdict)

    def metric(self, name: str, subject: Subject = CANDIDATE, group: Group | None = None) -> MetricValue | None:
        """The first value of that name, subject and group, or None when it was not recorded."""
        found = (m for m in self.metrics if (m.name, m.subject, m.group) == (name, subject, group))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON types; floats are floats, None is null; without keys that are newer than the audit."""
        tree: dict[str, Any] = _adapter().dump_python(self, mode="json")
        if self.schema == EARLIER_SCHEMA:
            tree = {key: item for key, item in tree.items() if key not in _LATER}
            tree["verdict"] = {key: item for key, item in tree["verdict"].items() if key not in _LATER} if self.verdict else None
        if self.root is None:
            del tree["root"]  # as audits of before it was compared with were stored
        if self.segments is None:
            del tree["segments"]  # as audits of before these were looked for
        if not self.data.kind:
            del tree["data"]["kind"]  # as it was stored
        return tree

    @staticmethod
    def from_json(tree: object) -> Audit:
        """Read what ``to_json`` wrote; unknown keys are ignored.

        Raises:
            InputError: not an audit of a schema that this version reads, with every defect listed.
        """
        from pydantic import ValidationError

        if not isinstance(tree, dict) or tree.get("schema") not in (AUDIT_SCHEMA, EARLIER_SCHEMA):
            found = tree.get("schema") if isinstance(tree, dict) else type(tree).__name__
            raise InputError(f"not an audit file of schema {AUDIT_SCHEMA!r} (found {found!r}): create one with 'audit --json'")
        try:
            return _checked(_adapter().validate_python(tree))
        except ValidationError as error:
            defects = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:20])
            raise InputError(f"audit file is damaged: {defects}") from None


_RECORDED: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("created", "tool", "python"), ((str,), "text")),
    **dict.fromkeys(("expires", "level"), ((str, type(None)), "text")),
    **dict.fromkeys(("libraries", "predictions_sha256", NOT_LARGEST, PURGED), ((dict,), "an object")),
    "seconds": ((int, float, type(None)), "a number"),
    **dict.fromkeys(("control_attributes", MEASURED_PARTS), ((list,), "a list")),
}
"""Types of those keys of a record that something is computed from."""


def _checked(audit: Audit) -> Audit:
    """The audit, once those keys of its record that something is computed from have their types.

    Raises:
        InputError: one has not.
    """
    for key, (kinds, words) in _RECORDED.items():
        if key in audit.record and not isinstance(audit.record[key], kinds):
            raise InputError(f"audit file is damaged: record.{key} is of type {type(audit.record[key]).__name__}, not {words}")
    rows = audit.record.get(NOT_LARGEST, {})
    if any(type(count) is not int or count < 0 for count in rows.values()):
        raise InputError(f"audit file is damaged: record.{NOT_LARGEST} holds a value that is no count")
    MeasureOptions.from_record(audit.record)
    return audit


_LATER = ("controls", "exact", "unchanged", "claims_forgetting", "null_control_accepted")
"""Keys that an audit of the earlier schema and its verdict do not have."""


@cache
def _adapter() -> TypeAdapter[Audit]:
    from pydantic import TypeAdapter

    return TypeAdapter(Audit)
