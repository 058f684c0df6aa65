"""Which method a request gets, with which options, and why: the router, the preset, and what the caller set."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.workflows.forget_requests import Request
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.unlearning.method import Method
    from grmu_audit.unlearning.router import Route


@dataclass(frozen=True)
class Choice:
    """A method with its options before any tuning."""

    method: Method
    """The method."""
    settings: dict[str, object]
    """Options that differ from the defaults, in order of precedence: recipe of the lineage, preset, caller."""
    fixed: frozenset[str]
    """Options that the caller set: a search leaves them alone."""
    reweight: bool
    """REWEIGHT sampling of the retain set."""
    facts: dict[str, Any] = field(default_factory=dict)
    """How it was chosen, for the record."""


def choose(
    request: Request,
    dataset: Dataset,
    *,
    method: str,
    settings: Mapping[str, object],
    reweight: bool | None,
    preset: str | None = None,
    recipe: Mapping[str, object] | None = None,
) -> Choice:
    """Resolve ``auto``, the preset and the caller's settings.

    Args:
        request: the checked request.
        dataset: what it is about.
        method: name, or ``auto``.
        settings: what the caller set; it wins over the preset.
        reweight: REWEIGHT or not; None: the router's or the method's own default.
        preset: ``paper`` or ``paper:DATASET:RATIO:GROUPS``.
        recipe: what the lineage was pretrained with; an exact method repeats it.

    Raises:
        NotFoundError: no such method.
        InputError: the preset has no row for the request, a setting is unknown or has no effect, or REWEIGHT has
            nothing to act on.
    """
    from grmu_audit.unlearning.methods import methods

    facts: dict[str, Any] = {}
    if method == "auto":
        routed = route_of(request, dataset.header.kind)
        method = routed.method
        reweight = routed.reweight if reweight is None else reweight
        facts["router"] = {"kind": routed.kind, "method": routed.method, "reweight": routed.reweight, "why": routed.why}
    chosen = methods.get(method)
    weighted = chosen.reweight_default if reweight is None else reweight
    if weighted and "retain" not in chosen.needs:
        raise InputError(f"method {chosen.name!r} reads no retain data, which is what REWEIGHT samples: use --no-reweight")
    idle = sorted(chosen.unused_options & set(settings))
    if idle:
        raise InputError(f"method {chosen.name!r} does not train: {', '.join(idle)} would have no effect; leave it out")
    base: dict[str, object] = dict(recipe or {}) if chosen.exact else {}
    if preset is not None:
        label, values = _preset(preset, chosen, request, dataset, weighted, settings)
        base |= values
        facts["preset"] = label
    return Choice(chosen, {**base, **settings}, frozenset(settings), weighted, facts)


def route_of(request: Request, kind: str) -> Route:
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
    text: str, method: Method, request: Request, dataset: Dataset, weighted: bool, settings: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    from grmu_audit.unlearning.presets import Query, paper_preset, query

    touched = [row for row in request.groups if row.forget]
    ratio = sum(row.forget for row in touched) / sum(row.train for row in touched)
    name = f"{method.name}+group_dro" if settings.get("group_dro") is True else method.name
    wanted = query(text, Query(dataset.header.name, name, ratio, len(touched), weighted))
    preset = paper_preset(wanted, set(method.config.model_fields))
    return preset.label, preset.settings


def announce(session: Session, facts: Mapping[str, Any]) -> None:
    """Tell the person why this method and these options."""
    if session.progress and "router" in facts:
        sys.stderr.write(f"method {facts['router']['method']}: {facts['router']['why']}\n")
    if session.progress and "preset" in facts:
        sys.stderr.write(f"preset: {facts['preset']}\n")
