"""Data that a manifest describes: a table of rows, or image files with a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from grmu_audit.data.dataset import Augmentation, Dataset, Framing
from grmu_audit.data.images.files import relative
from grmu_audit.data.listing import Labels, Listing, listing_frame
from grmu_audit.data.readers.layout import CROP_AND_FLIP, parse_options, require_images, shorter_side
from grmu_audit.data.readers.manifest import Manifest, Strict, header_of, labels_of
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable
from grmu_audit.utils.table_files import read_table
from grmu_audit.utils.yaml_files import load_yaml


class ManifestOptions(Strict):
    """Options on the command line: the manifest file only, which holds the rest."""

    manifest: str
    """The manifest file."""


def read_manifest(options: Mapping[str, object]) -> Dataset | Listing:
    """The dataset of a manifest file.

    Raises:
        InputError: the manifest, its table or an option is wrong.
    """
    from grmu_audit.data.readers.tabular import read_tabular

    chosen = parse_options("manifest", ManifestOptions, options)
    path = Path(chosen.manifest)
    if not path.exists():
        raise InputError(f"{path}: no such manifest: create one with 'grmu-audit data import', or correct the path")
    manifest = load_yaml(path, Manifest)
    table = read_table(path.parent / manifest.rows)
    labels = labels_of(manifest, table)
    return (
        read_tabular(manifest, table, labels) if manifest.kind == "table" else read_folder(manifest, table, labels, path.parent)
    )


HELP = "correct the column of paths or the folder 'images' of the manifest"


def read_folder(manifest: Manifest, table: TextTable, labels: Labels, base: Path) -> Listing:
    """Names, labels and files of an image folder.

    Raises:
        InputError: a path leads out of the folder, a file is missing, or a label is damaged.
    """
    folder = base / manifest.images
    paths = [relative(path, row, table.source) for row, path in zip(table.rows, table.column(manifest.path), strict=True)]
    require_images(manifest.name, folder, paths, HELP)
    frame, names, excluded, kept = listing_frame(labels)
    header = replace(
        header_of(manifest, labels, names),
        image_size=(3, manifest.size, manifest.size),
        mean=manifest.mean,
        std=manifest.std,
        augmentation=augmentation(manifest.augmentation),
        view=_view(manifest),
        stated_size=manifest.stated_size,
    )
    return Listing(header, frame, folder, tuple(paths[int(i)] for i in np.flatnonzero(kept)), excluded)


def _view(manifest: Manifest) -> Framing:
    shorter = shorter_side(manifest.size) if manifest.view == "crop" else 0
    return Framing(manifest.view, shorter, exact=manifest.exact_resize)


def augmentation(words: str) -> Augmentation:
    """Training geometry by its words in a manifest.

    >>> augmentation("flip")
    Augmentation(scale=(1.0, 1.0), shift=0.0, flip=True, area=None, aspect=(0.75, 1.3333333333333333))
    """
    return Augmentation(area=CROP_AND_FLIP.area if "crop" in words else None, flip="flip" in words)
