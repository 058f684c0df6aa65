"""Variances per layer, class and group: against two passes of numpy, and found where they were planted."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.tiny import tiny
from support.weights import weights_digest
from torch.utils._python_dispatch import TorchDispatchMode

from grmu_audit.evaluation.layer_statistics import Moments, folds_of, layer_table
from grmu_audit.metrics.white_box.layer_gaps import gap_per_layer, layer_gap_changes, measure_layer_gaps
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.normalisation import GapDefinition, gaps, normalisation_layers
from grmu_audit.records import BASELINE, CANDIDATE, MeasureOptions
from grmu_audit.records.white_box import LayerTable, WhiteBoxOutputs


@pytest.mark.parametrize("shape", [(5, 4, 3), (7, 5), (6,)], ids=["image", "tokens", "vector"])
def test_batch_by_batch_equals_two_passes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    z = 1000 + rng.normal(size=(90, *shape)) * rng.uniform(0.1, 5, size=(90, *[1] * len(shape)))
    cell = rng.integers(0, 3, 90)
    channel = 1 if len(shape) == 3 else -1
    moments = Moments(4)
    for start in range(0, 90, 17):
        part = slice(start, start + 17)
        moments.add(torch.from_numpy(z[part]), torch.from_numpy(cell[part]), channel)
    count, mean, squares = moments.arrays()
    for code in range(3):
        rows = np.moveaxis(z[cell == code], channel, -1).reshape(-1, z.shape[channel])
        assert count[code] == len(rows)
        assert mean[code] == pytest.approx(rows.mean(0), rel=1e-12)
        assert squares[code] == pytest.approx(((rows - rows.mean(0)) ** 2).sum(0), rel=1e-9)
    assert count[3] == 0


def test_float32_sums_are_those_of_float64() -> None:
    rng = np.random.default_rng(1)
    z = torch.from_numpy(200 + rng.normal(size=(64, 6, 24, 24)) * rng.uniform(0.5, 4, size=(64, 6, 1, 1)))
    cell = torch.from_numpy(rng.integers(0, 3, 64))
    exact, single, last = Moments(3), Moments(3), Moments(3)
    for part in range(0, 64, 24):
        exact.add(z[part : part + 24], cell[part : part + 24], 1)
        single.add(z[part : part + 24].float(), cell[part : part + 24], 1)
        last.add(z[part : part + 24].float().contiguous(memory_format=torch.channels_last), cell[part : part + 24], 1)
    for found in (single, last):
        for ours, theirs in zip(found.arrays(), exact.arrays(), strict=True):
            assert ours == pytest.approx(theirs, rel=2e-6)


class _Largest(TorchDispatchMode):
    """Most numbers in one tensor of float64."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, torch.Tensor) and one.dtype == torch.double:
                self.found = max(self.found, one.numel())
        return made


def test_no_activation_is_copied_to_float64() -> None:
    z = torch.randn(32, 8, 16, 16).contiguous(memory_format=torch.channels_last)
    with _Largest() as watched:
        Moments(4).add(z, torch.arange(32) % 4, 1)
    assert 0 < watched.found <= 32 * 8


def test_the_output_of_batch_normalisation_follows_from_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = table()
    monkeypatch.setattr("grmu_audit.evaluation.layer_statistics._scale_and_shift", lambda layer: None)
    measured = table()
    assert derived.values.keys() == measured.values.keys()
    for key, values in measured.values.items():
        assert derived.values[key] == pytest.approx(values, rel=1e-4, abs=1e-7, nan_ok=True)


def table(model: Classifier | None = None) -> LayerTable:
    problem = tiny()
    rows = problem.dataset.rows("test")
    found = layer_table(model or problem.model, problem.source, rows, folds_of(np.arange(len(rows)), 5), size=100)
    assert found is not None
    return found


def test_the_table_agrees_with_the_gap_that_the_penalty_uses() -> None:
    problem = tiny()
    found = table()
    batch = problem.source.take(torch.from_numpy(problem.dataset.rows("test")))
    layers = normalisation_layers(problem.model)
    assert list(found.layers) == layers
    for stat in ("var", "std"):
        for point in ("input", "output"):
            for by, labels in (("class", batch.target), ("group", batch.group)):
                with torch.no_grad():
                    expected = gaps(problem.model, batch.pixels, labels, layers, GapDefinition(stat, point)).numpy()  # type: ignore[arg-type]
                assert gap_per_layer(found, by, (stat, point))[:, 0] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_measuring_changes_neither_weights_nor_statistics_nor_modes() -> None:
    model = copy.deepcopy(tiny().model).train()
    digest = weights_digest(model)
    table(model)
    assert weights_digest(model) == digest
    assert model.training
    assert model.body[1].training


def test_leaving_out_a_fold_equals_measuring_without_it() -> None:
    problem = tiny()
    rows = problem.dataset.rows("test")
    fold = folds_of(np.arange(len(rows)), 5)
    without = layer_table(problem.model, problem.source, rows[fold != 2], np.zeros(int((fold != 2).sum()), np.int64))
    assert without is not None
    for key, values in table().values.items():
        assert values[:, 3] == pytest.approx(without.values[key][:, 0], rel=1e-9)


def test_a_planted_difference_is_found_in_its_layer() -> None:
    """Class 1 gets its first channel widened at one layer's input only; that layer's gap grows, those before it stay."""
    problem = tiny()
    rows = problem.dataset.rows("test")
    target = problem.source.target.numpy()[rows]
    model = copy.deepcopy(problem.model)
    block = model.body[4]
    plain = block.conv1.forward
    position = {"at": 0}

    def widened(x: torch.Tensor) -> torch.Tensor:
        """Scale what class 1 gives the layer after this convolution."""
        y = plain(x)
        labels = torch.from_numpy(target[position["at"] : position["at"] + len(x)])
        position["at"] += len(x)
        return torch.where((labels == 1).view(-1, 1, 1, 1), 30 * y, y)

    block.conv1.forward = widened
    before, after = table(), table(model)
    change = (gap_per_layer(after, "class") - gap_per_layer(before, "class"))[:, 0]
    planted = before.layers.index("body.4.norm1")
    assert change[:planted] == pytest.approx(0, abs=1e-9)
    assert int(np.argmax(change)) == planted


def test_identical_classes_have_no_gap_and_one_class_is_undefined() -> None:
    values = {
        f"{s}/{p}/{by}": np.full((2, 4, 2), 3.0) for s in ("var", "std") for p in ("input", "output") for by in ("class", "group")
    }
    same = LayerTable(("a", "b"), np.array([0, 1]), np.array([0, 1]), 1, np.full((3, 2), 70), values)
    found = {
        v.metric: v.value(CANDIDATE, MeasureOptions()) for v in measure_layer_gaps(WhiteBoxOutputs(np.array(["x"]), layers=same))
    }
    assert found["FAIRNESS_GAP"].value == 0.0
    assert found["FAIRNESS_GAP"].interval == (0.0, 0.0)
    assert found["FAIRNESS_GAP"].details["enough_samples"] is True
    lone = {key: np.where(np.arange(2) == 1, np.nan, array) for key, array in values.items()}
    one = LayerTable(("a", "b"), np.array([0, 1]), np.array([0, 1]), 1, np.array([[70, 0]] * 3), lone)
    why = next(measure_layer_gaps(WhiteBoxOutputs(np.array(["x"]), layers=one))).reason
    assert "fewer than two classes" in why


def test_the_interval_holds_the_value_and_a_change_with_itself_is_zero() -> None:
    outputs = WhiteBoxOutputs(np.array(["x"]), layers=table())
    gap, by_group = (found.value(CANDIDATE, MeasureOptions()) for found in measure_layer_gaps(outputs))
    assert gap.interval is not None
    assert gap.interval[0] <= gap.value <= gap.interval[1]  # type: ignore[operator]
    assert list(gap.details["layers"]) == list(table().layers)
    assert set(gap.details["readings"]) == {"var/input", "var/output", "std/input", "std/output"}
    assert by_group.smallest_group is not None
    for found in layer_gap_changes((outputs, outputs)):
        change = found.value(BASELINE.as_change(), MeasureOptions())
        assert (change.value, change.interval, change.details["distance"]) == (0.0, (0.0, 0.0), 0.0)


def test_a_network_without_normalisation_is_undefined_not_zero() -> None:
    problem = tiny()
    model = Classifier(
        torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2), ModelSpec("none", 2, (3, 32, 32), (0.5,) * 3, (0.5,) * 3)
    )
    rows = problem.dataset.rows("test")
    assert layer_table(model, problem.source, rows, np.zeros(len(rows), np.int64)) is None
    found = next(measure_layer_gaps(WhiteBoxOutputs(np.array(["x"]))))
    assert found.estimate is None
    assert found.reason == "the network has no normalisation layer"


def test_cells_that_nothing_was_added_to_are_empty_also_when_scaled() -> None:
    for moments in (Moments(2), Moments(2).scaled(torch.tensor([2.0]), torch.tensor([1.0]))):
        count, mean, squares = moments.arrays()
        assert (count.tolist(), mean.tolist(), squares.tolist()) == ([0.0, 0.0], [[0.0], [0.0]], [[0.0], [0.0]])


def test_a_normalisation_without_weights_is_one_with_weights_of_one() -> None:
    problem = tiny()
    plain = copy.deepcopy(problem.model).eval()
    layer = plain.body[1]  # type: ignore[index]
    assert isinstance(layer, torch.nn.BatchNorm2d)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(0.0)
    bare = copy.deepcopy(plain)
    without = torch.nn.BatchNorm2d(layer.num_features, affine=False)
    without.load_state_dict({name: value for name, value in layer.state_dict().items() if name not in ("weight", "bias")})
    bare.body[1] = without.eval()  # type: ignore[index, operator]
    rows = problem.dataset.rows("test")[:60]
    one, other = (layer_table(model, problem.source, rows, np.zeros(60, dtype=np.int64)) for model in (plain, bare))
    assert one is not None
    assert other is not None
    assert "body.1" in one.layers
    assert one.layers == other.layers
    for name, values in one.values.items():
        assert other.values[name] == pytest.approx(values, rel=1e-6, nan_ok=True), name
