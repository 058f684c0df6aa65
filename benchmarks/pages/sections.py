"""Sections of pages between two markers, which a command writes again without touching what stands around them."""

from __future__ import annotations


def replace_section(page: str, section: str, begin: str, end: str) -> str:
    """The page with another section.

    Args:
        page: that has both markers.
        section: the new text, with its markers.
        begin: first line of the section.
        end: last line of the section.

    Raises:
        ValueError: the markers are not there exactly once, in order.
    """
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page needs one line {begin!r} and after it one line {end!r}")
    before, _, rest = page.partition(begin)
    return f"{before}{section}{rest.partition(end)[2]}"
