"""White-box outputs of models on disk, under a key of all that they depend on: a repeated audit reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.row_order import RowOrder
from grmu_audit.records.white_box import Answers, LayerTable, Missing, MissingCode, WhiteBoxOutputs
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic
from grmu_audit.utils.array_files import pack_arrays, unpack_arrays

FORMAT = "grmu-audit/probes/v1"
"""Part of every key: another version of the outputs is stored elsewhere."""


def cache_key(derived_from: Mapping[str, object]) -> str:
    """SHA-256 over everything that the outputs depend on."""
    return sha256_hex(canonical_json({"format": FORMAT, **derived_from}))


class OutputCache:
    """A folder of collected outputs.

    Rows are sorted by pseudonym, and no name is stored.  Files of earlier versions, in the order of the dataset, are read and
    written again; files that were sorted under another key count as none.

    Args:
        folder: created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str, suffix: str = "npz") -> Path:
        """File of one entry."""
        return self.folder / key[:2] / f"{key}.{suffix}"

    def read(self, key: str, ids: npt.NDArray[np.str_]) -> WhiteBoxOutputs | None:
        """The outputs of that key, or None; a damaged file counts as none, since they can be collected again."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            content = path.read_bytes()
            found = from_bytes(content, ids)
        except IntegrityError:
            return None
        if to_bytes(found) != content:
            self.write(key, found)
        return found

    def write(self, key: str, outputs: WhiteBoxOutputs) -> None:
        """Store outputs, whole or not at all."""
        write_atomic(self.path(key), to_bytes(outputs), mode=0o600)


def to_bytes(outputs: WhiteBoxOutputs) -> bytes:
    """The content of a cache file, rows sorted by name; see ``array_files``."""
    order = RowOrder.of(outputs.ids)
    arrays: dict[str, npt.NDArray[Any]] = {
        f"attacked/{name}": order.stored(answers) for name, answers in outputs.adversarial_predictions.items()
    }
    table = outputs.layers
    plain: dict[str, object] = {"missing": _plain_missing(outputs), "facts": outputs.settings, "layers": None}
    plain["sorted_by"] = order.mark
    if table is not None:
        plain["layers"] = {"names": list(table.layers), "attributes": table.attributes}
        arrays |= {"classes": table.classes, "groups": table.groups, "counts": table.counts}
        arrays |= {f"values/{name}": values for name, values in table.values.items()}
    plain["distance"] = outputs.distance
    for name, answer in outputs.changed.items():
        arrays |= {f"predicted/{name}": order.stored(answer.prediction), f"margin/{name}": order.stored(answer.margin)}
    features = None if outputs.features is None else order.stored(outputs.features)
    optional = {"features": features, "relearn": outputs.relearn}
    arrays |= {name: array for name, array in optional.items() if array is not None}
    return pack_arrays(plain, arrays)


def from_bytes(content: bytes, ids: npt.NDArray[np.str_]) -> WhiteBoxOutputs:
    """Read what ``to_bytes`` wrote.

    Args:
        content: the file.
        ids: [n] names of the rows, in the order of the dataset.

    Raises:
        IntegrityError: no such file, or of another number of samples.
    """
    try:
        plain, arrays = unpack_arrays(content)
        arrays = _in_order_of(ids, plain.get("sorted_by"), arrays)
        adversarial = {name.removeprefix("attacked/"): array for name, array in arrays.items() if name.startswith("attacked/")}
        outputs = WhiteBoxOutputs(
            ids=ids,
            adversarial_predictions=adversarial,
            features=arrays.get("features"),
            layers=_table(plain["layers"], arrays),
            relearn=arrays.get("relearn"),
            changed={name: Answers(arrays[f"predicted/{name}"], arrays[f"margin/{name}"]) for name in _after(arrays, "margin/")},
            distance=None if plain.get("distance") is None else float(plain["distance"]),
            missing={name: _missing(item) for name, item in plain["missing"].items()},
            settings=dict(plain["facts"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"stored measurements cannot be read: {type(error).__name__}: {error}") from None
    return outputs


def _in_order_of(ids: npt.NDArray[np.str_], mark: object, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The arrays with those of rows in the order of these names.

    Raises:
        IntegrityError: they are of another number of samples, or sorted by other names.
    """
    rows = [name for name in arrays if name == "features" or name.startswith(("attacked/", "predicted/", "margin/"))]
    if any(len(arrays[name]) != len(ids) for name in rows):
        raise IntegrityError(f"stored measurements are not of {len(ids)} samples")
    order = RowOrder.of(ids)
    return {**arrays, **{name: order.restored(arrays[name], mark) for name in rows}}


def _after(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> list[str]:
    """What follows a prefix in the names of arrays, in the order of numbers."""
    return sorted((name.removeprefix(prefix) for name in arrays if name.startswith(prefix)), key=lambda name: (len(name), name))


def _plain_missing(outputs: WhiteBoxOutputs) -> dict[str, dict[str, str]]:
    return {name: {"code": str(missing.code), "text": missing.text} for name, missing in outputs.missing.items()}


def _missing(plain: Any) -> Missing:
    """A reason; files of earlier versions hold its text alone, and none for want of an installed package."""
    if isinstance(plain, str):
        return Missing(MissingCode.NOT_APPLICABLE, plain)
    return Missing(MissingCode(plain["code"]), str(plain["text"]))


def _table(plain: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> LayerTable | None:
    if plain is None:
        return None
    values = {name.removeprefix("values/"): array for name, array in arrays.items() if name.startswith("values/")}
    layers = tuple(str(name) for name in plain["names"])
    return LayerTable(layers, arrays["classes"], arrays["groups"], int(plain["attributes"]), arrays["counts"], values)
