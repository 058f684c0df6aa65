"""The group of a sample: one target class crossed with one attribute value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Group:
    """One cell of target x attribute.

    >>> Group(1, 0)
    Group(target=1, attribute=0)
    """

    target: int
    """Class index, from 0."""
    attribute: int
    """Index of the attribute value (or of the combination of several attributes), from 0."""
