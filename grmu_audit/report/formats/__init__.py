"""Every output format by name: a function from an audit to text."""

from __future__ import annotations

import json
from collections.abc import Callable

from grmu_audit.records import Audit
from grmu_audit.utils import canonical_json
from grmu_audit.utils.plugins import Registry

__all__ = [
    "FORMATS",
    "Renderer",
    "render",
    "render_json",
]


Renderer = Callable[[Audit], str]
"""A format: from an audit, judged or not, to a text with one newline at its end."""
FORMATS: Registry[Renderer] = Registry("report format", "grmu_audit.formats")
"""Formats that come along; third parties add theirs through the entry-point group ``grmu_audit.formats``."""


def render(audit: Audit, format: str) -> str:  # noqa: A002  (the word that users know)
    """The audit in a format: ``github``, ``html``, ``json``, ``junit``, ``markdown``, ``model-card``, ``sarif``, ``text``.

    Raises:
        NotFoundError: no such format; the message lists the known ones.
    """
    return FORMATS.get(format)(audit)


@FORMATS.register("html")
def _html(audit: Audit) -> str:
    from grmu_audit.report.formats.html import render_html

    return render_html(audit)


@FORMATS.register("json")
def _json(audit: Audit) -> str:

    return render_json(audit)


@FORMATS.register("text")
def _text(audit: Audit) -> str:
    from grmu_audit.report.formats.text import render_text

    return render_text(audit)


@FORMATS.register("markdown")
def _markdown(audit: Audit) -> str:
    from grmu_audit.report.formats.markdown import render_markdown

    return render_markdown(audit)


@FORMATS.register("junit")
def _junit(audit: Audit) -> str:
    from grmu_audit.report.formats.junit import render_junit

    return render_junit(audit)


@FORMATS.register("sarif")
def _sarif(audit: Audit) -> str:
    from grmu_audit.report.formats.sarif import render_sarif

    return render_sarif(audit)


@FORMATS.register("github")
def _github(audit: Audit) -> str:
    from grmu_audit.report.formats.github import render_github

    return render_github(audit)


@FORMATS.register("model-card")
def _model_card(audit: Audit) -> str:
    from grmu_audit.report.formats.markdown import render_model_card

    return render_model_card(audit)


def render_json(audit: Audit) -> str:
    """The audit, indented, keys sorted; holds no NaN, and hides nothing that the audit file holds.

    Raises:
        InputError: a number that is not finite, or a text that is not valid Unicode; the message names its path.
    """
    tree = json.loads(canonical_json(audit.to_json()))
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
