"""Every request of a lineage: what an earlier version forgot and a later one brought back is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.forgetting.sequence import measure_history, measure_sequence
from grmu_audit.metrics.forgetting.share import share_on
from grmu_audit.records import SPLITS, AuditedModel, AuditInputs, MeasureOptions, ModelRef, Predictions
from grmu_audit.records.inputs import EarlierRequest

SIZES = {"first": 60, "second": 60, "retain": 200, "test": 300}


def table(*, knows_first: bool, knows_second: bool, seed: int) -> Predictions:
    """A model under the second request, whose forget set is the union of both; margins are larger where it knows the rows."""
    rows = np.repeat(np.arange(4), list(SIZES.values()))
    known = np.array([knows_first, knows_second, True, False])[rows]
    base = np.random.default_rng(0).normal(1.5, 1.0, len(rows))
    margin = base + 2.5 * known + np.random.default_rng([9, seed]).normal(0, 0.4, len(rows))
    logits = np.stack([np.zeros(len(rows)), margin], axis=1)
    split = np.array([SPLITS.index(name) for name in ("forget", "forget", "retain", "test")])[rows]
    ones = np.ones(len(rows), dtype=np.int64)
    ids = np.array([f"s{i}" for i in range(len(rows))])
    return Predictions(ids, split, ones, 0 * ones, logits.argmax(axis=1), 2, 1, logits=logits)


ROOT = table(knows_first=True, knows_second=True, seed=1)
SERVED = table(knows_first=False, knows_second=True, seed=2)
RETRAINED = table(knows_first=False, knows_second=False, seed=3)
EARLIER = (EarlierRequest("m/2", frozenset(ROOT.ids[:60].tolist()), ROOT, SERVED),)


def sequence(candidate: Predictions, earlier=EARLIER):
    checked = check_predictions(candidate)
    return measure_sequence(checked, check_predictions(SERVED), [check_predictions(RETRAINED)], earlier)


def test_a_version_that_keeps_the_first_request_forgotten_has_a_share_near_1() -> None:
    found = sequence(table(knows_first=False, knows_second=False, seed=4))
    assert found.estimate == pytest.approx(1.0, abs=0.15)
    rows = found.basis.details["requests"]
    assert [(row["served_by"], row["n"]) for row in rows] == [("m/2", 60), ("this version", 60)]
    assert rows[0]["share"]["when_served"] == pytest.approx(1.0, abs=0.15)


def test_a_version_that_brings_the_first_request_back_has_a_share_near_0() -> None:
    found = sequence(table(knows_first=True, knows_second=False, seed=4))
    assert found.estimate == pytest.approx(0.0, abs=0.15)
    low, high = found.statistic.limits(0.1)
    assert low < 0.25
    assert high < 0.5
    first, second = found.basis.details["requests"]
    assert first["accuracy"]["now"] > first["accuracy"]["served"]
    assert second["share"]["now"] == pytest.approx(1.0, abs=0.15)


def test_each_request_is_measured_against_the_version_before_it() -> None:
    candidate = table(knows_first=True, knows_second=False, seed=4)
    checked, root = check_predictions(candidate), check_predictions(ROOT)
    rows = np.arange(len(candidate.ids)) < 60
    by_hand = share_on(rows, checked, root, [check_predictions(RETRAINED)])
    assert sequence(candidate).estimate == by_hand.estimate


def test_a_small_request_leaves_the_whole_undefined_with_its_name() -> None:
    few = (replace(EARLIER[0], ids=frozenset(ROOT.ids[:10].tolist())),)
    found = sequence(table(knows_first=False, knows_second=False, seed=4), few)
    assert found.statistic is None
    assert found.reason.startswith("the share of the request that m/2 served: fewer than 20 samples")


def test_without_earlier_requests_it_is_the_share_itself() -> None:
    found = sequence(table(knows_first=False, knows_second=False, seed=4), ())
    assert [row["served_by"] for row in found.basis.details["requests"]] == ["this version"]
    checked = check_predictions(table(knows_first=False, knows_second=False, seed=4))
    forget = checked.predictions.mask("forget")
    assert found.estimate == share_on(forget, checked, check_predictions(SERVED), [check_predictions(RETRAINED)]).estimate


def test_a_request_whose_version_before_was_purged_leaves_the_worst_share_undefined() -> None:
    lost = EarlierRequest("m/2", EARLIER[0].ids, None, None, "m/1 was purged")
    found = sequence(table(knows_first=True, knows_second=False, seed=4), (lost,))
    assert found.statistic is None
    assert found.reason.startswith("purged: m/1 was purged")
    first, second = found.basis.details["requests"]
    assert (first["served_by"], first["n"], first["share"]["now"]) == ("m/2", 60, None)
    assert first["why_missing"] == "purged: m/1 was purged"
    assert second["n"] == 60, "its rows are no rows of this version's own request"


def test_the_history_of_a_lineage_holds_every_version_that_there_is() -> None:
    own = table(knows_first=True, knows_second=False, seed=4)
    models = [AuditedModel(ModelRef("m", str(version)), p) for version, p in enumerate((ROOT, SERVED, own), 1)]
    for baseline, kept in ((models[1], (0, 1, 2)), (None, (0, 2))):
        inputs = AuditInputs(models[2], baseline, root=models[0])
        found = measure_history(check_predictions(own), inputs, MeasureOptions())
        assert [row["version"] for row in found] == [models[place].ref.label for place in kept]
        for row, place in zip(found, kept, strict=True):
            p = models[place].predictions
            for name, split in (("TA", "test"), ("RA", "retain")):
                value, low, high = row[name]
                assert value == pytest.approx((p.prediction == p.target)[p.mask(split)].mean())
                assert low <= value <= high
