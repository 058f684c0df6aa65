"""Which method and options a request is unlearned with."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.memory_store import MemoryStore

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.records import ModelRef
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.forget_requests import read_request
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import MethodChoice, UnlearnOptions, choose_method
from grmu_audit.workflows.versions.unlearning import unlearn


def chosen(
    session: Session,
    base: tuple[MemoryStore, ModelRef, Path],
    pretrained_with: dict[str, object] | None = None,
    **options: object,
) -> MethodChoice:
    dataset = session.dataset_of(base[1])
    request = read_request(session, base[2], dataset, base[1])
    return choose_method(request, dataset, UnlearnOptions(**options), pretrained_with or {})  # type: ignore[arg-type]


def test_a_preset_is_taken_by_row_and_settings_win(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    found = chosen(session, base, method="miu", preset="paper:waterbirds", settings={"epochs": 3})
    assert found.settings["batch_size"] == 256
    assert found.settings["learning_rate"] == 0.1
    assert found.settings["epochs"] == 3
    assert found.reasons["preset"] == "waterbirds resnet18, ratio 0.5, groups 1, miu, REWEIGHT yes"
    with pytest.raises(InputError, match="has no dataset 'photodigits'"):
        chosen(session, base, method="miu", preset="paper")
    with pytest.raises(NotFoundError, match="did you mean 'miu'"):
        chosen(session, base, method="miuu")


def test_an_exact_method_repeats_the_recipe_and_others_do_not(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    recipe = {"epochs": 7}
    assert chosen(session, base, method="retrain", pretrained_with=recipe).settings == recipe
    assert chosen(session, base, pretrained_with=recipe).settings == {}
    assert chosen(session, base, method="retrain", pretrained_with=recipe, settings={"epochs": 1}).settings == {"epochs": 1}


def test_options_without_effect_are_refused_and_not_recorded(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    with pytest.raises(InputError, match="'ssd' does not train: epochs, learning_rate would have no effect"):
        chosen(session, base, method="ssd", settings={"epochs": 2, "learning_rate": 0.1, "batch_size": 32})
    ref = unlearn(
        session, base[1].label, base[2], UnlearnOptions("ssd", {"batch_size": 32, "selection": 1.0}, keep_collapsed=True)
    )
    settings = ref.config["settings"]
    assert isinstance(settings, dict)
    assert settings["batch_size"] == 32
    assert set(settings) == set(methods.get("ssd").config.model_fields) - methods.get("ssd").unused_options


def test_the_preset_follows_group_dro_of_the_lineage(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    found = chosen(session, base, method="retrain", preset="paper:celeba", pretrained_with={"group_dro": True})
    assert "retrain+group_dro" in found.reasons["preset"]
    assert found.settings["learning_rate"] == 0.1
