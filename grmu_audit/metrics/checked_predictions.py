"""What several metrics need of one model's predictions, computed once: checks, groups, masks and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.proportions import count_persons
from grmu_audit.metrics.scores import ATTACK_SCORES, attack_scores, margins
from grmu_audit.records import SPLITS, Group, Predictions
from grmu_audit.records import dominant_groups as find_dominant
from grmu_audit.records.audit import MeasureOptions
from grmu_audit.records.predictions import LARGEST_LOGIT
from grmu_audit.records.white_box import ShadowTable, WhiteBoxOutputs
from grmu_audit.utils.notations import by_notation, other_notation
from grmu_audit.utils.plugins import did_you_mean

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
MOST_GROUPS = 50_000
"""Groups that an audit can hold."""
VARIANTS = ("pairwise", "paper")
"""``pairwise``: every attribute value against every other; ``paper``: the dominant group's values against the rest."""
DEFAULTS = MeasureOptions()
"""Default choices."""
_SHOWN_ROWS = 5


@dataclass(frozen=True, eq=False)
class CheckedPredictions:
    """Checked predictions of one model with the choices that its metrics depend on."""

    predictions: Predictions
    """The per-sample outputs."""
    dominant_groups: tuple[Group, ...]
    """Group(s) with the largest share of the forget set; empty where there is no forget set."""
    options: MeasureOptions
    """Confidence, seed, attack score, variant of the gaps, positive class, interval method."""
    declared: tuple[int, ...] = ()
    """Codes of declared cells beyond those of the rows, where rows were left out."""

    @cached_property
    def correct(self) -> Mask:
        """[n] prediction == target."""
        return self.predictions.correct

    @cached_property
    def test(self) -> Mask:
        """[n] test rows."""
        return self.predictions.mask("test")

    @cached_property
    def cells(self) -> tuple[Ints, Ints]:
        """Codes of the declared cells (class x attribute pairs of any split), sorted, and [n] the cell of each row."""
        codes, index = np.unique(self.predictions.group, return_inverse=True)
        if self.declared:
            every = np.union1d(codes, np.array(self.declared, dtype=codes.dtype))
            codes, index = every, np.searchsorted(every, codes)[index]
        return codes, index.astype(np.int64)

    @cached_property
    def test_counts(self) -> Ints:
        """[cells] test samples per declared cell."""
        codes, index = self.cells
        return np.bincount(index[self.test], minlength=len(codes)).astype(np.int64)

    @cached_property
    def empty_cells(self) -> tuple[Group, ...]:
        """Declared cells without a test sample; all cells count as covered where there is no test sample at all."""
        return tuple(self.group(int(code)) for code in self.cells[0][self.test_counts == 0])

    @cached_property
    def scores(self) -> dict[str, npt.NDArray[np.float64]]:
        """[n] every attack score that the predictions allow, by name."""
        return attack_scores(self.predictions)

    @cached_property
    def margin(self) -> npt.NDArray[np.float64] | None:
        """[n] log p_y - log(1 - p_y), or None without logits; computed without the other scores."""
        p = self.predictions
        if p.logits is None:
            return None
        return self.scores["margin"] if "scores" in self.__dict__ else margins(p.logits, p.target)

    def score(self, name: str) -> npt.NDArray[np.float64] | None:
        """[n] one attack score, or None where the predictions do not allow it."""
        return self.margin if name == "margin" else self.scores.get(name)

    @cached_property
    def has_constant_scores(self) -> bool:
        """Whether all samples have the same outputs, so that no attack can distinguish them."""
        p = self.predictions
        outputs = p.logits if p.logits is not None else p.loss
        return outputs is not None and len(p) > 1 and bool((outputs == outputs[0]).all())

    @cached_property
    def loss(self) -> npt.NDArray[np.float64] | None:
        """[n] cross-entropy in nats, or None where neither logits nor losses are known."""
        return -self.scores["loss"] if "loss" in self.scores else None

    def group(self, code: int) -> Group:
        """The group of a code."""
        return Group.from_code(code, self.predictions.attributes)

    def rows(self, groups: tuple[Group, ...]) -> Mask:
        """[n] rows of these groups."""
        return np.isin(self.predictions.group, self.codes_of(groups))

    def codes_of(self, groups: tuple[Group, ...]) -> list[int]:
        """Codes ``target * attributes + attribute`` of these groups."""
        return [g.target * self.predictions.attributes + g.attribute for g in groups]

    def person_of(self, rows: Mask) -> Ints | None:
        """Person index of the rows, or None without a subject column."""
        return None if self.predictions.subject is None else self.predictions.subject[rows]

    def forget_unit(self, rows: Mask) -> Ints | None:
        """Person index of rows of the forget set; None where samples are the unit: no subject column, or one person alone."""
        person = self.person_of(rows)
        alone = self.options.interval_forms > 1 and person is not None and count_persons(person) == 1
        return None if alone else person

    def persons(self, rows: Mask) -> int | None:
        """Distinct people among the rows, or None without a subject column."""
        return count_persons(self.person_of(rows))


def check_predictions(
    predictions: Predictions, options: MeasureOptions = DEFAULTS, dominant_groups: tuple[Group, ...] | None = None
) -> CheckedPredictions:
    """Check predictions and fix the choices.

    Args:
        predictions: n samples of one model, all splits together.
        options: choices that the numbers depend on.
        dominant_groups: by default those with the largest share of the forget set (``records.dominant_groups``).

    Raises:
        InputError: the predictions are inconsistent (the message names row numbers, from 1), or there is no such positive
            class, variant or attack score.
    """
    check(predictions)
    _check_options(predictions, options)
    groups = find_dominant(_forget_counts(predictions)) if dominant_groups is None else tuple(sorted(dominant_groups))
    return CheckedPredictions(predictions, groups, options)


def check_same(first: CheckedPredictions, other: Predictions) -> CheckedPredictions:
    """Predictions of another model on the same samples, rows in the order of the first, with the same choices.

    Raises:
        InputError: as ``align`` and ``check_predictions``.
    """
    return check_predictions(align(first.predictions, other), first.options, first.dominant_groups)


def restricted(checked: CheckedPredictions, rows: Mask) -> CheckedPredictions:
    """A model on some of its rows, with the declared cells of all of them."""
    part = _take(checked.predictions, np.flatnonzero(rows))
    return replace(checked, predictions=part, declared=tuple(checked.cells[0].tolist()))


def check_kept(first: CheckedPredictions, kept: Predictions) -> CheckedPredictions:
    """Predictions of a purged model, which has only some rows of the first: these, in the order of the first.

    Raises:
        InputError: as ``check_same``, or rows that the first does not have.
    """
    part = restricted(first, np.isin(first.predictions.ids, kept.ids))
    return replace(check_same(part, kept), declared=part.declared)


def _check_options(p: Predictions, options: MeasureOptions) -> None:
    if p.classes == 2 and options.positive_class not in (0, 1):
        raise InputError(f"positive_class {options.positive_class} is not a class: use 0 or 1")
    if options.gap_variant not in VARIANTS:
        raise InputError(f"unknown variant {options.gap_variant!r}: known are {', '.join(VARIANTS)}")
    if options.attack_score not in ATTACK_SCORES:
        raise InputError(f"unknown attack score {options.attack_score!r}: known are {', '.join(ATTACK_SCORES)}")
    _check_controls(p, options.control_attributes)


def _check_controls(p: Predictions, controls: Sequence[str]) -> None:
    known = [name for name, _ in p.factors]
    for name in controls:
        if name not in known:
            by = ", ".join(known) or "one attribute without a name"
            raise InputError(
                f"no control attribute {name!r}{did_you_mean(name, known)}; the groups are formed by: {by}"
                " (each attribute needs a column attribute_NAME, and --by must not leave it out)"
            )
    if len(set(controls)) < len(controls):
        raise InputError(f"control attributes {', '.join(controls)}: name each once")
    if controls and len(controls) == len(known):
        raise InputError(f"control attributes {', '.join(controls)}: no attribute is left to compare within their values")


def _forget_counts(p: Predictions) -> dict[Group, int]:
    codes, counts = np.unique(p.group[p.mask("forget")], return_counts=True)
    return {Group.from_code(code, p.attributes): count for code, count in zip(codes.tolist(), counts.tolist(), strict=True)}


def check(p: Predictions) -> None:
    """Refuse predictions whose columns do not fit together.

    Raises:
        InputError: every defect at once, with row numbers from 1 and never an id.
    """
    n = len(p)
    columns: dict[str, npt.NDArray[Any]] = {
        "split": p.split,
        "target": p.target,
        "attribute": p.attribute,
        "prediction": p.prediction,
    }
    columns |= {k: v for k, v in (("logits", p.logits), ("loss", p.loss), ("subject", p.subject)) if v is not None}
    wrong = [f"{name} has {len(column)} rows, ids have {n}" for name, column in columns.items() if len(column) != n]
    if p.logits is not None and p.logits.ndim == 2 and p.logits.shape[1] != p.classes:
        wrong.append(f"logits have {p.logits.shape[1]} columns for {p.classes} classes")
    if n == 0:
        wrong.append("no rows at all")
    if not wrong:
        wrong = _bad_rows(p) or _too_many_groups(p)
    if wrong:
        raise InputError("predictions cannot be used: " + "; ".join(wrong))


def _too_many_groups(p: Predictions) -> list[str]:
    found = len(np.unique(p.group)) if len(p) > MOST_GROUPS else 0
    if found <= MOST_GROUPS:
        return []
    return [f"{found:,} groups (class x attribute value) occur, at most {MOST_GROUPS:,} can be audited: merge attribute values"]


def _bad_rows(p: Predictions) -> list[str]:
    limits = {"split": (p.split, len(SPLITS)), "target": (p.target, p.classes), "attribute": (p.attribute, p.attributes)}
    limits["prediction"] = (p.prediction, p.classes)
    bad = [(f"{name} outside 0..{top - 1}", np.asarray((column < 0) | (column >= top))) for name, (column, top) in limits.items()]
    if p.logits is not None:
        bad.append(("a logit that is NaN or infinite", np.asarray(~np.isfinite(p.logits).all(axis=1))))
        absurd = np.asarray((np.isfinite(p.logits) & (np.abs(p.logits) > LARGEST_LOGIT)).any(axis=1))
        bad.append((f"a logit beyond {LARGEST_LOGIT:,.0f}, which no working network gives", absurd))
    elif p.loss is not None:
        bad.append(("a loss that is NaN or infinite", ~np.isfinite(p.loss)))
    return [f"{what} in {row_numbers(rows)}" for what, rows in bad if rows.any()]


def row_numbers(rows: Mask) -> str:
    """The first row numbers (from 1) that are set, and how many more there are.

    >>> row_numbers(np.array([False, True, True]))
    'rows 2, 3'
    """
    numbers = (np.flatnonzero(rows) + 1).tolist()
    more = f" and {len(numbers) - _SHOWN_ROWS} more" if len(numbers) > _SHOWN_ROWS else ""
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:_SHOWN_ROWS]))}{more}"


def regroup(p: Predictions, by: Sequence[str]) -> Predictions:
    """The same predictions, grouped by some of the attributes that ``attribute`` is crossed from.

    Args:
        p: predictions whose ``factors`` name the attributes.
        by: names, in the order of the new crossing; one name gives that attribute alone.

    Returns:
        Predictions with new ``attribute``, ``attributes``, ``attribute_names`` and ``factors``; no forward pass is needed.

    Raises:
        InputError: no such attribute, the same twice, or none.
    """
    known = [name for name, _ in p.factors]
    wrong = [name for name in by if name not in known]
    if wrong:
        raise InputError(f"no attribute {wrong[0]!r}{did_you_mean(wrong[0], known)}; known: {', '.join(known) or 'none by name'}")
    if not by or len(set(by)) < len(by):
        raise InputError("name one or more attributes to group by, each once")
    sizes = [size for _, size in p.factors]
    columns = dict(zip(known, np.unravel_index(p.attribute, sizes), strict=True))
    chosen = tuple((name, sizes[known.index(name)]) for name in by)
    widths = tuple(size for _, size in chosen)
    code = np.ravel_multi_index(tuple(columns[name] for name in by), widths).astype(np.int64)
    return replace(p, attribute=code, attributes=int(np.prod(widths)), attribute_names=crossed_names(chosen), factors=chosen)


def crossed_names(factors: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Names of all combinations of attribute values.

    >>> crossed_names([("sex", 2), ("age", 1)])
    ('sex=0, age=0', 'sex=1, age=0')
    """
    sizes = tuple(size for _, size in factors)
    cells = np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1).tolist()
    return tuple(", ".join(f"{name}={value}" for (name, _), value in zip(factors, cell, strict=True)) for cell in cells)


def align(candidate: Predictions, other: Predictions) -> Predictions:
    """The rows of ``other`` in the order of ``candidate``, whose ids it shares.

    Raises:
        InputError: the two do not hold the same samples with the same split, target and attribute; the message names
            the first differing row, never an id.
    """
    if len(candidate) != len(other):
        raise InputError(f"the two prediction files hold {len(candidate)} and {len(other)} rows: both must hold the same samples")
    if (candidate.classes, candidate.attributes) != (other.classes, other.attributes):
        sizes = f"{candidate.classes} classes x {candidate.attributes} attribute values and {other.classes} x {other.attributes}"
        raise InputError(f"the two prediction files know {sizes}: both must describe the same task")
    if candidate.ids is other.ids:
        moved = other
    else:
        moved = other if np.array_equal(candidate.ids, other.ids) else _take(other, _order(candidate, other))
        moved = replace(moved, ids=candidate.ids)
    for name in ("split", "target", "attribute"):
        differs = getattr(candidate, name) != getattr(moved, name)
        if differs.any():
            raise InputError(f"the two prediction files give another {name} for the same sample: first in {row_numbers(differs)}")
    return moved


def of_ids(p: Predictions, ids: npt.NDArray[np.str_]) -> Predictions:
    """The rows of these samples, in their own order."""
    return _take(p, np.flatnonzero(np.isin(p.ids, ids)))


def _order(candidate: Predictions, other: Predictions) -> Ints:
    first, second = np.argsort(candidate.ids, kind="stable"), np.argsort(other.ids, kind="stable")
    if not np.array_equal(candidate.ids[first], other.ids[second]):
        missing = ~np.isin(candidate.ids, other.ids)
        known = by_notation(other.ids.tolist())
        only = missing.any() and all(other_notation(name, known) for name in candidate.ids[missing].tolist())
        why = "; only the notation of the ids differs (1 and 001, 1.0, case, blanks): write them in the same way" if only else ""
        where = f"the second lacks {row_numbers(missing)} of the first{why}" if missing.any() else "an id occurs more than once"
        raise InputError(f"the two prediction files do not hold the same samples: {where}")
    order = np.empty(len(first), dtype=np.int64)
    order[first] = second
    return order


def _take(p: Predictions, order: Ints) -> Predictions:
    columns = ("ids", "split", "target", "attribute", "prediction", "logits", "loss", "subject")
    moved: dict[str, Any] = {name: None if getattr(p, name) is None else getattr(p, name)[order] for name in columns}
    return replace(p, **moved)


def row_positions(ids: npt.NDArray[np.str_], outputs: WhiteBoxOutputs | ShadowTable) -> Ints:
    """[len(ids)] position of each id among the collected outputs.

    Raises:
        InputError: one is not there.
    """
    order = np.argsort(outputs.ids, kind="stable")
    place = np.searchsorted(outputs.ids[order], ids)
    found = order[np.minimum(place, len(order) - 1)] if len(order) else place
    if not len(order) or (outputs.ids[found] != ids).any():
        raise InputError("the white-box outputs of a model do not hold the samples of its predictions: collect them again")
    return found.astype(np.int64)
