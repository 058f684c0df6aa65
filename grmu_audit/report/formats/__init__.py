"""Every output format by name: a function from an audit to text."""

from __future__ import annotations

import json
from collections.abc import Callable

from grmu_audit.records import Audit
from grmu_audit.report.formats.cyclonedx import render_cyclonedx
from grmu_audit.report.formats.github import render_github
from grmu_audit.report.formats.html import render_html
from grmu_audit.report.formats.junit import render_junit
from grmu_audit.report.formats.markdown import render_markdown, render_model_card
from grmu_audit.report.formats.sarif import render_sarif
from grmu_audit.report.formats.text import render_groups, render_text
from grmu_audit.utils import canonical_json
from grmu_audit.utils.plugins import Registry

Renderer = Callable[[Audit], str]
"""A format: from an audit, judged or not, to a text with one newline at its end."""
FORMATS: Registry[Renderer] = Registry("report format", "grmu_audit.formats")
"""Built-in formats; third parties add theirs through the entry-point group ``grmu_audit.formats``."""


def render(audit: Audit, format: str) -> str:  # noqa: A002  (the word that users know)
    """The audit in a format.

    These are ``cyclonedx``, ``github``, ``groups``, ``html``, ``json``, ``junit``, ``markdown``, ``model-card``, ``sarif`` and
    ``text``.

    Raises:
        NotFoundError: no such format; the message lists the known ones.
    """
    return FORMATS.get(format)(audit)


@FORMATS.register("json")
def render_json(audit: Audit) -> str:
    """The audit, indented, keys sorted; holds no NaN, and hides nothing that the audit file holds.

    Raises:
        InputError: a number that is not finite, or a text that is not valid Unicode; the message names its path.
    """
    tree = json.loads(canonical_json(audit.to_json()))
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS.add("cyclonedx", render_cyclonedx)
FORMATS.add("github", render_github)
FORMATS.add("groups", render_groups)
FORMATS.add("html", render_html)
FORMATS.add("junit", render_junit)
FORMATS.add("markdown", render_markdown)
FORMATS.add("model-card", render_model_card)
FORMATS.add("sarif", render_sarif)
FORMATS.add("text", render_text)
