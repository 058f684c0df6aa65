"""Sampling forget sets as in the papers: from groups, a class, a subject, or at random."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.data.forget.check import emptied
from grmu_audit.data.forget.forget_list import id_defect, raise_defects
from grmu_audit.data.forget.groups import train_counts
from grmu_audit.data.forget.presets import parse_class, parse_group, preset_groups
from grmu_audit.errors import InputError
from grmu_audit.records import Group
from grmu_audit.utils import read_file, write_atomic
from grmu_audit.utils.yaml_files import load_bounded

if TYPE_CHECKING:
    import pandas as pd

    from grmu_audit.data.dataset import Dataset, Header

_STREAM = 0x666F7267  # separates this generator from others that start from the same seed


@dataclass(frozen=True)
class ForgetSampling:
    """How a forget set is sampled: from exactly one of groups, a class, a subject, a preset, or all training samples."""

    groups: tuple[str | Group, ...] = ()
    """Groups, also as ``1,0`` or ``blond / male``."""
    class_: str | None = None
    """Class by name or number, all attributes together."""
    subject: str | None = None
    """Subject whose samples are taken."""
    random: bool = False
    """From all training samples."""
    preset: str | None = None
    """Name in ``data.forget.PRESETS``."""
    ratio: float = 0.5
    """Share of the samples, in (0, 1]; the count is rounded half up, at least 1 (``sample_count``)."""
    seed: int = 0
    """Seed of the generator, a whole number from 0."""


def sample_forget(dataset: Dataset, sampling: ForgetSampling, forgotten: Collection[str] = ()) -> list[str]:
    """Ids of a forget set, sorted: ``ratio`` of the training samples of each group, of a class, of a subject, or of all.

    The sample depends on the seed and the ids alone, not on the order of rows or of ``groups``; with the same seed a smaller
    ratio gives a subset of a larger one, and a group's sample does not change when other groups are requested too.

    Args:
        dataset: the data.
        sampling: how to sample.
        forgotten: ids that earlier requests of the lineage named; they are not sampled again.

    Raises:
        InputError: ratio or seed out of range, none or several ways to sample, or nothing to sample from.
        ForgetListError: the sample would empty the training set, a class or a group.
    """
    _check_sampling(sampling, dataset.header)
    header, frame = dataset.header, dataset.frame
    left = frame[(frame["split"] == "train") & ~frame["id"].isin(list(forgotten))]
    strata = _strata(left, sampling, header)
    ids = sorted(name for path, names in strata.items() for name in _sample(names, sampling, path))
    raise_defects("(sampled)", list(emptied(frame, [*ids, *forgotten], header.class_names, header.attribute_names)))
    return ids


def _strata(train: pd.DataFrame, sampling: ForgetSampling, header: Header) -> dict[tuple[int, ...], list[str]]:
    """Ids by what they are sampled from; the keys are part of the seed."""
    if sampling.class_ is not None:
        code = parse_class(sampling.class_, header)
        return {(1, code): _require_ids(train[train["target"] == code], f"class {code}")}
    if sampling.subject is not None:
        return {(2,): _require_ids(train[train["subject"].astype(str) == str(sampling.subject)], "this subject")}
    if sampling.random:
        return {(3,): _require_ids(train, "the training split")}
    known = train_counts(train)
    return {(0, g.target, g.attribute): _of_group(train, g, known, header) for g in sampled_groups(sampling, header)}


def sampled_groups(sampling: ForgetSampling, header: Header) -> tuple[Group, ...]:
    """The groups that are sampled from, sorted; none where it is not from groups.

    Raises:
        InputError: there is no such group or preset.
    """
    if sampling.preset:
        return tuple(sorted(set(preset_groups(sampling.preset, header))))
    return tuple(sorted({parse_group(one, header) if isinstance(one, str) else one for one in sampling.groups}))


def sample_count(n: int, ratio: float) -> int:
    """``ratio`` of n, rounded half up on the decimal number as written, at least 1.

    >>> [sample_count(83, 0.5), sample_count(5, 0.1), sample_count(2, 0.1), sample_count(45, 0.9)]
    [42, 1, 1, 41]
    """
    return max(1, math.floor(Fraction(repr(float(ratio))) * n + Fraction(1, 2)))


def _check_sampling(sampling: ForgetSampling, header: Header) -> None:
    ways = (sampling.groups, sampling.class_ is not None, sampling.subject is not None, sampling.random, sampling.preset)
    if sum(map(bool, ways)) != 1:
        raise InputError("choose exactly one of a group, a class, a subject, a preset, or random")
    if sampling.subject is not None and not header.subject_name:
        raise InputError(f"{header.name} has no subjects: sample from groups, a class, or at random")
    if not (0.0 < sampling.ratio <= 1.0):
        raise InputError(f"ratio is {sampling.ratio!r}: give a share above 0 and at most 1, such as 0.5")
    seed = sampling.seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed is {seed!r}: give a whole number from 0")


def _of_group(train: pd.DataFrame, group: Group, known: Mapping[Group, int], header: Header) -> list[str]:
    if group not in known:
        names = header.class_names, header.attribute_names
        have = "; ".join(f"({g.target}, {g.attribute}) {g.label(*names)}" for g in list(known)[:20])
        raise InputError(f"no training sample of the group (target {group.target}, attribute {group.attribute}); groups: {have}")
    return [*train.loc[(train["target"] == group.target) & (train["attribute"] == group.attribute), "id"]]


def _require_ids(rows: pd.DataFrame, what: str) -> list[str]:
    if len(rows) == 0:
        raise InputError(f"no training sample of {what}: choose another")
    return [*rows["id"]]


def _sample(names: list[str], sampling: ForgetSampling, path: tuple[int, ...]) -> list[str]:
    """A prefix of one fixed permutation of the sorted ids."""
    ordered = sorted(set(names))
    generator = np.random.default_rng(np.random.SeedSequence(int(sampling.seed), spawn_key=(_STREAM, *path)))
    picked = generator.permutation(len(ordered))[: sample_count(len(ordered), sampling.ratio)]
    return [ordered[int(i)] for i in picked]


def describe_sampling(dataset: Dataset, sampling: ForgetSampling) -> dict[str, object]:
    """How a list was sampled, for its sidecar; a subject is not named."""
    header, groups = dataset.header, sampled_groups(sampling, dataset.header)
    if groups:
        what = "; ".join(group.label(header.class_names, header.attribute_names) for group in groups)
    elif sampling.class_ is not None:
        what = f"class {header.class_names[parse_class(sampling.class_, header)]}"
    else:
        what = "one subject" if sampling.subject is not None else "all groups, at random"
    preset = f" (preset {sampling.preset})" if sampling.preset else ""
    return {
        "how": f"{sampling.ratio:g} of the training samples of: {what}{preset}",
        **({"groups": [[g.target, g.attribute] for g in groups]} if groups else {}),
        "ratio": sampling.ratio,
        "seed": sampling.seed,
        "dataset": header.name,
        "dataset_sha256": dataset.digest,
    }


SIDECAR_SCHEMA = "grmu-audit/forget-sample/v1"
"""Schema name and version of a sidecar."""
LARGEST_SIDECAR = 1_000_000
"""Bytes that a sidecar may have."""


def write_forget_list(path: str | os.PathLike[str], ids: Sequence[str], sidecar: Mapping[str, object]) -> Path:
    """Write ``ids`` as CSV (column ``id``, readable by the owner alone) and the sidecar beside it; each file atomically.

    The list is written last, so that a list that exists has its sidecar.  ``read_forget_list`` reads the same ids back.

    Args:
        path: the CSV file.
        ids: sample ids.
        sidecar: how they were sampled (group names, ratio, seed, dataset digest...), plain YAML types; ``schema`` and ``count``
            are added.  It is not secret: put no id into it.

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
    raise_defects(target.name, [*(() if ids else ("there is no id to write",)), *repeated, *bad])
    meta = _yaml({"schema": SIDECAR_SCHEMA, **sidecar, "count": len(ids)})
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id",), *((name,) for name in ids)])
    write_atomic(sidecar_path(target), meta)
    return write_atomic(target, text.getvalue().encode("utf-8"), mode=0o600)


def sidecar_path(path: str | os.PathLike[str]) -> Path:
    """Path of the sidecar of a list.

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
        tree = load_bounded(read_file(beside, LARGEST_SIDECAR).decode("utf-8"), str(beside))
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
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
        raise InputError(f"the sidecar holds a value that is not a plain YAML type: {kinds}") from None
