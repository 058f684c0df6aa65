"""Conformal sets against loops, the promised coverage, intervals against simulation, people, and what is undefined."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grmu_audit.intervals import AtThreshold, Proportion, Statistic
from grmu_audit.intervals.operating_points import LEVELS
from grmu_audit.metrics import check_predictions, compare
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.membership.conformal import CONFORMAL, FEWEST, measure_conformal
from grmu_audit.metrics.outcome import Outcome
from grmu_audit.records import MeasureOptions, Predictions

TRAIN, FORGET, VAL, TEST = range(4)


def named(p: Predictions) -> dict[str, Outcome]:
    return {outcome.metric: outcome for outcome in measure_conformal(check_predictions(p))}


def made(
    rng: np.random.Generator, forget: int = 150, test: int = 400, classes: int = 4, shift: float = 0.0, mix: float = 0.5
) -> Predictions:
    """Forget rows whose true class has ``shift`` more logit, test rows; ``mix``: share of attribute 1 among the forget rows."""
    n = forget + test
    split = np.repeat([FORGET, TEST], [forget, test])
    attribute = (rng.random(n) < np.where(split == FORGET, mix, 0.5)).astype(np.int64)
    target = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), target] += 1.5 - attribute + np.where(split == FORGET, shift, 0.0)
    ids = np.array([f"s{i}" for i in range(n)])
    return Predictions(ids, split, target, attribute, logits.argmax(axis=1), classes, 2, logits=logits)


def slow(p: Predictions, alpha: float = 0.1) -> dict[str, float]:
    """Both values, set by set; the threshold of an unseen row is that of all other test rows."""
    odds = np.exp(p.logits - p.logits.max(axis=1, keepdims=True))  # type: ignore[operator, union-attr]
    scores = 1 - odds / odds.sum(axis=1, keepdims=True)
    test, forget = np.flatnonzero(p.split == TEST), np.flatnonzero(p.split == FORGET)

    def quantile(rows: np.ndarray) -> float:
        own = np.sort(scores[rows, p.target[rows]])
        return float(own[math.ceil(round((len(own) + 1) * (1 - alpha), 9)) - 1])

    def row(i: int, q: float) -> tuple[float, float]:
        chosen = [k for k in range(p.classes) if scores[i, k] <= q]
        return float(p.target[i] in chosen), float(len(chosen))

    groups = {i: (int(p.target[i]), int(p.attribute[i])) for i in range(len(p))}
    known = {groups[i] for i in test}
    forget = np.array([i for i in forget if groups[i] in known])
    whole = quantile(test)
    sides = np.mean([row(i, whole) for i in forget], axis=0)
    unseen = np.zeros(2)
    for group in {groups[i] for i in forget}:
        rows = [i for i in test if groups[i] == group]
        share = sum(groups[i] == group for i in forget) / len(forget)
        unseen += share * np.mean([row(i, quantile(test[test != i])) for i in rows], axis=0)
    return dict(zip(CONFORMAL, (sides - unseen).tolist(), strict=True))


@pytest.mark.parametrize(("seed", "classes", "shift", "mix"), [(0, 2, 0.0, 0.5), (1, 4, 1.0, 0.9), (2, 10, -1.0, 0.1)])
@pytest.mark.parametrize("test", [120, 299, 300])
def test_values_are_those_of_sets_made_one_by_one(seed: int, classes: int, shift: float, mix: float, test: int) -> None:
    p = made(np.random.default_rng(seed), test=test, classes=classes, shift=shift, mix=mix)
    wanted, found = slow(p), named(p)
    assert {name: outcome.estimate for name, outcome in found.items()} == pytest.approx(wanted, abs=1e-12)
    details = found["CONFORMAL_SIZE"].basis.details
    sides = details["forget"], details["unseen_of_groups"]
    assert sides[0]["size"] - sides[1]["size"] == pytest.approx(wanted["CONFORMAL_SIZE"], abs=1e-12)
    assert sides[0]["cr"] == pytest.approx(sides[0]["coverage"] / sides[0]["size"])


def test_equal_scores_on_both_sides_of_the_threshold_are_counted_as_loops_count_them() -> None:
    p = made(np.random.default_rng(4), test=200)
    rounded = replace(p, logits=np.round(p.logits))  # type: ignore[arg-type]
    assert {name: o.estimate for name, o in named(rounded).items()} == pytest.approx(slow(rounded), abs=1e-12)


def test_new_rows_are_covered_as_often_as_promised() -> None:
    """Mean over 300 draws of 150 forget rows like unseen: 90 % to 90.25 %, and no difference to unseen rows."""
    rows = [named(made(np.random.default_rng(seed)))["CONFORMAL_COVERAGE"] for seed in range(300)]
    covered = np.mean([o.basis.details["forget"]["coverage"] for o in rows])
    assert covered == pytest.approx(0.901, abs=0.006)
    assert np.mean([o.estimate for o in rows]) == pytest.approx(0.0, abs=0.006)


def truth(shift: float, mix: float) -> dict[str, float]:
    """Values of a population: 400,000 rows a side."""
    p = made(np.random.default_rng(99), forget=200_000, test=200_000, shift=shift, mix=mix)
    return {name: float(outcome.estimate or 0.0) for name, outcome in named(p).items()}


@pytest.mark.parametrize(("shift", "mix"), [(0.0, 0.5), (1.5, 0.8), (-1.0, 0.2)])
def test_intervals_hold_the_truth(shift: float, mix: float) -> None:
    """In at least 92 % of 300 draws: 95 % nominal, three standard errors of the count are 3.8 %."""
    wanted, held = truth(shift, mix), dict.fromkeys(CONFORMAL, 0)
    for seed in range(300):
        for name, outcome in named(made(np.random.default_rng([7, seed]), shift=shift, mix=mix)).items():
            assert outcome.statistic is not None
            low, high = outcome.statistic.exact().limits(0.05)  # type: ignore[misc]
            held[name] += low <= wanted[name] <= high
    assert all(count / 300 >= 0.92 for count in held.values()), held


def test_what_a_model_remembers_shows_and_what_it_forgot_does_not() -> None:
    values = {kind: named(example(kind))["CONFORMAL_COVERAGE"] for kind in ("baseline", "unlearned", "retrained")}
    low, _ = values["baseline"].statistic.limits(0.05)
    assert low > 0
    low, high = values["retrained"].statistic.limits(0.05)
    assert low < 0 < high


def test_undefined_values_say_why() -> None:
    p = made(np.random.default_rng(0))
    few = made(np.random.default_rng(0), test=FEWEST - 1)
    order = np.lexsort((p.logits[np.arange(len(p)), p.target], p.split))  # type: ignore[index]
    person = np.empty(len(p), dtype=np.int64)
    person[order] = np.arange(len(p)) // 40  # samples of a person are alike
    reasons = {
        "need logits or probabilities": replace(p, logits=None),
        "all samples have the same scores": replace(p, logits=np.zeros_like(p.logits)),
        "no forget sample whose group has test samples (forget n = 0)": replace(p, split=np.full(len(p), TEST)),
        "no forget sample whose group has test samples (forget n = 150)": replace(p, attribute=(p.split == TEST).astype(int)),
        "99 independent test samples, of which prediction sets need 100": few,
        "independent test samples, of which prediction sets need 100": replace(p, subject=person),
    }
    for words, predictions in reasons.items():
        for outcome in named(predictions).values():
            assert outcome.statistic is None
            assert words in outcome.reason
    sure = p.logits.copy()  # type: ignore[union-attr]
    sure[p.split == FORGET] = 0
    sure[p.split == FORGET, 0] = 50
    flat = named(replace(p, logits=sure))["CONFORMAL_SIZE"]
    assert flat.reason == "all prediction sets of the forget rows are of one size: nothing tells how they vary"


def test_people_with_many_samples_widen_the_interval() -> None:
    p = made(np.random.default_rng(5), forget=400, test=2000)
    order = np.lexsort((p.logits[np.arange(len(p)), p.target], p.split))  # type: ignore[index]
    person = np.empty(len(p), dtype=np.int64)
    person[order] = np.arange(len(p)) // 4  # samples of a person are alike
    for name, outcome in named(replace(p, subject=person)).items():
        wide, narrow = outcome.statistic.limits(0.05), named(p)[name].statistic.limits(0.05)
        assert wide[1] - wide[0] > narrow[1] - narrow[0]
        assert outcome.these_people is not None
        assert outcome.these_people.estimate == pytest.approx(outcome.estimate)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(20, 100), st.integers(100, 250), st.integers(2, 5))
def test_the_order_of_rows_changes_nothing_and_intervals_hold_the_estimate(seed: int, forget: int, test: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    p = made(rng, forget, test, k, shift=float(rng.normal()))
    order = rng.permutation(len(p))
    columns = {name: getattr(p, name)[order] for name in ("ids", "split", "target", "attribute", "prediction", "logits")}
    for name, outcome in named(replace(p, **columns)).items():
        same = named(p)[name]
        assert (outcome.estimate is None) == (same.estimate is None)
        if outcome.statistic is None or same.statistic is None:
            continue
        assert outcome.estimate == pytest.approx(same.estimate, abs=1e-12)
        near, far = (outcome.statistic.limits(alpha) for alpha in (0.2, 0.01))
        assert far[0] <= near[0] <= outcome.estimate <= near[1] <= far[1]  # type: ignore[index, operator]
        assert Statistic.from_json(outcome.statistic.to_json()) == outcome.statistic
        assert far == pytest.approx(same.statistic.limits(0.01), abs=1e-9)


def test_changes_against_another_model_are_differences() -> None:
    p, other = check_predictions(example(), MeasureOptions()), example("retrained")
    found = {outcome.metric: outcome for outcome in compare(p, other)}
    for name in CONFORMAL:
        assert found[name].estimate == pytest.approx(named(example())[name].estimate - named(other)[name].estimate)


def test_a_threshold_that_moves_the_estimate_widens_its_limits() -> None:
    known = Proportion(50, 100)
    still = AtThreshold(known, LEVELS, (0.5,) * 4, (0.5,) * 4)
    assert still.limits(0.05) == pytest.approx(known.limits(0.05))
    moved = AtThreshold(known, LEVELS, (0.45,) * 4, (0.5,) * 4)
    low, high = moved.limits(0.05)
    inner = known.limits(0.05)
    assert low == pytest.approx(0.5 - math.hypot(0.5 - inner[0], 0.05))
    assert high == pytest.approx(inner[1])
    wide, narrow = moved.limits(0.05), moved.scaled(100).limits(0.05)
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 5
    assert "levels with" in AtThreshold(known, LEVELS, (0.5,), (0.5,)).defect()
    assert "do not fall" in AtThreshold(known, (0.01, 0.05), (0.5, 0.5), (0.5, 0.5)).defect()
