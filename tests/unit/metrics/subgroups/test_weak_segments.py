"""Weak segments against loops over pandas and scipy, planted weaknesses, false findings, people, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, fisher_exact
from statsmodels.stats.multitest import multipletests

from grmu_audit.auditing.disclosure.external_form import external_form
from grmu_audit.auditing.measurement import measure
from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.checked_predictions import crossed_names
from grmu_audit.metrics.subgroups.weak_segments import SMALLEST, find_weak_segments
from grmu_audit.records import Audit, AuditContext, AuditedModel, AuditInputs, DataRecord, ModelRef, Predictions
from grmu_audit.records.segments import SegmentSearch

SIZES = (("age", 4), ("place", 5), ("sex", 2))
CODES = np.arange(40)


def predictions(seed: int = 0, n: int = 3000, weak: dict[str, int] | None = None, drop: float = 0.3) -> Predictions:
    """Three attributes, accuracy 0.9, ``drop`` less where all attributes of ``weak`` have these values."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 40, n)
    grid = dict(zip([name for name, _ in SIZES], np.unravel_index(code, [size for _, size in SIZES]), strict=True))
    inside = np.logical_and.reduce([grid[name] == value for name, value in (weak or {}).items()] or [np.zeros(n, dtype=bool)])
    target = rng.integers(0, 2, n)
    right = rng.random(n) < np.where(inside, 0.9 - drop, 0.9)
    return Predictions(
        ids=np.array([f"s{i}" for i in range(n)]),
        split=np.where(rng.random(n) < 0.7, 3, rng.integers(0, 3, n)),
        target=target,
        attribute=code,
        prediction=np.where(right, target, 1 - target),
        classes=2,
        attributes=40,
        attribute_names=crossed_names(SIZES),
        factors=SIZES,
    )


def found(p: Predictions, before: Predictions | None = None) -> SegmentSearch:
    checked = check_predictions(p)
    return find_weak_segments(checked, None if before is None else check_predictions(before))


def slow(p: Predictions, before: Predictions) -> dict[str, tuple[float, float]]:
    """Holm's adjusted p-values of both tests by segment, by loops."""
    rows = p.mask("test")
    frame = pd.DataFrame(
        np.stack(np.unravel_index(p.attribute[rows], [s for _, s in SIZES]), axis=1), columns=[n for n, _ in SIZES]
    )
    frame["right"], frame["before"] = p.correct[rows], before.correct[rows]
    kept: dict[str, list[float]] = {}
    for names in [*((name,) for name, _ in SIZES), *combinations([name for name, _ in SIZES], 2)]:
        for values, part in frame.groupby(list(names)):
            rest = frame.drop(part.index)
            if len(part) < SMALLEST or len(rest) < SMALLEST:
                continue
            table = [[(~part.right).sum(), part.right.sum()], [(~rest.right).sum(), rest.right.sum()]]
            lost, gained = (part.before & ~part.right).sum(), (part.right & ~part.before).sum()
            others = fisher_exact(table, alternative="greater").pvalue
            fell = binomtest(int(lost), int(lost + gained), 0.5, alternative="greater").pvalue if lost > gained else 1.0
            below = part.right.mean() < rest.right.mean()
            kept[", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True))] = [others if below else 1.0, fell]
    p_values = np.array(list(kept.values())).T
    adjusted = multipletests(p_values.ravel(), method="holm")[1].reshape(p_values.shape)
    return {name: (float(adjusted[0, i]), float(adjusted[1, i])) for i, name in enumerate(kept)}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_findings_and_p_values_are_those_of_loops_and_scipy(seed: int) -> None:
    p, before = predictions(seed, weak={"age": 2, "sex": 1}), predictions(seed)
    search, wanted = found(p, before), slow(p, before)
    assert (search.segments, search.tests) == (len(wanted), 2 * len(wanted))
    assert {segment.name for segment in search.weak} == {name for name, both in wanted.items() if min(both) <= 0.05}
    assert "age=2, sex=1" in {segment.name for segment in search.weak}
    for segment in search.weak:
        assert (segment.p_others, segment.p_before) == pytest.approx(wanted[segment.name], rel=1e-6)
        low, high = segment.below_others
        assert low <= segment.accuracy - segment.others <= high
        low, high = segment.change
        assert low <= segment.accuracy - segment.before <= high
    best = [min(segment.p_others, segment.p_before) for segment in search.weak]
    assert best == sorted(best)


def test_without_a_version_before_only_the_others_are_compared_with() -> None:
    search = found(predictions(weak={"place": 3}))
    assert search.tests == search.segments
    assert search.weak[0].name == "place=3"
    assert {(segment.before, segment.change, segment.p_before) for segment in search.weak} == {(None, None, None)}


def test_false_findings_are_as_rare_as_the_confidence_says() -> None:
    """Of 200 models that serve all alike, at most 8 % have a finding: 5 % nominal, two standard errors of the count are 3 %."""
    wrong = 0
    for seed in range(200):
        p, rng = predictions(seed, n=1000), np.random.default_rng([seed, 1])
        before = replace(p, prediction=np.where(rng.random(len(p)) < 0.9, p.target, 1 - p.target))
        search = found(p, before)
        assert search.tests == 2 * search.segments > 40
        wrong += bool(search.weak)
    assert wrong <= 16


def with_people(p: Predictions, samples: int) -> Predictions:
    """Every person has so many samples, all alike: right or wrong together, with the same attributes."""
    first = np.arange(len(p)) // samples * samples
    columns = {name: getattr(p, name)[first] for name in ("split", "target", "attribute", "prediction")}
    return replace(p, **columns, subject=np.arange(len(p)) // samples)


def test_samples_of_one_person_count_once() -> None:
    alone = [found(with_people(predictions(seed, n=6000), 1)) for seed in range(30)]
    assert alone == [found(predictions(seed, n=6000)) for seed in range(30)]
    wrong = [bool(found(with_people(predictions(seed, n=6000), 8)).weak) for seed in range(100)]
    naive = [bool(found(replace(with_people(predictions(seed, n=6000), 8), subject=None)).weak) for seed in range(100)]
    assert sum(wrong) <= 10
    assert sum(naive) > 50
    planted = found(with_people(predictions(1, n=20_000, weak={"place": 3}, drop=0.4), 8))
    assert planted.weak[0].name == "place=3"


def test_segments_with_few_samples_or_people_are_not_looked_at() -> None:
    p = predictions(n=400)
    sizes = [slow_size(p, name) for name in (segment.name for segment in found(predictions(n=400, weak={"sex": 1})).weak)]
    assert all(size >= SMALLEST for size in sizes)
    few = replace(p, subject=np.arange(len(p)) % 29)
    assert found(few).segments == 0
    assert found(replace(p, split=np.zeros_like(p.split))) == SegmentSearch(0, 0, SMALLEST, 0.95)
    one = replace(p, attribute=np.zeros_like(p.attribute))
    assert found(one).segments == 0


def slow_size(p: Predictions, name: str) -> int:
    grid = dict(zip([n for n, _ in SIZES], np.unravel_index(p.attribute, [s for _, s in SIZES]), strict=True))
    parts = [grid[part.split("=")[0]] == int(part.split("=")[1]) for part in name.split(", ")]
    return int((np.logical_and.reduce(parts) & p.mask("test")).sum())


def test_one_attribute_without_names_has_its_values() -> None:
    p = predictions(weak={"sex": 1})
    sex = replace(p, attribute=p.attribute % 2, attributes=2, factors=(), attribute_names=("her", "his"))
    assert [segment.name for segment in found(sex).weak] == ["his"]
    assert [segment.name for segment in found(replace(sex, attribute_names=())).weak] == ["attribute 1"]


def test_a_pair_that_is_one_of_its_values_alone_is_looked_at_once() -> None:
    p = predictions()
    age, sex = p.attribute // 10, p.attribute % 2
    nested = replace(p, attribute=age * 4 + age, attributes=16, factors=(("age", 4), ("band", 4)), attribute_names=())
    crossed = replace(p, attribute=age * 2 + sex, attributes=8, factors=(("age", 4), ("sex", 2)), attribute_names=())
    assert found(nested).segments == 4 + 4
    assert found(crossed).segments == 4 + 2 + 8


def test_an_audit_keeps_them_and_its_external_form_does_not() -> None:
    p, before = predictions(weak={"age": 1}), predictions()
    models = (AuditedModel(ModelRef("m", "2"), p), AuditedModel(ModelRef("m", "1"), before))
    audit = measure(AuditInputs(*models), AuditContext(DataRecord("d", {})))
    assert audit.segments == found(p, before)
    assert Audit.from_json(audit.to_json()).segments == audit.segments
    assert external_form(audit, "0" * 64).segments is None
    earlier = {key: item for key, item in audit.to_json().items() if key != "segments"}
    assert Audit.from_json(earlier).to_json() == earlier


def test_the_order_of_rows_changes_nothing() -> None:
    p, before = predictions(weak={"age": 1}), predictions()
    order = np.random.default_rng(2).permutation(len(p))
    moved = []
    for one in (p, before):
        columns = {name: getattr(one, name)[order] for name in ("ids", "split", "target", "attribute", "prediction")}
        moved.append(replace(one, **columns))
    assert found(*moved) == found(p, before)
