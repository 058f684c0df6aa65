"""From request to version: the router, presets, tuning, resume, and nothing registered after a failure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.memory_store import MemoryStore

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError, NotFoundError
from grmu_audit.records import Group, ModelRef
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.forget_requests import read_request, sample
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import Choice, choose
from grmu_audit.workflows.versions.pretraining import pretrain
from grmu_audit.workflows.versions.tuning import Trial, best_of, candidates, halves
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 2, "batch_size": 128}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryStore, ModelRef, Path]:
    """A store with a pretrained version, and a forget list."""
    root = tmp_path_factory.mktemp("base")
    store = MemoryStore(root / "store")
    session = open_session(store, root)
    ref = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), settings={"epochs": 2})
    sample(session, session.dataset_of(ref), root / "ids.csv", groups=[Group(1, 0)], ratio=0.5, seed=0)
    return store, ref, root / "ids.csv"


def open_session(store: MemoryStore, root: Path) -> Session:
    session = Session(root=root, device="cpu", progress=False)
    session.store = store  # type: ignore[misc]
    return session


@pytest.fixture
def session(base: tuple[MemoryStore, ModelRef, Path], tmp_path: Path) -> Session:
    return open_session(base[0], tmp_path)


def chosen(session: Session, base: tuple[MemoryStore, ModelRef, Path], **options: object) -> Choice:
    dataset = session.dataset_of(base[1])
    request = read_request(session, base[2], dataset, base[1])
    return choose(request, dataset, **{"method": "miu", "settings": {}, "reweight": None, **options})  # type: ignore[arg-type]


def test_auto_picks_by_the_request_and_the_record_says_why(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    ref = unlearn(session, base[1].label, base[2], method="auto", settings={**SHORT, "layers": 1})
    assert (ref.method, ref.reweight) == ("miu", True)
    told = ref.config["router"]
    assert isinstance(told, dict)
    assert told["kind"] == "group"
    assert "total variation" in told["why"]
    settings = ref.config["settings"]
    assert isinstance(settings, dict)
    assert settings["layers"] == "1"
    assert set(settings) == set(methods.get("miu").config.model_fields)


def test_a_preset_is_taken_by_row_and_settings_win(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    found = chosen(session, base, preset="paper:waterbirds", settings={"epochs": 3})
    assert found.settings["batch_size"] == 256
    assert found.settings["learning_rate"] == 0.1
    assert found.settings["epochs"] == 3
    assert found.facts["preset"] == "waterbirds resnet18, ratio 0.5, groups 1, miu, REWEIGHT yes"
    with pytest.raises(InputError, match="has no dataset 'photodigits'"):
        chosen(session, base, preset="paper")
    with pytest.raises(NotFoundError, match="did you mean 'miu'"):
        chosen(session, base, method="miuu")


def test_an_exact_method_repeats_the_recipe_and_others_do_not(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    recipe = {"epochs": 7}
    assert chosen(session, base, method="retrain", recipe=recipe).settings == recipe
    assert chosen(session, base, recipe=recipe).settings == {}
    assert chosen(session, base, method="retrain", recipe=recipe, settings={"epochs": 1}).settings == {"epochs": 1}


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
    ref = unlearn(session, base[1].label, base[2], method="cf", settings={"batch_size": 128, "epochs": 1}, trials=3)
    told = ref.config["tuned"]
    assert isinstance(told, dict)
    assert (told["trials"], told["oracle"]) == (3, False)
    assert 0 <= told["lost"] <= 1
    assert 0 <= told["advantage"] <= 1
    assert set(fetched) == {"pretrain"}
    assert [kind for kind, _ in kinds] == ["tune", "trial", "trial", "trial", "unlearn"]
    assert {parent for kind, parent in kinds if kind == "trial"} == {told["run"]}
    settings = ref.config["settings"]
    assert isinstance(settings, dict)
    assert settings["epochs"] == 1


def test_candidates_start_with_the_defaults_and_leave_fixed_options_alone() -> None:
    choice = Choice(methods.get("miu"), {"epochs": 4}, frozenset({"epochs"}), True)
    drawn = candidates(choice, 0, 30)
    assert drawn[0] == {}
    assert drawn == candidates(choice, 0, 30) != candidates(choice, 1, 30)
    rates = [float(str(trial["learning_rate"])) for trial in drawn[1:]]
    assert 0.005 <= min(rates) < 0.02 < 0.1 < max(rates) <= 0.5
    assert not any("epochs" in trial for trial in drawn)


@pytest.mark.parametrize("name", methods.names())
def test_candidates_vary_only_what_has_an_effect(name: str) -> None:
    method = methods.get(name)
    drawn = candidates(Choice(method, {}, frozenset(), False), 0, 6)[1:]
    assert all(trial and not method.unused_options & set(trial) for trial in drawn)
    assert len({tuple(trial.items()) for trial in drawn}) == 5
    for trial in drawn:
        method.config.model_validate(trial)


def test_options_without_effect_are_refused_and_not_recorded(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    with pytest.raises(InputError, match="'ssd' does not train: epochs, learning_rate would have no effect"):
        chosen(session, base, method="ssd", settings={"epochs": 2, "learning_rate": 0.1, "batch_size": 32})
    ref = unlearn(session, base[1].label, base[2], method="ssd", settings={"batch_size": 32})
    settings = ref.config["settings"]
    assert isinstance(settings, dict)
    assert settings["batch_size"] == 32
    assert set(settings) == set(methods.get("ssd").config.model_fields) - methods.get("ssd").unused_options


def test_nothing_left_to_vary_is_an_error() -> None:
    every = frozenset(methods.get("cf").config.model_fields)
    with pytest.raises(InputError, match="nothing to search"):
        candidates(Choice(methods.get("cf"), {}, every, True), 0, 2)
    assert candidates(Choice(methods.get("cf"), {}, every, True), 0, 1) == [{}]


def test_failed_trials_never_win() -> None:
    failed = Trial(0, {}, failure="diverged")
    good, better = Trial(1, {}, 0.2, 0.3), Trial(2, {}, 0.1, 0.3)
    assert best_of([failed, good, better, replace(better, number=3)]).number == 2
    with pytest.raises(DivergedError, match="all 1 trials failed, the last with: diverged"):
        best_of([failed])


def test_halves_are_disjoint_and_keep_each_group() -> None:
    rows, groups = np.arange(100, 161), np.repeat([0, 1, 3], [40, 20, 1])
    first, second = halves(rows, groups, 0)
    assert sorted([*first, *second]) == rows.tolist()
    assert np.bincount(groups[second - 100], minlength=4).tolist() == [20, 10, 0, 1]


def test_an_interrupted_run_is_found_again_by_its_options(
    session: Session, base: tuple[MemoryStore, ModelRef, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up after the first epoch; the second attempt goes on and makes the same weights as a whole run."""
    whole = unlearn(session, base[1].label, base[2], settings=SHORT)
    folder = session.root / "checkpoints"
    assert not list(folder.glob("*/*"))
    save, saved = Checkpoints.save, []

    def full(self: Checkpoints, *args: object) -> None:
        if saved:
            raise EnvironmentFailure("disk full")
        saved.append(1)
        save(self, *args)  # type: ignore[arg-type]

    count = len(session.store.versions("m"))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        with pytest.raises(EnvironmentFailure, match="disk full"):
            unlearn(session, base[1].label, base[2], settings=SHORT)
    assert len(session.store.versions("m")) == count
    assert len(list(folder.glob("*/*.safetensors"))) == 1
    other = unlearn(session, base[1].label, base[2], settings={**SHORT, "lambda_mi": 2.0}, resume=True)
    assert "resumed_after_epoch" not in other.config
    again = unlearn(session, base[1].label, base[2], settings=SHORT, resume=True)
    assert again.config["resumed_after_epoch"] == [1]
    assert state(session, again) == state(session, whole) != state(session, other)
    assert not list(folder.glob("*/*"))


def state(session: Session, ref: ModelRef) -> bytes:
    """The version's weights as stored."""
    folder = session.root / f"v{ref.version}"
    return (session.store.fetch(ref, folder) / "state.safetensors").read_bytes()


def test_divergence_registers_nothing_and_leaves_no_checkpoint(
    session: Session, base: tuple[MemoryStore, ModelRef, Path]
) -> None:
    count = len(session.store.versions("m"))
    with pytest.raises(DivergedError, match="nothing was registered"):
        unlearn(session, base[1].label, base[2], method="cf", settings={**SHORT, "learning_rate": 1e9, "warmup": 0.0})
    assert len(session.store.versions("m")) == count
    assert not list((session.root / "checkpoints").glob("*/*"))
