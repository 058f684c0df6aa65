"""The folder that workers and the writer share: inputs, results and failures of jobs, each file whole or absent.

Results and failures carry a keyed digest (HMAC) of job and content: one that was edited, or is another job's, is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from grmu_audit import errors
from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, InputError, IntegrityError
from grmu_audit.jobs.job import Job
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic

_MAC_BYTES = 32
_DOMAIN = b"grmu-audit/job-result/v1\0"


class JobFolder:
    """Files of jobs in a local folder or an object store.

    Args:
        url: a path, or what fsspec opens (``s3://bucket/jobs``, ``gs://...``; these need the package that fsspec names).
        key: the operator's key; workers hold the same one.
    """

    def __init__(self, url: str, key: bytes) -> None:
        self.url, self._key = url, key

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            system, path = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(f"--job-folder {self.url!r} cannot be opened: {error}") from None
        return system, str(path).rstrip("/")

    def put(self, content: bytes) -> str:
        """Store an input under its digest unless it is there already; returns the digest."""
        digest = sha256_hex(content)
        if not self._exists(f"inputs/{digest}"):
            self._write(f"inputs/{digest}", content)
        return digest

    def input(self, digest: str) -> bytes:
        """An input.

        Raises:
            IntegrityError: it is missing, or not what was stored.
        """
        content = self._read(f"inputs/{digest}")
        if content is None or sha256_hex(content) != digest:
            raise IntegrityError(f"input {digest[:12]} of the job folder is {'missing' if content is None else 'changed'}")
        return content

    def finish(self, job: Job, content: bytes) -> None:
        """Store a job's result, and remove an earlier failure."""
        self._write(f"results/{job.id}", self._sealed(job, "result", content))
        self.clear_failure(job)

    def fail(self, job: Job, error: GrmuAuditError) -> None:
        """Store why a job gave no result."""
        content = canonical_json({"error": type(error).__name__, "message": str(error)})
        self._write(f"failures/{job.id}", self._sealed(job, "failure", content))

    def result(self, job: Job) -> bytes | None:
        """A job's result; None where there is none.

        Raises:
            IntegrityError: it was changed, or stored under another key.
        """
        return self._unsealed(job, "result", self._read(f"results/{job.id}"))

    def failure(self, job: Job) -> GrmuAuditError | None:
        """The error that a job ended with, of its own class; None where it did not fail.

        Raises:
            IntegrityError: as ``result``.
        """
        content = self._unsealed(job, "failure", self._read(f"failures/{job.id}"))
        if content is None:
            return None
        tree = json.loads(content)
        kind = getattr(errors, str(tree["error"]), EnvironmentFailure)
        known: type[GrmuAuditError] = kind if isinstance(kind, type) and issubclass(kind, GrmuAuditError) else EnvironmentFailure
        return known(str(tree["message"]))

    def forget(self, job: Job) -> None:
        """Remove what is stored of a job that was recorded."""
        self._remove(f"results/{job.id}")
        self.clear_failure(job)

    def remove_inputs(self, *digests: str) -> None:
        """Remove inputs that no job needs any more."""
        for digest in digests:
            self._remove(f"inputs/{digest}")

    def clear_failure(self, job: Job) -> None:
        """Remove the failure of an earlier attempt."""
        self._remove(f"failures/{job.id}")

    def local(self, name: str) -> Path | None:
        """A path in the folder, for files that a job writes itself; None in an object store."""
        return Path(self._path(name)) if self._is_local else None

    def _sealed(self, job: Job, kind: str, content: bytes) -> bytes:
        return self._mac(job, kind, content) + content

    def _unsealed(self, job: Job, kind: str, stored: bytes | None) -> bytes | None:
        if stored is None:
            return None
        mac, content = stored[:_MAC_BYTES], stored[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(job, kind, content)):
            raise IntegrityError(
                f"the {kind} of job {job.id[:12]} in {self.url} was changed, or stored under another key: remove it, and it is "
                "done again"
            )
        return content

    def _mac(self, job: Job, kind: str, content: bytes) -> bytes:
        return hmac.digest(self._key, _DOMAIN + f"{kind}\0{job.id}\0".encode() + hashlib.sha256(content).digest(), "sha256")

    def _path(self, name: str) -> str:
        return f"{self._opened[1]}/{name}"

    @property
    def _is_local(self) -> bool:
        from fsspec.implementations.local import LocalFileSystem

        return isinstance(self._opened[0], LocalFileSystem)

    def _exists(self, name: str) -> bool:
        return bool(self._opened[0].exists(self._path(name)))

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self._opened[0].cat_file(self._path(name)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EnvironmentFailure(f"cannot read {name} of the job folder {self.url}: {error.strerror or error}") from error

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all: by a rename here; object stores show an object when all of it is there."""
        if self._is_local:
            write_atomic(Path(self._path(name)), content, mode=0o600)
            return
        try:
            self._opened[0].pipe_file(self._path(name), content)
        except OSError as error:
            raise EnvironmentFailure(f"cannot write {name} to the job folder {self.url}: {error.strerror or error}") from error

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._opened[0].rm_file(self._path(name))
