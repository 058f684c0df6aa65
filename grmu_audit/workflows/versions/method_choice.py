"""The choice of a method and its options, with reasons: by the router, the preset, and the caller's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.workflows.forget_requests import CheckedRequest

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.unlearning.method import Method
    from grmu_audit.unlearning.router import Route


@dataclass(frozen=True)
class UnlearnOptions:
    """How a version without the forget set is created."""

    method: str = "shrink"
    """Name in ``unlearning.methods``, or ``auto``: by the kind of the request."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Options of the method that differ from the defaults; they win over the preset."""
    reweight: bool | None = None
    """REWEIGHT sampling of the retain set; None: the router's or the method's own default."""
    seed: int | None = None
    """Seed of the run; None: the parent's."""
    preset: str | None = None
    """``paper`` or ``paper:DATASET:RATIO:GROUPS``."""
    trials: int = 0
    """Number of configurations to search; 0 searches none."""
    resume: bool = False
    """Continue an interrupted run of the same options after its last whole epoch."""
    whole_subjects: bool = False
    """Take all rows of every subject that the list names a row of."""
    keep_collapsed: bool = False
    """Register what lost more accuracy than a version may lose (``unlearning.accuracy_loss``) too, as it is: for research."""


DEFAULT_OPTIONS = UnlearnOptions()
"""The default method with its own options."""


@dataclass(frozen=True)
class MethodChoice:
    """A method with its options before any tuning."""

    method: Method
    """The method."""
    settings: dict[str, object]
    """Options that differ from the defaults, in order of precedence: those of the lineage, preset, caller."""
    set_by_caller: frozenset[str]
    """Options that the caller set: a search leaves them alone."""
    reweight: bool
    """REWEIGHT sampling of the retain set."""
    seed: int = 0
    """Seed of the run."""
    reasons: dict[str, Any] = field(default_factory=dict)
    """How it was chosen, for the record."""

    @property
    def notes(self) -> list[str]:
        """Why this method and these options, in lines for people."""
        router, preset = self.reasons.get("router"), self.reasons.get("preset")
        lines = [f"method {router['method']}: {router['why']}"] if router else []
        return [*lines, f"preset: {preset}"] if preset else lines

    @property
    def rate_notes(self) -> list[str]:
        """Which learning rate the tool chose and why, where it is not the method's default."""
        rate = self.reasons.get("learning_rate")
        return [f"learning_rate {rate['rate']:g}: by the {rate['source']}"] if rate and "learning_rate" in self.settings else []


def choose_method(
    request: CheckedRequest, dataset: Dataset, options: UnlearnOptions, pretrained_with: Mapping[str, object] = {}
) -> MethodChoice:
    """Resolve ``auto``, the preset and the caller's settings.

    Args:
        request: the checked request.
        dataset: what it is about.
        options: what the caller wants.
        pretrained_with: training options of the lineage's first version; an exact method repeats them.

    Raises:
        NotFoundError: no such method.
        InputError: the preset has no row for the request, a setting is unknown or has no effect, or REWEIGHT has
            nothing to act on.
    """
    from grmu_audit.unlearning.methods import methods

    name, reweight, reasons = options.method, options.reweight, dict[str, Any]()
    if name == "auto":
        routed = route_of(request, dataset.header.kind)
        name = routed.method
        reweight = routed.reweight if reweight is None else reweight
        reasons["router"] = {"kind": routed.kind, "method": routed.method, "reweight": routed.reweight, "why": routed.why}
    method = methods.get(name)
    reweight = method.reweight_default if reweight is None else reweight
    _check_effect(method, options.settings, reweight)
    base = dict(pretrained_with) if method.exact else {}
    if options.preset is not None:
        group_dro = {**base, **options.settings}.get("group_dro") is True
        reasons["preset"], values = _preset(replace(options, reweight=reweight), method, group_dro, request, dataset)
        base |= values
    chosen = {**base, **options.settings}
    return MethodChoice(method, chosen, frozenset(options.settings), reweight, options.seed or 0, reasons)


def _check_effect(method: Method, settings: Mapping[str, object], reweight: bool) -> None:
    if reweight and "retain" not in method.needs:
        raise InputError(f"method {method.name!r} reads no retain data, which is what REWEIGHT samples: use --no-reweight")
    unused = sorted(method.unused_options & set(settings))
    if unused:
        raise InputError(f"method {method.name!r} does not train: {', '.join(unused)} would have no effect; leave it out")


def route_of(request: CheckedRequest, kind: str) -> Route:
    """What the router says about a request on inputs of a kind."""
    from grmu_audit.unlearning.router import route

    groups = [row.group for row in request.groups]
    shape = max(g.target for g in groups) + 1, max(g.attribute for g in groups) + 1
    train, forget = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row in request.groups:
        train[row.group.target, row.group.attribute] = row.train
        forget[row.group.target, row.group.attribute] = row.forget
    return route(train, forget, kind)


def _preset(
    options: UnlearnOptions, method: Method, group_dro: bool, request: CheckedRequest, dataset: Dataset
) -> tuple[str, dict[str, object]]:
    from grmu_audit.unlearning.presets import Query, paper_preset, query

    touched = [row for row in request.groups if row.forget]
    size = sum(row.train for row in touched)
    ratio = sum(row.forget for row in touched) / size
    name = f"{method.name}+group_dro" if group_dro else method.name
    wanted = query(str(options.preset), Query(dataset.header.name, name, ratio, len(touched), bool(options.reweight), size))
    preset = paper_preset(wanted, set(method.config.model_fields))
    return preset.label, preset.settings
