"""A policy in plain words, and rules that cannot be decided."""

from __future__ import annotations

from datetime import date

import pytest

from grmu_audit.intervals import Proportion
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.explanation import Sizes, compare_verdicts, explain_rule, undecidable, undecided_in
from grmu_audit.policy.judgement import evaluate
from grmu_audit.records import CANDIDATE, Audit, DataRecord, ForgetRecord, MetricValue, ModelRef
from grmu_audit.utils.resources import policy_names

TODAY = date(2026, 1, 1)


def audit(found: MetricValue) -> Audit:
    return Audit(ModelRef("m", "1"), DataRecord("d", {}), ForgetRecord(3, "h", ()), (found,))


def value(name: str, statistic: Proportion) -> MetricValue:
    return MetricValue(
        name, CANDIDATE, statistic.estimate, int(statistic.n), interval=statistic.interval(0.95), statistic=statistic
    )


@pytest.mark.parametrize("name", policy_names())
def test_every_rule_of_every_packaged_policy_is_one_sentence(name: str) -> None:
    for rule in load_named(name).rules:
        text = explain_rule(rule)
        assert rule.metric in text
        assert text.startswith(("Blocks a release unless", "Warns unless", "Shows, without judging, whether"))


def test_sizes_that_are_large_enough_give_no_warning() -> None:
    plenty = Sizes(100_000, 20_000, 5_000)
    assert not [found for name in policy_names() for found in undecidable(load_named(name), plenty)]
    assert not list(undecidable(load_named("default"), Sizes()))


@pytest.mark.parametrize(
    ("sizes", "rule", "words"),
    [
        (Sizes(test=100), "test-accuracy-kept", "even the most favourable counts of 100 samples"),
        (Sizes(group=10), "dominant-group-accuracy-kept", "10 samples, and the policy requires at least 30"),
        (Sizes(forget=19), "forgotten", "only a retrained version can pass"),
        (Sizes(forget=30, group=30), "forget-set-looks-unseen", "from 2"),
    ],
)
def test_rules_that_no_version_can_meet_are_named(sizes: Sizes, rule: str, words: str) -> None:
    found = dict(undecidable(load_named("default"), sizes))
    assert words in found[rule]


def policy(**rule: object) -> Policy:
    return Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": [{"id": "r", **rule}]})


@pytest.mark.parametrize("metric", ["TA", "WG", "EO", "DP", "EP", "PREDICTIVE_PARITY", "IMPACT_RATIO", "GA"])
def test_more_samples_turn_the_undecidable_into_the_possible(metric: str) -> None:
    bound = {"max": 0.02} if CATALOG[metric].direction == "lower" else {"min": 0.9}
    named = [bool(list(undecidable(policy(metric=metric, **bound), Sizes(n, n, n)))) for n in (30, 100_000)]
    assert named == [True, False]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"metric": "TA", "compare": "baseline", "min_change": -0.05}, True),
        ({"metric": "WG", "compare": "baseline", "min_change": -0.05}, False),
        ({"metric": "MIA_AUC", "compare": "reference", "max_gap": 0.01}, False),
    ],
)
def test_a_change_is_looked_at_beforehand_only_where_it_is_of_an_accuracy_over_all_samples(rule: dict, named: bool) -> None:
    """The statistic of any other change follows from more than the number of samples."""
    found = dict(undecidable(policy(**rule), Sizes(30, 30, 30)))
    assert list(found) == ["r"] * named
    assert all("even the most favourable counts of 30 samples" in reason for reason in found.values())


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "UA", "max": 0.3}, {"metric": "UA", "within": [0.4, 0.6]},
        {"metric": "UA", "compare": "baseline", "max_change": -0.1},
    ],
)  # fmt: skip
def test_a_rule_that_wants_less_than_the_best_or_a_change_is_not_called_impossible(rule: dict) -> None:
    assert not list(undecidable(policy(**rule), Sizes(5_000, 5_000, 5_000)))


def test_clauses_are_shown_and_change_the_digest_only_where_there_are_any() -> None:
    rule = policy(metric="TA", min=0.5, why="Because.", clauses=["Law 1"]).rules[0]
    assert rule.why_with_clauses == "Because. [Law 1]"
    assert "Evidence for: Law 1." in explain_rule(rule)
    assert policy(metric="TA", min=0.5, why="Because.").rules[0].why_with_clauses == "Because."


def test_what_an_audit_leaves_open_is_named_with_what_would_decide_it() -> None:
    seen = audit(value("TA", Proportion(70, 100)))
    chosen = policy(metric="TA", min=0.7)
    ((name, reason),) = undecided_in(seen, chosen, TODAY)
    assert name == "r"
    assert "What would decide it" in reason
    assert not list(undecided_in(seen, policy(metric="TA", min=0.3), TODAY))
    other = evaluate(seen, chosen, today=TODAY)
    assert compare_verdicts(None, other) == [["r", "block", "INCONCLUSIVE", "–"]]
    assert compare_verdicts(other, other) == [["r", "block", "INCONCLUSIVE", "INCONCLUSIVE"]]
