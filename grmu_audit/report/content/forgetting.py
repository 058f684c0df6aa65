"""Was it forgotten?  The answer of page one as a sentence, the scale behind it, and the controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.metrics.catalog.wording import REPORT_STYLE, confidence_text
from grmu_audit.metrics.forgetting.share import DECIDING_SIZE
from grmu_audit.records import EARLIER_SCHEMA, Audit, Decision, RuleOutcome, suppressed
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.rules import about_forgetting, rank
from grmu_audit.report.content.sentences import sentence
from grmu_audit.report.content.tables import ABSENT
from grmu_audit.report.content.view_model import Column, Figure, Forgetting, Table
from grmu_audit.report.wording.names import safe_name, safe_sentence
from grmu_audit.report.wording.numbers import count_text
from grmu_audit.report.wording.strings import Strings, load_strings

SHARE = "FORGET_SHARE"
_SHOWN = 0.95
_STATES = {
    "pass": ("EXACT", "SHOWN", "RULES_MET"),
    "breach": ("NOTHING_DONE", "TOO_LITTLE", "TOO_MUCH", "RULES_BROKEN"),
    "not-judged": ("NOTHING_ASKED", "NO_CLAIM", "MEASURED", "EARLIER"),
}


@dataclass(frozen=True)
class Answer:
    """Which sentence is said, and what stands in it."""

    key: str
    """Key among ``forgotten.answers``."""
    values: dict[str, str] = field(default_factory=dict)
    """Its placeholders."""
    detail: str = ""
    """One more sentence; may be empty."""

    @property
    def state(self) -> str:
        """Style name."""
        return next((state for state, keys in _STATES.items() if self.key in keys), "inconclusive")


@dataclass(frozen=True)
class ShareScale:
    """The share of one audit as numbers for its drawing: 0 as before, 1 as retrained."""

    value: float
    """Share of the version."""
    interval: tuple[float, float]
    """Its 95 % interval."""
    limit: float
    """The limit that the share is above with the policy's confidence, one-sided."""
    allowed: tuple[float | None, float | None]
    """Least and most that the policy allows; None where it sets no bound."""
    references: tuple[float, ...]
    """Share of each retrained model against the others; empty with fewer than two."""


def forgetting_view(found: Lookup, strings: Strings) -> Forgetting:
    """The answer with its state, the figure of the scale, and the table of controls."""
    answer = answer_of(found)
    table = share_table(found, strings)
    return Forgetting(
        question=strings.text("forgotten.question"),
        answer=strings.text(f"forgotten.answers.{answer.key}", **answer.values),
        detail=answer.detail or strings.get(f"forgotten.details.{answer.key}", ""),
        state=answer.state,
        figures=[Figure(chart="share", table=table)] if table["rows"] else [],
        controls=controls_table(found, strings),
        requests=Figure(chart="requests", table=requests_table(found, strings)),
    )


def answer_of(found: Lookup) -> Answer:
    """The one case that an audit is.

    What was recorded of the version goes before what was measured, and what makes the measurement worthless before its result.
    """
    audit, verdict = found.audit, found.audit.verdict
    if audit.forget.count == 0:
        return Answer("NOTHING_ASKED")
    if audit.schema == EARLIER_SCHEMA:
        return Answer("EARLIER")
    if audit.unchanged:
        return Answer("NOTHING_DONE")
    if audit.exact is not None and audit.exact.verified:
        return Answer("EXACT", detail=safe_sentence(audit.exact.reason))
    if verdict is not None and not verdict.claims_forgetting:
        reason = found.after.get("without_forgetting_claim")
        promoted = f"It was promoted without such a claim: {safe_sentence(str(reason))}" if reason else ""
        return Answer("NO_CLAIM", {"policy": safe_name(verdict.policy_label)}, promoted)
    answer = _by_share(found)
    if answer.state != "pass" or verdict is None or not meets_null(audit):
        return answer
    if verdict.null_control_accepted:
        return Answer("ACCEPTED", {"reason": sentence(verdict.null_control_accepted)})
    return Answer("CANNOT_TELL")


def meets_null(audit: Audit) -> bool:
    """Whether a model that forgot nothing meets the whole policy, or its rule on the share."""
    nulls = [control for control in audit.verdict.controls if control.null] if audit.verdict else []
    share = {rule.id for rule in _share_rules(audit) if _least(rule) is not None}
    return any(control.decision is Decision.PASS or share & set(control.met) for control in nulls)


def _by_share(found: Lookup) -> Answer:
    """By the share and the rules on it; without one by the other rules on forgetting."""
    audit, value = found.audit, found.value(SHARE)
    rules = sorted((rule for rule in _share_rules(audit) if _least(rule) is not None), key=rank)
    scale = share_scale(found)
    if audit.verdict is not None and not rules:
        return _by_rules(audit)
    if value is None or scale is None:
        return _undefined(found)
    words = {"share": REPORT_STYLE.percent(max(scale.value, 0.0)), "limit": REPORT_STYLE.percent(max(scale.limit, 0.0))}
    words |= {
        "high": REPORT_STYLE.percent(scale.interval[1]),
        "confidence": confidence_text(audit.verdict.confidence if audit.verdict else _SHOWN),
    }
    if any(rule.decision is Decision.BREACH and _least(rule) is None for rule in _share_rules(audit)):
        return Answer("TOO_MUCH", words)
    if not rules:
        return Answer("MEASURED", words)
    words["bound"] = REPORT_STYLE.percent(_least(rules[0]) or 0.0)
    key = {Decision.PASS: "SHOWN", Decision.BREACH: "TOO_LITTLE"}.get(rules[0].decision, "NOT_DECIDED")
    if key == "TOO_LITTLE" and rules[0].interval is not None:
        words["high"] = REPORT_STYLE.percent(rules[0].interval[1])
    return Answer(key, words)


def _undefined(found: Lookup) -> Answer:
    """Why the share has no value; the recorded reason, as far as the sentence does not say it."""
    audit, value = found.audit, found.value(SHARE)
    reason = sentence(value.why_missing or "") if value is not None else ""
    unverified = "" if audit.exact is None else sentence(audit.exact.reason)
    if audit.baseline is None:
        return Answer("NO_BASELINE", detail=unverified)
    if not audit.references:
        return Answer("NO_REFERENCE", detail=unverified)
    if value is not None and "trace" in value.details:
        return Answer("NO_TRACE", detail=_why_no_trace(value.details.get(DECIDING_SIZE), audit.forget.count))
    return Answer("UNDEFINED", detail=reason)


def _why_no_trace(needed: int | None, count: int) -> str:
    """The reason in plain words, and how many samples would decide, where the audit knows it."""
    strings = load_strings()
    found = strings.text("forgotten.details.NO_TRACE")
    if needed is None:
        return found
    return f"{found} {strings.text('forgotten.details.NEEDED', needed=count_text(needed), count=count_text(count))}"


def _by_rules(audit: Audit) -> Answer:
    """A policy without a rule on the share: its other blocking rules on forgetting."""
    verdict = audit.verdict
    assert verdict is not None
    rules = [rule for rule in verdict.rules if rule.blocking and about_forgetting(rule)]
    names = {"rules": ", ".join(safe_name(rule.id) for rule in rules)}
    if any(rule.decision is Decision.BREACH for rule in rules):
        return Answer("RULES_BROKEN", names)
    if not rules or any(rule.decision is not Decision.PASS for rule in rules):
        return Answer("RULES_OPEN", names)
    met_by_null = [set(control.met) for control in verdict.controls if control.null]
    if not met_by_null:
        return Answer("NO_BASELINE")
    told = all({rule.id for rule in rules} - met for met in met_by_null)
    return Answer("RULES_MET" if told else "CANNOT_TELL", names)


def _share_rules(audit: Audit) -> list[RuleOutcome]:
    """Applied blocking rules on the share over the whole forget set."""
    rules = audit.verdict.rules if audit.verdict else ()
    return [r for r in rules if r.metric == SHARE and r.group is None and r.blocking]


def _edges(rule: RuleOutcome) -> tuple[float | None, float | None]:
    """Least and most that a rule allows."""
    within = rule.bound.get("within")
    if isinstance(within, list):
        return float(within[0]), float(within[1])
    low, high = rule.bound.get("min"), rule.bound.get("max")
    return (low if isinstance(low, float | int) else None), (high if isinstance(high, float | int) else None)


def _least(rule: RuleOutcome) -> float | None:
    return _edges(rule)[0]


def share_scale(found: Lookup) -> ShareScale | None:
    """The share with everything that its drawing shows; None where it is undefined or has no limits."""
    value = found.value(SHARE)
    if value is None or value.value is None or value.interval is None:
        return None
    verdict, rules = found.audit.verdict, _share_rules(found.audit)
    judged = [rule.interval for rule in rules if _least(rule) is not None and rule.interval is not None]
    alpha = 2 * (1 - (verdict.confidence if verdict else _SHOWN))
    one_sided = value.statistic.limits(alpha) if value.statistic is not None else None
    limit = judged[0][0] if judged else one_sided[0] if one_sided else value.interval[0]
    edges = [_edges(rule) for rule in rules]
    allowed = (
        max((e[0] for e in edges if e[0] is not None), default=None),
        min((e[1] for e in edges if e[1] is not None), default=None),
    )
    spread = [float(one) for one in value.details.get("of_each_reference") or () if isinstance(one, float | int)]
    return ShareScale(value.value, value.interval, limit, allowed, tuple(spread))


def share_table(found: Lookup, strings: Strings) -> Table:
    """The numbers of the drawing; no rows where there is none."""
    scale = share_scale(found)
    rows = (
        [] if scale is None else [[strings.text(f"forgotten.rows.{key}", **more), *cells] for key, more, *cells in _rows(scale)]
    )
    columns = [Column(title=strings.text(f"forgotten.columns.{key}"), kind=kind) for key, kind in _COLUMNS.items()]
    return Table(caption=strings.text("forgotten.scale"), columns=columns, rows=rows)


_COLUMNS = {"model": "text", "share": "number"}


def _rows(scale: ShareScale) -> Iterator[tuple[str, dict[str, int], str]]:
    interval = REPORT_STYLE.interval(scale.interval)
    yield "before", {}, REPORT_STYLE.percent(0.0)
    yield "version", {}, f"{REPORT_STYLE.percent(scale.value)}\n{interval}"
    yield "limit", {}, REPORT_STYLE.percent(scale.limit)
    for key, edge in zip(("least", "most"), scale.allowed, strict=True):
        if edge is not None:
            yield key, {}, REPORT_STYLE.percent(edge)
    for number, share in enumerate(scale.references, 1):
        yield "reference", {"number": number}, REPORT_STYLE.percent(share)


def controls_table(found: Lookup, strings: Strings) -> Table:
    """Every control, judged by the same policy; no rows where none was measured."""
    verdict, known, rows = found.audit.verdict, strings.node("forgotten.controls"), []
    for control in verdict.controls if verdict else ():
        name, _, number = control.name.partition("#")
        label = str(known[name]).format(number=number) if name in known else safe_name(control.name)
        word = strings.text(f"decisions.{control.decision.value}")
        rows.append([label, word, ", ".join(map(safe_name, control.not_met)) or strings.text("forgotten.none")])
    kinds = {"control": "text", "verdict": "word", "not_met": "text"}
    columns = [Column(title=strings.text(f"forgotten.columns.{key}"), kind=kind) for key, kind in kinds.items()]
    return Table(caption=strings.text("forgotten.controls_caption"), columns=columns, rows=rows)


@dataclass(frozen=True)
class RequestShare:
    """One request of a lineage: its share when it was served and now."""

    served_by: str
    """The version that served it, or its request id where the audited one served several; empty for the audited one."""
    then: float | None
    """Share when it was served."""
    now: float | None
    """Share now."""
    interval: tuple[float, float] | None
    """95 % interval of the share now."""
    cells: tuple[str, ...]
    """Samples, and accuracy on them before, when served, now and of retrained models, as shown."""


def request_shares(found: Lookup) -> list[RequestShare]:
    """The requests of the lineage, oldest first; empty where there is only one."""
    value = found.value("WORST_REQUEST_SHARE")
    listed = value.details.get("requests") if value is not None else None
    if not isinstance(listed, list) or len(listed) < 2:
        return []
    try:
        return [_request_share(row) for row in listed]
    except (LookupError, TypeError, ValueError):
        raise InputError("audit file is damaged: its list of the lineage's requests is not in the form of one") from None


def _request_share(row: Mapping[str, Any]) -> RequestShare:
    share, accuracy, limits = row["share"], row["accuracy"], row["share"]["interval"]
    few = suppressed(int(row["n"]))
    models = ("before", "served", "now", "retrained")
    cells = [ABSENT if few or accuracy[name] is None else REPORT_STYLE.percent(accuracy[name]) for name in models]
    name, request = str(row["served_by"]), str(row.get("request", ""))
    return RequestShare(
        served_by=safe_name(request or name) if request or "/" in name else "",
        then=share["when_served"],
        now=share["now"],
        interval=(limits[0], limits[1]) if limits else None,
        cells=(count_text(int(row["n"])), *cells),
    )


_REQUEST_COLUMNS = (
    "request", "samples", "then", "now", "accuracy_before", "accuracy_served", "accuracy_now", "accuracy_retrained",
)  # fmt: skip


def requests_table(found: Lookup, strings: Strings) -> Table:
    """Every request of the lineage; no rows where there is only one."""
    rows = []
    for one in request_shares(found):
        name = one.served_by or strings.text("forgotten.version")
        now = ABSENT if one.now is None else REPORT_STYLE.percent(one.now)
        limits = f"\n{REPORT_STYLE.interval(one.interval)}" if one.interval else ""
        then = ABSENT if one.then is None else REPORT_STYLE.percent(one.then)
        rows.append([name, one.cells[0], then, now + limits, *one.cells[1:]])
    kinds = dict.fromkeys(_REQUEST_COLUMNS, "number") | {"request": "text"}
    columns = [Column(title=strings.text(f"forgotten.columns.{key}"), kind=kind) for key, kind in kinds.items()]
    return Table(caption=strings.text("forgotten.requests_caption"), columns=columns, rows=rows)
