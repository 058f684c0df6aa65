"""The report's sentences: one YAML file beside the templates, so that a translation touches no code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.utils.resources import template_dir
from grmu_audit.utils.yaml_files import read_mapping

STRINGS_FILE = "en.yaml"
"""Name of the file in a template folder."""
_SENTENCES = ("YAML file of sentences", " of sentences")


class Strings:
    """All sentences by dotted key; an unknown key or a missing placeholder is an error, never an empty text.

    >>> Strings({"a": {"b": "n = {n}"}}, "example").text("a.b", n=3)
    'n = 3'
    """

    def __init__(self, tree: dict[str, Any], origin: str) -> None:
        self.tree = tree
        self.origin = origin

    def node(self, key: str) -> Any:
        """The value at a dotted key.

        Raises:
            InputError: there is none.
        """
        found: Any = self.tree
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                raise InputError(
                    f"{self.origin}: the sentence {key!r} is missing: add it, or remove the file to use the one that comes along"
                )
            found = found[part]
        return found

    def text(self, key: str, *args: object, **values: object) -> str:
        """The sentence at a dotted key, with its placeholders filled.

        Raises:
            InputError: no such sentence, or a placeholder that the program does not fill.
        """
        try:
            return str(self.node(key)).format(*args, **values)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{self.origin}: the sentence {key!r} has a placeholder that cannot be filled: {error}") from None

    def get(self, key: str, default: str) -> str:
        """The sentence at a dotted key, or the default."""
        try:
            return str(self.node(key))
        except InputError:
            return default


@cache
def _built_in() -> dict[str, Any]:
    return read_mapping(template_dir() / STRINGS_FILE, *_SENTENCES)


def load_strings(folder: Path | None = None) -> Strings:
    """The sentences that come along, overlaid with those of a template folder of the user's.

    Raises:
        InputError: the user's file is not a YAML mapping.
    """
    tree = _built_in()
    path = folder / STRINGS_FILE if folder is not None else None
    if path is None or not path.is_file():
        return Strings(tree, STRINGS_FILE)
    return Strings(_overlay(tree, read_mapping(path, *_SENTENCES)), str(path))


def _overlay(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, item in own.items():
        both = isinstance(item, dict) and isinstance(base.get(key), dict)
        merged[key] = _overlay(base[key], item) if both else item
    return merged
