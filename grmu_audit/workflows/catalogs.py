"""Catalogues of methods and metrics."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from dataclasses import asdict
from typing import Any

from grmu_audit.metrics.catalog import CATALOG, spec
from grmu_audit.metrics.catalog.spec import MetricSpec


def method_rows() -> tuple[list[str], list[list[str]]]:
    """Head and rows of the method catalogue, sorted by name."""
    from grmu_audit.unlearning.methods import methods

    head = ["name", "kind", "reads", "sample-gradients", "what", "reference"]
    rows = [[m.name, _kind(m.exact), "+".join(sorted(m.needs)), m.cost or "not stated", m.title, m.reference] for _, m in methods]
    return head, rows


def describe_method(name: str) -> dict[str, Any]:
    """Everything about one method; ``options`` lists its config.

    Raises:
        NotFoundError: no such method.
    """
    from grmu_audit.unlearning.methods import methods

    method = methods.get(name)
    config = method.config
    meanings = field_docs(config)
    options = [
        {
            "name": key,
            "type": _type_name(field.annotation),
            "default": str(field.get_default(call_default_factory=True)),
            "meaning": " ".join(meanings.get(key, "").split()),
        }
        for key, field in config.model_fields.items()
        if key not in method.unused_options
    ]
    return {
        "name": method.name,
        "what": method.title,
        "kind": _kind(method.exact),
        "reads": ", ".join(sorted(method.needs)),
        "sample-gradients": f"{method.cost or 'not stated'} (R, F: retain and forget samples, E: epochs)",
        "statistics move on": ", ".join(sorted(method.moves_statistics)) or "nothing",
        "REWEIGHT by default": "yes" if method.reweight_default else "no",
        "reference": method.reference,
        "source": f"{config.__module__}",
        "options": options,
    }


def _kind(exact: bool) -> str:
    return "exact" if exact else "approximate"


def _type_name(annotation: Any) -> str:
    """``float`` for a class, ``cosine | constant`` for choices."""
    from typing import Literal, get_args, get_origin

    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    return annotation.__name__ if inspect.isclass(annotation) and not get_args(annotation) else str(annotation)


def field_docs(config: type) -> dict[str, str]:
    """The sentence under each field of a config class, a subclass's own before its parents'; empty where the source is gone."""
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
                found[field.target.id] = str(below.value.value)  # type: ignore[attr-defined]
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
