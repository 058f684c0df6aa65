"""A policy in plain words, and which of its rules cannot be decided with the samples at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from grmu_audit.intervals import Area, Gap, Minimum, PairedCounts, Proportion, RateRatio, Statistic
from grmu_audit.metrics.catalog import spec
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.forgetting.contrast import LEAST_FORGET
from grmu_audit.policy.judgement import evaluate
from grmu_audit.policy.multiplicity import rule_alpha
from grmu_audit.policy.sample_size import decide
from grmu_audit.policy.schema import Policy, Rule
from grmu_audit.policy.wording import bound_words
from grmu_audit.records import Audit, Decision, Verdict

_COMPARED = {
    "baseline": "the version before",
    "root": "the first version of the lineage",
    "reference": "the retrained model",
}
_SEVERITY = {"block": "Blocks a release unless", "warn": "Warns unless", "inform": "Shows, without judging, whether"}
_EVIDENCE = {
    "interval": "the whole interval must lie inside",
    "point": "the estimate alone decides, however few samples there are",
    "one-sided": "the one-sided limit must lie inside",
    "unless-breached": "it is met unless the whole interval lies beyond the bound",
}
_GROUPED = ("WG", "EO", "DP", "EP", "GA", "accuracy", "IMPACT_RATIO", "PREDICTIVE_PARITY", "CALIBRATION_GAP", *CONDITIONAL)


@dataclass(frozen=True)
class Sizes:
    """Samples that there will be, as far as they are known."""

    test: int | None = None
    """All test samples."""
    group: int | None = None
    """Test samples of the smallest group."""
    forget: int | None = None
    """Samples (or people) to forget."""


def explain_rule(rule: Rule) -> str:
    """A rule as one sentence, with its reason.

    >>> from grmu_audit.policy import load_named
    >>> explain_rule(load_named("default").rules[1]).partition(" (")[0]
    'Blocks a release unless the change of test accuracy against the version before is at least -5.0 points'
    """
    title = spec(rule.metric).title
    name = title if title[:2].isupper() else title[0].lower() + title[1:]
    group = f" of group (target {rule.group.target}, attribute {rule.group.attribute})" if rule.group else ""
    what = f"the change of {name}{group} against {_COMPARED[rule.compare]}" if rule.compare in _COMPARED else f"{name}{group}"
    when = "; only with a retrained model" if rule.when == "reference_available" else ""
    sentence = f"{_SEVERITY[rule.severity]} {what} is {bound_words(rule)}"
    clauses = f" Evidence for: {'; '.join(rule.clauses)}." if rule.clauses else ""
    return f"{sentence} ({rule.metric}; {_EVIDENCE[rule.evidence]}{when}).{clauses}"


def undecided_in(audit: Audit, policy: Policy, today: date) -> Iterator[tuple[str, str]]:
    """The rules that the audit does not decide, each with its reason and what would decide it."""
    for outcome in evaluate(audit, policy, today=today).rules:
        if outcome.applied and outcome.decision is Decision.INCONCLUSIVE and outcome.severity != "inform":
            needed = f" What would decide it: {outcome.needed}." if outcome.needed else ""
            yield outcome.id, f"{outcome.reason}{needed}"


def undecidable(policy: Policy, sizes: Sizes) -> Iterator[tuple[str, str]]:
    """The rules that no version can meet with so many samples, each with the reason.

    A rule is looked at with the most favourable counts that are possible: nobody classified otherwise than before, every
    group alike.  What is not named here may still be undecided for counts that are less favourable.
    """
    counted = [rule for rule in policy.rules if rule.severity != "inform"]
    alpha = rule_alpha(policy.confidence, policy.multiplicity, max(1, len(counted)))
    for rule in counted:
        size = _size(rule, sizes)
        if size is not None and (reason := _obstacle(rule, size, sizes, policy, alpha)):
            yield rule.id, reason


def _size(rule: Rule, sizes: Sizes) -> int | None:
    """Samples of the smallest cell that a rule rests on."""
    if rule.metric in _GROUPED:
        return sizes.group
    return sizes.forget if spec(rule.metric).part == "forget" else sizes.test if spec(rule.metric).part == "test" else None


def _obstacle(rule: Rule, size: int, sizes: Sizes, policy: Policy, alpha: float) -> str:
    if rule.metric in ("FORGET_SHARE", "WORST_REQUEST_SHARE") and size < LEAST_FORGET:
        few = f"fewer than {LEAST_FORGET} people, and there are {size}"
        return f"the forgetting share is undefined with {few}: only a retrained version can pass"
    if size < policy.minimum_group_size and not rule.allow_incomplete:
        return f"{size} samples, and the policy requires at least {policy.minimum_group_size}"
    best, (least, most) = _most_favourable(rule, size, sizes), rule.region
    if best is None or rule.evidence in ("point", "unless-breached"):
        return ""
    if not least <= best.estimate <= most:
        return ""  # the rule wants a change, or an accuracy that is not the best: other counts are more favourable
    limits = best.limits(2 * (1 - policy.confidence) if rule.evidence == "one-sided" else alpha)
    if limits is None or decide(*limits, rule.region) is Decision.PASS:
        return ""
    low, high = limits
    return (
        f"even the most favourable counts of {size} samples have an interval from {100 * low:.1f} to {100 * high:.1f} %, which"
        f" reaches over the bound {bound_words(rule)}"
    )


def _most_favourable(rule: Rule, size: int, sizes: Sizes) -> Statistic | None:
    """The statistic of the best version that there can be, for metrics whose statistic follows from counts; else None."""
    if rule.compare != "absolute":
        if rule.metric in ("RA", "TA", "GA", "UA", "VA"):
            return PairedCounts(size, 0, 0, 0)
        return None
    if rule.metric == "MIA_AUC":
        unseen = sizes.group or size
        return Area(0.5, ((size + unseen + 1) / (12 * size * unseen)) ** 0.5, size, unseen)
    cells = (Proportion(size, size), Proportion(size, size))
    made: dict[str, Statistic] = {
        "WG": Minimum(cells),
        "EO": Gap((cells, cells), "mean"),
        "DP": Gap((cells,), "max"),
        "EP": Gap((cells,), "max"),
        "PREDICTIVE_PARITY": Gap((cells,), "max"),
        "IMPACT_RATIO": RateRatio(cells),
        "CONDITIONAL_DP": Gap((cells,), "max"),
        "CONDITIONAL_EO": Gap((cells, cells), "mean"),
        "CONDITIONAL_EP": Gap((cells,), "max"),
        "CONDITIONAL_IMPACT_RATIO": RateRatio(cells),
        "CONDITIONAL_ACCURACY_GAP": Gap((cells,), "max"),
    }
    plain = Proportion(size, size) if rule.metric in ("RA", "TA", "GA", "UA", "VA", "accuracy") else None
    return made.get(rule.metric, plain)


def compare_verdicts(recorded: Verdict | None, other: Verdict) -> list[list[str]]:
    """Rows of a table: each rule of the other policy, its decision, and the one that was recorded for a rule of that id."""
    before = {rule.id: rule.decision.value for rule in recorded.rules if rule.applied} if recorded else {}
    rows = []
    for rule in other.rules:
        found = rule.decision.value if rule.applied else "not applied"
        rows.append([rule.id, rule.severity, found, before.get(rule.id, "–")])
    return rows
