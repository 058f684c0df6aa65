"""Templates to pages: where they are looked for, how they fail, and what every page gets."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.records import Audit
from grmu_audit.report.charts import build_charts
from grmu_audit.report.content.branding import load_branding
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.view import build_view
from grmu_audit.report.wording.strings import Strings, load_strings
from grmu_audit.utils.resources import template_dir as built_in_templates

STYLE = "style.css"
"""The style sheet that a page holds."""


def render_page(template: str, template_dir: Path | None, strings: Strings, **context: Any) -> str:
    """A page from a template; it gets ``context``, ``t`` (a sentence by its key) and ``style``.

    Args:
        template: file name, looked for in ``template_dir`` first.
        template_dir: a folder of the user's.
        strings: sentences.
        context: what the template may use.

    Raises:
        InputError: the folder does not exist, or a template is wrong or uses a field that it is not given.
    """
    from jinja2 import TemplateError

    if template_dir is not None and not template_dir.is_dir():
        raise InputError(f"no template folder {template_dir}: give a folder, or leave the option out")
    environment = _environment(template_dir)
    try:
        page: str = environment.get_template(template).render(**context, t=strings.text, style=_style(environment))
    except TemplateError as error:
        place = f"{getattr(error, 'filename', None) or template}:{getattr(error, 'lineno', None) or _line(error)}"
        raise InputError(f"the report template cannot be rendered: {place}: {type(error).__name__}: {error}") from error
    return page + "\n"


def _environment(own: Path | None) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = [str(folder) for folder in (own, built_in_templates()) if folder is not None]
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _style(environment: Any) -> Any:
    """The style sheet, put in as it is; it comes from a template folder, which is trusted like a template."""
    from markupsafe import Markup

    source: str = environment.loader.get_source(environment, STYLE)[0]
    if "</style" in source.lower():
        raise InputError(f"{STYLE} holds '</style', which would end the style sheet: remove it")
    return Markup(source)  # noqa: S704  (a style sheet of the template folder, never data)


def _line(error: BaseException) -> int:
    """Line of the template in which an error arose, from its traceback."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


TEMPLATE = "report.html.j2"
"""The page."""


def render_html(
    audit: Audit,
    *,
    template_dir: Path | None = None,
    branding: Path | None = None,
    after: Mapping[str, Any] | None = None,
) -> str:
    """The report of an audit.

    Args:
        audit: facts, with or without a verdict.
        template_dir: a folder of the user's; its ``report.html.j2``, ``macros.html.j2``, ``style.css`` and ``en.yaml`` go before
            those that come along, any of them may be absent.
        branding: branding file; see ``branding``.
        after: what the ledger says since the audit was recorded; see ``Lookup.after``.

    Returns:
        One HTML document, the same bytes for the same audit.  Templates get ``view`` (``view_model.View``), ``charts``
        (``svg.Drawing`` by name, or None) and ``t`` (a sentence by its key).

    Raises:
        InputError: the folder does not exist, or a template is wrong or uses a field that the view model does not have.
    """
    strings = load_strings(template_dir)
    shown = load_branding(branding) if branding is not None else None
    view = build_view(audit, strings=strings, branding=shown, after=after)
    charts = build_charts(Lookup.of(audit), strings)
    return render_page(TEMPLATE, template_dir, strings, view=view, charts=charts)


def framed(page: str) -> str:
    """A page as part of another, for notebooks; its styles stay its own."""
    return f'<iframe srcdoc="{escape(page)}" style="width: 100%; height: 50em; border: 0"></iframe>'
