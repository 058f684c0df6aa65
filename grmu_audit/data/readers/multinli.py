"""MultiNLI (Williams et al., 2018) with the groups of Sagawa et al. (2020): entailment label and negation."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from grmu_audit.data.dataset import Attribute, Augmentation, Dataset, Header
from grmu_audit.data.listing import Labels, listing_frame
from grmu_audit.data.readers.layout import (
    SPLIT_CODES,
    ReaderOptions,
    RequiredFile,
    codes,
    data_root,
    find_files,
    parse_options,
    splits_of,
)
from grmu_audit.data.text import Tokenizer, Tokens
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable, is_index_name
from grmu_audit.utils.files import HEAD, content_kind
from grmu_audit.utils.notations import by_notation, other_notation
from grmu_audit.utils.table_files import read_csv

FOLDER = "multinli_1.0"
PARTS = ("train", "dev_matched", "dev_mismatched")
"""Sentence files, in the order in which ``metadata_random.csv`` counts their lines."""
METADATA = "metadata_random.csv"
_COLUMNS = ("gold_label", "sentence2_has_negation", "split")
"""Columns of the metadata behind the line numbers."""
CLASSES = ("contradiction", "entailment", "neutral")
NEGATION = Attribute("negation", ("no negation", "negation"))
HELP = (
    f"unpack {FOLDER}.zip of https://cims.nyu.edu/~sbowman/multinli/ under the data root, and put {METADATA} of "
    f"https://github.com/kohpangwei/group_DRO into {FOLDER}"
)
TOKENIZERS = (f"{FOLDER}/tokenizer.json", f"{FOLDER}/vocab.txt")
"""Paths of a tokenizer, in order of search."""
COPY = "copy of a training pair"
"""Reason under which samples left out as copies are counted."""
LONGEST_LINE = 1 << 20
"""Characters that a line of a sentence file may have."""


class MultinliOptions(ReaderOptions):
    """Options of the MultiNLI reader."""

    tokenizer: str = ""
    """tokenizer.json, or vocab.txt of a lowercased BERT; relative to the data root; empty: looked for in ``multinli_1.0``."""
    length: int = Field(128, ge=8, le=512)
    """Longest pair in tokens; a longer one loses the ends of its longer sentence."""
    copies: Literal["drop", "keep"] = "drop"
    """Whether validation and test pairs that also occur in training, word for word, are left out (and counted)."""


@dataclass(frozen=True)
class Pair:
    """One line of a sentence file."""

    name: str
    """Sentence file and line, such as ``train-000001``."""
    label: str
    """One of ``CLASSES``, or ``-`` where the annotators did not agree."""
    first: str
    """Premise."""
    second: str
    """Hypothesis."""


def read_multinli(options: Mapping[str, object]) -> Dataset:
    """MultiNLI as token numbers.

    ``metadata_random.csv`` counts the lines of the three sentence files together, from 0, in its first column; the others are
    gold_label (0 contradiction, 1 entailment, 2 neutral), sentence2_has_negation and split (0 train, 1 val, 2 test).  Pairs
    that it leaves out have no agreed label.  The id is the sentence file and its line, from 1.

    Raises:
        InputError: an option, a missing part, a damaged line, or metadata that do not belong to the sentence files.
    """
    chosen = parse_options("multinli", MultinliOptions, options)
    root = data_root("multinli", chosen.root)
    base = root / FOLDER if (root / FOLDER).is_dir() else root
    sentences = [RequiredFile(tuple(f"multinli_1.0_{part}.{end}" for end in ("jsonl", "txt")), "sentences") for part in PARTS]
    metadata, *files = find_files(
        "multinli", base, [RequiredFile((METADATA, f"../{METADATA}"), "labels, groups and splits"), *sentences], HELP
    )
    tokenizer = Tokenizer.read(_tokenizer(root, chosen.tokenizer), chosen.length)
    table = read_csv(metadata)
    pairs = [pair for part, path in zip(PARTS, files, strict=True) for pair in _read_pairs(part, path)]
    picked = _match_pairs(table, pairs)
    frame, names, excluded, kept = listing_frame(_labels(table, picked))
    texts = tokenizer.pairs([(pair.first, pair.second) for pair, keep in zip(picked, kept.tolist(), strict=True) if keep])
    if chosen.copies == "drop":
        keep = _no_copies(frame["split"].to_numpy() == "train", texts)
        excluded |= {} if keep.all() else {COPY: int((~keep).sum())}
        frame, texts = frame[keep].reset_index(drop=True), texts.only(keep)
    return Dataset(_header(names, texts, tokenizer), frame, texts, excluded)


def _no_copies(train: npt.NDArray[np.bool_], texts: Tokens) -> npt.NDArray[np.bool_]:
    """[n] False for the validation and test samples that also occur in training."""
    content = [text.tobytes() for text in texts]
    known = {one for one, learnt in zip(content, train.tolist(), strict=True) if learnt}
    fresh = np.array([one not in known for one in content], dtype=np.bool_)
    return np.logical_or(train, fresh)


def _tokenizer(root: Path, text: str) -> Path:
    """The tokenizer's file.

    Raises:
        InputError: none is named and none is found.
    """
    found = [root / text] if text else [root / name for name in TOKENIZERS]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        wanted = " or ".join(str(path) for path in found)
        raise InputError(
            f"multinli: no tokenizer at {wanted}: put vocab.txt or tokenizer.json of the BERT that is to be trained there (for "
            "example of bert-base-uncased), or name it with --data-option tokenizer=FILE"
        )
    return path


def _read_pairs(part: str, path: Path) -> Iterator[Pair]:
    """The pairs of one sentence file, JSON lines or tab-separated.

    Raises:
        InputError: a line that is no pair, with its number.
    """
    try:
        with path.open("rb") as raw:
            kind = content_kind(raw.read(HEAD))
        if kind not in ("", "JSON"):
            raise InputError(f"{path}: it looks like {kind}: give the sentence file itself")
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            if path.suffix == ".jsonl":
                rows: Iterator[Mapping[str, object]] = (_object(path, n, line) for n, line in enumerate(stream, 1))
            else:
                rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
            for number, row in enumerate(rows, 1):
                yield _pair(path, number, f"{part}-{number:06d}", row)
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8: unpack the archive again") from None
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _object(path: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        tree = json.loads(line) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: line {number} is not a JSON object: unpack the archive again")
    return tree


def _pair(path: Path, number: int, name: str, row: Mapping[str, object]) -> Pair:
    cells = [row.get(key) for key in ("gold_label", "sentence1", "sentence2")]
    if not all(isinstance(cell, str) for cell in cells) or cells[0] not in (*CLASSES, "-"):
        raise InputError(
            f"{path}: record {number} has no gold_label, sentence1 and sentence2 of a pair: unpack the archive again"
        )
    label, first, second = (str(cell) for cell in cells)
    return Pair(name, label, first, second)


def _match_pairs(table: TextTable, pairs: list[Pair]) -> list[Pair]:
    """The pair of each metadata row.

    Raises:
        InputError: a row that counts no pair, or whose label is not the pair's: the metadata belong to other files.
    """
    _require_line_numbers(table)
    first = table.header[0]
    found: list[Pair] = []
    seen: set[int] = set()
    for row, cell, label in zip(table.rows, table.column(first), table.column("gold_label"), strict=True):
        index = int(cell) if cell.isascii() and cell.isdecimal() else -1
        if not 0 <= index < len(pairs) or index in seen:
            near = other_notation(cell, by_notation(map(str, range(len(pairs)))))
            raise InputError(
                f"{table.source}: row {row}: {cell[:40]!r} counts none of the {len(pairs)} pairs, or one twice{near}: restore it"
            )
        pair = pairs[index]
        if label not in ("0", "1", "2") or CLASSES[int(label)] != pair.label:
            raise InputError(
                f"{table.source}: row {row}: gold_label is {label[:40]!r}, but pair {pair.name} is {pair.label!r}: the metadata "
                "belong to other sentence files"
            )
        seen.add(index)
        found.append(pair)
    return found


def _require_line_numbers(table: TextTable) -> None:
    """Return when the first column can hold the line numbers of pairs.

    Raises:
        InputError: it is a column of another meaning, or there are two of them.
    """
    if table.header[0] in _COLUMNS:
        raise InputError(
            f"{table.source}: its first column is {table.header[0]!r}, where the numbers of the lines are expected: they "
            "were its index; write the table with it"
        )
    if len(table.header) > 1 and is_index_name(table.header[1]):
        raise InputError(
            f"{table.source}: its first column {table.header[0]!r} is an index that another program wrote before the numbers of "
            f"the lines, which stand in column {table.header[1]!r}: remove the first column"
        )


def _labels(table: TextTable, picked: list[Pair]) -> Labels:
    split = splits_of(table, "split", SPLIT_CODES)
    negation = codes(table.source, "sentence2_has_negation", table.rows, table.column("sentence2_has_negation"), {"0": 0, "1": 1})
    return Labels(
        [pair.name for pair in picked],
        split,
        [CLASSES.index(pair.label) for pair in picked],
        [(NEGATION, negation)],
        target_name="gold_label",
    )


def _header(names: tuple[str, ...], texts: Tokens, tokenizer: Tokenizer) -> Header:
    return Header(
        name="multinli",
        version="1.0 (random split)",
        class_names=CLASSES,
        attribute_names=names,
        positive_class=1,
        image_size=(0, 0, 0),
        mean=(),
        std=(),
        augmentation=Augmentation(),
        kind="text",
        length=int(np.max([texts.longest, 1])),
        vocabulary=tokenizer.vocabulary,
        target_name="entailment",
        attributes=(NEGATION,),
        source="MultiNLI 1.0, Williams et al. 2018; groups and random split: Sagawa et al., ICLR 2020",
        licence="OANC, and CC BY-SA or CC BY for parts (see the paper)",
        attribute_provenance="whether the second sentence holds nobody, no, never or nothing (Gururangan et al. 2018)",
    )
