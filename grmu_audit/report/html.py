"""The report as one self-contained HTML file: no script, no network, everything escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.records import Audit
from grmu_audit.report.charts import build_charts
from grmu_audit.report.lookup import Lookup
from grmu_audit.report.strings import load_strings
from grmu_audit.report.view import build_view
from grmu_audit.resources import template_dir as built_in_templates

TEMPLATE = "report.html.j2"
"""The page."""

STYLE = "style.css"
"""The style sheet that the page holds."""


def render_html(audit: Audit, *, template_dir: Path | None = None) -> str:
    """The report of an audit.

    Args:
        audit: facts, with or without a verdict.
        template_dir: a folder of the user's; its ``report.html.j2``, ``macros.html.j2``, ``style.css`` and ``en.yaml`` go before those
            that come along, any of them may be absent.

    Returns:
        One HTML document, the same bytes for the same audit; templates get ``view`` (``fields.View``), ``charts`` and ``t`` (sentences).

    Raises:
        InputError: the folder does not exist, or a template is wrong or uses a field that the view model does not have.
    """
    from jinja2 import TemplateError
    from markupsafe import Markup

    if template_dir is not None and not template_dir.is_dir():
        raise InputError(f"no template folder {template_dir}: give a folder, or leave the option out")
    environment = _environment(template_dir)
    strings = load_strings(template_dir)
    charts = build_charts(Lookup.of(audit), strings)
    try:
        style = _source(environment, STYLE)
        page = environment.get_template(TEMPLATE)
        return page.render(view=build_view(audit, strings=strings), charts=charts, t=strings.text, style=Markup(style)) + "\n"  # noqa: S704
    except TemplateError as error:
        place = f"{getattr(error, 'filename', None) or TEMPLATE}:{getattr(error, 'lineno', None) or _line(error)}"
        raise InputError(f"the report template cannot be rendered: {place}: {type(error).__name__}: {error}") from error


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


def _source(environment: Any, template: str) -> str:
    """The text of a template file; a style sheet is put in as it is, and must not end its own element."""
    source: str = environment.loader.get_source(environment, template)[0]
    if "</style" in source.lower():
        raise InputError(f"{template} holds '</style', which would end the style sheet: remove it")
    return source


def _line(error: BaseException) -> int:
    """Line of the template in which an error arose, from its traceback."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
