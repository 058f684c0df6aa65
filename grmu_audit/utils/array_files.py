"""Arrays and plain facts in one zip of ``.npy`` files and JSON: nothing in it is pickled, and reading it is bounded."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.utils.digests import canonical_json

Array = npt.NDArray[Any]
MOST_BYTES = 8 << 30
"""Bytes that one part of a file may have when it is unpacked."""
_FACTS = "facts.json"
_ARRAY = ".npy"


class DamagedFileError(ValueError):
    """A file of arrays cannot be read."""


def pack_arrays(facts: Mapping[str, object], arrays: Mapping[str, Array]) -> bytes:
    """The file's content; the same bytes for the same facts and arrays.

    >>> unpack_arrays(pack_arrays({"seed": 3}, {"a/b": np.arange(2)}))
    ({'seed': 3}, {'a/b': array([0, 1])})
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_FACTS), canonical_json(facts))
        for name, array in sorted(arrays.items()):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + _ARRAY), part.getvalue())
    return buffer.getvalue()


def unpack_arrays(content: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Facts and all arrays of a file's content.

    Raises:
        DamagedFileError: it is no such file, or a part is larger than ``MOST_BYTES``.
    """
    with _opened(io.BytesIO(content)) as archive:
        names = [name.removesuffix(_ARRAY) for name in archive.namelist() if name.endswith(_ARRAY)]
        return dict(json.loads(_part(archive, _FACTS))), {name: _array(_part(archive, name + _ARRAY)) for name in names}


def read_array(path: Path, name: str) -> Array:
    """One array of a file; the others are not read.

    Raises:
        DamagedFileError: there is no such file or array, or it is larger than ``MOST_BYTES``.
    """
    with _opened(path) as archive:
        return _array(_part(archive, name + _ARRAY))


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a file.

    Raises:
        DamagedFileError: there is no such file, or it is damaged.
    """
    with _opened(path) as archive:
        return dict(json.loads(_part(archive, _FACTS)))


@contextmanager
def _opened(source: Path | io.BytesIO) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (DamagedFileError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever a parser of hostile bytes raises)
        raise DamagedFileError(f"{type(error).__name__}: {error}") from None


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MOST_BYTES:
        raise DamagedFileError(f"{name} has {size:,} bytes, more than {MOST_BYTES >> 30} GiB")
    return archive.read(name)


def _array(content: bytes) -> Array:
    """The array of a ``.npy`` file whose header declares as much as the file holds: a larger one would be allocated first."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise DamagedFileError(f"the header declares {shape} of {dtype}, which is not what follows")
    stream.seek(0)
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array
