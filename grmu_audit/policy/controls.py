"""What controls make of a verdict: would a model that forgot nothing meet the policy, and does a retrained one?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from grmu_audit.metrics.catalog import BUILT_IN, Level, spec
from grmu_audit.policy.comparison import starts_lineage
from grmu_audit.policy.schema import Policy, Rule
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    EARLIER_SCHEMA,
    Audit,
    Control,
    ControlOutcome,
    Decision,
    MetricValue,
    Role,
    RuleOutcome,
)

JudgeRules = Callable[[Audit], Sequence[RuleOutcome]]
"""Judges every rule of the policy."""
Waive = Callable[[RuleOutcome], RuleOutcome]
"""Applies the policy's waivers to an outcome."""
Overall = Callable[[Sequence[RuleOutcome]], tuple[Decision, str]]
"""Decision over all rules."""
NOTHING_DONE = "Nothing was done: the outputs are those of the version before, up to rounding."
_HELP = "more forget samples, an audit at level deep, or retraining (exact evidence) would help"


def judge_controls(
    audit: Audit, policy: Policy, judge_rules: JudgeRules, waive: Waive, overall: Overall
) -> tuple[ControlOutcome, ...]:
    """Every control of the audit, judged by the whole policy with its waivers as if it were the candidate."""
    found = []
    for control in audit.controls:
        seen = as_candidate(audit, control)
        outcomes = [waive(_taken(o, r, seen, control)) for o, r in zip(judge_rules(seen), policy.rules, strict=True)]
        not_met = tuple(o.id for o in outcomes if o.blocking and o.decision is not Decision.PASS)
        met = tuple(o.id for o in outcomes if o.applied and o.decision is Decision.PASS)
        null = control.model.role is Role.BASELINE
        found.append(ControlOutcome(control.name, null, overall(outcomes)[0], met, not_met))
    return tuple(found)


def as_candidate(audit: Audit, control: Control) -> Audit:
    """The audit with a control in the candidate's place; only what is known of the control is in it."""
    own = [
        replace(value, subject=CANDIDATE)
        for value in audit.metrics
        if value.subject == control.model and not (control.made and _depends_on_scores(value))
    ]
    return replace(audit, metrics=(*control.values, *own), controls=(), exact=None, unchanged=False)


def _depends_on_scores(value: MetricValue) -> bool:
    """Whether a value may be another one once scores are changed and labels are not."""
    entry = BUILT_IN.get(value.name)
    return entry is None or entry.level is not Level.QUICK or entry.from_scores


def _taken(outcome: RuleOutcome, rule: Rule, seen: Audit, control: Control) -> RuleOutcome:
    """The outcome as judged; where the control has no value, the change from itself, which is 0, or else taken as met."""
    if outcome.n is not None or not outcome.applied:
        return outcome
    low, high = rule.region
    from_it = rule.compare == "baseline" or (rule.compare == "root" and starts_lineage(seen))
    itself = from_it and control.model == BASELINE and not spec(rule.metric).from_scores
    met = low <= 0 <= high if itself else True
    return replace(outcome, decision=Decision.PASS if met else Decision.BREACH)


def conclude(
    audit: Audit, policy: Policy, found: tuple[Decision, str], controls: Sequence[ControlOutcome]
) -> tuple[Decision, str]:
    """The decision and its reason, once exact evidence, sameness and controls are known.

    Args:
        audit: facts.
        policy: the policy.
        found: decision and reason by the rules alone.
        controls: the controls, judged.
    """
    if audit.schema == EARLIER_SCHEMA:
        return found
    decision, reason = found
    steps = [*_refusals(audit, policy, controls)] if decision is Decision.PASS else []
    if audit.unchanged:
        steps = [(Decision.BREACH, NOTHING_DONE)]
    if steps:
        decision, reason = steps[0][0], " ".join([text for _, text in steps] + [reason])
    remarks = _remarks(audit) if decision is Decision.PASS else ()
    return decision, " ".join([*_references_fail(controls), reason, *remarks])


def claims_forgetting(audit: Audit, policy: Policy) -> bool:
    """Whether a PASS says something about forgetting: by the policy, unless the version before was purged, with which nothing can
    be compared any more; exact evidence needs no comparison.
    """
    return policy.claims_forgetting and (str(BASELINE) not in audit.purged or policy.guarantee == "exact")


def _refusals(audit: Audit, policy: Policy, controls: Sequence[ControlOutcome]) -> Iterator[tuple[Decision, str]]:
    """Why a PASS by the rules alone is none."""
    exact = audit.exact
    if policy.guarantee == "exact" and exact is None:
        yield Decision.BREACH, "The policy demands exact evidence, and the version was not retrained."
    elif policy.guarantee == "exact" and exact is not None and not exact.verified:
        yield Decision.INCONCLUSIVE, f"The policy demands exact evidence: {exact.reason}"
    elif policy.claims_forgetting and _rests_on_before(audit) and not audit.shown_before:
        yield (
            Decision.INCONCLUSIVE,
            f"Forgetting was never shown of this version and cannot be measured any more: {audit.purged[str(BASELINE)]}, and no"
            " audit before that passed a policy with rules on forgetting; retrain, and audit that version.",
        )
    if not claims_forgetting(audit, policy) or policy.null_control == "accept" or audit.exactly_verified:
        return
    if not any(control.null for control in controls):
        yield (
            Decision.INCONCLUSIVE,
            "Without the version before unlearning nothing shows that the policy can tell it from this one.",
        )
    passing = [control.name for control in controls if control.null and control.decision is Decision.PASS]
    if passing:
        yield (
            Decision.INCONCLUSIVE,
            f"On this data the policy cannot tell this version from one that forgot nothing ({passing[0]}), which meets it as "
            f"well: {_HELP}.",
        )


def _rests_on_before(audit: Audit) -> bool:
    """Whether forgetting is known from an audit before the baseline was purged or not at all; exact evidence needs none."""
    return str(BASELINE) in audit.purged and not audit.exactly_verified


def _references_fail(controls: Sequence[ControlOutcome]) -> Iterator[str]:
    """The sentence on retrained models that do not meet the policy themselves."""
    retrained = [control for control in controls if not control.null]
    if not retrained or any(control.decision is Decision.PASS for control in retrained):
        return
    rules = sorted({name for control in retrained for name in control.not_met})
    who = "The retrained model does not meet" if len(retrained) == 1 else f"None of the {len(retrained)} retrained models meets"
    yield (
        f"{who} this policy either ({', '.join(rules)}): what is left is more data of the group, a waiver with a reason, or "
        "another policy."
    )


def _remarks(audit: Audit) -> Iterator[str]:
    """What a reader of a PASS must know."""
    if (why := audit.purged.get(str(BASELINE))) is not None:
        shown = f"; {audit.shown_before}" if audit.shown_before else ""
        yield f"Forgetting was not measured again: {why}{shown}."
    if audit.references and not audit.subject.version:
        yield "The reference is a file: nothing shows that it was retrained without the forget set."
