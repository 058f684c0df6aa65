"""Metrics against scikit-learn, fairlearn and naive loops, and their undefined cases."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equal_opportunity_difference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from grmu_audit.errors import InputError
from grmu_audit.intervals import estimate
from grmu_audit.intervals.design_effects import design_effect, design_effects
from grmu_audit.metrics import compare, facts, measure
from grmu_audit.metrics.membership.attacks import attacked
from grmu_audit.metrics.membership.forest import forest_calls
from grmu_audit.metrics.scores import attack_scores, roc, standard_error
from grmu_audit.records import BASELINE, CANDIDATE, Group, Predictions


def made(n=600, classes=2, attributes=2, seed=0, subjects=None, scores=True) -> Predictions:
    rng = np.random.default_rng(seed)
    target, attribute = rng.integers(0, classes, n), rng.integers(0, attributes, n)
    logits = rng.normal(size=(n, classes)) + 1.3 * np.eye(classes)[target] * (1 + attribute[:, None])
    return Predictions(
        ids=np.array([f"s{i}" for i in range(n)]),
        split=rng.choice(4, n, p=[0.4, 0.1, 0.2, 0.3]),
        target=target,
        attribute=attribute,
        prediction=logits.argmax(axis=1),
        classes=classes,
        attributes=attributes,
        logits=logits if scores else None,
        subject=None if subjects is None else rng.integers(0, subjects, n),
    )


def named(values, name, subject=CANDIDATE, group=None):
    return next(v for v in values if (v.name, v.subject, v.group) == (name, subject, group))


def test_accuracies_agree_with_scikit_learn():
    p = made(subjects=80)
    values = measure(p)
    for name, split in (("RA", "retain"), ("UA", "forget"), ("TA", "test"), ("VA", "val")):
        rows = p.mask(split)
        assert named(values, name).value == pytest.approx(accuracy_score(p.target[rows], p.prediction[rows]), abs=1e-12)
        assert named(values, name).n == rows.sum()
        assert named(values, name).subjects == len(np.unique(p.subject[rows]))
    for group in (Group(0, 0), Group(1, 1)):
        rows = p.mask("test") & (p.target == group.target) & (p.attribute == group.attribute)
        assert named(values, "accuracy", group=group).value == pytest.approx(p.correct[rows].mean(), abs=1e-12)


@pytest.mark.parametrize("attributes", [2, 3])
def test_gaps_agree_with_fairlearn(attributes):
    p = made(n=2000, attributes=attributes, seed=4)
    rows = p.mask("test")
    columns = {"y_true": p.target[rows], "y_pred": p.prediction[rows], "sensitive_features": p.attribute[rows]}
    values = measure(p)
    assert named(values, "DP").value == pytest.approx(demographic_parity_difference(**columns), abs=1e-12)
    tpr = equal_opportunity_difference(**columns)
    flipped = {"y_true": 1 - p.target[rows], "y_pred": 1 - p.prediction[rows], "sensitive_features": p.attribute[rows]}
    assert named(values, "EP").value == pytest.approx(tpr, abs=1e-12)
    assert named(measure(p, positive_class=0), "EP").value == pytest.approx(equal_opportunity_difference(**flipped), abs=1e-12)
    assert named(values, "EO").value == pytest.approx((tpr + equal_opportunity_difference(**flipped)) / 2, abs=1e-12)


def test_multi_class_gaps_and_the_worst_group_agree_with_loops():
    p = made(n=3000, classes=4, attributes=3, seed=2)
    rows = p.mask("test")
    y, s, right, yhat = p.target[rows], p.attribute[rows], p.correct[rows], p.prediction[rows]
    table = np.array([[right[(y == c) & (s == a)].mean() for a in range(3)] for c in range(4)])
    rates = np.array([[(yhat[s == a] == c).mean() for a in range(3)] for c in range(4)])
    values = measure(p)
    assert named(values, "EO").value == pytest.approx(np.ptp(table, axis=1).mean(), abs=1e-12)
    assert named(values, "EP").value == pytest.approx(np.ptp(table, axis=1).max(), abs=1e-12)
    assert named(values, "DP").value == pytest.approx(np.ptp(rates, axis=1).max(), abs=1e-12)
    assert named(values, "WG").value == pytest.approx(table.min(), abs=1e-12)


def test_paper_variant_binarises_against_the_dominant_group():
    p = made(n=3000, classes=4, attributes=3, seed=2)
    (g,) = (Group(2, 1),)
    values = measure(p, dominant=(g,), variant="paper")
    rows = p.mask("test")
    y, s, right = p.target[rows] == 2, p.attribute[rows] == 1, p.correct[rows]
    wanted = np.mean([abs(right[(y == c) & s].mean() - right[(y == c) & ~s].mean()) for c in (True, False)])
    assert named(values, "EO").value == pytest.approx(wanted, abs=1e-12)
    assert named(values, "EO").details["variant"] == "paper"
    assert named(measure(p, dominant=(g,)), "EO").details["paper"] == pytest.approx(wanted, abs=1e-12)
    called = p.prediction[rows] == 2
    assert named(values, "DP").value == pytest.approx(abs(called[s].mean() - called[~s].mean()), abs=1e-12)


def test_weighted_auc_agrees_with_scikit_learn_for_every_score():
    p = made(n=1500, seed=7)
    forget, test, group = p.mask("forget"), p.mask("test"), p.group
    weight = np.zeros(len(p))
    for g in np.unique(group):
        rows = test & (group == g)
        weight[rows] = (forget & (group == g)).sum() / rows.sum()
    used = forget | test
    weights = np.where(forget, 1.0, weight)[used]
    details = named(measure(p), "MIA_AUC").details["scores"]
    for name, score in attack_scores(p).items():
        assert details[name] == pytest.approx(roc_auc_score(forget[used], score[used], sample_weight=weights), abs=1e-9)
    assert named(measure(p, attack_score="entropy"), "MIA_AUC").value == pytest.approx(details["entropy"])


def test_attack_scores_follow_their_definitions():
    p = made(n=50, classes=3)
    prob = np.exp(p.logits) / np.exp(p.logits).sum(axis=1, keepdims=True)
    own = prob[np.arange(50), p.target]
    scores = attack_scores(p)
    others = np.where(np.arange(3) == p.target[:, None], 0, prob * np.log(1 - prob)).sum(axis=1)
    assert scores["margin"] == pytest.approx(np.log(own) - np.log(1 - own), abs=1e-9)
    assert scores["entropy"] == pytest.approx((prob * np.log(prob)).sum(axis=1), abs=1e-9)
    assert scores["modified_entropy"] == pytest.approx((1 - own) * np.log(own) + others, abs=1e-9)
    assert scores["loss"] == pytest.approx(np.log(own), abs=1e-9)


def test_delong_standard_error_agrees_with_the_bootstrap():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.7, 1, 150), rng.normal(0, 1, 200)
    curve = roc(a, b, np.ones(200))
    draws = [roc(rng.choice(a, 150), rng.choice(b, 200), np.ones(200)).value for _ in range(800)]
    assert standard_error(curve.influence, None) == pytest.approx(np.std(draws), rel=0.1)


def test_forest_is_seeded_and_balanced_draws_members_down():
    rng = np.random.default_rng(1)
    member, other, asked = rng.exponential(1, 400), rng.exponential(1, 60), rng.exponential(1, 200)
    balanced = forest_calls(member, other, asked, seed=3, balanced=True)
    assert np.array_equal(balanced, forest_calls(member, other, asked, seed=3, balanced=True))
    assert balanced.mean() > forest_calls(member, other, asked, seed=3, balanced=False).mean() + 0.1


def test_a_change_is_paired_and_rows_are_aligned_by_id():
    p, q = made(seed=1), made(seed=1)
    q = replace(q, logits=q.logits + np.random.default_rng(9).normal(size=q.logits.shape))
    q = replace(q, prediction=q.logits.argmax(axis=1))
    order = np.random.default_rng(2).permutation(len(p))
    fields = ("ids", "split", "target", "attribute", "prediction", "logits")
    shuffled = replace(q, **{f: getattr(q, f)[order] for f in fields})
    straight = compare(p, q, subject=BASELINE.as_change())
    assert straight == compare(p, shuffled, subject=BASELINE.as_change())
    a, b = measure(p), measure(q)
    for value in straight:
        if value.value is None:
            assert named(a, value.name, group=value.group).value is None
            continue
        expected = named(a, value.name, group=value.group).value - named(b, value.name, group=value.group).value
        assert value.value == pytest.approx(expected, abs=1e-9)
        assert value.subject == BASELINE.as_change()
    ta = named(straight, "TA", BASELINE.as_change())
    rows = p.mask("test")
    assert ta.statistic["only_candidate"] == (p.correct & ~q.correct)[rows].sum()
    apart = named(a, "TA").interval[1] - named(b, "TA").interval[0]
    assert ta.interval[1] < apart


def test_swapping_two_models_mirrors_every_change():
    p = made(seed=1)
    q = replace(
        p, prediction=np.where(np.arange(len(p)) % 7 == 0, 1 - p.prediction, p.prediction), logits=p.logits[:, ::-1].copy()
    )
    for one, two in zip(compare(p, q, subject="x"), compare(q, p, subject="x"), strict=True):
        if one.value is None or two.value is None:
            assert one.value is two.value
            continue
        assert one.value == pytest.approx(-two.value, abs=1e-12)
        assert one.interval == pytest.approx((-two.interval[1], -two.interval[0]), abs=1e-9)


def test_other_samples_are_refused_by_row_and_without_an_id():
    p = made()
    with pytest.raises(InputError, match="hold 600 and 599 rows"):
        compare(p, _first(p, 599), subject="x")
    other = p.ids.copy()
    other[4] = "stranger"
    with pytest.raises(InputError, match="row 5 of the first is not in the second") as caught:
        compare(p, replace(p, ids=other), subject="x")
    assert "s4" not in str(caught.value)
    target = p.target.copy()
    target[2] = 1 - target[2]
    with pytest.raises(InputError, match="another target for the same sample: first in row 3"):
        compare(p, replace(p, target=target), subject="x")


def _first(p: Predictions, n: int) -> Predictions:
    fields = ("ids", "split", "target", "attribute", "prediction", "logits", "loss", "subject")
    return replace(p, **{f: None if getattr(p, f) is None else getattr(p, f)[:n] for f in fields})


def test_dominant_groups_are_the_largest_share_with_ties():
    p = made()
    forget = p.mask("forget")
    counts = np.bincount(p.group[forget], minlength=4)
    assert facts(p).dominant == tuple(Group(int(c) // 2, int(c) % 2) for c in np.flatnonzero(counts == counts.max()))
    few = replace(p, split=np.where(np.arange(len(p)) < 2, 1, 0), target=np.where(np.arange(len(p)) == 0, 1, 0))
    assert len(facts(replace(few, attribute=np.zeros(len(p), dtype=np.int64))).dominant) == 2


def test_design_effect_of_repeated_samples_and_of_independent_ones():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.7
    repeated, person = np.repeat(right, 10), np.repeat(np.arange(400), 10)
    assert design_effect(repeated, person) == pytest.approx(10, rel=0.01)
    assert design_effect(right, np.arange(400)) == pytest.approx(1.0, abs=1e-9)
    assert design_effect(right, None) == 1.0
    assert design_effect(np.ones(40), np.repeat([0, 1], 20)) == pytest.approx(20.0)
    assert design_effect(np.ones(4), np.zeros(4, dtype=np.int64)) == pytest.approx(4.0)
    several = design_effects(repeated, np.repeat([0, 1], 2000), 3, person)
    assert several[:2] == pytest.approx([10, 10], rel=0.01)
    assert several[2] == 1.0


def test_a_subject_column_widens_the_interval():
    p = made(n=200, seed=3)
    tall = Predictions(
        **{f: np.repeat(getattr(p, f), 5, axis=0) for f in ("split", "target", "attribute", "prediction", "logits")},
        ids=np.array([f"s{i}" for i in range(1000)]), classes=2, attributes=2,
    )  # fmt: skip
    naive, honest = measure(tall), measure(replace(tall, subject=np.repeat(np.arange(200), 5)))
    single = measure(p)
    for name in ("TA", "GA", "EO", "MIA_AUC"):
        assert named(honest, name).value == pytest.approx(named(naive, name).value)
        width = [np.diff(named(v, name).interval)[0] for v in (naive, honest, single)]
        assert width[0] * 1.5 < width[1]
        assert width[1] == pytest.approx(width[2], rel=0.2)  # few persons: Student's quantile


def test_what_is_missing_makes_values_undefined_with_a_reason():
    p = made(scores=False)
    values = measure(p)
    for name in ("MIA", "MIA_PAPER", "MIA_AUC"):
        assert named(values, name).value is None
        assert "needs logits" in named(values, name).why_missing
    no_forget = replace(made(), split=np.where(made().split == 1, 0, made().split))
    values = measure(no_forget)
    for name in ("UA", "GA", "UA_GA_GAP", "MIA", "MIA_PAPER", "MIA_AUC"):
        assert named(values, name).value is None
        assert "no forget sample" in named(values, name).why_missing
    one_value = replace(made(), attribute=np.zeros(600, dtype=np.int64), attributes=1)
    for name in ("EO", "DP", "EP"):
        assert "fewer than two attribute values" in named(measure(one_value), name).why_missing
    no_test = replace(made(), split=np.where(made().split == 3, 0, made().split))
    for name in ("TA", "GA", "WG", "EO", "MIA_AUC"):
        assert named(measure(no_test), name).value is None
        assert named(measure(no_test), name).why_missing
    losses = replace(made(scores=False), loss=np.random.default_rng(0).exponential(size=600))
    assert named(measure(losses), "MIA").value is not None
    assert "loss" in named(measure(losses), "MIA_AUC").details["scores"]
    assert named(measure(losses, attack_score="loss"), "MIA_AUC").value is not None


def test_forget_samples_without_unseen_counterparts_are_named():
    p = made(n=800)
    group = p.group
    split = np.where((p.split == 3) & (group == 3), 2, p.split)
    value = named(measure(replace(p, split=split)), "MIA_AUC")
    assert value.incomplete
    assert value.empty_cells == (Group(1, 1),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.full((600, 2), np.nan)}, "a logit that is NaN or infinite in rows 1, 2, 3, 4, 5 and 595 more"),
        ({"logits": np.full((600, 3), 1.0)}, "logits have 3 columns for 2 classes"),
        ({"target": np.full(600, 7)}, "target outside 0..1"),
        ({"split": np.full(600, -1)}, "split outside 0..3"),
        ({"attribute": np.zeros(5, dtype=np.int64)}, "attribute has 5 rows, ids have 600"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        measure(replace(made(), **change))


def test_unknown_choices_are_refused():
    with pytest.raises(InputError, match="unknown variant 'papr'"):
        measure(made(), variant="papr")
    with pytest.raises(InputError, match="unknown attack score 'margn'"):
        measure(made(), attack_score="margn")


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(2, 3),
    st.integers(1, 3),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 1e30, 1e300]),
)
def test_nothing_crashes_warns_or_becomes_nan(n, classes, attributes, seed, clustered, size):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * size
    p = Predictions(
        ids=np.array([str(i) for i in range(n)]), split=rng.integers(0, 4, n), target=rng.integers(0, classes, n),
        attribute=rng.integers(0, attributes, n), prediction=logits.argmax(axis=1), classes=classes, attributes=attributes,
        logits=logits, subject=rng.integers(0, 3, n) if clustered else None,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = facts(p)
        attack = attacked(f, forests=False)
        from grmu_audit.metrics.measure import values_of

        values = values_of(f, attack, subject=CANDIDATE, confidence=0.95)
    for v in values:
        assert (v.value is None) <= (v.why_missing is not None)
        if v.value is not None:
            assert np.isfinite(v.value)
            assert v.interval[0] <= v.value <= v.interval[1]
            assert estimate(v.statistic) == pytest.approx(v.value)
            assert v.interval[1] - v.interval[0] > 0


def test_thousands_of_groups_of_one_sample_do_not_hang():
    n = 20_000
    p = Predictions(
        ids=np.arange(n).astype(str),
        split=np.arange(n) % 4,
        target=np.arange(n) % 2,
        attribute=np.arange(n),
        prediction=np.zeros(n, dtype=np.int64),
        classes=2,
        attributes=n,
    )
    values = measure(p)
    assert named(values, "WG").value == 0.0
    assert named(values, "WG").incomplete
