"""Measurements of models on disk, addressed by what they were made from: a repeated audit reads them and asks no model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import IntegrityError
from grmu_audit.records.white_box import LayerTable, Missing, MissingCode, WhiteBoxOutputs
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic

FORMAT = "grmu-audit/probes/v1"
"""Part of every address: another version of the measurements lies elsewhere."""
_PLAIN = "facts.json"


def address(made_from: Mapping[str, object]) -> str:
    """SHA-256 over everything that a measurement depends on."""
    return sha256_hex(canonical_json({"format": FORMAT, **made_from}))


class Shelf:
    """A folder of measurements.

    Rows are in the order of the dataset, whose digest is part of the address; no sample name is stored.

    Args:
        folder: made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str, suffix: str = "npz") -> Path:
        """File of one measurement."""
        return self.folder / key[:2] / f"{key}.{suffix}"

    def read(self, key: str, ids: npt.NDArray[np.str_]) -> WhiteBoxOutputs | None:
        """The measurement of that address, or None; a damaged file counts as none, since it can be measured again."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            found = from_bytes(path.read_bytes(), ids)
        except IntegrityError:
            return None
        return found

    def write(self, key: str, outputs: WhiteBoxOutputs) -> None:
        """Keep a measurement, whole or not at all."""
        write_atomic(self.path(key), to_bytes(outputs), mode=0o600)


def to_bytes(outputs: WhiteBoxOutputs) -> bytes:
    """Arrays and facts in one zip of ``.npy`` files and JSON; nothing in it is pickled."""
    arrays: dict[str, npt.NDArray[Any]] = {
        f"attacked/{name}": answers for name, answers in outputs.adversarial_predictions.items()
    }
    table = outputs.layers
    plain: dict[str, object] = {"missing": _plain_missing(outputs), "facts": outputs.settings, "layers": None}
    if table is not None:
        plain["layers"] = {"names": list(table.layers), "attributes": table.attributes}
        arrays |= {"classes": table.classes, "groups": table.groups, "counts": table.counts}
        arrays |= {f"values/{name}": values for name, values in table.values.items()}
    optional = {"features": outputs.features, "relearn": outputs.relearn}
    arrays |= {name: array for name, array in optional.items() if array is not None}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_PLAIN), canonical_json(plain))
        for name, array in sorted(arrays.items()):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue())
    return buffer.getvalue()


def from_bytes(content: bytes, ids: npt.NDArray[np.str_]) -> WhiteBoxOutputs:
    """Read what ``to_bytes`` wrote.

    Args:
        content: the file.
        ids: [n] names of the rows, in the order of the dataset.

    Raises:
        IntegrityError: no such file, or of another number of samples.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            plain = json.loads(archive.read(_PLAIN))
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            arrays = {name: _array(archive.read(f"{name}.npy")) for name in names}
        adversarial = {name.removeprefix("attacked/"): array for name, array in arrays.items() if name.startswith("attacked/")}
        outputs = WhiteBoxOutputs(
            ids=ids,
            adversarial_predictions=adversarial,
            features=arrays.get("features"),
            layers=_table(plain["layers"], arrays),
            relearn=arrays.get("relearn"),
            missing={name: _missing(item) for name, item in plain["missing"].items()},
            settings=dict(plain["facts"]),
        )
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"stored measurements cannot be read: {type(error).__name__}: {error}") from None
    columns = [*adversarial.values(), *([] if outputs.features is None else [outputs.features])]
    if any(len(column) != len(ids) for column in columns):
        raise IntegrityError(f"stored measurements are not of {len(ids)} samples")
    return outputs


def _plain_missing(outputs: WhiteBoxOutputs) -> dict[str, dict[str, str]]:
    return {name: {"code": str(missing.code), "text": missing.text} for name, missing in outputs.missing.items()}


def _missing(plain: Any) -> Missing:
    """A reason; files of earlier versions hold its text alone, and none for want of an installed package."""
    if isinstance(plain, str):
        return Missing(MissingCode.NOT_APPLICABLE, plain)
    return Missing(MissingCode(plain["code"]), str(plain["text"]))


def _array(content: bytes) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def _table(plain: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> LayerTable | None:
    if plain is None:
        return None
    values = {name.removeprefix("values/"): array for name, array in arrays.items() if name.startswith("values/")}
    layers = tuple(str(name) for name in plain["names"])
    return LayerTable(layers, arrays["classes"], arrays["groups"], int(plain["attributes"]), arrays["counts"], values)
