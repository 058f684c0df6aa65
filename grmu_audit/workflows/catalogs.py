"""Catalogues of methods and metrics; that of the methods comes from a file, since their code takes seconds to import."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
from dataclasses import asdict
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from grmu_audit.errors import NotFoundError
from grmu_audit.metrics.catalog import CATALOG, spec
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.utils.plugins import did_you_mean

if TYPE_CHECKING:
    from grmu_audit.unlearning.method import Method

CARDS = "cards.json"
"""In ``grmu_audit.unlearning``: ``method_cards`` of the methods that come with the tool, written by
``python -m benchmarks.pages.method_cards``; a test compares the two."""
_LEGEND = " (R, F: retain and forget samples, E: epochs)"
_GROUP = "grmu_audit.methods"


def method_rows() -> tuple[list[str], list[list[str]]]:
    """Head and rows of the method catalogue, sorted by name."""
    head = ["name", "kind", "reads", "sample-gradients", "what", "reference"]
    cards = [{**card, "reads": card["reads"].replace(", ", "+")} for _, card in sorted(_cards().items())]
    return head, [[card[key].removesuffix(_LEGEND) for key in head] for card in cards]


def describe_method(name: str) -> dict[str, Any]:
    """Everything about one method; ``options`` lists its config.

    Raises:
        NotFoundError: no such method.
    """
    cards = _cards()
    if name not in cards:
        raise NotFoundError(f"no method {name!r}{did_you_mean(name, list(cards))}; known: {', '.join(sorted(cards))}")
    return cards[name]


@cache
def _cards() -> dict[str, dict[str, Any]]:
    """The cards by name: of the file, or of the code itself where an installed package adds methods."""
    if entry_points(group=_GROUP):
        found = method_cards()
    else:
        found = json.loads(files("grmu_audit.unlearning").joinpath(CARDS).read_bytes())
    return {card["name"]: card for card in found}


def method_cards() -> list[dict[str, Any]]:
    """A card for each registered method, from its code."""
    from grmu_audit.unlearning.methods import methods

    return [_card(method) for _, method in methods]


def _card(method: Method) -> dict[str, Any]:
    config = method.config
    meanings = field_docs(config)
    options = [
        {
            "name": key,
            "type": _type_name(field.annotation),
            "default": str(field.get_default(call_default_factory=True)),
            "meaning": meanings.get(key, ""),
        }
        for key, field in config.model_fields.items()
        if key not in method.unused_options
    ]
    return {
        "name": method.name,
        "what": method.title,
        "kind": "exact" if method.exact else "certified" if method.certified else "approximate",
        "network": method.requires or "any",
        "reads": ", ".join(sorted(method.needs)),
        "sample-gradients": f"{method.cost or 'not stated'}{_LEGEND}",
        "statistics move on": ", ".join(sorted(method.moves_statistics)) or "nothing",
        "REWEIGHT by default": "yes" if method.reweight_default else "no",
        "reference": method.reference,
        "source": config.__module__,
        "options": options,
    }


def _type_name(annotation: Any) -> str:
    """``float`` for a class, ``cosine | constant`` for choices."""
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    return annotation.__name__ if inspect.isclass(annotation) and not get_args(annotation) else str(annotation)


def field_docs(config: type) -> dict[str, str]:
    """The sentence under each field of a config class, in one line; a subclass's own before its parents'; empty without it."""
    found: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        except (OSError, TypeError, IndentationError, SyntaxError):
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in itertools.pairwise(statements):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return found


def metric_rows() -> tuple[list[str], list[list[str]]]:
    """Head and rows of the metric list."""
    head = ["metric", "says", "read it", "needs", "cost"]
    return head, [[name, spec.title, reading_direction(spec), spec.needs, spec.cost] for name, spec in CATALOG.items()]


def reading_direction(spec: MetricSpec) -> str:
    """How to read a value: ``higher``, ``lower``, ``as reference`` or ``near 0.5``."""
    words = {"reference": "as reference", "target": f"near {spec.target:g}" if spec.target is not None else ""}
    return words.get(spec.direction, spec.direction)


def describe_metric(name: str) -> dict[str, Any]:
    """The catalogue entry of a metric.

    Raises:
        NotFoundError: no such metric; the message names the nearest.
    """
    return {key: value for key, value in asdict(spec(name)).items() if key != "example"}
