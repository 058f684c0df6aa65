"""Metrics of shadow attacks on margins whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.outcomes import values_of
from support.shadow_margins import K, problem

from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.membership.shadow_attacks import swap_advantages
from grmu_audit.metrics.membership.shadow_metrics import (
    METHOD_ATTACKS,
    attack_audited_model,
    attack_method_on_shadows,
)
from grmu_audit.records import SPLITS
from grmu_audit.records.white_box import ShadowTable


def test_attacks_find_members_and_nothing_where_there_is_nothing() -> None:
    f, table = problem(0, 2.0)
    found = {v.name: v for v in values_of(attack_audited_model(f, table)) if v.group is None}
    assert set(found) == {"RMIA_AUC", "LIRA_AUC"}
    assert all(v.interval is not None and v.interval[0] > 0.55 for v in found.values())
    assert found["LIRA_AUC"].details["shadow_models"] == K
    covered = 0
    for seed in range(20):
        f, table = problem(100 + seed, 0.0)
        for v in values_of(attack_audited_model(f, table)):
            if v.group is None and v.interval is not None:
                covered += v.interval[0] <= 0.5 <= v.interval[1]
    assert covered >= 34  # of 40, where 38 are expected


def test_per_sample_attacks_find_what_one_threshold_misses() -> None:
    f, table = problem(1, 3.0, left=1.5)
    found = {v.name: v for v in values_of(attack_method_on_shadows(f, table))}
    assert set(found) == set(METHOD_ATTACKS)
    simple = found["ULIRA_AUC"].details["population_auc"]
    for name in ("ULIRA_AUC", "RULI_AUC"):
        assert found[name].interval is not None
        assert found[name].interval[0] > simple > 0.5  # type: ignore[index]
    assert found["SWAP"].interval is not None
    assert found["SWAP"].interval[0] > 0
    for name in ("FORGET_EPS", "KLOM_95"):
        value, details = found[name].value, found[name].details
        assert value == pytest.approx(details["plug_in"] - details["null"])
    assert found["FORGET_EPS"].details["plug_in"] >= found["FORGET_EPS"].details["lower_bound"] >= 0
    assert found["FORGET_EPS"].value > 1  # type: ignore[operator]
    f, table = problem(2, 3.0, left=0.0)
    clean = {v.name: v for v in values_of(attack_method_on_shadows(f, table))}
    for name, middle in (("ULIRA_AUC", 0.5), ("RULI_AUC", 0.5), ("SWAP", 0.0)):
        low, high = clean[name].interval  # type: ignore[misc]
        assert low <= middle <= high
    assert clean["KLOM_95"].value < found["KLOM_95"].value  # type: ignore[operator]


def test_distances_of_equal_pools_hold_zero() -> None:
    """Models that unlearned without a trace, against models that never saw the samples: plug-in values are far above 0."""
    held = {"FORGET_EPS": 0, "KLOM_95": 0}
    for seed in range(20):
        for value in values_of(attack_method_on_shadows(*problem(2000 + seed, 3.0, left=0.0))):
            if value.name in held:
                assert value.interval is not None
                held[value.name] += value.interval[0] <= 0 <= value.interval[1]
                assert value.details["plug_in"] > 1
    assert min(held.values()) >= 18


def test_a_method_that_wipes_the_model_is_far_from_models_that_never_saw_the_sample() -> None:
    """All unlearned models answer alike, whatever they forgot; the reference is models that unlearned nothing."""
    f, table = problem(4, 3.0)
    assert table.unlearned is not None
    wiped = replace(table, unlearned=table.unlearned * 0.0)
    found = {v.name: v for v in values_of(attack_method_on_shadows(f, wiped))}
    assert found["FORGET_EPS"].interval[0] > 0  # type: ignore[index]
    assert found["KLOM_95"].interval[0] > 0  # type: ignore[index]


def test_what_cannot_be_attacked_says_why() -> None:
    f, table = problem(3, 1.0)
    few = ShadowTable(table.ids, table.margin[:2], table.member[:2], table.population)
    reasons = {v.why_missing for v in values_of(attack_audited_model(f, few))}
    assert reasons == {
        "2 shadow models; 4 are needed",
        "shadow attacks need two models with and two without each sample: train more shadow models",
    }
    for value in values_of(attack_method_on_shadows(f, few)):
        assert value.value is None
        assert value.why_missing == "fewer than 4 shadow models that the method was run on"
    with pytest.raises(InputError, match="two pairs"):
        swap_advantages(table.margin[:2], table.member[:2], ~table.member[:2])


def test_labels_alone_cannot_be_attacked_with_shadow_models() -> None:
    f, table = problem(3, 1.0)
    labels = check_predictions(replace(f.predictions, logits=None))
    for value in values_of(attack_audited_model(labels, table)):
        assert (value.value, value.n) == (None, 0)
        assert value.why_missing == "needs logits or probabilities; they are not given"


def test_few_shadow_models_compare_no_distributions() -> None:
    f, table = problem(5, 3.0, left=1.5)
    few = replace(table, **{name: getattr(table, name)[:4] for name in ("margin", "member", "unlearned", "forgotten")})
    found = {v.name: v for v in values_of(attack_method_on_shadows(f, few))}
    for name in ("FORGET_EPS", "KLOM_95"):
        assert found[name].why_missing == "4 shadow models are too few to compare distributions; 8 are needed"
        assert found[name].n == 150
    assert len(found["SWAP"].details["pairs"]) == 2
    low, high = found["ULIRA_AUC"].details["more_interval"]
    assert low < found["ULIRA_AUC"].details["more_than_population"] < high


def test_one_forget_sample_in_four_models_leaves_the_attacks_by_sample_undefined() -> None:
    f, table = problem(5, 3.0, left=1.5)
    names = ("margin", "member", "unlearned", "forgotten")
    few = replace(table, **{name: getattr(table, name)[:4] for name in names})
    forget = np.flatnonzero(f.predictions.mask("forget"))
    split = f.predictions.split.copy()
    split[forget[1:]] = SPLITS.index("retain")
    one = check_predictions(replace(f.predictions, split=split))
    found = {v.name: v for v in values_of(attack_method_on_shadows(one, few))}
    for name in ("ULIRA_AUC", "RULI_AUC"):
        assert (found[name].value, found[name].n) == (None, 1)
        assert found[name].why_missing.endswith("train more shadow models")
    assert found["SWAP"].value is not None


def test_samples_of_which_one_model_alone_is_of_a_kind_are_no_pairs_of_the_attack_by_sample() -> None:
    """Models of four different pairs: with fewer pairs than the population attack there is no paired interval."""
    f, table = problem(5, 3.0, left=1.5)
    apart = replace(table, **{name: getattr(table, name)[::4] for name in ("margin", "member", "unlearned", "forgotten")})
    found = {v.name: v for v in values_of(attack_method_on_shadows(f, apart))}
    own = np.isin(table.ids, f.predictions.ids[f.predictions.mask("forget")])
    gone = apart.forgotten[:, own]
    others = [(kind.sum(axis=0) - kind) > 0 for kind in (gone, ~gone)]
    pairs = int((others[0] & others[1]).sum())
    assert pairs < gone.size == 600
    for name in ("ULIRA_AUC", "RULI_AUC"):
        details = found[name].details
        assert found[name].n == pairs
        assert details["more_than_population"] == pytest.approx(found[name].value - details["population_auc"])
        assert "more_interval" not in details
