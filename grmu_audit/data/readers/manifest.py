"""Users' own data: a YAML header beside a table of labels, for image folders and for tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from grmu_audit.data.dataset import ALONE, SPLITS, Attribute, Header
from grmu_audit.data.listing import EVERYBODY, Labels
from grmu_audit.data.readers.layout import codes, held_out, splits_of, unique_ids
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable
from grmu_audit.utils.notations import clashes, described_clash


def _cell(value: object) -> object:
    """A number of YAML as the cell that it represents; yes, no and true have to be quoted."""
    if isinstance(value, bool) or value is None:
        raise ValueError('YAML reads this as a truth value or nothing: put the cell in quotes, such as "yes"')
    return str(value) if isinstance(value, int | float) else value


Cell = Annotated[str, BeforeValidator(_cell)]


class Strict(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(Strict):
    """A label column and what its cells mean."""

    column: str
    """Name in the table."""
    values: tuple[Cell, ...] = Field(min_length=1, max_length=1000)
    """Cells that may occur, in the order of their codes."""
    names: tuple[Cell, ...] = ()
    """Names of the values for people; empty: the cells themselves."""

    @model_validator(mode="after")
    def _fits(self) -> Column:
        if len(set(self.values)) != len(self.values):
            raise ValueError("values holds a cell twice")
        if self.names and len(self.names) != len(self.values):
            raise ValueError(f"names has {len(self.names)} entries for {len(self.values)} values")
        for labels in (self.values, self.names):
            if same := clashes(labels, exact=True):
                raise ValueError(f"{described_clash(same[0])}: write each label in one way")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """Names by code."""
        return self.names or self.values


class HeldOut(Strict):
    """How rows are sampled for validation and test where the table has no split column."""

    val: float = Field(0.1, gt=0, lt=1)
    """Share of all rows (or subjects)."""
    test: float = Field(0.2, gt=0, lt=1)
    """Share of all rows (or subjects)."""
    seed: int = Field(0, ge=0)
    """Seed of the sampling."""


class Manifest(Strict):
    """Everything that a table of labels does not say about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    schema_: Literal["grmu-audit/manifest/v1"] = Field("grmu-audit/manifest/v1", alias="schema")
    """Schema name and version."""
    name: str = Field(min_length=1, max_length=200)
    """Dataset name."""
    version: Cell = "1"
    """Version of the data."""
    kind: Literal["image", "table"]
    """What an input is."""
    rows: str
    """Table of labels (CSV or parquet), relative to this file."""
    images: str = "."
    """Folder of the images, relative to this file."""
    id: str = "id"
    """Column of sample ids."""
    path: str = "path"
    """Column of image files, relative to ``images``."""
    split: str | None = "split"
    """Column with train, val, test; null to sample them."""
    held_out: HeldOut | None = None
    """How they are sampled."""
    target: Column
    """The predicted target."""
    positive_class: int = Field(1, ge=0)
    """Class that counts as the positive outcome."""
    attributes: tuple[Column, ...] = ()
    """Columns whose combinations are the groups; none: the groups are the classes."""
    exact_labels: bool = False
    """Whether labels that differ in case only are kept apart (letters, product codes)."""
    subject: str | None = None
    """Column of the person that a sample belongs to."""
    features: tuple[str, ...] = ()
    """Columns that a table's model sees; empty: all that have no other role."""
    categorical: tuple[str, ...] = ()
    """Features that are categories although all their cells are numbers."""
    size: int = Field(224, ge=8, le=1024)
    """Height and width of an image input in pixels."""
    view: Literal["crop", "stretch"] = "crop"
    """How an image becomes an input: the centre of the resized image, or the whole image stretched."""
    augmentation: Literal["crop and flip", "crop", "flip", "none"] = "crop and flip"
    """Random geometry during training."""
    exact_resize: bool = False
    """Whether a large image is resized once, from the file, for validation and test; new imports say so."""
    stated_size: tuple[int, int] | None = None
    """Height and width that every file is said to have; others fail the quality checks."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Normalisation mean per channel; only for images."""
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Normalisation standard deviation per channel; only for images."""
    source: str = ""
    """Where the samples come from."""
    licence: str = ""
    """Licence of the samples."""
    attribute_provenance: str = ""
    """Provenance of the attribute labels."""

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        if (self.split is None) == (self.held_out is None):
            raise ValueError("give either split: COLUMN, or split: null and held_out: {val, test, seed}")
        if self.held_out is not None and not self.held_out.val + self.held_out.test < 1:
            raise ValueError("held_out leaves nothing to train on")
        for column in (self.target, *self.attributes):
            same = [] if self.exact_labels else clashes(column.values) or clashes(column.words)
            if same:
                raise ValueError(f"column {column.column!r}: {described_clash(same[0])}: write one, or set exact_labels: true")
        if not self.positive_class < len(self.target.values):
            raise ValueError(f"positive_class is {self.positive_class}, target has {len(self.target.values)} values")
        if len(self.mean) != 3 or len(self.std) != 3 or not min(self.std) > 0:
            raise ValueError("mean and std need three numbers each, std above 0")
        return self


def header_of(manifest: Manifest, labels: Labels, groups: tuple[str, ...]) -> Header:
    """What a manifest says of inputs of any kind.

    Args:
        manifest: the manifest.
        labels: result of ``labels_of``.
        groups: names of the combinations of attributes.
    """
    return Header(
        name=manifest.name,
        version=manifest.version,
        class_names=manifest.target.words,
        attribute_names=groups,
        positive_class=manifest.positive_class,
        target_name=manifest.target.column,
        attributes=tuple(attribute for attribute, _ in labels.attributes),
        subject_name=manifest.subject or "",
        source=manifest.source,
        licence=manifest.licence,
        attribute_provenance=manifest.attribute_provenance,
    )


def labels_of(manifest: Manifest, table: TextTable) -> Labels:
    """Ids, splits, targets, attributes and subjects of a table.

    Raises:
        InputError: a column is missing, an id repeats, or a label is none of the declared values, with its row.
    """
    if not len(table):
        raise InputError(f"{table.source}: the table has a header and no rows: add samples")
    ids = table.column(manifest.id)
    unique_ids(table.source, table.rows, ids)
    subject = _subjects(table.column(manifest.subject)) if manifest.subject else None
    return Labels(
        ids,
        _splits(manifest, table, ids, subject),
        _codes(table, manifest.target),
        [(Attribute(one.column, one.words), _codes(table, one)) for one in manifest.attributes] or [(EVERYBODY, [0] * len(ids))],
        subject,
        manifest.target.column,
    )


def _codes(table: TextTable, column: Column) -> list[int | None]:
    known = {value: code for code, value in enumerate(column.values)}
    return codes(table.source, column.column, table.rows, table.column(column.column), known)


def _subjects(cells: list[str]) -> list[object]:
    """A sample without a subject is a subject of its own."""
    return [cell or f"{ALONE}{row})" for row, cell in enumerate(cells)]


def _splits(manifest: Manifest, table: TextTable, ids: list[str], subject: list[object] | None) -> list[str]:
    if manifest.split is not None:
        return splits_of(table, manifest.split, {split: split for split in SPLITS})
    how = manifest.held_out or HeldOut()
    units = ids if subject is None else [str(value) for value in subject]
    distinct = sorted(set(units))
    test = held_out(distinct, how.test, how.seed, "test")
    rest = [unit for unit in distinct if unit not in test]
    val = held_out(rest, how.val / (1 - how.test), how.seed, "val")
    return ["test" if unit in test else "val" if unit in val else "train" for unit in units]
