"""A pool of real, small shadow models: stored, resumed, within budget, and strong enough to find what a model memorised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.outcomes import values_of
from support.tiny import CPU, dataset, runtime

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.margin_files import is_sorted_otherwise
from grmu_audit.evaluation.predict import apply_request, predict_all
from grmu_audit.evaluation.shadow_models import NOTHING, LeftOut, ShadowPool, TrainingCost, UnlearnedPool, population_of
from grmu_audit.metrics import CheckedPredictions, check_predictions
from grmu_audit.metrics.membership.shadow_metrics import attack_audited_model, attack_method_on_shadows
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

RECIPE = TrainConfig(epochs=20, augment=False, keep_best=False, batch_size=16)
SIZES = {"train": 200, "val": 60, "test": 300}


@pytest.fixture(scope="module")
def source() -> BatchSource:
    """A few digits, so that a small network learns them by heart."""
    whole = dataset()
    rows = np.sort(np.concatenate([whole.rows(split)[:size] for split, size in SIZES.items()]))
    return BatchSource(Dataset(whole.header, whole.frame.iloc[rows].reset_index(drop=True), whole.pixels[rows]), CPU)


def network() -> Classifier:
    header = dataset().header
    spec = ModelSpec("small_resnet", 2, header.image_size, header.mean, header.std, header.class_names, {"widths": [8, 16, 32]})
    return build(spec, 0)


@pytest.fixture(scope="module")
def pool(source: BatchSource, tmp_path_factory: pytest.TempPathFactory) -> ShadowPool:
    made = ShadowPool(tmp_path_factory.mktemp("pools"), source, network(), RECIPE, runtime())
    assert made.train_missing(8) == 8
    return made


def attacked(source: BatchSource, model: Classifier, forget: np.ndarray) -> CheckedPredictions:
    names = [f"s{i}" for i in range(len(source.dataset))]
    outputs = predict_all(model, source, runtime(), names)
    return check_predictions(apply_request(outputs, frozenset(names[i] for i in forget), ("a", "b"), ("c", "d")))


def test_attacks_find_a_model_that_memorised_and_not_one_that_never_saw_the_samples(
    source: BatchSource, pool: ShadowPool
) -> None:
    train = source.dataset.rows("train")
    forget, retain = train[::2], train[1::2]
    table = pool.table(8, np.array([f"s{i}" for i in range(len(source.dataset))]))
    found = {}
    for name, rows, seed in (("memorised", train, 0), ("retrained", retain, 1)):
        model = fit(build(network().spec, seed), source, TrainingRows(rows), RECIPE, runtime(seed))
        values = values_of(attack_audited_model(attacked(source, model, forget), table))
        found[name] = {v.name: v for v in values if v.group is None}
    for name in ("RMIA_AUC", "LIRA_AUC"):
        memorised, retrained = found["memorised"][name].interval, found["retrained"][name].interval
        assert memorised is not None
        assert retrained is not None
        assert memorised[0] > (0.5 if name == "RMIA_AUC" else 0.47), (name, memorised)
        assert memorised[1] > retrained[1] + 0.05, (name, memorised, retrained)
        assert retrained[0] <= 0.5 <= retrained[1], (name, retrained)


def test_what_a_weak_method_leaves_is_found_in_models_whose_truth_is_known(source: BatchSource, pool: ShadowPool) -> None:
    forget = source.dataset.rows("train")[::2]
    weak = methods.get("gradient_ascent")

    def run(model: Classifier, retain: np.ndarray, forget: np.ndarray, at: object) -> Classifier:
        """One epoch of gradient ascent."""
        data = UnlearningData(source, retain, forget, source.dataset.rows("val"))
        return apply_method(weak, model, data, weak.config(epochs=1, learning_rate=1e-5), runtime())

    bank = UnlearnedPool(pool, {"method": "weak"}, forget, run)
    assert bank.train_missing(8) == 8
    table = bank.add_to(pool.table(8, np.array([f"s{i}" for i in range(len(source.dataset))])), 8)
    assert table.forgotten is not None
    assert (table.forgotten <= table.member).all()
    f = attacked(source, pool.model(0), forget)
    found = {v.name: v for v in values_of(attack_method_on_shadows(f, table))}
    assert found["ULIRA_AUC"].interval is not None
    assert found["ULIRA_AUC"].interval[0] > 0.5


def test_halves_are_complementary_and_balanced_and_hold_one_image_of_every_unseen_person(
    source: BatchSource, pool: ShadowPool
) -> None:
    population = population_of(source)
    assert (np.sort(population) == pool.population).all()
    assert len(population) == sum(SIZES.values())
    whole = pool.member(0) | pool.member(1)
    assert not (pool.member(0) & pool.member(1)).any()
    assert np.flatnonzero(whole).tolist() == population.tolist()
    assert (pool.member(0) != pool.member(2)).any()
    again = source.dataset.frame.copy()
    again["subject"] = again["subject"].where(again["split"] == "train", 0)
    merged = BatchSource(Dataset(source.dataset.header, again, source.dataset.pixels), CPU)
    assert len(population_of(merged)) == SIZES["train"] + 1
    unseen = np.flatnonzero(source.dataset.frame["split"] != "train")[[0, -1]]
    assert set(population) - set(population_of(source, LeftOut(unseen, "two rows")).tolist()) == set(unseen.tolist())


def test_a_killed_run_goes_on_where_it_stopped_and_ends_up_with_the_same_pool(
    source: BatchSource, pool: ShadowPool, tmp_path: Path
) -> None:
    class Killed(ShadowPool):
        def train(self, number: int) -> bytes:
            if number == 1:
                raise KeyboardInterrupt
            return super().train(number)

    short = RECIPE.model_copy(update={"epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        Killed(tmp_path, source, network(), short, runtime()).train_missing(2)
    resumed = ShadowPool(tmp_path, source, network(), short, runtime())
    assert resumed.count_stored(2) == 1
    resumed.train_missing(2)
    whole = ShadowPool(tmp_path / "other", source, network(), short, runtime())
    whole.train_missing(2)
    names = np.array([str(i) for i in range(len(source.dataset))])
    assert (resumed.table(2, names).margin == whole.table(2, names).margin).all()
    model = resumed.model(1)
    assert resumed._margins(model) == pytest.approx(resumed.table(2, names).margin[1], abs=1e-5)


def test_another_recipe_or_dataset_is_another_pool_and_a_larger_one_is_the_same(source: BatchSource, pool: ShadowPool) -> None:
    assert ShadowPool(pool.folder.parent, source, network(), RECIPE, runtime()).count_stored(9) == 8
    assert (
        ShadowPool(pool.folder.parent, source, network(), RECIPE.model_copy(update={"epochs": 2}), runtime()).count_stored(8) == 0
    )
    header = replace(source.dataset.header, version="2")
    other = BatchSource(Dataset(header, source.dataset.frame, source.dataset.pixels), CPU)
    assert ShadowPool(pool.folder.parent, other, network(), RECIPE, runtime()).count_stored(8) == 0


def test_the_cost_is_stated_first_and_the_budget_holds(source: BatchSource, pool: ShadowPool, tmp_path: Path) -> None:
    cost = pool.cost(12)
    assert (cost.wanted, cost.stored) == (12, 8)
    assert cost.seconds == pytest.approx(4 * cost.seconds_each)  # type: ignore[operator]
    unknown = TrainingCost(4, 0, None).words("shadow models", None)
    assert unknown == "shadow models: 4 wanted, 0 stored, 4 to train, at an unknown cost"
    assert pool.train_missing(12, budget=0.0) == 8
    assert pool.count_stored(12) == 8
    empty = ShadowPool(tmp_path, source, network(), RECIPE, runtime())
    assert empty.train_missing(4, budget=60.0, guess=61.0) == 0
    none = UnlearnedPool(pool, {}, np.arange(3), lambda *_: pytest.fail("the method was begun"))
    assert none.train_missing(4, budget=60.0, guess=61.0) == 0


def test_a_damaged_model_is_named(source: BatchSource, tmp_path: Path) -> None:
    short = ShadowPool(tmp_path, source, network(), RECIPE.model_copy(update={"epochs": 1}), runtime())
    short.train_missing(2)
    path = next(short.folder.glob("0001.zip"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IntegrityError, match=r"0001.zip is damaged .*: delete it, and it is trained again"):
        short.table(2, np.array([""] * len(source.dataset)))


def test_rows_that_are_left_out_are_in_no_model_and_in_the_key(source: BatchSource, tmp_path: Path) -> None:
    gone = source.dataset.rows("train")[5:25]

    def pool_without(left_out: LeftOut) -> ShadowPool:
        return ShadowPool(tmp_path, source, network(), RECIPE, runtime(), left_out)

    whole, other = pool_without(NOTHING), pool_without(LeftOut(gone, "hmac-sha256:1"))
    assert len({whole.key, other.key, pool_without(LeftOut(gone, "hmac-sha256:2")).key}) == 3
    members = other.member(0) | other.member(1)
    assert set(np.flatnonzero(members)) == set(population_of(source).tolist()) - set(gone.tolist())
    assert pool_without(LeftOut(gone[:0], "hmac-sha256:1")).key == whole.key


def test_margins_that_were_sorted_under_another_key_are_computed_from_the_weights_again(
    source: BatchSource, tmp_path: Path
) -> None:
    names = np.array([f"s{i:03d}" for i in range(len(source.dataset))])
    other = np.array([f"t{i:03d}" for i in range(len(source.dataset))])[::-1]
    tiny = build(replace(network().spec, options={"widths": [4]}), 0)
    quick = RECIPE.model_copy(update={"epochs": 1})
    first, second = (ShadowPool(tmp_path, source, tiny, quick, runtime(), replace(NOTHING, names=key)) for key in (names, other))
    assert first.train_missing(2) == 2
    assert second.cost(2).stored == 2, "the models are the same, whatever the rows are called"
    expected = first.table(1, names).margin
    (path,) = tmp_path.rglob("0000.zip")
    before = path.read_bytes()
    assert np.allclose(second.table(1, names).margin, expected, atol=1e-5)
    assert path.read_bytes() != before
    assert not is_sorted_otherwise(path, second.order)
    assert np.allclose(second.table(1, names).margin, expected, atol=1e-5)
