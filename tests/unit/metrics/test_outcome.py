"""Whom an interval speaks of, what lies outside its simulated range, and values of earlier audits that stay as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from grmu_audit.auditing.scoring import PredictionFiles, score
from grmu_audit.intervals import Area, Proportion
from grmu_audit.metrics import measure_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.membership.conformal import CONFORMAL
from grmu_audit.metrics.outcome import Basis, Outcome, with_interval_method
from grmu_audit.metrics.selection import SELECTION
from grmu_audit.records import CANDIDATE, MeasureOptions
from grmu_audit.records.audit import Audit

GOLDEN = Path(__file__).parents[2] / "golden"
FORGET_SIDE = ("UA", "UA_GA_GAP", "MIA", "MIA_PAPER", "MIA_AUC", "MIA_TPR_1")


def of_people(people: int, forget: int = 40):
    """The example with a forget set of so many people; every other sample is another person's."""
    p = example()
    rows = np.flatnonzero(p.mask("forget"))
    split = p.split.copy()
    split[rows[forget:]] = 0
    person = 1000 + np.arange(len(p))
    person[rows[:forget]] = np.arange(forget) % people
    found = measure_predictions(replace(p, split=split, subject=person))
    return {v.name: v for v in found if v.group is None}


def test_one_person_is_judged_by_their_samples_and_says_nothing_about_others():
    for name, value in of_people(1).items():
        if name in FORGET_SIDE:
            people = value.details["people"]
            assert people["interval_about"] == "these people"
            assert people["people like them"] is None
            assert people["why_missing"] == "one person says nothing about others"
            assert people["these people"] == pytest.approx(value.interval)
    area = of_people(1)["MIA_AUC"]
    assert area.statistic.degrees < 60
    assert area.interval[1] - area.interval[0] > 0.15  # 40 samples of one person are 40 samples, not none


@pytest.mark.parametrize("people", [2, 4, 10])
def test_several_people_are_the_unit_and_both_quantities_stand_side_by_side(people):
    for name, value in of_people(people).items():
        if name in FORGET_SIDE:
            told = value.details["people"]
            assert told["interval_about"] == "people like them"
            assert told["people like them"] == pytest.approx(value.interval)
            wide, narrow = np.ptp(told["people like them"]), np.ptp(told["these people"])
            assert wide >= narrow - 1e-9
    assert "people" not in of_people(people)["RETAIN_AUC"].details


def test_without_a_subject_column_every_sample_is_its_own_person():
    found = {v.name: v for v in measure_predictions(example()) if v.group is None}
    assert all("people" not in found[name].details for name in FORGET_SIDE)


def test_a_value_outside_the_simulated_range_says_so():
    p = example()
    few = np.flatnonzero(p.mask("test") & (p.target == 1) & (p.attribute == 1))[3:]
    split = p.split.copy()
    split[few] = 2
    found = {v.name: v for v in measure_predictions(replace(p, split=split)) if v.group is None}
    assert found["EO"].details["outside_simulated_range"] == "fewer than 5 samples in a cell"
    assert "outside_simulated_range" not in found["TA"].details
    many = replace(p, attribute=np.arange(len(p)) % 15, attributes=15)
    crowded = {v.name: v for v in measure_predictions(many) if v.group is None}
    assert crowded["WG"].details["outside_simulated_range"] == "30 cells, simulated up to 20"


LATER = ("FORGET_SHARE", "WORST_REQUEST_SHARE", "DELETION_AUC", *SELECTION, *CONFORMAL)
"""Metrics that came after these audits."""


def test_audits_that_were_measured_before_are_computed_again_to_the_same_numbers(tmp_path):
    """``earlier_forms.json`` was written by the code before ``interval_forms`` 2."""
    wanted = json.loads((GOLDEN / "earlier_forms.json").read_text())
    table = pd.read_csv(GOLDEN / "binary.csv").iloc[::3].reset_index(drop=True)
    for case, values in wanted.items():
        if case == "persons":
            table["subject"] = np.arange(len(table)) // 4
        before = table.assign(logit_1=table["logit_1"] + np.sin(np.arange(len(table))))
        for name, frame in (("candidate", table), ("baseline", before)):
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        files = PredictionFiles(tmp_path / "candidate.csv", tmp_path / "baseline.csv")
        audit = score(files, options=MeasureOptions(interval_forms=1))
        known = [value for value in audit.metrics if value.name not in LATER]
        assert len(known) == len(values)
        for value in known:
            group = value.group and (value.group.target, value.group.attribute)
            number, interval, statistic = values[f"{value.name} {value.subject} {group}"]
            assert value.value == pytest.approx(number, abs=1e-9)
            assert value.interval == (None if interval is None else pytest.approx(tuple(interval), abs=1e-9))
            assert (None if value.statistic is None else value.statistic.to_json()) == statistic
    assert score(tmp_path / "candidate.csv").metric("TA").statistic.method == "clopper-pearson"


def test_an_audit_that_names_no_forms_was_measured_with_the_first():
    audit = score(GOLDEN / "binary.csv")
    assert audit.options.interval_forms == 2
    tree = audit.to_json()
    del tree["record"]["interval_forms"]
    assert Audit.from_json(tree).options.interval_forms == 1


def test_a_statistic_without_an_estimate_is_an_undefined_metric():
    found = Outcome("TA", Basis(0), Proportion(0, 0))
    assert (found.statistic, found.estimate, found.reason) == (None, None, "no estimate from 0 samples")
    value = found.value(CANDIDATE, MeasureOptions())
    assert (value.value, value.interval, value.why_missing) == (None, None, "no estimate from 0 samples")


def test_a_stored_value_takes_limits_by_another_method_where_it_has_proportions():
    options = MeasureOptions(interval_forms=1)
    stored = Outcome("TA", Basis(40), Proportion(36, 40)).value(CANDIDATE, options)
    exact = with_interval_method(stored, "clopper-pearson")
    assert stored.interval == pytest.approx(proportion_confint(36, 40, 0.05, "wilson"), abs=1e-9)
    assert exact.interval == pytest.approx(proportion_confint(36, 40, 0.05, "beta"), abs=1e-9)
    assert (exact.value, exact.statistic.method) == (0.9, "clopper-pearson")
    area = Outcome("MIA_AUC", Basis(40), Area(0.7, 0.1, 20, 20)).value(CANDIDATE, options)
    undefined = Outcome.missing("TA", "no test sample (n = 0)", Basis(0)).value(CANDIDATE, options)
    for unchanged in (area, undefined):
        assert with_interval_method(unchanged, "clopper-pearson") == unchanged
