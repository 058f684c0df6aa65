"""Drawing forget sets as in the papers: from groups, a class, a subject, or at random."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.data.forget.check import emptied
from grmu_audit.data.forget.forget_list import id_defect, refuse
from grmu_audit.data.forget.groups import train_counts
from grmu_audit.errors import InputError
from grmu_audit.records import Group
from grmu_audit.utils import write_atomic

if TYPE_CHECKING:
    import pandas as pd

_STREAM = 0x666F7267  # keeps this generator apart from others that start from the same seed


def sample_forget(
    frame: pd.DataFrame,
    *,
    groups: Sequence[Group] | None = None,
    class_: int | None = None,
    subject: str | None = None,
    random: bool = False,
    ratio: float,
    seed: int,
    class_names: Sequence[str] = (),
    attribute_names: Sequence[str] = (),
) -> list[str]:
    """Ids of a forget set, sorted: ``ratio`` of the training samples of each group, of a class, of a subject, or of all.

    The draw depends on the seed and the ids alone, not on the order of rows or of ``groups``; with the same seed a smaller ratio
    gives a subset of a larger one, and a group's draw does not change when other groups are asked for too.

    Args:
        frame: manifest with the columns ``id``, ``split``, ``target``, ``attribute`` (and ``subject`` where asked for).
        groups: draw from each of these; exactly one of ``groups``, ``class_``, ``subject``, ``random`` is given.
        class_: draw from this class, all attributes together.
        subject: draw from the samples of this subject.
        random: draw from the whole training split.
        ratio: share of the samples, in (0, 1]; the count is rounded half up, at least 1 (``sample_count``).
        seed: seed of the generator, a whole number from 0.
        class_names: names by class index, for messages.
        attribute_names: names by attribute index, for messages.

    Raises:
        InputError: ratio or seed out of range, none or several ways to draw, or nothing to draw from.
        ForgetListError: the draw would empty the training set, a class or a group.
    """
    _check_arguments(ratio, seed, groups, class_, subject, random)
    train = frame[frame["split"] == "train"]
    strata: list[tuple[tuple[int, ...], list[str]]]
    if groups:
        known = train_counts(frame)
        strata = [
            ((0, g.target, g.attribute), _of_group(train, g, known, class_names, attribute_names)) for g in sorted(set(groups))
        ]
    elif class_ is not None:
        strata = [((1, class_), _found(train[train["target"] == class_], f"class {class_}"))]
    elif subject is not None:
        strata = [((2,), _of_subject(train, subject))]
    else:
        strata = [((3,), _found(train, "the training split"))]
    ids = sorted(name for path, names in strata for name in _draw(names, ratio, seed, path))
    refuse("(sampled)", list(emptied(frame, ids, class_names, attribute_names)))
    return ids


def sample_count(n: int, ratio: float) -> int:
    """``ratio`` of n, rounded half up on the decimal number as written, at least 1.

    >>> [sample_count(83, 0.5), sample_count(5, 0.1), sample_count(2, 0.1), sample_count(45, 0.9)]
    [42, 1, 1, 41]
    """
    return max(1, math.floor(Fraction(repr(float(ratio))) * n + Fraction(1, 2)))


def _check_arguments(
    ratio: float, seed: int, groups: Sequence[Group] | None, class_: int | None, subject: str | None, random: bool
) -> None:
    if not (0.0 < ratio <= 1.0):
        raise InputError(f"ratio is {ratio!r}: give a share above 0 and at most 1, such as 0.5")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed is {seed!r}: give a whole number from 0")
    ways = [bool(groups), class_ is not None, subject is not None, random]
    if sum(ways) != 1:
        raise InputError(f"{sum(ways)} ways to draw are given: choose exactly one of groups, a class, a subject, or random")


def _of_group(
    train: pd.DataFrame, group: Group, known: dict[Group, int], class_names: Sequence[str], attribute_names: Sequence[str]
) -> list[str]:
    if group not in known:
        have = "; ".join(f"({g.target}, {g.attribute}) {g.label(class_names, attribute_names)}" for g in list(known)[:20])
        raise InputError(f"no training sample of the group (target {group.target}, attribute {group.attribute}); groups: {have}")
    return [*train.loc[(train["target"] == group.target) & (train["attribute"] == group.attribute), "id"]]


def _of_subject(train: pd.DataFrame, subject: str) -> list[str]:
    if "subject" not in train.columns:
        raise InputError("the dataset has no column 'subject': draw from groups, a class, or at random")
    return _found(train[train["subject"].astype(str) == str(subject)], "this subject")


def _found(rows: pd.DataFrame, what: str) -> list[str]:
    if len(rows) == 0:
        raise InputError(f"no training sample of {what}: choose another")
    return [*rows["id"]]


def _draw(names: list[str], ratio: float, seed: int, path: tuple[int, ...]) -> list[str]:
    """A prefix of one fixed permutation of the sorted ids."""
    ordered = sorted(set(names))
    generator = np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(_STREAM, *path)))
    picked = generator.permutation(len(ordered))[: sample_count(len(ordered), ratio)]
    return [ordered[int(i)] for i in picked]


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
