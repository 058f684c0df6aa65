"""Whether the numbers of an audit show that a policy is met: one outcome a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from grmu_audit.errors import InputError
from grmu_audit.intervals import Limits
from grmu_audit.policy.comparison import judged_value, why_missing, why_other_strata, why_unapplied
from grmu_audit.policy.controls import claims_forgetting, conclude, judge_controls
from grmu_audit.policy.files import policy_sha256
from grmu_audit.policy.multiplicity import holm_decides, rule_alpha
from grmu_audit.policy.rule_reasons import RuleCase, counted, needed_cells, not_refuted, obstacle_of, reason_of, seen_in
from grmu_audit.policy.sample_size import decide, samples_needed
from grmu_audit.policy.schema import Policy, Rule
from grmu_audit.policy.wording import bound_words
from grmu_audit.records import NOT_LARGEST, Audit, Decision, MetricValue, RuleOutcome, Verdict
from grmu_audit.utils.clock import utc_today

REVERSAL = "requests-add-up"
"""Id of the outcome that every policy has where a version was trained on rows of an earlier request."""


def evaluate(audit: Audit, policy: Policy, *, today: date) -> Verdict:
    """Judge an audit by a policy.

    Every rule's interval is recomputed from the recorded sufficient statistic at the policy's family-wise confidence.
    Undefined, missing, incomplete, too small: INCONCLUSIVE with the reason, never PASS.

    Args:
        audit: facts; a verdict that is already there is ignored.
        policy: the policy.
        today: date that waivers are judged on.

    Returns:
        A verdict with one outcome per rule, in the policy's order; before them one on the predictions, where the policy demands
        that they have the largest score; after them a breach that nothing waives, where the version was trained on rows that an
        earlier request of its lineage erased.
    """
    judge_rules = partial(_judge_rules, policy=policy)
    waive = partial(_waived, policy=policy, today=today)
    outcomes = [*_largest_score(audit, policy), *map(waive, judge_rules(audit)), *_reversals(audit)]
    controls = judge_controls(audit, policy, judge_rules, waive, _overall)
    decision, reason = conclude(audit, policy, _overall(outcomes), controls)
    return Verdict(
        decision=decision,
        policy=policy.name,
        policy_sha256=policy_sha256(policy),
        rules=tuple(outcomes),
        confidence=policy.confidence,
        multiplicity=policy.multiplicity,
        minimum_group_size=policy.minimum_group_size,
        waivers=tuple(waiver.model_dump(mode="json") for waiver in policy.waivers),
        reason=reason,
        controls=controls,
        claims_forgetting=claims_forgetting(audit, policy),
        null_control_accepted=policy.null_control_reason.strip() if policy.null_control == "accept" else "",
    )


def _judge_rules(audit: Audit, policy: Policy) -> list[RuleOutcome]:
    cases = [_by_method(_case(rule, audit, policy), policy.intervals) for rule in policy.rules]
    family = max(1, sum(case.applied and case.rule.severity != "inform" for case in cases))
    alpha = rule_alpha(policy.confidence, policy.multiplicity, family)
    outcomes = [_judged(case, alpha, policy) for case in cases]
    if policy.multiplicity == "holm":
        outcomes = _stepped_down(cases, outcomes, 1 - policy.confidence, family)
    return [_by_exact_evidence(outcome, case, audit) for outcome, case in zip(outcomes, cases, strict=True)]


def _largest_score(audit: Audit, policy: Policy) -> list[RuleOutcome]:
    """Whether every prediction is the class with the largest score, as a rule of its own, where the policy demands it."""
    if policy.predictions != "largest_score":
        return []
    rows = sum(audit.record.get(NOT_LARGEST, {}).values())
    said = f"{rows:,} rows have one that is not" if rows else "so it is in every row"
    outcome = RuleOutcome(
        id="predictions-have-the-largest-score",
        metric="TA",
        decision=Decision.BREACH if rows else Decision.PASS,
        severity="block",
        observed=None,
        interval=None,
        bound={},
        compare="absolute",
        reason=f"Every prediction must be the class with the largest score; {said}.",
        why="A prediction that is not may come from classes in another order, or from a threshold that the scores do not know.",
    )
    return [outcome]


def _case(rule: Rule, audit: Audit, policy: Policy) -> RuleCase:
    value = judged_value(rule, audit)
    obstacle = why_other_strata(rule, audit, policy) or why_missing(rule, audit, value)
    obstacle = obstacle or (obstacle_of(rule, value, audit, policy) if value is not None else None)
    if obstacle and rule.metric == "FORGET_SHARE" and not audit.references and audit.baseline and audit.subject.version:
        obstacle += f"; to make one: grmu-audit retrain --model {audit.baseline.label} --forget <the forget list>"
    return RuleCase(rule, why_unapplied(rule, audit, policy), value, obstacle, counted(value, audit))


def _by_method(case: RuleCase, method: str) -> RuleCase:
    """The same case with the policy's limits of proportions."""
    if case.value is None or case.value.statistic is None:
        return case
    return replace(case, value=replace(case.value, statistic=case.value.statistic.by_method(method)))


def _judged(case: RuleCase, alpha: float, policy: Policy) -> RuleOutcome:
    """One rule at its share of the family's error."""
    minimum = policy.minimum_group_size
    blank = _blank(case)
    if not case.applied:
        return replace(blank, applied=False, reason=f"not applied: {case.unapplied}")
    if case.value is None or case.obstacle is not None:
        return replace(blank, reason=f"Not decided: {case.obstacle}.", needed=needed_cells(case, minimum))
    found = _limits(case.value, alpha)
    if case.rule.evidence == "point" and case.value.value is not None:
        decision = decide(case.value.value, case.value.value, case.rule.region)
        return replace(blank, decision=decision, interval=found, reason=reason_of(case, decision, found, by_point=True))
    if case.rule.evidence == "one-sided":
        return _judged_one_sided(case, found, 2 * (1 - policy.confidence))
    if case.rule.evidence == "unless-breached" and (found is None or decide(*found, case.rule.region) is Decision.INCONCLUSIVE):
        return replace(blank, decision=Decision.PASS, interval=found, reason=not_refuted(case, found))
    if found is None:
        return replace(blank, reason=_without_interval(case.value))
    decision = decide(*found, case.rule.region)
    more = samples_needed(case.value, case.rule.region, alpha) if decision is Decision.INCONCLUSIVE else None
    return replace(blank, decision=decision, interval=found, reason=reason_of(case, decision, found), needed=more)


def _judged_one_sided(case: RuleCase, family: Limits | None, alpha: float) -> RuleOutcome:
    """A rule that the one-sided limit at the policy's confidence meets; a breach needs the interval of the family.

    A PASS needs every rule, so that the error of this one need not be shared.

    Args:
        case: the rule with its value.
        family: limits at the rule's share of the family's error.
        alpha: two-sided error whose limits are one-sided at the policy's confidence.
    """
    blank, value = _blank(case), case.value
    assert value is not None
    found = _limits(value, alpha)
    if found is None:
        return replace(blank, reason=_without_interval(value))
    decision = decide(*found, case.rule.region)
    if decision is Decision.BREACH and (family is None or decide(*family, case.rule.region) is not Decision.BREACH):
        decision = Decision.INCONCLUSIVE
    if decision is not Decision.INCONCLUSIVE:
        return replace(blank, decision=decision, interval=found, reason=reason_of(case, decision, found))
    reason, needed = reason_of(case, decision, found), samples_needed(value, case.rule.region, alpha)
    low, high = case.rule.region
    if value.value is not None and not low <= value.value <= high:
        reason = f"{seen_in(case, found)}: it does not meet the bound {bound_words(case.rule)}, and a breach is not shown either."
        needed = "more samples do not help at the present estimate, which lies beyond the bound: another method would"
    return replace(blank, interval=found, reason=reason, needed=needed)


def _without_interval(value: MetricValue) -> str:
    return f"Not decided: {value.why_missing or 'the audit records no interval at this confidence'}."


def _by_exact_evidence(outcome: RuleOutcome, case: RuleCase, audit: Audit) -> RuleOutcome:
    """A rule on forgetting is met by exact evidence alone."""
    if audit.exact is None or not audit.exact.verified or not (case.rule.about_forgetting and outcome.applied):
        return outcome
    return replace(outcome, decision=Decision.PASS, needed=None, reason=f"Met by exact evidence: {audit.exact.reason}")


def _blank(case: RuleCase) -> RuleOutcome:
    rule, value = case.rule, case.value
    number = value.value if value is not None else None
    return RuleOutcome(
        id=rule.id,
        metric=rule.metric,
        decision=Decision.INCONCLUSIVE,
        severity=rule.severity,
        observed=number if number is not None and math.isfinite(number) else None,
        interval=None,
        bound=rule.bounds,
        compare=rule.compare,
        reason="",
        why=rule.why_with_clauses,
        group=rule.group.record if rule.group else None,
        n=value.n if value is not None else None,
    )


def _limits(value: MetricValue, alpha: float) -> Limits | None:
    """Interval at ``alpha``: recomputed, or the recorded one where it is at least as wide as requested."""
    if value.statistic is not None:
        return value.statistic.limits(alpha)
    if value.interval is not None and value.confidence >= 1 - alpha:
        return value.interval
    return None


def _stepped_down(cases: Sequence[RuleCase], outcomes: Sequence[RuleOutcome], alpha: float, family: int) -> list[RuleOutcome]:
    """Holm's step-down: rules that Bonferroni leaves open may still be decided; shown intervals stay Bonferroni's."""
    open_rules = [
        (i, case.value.statistic, case.rule.region)
        for i, case in enumerate(cases)
        if case.applied
        and case.obstacle is None
        and case.value is not None
        and case.value.statistic
        and case.rule.evidence == "interval"
        and case.rule.severity != "inform"
    ]
    decided = holm_decides([(statistic, region) for _, statistic, region in open_rules if statistic], alpha, family)
    result = list(outcomes)
    for (i, _, _), decision in zip(open_rules, decided, strict=True):
        if result[i].decision is Decision.INCONCLUSIVE and decision is not Decision.INCONCLUSIVE:
            reason = (
                reason_of(cases[i], decision, None).rstrip(".")
                + " by Holm's step-down test, while the shown interval is Bonferroni's."
            )
            result[i] = replace(result[i], decision=decision, needed=None, reason=reason)
    return result


def _waived(outcome: RuleOutcome, policy: Policy, today: date) -> RuleOutcome:
    """A breach under an unexpired waiver is marked; an expired waiver on a rule that is not met is a breach."""
    waiver = next((waiver for waiver in policy.waivers if waiver.rule == outcome.id), None)
    if waiver is None or not outcome.applied or outcome.decision is Decision.PASS:
        return outcome
    until = waiver.expires.isoformat()
    if waiver.expires < today:
        reason = f"{outcome.reason} The waiver by {waiver.approved_by} expired on {until}."
        return replace(outcome, decision=Decision.BREACH, reason=reason)
    if outcome.decision is not Decision.BREACH:
        return outcome
    reason = f"{outcome.reason} Waived until {until} by {waiver.approved_by}: {waiver.reason}"
    return replace(outcome, waived=True, reason=reason)


def _reversals(audit: Audit) -> list[RuleOutcome]:
    """A breach of what no policy can allow: training on rows that the version's own lineage had forgotten."""
    found = audit.forget.request.get("reversed")
    if not isinstance(found, list) or not found:
        return []
    reason = f"The version was trained on rows that its lineage had forgotten: {'; '.join(map(str, found))}."
    why = "What one request erased must stay erased after the next one."
    return [RuleOutcome(REVERSAL, "earlier requests", Decision.BREACH, "block", None, None, {}, "absolute", reason, why=why)]


def _overall(outcomes: Sequence[RuleOutcome]) -> tuple[Decision, str]:
    blocking = [o for o in outcomes if o.blocking]
    breached = [o.id for o in blocking if o.decision is Decision.BREACH and not o.waived]
    undecided = [o.id for o in blocking if o.decision is Decision.INCONCLUSIVE]
    waived = [o.id for o in blocking if o.waived]
    if not outcomes:
        return Decision.INCONCLUSIVE, "The policy has no rule, so that nothing was shown."
    if not blocking:
        return Decision.INCONCLUSIVE, "No blocking rule of the policy applies, so that nothing was shown."
    if breached:
        return Decision.BREACH, f"{len(breached)} of {len(blocking)} blocking rules breached: {', '.join(breached)}."
    if undecided:
        return Decision.INCONCLUSIVE, f"{len(undecided)} of {len(blocking)} blocking rules not decided: {', '.join(undecided)}."
    met = len(blocking) - len(waived)
    note = f"; waived: {', '.join(waived)}" if waived else ""
    return Decision.PASS, f"{met} of {len(blocking)} blocking rules met{note}."


def judge(audit: Audit, policy: Policy, today: date | None = None) -> Audit:
    """The same facts with this policy's verdict; a verdict that was there before is replaced.

    Args:
        audit: facts.
        policy: policy.
        today: date that waivers are judged on; by default the UTC date of the clock.

    Raises:
        InputError: the audit is an external form, whose numbers are rounded.
    """
    if audit.external:
        raise InputError(
            f"the audit of {audit.subject.label} is an external form: judge the internal one, which has exact numbers"
        )
    return audit.with_verdict(evaluate(audit, policy, today=today or utc_today()))
