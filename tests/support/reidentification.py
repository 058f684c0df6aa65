"""Somebody who has the public data and every file that leaves the machine, but no key, and looks for the forgotten rows."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget.sampling import ForgetSampling, sample_forget
from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence import model_row_names, pseudonyms

_WORD, _HEX = re.compile(rb"[A-Za-z0-9_.\-]{8,}"), re.compile(rb"[0-9a-f]{16,}")
SURE = 6.0
"""Standard deviations above chance from which on an attack counts as a success."""


def files_of(*places: Path) -> dict[str, bytes]:
    """Every file below these places, archives opened too."""
    found: dict[str, bytes] = {}
    for place in places:
        paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        for path in paths:
            content = found[str(path)] = path.read_bytes()
            if path.suffix in (".zip", ".npz") and zipfile.is_zipfile(path):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    found |= {f"{path}!{name}": archive.read(name) for name in archive.namelist()}
    return found


@dataclass(frozen=True)
class Attacker:
    """Who looks; ``key`` is only used to say whether a guess is right."""

    data: Dataset
    """The public data, in its order."""
    key: bytes
    """The operator's key."""
    model: str
    """Name of the model."""

    def successes(self, files: Mapping[str, bytes]) -> list[str]:
        """Attacks that do better than chance, each with its file and its number of rows."""
        found = [*self._named(files), *self._sampled(files)]
        for name, content in files.items():
            if name.endswith(".parquet"):
                found += [f"{name}: {attack}" for attack in self._table(pd.read_parquet(io.BytesIO(content)))]
            if name.endswith(".npy"):
                found += [f"{name}: {attack}" for attack in self._array(np.load(io.BytesIO(content)))]
        return found

    def _named(self, files: Mapping[str, bytes]) -> Iterator[str]:
        """Ids in clear, and hashes of them that anybody can compute."""
        words = {name: set(_WORD.findall(content)) for name, content in files.items()}
        known = {word for found in words.values() for word in found}
        known |= {word[:16] for word in known if _HEX.fullmatch(word)}
        for place, name in enumerate(self.data.frame["id"]):
            texts = [name.encode(), str(place).encode()]
            guesses = [hashlib.new(kind, text).hexdigest() for kind in ("md5", "sha1", "sha256") for text in texts]
            guesses += [hmac.new(key, text, "sha256").hexdigest() for key in (b"", bytes(32)) for text in texts]
            guesses += pseudonyms(bytes(32), [name])
            for guess in (name, *(guess[:16] for guess in guesses)):
                if guess.encode() in known:
                    where = [path for path, content in files.items() if guess.encode() in content]
                    yield f"row {place} is named as {guess} in {where[:3]}"

    def _sampled(self, files: Mapping[str, bytes]) -> Iterator[str]:
        """The list sampled again from what records of the request say of it."""
        for path, content in files.items():
            for how in _samplings(path, content):
                groups = tuple(",".join(map(str, group)) for group in how.get("groups", ()))
                try:
                    ids = sample_forget(self.data, ForgetSampling(groups, ratio=how["ratio"], seed=how["seed"]))
                except GrmuAuditError:
                    continue
                yield f"{path}: {len(ids)} ids sampled again with the recorded seed"

    def _table(self, table: pd.DataFrame) -> Iterator[str]:
        """Rows of a table assigned to rows of the data by position, by each column, and by the sizes of people."""
        if "id" not in table or not len(table):
            return
        names = pseudonyms(self.key, self.data.frame["id"].tolist())
        place_of = {name: place for known in (names, model_row_names(self.model, names)) for place, name in enumerate(known)}
        truth = np.array([place_of[name] for name in table["id"]])
        trained = table["split"].isin(["train", "retain", "forget"]).to_numpy()
        numbers = table.select_dtypes("number")
        series = {"position": np.arange(len(table)), **{name: numbers[name].to_numpy() for name in numbers}}
        if "subject" in table:
            series["count"] = table["subject"].map(table["subject"].value_counts()).to_numpy()
        for name, values in series.items():
            hits = int((values == truth)[trained].sum())
            if hits > 1 + SURE * 2:
                yield f"{hits} rows have their place in the data as {name}"
            for sign in (1, -1):
                hits, chance = self._by_rank(table, truth, trained, sign * values, by_size=name == "count" and sign > 0)
                if hits > chance + SURE * np.sqrt(chance) + 1:
                    yield f"{hits} of {int(trained.sum())} training rows found by rank of {name}, {chance} by chance"

    def _by_rank(
        self, table: pd.DataFrame, truth: np.ndarray, trained: np.ndarray, values: np.ndarray, *, by_size: bool
    ) -> tuple[int, float]:
        """Rows found within each cell of equal labels by ranking both sides, and how many chance would find."""
        frame, hits, cells = self.data.frame, 0, 0
        for target, attribute in sorted(set(zip(table["target"], table["attribute"], strict=True))):
            rows = np.flatnonzero(trained & (table["target"] == target) & (table["attribute"] == attribute))
            there = (frame["split"] == "train") & (frame["target"] == target) & (frame["attribute"] == attribute)
            own = np.flatnonzero(there.to_numpy())
            if by_size:
                sizes = frame["subject"].map(frame["subject"].value_counts()).to_numpy()
                own = own[np.argsort(sizes[own], kind="stable")]
            if len(own) == len(rows):
                hits += int((truth[rows[np.argsort(values[rows], kind="stable")]] == own).sum())
                cells += len(rows) > 0
        return hits, float(cells)

    def _array(self, array: np.ndarray) -> Iterator[str]:
        """Whether the rows of an array stand as those of the data: what they hold goes with the labels there."""
        n = len(self.data)
        if array.ndim not in (1, 2) or len(array) != n or array.dtype.kind not in "iuf":
            return
        frame = self.data.frame
        labels = [frame["target"], frame["attribute"], *(frame["split"] == split for split in ("train", "val", "test"))]
        for column in array.reshape(n, -1).T:
            for label in labels:
                if column.std() > 0 and label.nunique() > 1:
                    strength = abs(np.corrcoef(column, label.to_numpy(dtype=float))[0, 1]) * np.sqrt(n)
                    if strength > SURE:
                        yield f"rows stand as in the data ({strength:.0f} standard deviations)"
                        return


def _samplings(path: str, content: bytes) -> Iterator[dict[str, Any]]:
    if not path.endswith(".json"):
        return
    try:
        tree = json.loads(content)
    except ValueError:
        return
    for part in (tree.get("made"), (tree.get("forget") or {}).get("request")) if isinstance(tree, dict) else ():
        if isinstance(part, dict) and "seed" in part and "ratio" in part:
            yield part
