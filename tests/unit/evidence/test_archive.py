"""Archives of evidence: what cannot be packed or is no longer what was, and what importing the package loads."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from typing import Any

import pytest

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.archive import BUNDLE_SCHEMA, MANIFEST_FILE, pack, unpack
from grmu_audit.utils import canonical_json, sha256_hex


def test_a_file_cannot_take_the_place_of_the_manifest_or_lead_outside() -> None:
    for name in (MANIFEST_FILE, "../x", "/x", ""):
        with pytest.raises(InputError):
            pack({name: b""})


def test_importing_evidence_loads_nothing_heavy():
    code = (
        "import sys, grmu_audit.evidence; print([m for m in ('numpy','pandas','torch','mlflow','pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def stored(*members: tuple[str, bytes]) -> bytes:
    """An archive without compression that any program may have written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_an_archive_that_holds_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match=r"Duplicate name: 'a\.txt'"):
        content = stored(("a.txt", b"1"), ("a.txt", b"2"))
    with pytest.raises(IntegrityError, match=r"the archive holds 'a\.txt' twice: refused"):
        unpack(content)


def test_files_that_share_their_bytes_do_not_unpack_to_more_than_the_archive() -> None:
    inner = stored(("b.txt", b"2" * 1000))
    content = stored(("a.txt", inner))
    start = content.index(inner)
    directory = content.index(b"PK\1\2", start + len(inner))
    entry = bytearray(inner[inner.index(b"PK\1\2") : inner.index(b"PK\5\6")])
    entry[42:46] = start.to_bytes(4, "little")  # where the inner file begins in the outer archive
    end = bytearray(content[content.index(b"PK\5\6", directory) :])
    end[8:12] = b"\2\0\2\0"
    end[12:16] = (int.from_bytes(end[12:16], "little") + len(entry)).to_bytes(4, "little")
    both = content[: -len(end)] + bytes(entry) + bytes(end)
    with pytest.raises(IntegrityError, match=r"together larger than the archive itself|Overlapped"):
        unpack(both)


LISTED = {"a.txt": {"size": 1, "sha256": sha256_hex(b"1")}}


@pytest.mark.parametrize(
    ("manifest", "defect"),
    [
        (canonical_json({"schema": "grmu-audit/evidence/v9", "files": LISTED}), "is not in the form that this version reads"),
        (canonical_json({"schema": BUNDLE_SCHEMA, "files": LISTED}) + b" ", "is not in the form that this version reads"),
        (canonical_json({"schema": BUNDLE_SCHEMA}), "cannot be read: KeyError"),
        (canonical_json({"schema": BUNDLE_SCHEMA, "files": 3}), "is not in the form that this version reads"),
        (canonical_json({"schema": BUNDLE_SCHEMA, "files": [[1, 2], ["a", 2]]}), "is not in the form that this version reads"),
        (b"{", "cannot be read: JSONDecodeError"),
    ],
)
def test_a_manifest_of_another_form_is_a_defect(manifest: bytes, defect: str) -> None:
    assert unpack(stored(("a.txt", b"1"), (MANIFEST_FILE, manifest))) == ({"a.txt": b"1"}, [f"{MANIFEST_FILE} {defect}"])


@pytest.mark.parametrize(
    ("listed", "defects"),
    [
        (LISTED["a.txt"] | {"size": 2}, ["a.txt was changed: it does not have the digest in manifest.json"]),
        (LISTED["a.txt"] | {"sha256": "0" * 64}, ["a.txt was changed: it does not have the digest in manifest.json"]),
        (None, ["a.txt was changed: it does not have the digest in manifest.json"]),
        (LISTED["a.txt"], ["the archive itself was edited: bytes outside its files are not those that this tool writes"]),
    ],
)
def test_a_file_that_is_not_as_listed_is_a_defect(listed: dict[str, Any] | None, defects: list[str]) -> None:
    manifest = canonical_json({"schema": BUNDLE_SCHEMA, "files": {"a.txt": listed}})
    assert unpack(stored(("a.txt", b"1"), (MANIFEST_FILE, manifest)))[1] == defects
