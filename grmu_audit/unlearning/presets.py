"""``--preset paper``: the seed paper's hyper-parameters per dataset, ratio and method, and what holds for all of a method's rows.

Source of ``paper_presets.csv``: the published configurations of De Min et al., Group-robust Machine Unlearning.  Each row of
``paper_constants.csv`` names its own.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grmu_audit.errors import InputError

TABLE = Path(__file__).with_name("paper_presets.csv")
"""One row per dataset, model, ratio, number of forget groups, method and REWEIGHT; an empty cell holds for all."""
CONSTANTS = Path(__file__).with_name("paper_constants.csv")
"""What the table leaves out, since it is the same in all rows of a method: method, constant, value, source."""
_OPTION_OF: dict[tuple[str, str], tuple[str, type[int] | type[float]]] = {
    ("l1_sparse", "initial L1 penalty gamma"): ("alpha", float),
    ("salun", "share of weights in the mask"): ("density", float),
    ("scrub", "weight of cross-entropy on the retain set"): ("gamma", float),
    ("scrub", "weight of KL on the retain set (alpha)"): ("alpha", float),
    ("scrub", "temperature of KL"): ("temperature", float),
    ("scrub", "retain batch size"): ("retain_batch_size", int),
    ("miu", "gradient updates of the estimator in the first epoch"): ("estimator_steps_first", int),
    ("miu", "gradient updates of the estimator in later epochs"): ("estimator_steps", int),
}
"""Constant to option; the others are no option: the form of a schedule, or what the rows say one by one."""
_AS_PUBLISHED: dict[str, dict[str, object]] = {"miu": {"estimator": "mine", "clip": 0.0}}
"""Options of a method whose defaults here are not the published form."""
NAME = "paper"
"""The only preset."""
RATIO_TOLERANCE = 0.02
"""How far a request's ratio may be from a row's, where the groups have rows enough for it; else less than one row of theirs."""


@dataclass(frozen=True)
class Query:
    """Which row is wanted."""

    dataset: str
    """Dataset, as the table names it."""
    method: str
    """Method or ``pretrain``, with ``+group_dro`` where the groups that are served worst are trained for."""
    ratio: float | None
    """Share of the forget groups that is to be forgotten."""
    groups: int
    """Number of groups that the forget set is sampled from."""
    reweight: bool
    """REWEIGHT or not."""
    size: int | None = None
    """Training rows of those groups; None where the ratio was given by name."""


@dataclass(frozen=True)
class Preset:
    """A row as options of a method."""

    label: str
    """Which row: dataset, ratio, groups, method."""
    settings: dict[str, object]
    """Options by name."""


@cache
def rows() -> tuple[dict[str, str], ...]:
    """The table as text cells."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream))


@cache
def constants(method: str) -> dict[str, object]:
    """Options that are the same in all rows of a method.

    >>> constants("scrub")["alpha"]
    0.001
    """
    with CONSTANTS.open(newline="", encoding="utf-8") as stream:
        cells = {(row["method"], row["constant"]): row["value"] for row in csv.DictReader(stream)}
    return {option: kind(cells[key]) for key, (option, kind) in _OPTION_OF.items() if key[0] == method}


def query(text: str, wanted: Query) -> Query:
    """Read ``paper``, ``paper:DATASET``, ``paper:DATASET:RATIO`` or ``paper:DATASET:RATIO:GROUPS`` over what the request says.

    Raises:
        InputError: another name, or a part that is no number.

    >>> query("paper:celeba:0.9", Query("photodigits", "miu", 0.5, 1, True)).ratio
    0.9
    """
    name, *parts = text.split(":")
    if name != NAME or len(parts) > 3:
        raise InputError(
            f"--preset {text!r}: known is paper, or paper:DATASET:RATIO:GROUPS where the request says something else"
        )
    try:
        return Query(
            dataset=parts[0] if parts else wanted.dataset,
            method=wanted.method,
            ratio=float(parts[1]) if len(parts) > 1 else wanted.ratio,
            groups=int(parts[2]) if len(parts) > 2 else wanted.groups,
            reweight=wanted.reweight,
            size=wanted.size if len(parts) < 2 else None,
        )
    except ValueError:
        raise InputError(f"--preset {text!r}: RATIO and GROUPS are numbers, such as paper:celeba:0.5:1") from None


def paper_preset(wanted: Query, known: Collection[str]) -> Preset:
    """The row for a query, as options.

    Args:
        wanted: which row.
        known: options that the method has; a cell that it has no option for is left out.

    Raises:
        InputError: the table has no such row; the message lists what it has.
    """
    mine = [row for row in rows() if row["dataset"] == wanted.dataset]
    if not mine:
        datasets = sorted({row["dataset"] for row in rows() if row["method"] != "fallback"})
        raise InputError(
            f"--preset paper: the paper has no dataset {wanted.dataset!r} ({', '.join(datasets)}); "
            "name one of its rows with paper:DATASET:RATIO:GROUPS, or leave the preset out"
        )
    mine = [row for row in mine if row["method"] == wanted.method and (row["reweight"] == "yes") is wanted.reweight]
    if not mine:
        raise InputError(
            f"--preset paper: no row for {_words(wanted)}; methods of {wanted.dataset}: {', '.join(_methods(wanted.dataset))}"
        )
    row = min((row for row in mine if _fits(row, wanted)), key=lambda row: _distance(row, wanted), default=None)
    if row is None:
        have = ", ".join(f"{r['unlearning_ratio']} of {r['forget_groups']} group(s)" for r in mine)
        raise InputError(f"--preset paper: no row for {_words(wanted)}; it has {have}: name one with paper:DATASET:RATIO:GROUPS")
    ratio, groups = row["unlearning_ratio"] or "any", row["forget_groups"] or "any"
    label = f"{row['dataset']} {row['model']}, ratio {ratio}, groups {groups}, {row['method']}, REWEIGHT {row['reweight']}"
    if _distance(row, wanted) > RATIO_TOLERANCE:
        label += f"; the request's {wanted.ratio:.3g} is the nearest that {wanted.size} rows allow, to one row"
    return Preset(label, {name: value for name, value in options(row).items() if name in known})


def _words(q: Query) -> str:
    ratio = "an unknown ratio" if q.ratio is None else f"ratio {q.ratio:g}"
    return f"{q.method} {'with' if q.reweight else 'without'} REWEIGHT on {q.dataset} ({ratio}, {q.groups} group(s))"


def _methods(dataset: str) -> list[str]:
    return sorted(
        {row["method"] + (" with REWEIGHT" if row["reweight"] == "yes" else "") for row in rows() if row["dataset"] == dataset}
    )


def _fits(row: Mapping[str, str], q: Query) -> bool:
    """Whether number of groups and ratio are the row's, the ratio as nearly as a group of that size can have it."""
    apart = _distance(row, q)
    ratio = apart <= RATIO_TOLERANCE or (q.size is not None and apart * q.size < 1)
    return ratio and (not row["forget_groups"] or int(row["forget_groups"]) == q.groups)


def _distance(row: Mapping[str, str], q: Query) -> float:
    """Of the ratios; 0 for a row of any ratio."""
    if not row["unlearning_ratio"]:
        return 0.0
    return math.inf if q.ratio is None else abs(float(row["unlearning_ratio"]) - q.ratio)


def options(row: Mapping[str, str]) -> dict[str, object]:
    """A row's cells, and its method's constants, under the names of this package's options; empty cells are left out.

    Warm-up is counted in epochs there and as a share of all steps here.
    """
    found: dict[str, object] = {
        "batch_size": int(row["batch_size"]),
        "epochs": int(row["epochs"]),
        "learning_rate": float(row["lr"]),
        "momentum": float(row["momentum"]),
        "weight_decay": float(row["weight_decay"]),
        "optimizer": row["optimizer"],
        "schedule": {"cosine": "cosine", "const": "constant"}[row["scheduler"]],
        "warmup": int(row["warmup_epochs"]) / int(row["epochs"]),
        "augment": row["train_augmentation"] == "True",
    }
    optional: dict[str, tuple[str, type[int] | type[float]]] = {
        "forgetting_epochs": ("forget_epochs", int),
        "mine_lr": ("estimator_learning_rate", float),
        "lambda_mi": ("lambda_mi", float),
        "dro_lr": ("dro_step_size", float),
    }
    found |= {option: kind(row[cell]) for cell, (option, kind) in optional.items() if row[cell]}
    if row["method"].endswith("+group_dro"):
        found["group_dro"] = True
    return found | constants(row["method"]) | _AS_PUBLISHED.get(row["method"], {})
