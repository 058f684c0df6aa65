"""One archive of files that has exactly one byte form: the same files give the same bytes, any other byte is an edit.

A ZIP file without compression, names sorted, times fixed, with ``manifest.json`` (size and SHA-256 of every other file).  Reading
builds the archive again from what was found and compares: that covers the bytes between the files too.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.utils.clock import Deadline
from grmu_audit.utils.digests import canonical_json, parse_json, sha256_hex

BUNDLE_SCHEMA = "grmu-audit/evidence/v1"
"""Schema name and version."""
MANIFEST_FILE = "manifest.json"
"""The list of all other files."""
LARGEST_BUNDLE = 4 << 30
"""Bytes that a bundle may have."""
_MOST_FILES = 1000
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files.

    Raises:
        InputError: a name that is not a plain relative path, or that of the manifest.

    >>> pack({"a.txt": b"1"}) == pack({"a.txt": b"1"})
    True
    """
    for name in files:
        if not _plain(name) or name == MANIFEST_FILE:
            raise InputError(f"a file of a bundle cannot be named {name[:200]!r}")
    manifest = {
        "schema": BUNDLE_SCHEMA,
        "files": {name: {"size": len(content), "sha256": sha256_hex(content)} for name, content in files.items()},
    }
    return _archive({**files, MANIFEST_FILE: canonical_json(manifest)})


def unpack(content: bytes) -> tuple[dict[str, bytes], list[str]]:
    """The files of a bundle without its manifest, in memory, and every defect of the archive.

    Nothing is written.  Compressed members are refused, so that an archive never unpacks to more than its own size.

    Raises:
        IntegrityError: not a bundle at all, or not safe to read.
    """
    members = _members(content)
    manifest = members.pop(MANIFEST_FILE, None)
    if manifest is None:
        raise IntegrityError(f"the archive holds no {MANIFEST_FILE}: it is not an evidence bundle")
    defects = _manifest_defects(members, manifest)
    if not defects and _archive({**members, MANIFEST_FILE: manifest}) != content:
        defects.append("the archive itself was edited: bytes outside its files are not those that this tool writes")
    return members, defects


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _members(content: bytes) -> dict[str, bytes]:
    found, deadline, total = dict[str, bytes](), Deadline("the archive"), 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_FILES:
                raise IntegrityError(f"the archive holds {len(infos)} files, more than a bundle can have: refused")
            for info in infos:
                deadline.check()
                total += info.file_size
                _refuse_odd(info, found)
                if total > len(content):
                    raise IntegrityError("the files in the archive are together larger than the archive itself: refused")
                found[info.filename] = archive.read(info)
    except (IntegrityError, InputError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever a parser of hostile bytes raises)
        raise IntegrityError(f"the archive cannot be read ({type(error).__name__}: {str(error)[:200]}): it was damaged") from None
    return found


def _refuse_odd(info: zipfile.ZipInfo, found: Mapping[str, bytes]) -> None:
    name = info.filename
    if not _plain(name):
        raise IntegrityError(f"the archive holds the name {name[:200]!r}, which leads outside or is not portable: refused")
    if name in found:
        raise IntegrityError(f"the archive holds {name!r} twice: refused")
    link = (info.external_attr >> 16) & 0o170000 == 0o120000
    if link or info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise IntegrityError(f"{name!r} is a link, compressed or encrypted: refused")


def _plain(name: str) -> bool:
    parts = name.split("/")
    return all(part not in ("", ".", "..") for part in parts) and not any(ord(c) < 32 or c in "\\:\x7f" for c in name)


def _manifest_defects(members: Mapping[str, bytes], manifest: bytes) -> list[str]:
    try:
        tree = parse_json(manifest)
        listed = tree["files"]
        if type(listed) is not dict or tree["schema"] != BUNDLE_SCHEMA or canonical_json(tree) != manifest:
            return [f"{MANIFEST_FILE} is not in the form that this version reads"]
    except (ValueError, KeyError, TypeError, InputError) as error:
        return [f"{MANIFEST_FILE} cannot be read: {type(error).__name__}"]
    defects = [f"{name} is missing" for name in sorted(set(listed) - set(members))]
    defects += [f"{name} is not listed in {MANIFEST_FILE}" for name in sorted(set(members) - set(listed))]
    for name in sorted(set(listed) & set(members)):
        if listed[name] != {"size": len(members[name]), "sha256": sha256_hex(members[name])}:
            defects.append(f"{name} was changed: it does not have the digest in {MANIFEST_FILE}")
    return defects
