"""The version of the package; its policies and templates, in the wheel beside the code or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path

from grmu_audit.errors import EnvironmentFailure, NotFoundError
from grmu_audit.utils.plugins import did_you_mean

VERSION = "0.1.0"
"""Version of the package."""
_PACKAGE = Path(__file__).resolve().parents[1]
_SUFFIXES = (".yaml", ".yml")


def resource_dir(kind: str) -> Path:
    """The folder of one kind of resource, ``policies`` or ``templates``.

    An installed wheel carries them in ``grmu_audit/_resources``; in a checkout they lie beside the package.

    Raises:
        EnvironmentFailure: neither place has the folder (a broken installation).
    """
    places = (_PACKAGE / "_resources" / kind, _PACKAGE.parent / kind)
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise EnvironmentFailure(
            f"no folder {kind!r} in {places[0].parent} or {places[1].parent}: the installation is incomplete, install it again"
        )
    return found


def template_dir() -> Path:
    """Folder of the report's templates.

    >>> (template_dir() / "report.html.j2").is_file()
    True
    """
    return resource_dir("templates")


def policy_names() -> list[str]:
    """Names of the policies that come with the tool, sorted: the file names without their ending."""
    return sorted(path.stem for path in resource_dir("policies").iterdir() if path.suffix in _SUFFIXES and path.is_file())


def policy_file(name: str) -> Path:
    """Path of a policy that comes with the tool.

    Raises:
        NotFoundError: no such policy; the message lists the nearest and all known names.
    """
    known = policy_names()
    if name not in known:
        listed = ", ".join(known) or "none"
        raise NotFoundError(
            f"no policy {name!r}{did_you_mean(name, known)}; known: {listed}; a policy of your own is given by its path"
        )
    folder = resource_dir("policies")
    return next(path for path in (folder / f"{name}{suffix}" for suffix in _SUFFIXES) if path.is_file())
