"""Trials of options: what is varied, recorded and chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.memory_store import MemoryStore

from grmu_audit.errors import DivergedError, InputError
from grmu_audit.records import ModelRef
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import MethodChoice, UnlearnOptions
from grmu_audit.workflows.versions.tuning import Trial, best_of, trial_settings
from grmu_audit.workflows.versions.unlearning import unlearn


def test_tuning_records_every_trial_and_never_reads_a_retrained_model(
    session: Session, base: tuple[MemoryStore, ModelRef, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    fetch = session.store.fetch
    monkeypatch.setattr(session.store, "fetch", lambda ref, into: (fetched.append(ref.role), fetch(ref, into))[1])
    kinds: list[tuple[str, str | None]] = []
    run = session.store.run
    monkeypatch.setattr(
        session.store, "run", lambda model, kind, **more: (kinds.append((kind, more.get("parent"))), run(model, kind, **more))[1]
    )
    ref = unlearn(session, base[1].label, base[2], UnlearnOptions("cf", {"batch_size": 128, "epochs": 1}, trials=3))
    tuned = ref.config["tuned"]
    assert isinstance(tuned, dict)
    assert (tuned["trials"], tuned["oracle"]) == (3, False)
    assert 0 <= tuned["lost"] <= 1
    assert 0 <= tuned["advantage"] <= 1
    assert set(fetched) == {"pretrain"}
    assert [kind for kind, _ in kinds] == ["tune", "trial", "trial", "trial", "unlearn"]
    assert {parent for kind, parent in kinds if kind == "trial"} == {tuned["run"]}
    settings = ref.config["settings"]
    assert isinstance(settings, dict)
    assert settings["epochs"] == 1


def test_candidates_start_with_the_defaults_and_leave_fixed_options_alone() -> None:
    choice = MethodChoice(methods.get("miu"), {"epochs": 4}, frozenset({"epochs"}), True)
    drawn = trial_settings(choice, 30)
    assert drawn[0] == {}
    assert drawn == trial_settings(choice, 30) != trial_settings(replace(choice, seed=1), 30)
    rates = [float(str(trial["learning_rate"])) for trial in drawn[1:]]
    assert 0.005 <= min(rates) < 0.02 < 0.1 < max(rates) <= 0.5
    assert not any("epochs" in trial for trial in drawn)


@pytest.mark.parametrize("name", [name for name in methods.names() if name != "certified"])  # which has nothing to vary
def test_candidates_vary_only_what_has_an_effect(name: str) -> None:
    method = methods.get(name)
    drawn = trial_settings(MethodChoice(method, {}, frozenset(), False), 6)[1:]
    assert all(trial and not method.unused_options & set(trial) for trial in drawn)
    assert len({tuple(trial.items()) for trial in drawn}) == 5
    for trial in drawn:
        method.config.model_validate(trial)


def test_nothing_left_to_vary_is_an_error() -> None:
    every = frozenset(methods.get("cf").config.model_fields)
    with pytest.raises(InputError, match="nothing to search"):
        trial_settings(MethodChoice(methods.get("cf"), {}, every, True), 2)
    assert trial_settings(MethodChoice(methods.get("cf"), {}, every, True), 1) == [{}]


def test_failed_trials_never_win() -> None:
    failed = Trial(0, {}, failure="diverged")
    good, better = Trial(1, {}, 0.2, 0.3), Trial(2, {}, 0.1, 0.3)
    assert best_of([failed, good, better, replace(better, number=3)]).number == 2
    with pytest.raises(DivergedError, match="all 1 trials failed, the last with: diverged"):
        best_of([failed])
