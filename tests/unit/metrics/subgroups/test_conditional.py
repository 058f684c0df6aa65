"""Conditional metrics against fairlearn's MetricFrame with control features, and what is undefined in a stratum."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, selection_rate, true_negative_rate, true_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from grmu_audit.auditing.measurement import measure
from grmu_audit.errors import InputError, PolicyError
from grmu_audit.intervals import Gap, Largest, Proportion, Statistic
from grmu_audit.metrics import check_predictions, compare, measure_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.metrics.checked_predictions import crossed_names
from grmu_audit.metrics.outcome import Outcome
from grmu_audit.metrics.subgroups.conditional import MOST_STRATA, measure_conditional
from grmu_audit.policy import Policy, load
from grmu_audit.policy.judgement import evaluate
from grmu_audit.records import (
    BASELINE,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    DataRecord,
    Decision,
    Group,
    MeasureOptions,
    ModelRef,
    Predictions,
    RuleOutcome,
)

AGE = MeasureOptions(control_attributes=("age",))


def crossed(columns: dict[str, np.ndarray], p: Predictions | None = None) -> Predictions:
    """Predictions with these attributes, crossed as a file's are."""
    p = example() if p is None else p
    factors = tuple((name, int(column.max()) + 1) for name, column in columns.items())
    sizes = tuple(size for _, size in factors)
    code = np.ravel_multi_index(tuple(columns.values()), sizes).astype(np.int64)
    names = crossed_names(factors)
    return replace(p, attribute=code, attributes=len(names), attribute_names=names, factors=factors)


def with_age(values: int = 3, seed: int = 3) -> Predictions:
    p = example()
    return crossed({"age": np.random.default_rng(seed).integers(0, values, len(p)), "sex": p.attribute}, p)


def named(p: Predictions, options: MeasureOptions = AGE) -> dict[str, Outcome]:
    return {outcome.metric: outcome for outcome in measure_conditional(check_predictions(p, options))}


def frame(p: Predictions, positive: int, sensitive: list[str], control: list[str]) -> MetricFrame:
    rows, names = p.mask("test"), [name for name, _ in p.factors]
    grid = np.unravel_index(p.attribute[rows], [size for _, size in p.factors])
    features = dict(zip(names, grid, strict=True))
    rates = {"dp": selection_rate, "tpr": true_positive_rate, "tnr": true_negative_rate, "accuracy": accuracy_score}
    return MetricFrame(
        metrics=rates,
        y_true=p.target[rows] == positive,
        y_pred=p.prediction[rows] == positive,
        sensitive_features={name: features[name] for name in sensitive},
        control_features={name: features[name] for name in control},
    )


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(
    ("sensitive", "control"), [(["sex"], ["age"]), (["age"], ["sex"]), (["age", "sex"], ["place"]), (["sex"], ["age", "place"])]
)
def test_numbers_equal_fairlearns(positive: int, sensitive: list[str], control: list[str]) -> None:
    p, rng = example(), np.random.default_rng(5)
    columns = {"age": rng.integers(0, 3, len(p)), "place": rng.integers(0, 2, len(p)), "sex": p.attribute}
    p = crossed({name: columns[name] for name in columns if name in (*sensitive, *control)}, p)
    found = named(p, MeasureOptions(control_attributes=tuple(control), positive_class=positive))
    wanted = frame(p, positive, sensitive, control)
    gaps = wanted.difference()
    assert found["CONDITIONAL_DP"].estimate == pytest.approx(gaps["dp"].max(), abs=1e-12)
    assert found["CONDITIONAL_EP"].estimate == pytest.approx(gaps["tpr"].max(), abs=1e-12)
    assert found["CONDITIONAL_EO"].estimate == pytest.approx(((gaps["tpr"] + gaps["tnr"]) / 2).max(), abs=1e-12)
    assert found["CONDITIONAL_ACCURACY_GAP"].estimate == pytest.approx(gaps["accuracy"].max(), abs=1e-12)
    assert found["CONDITIONAL_IMPACT_RATIO"].estimate == pytest.approx(wanted.ratio()["dp"].min(), abs=1e-12)
    each = found["CONDITIONAL_DP"].basis.details["strata"]
    assert [stratum["value"] for stratum in each.values()] == pytest.approx(gaps["dp"].to_list(), abs=1e-12)


def test_several_classes_take_the_largest_gap_over_classes() -> None:
    p, rng = with_age(), np.random.default_rng(1)
    three = replace(p, classes=3, target=rng.integers(0, 3, len(p)), prediction=rng.integers(0, 3, len(p)), logits=None)
    found, gaps = named(three), []
    for c in range(3):
        gaps.append(frame(three, c, ["sex"], ["age"]).difference())
    assert found["CONDITIONAL_DP"].estimate == pytest.approx(max(gap["dp"].max() for gap in gaps), abs=1e-12)
    assert found["CONDITIONAL_EP"].estimate == pytest.approx(max(gap["tpr"].max() for gap in gaps), abs=1e-12)
    assert found["CONDITIONAL_EO"].estimate == pytest.approx((sum(gap["tpr"] for gap in gaps) / 3).max(), abs=1e-12)
    assert "it is for two classes, and there are 3" in found["CONDITIONAL_IMPACT_RATIO"].reason


def test_without_control_attributes_nothing_is_measured_or_recorded() -> None:
    assert named(with_age(), MeasureOptions()) == {}
    assert "control_attributes" not in MeasureOptions().to_record()
    assert MeasureOptions.from_record(AGE.to_record()) == AGE


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (("agee",), "no control attribute 'agee' (did you mean 'age'?)"),
        (("age", "sex"), "no attribute is left to compare within their values"),
        (("age", "age"), "name each once"),
    ],
)
def test_control_attributes_that_cannot_be_are_refused(controls: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match="control attribute") as error:
        named(with_age(), MeasureOptions(control_attributes=controls))
    assert message in str(error.value)
    with pytest.raises(InputError, match="formed by: one attribute without a name"):
        named(example(), AGE)


def judged(p: Predictions, minimum: int = 30, control: str = "age", measured: MeasureOptions = AGE) -> dict[str, RuleOutcome]:
    rules = [{"id": name, "metric": name, "max": 0.9} for name in CONDITIONAL if "RATIO" not in name]
    rules.append({"id": "CONDITIONAL_IMPACT_RATIO", "metric": "CONDITIONAL_IMPACT_RATIO", "min": 0.1})
    tree = {"schema": "grmu-audit/policy/v1", "name": "p", "minimum_group_size": minimum, "control_attributes": [control]}
    policy = Policy.model_validate(tree | {"rules": rules})
    inputs = AuditInputs(AuditedModel(ModelRef("m", "1"), p))
    audit = measure(inputs, AuditContext(DataRecord("d", {})), measured)
    stored = Audit.from_json(audit.to_json())
    assert stored.to_json() == audit.to_json()
    return {outcome.id: outcome for outcome in evaluate(stored, policy, today=date(2026, 1, 1)).rules}


def test_a_stratum_without_a_gap_is_named_and_no_rule_passes() -> None:
    p = with_age(2)
    assert {outcome.decision for outcome in judged(p).values()} == {Decision.PASS}
    age, sex = np.unravel_index(p.attribute, (2, 2))
    lone = (np.arange(len(p)) % 40 == 0) & (sex == 0)  # a third age, of which there is one sex only
    found = judged(crossed({"age": np.where(lone, 2, age), "sex": sex}, p))
    for outcome in found.values():
        assert outcome.decision is Decision.INCONCLUSIVE
        assert "is incomplete: age=2: fewer than two attribute values" in outcome.reason
        assert "in each of these strata" in (outcome.needed or "")
    gone = named(crossed({"age": np.where(lone & p.mask("retain"), 2, age), "sex": sex}, p))
    assert gone["CONDITIONAL_DP"].basis.details["undefined_strata"] == {"age=2": "no test sample (n = 0)"}
    assert set(gone["CONDITIONAL_DP"].basis.empty_cells) == {Group(0, 4), Group(1, 4)}


def test_a_stratum_in_which_nobody_is_selected_has_no_ratio() -> None:
    p = with_age(2)
    age = np.unravel_index(p.attribute, (2, 2))[0]
    found = named(replace(p, prediction=np.where(age == 1, 0, p.prediction)))
    assert "no test sample is selected" in found["CONDITIONAL_IMPACT_RATIO"].basis.details["undefined_strata"]["age=1"]
    assert "age=1" in found["CONDITIONAL_DP"].basis.details["undefined_strata"]
    assert "undefined_strata" not in found["CONDITIONAL_ACCURACY_GAP"].basis.details
    nobody = named(replace(p, prediction=np.zeros_like(p.prediction)))
    assert nobody["CONDITIONAL_IMPACT_RATIO"].reason.startswith("no stratum has one (age=0: no test sample is selected")


def test_the_smallest_cell_of_a_stratum_is_named() -> None:
    p = with_age(2)
    age, sex = np.unravel_index(p.attribute, (2, 2))
    few = np.flatnonzero(p.mask("test") & (sex == 1))[:12]
    age = age.copy()
    age[few] = 2
    age[np.flatnonzero(p.mask("test") & (sex == 0))[:200]] = 2
    found = judged(crossed({"age": age, "sex": sex}, p))
    reason = found["CONDITIONAL_DP"].reason
    assert "age=2, sex=1, which CONDITIONAL_DP rests on, has 12 samples; the policy requires at least 30" in reason
    assert {outcome.decision for outcome in found.values()} == {Decision.INCONCLUSIVE}


def test_rules_ask_for_the_policys_own_control_attributes(tmp_path) -> None:
    p = with_age(2)
    other = judged(p, control="sex")["CONDITIONAL_DP"]
    assert other.decision is Decision.INCONCLUSIVE
    assert "was measured within age; the policy names sex" in other.reason
    none = judged(p, measured=MeasureOptions())["CONDITIONAL_DP"]
    assert "the audit names no control attributes, the policy names age" in none.reason
    zero = judged(p, measured=replace(AGE, positive_class=0))
    assert "with another positive class than the policy's 1" in zero["CONDITIONAL_IMPACT_RATIO"].reason
    assert zero["CONDITIONAL_EP"].decision is Decision.INCONCLUSIVE
    file = tmp_path / "p.yaml"
    file.write_text("schema: grmu-audit/policy/v1\nname: p\nrules:\n  - id: dp\n    metric: CONDITIONAL_DP\n    max: 0.2\n")
    with pytest.raises(PolicyError, match="CONDITIONAL_DP needs control_attributes"):
        load(file)


def test_changes_are_measured_and_keep_what_they_do_not_cover() -> None:
    p, before = with_age(2), example("baseline")
    other = replace(p, prediction=before.prediction, logits=before.logits)
    found = {o.metric: o for o in compare(check_predictions(p, AGE), other)}
    for name in CONDITIONAL:
        assert found[name].estimate == pytest.approx(named(p)[name].estimate - named(other)[name].estimate)
        low, high = found[name].statistic.interval(0.95)
        assert low <= found[name].estimate <= high
    age = np.unravel_index(p.attribute, (2, 2))[0]
    lone = replace(other, prediction=np.where(age == 1, 0, other.prediction))  # age=1 has one predicted class alone
    alone = named(lone)["CONDITIONAL_DP"]
    assert alone.basis.empty_cells
    for one, two, whose in ((p, lone, " (of the model compared with)"), (lone, p, "")):
        change = {o.metric: o for o in compare(check_predictions(one, AGE), two)}["CONDITIONAL_DP"]
        assert change.basis.empty_cells == alone.basis.empty_cells
        assert change.basis.details["undefined_strata"] == {"age=1": alone.basis.details["undefined_strata"]["age=1"] + whose}
        assert change.value(BASELINE.as_change(), AGE).incomplete
    assert found["CONDITIONAL_DP"].basis.details == {"smallest_cell": named(p)["CONDITIONAL_DP"].basis.details["smallest_cell"]}


def test_more_strata_than_can_be_looked_at_are_undefined() -> None:
    p = example()
    many = crossed({"age": np.arange(len(p)) % (MOST_STRATA + 1), "sex": p.attribute}, p)
    assert "more than 100 strata" in named(many)["CONDITIONAL_DP"].reason


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 3), st.integers(20, 200))
def test_the_interval_holds_the_largest_gap_of_any_stratum(seed: int, strata: int, values: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p, rows = example(), np.flatnonzero(example().mask("test"))[:n]
    columns = {name: getattr(p, name)[rows] for name in ("ids", "split", "target", "attribute", "prediction", "logits")}
    part = crossed({"age": rng.integers(0, strata, n), "sex": rng.integers(0, values, n)}, replace(p, **columns))
    for value in measure_predictions(part, AGE):
        if value.name not in CONDITIONAL:
            continue
        if value.value is None:
            assert value.why_missing
            continue
        assert value.interval is not None
        assert value.interval[0] <= value.value <= value.interval[1]
        each = [stratum["value"] for stratum in value.details["strata"].values()]
        assert value.value == (min(each) if "RATIO" in value.name else max(each))
        assert Statistic.from_json(value.statistic.to_json()) == value.statistic
        assert len(each) + len(value.details.get("undefined_strata", {})) == len(np.unique(part.attribute // part.factors[1][1]))


def test_the_limits_of_the_largest_gap_hold_the_truth() -> None:
    """Of 1,000 draws from strata that are alike at least 93 %: nominal are 95 %, three standard errors of the count are 2 %."""
    rng, held = np.random.default_rng(11), 0
    shares = ((0.5, 0.6), (0.5, 0.6), (0.3, 0.4))
    for _ in range(1000):
        cells = [tuple(Proportion(int(rng.binomial(150, share)), 150) for share in pair) for pair in shares]
        low, high = Largest(tuple(Gap((pair,), "max") for pair in cells)).limits(0.05)
        held += low <= 0.1 + 1e-12 and high >= 0.1 - 1e-12
    assert held / 1000 > 0.93


def test_without_rows_that_count_there_is_no_smallest_cell() -> None:
    p = with_age(2)
    found = named(replace(p, target=np.where(p.mask("test"), 0, p.target)))
    nobody = found["CONDITIONAL_EP"]
    assert (nobody.basis.smallest_cell, nobody.basis.smallest_group) == (0, None)
    assert nobody.reason.startswith("no stratum has one (age=0: ")
    assert found["CONDITIONAL_DP"].basis.smallest_cell > 1000
    for outcome in named(replace(p, split=np.where(p.mask("test"), 2, p.split))).values():
        assert outcome.reason == "no stratum has one (age=0: no test sample (n = 0); age=1: no test sample (n = 0))"
        assert (outcome.basis.n, outcome.smallest) == (0, 0)
        assert "smallest_cell" not in outcome.basis.details
