"""Writing a forget list with a sidecar that says how it was made."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from grmu_audit.data.forget.defects import id_defect, refuse
from grmu_audit.errors import InputError
from grmu_audit.evidence import write_atomic

SIDECAR_SCHEMA = "grmu-audit/forget-sample/v1"
"""Schema name and version of a sidecar."""


def write_forget_list(path: str | os.PathLike[str], ids: Sequence[str], sidecar: Mapping[str, object]) -> Path:
    """Write ``ids`` as CSV (column ``id``, readable by the owner alone) and the sidecar beside it; each file atomically.

    The list is written last, so that a list that exists has its sidecar.  ``read_forget_list`` reads the same ids back.

    Args:
        path: the CSV file.
        ids: sample ids.
        sidecar: how they were drawn (group names, ratio, seed, dataset digest...), plain YAML types; ``schema`` and ``count`` are
            added.  It is not secret: put no id into it.

    Raises:
        ForgetListError: nothing to write, an id repeats, or could not be read back.
        InputError: the sidecar holds a type that YAML cannot write.
    """
    target = Path(path)
    seen: set[str] = set()
    repeated = [f"the id {name!r} repeats" for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    bad = [
        id_defect(name) or f"the id {name!r} has white space around it" for name in ids if id_defect(name) or name != name.strip()
    ]
    refuse(target.name, [*(() if ids else ("there is no id to write",)), *repeated, *bad])
    meta = _yaml({"schema": SIDECAR_SCHEMA, **sidecar, "count": len(ids)})
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id",), *((name,) for name in ids)])
    write_atomic(sidecar_path(target), meta)
    return write_atomic(target, text.getvalue().encode("utf-8"), mode=0o600)


def sidecar_path(path: str | os.PathLike[str]) -> Path:
    """Where the sidecar of a list lies.

    >>> sidecar_path("ids.csv").name
    'ids.csv.meta.yaml'
    """
    target = Path(path)
    return target.with_name(target.name + ".meta.yaml")


def read_sidecar(path: str | os.PathLike[str]) -> dict[str, object] | None:
    """The sidecar of the list at ``path``, or None when it has none.

    Raises:
        InputError: the sidecar cannot be read or is not one.
    """
    import yaml

    beside = sidecar_path(path)
    try:
        tree = yaml.safe_load(beside.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise InputError(f"sidecar {beside} cannot be read ({type(error).__name__}): restore it, or remove it") from None
    if not isinstance(tree, dict) or tree.get("schema") != SIDECAR_SCHEMA:
        raise InputError(f"sidecar {beside} is not of schema {SIDECAR_SCHEMA!r}: restore it, or remove it")
    return tree


def _yaml(tree: dict[str, object]) -> bytes:
    import yaml

    try:
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8")
    except yaml.YAMLError:
        kinds = {name: type(value).__name__ for name, value in tree.items()}
        raise InputError(f"the sidecar holds a value that is no plain YAML type: {kinds}") from None
