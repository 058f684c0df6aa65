"""Audits by hand, for tests of everything that comes after measuring: small, rich, odd and hostile ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from grmu_audit.intervals.ratio import Ratio
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    EARLIER_SCHEMA,
    Audit,
    CheckResult,
    ControlOutcome,
    DataCheckReport,
    DataRecord,
    Decision,
    ExactEvidence,
    ForgetRecord,
    Group,
    GroupCount,
    MetricValue,
    ModelRef,
    NotMeasured,
    RuleOutcome,
    Subject,
    Verdict,
    reference,
)

HOSTILE = (
    "<script>alert(1)</script>\"'&{{7*7}}]]>%0A::error::\x1b[31m\x00\u202eevil\u2066 🙂 "
    "=cmd|' /C calc'!A0 $x_1$ `code` |a|b|\n# h"
)
"""One string with what breaks each format."""

DIGEST = "9f2c" * 16
RATES = {BASELINE: (0.952, 0.908, 0.931, 0.874), reference(1): (0.949, 0.871, 0.925, 0.842)}
GOOD = (0.944, 0.897, 0.922, 0.861)
BAD = (0.951, 0.412, 0.903, 0.633)
TEST_SIZES = (161, 105, 128, 103)
FORGET_SIZES = (0, 38, 3, 0)
TRAIN_SIZES = (412, 240, 301, 158)
GROUPS = tuple(Group(y, s) for y in (0, 1) for s in (0, 1))
NAMES = ("digit below 5, white paper", "digit below 5, dark paper", "digit from 5, white paper", "digit from 5, dark paper")


TRACE, TRACE_ERROR = -0.86, 0.2
SHARES = {
    Decision.PASS: Ratio(-0.7, TRACE, 0.13**2, TRACE_ERROR**2, 0.5 * 0.13 * TRACE_ERROR, 41),
    Decision.BREACH: Ratio(0.02, TRACE, 0.06**2, TRACE_ERROR**2, 0.0, 41),
    Decision.INCONCLUSIVE: Ratio(-0.4, TRACE, 0.2**2, TRACE_ERROR**2, 0.5 * 0.2 * TRACE_ERROR, 41),
}


def share_value(decision: Decision, references: Sequence[float | None] = (None,)) -> MetricValue:
    """The forgetting share of a sample, and of each reference against the others."""
    found, details = SHARES[decision], {"trace": TRACE, "trace_standard_error": TRACE_ERROR, "of_each_reference": [*references]}
    counted = {"compared_with_retained": 38, "compared_with_unseen": 3, "references": len(references)}
    interval = found.limits(0.05)
    return MetricValue(
        "FORGET_SHARE", CANDIDATE, found.estimate, 41, interval=interval, statistic=found, details={**counted, **details}
    )


def controls(decision: Decision, references: int = 1) -> tuple[ControlOutcome, ...]:
    """The version before, the two cheats and the references, judged."""
    met = ("dominant-group-accuracy-kept", "equalized-odds", "forget-set-looks-unseen")
    nulls = ("before", "before, logits x 0.3", "before, labels only")
    cheats = [ControlOutcome(name, True, Decision.BREACH, met, ("forgotten",)) for name in nulls]
    kept = decision is not Decision.INCONCLUSIVE
    own = (Decision.PASS, (*met, "forgotten"), ()) if kept else (Decision.INCONCLUSIVE, met, ("forgotten",))
    return (*cheats, *(ControlOutcome(f"reference#{number}", False, *own) for number in range(1, references + 1)))


REASONS = {
    Decision.PASS: "4 of 4 blocking rules met.",
    Decision.BREACH: "2 of 4 blocking rules breached: dominant-group-accuracy-kept, forgotten.",
    Decision.INCONCLUSIVE: (
        "The retrained model does not meet this policy either (forgotten): what is left is more data of the group, a waiver with "
        "a reason, or another policy. 2 of 4 blocking rules not decided: dominant-group-accuracy-kept, forgotten."
    ),
}


def proportion(name: str, value: float, n: int, **more: Any) -> MetricValue:
    half = 1.96 * (value * (1 - value) / max(n, 1)) ** 0.5 + 1 / max(n, 1)
    bounds = (max(0.0, value - half), min(1.0, value + half))
    return MetricValue(name, more.pop("subject", CANDIDATE), value, n, interval=bounds, smallest_cell=n, **more)


def subject_values(subject: Subject, rates: tuple[float, ...], auc: float) -> list[MetricValue]:
    cells = list(zip(GROUPS, rates, TEST_SIZES, strict=True))
    values = [proportion("accuracy", rate, n, group=group, subject=subject) for group, rate, n in cells]
    total = sum(TEST_SIZES)
    overall = sum(rate * n for _, rate, n in cells) / total
    whole = {
        "RA": (0.97, 970),
        "UA": (rates[1] + 0.01, 41),
        "TA": (overall, total),
        "GA": (rates[1], 105),
        "WG": (min(rates), total),
    }
    values += [proportion(name, value, n, subject=subject) for name, (value, n) in whole.items()]
    gap = (abs(rates[0] - rates[1]) + abs(rates[2] - rates[3])) / 2
    values += [proportion(name, gap * scale, total, subject=subject) for name, scale in (("EO", 1.0), ("DP", 0.4), ("EP", 1.1))]
    values += [proportion("MIA_AUC", auc, 146, subject=subject), proportion("MIA", 0.44, 41, subject=subject)]
    return values


def changes(before: tuple[float, ...], after: tuple[float, ...], other: Subject) -> list[MetricValue]:
    values = []
    for group, old, new, n in zip(GROUPS, before, after, TEST_SIZES, strict=True):
        delta = new - old
        values.append(MetricValue("accuracy", other.as_change(), delta, n, group=group, interval=(delta - 0.04, delta + 0.04)))
    delta = after[1] - before[1]
    return [*values, MetricValue("GA", other.as_change(), delta, 105, interval=(delta - 0.03, delta + 0.03))]


def model(name: str, version: str, role: str, **more: Any) -> ModelRef:
    defaults: dict[str, Any] = {
        "manifest_sha256": DIGEST,
        "run_id": "0b9a4f3e5c7d4c1e8f10",
        "data_digest": "sha256:" + "ab12" * 16,
        "architecture": "small_cnn",
        "seed": 3,
    }
    return ModelRef(name, version, role, **{**defaults, **more})


def rule(
    identity: str, metric: str, decision: Decision, observed: float | None, bounds: Any, bound: Any, **more: Any
) -> RuleOutcome:
    more = {"severity": "block", "compare": "absolute", "reason": f"{metric} was judged {decision}.", "n": 497, **more}
    return RuleOutcome(
        identity, metric, decision, more.pop("severity"), observed, bounds, bound, more.pop("compare"), more.pop("reason"), **more
    )


def rules(decision: Decision) -> tuple[RuleOutcome, ...]:
    worse = decision is not Decision.PASS
    kept = decision if worse else Decision.PASS
    change, bounds = {
        Decision.PASS: (-0.011, (-0.041, 0.019)),
        Decision.BREACH: (-0.496, (-0.561, -0.428)),
        Decision.INCONCLUSIVE: (-0.032, (-0.082, 0.018)),
    }[decision]
    return (
        rule(
            "dominant-group-accuracy-kept",
            "GA",
            kept,
            change,
            bounds,
            {"min_change": -0.05},
            compare="baseline",
            n=105,
            reason=f"GA changed by {100 * change:.1f} points, {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}; held against −5.0.",
            needed="about 310 test samples of the group “digit below 5, dark paper”" if kept is Decision.INCONCLUSIVE else None,
            why="The people who ask to be forgotten must not pay with worse service for their group.",
        ),
        rule(
            "equalized-odds",
            "EO",
            Decision.PASS,
            0.054,
            (0.011, 0.149),
            {"max": 0.25},
            reason="The whole interval lies below 25.0 %.",
        ),
        rule(
            "forget-set-looks-unseen",
            "MIA_AUC",
            Decision.PASS,
            0.512,
            (0.438, 0.584),
            {"within": [0.4, 0.6]},
            n=146,
            reason="The whole interval lies between 40.0 % and 60.0 %.",
        ),
        rule(
            "forgotten",
            "FORGET_SHARE",
            decision,
            SHARES[decision].estimate,
            SHARES[decision].limits(0.1),
            {"min": 0.25},
            n=41,
            reason="FORGET_SHARE was compared with 25.0 %.",
            needed="about 230 samples of the forget set" if decision is Decision.INCONCLUSIVE else None,
        ),
        rule(
            "close-to-retraining",
            "UA",
            Decision.INCONCLUSIVE,
            0.03,
            (-0.09, 0.15),
            {"max_gap": 0.1},
            compare="reference",
            severity="warn",
            n=41,
            reason="The interval reaches beyond 10.0 points.",
            needed="about 120 samples of the forget set",
        ),
    )


def checks() -> DataCheckReport:
    results = (
        CheckResult("all", "the table holds at least one row", True, True, "1,670 rows"),
        CheckResult("all", "sample ids are unique", True, True, "1,670 of 1,670"),
        CheckResult("test", "every group has at least 30 samples", True, True, "smallest: 103"),
        CheckResult("retain", "no REWEIGHT weight above 5", False, True, "5.2", severity="warning"),
    )
    train, retain = sum(TRAIN_SIZES), sum(TRAIN_SIZES) - sum(FORGET_SIZES)
    shift = tuple(
        {
            "target": group.target,
            "attribute": group.attribute,
            "name": name,
            "train": before,
            "retain": before - gone,
            "share_before": before / train,
            "share_after": (before - gone) / retain,
            "weight": before / (before - gone),
        }
        for group, name, before, gone in zip(GROUPS, NAMES, TRAIN_SIZES, FORGET_SIZES, strict=True)
    )
    return DataCheckReport(results, "great_expectations 1.24.1", "77aa" * 16, shift)


def judged(decision: Decision) -> Audit:
    """A binary audit with one baseline and one reference, judged so."""
    rates, auc = (BAD, 0.71) if decision is Decision.BREACH else (GOOD, 0.512)
    metrics = subject_values(CANDIDATE, rates, auc)
    metrics += [value for subject, before in RATES.items() for value in subject_values(subject, before, 0.53)]
    metrics.append(share_value(decision))
    metrics += changes(RATES[BASELINE], rates, BASELINE) + changes(RATES[reference(1)], rates, reference(1))
    metrics += [
        MetricValue(
            "MIA_TPR_01", CANDIDATE, None, 41, why_missing="41 forget samples cannot resolve a false-positive rate of 0.1 %"
        )
    ]
    counts = tuple(
        GroupCount(group, name, train, train - forget, forget, 40, test)
        for group, name, train, forget, test in zip(GROUPS, NAMES, TRAIN_SIZES, FORGET_SIZES, TEST_SIZES, strict=True)
    )
    method = "gradient_ascent" if decision is Decision.BREACH else "miu"
    forget_digest = "hmac-sha256:" + "c0de" * 16
    config = {"lr": 0.01, "epochs": 5, "lambda": 0.5, "device": "cpu", "seconds": 12.4, "sample_gradients": 5055}
    return Audit(
        subject=model(
            "photodigits-v1",
            "4",
            "unlearned",
            parent="photodigits-v1/1",
            method=method,
            reweight=True,
            forget_digest=forget_digest,
            config=config,
        ),
        data=DataRecord(
            "5be1" * 16,
            {"retain": 1070, "forget": 41, "val": 160, "test": 497},
            "PhotoDigits",
            counts,
            ("digit below 5", "digit from 5"),
            ("white paper", "dark paper"),
            "scikit-learn digits, BSD-3-Clause",
            "drawn by the generator",
            0,
        ),
        forget=ForgetRecord(
            41,
            forget_digest,
            (Group(0, 1),),
            {"sampled": "half of the rare group", "ratio": 0.5, "seed": 7, "ids": ["secret-id-1"]},
        ),
        metrics=tuple(metrics),
        baseline=model("photodigits-v1", "1", "pretrain", method="pretrain"),
        references=(
            model("photodigits-v1", "3", "retrain", method="retrain", reweight=True, config={"sample_gradients": 32100}),
        ),
        data_quality=checks(),
        not_measured=(NotMeasured("RELEARN", "not part of the quick profile"),),
        record={"created": "2026-03-04T05:06:07Z", "tool": "grmu-audit 0.1.0", "python": "3.11.9", "seconds": 3.25},
        verdict=Verdict(decision, "default", "d00d" * 16, rules(decision), reason=REASONS[decision], controls=controls(decision)),
    )


def exact() -> Audit:
    """A retrained version whose record shows that no row of the forget set was read."""
    base = judged(Decision.PASS)
    evidence = ExactEvidence(
        True, "photodigits-v1/4 was trained from fresh weights, and its record shows that no row of the forget set was read."
    )
    return replace(base, subject=replace(base.subject, role="retrain", method="retrain"), exact=evidence)


def earlier() -> Audit:
    """An audit of the schema before controls."""
    base = judged(Decision.PASS)
    known = tuple(value for value in base.metrics if value.name != "FORGET_SHARE")
    old = tuple(rule for rule in base.verdict.rules if rule.metric != "FORGET_SHARE")
    return replace(base, metrics=known, schema=EARLIER_SCHEMA, verdict=replace(base.verdict, rules=old, controls=()))


def everything_undefined() -> Audit:
    """Nothing could be measured, nothing is recorded, every rule is undecided."""
    why = "no sample of the forget set (0 of 0)"
    names = ("RA", "UA", "TA", "GA", "WG", "EO", "DP", "EP", "MIA", "MIA_AUC")
    metrics = tuple(MetricValue(name, CANDIDATE, None, 0, why_missing=why) for name in names)
    outcomes = tuple(
        rule(f"rule-{name}", name, Decision.INCONCLUSIVE, None, None, {"max": 0.3}, n=0, reason=f"{name} is undefined: {why}.")
        for name in names
    )
    return Audit(
        subject=ModelRef("predictions.csv", ""),
        data=DataRecord("00ff" * 16, {"retain": 0, "forget": 0, "val": 0, "test": 0}),
        forget=ForgetRecord(0, "", ()),
        metrics=metrics,
        verdict=Verdict(Decision.INCONCLUSIVE, "default", "d00d" * 16, outcomes),
    )


def multi_class(classes: int = 3, attributes: int = 2, label: str = "class") -> Audit:
    """Several classes and attribute values, two references, one empty cell."""
    base = judged(Decision.PASS)
    groups = [Group(y, s) for y in range(classes) for s in range(attributes)]
    values: list[MetricValue] = []
    counts = []
    for i, group in enumerate(groups):
        n = 0 if i == 4 else 20 + 7 * i % 90
        rate = 0.6 + (37 * i % 39) / 100
        counts.append(
            GroupCount(
                group,
                f"{label} {group.target}, attribute {group.attribute}",
                50 + 13 * i,
                50 + 13 * i - (i == 1) * 30,
                (i == 1) * 30,
                10,
                n,
            )
        )
        for shift, subject in ((0.0, CANDIDATE), (0.02, BASELINE), (-0.01, reference(1)), (0.01, reference(2))):
            if n:
                values.append(proportion("accuracy", min(rate + shift, 1.0), n, group=group, subject=subject))
            else:
                values.append(MetricValue("accuracy", subject, None, 0, group=group, why_missing="no test sample of this group"))
    values += [replace(proportion("EO", 0.12, 400), incomplete=True, empty_cells=(groups[4],)), proportion("GA", 0.8, 50)]
    data = replace(base.data, groups=tuple(counts), class_names=(), attribute_names=(), name="Many groups")
    plain = replace(base.references[0], version="2", reweight=False)
    return replace(base, data=data, metrics=tuple(values), references=(plain, *base.references))


def many_groups() -> Audit:
    """9 classes x 7 attribute values: 63 groups."""
    return multi_class(9, 7, "age band")


def hostile(text: str = HOSTILE) -> Audit:
    """Every name that may come from outside holds the text."""
    base = judged(Decision.BREACH)
    outcomes = tuple(replace(o, id=text, reason=text, why=text, needed=text) for o in rules(Decision.BREACH))
    return replace(
        base,
        subject=replace(base.subject, name=text, method=text, parent=text, config={text: text}),
        baseline=replace(base.subject, name=text, config={}),
        data=replace(
            base.data,
            name=text,
            source=text,
            class_names=(text, text),
            attribute_names=(text, text),
            attribute_provenance=text,
            groups=tuple(replace(count, name=text) for count in base.data.groups),
        ),
        forget=replace(base.forget, request={"subject": text, text: text, "ground": text}),
        data_quality=DataCheckReport((CheckResult(text, text, False, True, text),), text, text),
        not_measured=(NotMeasured(text, text),),
        record={"created": text, text: text},
        curves={text: text, "training": {"candidate": [{"epoch": 1, text: 0.5}, {"epoch": 2, text: 0.7}]}, "losses": {text: []}},
        verdict=Verdict(
            Decision.BREACH,
            text,
            text,
            outcomes,
            waivers=({"rule": text, "reason": text},),
            reason=text,
            controls=(ControlOutcome(text, True, Decision.BREACH, (text,), (text,)),),
        ),
        exact=ExactEvidence(False, text),
    )


def curves() -> dict[str, Any]:
    """What an audit stores for charts of curves."""
    edges = [1e-5, 1e-3, 1e-2, 0.1, 1.0, 20.0]
    counts = {
        "candidate": {"retain": [300, 400, 250, 100, 20], "unseen": [20, 25, 22, 23, 15], "forget": [8, 10, 9, 9, 5]},
        "baseline": {"retain": [400, 400, 200, 60, 10], "unseen": [22, 27, 23, 20, 13], "forget": [15, 16, 10, 0, 0]},
    }
    roc = {
        name: {
            "score": "margin",
            "fpr": [0.0, 0.048, 0.1, 0.4, 1.0],
            "tpr": [0.0, *rates, 1.0],
            "operating": [
                {"fpr": 0.001, "tpr": None, "why": "105 unseen samples cannot resolve this rate"},
                {"fpr": 0.1, "tpr": rates[1], "why": None},
            ],
            "positives": 41,
            "negatives": 105,
        }
        for name, rates in (("candidate", (0.05, 0.12, 0.43)), ("baseline", (0.2, 0.35, 0.8)))
    }
    training = {
        "baseline": [
            {"epoch": i, "loss_train": 2.0 / i, "val_accuracy": 1 - 0.5 / i, "learning_rate": 0.1} for i in range(1, 13)
        ],
        "candidate": [{"epoch": i, "loss_retain": 0.2 / i, "val_accuracy": 0.9 + 0.01 * i} for i in range(1, 6)],
    }
    losses = {name: {"edges": edges, "counts": cells} for name, cells in counts.items()}
    return {"schema": "grmu-audit/curves/v1", "losses": losses, "roc": roc, "training": training}


def rich() -> Audit:
    """Everything that a chart is drawn of: losses, ROC, training, fine-tuning on the retain set, layers, radii."""
    base, values = judged(Decision.PASS), []
    for shift, subject in ((0.0, CANDIDATE), (-0.2, BASELINE), (0.05, reference(1))):
        layers = {f"stage{i}.norm": round(0.3 * i + 0.2 + shift, 3) for i in range(1, 6)}
        gap = sum(layers.values()) / 5
        values.append(MetricValue("FAIRNESS_GAP", subject, gap, 497, unit="score", details={"layers": layers}))
        points = [[round(x + shift / 2, 3) for x in (0.5 + 0.05 * e, 0.4 + 0.05 * e, 0.6 + 0.05 * e)] for e in range(6)]
        values.append(MetricValue("RETURN_ACC", subject, points[-1][0], 41, interval=(0.5, 0.9), details={"curve": points}))
        for radius, drop in ((0.004, 0.1), (0.016, 0.35), (0.031, 0.6)):
            values += [proportion(f"{a}@{radius}", 0.92 + shift / 10 - drop * w, 497, subject=subject) for a, w in ATTACKS]
    shares = [share_value(Decision.PASS, (1.13, 0.89))]
    kept = [value for value in base.metrics if value.name != "FORGET_SHARE"]
    return replace(
        base,
        metrics=(*kept, *shares, *values),
        curves=curves(),
        references=(*base.references, replace(base.references[0], version="5", seed=4)),
        verdict=replace(base.verdict, controls=controls(Decision.PASS, 2)),
    )


ATTACKS = (("FGSM", 0.8), ("PGD", 1.0))
"""Attacks of the rich sample, and how much stronger the one is than the other."""


def unjudged() -> Audit:
    """Measured, no policy applied."""
    return replace(judged(Decision.PASS), verdict=None)


ALL = {
    "pass": lambda: judged(Decision.PASS),
    "breach": lambda: judged(Decision.BREACH),
    "inconclusive": lambda: judged(Decision.INCONCLUSIVE),
    "undefined": everything_undefined,
    "multiclass": multi_class,
    "groups63": many_groups,
    "hostile": hostile,
    "long": lambda: hostile("x" * 10_000),
    "unjudged": unjudged,
    "exact": exact,
    "earlier": earlier,
    "rich": rich,
}
"""Every sample by name."""
