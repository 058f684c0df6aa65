"""The papers' forget sets by name."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import product

from grmu_audit.data.dataset import Header
from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.records import Group
from grmu_audit.utils.notations import by_notation, other_notation
from grmu_audit.utils.plugins import did_you_mean

FAIRFACE = (
    ("20-29", "Black"),
    ("50-59", "Latino_Hispanic"),
    ("3-9", "White"),
    ("more than 70", "East Asian"),
    ("30-39", "Middle Eastern"),
)
"""The five pairs whose first gives one group, whose first three give nine, and which together give 25."""


@dataclass(frozen=True)
class ForgetPreset:
    """One forget set: which groups of which view of a dataset."""

    dataset: str
    """Name of the dataset."""
    target: str
    """Target column that it is defined for."""
    attributes: tuple[str, ...]
    """Attribute columns that it is defined for."""
    groups: tuple[tuple[str | int, str | int], ...]
    """Class and attribute value of each group, by name or by code."""
    title: str
    """In words."""


def _product(count: int) -> tuple[tuple[str, str], ...]:
    """All ages of the first pairs with all their races."""
    return tuple(product([age for age, _ in FAIRFACE[:count]], [race for _, race in FAIRFACE[:count]]))


PRESETS = {
    "celeba-blond-male": ForgetPreset("celeba", "Blond_Hair", ("Male",), (("blond", "male"),), "blond men"),
    "celeba-attractive-male": ForgetPreset("celeba", "Attractive", ("Male",), (("attractive", "male"),), "attractive men"),
    "waterbirds-waterbird-land": ForgetPreset("waterbirds", "bird", ("place",), (("waterbird", "land"),), "waterbirds on land"),
    "waterbirds-landbird-water": ForgetPreset("waterbirds", "bird", ("place",), (("landbird", "water"),), "landbirds on water"),
    "fairface-1": ForgetPreset("fairface", "age", ("race",), FAIRFACE[:1], "aged 20-29 and Black"),
    "fairface-9": ForgetPreset("fairface", "age", ("race",), _product(3), "three ages with three races"),
    "fairface-25": ForgetPreset("fairface", "age", ("race",), _product(5), "five ages with five races"),
    "multinli-negation": ForgetPreset("multinli", "", (), ((2, 1),), "target 2 with a negation"),
}
"""Forget sets of the seed paper by name; the ratio is chosen apart (0.1, 0.5 and 0.9 in the papers)."""


def preset_groups(name: str, header: Header) -> tuple[Group, ...]:
    """The groups of a preset in a dataset.

    Raises:
        NotFoundError: no preset of that name.
        InputError: it is defined for another dataset, target or attribute.
    """
    if name not in PRESETS:
        raise NotFoundError(f"no forget set {name!r}{did_you_mean(name, list(PRESETS))}; known: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    columns = tuple(attribute.name for attribute in header.attributes)
    named = (header.name, header.target_name, columns)
    wanted = (preset.dataset, preset.target or header.target_name, preset.attributes or columns)
    if named != wanted:
        raise InputError(
            f"forget set {name!r} is defined for {preset.dataset} with target {wanted[1]} and attribute {', '.join(wanted[2])}; "
            f"the model's data is {header.name} with target {header.target_name} and attribute {', '.join(columns)}"
        )
    return tuple(named_group(target, attribute, header) for target, attribute in preset.groups)


def named_group(target: str | int, attribute: str | int, header: Header) -> Group:
    """A group by names or codes.

    Raises:
        InputError: there is no such class or attribute value; the message lists those that there are.
    """
    return Group(_code(target, header.class_names, "class"), _code(attribute, header.attribute_names, "attribute value"))


def parse_group(text: str, header: Header) -> Group:
    """``1,0``, two codes, or ``blond / male``, two names, as a group; names may be numbers too.

    Raises:
        InputError: neither form, or no class or attribute value of that name.
    """
    left, bar, right = (part.strip() for part in text.partition("/" if "/" in text else ","))
    if not (bar and left and right):
        raise InputError(
            f"group {text!r} is neither TARGET,ATTRIBUTE with two whole numbers, such as 1,0, nor 'CLASS / ATTRIBUTE'"
        )
    if "/" not in text:
        with suppress(ValueError):
            return Group(int(left), int(right))
    for index in range(1, len(text)):  # names may hold the separator themselves
        if text[index] in "/,":
            target, attribute = text[:index].strip(), text[index + 1 :].strip()
            if target in header.class_names and attribute in header.attribute_names:
                return named_group(target, attribute, header)
    return named_group(left, right, header)


def parse_class(text: str, header: Header) -> int:
    """A class by its name or number.

    Raises:
        InputError: there is no such class.
    """
    if text not in header.class_names and text.isdecimal():
        return _code(int(text), header.class_names, "class")
    return _code(text, header.class_names, "class")


def _code(value: str | int, names: tuple[str, ...], what: str) -> int:
    if isinstance(value, int) and 0 <= value < len(names):
        return value
    if value in names:
        return names.index(str(value))
    hint = other_notation(str(value), by_notation(names))
    raise InputError(f"no {what} {value!r}{hint}; there are: {', '.join(names[:50])}")
