"""DELETION_AUC: who was deleted, told from the version before and the version after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from grmu_audit.metrics import check_predictions, measure_models
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.controls import cheats
from grmu_audit.metrics.forgetting.deletion import attack_deletion, compare_versions
from grmu_audit.metrics.scores import margins
from grmu_audit.records import BASELINE, CANDIDATE, SPLITS, AuditedModel, AuditInputs, Group, ModelRef, Predictions, reference
from grmu_audit.records.audit import MeasureOptions

SPLIT = {name: code for code, name in enumerate(SPLITS)}


def tables(forget=60, retained=40, unseen=60, *, fall=1.0, groups=2, seed=0) -> tuple[Predictions, Predictions]:
    """Before and after: the margins of forget samples fall by ``fall`` of a standard deviation on average."""
    rng = np.random.default_rng(seed)
    sizes = {"forget": forget, "retain": retained, "test": unseen}
    split = np.concatenate([np.repeat(SPLIT[name], count) for name, count in sizes.items()] * groups)
    target = np.repeat(np.arange(groups), sum(sizes.values()))
    n = len(split)
    start = rng.normal(2.0, 1.0, n)
    end = start + rng.normal(0.0, 0.5, n) - 0.5 * fall * (split == SPLIT["forget"])
    made = []
    for margin in (start, end):
        logits = np.zeros((n, max(groups, 2)))
        logits[np.arange(n), target] = margin
        ids = np.array([f"s{i}" for i in range(n)])
        attribute = np.zeros(n, dtype=np.int64)
        made.append(Predictions(ids, split, target, attribute, logits.argmax(1), max(groups, 2), 1, logits=logits))
    return made[0], made[1]


def attack(before: Predictions, after: Predictions):
    return attack_deletion(check_predictions(after), check_predictions(before))


def by_hand(before: Predictions, after: Predictions) -> float:
    """scikit-learn's area, comparison samples weighted group by group."""
    frame = pd.DataFrame({"split": after.split, "group": after.group})
    unseen = (frame["split"] >= SPLIT["val"]).to_numpy()
    sides = [margins(p.logits, p.target) for p in (before, after)]
    frame["score"] = sides[0] / np.abs(sides[0][unseen]).mean() - sides[1] / np.abs(sides[1][unseen]).mean()
    parts, whole = [], (frame["split"] == SPLIT["forget"]).sum()
    for _, own in frame.groupby("group"):
        gone = own[own["split"] == SPLIT["forget"]]
        kept, new = own[own["split"] == SPLIT["retain"]], own[own["split"] >= SPLIT["val"]]
        against = kept if len(kept) >= 20 else new
        parts.append(gone.assign(truth=1, weight=1.0))
        parts.append(against.assign(truth=0, weight=len(gone) / whole / len(against)))
    both = pd.concat(parts)
    return float(roc_auc_score(both["truth"], both["score"], sample_weight=both["weight"]))


@pytest.mark.parametrize("sizes", [(60, 40, 60), (60, 19, 60), (25, 200, 30)])
@pytest.mark.parametrize("groups", [1, 3])
def test_it_agrees_with_scikit_learn(sizes, groups):
    before, after = tables(*sizes, groups=groups)
    assert attack(before, after)[0].estimate == pytest.approx(by_hand(before, after))


def test_a_version_that_did_nothing_tells_nothing_and_neither_do_flatter_outputs():
    before = example("baseline")
    found = attack(before, before)[0]
    assert found.estimate == pytest.approx(0.5)
    low, high = found.statistic.limits(0.05)
    assert low < 0.5 < high
    flat = cheats(before)["before, logits x 0.3"]
    assert attack(before, flat)[0].estimate == pytest.approx(0.5, abs=0.02)


def test_deleted_samples_are_found_where_their_margins_fell_and_the_interval_covers_the_truth():
    assert attack(*tables(400, 400, 400, fall=4.0))[0].statistic.limits(0.05)[0] > 0.9
    covered = 0
    for seed in range(100):
        found = attack(*tables(fall=0.0, seed=seed))[0].statistic
        low, high = found.limits(0.05)
        covered += low <= 0.5 <= high
        assert 1 <= (high - low) / (2 * 1.96 * found.se) <= 1.1  # and it is hardly wider than the error demands
    assert covered >= 89  # of 100, where 95 are expected


def test_an_area_near_1_from_20_deleted_samples_keeps_room_for_what_they_may_hide():
    found = attack(*tables(20, 40, 60, fall=6.0, groups=1))[0].statistic
    assert found.estimate > 0.99
    assert found.limits(0.05)[0] < 0.96


def test_groups_with_20_people_have_their_own_value():
    found = attack(example("baseline"), example())
    assert [outcome.group for outcome in found] == [None, Group(0, 1), Group(1, 0)]
    assert all(outcome.statistic is not None for outcome in found)
    small, other = tables(25, groups=2)
    split = small.split.copy()
    split[np.flatnonzero((small.target == 1) & (split == SPLIT["forget"]))[:10]] = SPLIT["test"]
    kept = attack(replace(small, split=split), replace(other, split=split))
    assert [outcome.group for outcome in kept] == [None, Group(0, 0)]


def test_people_are_the_unit_where_they_are_known():
    before, after = tables(80, 80, 80)
    person = np.arange(len(before)) // 4
    single = attack(before, after)[0]
    twins = attack(replace(before, subject=person), replace(after, subject=person))[0]
    assert twins.basis.persons == 40
    assert twins.statistic.se == pytest.approx(single.statistic.se, rel=0.5)
    copies = np.repeat(np.arange(len(before)), 4)
    many = [
        replace(
            p,
            ids=np.array([f"c{i}" for i in range(len(copies))]),
            subject=copies,
            **{name: getattr(p, name)[copies] for name in ("split", "target", "attribute", "prediction", "logits")},
        )
        for p in (before, after)
    ]
    assert attack(*many)[0].statistic.se == pytest.approx(single.statistic.se, rel=0.02)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"logits": None}, "needs logits"),
        ({"few": 19}, "fewer than 20 samples"),
        ({"constant": True}, "all outputs of a model are equal"),
    ],
)
def test_where_it_is_undefined_it_says_why(change, reason):
    before, after = tables(change.get("few", 60), groups=1)
    if "logits" in change:
        after = replace(after, logits=None)
    if "constant" in change:
        after = replace(after, logits=np.zeros_like(after.logits))
    found = attack(before, after)[0]
    assert found.estimate is None
    assert reason in found.reason
    only = compare_versions({CANDIDATE: check_predictions(after)})
    assert only[CANDIDATE][0].reason == "needs the model before unlearning"


def test_a_change_is_incomplete_where_a_group_has_nothing_to_be_compared_with():
    fields = ("ids", "split", "target", "attribute", "prediction", "logits")
    models = {}
    for subject, table in zip((BASELINE, CANDIDATE, reference(1)), (*tables(), tables(fall=2.0)[1]), strict=True):
        kept = (table.target == 0) | (table.split == SPLIT["forget"])
        models[subject] = check_predictions(replace(table, **{name: getattr(table, name)[kept] for name in fields}))
    found = compare_versions(models)
    for subject in (CANDIDATE, reference(1), reference(1).as_change()):
        assert found[subject][0].basis.empty_cells == (Group(1, 0),)
        assert found[subject][0].statistic is not None


def test_an_audit_holds_it_for_the_candidate_and_the_references_with_paired_changes():
    models = [AuditedModel(ModelRef(kind, ""), example(kind)) for kind in ("unlearned", "baseline", "retrained")]
    other = AuditedModel(ModelRef("again", ""), example("retrained", seed=1))
    values = measure_models(AuditInputs(models[0], models[1], (models[2], other))).values
    found = {v.subject: v for v in values if v.name == "DELETION_AUC" and v.group is None}
    mean = reference(0).as_change()
    assert set(found) == {
        CANDIDATE, reference(1), reference(2), reference(1).as_change(), reference(2).as_change(), mean,
    }  # fmt: skip
    assert BASELINE not in found
    for number in (1, 2):
        change, one = found[reference(number).as_change()], found[reference(number)]
        assert change.value == pytest.approx(found[CANDIDATE].value - one.value)
        assert change.interval[0] < change.value < change.interval[1]
        assert found[reference(number)].interval[0] > 0.5  # retraining gives deletions away, too
    assert found[mean].value == pytest.approx(np.mean([found[reference(n).as_change()].value for n in (1, 2)]))


def test_a_change_in_the_earlier_form_holds_each_area_as_it_stands_alone():
    """The other model's with its own people, of whom its file may say nothing: audits of then are computed again to the digit."""
    given = zip((BASELINE, CANDIDATE, reference(1)), (*tables(), tables(fall=2.0)[1]), strict=True)
    models = {
        subject: check_predictions(
            replace(table, subject=None if subject == reference(1) else np.arange(len(table)) // 4),
            MeasureOptions(interval_forms=1),
        )
        for subject, table in given
    }
    found = compare_versions(models)
    change = found[reference(1).as_change()][0].statistic
    assert change.left == found[CANDIDATE][0].statistic
    assert change.right == found[reference(1)][0].statistic
    assert change.right.persons is None
    assert change.left.persons is not None
