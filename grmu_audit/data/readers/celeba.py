"""CelebA (Liu et al., 2015) as it is published: text tables with -1/1, or the same tables as CSV, and aligned images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from grmu_audit.data.dataset import Attribute, Framing, Header
from grmu_audit.data.listing import Labels, Listing, listing_frame
from grmu_audit.data.readers.layout import (
    CROP_AND_FLIP,
    SHOWN,
    SPLIT_CODES,
    ImageOptions,
    Names,
    RequiredFile,
    codes,
    data_root,
    difference,
    find_files,
    near_name,
    parse_options,
    require_images,
    unique_ids,
)
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable, is_index_name, shared
from grmu_audit.utils.table_files import read_csv, read_whitespace_table

HELP = (
    "accept the licence at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and unpack Img/img_align_celeba.zip and Anno/*.txt "
    "into celeba/, or let torchvision download it: grmu-audit data import celeba --data-root DIR --download"
)
_IMAGE_NAME = re.compile(r".+\.(jpe?g|png|webp|bmp)", re.IGNORECASE)
BINARY = {"-1": 0, "1": 1}
"""Codes of all 40 attributes."""
WORDS = {
    "Male": ("female", "male"),
    "Blond_Hair": ("other hair", "blond"),
    "Attractive": ("not attractive", "attractive"),
    "Young": ("old", "young"),
}
"""Names of values; others are ``no X`` and ``X``."""


class CelebaOptions(ImageOptions):
    """Options of the CelebA reader."""

    target: str = "Blond_Hair"
    """Column to predict; the papers use ``Blond_Hair`` and ``Attractive``."""
    attributes: Names = ("Male",)
    """Columns whose combinations are the groups."""


def read_celeba(options: Mapping[str, object]) -> Listing:
    """Names, labels and files of CelebA.

    ``celeba/img_align_celeba/*.jpg``, ``list_attr_celeba.txt`` (number of images, names of the columns, then -1 and 1),
    ``list_eval_partition.txt``, or the same as ``.csv``; ``identity_CelebA.txt`` gives the subjects where it is there.

    Raises:
        InputError: an option, a missing part, or a damaged row.
    """
    chosen = parse_options("celeba", CelebaOptions, options)
    root = data_root("celeba", chosen.root)
    base = root / "celeba" if (root / "celeba").is_dir() else root
    parts = [
        RequiredFile(("img_align_celeba",), "images"),
        RequiredFile(("list_attr_celeba.txt", "list_attr_celeba.csv"), "attributes"),
        RequiredFile(("list_eval_partition.txt", "list_eval_partition.csv"), "splits"),
    ]
    images, attributes, partition = find_files("celeba", base, parts, HELP)
    if (images / "img_align_celeba").is_dir():  # as one archive unpacks it
        images = images / "img_align_celeba"
    table = _attributes(attributes)
    ids = table.column(table.header[0])
    _require_names(table)
    unique_ids(table.source, table.rows, ids)
    split = _align(ids, _pairs(partition), partition.name, SPLIT_CODES)
    identity = base / "identity_CelebA.txt"
    subject = _align(ids, _pairs(identity), identity.name, None) if identity.exists() else None
    require_images("celeba", images, ids, HELP)
    labels = Labels(
        ids,
        split,
        codes(table.source, chosen.target, table.rows, table.column(chosen.target), BINARY),
        [(Attribute(n, words(n)), codes(table.source, n, table.rows, table.column(n), BINARY)) for n in chosen.attributes],
        subject,
        chosen.target,
    )
    frame, names, excluded, _ = listing_frame(labels)
    return Listing(_header(chosen, labels, names, subject is not None), frame, images, tuple(frame["id"]), excluded)


def words(column: str) -> tuple[str, str]:
    """Names of the two values of a column.

    >>> words("Male"), words("Wearing_Hat")
    (('female', 'male'), ('no wearing hat', 'wearing hat'))
    """
    plain = column.replace("_", " ").lower()
    return WORDS.get(column, (f"no {plain}", plain))


def _header(chosen: CelebaOptions, labels: Labels, names: tuple[str, ...], subjects: bool) -> Header:
    return Header(
        name="celeba",
        version="2015 aligned",
        class_names=words(chosen.target),
        attribute_names=names,
        image_size=(3, chosen.size, chosen.size),
        augmentation=CROP_AND_FLIP,
        view=Framing("stretch"),
        target_name=chosen.target,
        attributes=tuple(attribute for attribute, _ in labels.attributes),
        subject_name="identity" if subjects else "",
        source="CelebA, Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015; aligned and cropped images",
        licence="non-commercial research only",
        attribute_provenance="labels by a professional labelling company, as published with the data",
    )


def _attributes(path: Path) -> TextTable:
    """The attribute table from either form; the first column holds the file names."""
    if path.suffix == ".csv":
        return read_csv(path)
    lines = read_whitespace_table(path)
    stated, names = next(lines, (1, [""]))[1], next(lines, (2, []))[1]
    if len(stated) != 1 or not stated[0].isdecimal() or not names:
        raise InputError(f"{path.name}: row 1 must be the number of images and row 2 the names of the columns: restore the file")
    columns: dict[str, list[str]] = {"image_id": [], **{name: [] for name in names}}
    stores, rows, one = list(columns.values()), [], shared()
    for row, cells in lines:
        if len(cells) != len(stores):
            wide = len(stores)
            raise InputError(f"{path.name}: row {row} has {len(cells)} words where {wide} are expected: {_words_hint(cells)}")
        rows.append(row)
        for store, cell in zip(stores, cells, strict=True):
            store.append(one(cell))
    if len(rows) != int(stated[0]):
        raise InputError(f"{path.name}: row 1 says {stated[0]} images, but {len(rows)} follow: restore the file")
    return TextTable(path.name, tuple(columns), tuple(rows), columns)


def _words_hint(cells: list[str]) -> str:
    return "commas stand between them: call the file .csv" if "," in cells[0] else "restore the file"


def _require_names(table: TextTable) -> None:
    """Return when the first column can hold the names of images.

    Raises:
        InputError: it is the index of another program, or holds numbers only while another column holds file names.
    """
    first, source = table.header[0], table.source
    named = next((name for name in table.header[1:] if any(map(_IMAGE_NAME.fullmatch, table.column(name)[:1]))), None)
    if is_index_name(first) or named is not None:
        where = f"; the names stand in column {named!r}" if named is not None else ""
        raise InputError(
            f"{source}: its first column {first!r} is an index that another program wrote, where the names of the images are "
            f"expected{where}: remove the first column"
        )


def _pairs(path: Path) -> dict[str, tuple[int, str]]:
    """File name to row and value.

    Raises:
        InputError: the file is damaged, or a name stands twice.
    """
    if path.suffix == ".csv":
        table = read_csv(path)
        if len(table.header) != 2:
            shown = ", ".join(map(repr, table.header[:SHOWN]))
            hint = f"; the first, {table.header[0]!r}, is an index: remove it" if is_index_name(table.header[0]) else ""
            raise InputError(
                f"{path.name}: {len(table.header)} columns ({shown}) where image_id and partition are expected{hint}"
            )
        if _IMAGE_NAME.fullmatch(table.header[0]):
            raise InputError(
                f"{path.name}: row 1 is {','.join(table.header)[:60]!r}: the line 'image_id,partition' is missing: add it"
            )
        names, values = table.columns.values()
        unique_ids(path.name, table.rows, names)
        return {name: (row, value) for row, name, value in zip(table.rows, names, values, strict=True)}
    pairs: dict[str, tuple[int, str]] = {}
    for row, cells in read_whitespace_table(path):
        if len(cells) != 2:
            raise InputError(f"{path.name}: row {row} has {len(cells)} words where 2 are expected: {_words_hint(cells)}")
        if cells[0] in pairs:
            raise InputError(
                f"{path.name}: row {row}: {cells[0][:80]!a} is already in row {pairs[cells[0]][0]}: restore the file"
            )
        pairs[cells[0]] = (row, cells[1])
    return pairs


def _align(ids: list[str], pairs: dict[str, tuple[int, str]], source: str, known: Mapping[str, str] | None) -> list[str]:
    """The value of each id, in words where they are known."""
    lost = [name for name in ids if name not in pairs]
    if lost:
        near = near_name(lost[0], pairs)
        why = f"it has {near!r}, which differs {difference(lost[0], near)}: write the names alike" if near else "restore the file"
        raise InputError(f"{source}: {len(lost)} of {len(ids)} images have no row (first: {lost[0]}): {why}")
    if known is None:
        return [pairs[name][1] for name in ids]
    bad = [pairs[name] for name in ids if pairs[name][1] not in known]
    if bad:
        raise InputError(f"{source}: row {bad[0][0]}: split is {bad[0][1][:60]!r}, must be one of {', '.join(known)}: correct it")
    return [known[pairs[name][1]] for name in ids]
