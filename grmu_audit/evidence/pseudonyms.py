"""The operator's key, and what is computed with it: pseudonyms of sample ids and digests of sets of them.

A bare hash of a small id space can be guessed by hashing every candidate; an HMAC cannot, as long as the key stays outside the
tracking store.  Only a holder of the key can test whether an id was forgotten.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.utils.files import write_new

KEY_FILE_VARIABLE = "GRMU_AUDIT_HMAC_KEY_FILE"
"""Environment variable that names another key file."""
DIGEST_PREFIX = "hmac-sha256:"
"""Prefix of the input of ``set_digest``."""
_PSEUDONYM_DOMAIN = b"grmu-audit/pseudonym/v1\0"
_SET_DOMAIN = b"grmu-audit/id-set/v1\0"
_ROW_DOMAIN = b"grmu-audit/row/v1\0"
_MODEL_ROW_DOMAIN = b"grmu-audit/model-row/v1\0"
_CHECK_DOMAIN = b"grmu-audit/key-check/v1\0"
_NOISE_DOMAIN = b"grmu-audit/noise/v2\0"
_KEY_BYTES = 32
_PSEUDONYM_DIGITS = 32


def key_path() -> Path:
    """Path of the key.

    ``$GRMU_AUDIT_HMAC_KEY_FILE``, else ``$XDG_CONFIG_HOME/grmu-audit/hmac.key``, else ``~/.config/grmu-audit/hmac.key``; a
    relative ``XDG_CONFIG_HOME`` is ignored, as its specification requires.
    """
    chosen = os.environ.get(KEY_FILE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.config").expanduser()) / "grmu-audit" / "hmac.key"  # noqa: PTH117


def load_key() -> bytes:
    """The operator's 32-byte key; created on first use (64 hex digits, mode 0600).

    Several processes that start at once agree on one key: each writes a complete file of its own and links it to the name, which
    only one can do; the others read the winner's.

    Raises:
        EnvironmentFailure: the file can be read or written by group or others, is not a plain file, does not hold 64 hex
            digits, or cannot be created.
    """
    return _key_at(key_path())


def key_exists() -> bool:
    """Whether something is where the key belongs."""
    return os.path.lexists(key_path())


def next_key() -> bytes:
    """The key that is to follow the present one, in the same place with the ending ``.new``; created on first use.

    Raises:
        EnvironmentFailure: as ``load_key``.
    """
    return _key_at(_beside(".new"))


def replace_key(check: str) -> Path:
    """Put the next key in the place of the present one; returns where the present one is kept.

    Args:
        check: check value of the present key, the ending of its new place.

    Raises:
        EnvironmentFailure: a file cannot be written.
    """
    kept = _beside(f".{check[:8]}.old")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(key_path(), kept)
        _beside(".new").replace(key_path())
    except OSError as error:
        raise EnvironmentFailure(f"cannot put the new key in the place of {key_path()}: {error.strerror or error}") from error
    return kept


def _beside(ending: str) -> Path:
    path = key_path()
    return path.with_name(path.name + ending)


def pseudonym(key: bytes, text: str) -> str:
    """HMAC-SHA256 of one id, as its first 32 hex digits (128 bits).

    >>> pseudonym(bytes(32), "000001.jpg") == pseudonym(bytes(32), "000001.jpg") != pseudonym(bytes(32), "000002.jpg")
    True
    """
    return _mac(key, _PSEUDONYM_DOMAIN, text.encode("utf-8", "surrogatepass")).hexdigest()[:_PSEUDONYM_DIGITS]


def pseudonyms(key: bytes, texts: Sequence[str]) -> list[str]:
    """``pseudonym`` of each, in order."""
    return [pseudonym(key, text) for text in texts]


def model_row_names(model: str, names: Iterable[str]) -> list[str]:
    """What rows are called in what is given away of one model: SHA-256 of the model's name and the pseudonym, 32 hex digits.

    Anyone who has such names of two models cannot join them; anyone who has the key, or the pseudonyms, can compute them.

    >>> one, other = (model_row_names(model, ["0a"]) for model in ("faces", "digits"))
    >>> len(one[0]), one == other
    (32, False)
    """
    start = hashlib.sha256(_MODEL_ROW_DOMAIN + model.encode("utf-8", "surrogatepass") + b"\0")
    found = []
    for name in names:
        digest = start.copy()
        digest.update(name.encode("utf-8", "surrogatepass"))
        found.append(digest.hexdigest()[:_PSEUDONYM_DIGITS])
    return found


def row_digest(key: bytes, text: str) -> str:
    """HMAC-SHA256 of a row's content, as its first 32 hex digits."""
    return _mac(key, _ROW_DOMAIN, text.encode("utf-8", "surrogatepass")).hexdigest()[:_PSEUDONYM_DIGITS]


def noise_secret(key: bytes, model: str, data_digest: str) -> str:
    """What the random term of certified trainings of one model on one dataset depends on beside its seed: 64 hex digits.

    Every version of a lineage has the same; only the key's holder can compute it.

    Args:
        key: the operator's key.
        model: registered name, the same for all versions.
        data_digest: digest of the data before forgotten rows were deleted, as the versions are tagged with.

    >>> one, other = noise_secret(bytes(32), "faces", "0a"), noise_secret(bytes(32), "digits", "0a")
    >>> one == noise_secret(bytes(32), "faces", "0a") != other
    True
    """
    parts = (text.encode("utf-8", "surrogatepass") for text in (model, data_digest))
    return _mac(key, _NOISE_DOMAIN, b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def key_check(key: bytes) -> str:
    """HMAC-SHA256 of a fixed text, as its first 32 hex digits: shows whether two records were created with one key, and no more.

    >>> key_check(bytes(32)) == key_check(bytes(32)) != key_check(bytes(31) + b"1")
    True
    """
    return _mac(key, _CHECK_DOMAIN, b"").hexdigest()[:_PSEUDONYM_DIGITS]


def set_digest(key: bytes, ids: Iterable[str]) -> str:
    """HMAC-SHA256 of a set of ids: ``hmac-sha256:`` and 64 hex digits.

    The unique ids, sorted by code point, each behind its length in bytes (8 bytes, big-endian): order and repetition do not
    matter, and no two sets share an encoding.

    >>> set_digest(bytes(32), ["b", "a", "b"]) == set_digest(bytes(32), ["a", "b"])
    True
    >>> set_digest(bytes(32), ["ab", "c"]) == set_digest(bytes(32), ["a", "bc"])
    False
    """
    encoded = (text.encode("utf-8", "surrogatepass") for text in sorted(set(ids)))
    return DIGEST_PREFIX + _mac(key, _SET_DOMAIN, b"".join(len(e).to_bytes(8, "big") + e for e in encoded)).hexdigest()


def _mac(key: bytes, domain: bytes, message: bytes) -> hmac.HMAC:
    return hmac.new(key, domain + message, hashlib.sha256)


def _key_at(path: Path) -> bytes:
    """The key in a file, which is created where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return _read_key(path)
    _create_key(path)
    try:
        return _read_key(path)
    except FileNotFoundError:
        raise EnvironmentFailure(
            f"the key file {path} is a link to a file that does not exist, or was removed just now: restore that file"
        ) from None


def _read_key(path: Path) -> bytes:
    plain = f": point {KEY_FILE_VARIABLE} at one"
    return _parse_key(read_secret(path, "key file", plain, "then run 'grmu-audit keys rotate'"), path)


def read_secret(path: Path, what: str, plain: str, exposed: str) -> bytes:
    """The first 64 KiB of a plain file that its owner alone can use.

    Args:
        path: the file.
        what: what it is, for messages.
        plain: what to do where it is no plain file, with the colon before it; may be empty.
        exposed: what to do where others may have read it.

    Raises:
        FileNotFoundError: there is none.
        EnvironmentFailure: it cannot be read, is not a plain file, or group or others may use it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EnvironmentFailure(f"cannot read the {what} {path}: {error.strerror or error}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise EnvironmentFailure(f"the {what} {path} is not a plain file{plain}")
        if stat.S_IMODE(mode) & 0o077:
            raise EnvironmentFailure(
                f"the {what} {path} has mode {stat.S_IMODE(mode):04o}, open to others than its owner: run 'chmod 600 {path}',"
                f" and if others may have read it, {exposed}"
            )
        return os.read(descriptor, 65536)
    finally:
        os.close(descriptor)


def _parse_key(content: bytes, path: Path) -> bytes:
    match = re.fullmatch(rb"([0-9a-fA-F]{64})\s*", content)
    if match is None:
        raise EnvironmentFailure(
            f"the key file {path} does not hold {2 * _KEY_BYTES} hex digits: restore it from a backup; for a lost key see"
            " 'grmu-audit keys rotate --help'"
        )
    return bytes.fromhex(match.group(1).decode("ascii"))


def _create_key(path: Path) -> None:
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new(temporary, secrets.token_hex(_KEY_BYTES).encode("ascii") + b"\n", 0o600)
        with contextlib.suppress(FileExistsError):  # another process was first: its key is the key
            os.link(temporary, path)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot create the key file {path}: {error.strerror or error}; point {KEY_FILE_VARIABLE} at a writable place"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
