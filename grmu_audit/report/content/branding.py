"""Branding of a report from a YAML file: organisation, logo, colours and legal footer, all optional, all checked.

The file::

    organisation: Example Ltd
    logo: logo.svg            # beside this file; png, jpeg, webp or svg, at most 100 KB
    footer: Example Ltd, 1 Example Road. Internal use only.
    colours:
      accent: "#0a5a9c"       # links and marks in light mode
      accent_dark: "#7cbcf5"  # the same in dark mode

A colour that would not have the contrast of WCAG AA on the report's ground is refused.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.report.content.view_model import Branding
from grmu_audit.report.wording.names import MAX_SENTENCE, safe_name, safe_sentence
from grmu_audit.utils import read_file
from grmu_audit.utils.yaml_files import read_mapping

LARGEST_LOGO = 100_000
"""Largest logo in bytes; a report is under 500 KB."""
GROUNDS = {"accent": ("#f4f6f8", "#ffffff"), "accent_dark": ("#10151b", "#19202a")}
"""Each colour and the grounds of the style sheet that it is read on."""
_SMALLEST_CONTRAST = 4.5
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_KEYS = {"organisation", "logo", "footer", "colours"}


def no_branding() -> Branding:
    """Branding without anything in it."""
    return Branding(organisation="", logo="", footer="", style="")


def load_branding(path: Path) -> Branding:
    """Read and check a branding file.

    Raises:
        InputError: not readable, an unknown key, a logo that is no image or too large, or a colour that cannot be read well.
    """
    tree = read_mapping(path, "branding file", ": see the documentation of reports")
    unknown = sorted(set(tree) - _KEYS)
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}")
    colours = tree.get("colours") or {}
    if not isinstance(colours, dict):
        raise InputError(f"{path}: 'colours' holds {type(colours).__name__} instead of a mapping of colours")
    return Branding(
        organisation=safe_name(tree.get("organisation") or ""),
        logo=_logo(path.parent / str(tree["logo"])) if tree.get("logo") else "",
        footer=safe_sentence(tree.get("footer") or "", MAX_SENTENCE),
        style=_style(path, colours),
    )


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, from 1 to 21.

    (L1 + 0.05) / (L2 + 0.05) with relative luminances L1 >= L2.  Source: WCAG 2.2, definitions.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _logo(path: Path) -> str:
    try:
        content = read_file(path, LARGEST_LOGO)
    except OSError as error:
        raise InputError(f"{path}: the logo cannot be read: {error.strerror or error}: give another one") from None
    kind = _kind(content)
    if kind is None:
        raise InputError(f"{path}: the logo is none of png, jpeg, webp and svg")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _kind(content: bytes) -> str | None:
    if content.startswith(b"\x89PNG\r\n"):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return "svg+xml" if b"<svg" in content[:2000] else None


def _style(path: Path, colours: dict[Any, Any]) -> str:
    found: dict[str, str] = {}
    for key, value in colours.items():
        if key not in GROUNDS:
            raise InputError(f"{path}: unknown colour {key!r}; known: {', '.join(GROUNDS)}")
        if not isinstance(value, str) or not _COLOUR.fullmatch(value):
            raise InputError(f"{path}: {key} is {value!r}: give a colour such as '#0a5a9c', in quotes")
        least = min(contrast(value, ground) for ground in GROUNDS[key])
        if not (least >= _SMALLEST_CONTRAST):
            raise InputError(f"{path}: {key} {value} has a contrast of {least:.1f} on the report's ground; 4.5 is needed")
        found[key] = value.lower()
    light = f":root {{ --accent: {found['accent']}; }}" if "accent" in found else ""
    dark = f":root {{ --accent: {found['accent_dark']}; }}" if "accent_dark" in found else ""
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {dark} }}" if dark else ""
    if light and not dark:
        light = f"@media screen and (prefers-color-scheme: light) {{ {light} }}"
    return " ".join(part for part in (light, dark) if part)
