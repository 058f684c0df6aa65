from __future__ import annotations

import csv

import pytest

from grmu_audit.errors import InputError
from grmu_audit.unlearning.blocks.information import MineTrainer
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.fine_tuning import penalty
from grmu_audit.unlearning.methods.miu import MiuConfig
from grmu_audit.unlearning.presets import CONSTANTS, Query, options, paper_preset, query, rows


def wanted(**changes: object) -> Query:
    base = {"dataset": "celeba", "method": "miu", "ratio": 0.9, "groups": 1, "reweight": True}
    return Query(**{**base, **changes})  # type: ignore[arg-type]


def test_a_row_becomes_options() -> None:
    preset = paper_preset(wanted(), MiuConfig.model_fields)
    assert preset.label == "celeba resnet18, ratio 0.9, groups 1, miu, REWEIGHT yes"
    assert preset.settings == {
        "batch_size": 256, "epochs": 10, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "optimizer": "sgd",
        "schedule": "cosine", "warmup": 0.0, "augment": True, "forget_epochs": 5, "estimator_learning_rate": 0.01,
        "lambda_mi": 1.0, "estimator_steps_first": 100, "estimator_steps": 10, "estimator": "mine", "clip": 0.0,
    }  # fmt: skip
    config = MiuConfig.model_validate(preset.settings)
    assert config.lambda_mi == 1.0


def test_every_preset_has_its_method_s_constants() -> None:
    """What is the same in all rows of a method stands in a table of its own, with its source."""
    held = {
        "l1_sparse": {"alpha": 5e-4},
        "salun": {"density": 0.5},
        "scrub": {"gamma": 0.99, "alpha": 0.001, "temperature": 4.0, "retain_batch_size": 128},
        "miu": {"estimator_steps_first": 100, "estimator_steps": 10, "estimator": "mine", "clip": 0.0},
    }
    for row in rows():
        method = row["method"]
        assert {name: options(row)[name] for name in held.get(method, {})} == held.get(method, {})
        if method in held:
            made = methods.get(method).config.model_validate(options(row)).model_dump()
            assert {name: made[name] for name in held[method]} == held[method]


def test_constants_that_are_no_option_are_the_code_s() -> None:
    with CONSTANTS.open(newline="", encoding="utf-8") as stream:
        cells = {(row["method"], row["constant"]): row["value"] for row in csv.DictReader(stream)}
    average = MineTrainer.RATE
    assert average == float(cells["miu", "moving average of MINE's gradient (alpha)"])
    epochs, warmup = cells["pretrain", "epochs | warm-up epochs"].split(" | ")
    trained = [row for row in rows() if row["method"] == "pretrain"]
    assert {row["epochs"] for row in trained} == {epochs}
    assert {row["warmup_epochs"] for row in trained if row["dataset"] != "multinli"} == {warmup}
    chosen = {row["forgetting_epochs"] for row in rows() if row["method"] == "scrub"}
    assert chosen <= set(cells["scrub", "forget passes stop after epochs"].split(" | "))
    steps = [penalty(1.0, epoch, 10, 0) for epoch in range(10)]
    assert steps == [pytest.approx(1 - epoch / 10) for epoch in range(10)], cells["l1_sparse", "penalty schedule"]


def test_reweight_ratio_and_groups_choose_the_row() -> None:
    assert paper_preset(wanted(reweight=False), MiuConfig.model_fields).settings["learning_rate"] == 0.001
    assert paper_preset(wanted(ratio=0.505), MiuConfig.model_fields).label.startswith("celeba resnet18, ratio 0.5")
    many = paper_preset(wanted(dataset="fairface", ratio=0.5, groups=25), MiuConfig.model_fields)
    assert many.settings["schedule"] == "constant"
    assert many.settings["learning_rate"] == 0.01


def test_warmup_epochs_become_a_share_of_steps_and_group_dro_is_named() -> None:
    row = next(r for r in rows() if r["dataset"] == "celeba" and r["method"] == "retrain+group_dro")
    found = options(row)
    assert found["warmup"] == pytest.approx(2 / 30)
    assert found["group_dro"] is True
    assert found["dro_step_size"] == 0.1


def test_every_row_of_a_registered_method_makes_a_valid_config() -> None:
    count = 0
    for row in rows():
        name = row["method"].removesuffix("+group_dro")
        if name not in methods.names():
            continue
        config = methods.get(name).config
        found = {k: v for k, v in options(row).items() if k in config.model_fields}
        made = config.model_validate(found)
        assert made.learning_rate == float(row["lr"])
        assert set(options(row)) - {"forget_epochs"} <= set(config.model_fields) or name not in {"miu", "retrain"}
        count += 1
    assert count >= 30


def test_parts_of_the_name_override_the_request() -> None:
    base = wanted(dataset="photodigits")
    assert query("paper", base) == base
    assert query("paper:waterbirds", base) == wanted(dataset="waterbirds")
    assert query("paper:fairface:0.5:9", base) == wanted(dataset="fairface", ratio=0.5, groups=9)


@pytest.mark.parametrize("text", ["thesis", "paper:celeba:0.5:1:x", "paper:celeba:half"])
def test_other_names_are_errors(text: str) -> None:
    with pytest.raises(InputError, match="--preset"):
        query(text, wanted())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "photodigits"}, r"has no dataset 'photodigits' \(celeba, fairface, multinli, waterbirds\)"),
        ({"method": "delete"}, "no row for delete with REWEIGHT on celeba.*l1_sparse with REWEIGHT"),
        ({"ratio": 0.3}, "ratio 0.3.*0.1 of 1 group"),
        ({"ratio": None}, "an unknown ratio"),
        ({"groups": 2}, r"2 group\(s\)"),
    ],
)
def test_a_missing_row_is_said_with_what_there_is(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        paper_preset(wanted(**changes), MiuConfig.model_fields)


@pytest.mark.parametrize(
    ("count", "size", "fits"), [(10, 19, True), (9, 19, True), (11, 19, False), (3, 5, True), (526, 1000, False), (1, 1, True)]
)
def test_a_small_group_takes_the_ratio_that_its_rows_allow(count: int, size: int, fits: bool) -> None:
    request = wanted(ratio=count / size, size=size)
    if not fits:
        with pytest.raises(InputError, match="no row for"):
            paper_preset(request, MiuConfig.model_fields)
        return
    label = paper_preset(request, MiuConfig.model_fields).label
    assert label.startswith(f"celeba resnet18, ratio {0.9 if count == size else 0.5}, groups 1, miu, REWEIGHT yes")
    assert f"is the nearest that {size} rows allow" in label


def test_a_ratio_that_is_named_must_be_in_the_table() -> None:
    with pytest.raises(InputError, match="no row for"):
        paper_preset(query("paper:celeba:0.526", wanted(size=19)), MiuConfig.model_fields)
