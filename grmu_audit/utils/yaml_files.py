"""The one YAML loader: safe, bounded, and precise about what is wrong where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

from grmu_audit.errors import InputError
from grmu_audit.utils.clock import Deadline
from grmu_audit.utils.files import read_file
from grmu_audit.utils.plugins import did_you_mean

if TYPE_CHECKING:
    import yaml
    from pydantic import BaseModel, ValidationError

    M = TypeVar("M", bound=BaseModel)
else:
    M = TypeVar("M")
LARGEST_YAML = 1_000_000
"""Bytes that a YAML file may have."""
MOST_MERGED = 100_000
"""Keys that a file may gain by merging mappings into others."""
_DEEPEST, _DEEPEST_AT_ALL, _LARGEST_WHOLE = 50, 200, 1 << 63
_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "map", "seq"})
Loc = tuple[str | int, ...]
"""Path of a key inside the document."""


def read_mapping(path: Path, what: str, mapping: str) -> dict[str, Any]:
    """A YAML file that comes along or is the operator's own, as a mapping.

    Raises:
        InputError: not readable as ``what``, or anything but a ``mapping``.
    """
    import yaml

    try:
        tree = load_bounded(read_file(path, LARGEST_YAML).decode("utf-8"), str(path))
    except (yaml.YAMLError, RecursionError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable {what}: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: holds {type(tree).__name__} instead of a mapping{mapping}")
    return tree


def load_bounded(text: str, name: str) -> Any:
    """Plain values of YAML text of the safe kind.

    Raises:
        InputError: reading took too long.
        ValueError: merged mappings add up to more than ``MOST_MERGED`` keys.
        yaml.YAMLError, RecursionError: as ``yaml.safe_load``.
    """
    import yaml

    loader = _loader(name)
    for _, depth in _events(text, loader):
        if depth > _DEEPEST_AT_ALL:
            raise RecursionError(f"nested more than {_DEEPEST_AT_ALL} levels deep")
    return yaml.load(text, loader)  # noqa: S506  (it is a safe loader)


def _loader(name: str) -> type[yaml.SafeLoader]:
    """The safe loader with a limit on time and on what merge keys add up to, which grows faster than the file's length.

    libyaml's parser, which is ten times faster, where PyYAML was built with it.  It recurses without a limit where it builds
    nodes: look at the depth of the events first.
    """
    import yaml

    deadline, merged = Deadline(name), 0

    class Bounded(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Asked for each event or token, and for each mapping."""

        def get_event(self) -> Any:
            """See ``yaml.parser.Parser``."""
            deadline.check()
            return super().get_event()

        def fetch_more_tokens(self) -> Any:
            """See ``yaml.scanner.Scanner``; libyaml has its own."""
            deadline.check()
            return super().fetch_more_tokens()

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """See ``yaml.constructor.SafeConstructor``."""
            nonlocal merged
            written = len(node.value)
            super().flatten_mapping(node)
            merged += max(0, len(node.value) - written)
            if merged > MOST_MERGED:
                raise ValueError(f"merged mappings add up to more than {MOST_MERGED:,} keys")

    return Bounded


def _events(text: str, loader: type[yaml.SafeLoader]) -> Iterator[tuple[yaml.Event, int]]:
    """What the text consists of, with the number of containers that are open."""
    import yaml

    depth = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        yield event, depth


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document."""

    loc: Loc
    """Path of the key."""
    message: str
    """What is wrong and what to do."""


class ProblemsError(ValueError):
    """Several problems that one validator found; ``load_yaml`` reports each on its own line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{key_path(p.loc)}: {p.message}" if p.loc else p.message for p in problems))


def load_yaml(
    path: Path,
    model: type[M],
    error: type[InputError] = InputError,
    whole: Callable[[object], Iterable[Problem]] | None = None,
) -> M:
    """Read a YAML file into a frozen model.

    Args:
        path: the file; at most 1 MB, without anchors, aliases, tags or duplicate keys.
        model: pydantic model with ``extra="forbid"``.
        error: class of the exception to raise.
        whole: more problems of the raw document, found also where single keys are wrong.

    Returns:
        The validated model.

    Raises:
        InputError: (as ``error``) all problems at once, one per line: ``file:line: key.path: message``; an unknown key
            names the nearest known one.
    """
    from pydantic import ValidationError

    text = _read(path, error)
    root = _compose(path, text, error)
    lines: dict[Loc, int] = {}
    found = list(_structure(root, (), lines))
    tree = _construct(root)
    try:
        valid = model.model_validate(tree)
        if not found:
            return valid
    except ValidationError as failure:
        known = {p.loc for p in found}
        found += [p for p in (*_problems(failure, model), *(whole(tree) if whole else ())) if p.loc not in known]
    unique = dict.fromkeys((_line(lines, p.loc), key_path(p.loc), p.message) for p in found)
    listed = [f"{path}:{line}: {key}: {message}" if key else f"{path}:{line}: {message}" for line, key, message in sorted(unique)]
    raise error("\n".join(listed))


def key_path(loc: Loc) -> str:
    """A path in the form ``rules[2].max``.

    >>> key_path(("rules", 2, "max"))
    'rules[2].max'
    """
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text and part else ''}{part}"
    return text


def _read(path: Path, error: type[InputError]) -> str:
    try:
        return read_file(path, LARGEST_YAML).decode("utf-8-sig")
    except OSError as failure:
        raise error(f"{path}: cannot be read: {failure.strerror or failure}") from None
    except UnicodeDecodeError as failure:
        raise error(f"{path}: is not UTF-8 text: {failure.reason} at byte {failure.start}") from None


def _compose(path: Path, text: str, error: type[InputError]) -> yaml.Node:
    import yaml

    try:
        loader = _loader(str(path))
        for event, depth in _events(text, loader):
            if depth > _DEEPEST:
                raise error(f"{path}:{_line_of(event)}: nested more than {_DEEPEST} levels deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = _line_of(event)
                raise error(f"{path}:{line}: anchors and aliases are not allowed: write the value out")
        root = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        raise error(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {failure.problem or failure.context}") from None
    except (yaml.YAMLError, RecursionError) as failure:
        raise error(f"{path}:1: not valid YAML: {str(failure).splitlines()[0]}") from None
    if root is None:
        raise error(f"{path}:1: the file is empty")
    return root


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _structure(node: yaml.Node, loc: Loc, lines: dict[Loc, int]) -> Iterator[Problem]:
    """Note the line of every key; report duplicate keys and odd tags."""
    import yaml

    lines.setdefault(loc, node.start_mark.line + 1)
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
        yield Problem(loc, f"the tag {node.tag} is not allowed: write a plain value")
    elif isinstance(node, yaml.MappingNode):
        yield from _mapping(node, loc, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _structure(item, (*loc, index), lines)
    else:
        yield from _scalar(node, loc)


def _mapping(node: yaml.MappingNode, loc: Loc, lines: dict[Loc, int]) -> Iterator[Problem]:
    import yaml

    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            yield Problem(loc, "a key must be a plain word")
            continue
        inner = (*loc, str(key.value))
        if key.value in seen:
            lines[(*inner, "")] = line
            yield Problem((*inner, ""), f"the key is written twice (first in line {seen[key.value]})")
            continue
        seen[key.value] = lines[inner] = line
        yield from _structure(value, inner, lines)


def _scalar(node: yaml.Node, loc: Loc) -> Iterator[Problem]:
    """Values that the safe loader itself cannot build, such as the 31st of June."""
    try:
        _scalar_value(node)
    except (ValueError, OverflowError) as failure:
        yield Problem(loc, f"cannot be read: {failure}")


def _construct(node: yaml.Node) -> Any:
    """Python values of a node; mapping keys are always text, and a scalar that cannot be built stays text."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _construct(value) for key, value in reversed(node.value)}
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item) for item in node.value]
    try:
        return _scalar_value(node)
    except (ValueError, OverflowError, yaml.YAMLError):
        return node.value


def _scalar_value(node: yaml.Node) -> Any:
    import yaml

    value = yaml.constructor.SafeConstructor().construct_object(node)
    if isinstance(value, int) and not -_LARGEST_WHOLE <= value < _LARGEST_WHOLE:
        raise ValueError("the whole number is beyond 64 bits")
    return value


def _line(lines: dict[Loc, int], loc: Loc) -> int:
    while loc not in lines and loc:
        loc = loc[:-1]
    return lines.get(loc, 1)


def _problems(failure: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    for item in failure.errors(include_url=False):
        loc: Loc = tuple(item["loc"])
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, ProblemsError):
            yield from (Problem((*loc, *p.loc), p.message) for p in inner.problems)
        elif item["type"] == "extra_forbidden":
            known = _keys_at(model, loc[:-1])
            yield Problem(loc, f"unknown key{did_you_mean(str(loc[-1]), known)}; known: {', '.join(known)}")
        elif item["type"] == "missing":
            yield Problem(loc, "is missing")
        else:
            yield Problem(loc, f"{item['msg'].removeprefix('Value error, ')} (found {_short(item['input'])})")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_at(model: Any, loc: Loc) -> list[str]:
    """Field names of the model that a path leads to; empty where it leads to none."""
    for part in loc:
        model = _member(model, part)
    fields = getattr(model, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _member(model: Any, part: str | int) -> Any:
    if isinstance(part, int):
        inner = [a for a in get_args(model) if a is not Ellipsis]
        return _model_of(inner[0]) if inner else None
    fields = getattr(model, "model_fields", {})
    found = next((f for name, f in fields.items() if part in (name, f.alias)), None)
    return _model_of(found.annotation) if found is not None else None


def _model_of(annotation: Any) -> Any:
    """The model, or the container, behind an optional annotation."""
    import types

    if get_origin(annotation) in (Union, types.UnionType):
        return next((a for a in get_args(annotation) if a is not type(None)), None)
    return annotation


def typed_config(config: type[BaseModel], settings: Mapping[str, object]) -> Any:
    """A typed config from settings.

    Raises:
        InputError: unknown or invalid settings, all at once, with the known names.
    """
    from pydantic import ValidationError

    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        defects = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"settings: {defects}; known: {', '.join(config.model_fields)}") from None
