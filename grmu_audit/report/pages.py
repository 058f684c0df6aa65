"""Templates to pages: where they are looked for, how they fail, and what every page gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.report.strings import Strings
from grmu_audit.resources import template_dir as built_in_templates

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
