"""The learning rate that a method starts with on a given model, and what follows when a run loses too much accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from grmu_audit.errors import CollapsedError, DivergedError
from grmu_audit.records import ModelRef
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.creation import TRAINED
from grmu_audit.workflows.versions.method_choice import MethodChoice
from grmu_audit.workflows.versions.network import load_network

if TYPE_CHECKING:
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.tracking import Store
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData
    from grmu_audit.unlearning.method import Method

T = TypeVar("T")
RATE = "learning_rate"
"""Name of the option, and of its part of a version's record."""
START_SEED = "start_seed"
"""Name of the option of methods that go back to the start of training."""
STATED = "stated_recipe"
"""Names of the training options that were stated for a model that was trained elsewhere; part of its record."""
ATTEMPTS = 3
"""Most runs of one call."""
STEP_BACK = 4.0
"""The next learning rate is this many times smaller, where the learning rate is what changes."""


@dataclass(frozen=True)
class Recipe:
    """What is known of how a model was trained."""

    optimizer: str
    """``sgd``, ``adam`` or ``adamw``."""
    learning_rate: float
    """Peak learning rate."""
    momentum: float
    """Of SGD, or the first coefficient of Adam."""
    augment: bool
    """Whether it saw the dataset's augmentation."""


def known_recipe(root: ModelRef) -> Recipe | None:
    """The optimiser and learning rate that a lineage's first version was trained with; None where nobody stated the rate.

    A version that was trained elsewhere has a full set of options in its record as soon as one was stated: only what was stated
    counts.
    """
    settings, stated = root.settings, root.config.get(STATED)
    stated = stated if isinstance(stated, list) else []
    if root.role != "pretrain" or RATE not in settings:
        return None
    if root.method != TRAINED and RATE not in stated:
        return None
    augmented = bool(settings["augment"]) and (root.method == TRAINED or "augment" in stated)
    return Recipe(str(settings["optimizer"]), float(str(settings[RATE])), float(str(settings["momentum"])), augmented)


def follow_model(choice: MethodChoice, recipe: Recipe | None, probe: Callable[[MethodChoice], tuple[float, Any]]) -> MethodChoice:
    """The choice with a learning rate that suits the model, unless that is set or has no effect.

    The methods' defaults suit a model that was trained with the package's default rate.  For another they are scaled: by the rate
    that it was trained with, together with its optimiser; or, where that is not known, to the largest rate that does no harm in a
    short probe.  A model that is not known to have seen the dataset's augmentation is not given it either: batch statistics of
    augmented samples alone can break such a model, at any rate.

    Args:
        choice: method and options.
        recipe: how the model was trained, if that is known.
        probe: finds a safe rate, and says what it tried.
    """
    if not choice.method.trains or choice.method.exact:
        return choice
    from grmu_audit.training.config import TrainConfig

    usual = TrainConfig()
    plain = {} if recipe is not None and recipe.augment else {"augment": False}
    choice = replace(choice, settings={**plain, **choice.settings})
    if RATE in choice.settings:
        return choice
    if recipe is None or choice.settings.get("optimizer", recipe.optimizer) != recipe.optimizer:
        rate, tried = probe(choice)
        return _with_rate(choice, {RATE: rate}, {"source": "probe on the retain set", "rate": rate, "tried": tried})
    default = typed_config(choice.method.config, choice.settings).learning_rate
    rate = _rounded(default * recipe.learning_rate / usual.learning_rate)
    own = {"optimizer": recipe.optimizer, "momentum": recipe.momentum, RATE: rate}
    changed = own if own != {"optimizer": usual.optimizer, "momentum": usual.momentum, RATE: default} else {}
    return _with_rate(choice, {**changed, **choice.settings}, {"source": "training record", "rate": rate})


def follow_start(store: Store, parent: ModelRef, choice: MethodChoice) -> MethodChoice:
    """The choice with the seed of the training that the parent's weights come from, for a method that goes back to its start.

    That training is of the nearest version of the lineage that was trained from the start, pretrained or retrained; for a model
    that was trained elsewhere nobody knows it.
    """
    if START_SEED not in choice.method.config.model_fields or START_SEED in choice.settings:
        return choice
    trained = parent
    while trained.role not in ("pretrain", "retrain") and trained.parent:
        trained = store.resolve(trained.parent)
    if trained.role != "retrain" and trained.method != TRAINED:
        return choice
    return replace(choice, settings={**choice.settings, START_SEED: trained.seed})


def probed(session: Session, parent: ModelRef, data: UnlearningData, choice: MethodChoice) -> tuple[float, Any]:
    """The method's learning rate by a probe on the retain set, and what was tried.

    The probe begins at the package's default rate; a method whose default is lower stays as far below what is found.

    Raises:
        CollapsedError: no rate is safe.
    """
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.distributed import World
    from grmu_audit.unlearning.accuracy_loss import probe_rates

    usual = TrainConfig().learning_rate
    config = typed_config(choice.method.config, choice.settings)
    network = load_network(session, parent, data.source.device)
    session.observer.note(f"{parent.label}: its learning rate is not recorded; looking for a safe one on the retain set")

    def make() -> Runtime:
        """Of this process alone: where there are others, they get the rate that is found with their job."""
        return replace(session.runtime(choice.seed), world=World())

    found = probe_rates(network, data, config.model_copy(update={RATE: usual}), make)
    return _rounded(config.learning_rate * found.rate / usual), found.to_json()


def step_back(session: Session, choice: MethodChoice, run: Callable[[MethodChoice], T]) -> T:
    """The result of a run; one that collapses or diverges is repeated with a gentler option where nobody set it.

    After a collapse that is the method's own option, if it names one; else, and after numbers that are not finite, a lower
    learning rate.

    Raises:
        DivergedError: the last of them failed too; nothing was registered.
    """
    tried: list[dict[str, Any]] = []
    while True:
        try:
            return run(choice)
        except DivergedError as error:
            collapsed = isinstance(error, CollapsedError)
            tried.append({**_varied(choice), "failure": str(error).partition("; nothing was registered")[0]})
            change = _gentler(choice, collapsed) if len(tried) < ATTEMPTS else None
        if change is None:
            raise CollapsedError(_refusal(choice.method, tried, collapsed))
        name, value = change
        session.observer.note(f"{tried[-1]['failure']}; trying again with {name}={value:g}")
        facts = {**choice.reasons.get(name, {}), "stepped_back_from": list(tried), "rate" if name == RATE else "value": value}
        choice = replace(choice, settings={**choice.settings, name: value}, reasons={**choice.reasons, name: facts})


def _gentler(choice: MethodChoice, collapsed: bool) -> tuple[str, float] | None:
    """An option with its next value; None where the caller set what would change, or nothing is left to try."""
    if collapsed and choice.method.gentler is not None:
        name, values = choice.method.gentler
        left = [] if name in choice.set_by_caller else [value for value in values if value > _varied(choice)[name]]
        return (name, left[0]) if left else None
    if choice.method.trains and RATE in choice.reasons:
        return RATE, _rounded(_varied(choice)[RATE] / STEP_BACK)
    return None


def _varied(choice: MethodChoice) -> dict[str, float]:
    """The options in which attempts differ, with their values."""
    names = [choice.method.gentler[0]] if choice.method.gentler else []
    config = typed_config(choice.method.config, choice.settings)
    return {name: float(getattr(config, name)) for name in (*names, RATE)}


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


def _with_rate(choice: MethodChoice, settings: Mapping[str, object], facts: dict[str, Any]) -> MethodChoice:
    return replace(choice, settings={**choice.settings, **settings}, reasons={**choice.reasons, RATE: facts})


def _refusal(method: Method, tried: list[dict[str, Any]], collapsed: bool) -> str:
    """The message when nothing is registered."""
    values = ["; ".join(f"{name}={value:g}" for name, value in one.items() if name != "failure") for one in tried]
    at = f" (tried: {', '.join(values)})" if method.trains else ""
    milder = (
        f"a higher --set {method.gentler[0]}=..., "
        if method.gentler
        else "a lower --set learning_rate=..., fewer --set epochs=..., "
    )
    advice = f"{milder}--layers 1, or " if method.trains else ""
    keep = "; --keep-collapsed registers it all the same, for research" if collapsed else ""
    return (
        f"method {method.name!r}: {tried[-1]['failure']}{at}; nothing was registered. Try {advice}another method "
        f"('grmu-audit methods'){keep}"
    )


def require_kept(parent: ModelRef, network: Classifier, result: Classifier, data: UnlearningData, runtime: Runtime) -> str:
    """Compare a result with its parent on rows that the request does not aim at, and note the numbers for the record.

    Returns:
        A sentence where more accuracy was lost than a version may lose; empty otherwise.
    """
    from grmu_audit.unlearning.accuracy_loss import LARGEST_FALL, Watch

    fall = Watch(network, data, runtime).fall(result)
    runtime.notes["accuracy_kept"] = fall.to_json()
    return f"{fall}, more than the {100 * LARGEST_FALL:.0f} points that {parent.label} may lose" if fall.collapsed else ""


def effect_on_forget_set(network: Classifier, result: Classifier, data: UnlearningData, runtime: Runtime) -> str:
    """A sentence on accuracy on the forget set, before and after, and on unseen rows of its groups; the numbers are recorded."""
    from grmu_audit.training.distributed import World
    from grmu_audit.training.inference import accuracy

    runtime = replace(runtime, world=World())  # other processes have done their part
    unseen = data.val[np.isin(data.groups_of(data.val), data.groups_of(data.forget))]
    before, now, beside = (
        accuracy(model, data.source, rows, runtime)
        for model, rows in ((network, data.forget), (result, data.forget), (result, unseen))
    )
    runtime.notes["forget_accuracy"] = {"before": before, "now": now, "unseen": None if math.isnan(beside) else beside}
    said = f"accuracy on the {len(data.forget)} forgotten rows: {100 * before:.1f} % before, {100 * now:.1f} % now"
    if len(unseen):
        said += f"; on {len(unseen)} validation rows of their groups: {100 * beside:.1f} %"
    if len(unseen) and before == now > beside:
        said += ". It did not change: look for options that forget more with --tune N, or take another method"
    return said
