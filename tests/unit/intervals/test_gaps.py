"""The sharper limits: they cover, they are narrower, and few people widen them; scipy and statsmodels agree on the parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from benchmarks.measurements.people_draws import PeopleDraw, people_statistics
from grmu_audit.errors import InputError
from grmu_audit.intervals import Gap, GapChange, Minimum, MinimumChange, PairedCounts, Proportion
from grmu_audit.intervals.closed_forms import exact, paired_difference, student_factor, z_value
from grmu_audit.intervals.design_effects import clustered_cells, design_effects
from grmu_audit.intervals.gaps import possible_extremes
from grmu_audit.policy import Policy, evaluate
from grmu_audit.records import CANDIDATE, Audit, DataRecord, ForgetRecord, MetricValue, ModelRef


def test_exact_limits_agree_with_statsmodels_for_many_cells_at_once():
    k, n = np.array([0.0, 3, 7, 40]), np.array([5.0, 3, 40, 40])
    for alpha in (0.2, 0.05, 0.001):
        low, high = exact(k, n, alpha)
        wanted = np.array([proportion_confint(a, b, alpha, "beta") for a, b in zip(k, n, strict=True)])
        assert low == pytest.approx(wanted[:, 0], abs=1e-9)
        assert high == pytest.approx(wanted[:, 1], abs=1e-9)


def test_student_factor_agrees_with_scipy():
    for alpha in (0.05, 0.001):
        made = student_factor(alpha, np.array([1.0, 9.0, 200.0, np.inf]))
        wanted = [(z_value(alpha) / student.isf(alpha / 2, df)) ** 2 for df in (1, 9, 200)]
        assert made == pytest.approx([*wanted, 1.0], rel=1e-6)
    assert student_factor(0.05, np.array([0.0]))[0] < 1e-6


def test_one_person_gives_no_interval():
    low, high = Proportion(18, 20, 20.0, 1).interval(0.95)
    assert high - low > 0.99
    assert PairedCounts(5, 4, 0, 1, 3.0, 1).interval(0.95)[0] < -0.9


def test_pooled_correlation_protects_a_cell_that_looks_good_by_luck():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(80), 20)
    cell = np.repeat([0, 1, 2, 3], 400)
    right = rng.random(1600) < np.repeat(rng.beta(1.9, 0.5, 80), 20)
    lucky = right.copy()
    lucky[:400] = rng.random(400) < 0.9  # no correlation within the first cell's people
    own = design_effects(lucky, cell, 4, person)
    pooled, persons = clustered_cells(lucky, cell, 4, person)
    assert own[0] < 2 < pooled[0]
    assert (pooled >= own).all()
    assert persons == [77] * 4  # 4 cells of 20 people, 76 degrees of freedom
    few = clustered_cells(lucky[::20], np.repeat([0, 1], [78, 2]), 2, np.repeat(np.arange(40), 2))[1]
    assert few == [39, 1]
    assert clustered_cells(lucky, cell, 4, None)[1] == [None] * 4


def test_upper_limit_of_a_gap_needs_no_correction_and_of_a_minimum_the_lower_limit_none():
    cells = tuple(Proportion(k, 200) for k in (180, 160, 150, 150))
    gap = Gap((cells,), "max")
    two = Gap(((cells[0], cells[2]),), "max")
    assert gap.interval(0.95)[1] == pytest.approx(two.interval(0.95)[1])
    assert gap.interval(0.95)[0] < two.interval(0.95)[0]
    least = Minimum(cells)
    assert least.interval(0.95)[0] == pytest.approx(cells[2].interval(0.95)[0])
    assert least.interval(0.95)[1] == pytest.approx(cells[2].interval(1 - 0.05 / 4)[1])


def test_margins_of_independent_terms_add_as_squares():
    term = Proportion(180, 200), Proportion(140, 200)
    alone = Gap((term,), "max").interval(0.95)
    mean = Gap((term, term), "mean").interval(0.95)
    assert mean[1] - 0.2 == pytest.approx((alone[1] - 0.2) / np.sqrt(2))


def test_people_in_both_classes_widen_the_mean_of_gaps():
    """Shared ability and opposite bias: the terms of EO are not independent."""
    for clustering in ("shared ability", "opposite bias"):
        made, hits, before = PeopleDraw(clustering, 40, 2, 0.8, -0.2), 0, 0
        truth, rng = made.truths()["EO"], np.random.default_rng(4)
        for _ in range(300):
            gap = people_statistics(*made.predictions(rng))["EO"]
            assert 1 < gap.dependence <= 3
            low, high = gap.exact().interval(0.95)
            hits += low <= truth <= high
            low, high = replace(gap, dependence=1.0).interval(0.95)
            before += low <= truth <= high
        assert hits >= 0.935 * 300
        assert hits > before


def test_possible_cells_hold_the_true_extreme_one():
    rng = np.random.default_rng(2)
    truth, hits = np.array([0.9, 0.8, 0.78, 0.6]), 0
    for _ in range(300):
        cells = [Proportion(int(rng.binomial(150, p)), 150) for p in truth]
        hits += possible_extremes(cells, 0.05, largest=False)[3] and possible_extremes(cells, 0.05, largest=True)[0]
        assert not possible_extremes(cells, 0.05, largest=False)[0]
    assert hits >= 0.94 * 300


def test_clopper_pearson_on_request_in_a_policy_and_the_digest_of_old_policies_stays():
    plain = {"schema": "grmu-audit/policy/v1", "name": "p", "rules": [{"id": "r", "metric": "GA", "min": 0.5}]}
    value = MetricValue("GA", CANDIDATE, 0.9, 40, statistic=Proportion(36, 40), interval=(0.7, 0.97))
    ref = ModelRef("m", "1")
    audit = Audit(ref, DataRecord("d", {}), ForgetRecord(3, "h", ()), (value,))
    from datetime import date

    found = [
        evaluate(audit, Policy.model_validate(plain | more), today=date(2026, 6, 1))
        for more in ({}, {"intervals": "clopper-pearson"})
    ]
    assert found[1].rules[0].interval == pytest.approx(proportion_confint(36, 40, 0.05, "beta"), abs=1e-9)
    assert found[0].rules[0].interval == pytest.approx(proportion_confint(36, 40, 0.05, "wilson"), abs=1e-9)
    assert found[0].policy_sha256 != found[1].policy_sha256
    from grmu_audit.policy.files import policy_tree

    assert "intervals" not in policy_tree(Policy.model_validate(plain))
    with pytest.raises(InputError, match="unknown method 'exact'"):
        Proportion(1, 2).by_method("exact").interval(0.95)


def test_number_of_subjects_needed_decides_when_it_is_reached():
    ref = ModelRef("m", "1")
    statistic = Proportion(330, 400, 6.0, 20)
    value = MetricValue("GA", CANDIDATE, statistic.estimate, 400, statistic=statistic, subjects=20)
    policy = Policy.model_validate(
        {"schema": "grmu-audit/policy/v1", "name": "p", "rules": [{"id": "r", "metric": "GA", "min": 0.75}]}
    )
    from datetime import date

    audit = Audit(ref, DataRecord("d", {}), ForgetRecord(3, "h", ()), (value,))
    (outcome,) = evaluate(audit, policy, today=date(2026, 6, 1)).rules
    assert outcome.decision.value == "INCONCLUSIVE"
    assert "people in all; now 20" in outcome.needed
    needed = int(outcome.needed.split("(about ")[1].split(" ")[0].replace(",", ""))
    factor = needed / 20
    enough = Proportion(330 * factor, 400 * factor, 6.0, needed).interval(0.95)
    assert enough[0] >= 0.75
    less = 0.9 * factor
    assert Proportion(330 * less, 400 * less, 6.0, 20 * less).interval(0.95)[0] < 0.75


def test_what_people_in_several_cells_add_widens_the_change_of_a_gap():
    sides = [
        Gap(((Proportion(k, 200), Proportion(150, 200)), (Proportion(160, 200), Proportion(j, 200))), "mean")
        for k, j in ((120, 130), (125, 140))
    ]
    pairs = tuple(tuple(PairedCounts(110, 10, 15, 65) for _ in term) for term in sides[0].terms)
    alone = GapChange(sides[0], sides[1], pairs, "mean")
    wider = GapChange(*(replace(side, dependence=1.69) for side in sides), pairs, "mean", 1.69)
    (low, high), (lower, higher) = alone.interval(0.95), wider.interval(0.95)
    assert (lower + higher) / 2 == pytest.approx((low + high) / 2, abs=0.01)
    assert (higher - lower) / (high - low) == pytest.approx(1.3, rel=0.01)


NONE, SOME, PAIR = Proportion(0, 0), Proportion(150, 200), PairedCounts(140, 10, 12, 38)


@pytest.mark.parametrize(
    ("statistic", "estimate"),
    [
        (Gap((), "mean"), np.nan),
        (Gap(((NONE, NONE),), "max"), np.nan),
        (Gap(((SOME, NONE),), "max"), 0.0),
        (Gap(((SOME, Proportion(100, 200)), (SOME,)), "mean"), 0.125),
        (MinimumChange(Minimum((SOME,)), Minimum((SOME,)), ()), 0.0),
        (MinimumChange(Minimum((SOME,)), Minimum((SOME,)), ((PairedCounts(0, 0, 0, 0),),)), 0.0),
        (GapChange(Gap(((SOME, NONE),), "max"), Gap(((SOME, SOME),), "max"), ((PAIR, PAIR),), "max"), 0.0),
    ],
)
def test_fewer_cells_than_a_comparison_needs_give_no_interval(statistic, estimate):
    assert statistic.estimate == pytest.approx(estimate, nan_ok=True)
    assert statistic.interval(0.95) is None


@pytest.mark.parametrize("pairs", [(), ((PAIR,),), ((PAIR, PairedCounts(0, 0, 0, 0)),)])
def test_a_change_of_a_gap_without_pairs_of_two_cells_has_the_limits_of_both_sides(pairs):
    left, right = (Gap(((Proportion(k, 200), SOME),), "max") for k in (110, 130))
    low, high = GapChange(left, right, pairs, "max").interval(0.95)
    one, other = (side.interval(1 - 0.05 * 0.2 / 2) for side in (left, right))
    assert (low, high) == pytest.approx((one[0] - other[1], one[1] - other[0]))
    assert high - low > np.ptp(GapChange(left, right, ((PAIR, PAIR),), "max").interval(0.95))


def test_one_cell_alone_may_be_the_smallest_and_the_largest():
    for largest in (False, True):
        assert possible_extremes([SOME], 0.05, largest=largest).tolist() == [True]
        assert possible_extremes([], 0.05, largest=largest).tolist() == []


def test_the_change_of_a_gap_over_very_many_cells_is_bounded_by_their_furthest_changes():
    pairs = (PairedCounts(1400, 20, 0, 580), *[PairedCounts(1400, 10, 10, 580)] * 63, PairedCounts(1400, 0, 20, 580))
    left, right = (
        Gap((tuple(Proportion(pair.both + getattr(pair, alone), pair.n) for pair in pairs),), "max")
        for alone in ("only_candidate", "only_other")
    )
    found = GapChange(left, right, (pairs,), "max")
    level = 0.05 * 0.8 * 0.8 / 2
    reach = paired_difference(20, 0, 2000, level)[1] - paired_difference(0, 20, 2000, level)[0]
    assert found.estimate == pytest.approx(0.0)
    assert found.interval(0.95) == pytest.approx((-reach, reach))
