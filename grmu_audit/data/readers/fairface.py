"""FairFace (Karkkainen and Joo, 2021) as it is published: ``train/``, ``val/`` and two label tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from grmu_audit.data.dataset import Attribute, Framing, Header
from grmu_audit.data.images.files import relative
from grmu_audit.data.listing import Labels, Listing, listing_frame
from grmu_audit.data.readers.layout import (
    CROP_AND_FLIP,
    ImageOptions,
    Names,
    RequiredFile,
    codes,
    data_root,
    find_files,
    held_out,
    parse_options,
    require_images,
    shorter_side,
    unique_ids,
)
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable
from grmu_audit.utils.table_files import read_csv

HELP = "unpack fairface-img-margin025-trainval.zip and the two label tables of https://github.com/joojs/fairface into fairface/"
VALUES = {
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"),
    "race": ("East Asian", "Indian", "Black", "White", "Middle Eastern", "Latino_Hispanic", "Southeast Asian"),
    "gender": ("Female", "Male"),
}
"""Values of the label columns, by code."""
VALIDATION = 0.1
"""Share of the training rows that is sampled as validation."""


class FairfaceOptions(ImageOptions):
    """Options of the FairFace reader."""

    target: str = "age"
    """Column to predict."""
    attributes: Names = ("race",)
    """Columns whose combinations are the groups."""
    service_test: bool = True
    """Whether only rows with ``service_test`` True are used, as in the paper."""
    seed: int = Field(0, ge=0)
    """Seed for sampling validation rows."""


def read_fairface(options: Mapping[str, object]) -> Listing:
    """Names, labels and files of FairFace.

    ``fairface_label_{train,val}.csv``: file, age, gender, race, service_test.  The published ``val/`` is the test split; a tenth
    of the training rows that are used, sampled with the seed, is validation.  The id is the file with its folder.

    Raises:
        InputError: an option, a missing part, or a damaged row.
    """
    chosen = parse_options("fairface", FairfaceOptions, options)
    for column in (chosen.target, *chosen.attributes):
        if column not in VALUES:
            raise InputError(f"fairface: no column {column!r}; columns: {', '.join(VALUES)}")
    root = data_root("fairface", chosen.root)
    base = root / "fairface" if (root / "fairface").is_dir() else root
    tables = [RequiredFile((f"fairface_label_{part}.csv",), f"labels of {part}") for part in ("train", "val")]
    paths = find_files(
        "fairface", base, [*tables, RequiredFile(("train",), "training images"), RequiredFile(("val",), "test images")], HELP
    )
    labels = _join([_labels(path, chosen) for path in paths[:2]], chosen)
    require_images("fairface", base, list(labels.ids), HELP)
    frame, names, excluded, _ = listing_frame(labels)
    header = Header(
        name="fairface",
        version="margin 0.25, service_test rows" if chosen.service_test else "margin 0.25, all rows",
        class_names=VALUES[chosen.target],
        attribute_names=names,
        image_size=(3, chosen.size, chosen.size),
        augmentation=CROP_AND_FLIP,
        view=Framing("crop", shorter_side(chosen.size)),
        target_name=chosen.target,
        attributes=tuple(attribute for attribute, _ in labels.attributes),
        source="FairFace, Karkkainen and Joo, WACV 2021 (faces from YFCC-100M)",
        licence="CC BY 4.0",
        attribute_provenance="labels by crowd workers (two of three agreed), as published with the data",
    )
    return Listing(header, frame, base, tuple(frame["id"]), excluded)


def _labels(path: Path, chosen: FairfaceOptions) -> Labels:
    """One table; ``split`` is still ``train`` or ``test``."""
    table = read_csv(path)
    split = "train" if path.name == "fairface_label_train.csv" else "test"
    if chosen.service_test:
        flags = codes(
            table.source, "service_test", table.rows, table.column("service_test"), {"False": 0, "True": 1}, required=True
        )
        table = _only(table, [i for i, flag in enumerate(flags) if flag == 1])
    ids = [relative(text, row, table.source) for row, text in zip(table.rows, table.column("file"), strict=True)]
    unique_ids(table.source, table.rows, ids)

    def column(name: str) -> list[int | None]:
        return codes(table.source, name, table.rows, table.column(name), {v: i for i, v in enumerate(VALUES[name])})

    attributes = [(Attribute(name, VALUES[name]), column(name)) for name in chosen.attributes]
    return Labels(ids, [split] * len(ids), column(chosen.target), attributes, target_name=chosen.target)


def _only(table: TextTable, rows: list[int]) -> TextTable:
    columns = {name: [cells[i] for i in rows] for name, cells in table.columns.items()}
    return TextTable(table.source, table.header, tuple(table.rows[i] for i in rows), columns)


def _join(parts: list[Labels], chosen: FairfaceOptions) -> Labels:
    """Training and test rows, with validation sampled from the training rows."""
    train, test = parts
    val = held_out(list(train.ids), VALIDATION, chosen.seed, "fairface val")
    split = ["val" if name in val else "train" for name in train.ids]
    pairs = zip(train.attributes, test.attributes, strict=True)
    return Labels(
        [*train.ids, *test.ids],
        [*split, *test.split],
        [*train.target, *test.target],
        [(attribute, [*a, *b]) for (attribute, a), (_, b) in pairs],
        target_name=chosen.target,
    )
