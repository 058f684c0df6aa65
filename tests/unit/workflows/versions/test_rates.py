"""Learning rates follow the model; a run that collapses is repeated at a lower one, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.memory_store import MemoryStore
from support.sessions import open_session
from support.tiny import tiny

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import CollapsedError, DivergedError
from grmu_audit.records import ModelRef
from grmu_audit.training.distributed import World
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import MethodChoice, UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import register
from grmu_audit.workflows.versions.rates import Recipe, effect_on_forget_set, follow_model, known_recipe, probed, step_back
from grmu_audit.workflows.versions.unlearning import unlearn

USUAL = Recipe("sgd", 0.05, 0.9, True)


def choice(method: str = "miu", **settings: Any) -> MethodChoice:
    return MethodChoice(methods.get(method), settings, frozenset(settings), True)


def never(_: MethodChoice) -> tuple[float, Any]:
    raise AssertionError("no probe is needed")


@pytest.mark.parametrize(
    ("recipe", "method", "settings", "wanted"),
    [
        (USUAL, "miu", {}, {}),
        (Recipe("sgd", 0.1, 0.9, True), "miu", {}, {"learning_rate": 0.1, "optimizer": "sgd", "momentum": 0.9}),
        (Recipe("adamw", 1e-3, 0.9, True), "cf", {}, {"learning_rate": 2e-4, "optimizer": "adamw", "momentum": 0.9}),
        (Recipe("sgd", 0.05, 0.9, False), "miu", {}, {"augment": False}),
        (Recipe("adamw", 1e-3, 0.9, True), "miu", {"learning_rate": 0.5}, {"learning_rate": 0.5}),
        (None, "miu", {"learning_rate": 0.5}, {"learning_rate": 0.5, "augment": False}),
        (None, "miu", {"learning_rate": 0.5, "augment": True}, {"learning_rate": 0.5, "augment": True}),
        (None, "retrain", {}, {}),
        (None, "ssd", {}, {}),
    ],
)
def test_rates_follow_the_training_record(recipe: Recipe | None, method: str, settings: Any, wanted: Any) -> None:
    assert follow_model(choice(method, **settings), recipe, never).settings == wanted


@pytest.mark.parametrize("recipe", [None, Recipe("adamw", 1e-3, 0.9, True)])
def test_without_a_record_of_that_optimiser_a_probe_decides(recipe: Recipe | None) -> None:
    found = follow_model(choice(optimizer="sgd"), recipe, lambda _: (0.002, ["tried"]))
    assert found.settings["learning_rate"] == 0.002
    assert found.reasons["learning_rate"] == {"source": "probe on the retain set", "rate": 0.002, "tried": ["tried"]}


def test_only_what_was_stated_counts() -> None:
    settings = {"learning_rate": 0.05, "optimizer": "sgd", "momentum": 0.9, "augment": True}
    ours = ModelRef("m", "1", role="pretrain", method="train", config={"settings": settings})
    assert known_recipe(ours) == USUAL
    for stated, wanted in ((None, None), (["epochs"], None), (["learning_rate"], Recipe("sgd", 0.05, 0.9, False))):
        theirs = ModelRef("m", "1", role="pretrain", method="registered", config={"settings": settings, "stated_recipe": stated})
        assert known_recipe(theirs) == wanted


def test_a_collapse_is_repeated_at_a_quarter_of_the_rate(session: Session) -> None:
    seen = []

    def run(one: MethodChoice) -> str:
        seen.append(one.settings.get("learning_rate", 0.05))
        if len(seen) < 3:
            raise DivergedError("it broke; nothing was registered")
        return str(one.reasons["learning_rate"]["stepped_back_from"])

    said = step_back(session, follow_model(choice(), USUAL, never), run)
    assert seen == [0.05, 0.0125, 0.00313]
    assert said == "[{'learning_rate': 0.05, 'failure': 'it broke'}, {'learning_rate': 0.0125, 'failure': 'it broke'}]"


def test_a_method_with_gentler_options_takes_them_instead_of_a_lower_rate(session: Session) -> None:
    seen = []

    def run(one: MethodChoice) -> str:
        seen.append((one.settings.get("keep"), one.settings.get("learning_rate")))
        if len(seen) < 3:
            raise CollapsedError("accuracy fell")
        return str(one.reasons["keep"]["stepped_back_from"])

    said = step_back(session, follow_model(choice("shrink"), USUAL, never), run)
    assert seen == [(None, None), (0.6, None), (0.9, None)]
    first, second = ({"keep": keep, "learning_rate": 0.05, "failure": "accuracy fell"} for keep in (0.25, 0.6))
    assert said == str([first, second])


def test_numbers_that_are_not_finite_lower_the_rate_of_every_method(session: Session) -> None:
    seen = []

    def run(one: MethodChoice) -> str:
        seen.append((one.settings.get("keep"), one.settings.get("learning_rate", 0.05)))
        raise DivergedError("it broke") if len(seen) < 2 else CollapsedError("accuracy fell")

    with pytest.raises(CollapsedError, match=r"tried: keep=0.25; learning_rate=0.05, keep=0.25; learning_rate=0.0125, keep=0.6"):
        step_back(session, follow_model(choice("shrink"), USUAL, never), run)
    assert seen == [(None, 0.05), (None, 0.0125), (0.6, 0.0125)]


def test_an_option_that_tuning_raised_is_only_raised_further(session: Session) -> None:
    seen = []

    def run(one: MethodChoice) -> str:
        seen.append(one.settings["keep"])
        raise CollapsedError("accuracy fell")

    tuned = replace(choice("shrink", keep=0.6), set_by_caller=frozenset())
    with pytest.raises(CollapsedError, match=r"a higher --set keep=\.\.\., --layers 1, or another method"):
        step_back(session, follow_model(tuned, USUAL, never), run)
    assert seen == [0.6, 0.9]


@pytest.mark.parametrize(
    ("one", "runs"),
    [(choice(learning_rate=1.0), 1), (choice("ssd"), 1), (choice(), 3), (choice("shrink", keep=0.3), 1), (choice("shrink"), 3)],
)
def test_a_refusal_says_what_was_tried(session: Session, one: MethodChoice, runs: int) -> None:
    seen: list[MethodChoice] = []

    def run(tried: MethodChoice) -> str:
        seen.append(tried)
        raise CollapsedError("accuracy fell")

    with pytest.raises(CollapsedError, match=r"accuracy fell.*nothing was registered.*--keep-collapsed"):
        step_back(session, follow_model(one, USUAL, never), run)
    assert len(seen) == runs


def test_an_option_that_cannot_help_is_not_named(session: Session) -> None:
    def run(one: MethodChoice) -> str:
        raise DivergedError("it broke")

    with pytest.raises(CollapsedError, match=r"it broke.*nothing was registered") as caught:
        step_back(session, follow_model(choice(learning_rate=1.0), USUAL, never), run)
    assert "--keep-collapsed" not in str(caught.value)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Path]:
    """A session with a model that fits, of which nothing is known, and a forget list."""
    root = tmp_path_factory.mktemp("foreign")
    torch.save({key.replace("body.", "", 1): value for key, value in tiny().model.state_dict().items()}, root / "w.pth")
    session = open_session(MemoryStore(root / "store"), root)
    network = NetworkChoice("small_resnet", {"widths": [6, 12]})
    ref = register(session, "m", root / "w.pth", DataSpec("photodigits", {"renders": 1}), network).ref
    sample_forget_list(session.dataset_of(ref), root / "ids.csv", ForgetSampling(("1,0",)))
    return session, root / "ids.csv"


BROKEN: dict[str, dict[str, object]] = {
    "gradient_ascent": {"learning_rate": 0.5, "epochs": 2},
    "ft": {"learning_rate": 10.0, "epochs": 1, "warmup": 0.0},
    "ssd": {"selection": 1e-9, "strength": 1e-9},
}


@pytest.mark.parametrize("method", BROKEN)
def test_no_method_registers_a_wreck(foreign: tuple[Session, Path], method: str) -> None:
    """One place for every method: by a rate too high, or by damping nearly every weight."""
    session, ids = foreign
    with pytest.raises(CollapsedError, match=r"accuracy fell from|not finite|grew from"):
        unlearn(session, "m/1", ids, UnlearnOptions(method, BROKEN[method], reweight=False))
    assert [ref.role for ref in session.store.versions("m") if ref.method == method] == []


def test_a_wreck_is_kept_on_request_and_its_record_says_so(foreign: tuple[Session, Path]) -> None:
    session, ids = foreign
    ref = unlearn(session, "m/1", ids, UnlearnOptions("ssd", BROKEN["ssd"], reweight=False, keep_collapsed=True))
    kept = ref.config["accuracy_kept"]
    assert isinstance(kept, dict)
    assert kept["collapsed"]
    assert (
        kept["before"]["plain"] - kept["after"]["plain"] > 0.15 or kept["before"]["balanced"] - kept["after"]["balanced"] > 0.15
    )


def test_the_first_of_several_processes_probes_alone(foreign: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not there: any exchange with them would fail."""
    session, _ = foreign
    monkeypatch.setattr(Session, "runtime", lambda self, seed: Runtime(torch.device("cpu"), seed, world=World(0, 2)))
    rate, tried = probed(session, session.store.resolve("m/1"), tiny().data, choice("cf", epochs=1))
    assert 0 < rate <= 0.05
    assert tried[-1]["fall"] <= 0.15


def test_an_unknown_model_is_probed_and_the_record_holds_what_was_tried(foreign: tuple[Session, Path]) -> None:
    session, ids = foreign
    ref = unlearn(session, "m/1", ids, UnlearnOptions("cf", {"epochs": 1}))
    rate, settings = ref.config["learning_rate"], ref.config["settings"]
    assert isinstance(rate, dict)
    assert isinstance(settings, dict)
    assert rate["source"] == "probe on the retain set"
    assert rate["tried"][0]["learning_rate"] == 0.05
    assert settings["learning_rate"] == pytest.approx(rate["tried"][-1]["learning_rate"] / 5, rel=0.01)
    assert settings["augment"] is False
    assert ref.config["accuracy_kept"]["collapsed"] is False  # type: ignore[index]
    found = ref.config["forget_accuracy"]
    assert isinstance(found, dict)
    assert {"before", "now", "unseen"} == set(found)
    assert all(0.0 <= value <= 1.0 for value in found.values())


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (1.0, "4 forgotten rows: 100.0 % before, 100.0 % now; on 3 validation rows of their groups: 66.7 %. It did not change: "),
        (0.5, "4 forgotten rows: 100.0 % before, 50.0 % now; on 3 validation rows of their groups: 66.7 %"),
    ],
)
def test_what_became_of_the_forget_set_is_said(monkeypatch: pytest.MonkeyPatch, now: float, said: str) -> None:
    problem = tiny()
    groups = problem.data.groups_of(problem.data.val)
    own = problem.data.groups_of(problem.data.forget)[0]
    val = np.concatenate([problem.data.val[groups == own][:3], problem.data.val[groups != own][:5]])
    data = replace(problem.data, forget=problem.data.forget[:4], val=val)
    answers = iter([1.0, now, 2 / 3])
    asked: list[int] = []

    def accuracy(model: object, source: object, rows: np.ndarray, runtime: Runtime) -> float:
        asked.append(len(rows))
        return next(answers)

    monkeypatch.setattr("grmu_audit.training.inference.accuracy", accuracy)
    used = Runtime(torch.device("cpu"), 0)
    text = effect_on_forget_set(problem.model, problem.model, data, used)
    assert text.removeprefix("accuracy on the ").startswith(said)
    assert text.endswith("another method") is (now == 1.0)
    assert asked == [4, 4, 3]
    assert used.notes["forget_accuracy"] == {"before": 1.0, "now": now, "unseen": 2 / 3}
