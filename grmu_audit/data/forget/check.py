"""Comparing a forget list with the manifest that it is meant for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.data.forget.forget_list import ForgetList, raise_defects, without_rows
from grmu_audit.data.forget.groups import train_counts
from grmu_audit.errors import InputError
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_path, pseudonym, set_digest
from grmu_audit.records import ForgetRequest
from grmu_audit.utils.notations import by_notation, other_notation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Forgotten:
    """What earlier requests of a lineage named."""

    ids: tuple[str, ...] = ()
    """Ids of the data (``earlier_ids``)."""
    deleted: tuple[str, ...] = ()
    """Pseudonyms of rows that are no longer in the data."""


def check_forget_list(
    parsed: ForgetList,
    frame: pd.DataFrame,
    key: bytes,
    *,
    forgotten: Forgotten = Forgotten(),
    class_names: Sequence[str] = (),
    attribute_names: Sequence[str] = (),
) -> ForgetRequest:
    """A request that training may act on, or one error with everything that is wrong with it.

    Args:
        parsed: result of ``read_forget_list``.
        frame: manifest with the columns ``id`` (text), ``split``, ``target``, ``attribute``.
        key: the operator's key (``evidence.load_key``).
        forgotten: what earlier requests of the lineage named; the list may repeat it.  Validation and test ids, of the list or
            earlier, are withheld from evaluations; there is nothing to unlearn of them.
        class_names: names by class index, for messages.
        attribute_names: names by attribute index, for messages.

    Raises:
        ForgetListError: ids that are unknown or repeated, each with its row; a request that, together with the earlier ones,
            would empty the training set, a class or a group, with its name; a list that names nothing new, or no training row.
            The message shows ids: print it, do not store it.
    """
    present = without_rows(parsed, _gone(parsed, frame, key, forgotten))
    named, earlier, split_of = set(present.ids), set(forgotten.ids), _splits(frame)
    others = tuple(sorted(earlier - named))
    defects = [*_row_defects(present, split_of), *emptied(frame, (*present.ids, *others), class_names, attribute_names)]
    repeated = len(parsed.ids) - len(present.ids) + len(named & earlier)
    withheld = tuple(name for name in dict.fromkeys((*present.ids, *others)) if split_of.get(name, "train") != "train")
    if not defects and not named - earlier:
        defects.append(f"earlier requests already named all {repeated} ids: there is nothing left to unlearn")
    elif not defects and set(parsed.ids) <= set(withheld):
        defects.append(
            f"all {len(named)} ids are validation or test rows, which no model was trained on: there is nothing to unlearn; "
            "delete the rows from the data, or name them beside training rows, and no later evaluation uses them"
        )
    raise_defects(parsed.source, defects)
    return ForgetRequest(
        ids=present.ids,
        digest=set_digest(key, parsed.ids),
        columns=dict(present.columns),
        earlier=others,
        deleted=forgotten.deleted,
        repeated=repeated,
        union_digest=set_digest(key, (*present.ids, *others, *forgotten.deleted)) if others or forgotten.deleted else "",
        withheld=withheld,
    )


def _gone(parsed: ForgetList, frame: pd.DataFrame, key: bytes, forgotten: Forgotten) -> set[str]:
    """Ids of the list that earlier requests named and whose rows are no longer in the data."""
    deleted = set(forgotten.deleted)
    absent = set(parsed.ids) - set(frame["id"]) if deleted else set()
    return {name for name in absent if pseudonym(key, name) in deleted}


def earlier_ids(frame: pd.DataFrame, key: bytes, forgotten: Collection[str]) -> tuple[str, ...]:
    """The ids behind pseudonyms of earlier requests, in manifest order.

    Raises:
        InputError: some pseudonyms match no row under this key: whatever is trained next would read those rows again.
    """
    wanted = frozenset(forgotten)
    found = tuple(name for name in frame["id"] if pseudonym(key, name) in wanted) if wanted else ()
    missing = len(wanted) - len(set(found))
    if missing:
        raise InputError(
            f"{missing} of {len(wanted)} ids of earlier requests match no row of the data under the key in {key_path()}: "
            f"point {KEY_FILE_VARIABLE} at the key that they were created with"
        )
    return found


def emptied(frame: pd.DataFrame, ids: Sequence[str], class_names: Sequence[str], attribute_names: Sequence[str]) -> Iterator[str]:
    """What would be left without training samples if the ids went: the training set, else classes, else groups."""
    before, after = train_counts(frame), train_counts(frame, without=ids)
    if before and not after:
        yield f"the request would empty the training set ({sum(before.values())} samples): keep one of every group"
        return
    emptied_groups = [group for group in before if group not in after]
    classes = sorted({group.target for group in emptied_groups} - {group.target for group in after})
    for target in classes:
        count = sum(n for group, n in before.items() if group.target == target)
        name = repr(class_names[target]) if 0 <= target < len(class_names) else str(target)
        yield f"the request would empty class {name} ({count} training samples): keep at least one sample of each of its groups"
    for group in emptied_groups:
        if group.target not in classes:
            name = group.label(class_names, attribute_names)
            yield f"the request would empty the group {name!r} ({before[group]} training samples): keep at least one"


def _splits(frame: pd.DataFrame) -> dict[str, str]:
    """Split by id; of an id that occurs in several splits all of them."""
    split_of: dict[str, str] = {}
    for name, split in zip(frame["id"], frame["split"], strict=True):
        known = split_of.setdefault(name, split)
        if known != split:
            split_of[name] = f"{known}, {split}"
    return split_of


def _row_defects(parsed: ForgetList, split_of: Mapping[str, str]) -> Iterator[str]:
    first: dict[str, int] = {}
    near = by_notation(split_of) if not split_of.keys() >= set(parsed.ids) else {}
    for row, name in zip(parsed.rows, parsed.ids, strict=True):
        if name in first:
            yield f"row {row}: its id is already in row {first[name]}: remove one of the two"
            continue
        first[name] = row
        if name not in split_of:
            hint = (
                "; if this row is a header, name the column of ids 'id', or that of subjects 'subject'"
                if not parsed.header and len(first) == 1
                else ""
            )
            yield f"row {row}: the id {name!r} is not in the dataset{other_notation(name, near)}: correct or remove the row{hint}"
        elif "," in split_of[name]:
            yield f"row {row}: its id is in several splits ({split_of[name]}): give every sample an id of its own"
