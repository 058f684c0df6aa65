"""Waterbirds (Sagawa et al., 2020) as it is published: ``metadata.csv`` and species folders."""

from __future__ import annotations

from collections.abc import Mapping

from grmu_audit.data.dataset import Attribute, Framing, Header
from grmu_audit.data.images.files import relative
from grmu_audit.data.listing import Labels, Listing, listing_frame
from grmu_audit.data.readers.layout import (
    CROP_AND_FLIP,
    SPLIT_CODES,
    ImageOptions,
    RequiredFile,
    codes,
    data_root,
    find_files,
    parse_options,
    require_images,
    shorter_side,
    splits_of,
    unique_ids,
)
from grmu_audit.utils.table_files import read_csv

FOLDER = "waterbird_complete95_forest2water2"
HELP = f"unpack {FOLDER}.tar.gz of https://github.com/kohpangwei/group_DRO under the data root"
CLASSES = ("landbird", "waterbird")
PLACES = Attribute("place", ("land", "water"))


def read_waterbirds(options: Mapping[str, object]) -> Listing:
    """Names, labels and files of Waterbirds.

    ``metadata.csv``: img_id, img_filename, y, split (0 train, 1 val, 2 test), place (0 land, 1 water), place_filename.  The id
    is the file name with its species folder.

    Raises:
        InputError: an option, a missing part, or a damaged row.
    """
    chosen = parse_options("waterbirds", ImageOptions, options)
    root = data_root("waterbirds", chosen.root)
    base = root / FOLDER if (root / FOLDER).is_dir() else root
    (metadata,) = find_files("waterbirds", base, [RequiredFile(("metadata.csv",), "labels and splits")], HELP)
    table = read_csv(metadata)
    ids = [relative(path, row, table.source) for row, path in zip(table.rows, table.column("img_filename"), strict=True)]
    unique_ids(table.source, table.rows, ids)
    split = splits_of(table, "split", SPLIT_CODES)
    require_images("waterbirds", base, ids, HELP)
    binary = {"0": 0, "1": 1}
    labels = Labels(
        ids,
        split,
        codes(table.source, "y", table.rows, table.column("y"), binary),
        [(PLACES, codes(table.source, "place", table.rows, table.column("place"), binary))],
        target_name="y",
    )
    frame, names, excluded, _ = listing_frame(labels)
    return Listing(_header(chosen.size, names), frame, base, tuple(frame["id"]), excluded)


def _header(size: int, names: tuple[str, ...]) -> Header:
    return Header(
        name="waterbirds",
        version="1.0 (95 %, forest2water2)",
        class_names=CLASSES,
        attribute_names=names,
        image_size=(3, size, size),
        augmentation=CROP_AND_FLIP,
        view=Framing("crop", shorter_side(size)),
        target_name="bird",
        attributes=(PLACES,),
        source="Waterbirds, Sagawa et al., Distributionally Robust Neural Networks, ICLR 2020 (CUB birds on Places backgrounds)",
        licence="images of CUB-200-2011 and Places: non-commercial research",
        attribute_provenance="the background that each bird was pasted on, so exact by construction",
    )
