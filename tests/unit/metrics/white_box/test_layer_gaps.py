"""Changes of the fairness-gaps of layers, and correlation of layers and gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from grmu_audit.errors import InputError
from grmu_audit.metrics.catalog.examples import example_white_box
from grmu_audit.metrics.white_box.layer_gaps import correlation, layer_gap_changes, measure_layer_gaps
from grmu_audit.records.white_box import WhiteBoxOutputs


def test_correlation_agrees_with_scipy_and_blocks_take_out_what_differs_between_them() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=12), rng.normal(size=12)
    found, oracle = correlation(list(x), list(y)), spearmanr(x, y)
    assert found.value == pytest.approx(oracle.statistic)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.03)
    block = [0] * 6 + [1] * 6
    shifted = np.concatenate([np.arange(6), 100 + np.arange(6)]).astype(float)
    falling = np.concatenate([-np.arange(6), 100 - np.arange(6)]).astype(float)
    assert correlation(list(shifted), list(falling), block).value == pytest.approx(-1)
    assert correlation(list(shifted), list(falling)).value > 0
    with pytest.raises(InputError, match="four points"):
        correlation([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])


@pytest.fixture(scope="module")
def sides() -> tuple[WhiteBoxOutputs, WhiteBoxOutputs]:
    return example_white_box("unlearned"), example_white_box("retrained")


def with_values(outputs: WhiteBoxOutputs, by: str, columns: int) -> WhiteBoxOutputs:
    """The same layers, of which so many classes or groups have a variance."""
    assert outputs.layers is not None
    cut = {name: values.copy() for name, values in outputs.layers.values.items()}
    for name, values in cut.items():
        if name.endswith(by):
            values[:, :, columns:] = np.nan
    return replace(outputs, layers=replace(outputs.layers, values=cut))


def test_changes_of_the_gaps_are_means_over_layers(sides) -> None:
    found = {outcome.metric: outcome for outcome in layer_gap_changes(sides)}
    for name, by in (("FAIRNESS_GAP", "class"), ("FAIRNESS_GAP_GROUP", "group")):
        spans = [np.ptp(side.layers.values[f"var/output/{by}"][:, 0], axis=1) for side in sides]
        assert found[name].estimate == pytest.approx(np.mean(spans[0] - spans[1]))
        assert found[name].basis.details == {"distance": pytest.approx(np.mean(np.abs(spans[0] - spans[1])))}


def test_networks_of_other_layers_or_without_any_have_no_change_of_a_gap(sides) -> None:
    one, other = sides
    bare, renamed = replace(other, layers=None), replace(other, layers=replace(other.layers, layers=("norm1", "norm3")))
    for pair in ((one, bare), (bare, one), (one, renamed)):
        assert list(layer_gap_changes(pair)) == []
    assert {o.reason for o in measure_layer_gaps(bare)} == {"the network has no normalisation layer"}


@pytest.mark.parametrize(
    ("by", "what", "left"), [("class", "classes", "FAIRNESS_GAP_GROUP"), ("group", "groups", "FAIRNESS_GAP")]
)
def test_a_gap_needs_two_classes_or_groups_with_a_variance(sides, by, what, left) -> None:
    one, other = sides
    lone = with_values(other, by, 1)
    assert [o.metric for o in layer_gap_changes((one, lone))] == [left]
    reasons = {o.metric: o.reason for o in measure_layer_gaps(lone)}
    assert reasons == {left: "", ({*reasons} - {left}).pop(): f"fewer than two {what} have two test samples"}
