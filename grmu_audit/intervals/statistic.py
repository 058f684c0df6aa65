"""What all statistics share: estimate, limits, JSON form, and how several are aggregated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from grmu_audit.errors import InputError

Limits = tuple[float, float]
"""Lower and upper limit."""
Aggregate = Literal["mean", "max", "min", "product"]
"""Aggregation of several numbers."""
_COUNTS = frozenset({"k", "n", "n1", "n0", "both", "only_candidate", "only_other", "none", "persons", "degrees"})
_LEFT_OUT = frozenset({"persons", "method", "dependence", "degrees"})
"""Fields that the JSON form leaves out where they have their default: an older file, which has none, means the same."""
_LARGEST, _MOST = 1e50, 1e15
_RANGES = {
    **dict.fromkeys(_COUNTS, (0.0, _MOST)),
    "deff": (1.0, _MOST),
    "dependence": (1.0, _MOST),
    "se": (0.0, _LARGEST),
    "df": (-1.0, _MOST),
}
"""Smallest and largest number of a field of that name in a file; of all others any within ``_LARGEST``."""
_DEEPEST = 8
_NUMBERS: dict[Any, tuple[type, ...]] = {float: (float, int), int: (int,)}
_KINDS: dict[str, list[type[Statistic]]] = {}


class Statistic(ABC):
    """A sufficient statistic: its estimate, and its interval at every confidence, follow from it alone.

    A kind is a frozen dataclass; its fields are the keys of its JSON form.
    """

    kind: ClassVar[str]
    """The kind's name in JSON."""
    constants: ClassVar[Mapping[str, str]] = {}
    """Further keys of the JSON form that are the same for every statistic of the class."""

    def __init_subclass__(cls) -> None:
        _KINDS.setdefault(cls.kind, []).append(cls)

    @property
    @abstractmethod
    def estimate(self) -> float:
        """The value that the statistic stands for; NaN where it rests on no sample."""

    @abstractmethod
    def raw_limits(self, alpha: float) -> Limits | None:
        """Limits as the formula of the kind gives them; None without samples."""

    def defect(self) -> str:
        """Why fields that are right one by one cannot belong together, such as more successes than samples; else nothing."""
        return ""

    def limits(self, alpha: float) -> Limits | None:
        """Lower and upper limit at ``alpha`` = 1 - confidence; always holds the estimate; None where there is no interval."""
        found = self.raw_limits(alpha)
        if found is None:
            return None
        middle = self.estimate
        low, high = min(found[0], middle), max(found[1], middle)
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None

    def interval(self, confidence: float) -> Limits | None:
        """As ``limits``, by the confidence.

        Raises:
            InputError: the confidence is outside (0, 1).
        """
        if not 0 < confidence < 1:
            raise InputError(f"confidence {confidence!r} is outside (0, 1)")
        return self.limits(1 - confidence)

    def scaled(self, factor: float) -> Statistic:
        """The same estimate from ``factor`` times as many samples: counts are multiplied, standard errors shrink."""
        return type(self)(**{name: _scale(name, item, factor) for name, item in _items(self)})

    def by_method(self, name: str) -> Statistic:
        """The same statistic with limits of its proportions by ``wilson`` or ``clopper-pearson``; ``default``: as it is."""
        if name == "default":
            return self
        items = dict(_items(self))
        if "method" in items:
            return type(self)(**{**items, "method": name})
        return type(self)(**{key: _change(item, lambda inner: inner.by_method(name)) for key, item in items.items()})

    def exact(self) -> Statistic:
        """The same statistic with exact limits of every count, as audits are measured today."""
        return type(self)(**{key: _change(item, lambda inner: inner.exact()) for key, item in _items(self)})

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON types."""
        tree: dict[str, Any] = {"kind": self.kind, **self.constants}
        tree.update(
            (key, _plain(item)) for key, item in _items(self) if key not in _LEFT_OUT or item != _defaults(type(self))[key]
        )
        return tree

    @staticmethod
    def from_json(tree: object) -> Statistic:
        """The inverse of ``to_json``.

        Raises:
            InputError: an unknown kind or key, a missing key, a value of the wrong type or out of its range, values that
                cannot belong together, or statistics nested more than 8 deep.
        """
        return _from_tree(tree, _DEEPEST)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """The JSON form, as ``to_json`` writes it."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.from_json(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.to_json()),
        )


def aggregate(values: Sequence[float], how: Aggregate) -> float:
    """Mean, maximum, minimum or product; NaN of nothing, and where one of the numbers is NaN.

    >>> aggregate([0.5, 0.5], "product")
    0.25
    """
    if not values or any(map(math.isnan, values)):
        return math.nan
    rules: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": lambda v: sum(v) / len(v),
        "max": max,
        "min": min,
        "product": math.prod,
    }
    return float(rules[how](values))


def difference_limits(left: Statistic, right: Statistic, alpha: float) -> Limits | None:
    """Limits of left - right, which rest on separate samples (MOVER: squared distances to the limits add up)."""
    one, other = left.limits(alpha), right.limits(alpha)
    if one is None or other is None:
        return None
    a, b = left.estimate, right.estimate
    return a - b - math.hypot(a - one[0], other[1] - b), a - b + math.hypot(one[1] - a, b - other[0])


def simultaneous_limits(left: Statistic, right: Statistic, alpha: float) -> Limits | None:
    """Limits of left - right from limits of both at ``alpha / 2``: whatever samples they share."""
    one, other = left.limits(alpha / 2), right.limits(alpha / 2)
    if one is None or other is None:
        return None
    return one[0] - other[1], one[1] - other[0]


@cache
def _hints(kind: type[Statistic]) -> dict[str, Any]:
    """Field name to type, in the order of the fields."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}  # type: ignore[arg-type]


@cache
def _defaults(kind: type[Statistic]) -> dict[str, Any]:
    return {item.name: item.default for item in fields(kind)}  # type: ignore[arg-type]


def _items(statistic: Statistic) -> list[tuple[str, Any]]:
    return [(name, getattr(statistic, name)) for name in _hints(type(statistic))]


def _plain(item: Any) -> Any:
    if isinstance(item, Statistic):
        return item.to_json()
    return [_plain(inner) for inner in item] if isinstance(item, tuple) else item


def _scale(name: str, item: Any, factor: float) -> Any:
    if isinstance(item, Statistic):
        return item.scaled(factor)
    if isinstance(item, tuple):
        return tuple(_scale(name, inner, factor) for inner in item)
    if item is None or name not in _COUNTS:
        return item / math.sqrt(factor) if name == "se" and item is not None else item
    return item * factor


def _change(item: Any, change: Callable[[Statistic], Statistic]) -> Any:
    """The item with every statistic in it replaced by what ``change`` makes of it."""
    if isinstance(item, Statistic):
        return change(item)
    return tuple(_change(inner, change) for inner in item) if isinstance(item, tuple) else item


def _from_tree(tree: object, depth: int) -> Statistic:
    if not isinstance(tree, dict):
        raise InputError(f"a statistic is an object with a kind, not {_short(tree)}")
    kind = tree.get("kind")
    known = _KINDS.get(kind, []) if isinstance(kind, str) else []
    if not known:
        raise InputError(f"unknown kind of statistic {_short(kind)}: known are {', '.join(sorted(_KINDS))}")
    if depth < 1:
        raise InputError(f"a statistic of kind {kind!r} is nested too deeply: more than {_DEEPEST} levels")
    found = next((c for c in known if all(tree.get(key) == text for key, text in c.constants.items())), known[-1])
    return _build(found, {key: item for key, item in tree.items() if key not in ("kind", *found.constants)}, depth)


def _short(item: object) -> str:
    """An item of a file in a message; what holds others is named by its type alone."""
    return repr(str(item)[:80]) if isinstance(item, str | bool | float | None) else f"of type {type(item).__name__}"


def _build(kind: type[Statistic], tree: Mapping[str, object], depth: int) -> Statistic:
    hints = _hints(kind)
    odd = [str(key) for key in tree if key not in hints]
    if odd:
        raise InputError(f"a statistic of kind {kind.kind!r} has no {odd[0][:80]!r}: known are {', '.join(hints)}")
    missing = [item.name for item in fields(kind) if item.default is MISSING and item.name not in tree]  # type: ignore[arg-type]
    if missing:
        raise InputError(f"a statistic of kind {kind.kind!r} needs {', '.join(missing)}")
    read = kind(**{name: _read(hints[name], item, (kind.kind, name), depth) for name, item in tree.items()})
    if defect := read.defect():
        raise InputError(f"a statistic of kind {kind.kind!r} cannot be: {defect}")
    return read


def _read(hint: Any, item: object, where: tuple[str, str], depth: int) -> Any:
    """``item`` as a value of the annotated type and within the range of its name; whole numbers stay whole."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return None if item is None else _read(parts[0], item, where, depth)
    if origin is tuple and isinstance(item, list | tuple):
        return tuple(_read(parts[0], inner, where, depth) for inner in item)
    if isinstance(hint, type) and issubclass(hint, Statistic):
        item = _from_tree(item, depth - 1)
    if not _fits(hint, item):
        raise InputError(f"{'.'.join(where)} is {_short(item)}, not {_name(hint)}")
    if hint in _NUMBERS:
        low, high = _RANGES.get(where[1], (-_LARGEST, _LARGEST))
        if not low <= item <= high:  # type: ignore[operator]
            raise InputError(f"{'.'.join(where)} is {item!r:.24}, outside [{low:g}, {high:g}]")
    return item


def _fits(hint: Any, item: object) -> bool:
    """Whether ``item`` is of the class, one of the literals, or a number of that kind."""
    if hint in _NUMBERS:
        return type(item) in _NUMBERS[hint]
    if get_origin(hint) is Literal:
        return isinstance(item, str) and item in get_args(hint)
    return isinstance(hint, type) and isinstance(item, hint)


def _name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return "a list" if get_origin(hint) is tuple else {float: "a number", int: "a whole number"}.get(hint, f"a {hint.__name__}")
