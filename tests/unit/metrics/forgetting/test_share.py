"""FORGET_SHARE: what it must be where the answer is known, and when it is undefined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.controls import cheats
from grmu_audit.metrics.forgetting.contrast import ScaledMargins, choose_arm
from grmu_audit.metrics.forgetting.share import DECIDING_SIZE, compare_forgetting, measure_share, measure_shares
from grmu_audit.metrics.scores import margins
from grmu_audit.records import BASELINE, CANDIDATE, SPLITS, Group, Predictions, reference

SPLIT = {name: code for code, name in enumerate(SPLITS)}


def checked(p: Predictions):
    return check_predictions(p)


@pytest.fixture(scope="module")
def models():
    return {kind: checked(example(kind)) for kind in ("unlearned", "baseline", "retrained")}


def share(candidate, before, *references):
    return measure_share(candidate, before, {reference(n): model for n, model in enumerate(references, 1)})


def with_logits(p: Predictions, logits: np.ndarray) -> Predictions:
    return replace(p, logits=logits, prediction=logits.argmax(axis=1))


def small(forget=40, retained=40, unseen=60, *, effect=0.0, seed=0, groups=1, noise=1.0) -> dict[str, Predictions]:
    """Before, candidate and retrained models of one or more groups; the candidate makes ``effect`` of the retrained change."""
    rng = np.random.default_rng(seed)
    sizes = {"forget": forget, "retain": retained, "test": unseen}
    split = np.concatenate([np.repeat(SPLIT[name], count) for name, count in sizes.items()] * groups)
    target = np.repeat(np.arange(groups), sum(sizes.values()))
    n = len(split)
    base = rng.normal(2.0, 1.0, n) + 2.0 * (split < 2)
    trained = -2.0 * (split == SPLIT["forget"]) + rng.normal(0, noise, n)
    shifts = {"before": 0.0, "retrained": trained, "candidate": effect * trained + rng.normal(0, 0.2 * noise, n)}
    made = {}
    for name, shift in shifts.items():
        logits = np.zeros((n, max(groups, 2)))
        logits[np.arange(n), target] = base + shift
        made[name] = Predictions(
            np.array([f"s{i}" for i in range(n)]), split, target, np.zeros(n, dtype=np.int64),
            logits.argmax(axis=1), max(groups, 2), 1, logits=logits,
        )  # fmt: skip
    return made


def test_a_model_that_did_nothing_has_0_and_the_reference_has_1(models):
    before, retrained = models["baseline"], models["retrained"]
    nothing, whole = share(before, before, retrained), share(retrained, before, retrained)
    assert nothing.estimate == 0.0
    assert nothing.statistic.limits(0.1) == (0.0, 0.0)
    assert whole.estimate == pytest.approx(1.0)
    assert whole.statistic.limits(0.1) == pytest.approx((1.0, 1.0))


def test_scale_of_the_outputs_counts_for_nothing(models):
    before, retrained, unlearned = models["baseline"], models["retrained"], models["unlearned"]
    for factor in (0.3, 3.0):
        scaled = checked(with_logits(unlearned.predictions, unlearned.predictions.logits * factor))
        assert share(scaled, before, retrained).estimate == pytest.approx(share(unlearned, before, retrained).estimate)
    for cheat in cheats(before.predictions).values():
        found = share(checked(cheat), before, retrained)
        assert found.statistic.limits(0.1)[0] < 0.25


def test_a_shift_that_everybody_of_the_group_gets_counts_for_nothing():
    """Arm R: damage to forget and retained samples alike cancels."""
    tables = small(noise=0.1)
    damaged = tables["before"].logits - 1.5 * (tables["before"].split < 2)[:, None] * np.eye(2)[tables["before"].target]
    found = share(checked(with_logits(tables["before"], damaged)), checked(tables["before"]), checked(tables["retrained"]))
    assert abs(found.estimate) < 0.12


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0])
def test_it_estimates_the_part_of_the_change_that_was_made(effect):
    tables = small(400, 400, 400, effect=effect)
    found = share(*(checked(tables[name]) for name in ("candidate", "before", "retrained")))
    low, high = found.statistic.limits(0.01)
    assert low <= effect <= high
    assert found.estimate == pytest.approx(effect, abs=0.15)


def by_hand(candidate: Predictions, before: Predictions, retrained: Predictions) -> float:
    """The share with pandas, group by group, from the definition."""
    frame = pd.DataFrame({"split": candidate.split, "group": candidate.group})
    unseen = (frame["split"] >= SPLIT["val"]).to_numpy()
    for name, p in (("candidate", candidate), ("before", before), ("retrained", retrained)):
        m = margins(p.logits, p.target)
        frame[name] = m / np.abs(m[unseen]).mean()
    result = {}
    forget = frame[frame["split"] == SPLIT["forget"]]
    for name in ("candidate", "retrained"):
        frame["d"] = frame[name] - frame["before"]
        total = 0.0
        for group, rows in frame[frame["split"] == SPLIT["forget"]].groupby("group"):
            own = frame[frame["group"] == group]
            kept, new = own[own["split"] == SPLIT["retain"]], own[own["split"] >= SPLIT["val"]]
            against = kept if len(kept) >= 20 else new
            total += len(rows) / len(forget) * (rows["d"].mean() - against["d"].mean())
        result[name] = total
    return result["candidate"] / result["retrained"]


@pytest.mark.parametrize("sizes", [(40, 40, 60), (40, 10, 60), (25, 19, 30)])
@pytest.mark.parametrize("groups", [1, 3])
def test_it_agrees_with_the_definition_written_down_independently(sizes, groups):
    tables = small(*sizes, effect=0.7, groups=groups)
    found = share(*(checked(tables[name]) for name in ("candidate", "before", "retrained")))
    assert found.estimate == pytest.approx(by_hand(tables["candidate"], tables["before"], tables["retrained"]))


def test_its_variances_agree_with_a_bootstrap_over_samples():
    tables = small(100, 80, 120, effect=0.6, groups=2)
    whole = [tables[name] for name in ("candidate", "before", "retrained")]
    found = share(*map(checked, whole)).statistic
    rng, drawn = np.random.default_rng(1), []
    strata = [np.flatnonzero((whole[0].split == s) & (whole[0].group == g)) for s in (0, 1, 3) for g in (0, 1)]
    for _ in range(400):
        rows = np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])
        again = [
            replace(p, **{key: getattr(p, key)[rows] for key in ("split", "target", "attribute", "prediction", "logits")})
            for p in whole
        ]
        again = [replace(p, ids=np.array([f"r{i}" for i in range(len(rows))])) for p in again]
        one = share(*map(checked, again)).statistic
        drawn.append((one.numerator, one.denominator))
    spread = np.cov(np.array(drawn).T)
    assert found.numerator_variance == pytest.approx(spread[0, 0], rel=0.25)
    assert found.denominator_variance == pytest.approx(spread[1, 1], rel=0.25)
    assert found.covariance == pytest.approx(spread[0, 1], rel=0.35)


def test_people_are_the_unit_where_they_are_known():
    tables = small(80, 80, 80, effect=0.5)
    single = share(*(checked(tables[name]) for name in ("candidate", "before", "retrained")))
    n = len(tables["before"])
    twins = {name: replace(p, subject=np.arange(n) // 4) for name, p in tables.items()}
    found = share(*(checked(twins[name]) for name in ("candidate", "before", "retrained")))
    assert found.estimate == single.estimate
    assert found.statistic.persons == 20
    assert found.basis.persons == 20
    few = {name: replace(p, subject=np.arange(n) // 5) for name, p in tables.items()}
    undefined = share(*(checked(few[name]) for name in ("candidate", "before", "retrained")))
    assert undefined.statistic is None
    assert undefined.reason.startswith("fewer than 20 people in the forget set: retraining (exact evidence)")


def test_comparison_samples_are_retained_where_20_are_kept_else_unseen():
    for retained, kind in ((20, "compared_with_retained"), (19, "compared_with_unseen")):
        tables = small(40, retained, 60, effect=0.5)
        found = share(*(checked(tables[name]) for name in ("candidate", "before", "retrained")))
        assert found.basis.details[kind] == 40
        assert sum(found.basis.details[k] for k in ("compared_with_retained", "compared_with_unseen")) == 40


def test_a_group_without_comparison_samples_leaves_the_share_incomplete():
    tables = small(60, 60, 60, effect=0.5, groups=2)
    rows = ~((tables["before"].target == 1) & (tables["before"].split != SPLIT["forget"]))
    cut = {
        name: replace(
            p, **{key: getattr(p, key)[rows] for key in ("ids", "split", "target", "attribute", "prediction", "logits")}
        )
        for name, p in tables.items()
    }
    found = share(*(checked(cut[name]) for name in ("candidate", "before", "retrained")))
    assert found.basis.empty_cells == (Group(1, 0),)
    arm = choose_arm(checked(cut["before"]), cut["before"].mask("forget"))
    assert len(arm.forget) == 60


def without_logits(p: Predictions) -> Predictions:
    return replace(p, logits=None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: {**t, "retrained": None}, "no reference model was given"),
        (lambda t: {**t, "candidate": without_logits(t["candidate"])}, "needs logits or probabilities"),
        (lambda t: {**t, "retrained": t["before"]}, "no measurable trace: retraining changes the forget set by 0.000"),
        (lambda t: {**t, "retrained": with_logits(t["before"], 2 * t["before"].logits)}, "no measurable trace"),
        (
            lambda t: {**t, "candidate": with_logits(t["candidate"], 0 * t["candidate"].logits)},
            "all outputs of a model are equal",
        ),
    ],
)
def test_undefined_with_the_reason(change, reason):
    tables = change(small(effect=0.5))
    references = [checked(tables["retrained"])] if tables["retrained"] is not None else []
    found = share(checked(tables["candidate"]), checked(tables["before"]), *references)
    assert found.statistic is None
    assert reason in found.reason


def test_fewer_than_twenty_samples_are_undefined():
    tables = small(19, effect=0.5)
    found = share(*(checked(tables[name]) for name in ("candidate", "before", "retrained")))
    assert found.reason.startswith("fewer than 20 samples in the forget set: ")


def test_an_undecided_trace_names_the_size_that_would_decide():
    tables = small(20, 200, 200, effect=0.5, noise=12.0, seed=3)
    found = share(*(checked(tables[name]) for name in ("candidate", "before", "retrained")))
    assert found.statistic is None
    assert "no measurable trace" in found.reason
    need = found.basis.details[DECIDING_SIZE]
    assert f"about {need:,} forget samples would decide" in found.reason


def test_groups_and_other_scores_stand_beside_the_share(models):
    found = measure_shares(models["unlearned"], models["baseline"], {reference(1): models["retrained"]})
    assert [outcome.group for outcome in found] == [None, Group(0, 1), Group(1, 0)]
    variants = found[0].basis.details["variants"]
    assert set(variants) == {f"{score}, {arm}" for score in ("scaled margin", "margin", "rank") for arm in "RU"} | {
        "scaled margin, T"
    }
    assert variants["scaled margin, R"]["value"] == pytest.approx(found[0].estimate)


def test_each_of_several_references_is_compared_with_the_others(models):
    second = checked(example("retrained", seed=1))
    everything = {CANDIDATE: models["unlearned"], BASELINE: models["baseline"]}
    everything |= {reference(1): models["retrained"], reference(2): second}
    found = dict(compare_forgetting(everything, (reference(1), reference(2))))
    assert list(found) == [CANDIDATE, reference(1), reference(2)]
    assert found[reference(1)][0].estimate == pytest.approx(1.0, abs=0.1)
    assert found[CANDIDATE][0].basis.details["of_each_reference"][0] == pytest.approx(found[reference(1)][0].estimate)
    alone = dict(compare_forgetting({k: v for k, v in everything.items() if k != reference(2)}, (reference(1),)))
    assert list(alone) == [CANDIDATE]
    none = dict(compare_forgetting({CANDIDATE: models["unlearned"]}, ()))
    assert none[CANDIDATE][0].reason == "needs the model before unlearning"


def test_without_an_unseen_sample_margins_have_no_scale() -> None:
    assert ScaledMargins.of(np.array([1.0, -2.0]), np.array([False, False])) is None


def test_only_comparisons_that_hold_every_forget_sample_stand_beside_the_share():
    tables = small(60, 60, 60, effect=0.5, groups=2)
    moved = {name: replace(p, split=np.where((p.target == 1) & (p.split > 1), 0, p.split)) for name, p in tables.items()}
    by_kind = {}
    for kind, group in (("all", tables), ("one without unseen samples", moved)):
        candidate, before, retrained = (checked(group[name]) for name in ("candidate", "before", "retrained"))
        by_kind[kind] = measure_shares(candidate, before, {reference(1): retrained})[0].basis.details["variants"]
    scores = ("scaled margin", "margin", "rank")
    assert set(by_kind["all"]) == {*(f"{score}, {arm}" for score in scores for arm in "RU"), "scaled margin, T"}
    assert set(by_kind["one without unseen samples"]) == {f"{score}, R" for score in scores}


def test_without_retained_samples_there_is_no_share_beside_those_of_unseen_ones():
    tables = small(60, 0, 60, effect=0.5)
    candidate, before, retrained = (checked(tables[name]) for name in ("candidate", "before", "retrained"))
    (whole, _) = measure_shares(candidate, before, {reference(1): retrained})
    variants = whole.basis.details["variants"]
    assert set(variants) == {f"{score}, U" for score in ("scaled margin", "margin", "rank")}
    assert variants["scaled margin, U"]["value"] == pytest.approx(whole.estimate)
