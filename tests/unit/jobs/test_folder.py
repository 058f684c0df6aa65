"""Inputs and results in a local folder and in an object store."""

from __future__ import annotations

from pathlib import Path

import pytest

from grmu_audit.errors import DivergedError, InputError, IntegrityError
from grmu_audit.jobs import Job, JobFolder

KEY, JOB = bytes(32), Job("square", {"number": 3})


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> JobFolder:
    return JobFolder(str(tmp_path / "jobs") if request.param == "local" else f"memory://{tmp_path.name}", KEY)


def test_inputs_are_known_by_their_content(folder: JobFolder) -> None:
    digest = folder.put(b"weights")
    assert folder.put(b"weights") == digest
    assert folder.input(digest) == b"weights"
    with pytest.raises(IntegrityError, match="missing"):
        folder.input("0" * 64)


def test_a_result_follows_a_failure_and_is_gone_once_it_is_recorded(folder: JobFolder) -> None:
    assert folder.result(JOB) is None is folder.failure(JOB)
    folder.fail(JOB, DivergedError("loss is not finite"))
    failure = folder.failure(JOB)
    assert isinstance(failure, DivergedError)
    assert str(failure) == "loss is not finite"
    folder.finish(JOB, b"9")
    assert folder.failure(JOB) is None
    assert folder.result(JOB) == b"9"
    folder.forget(JOB)
    assert folder.result(JOB) is None


def test_results_that_were_changed_or_exchanged_are_refused(tmp_path: Path) -> None:
    folder, other = JobFolder(str(tmp_path), KEY), Job("square", {"number": 4})
    folder.finish(JOB, b"9")
    path = tmp_path / "results" / JOB.id
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "results" / other.id).write_bytes(path.read_bytes())
    for job in (other, JOB):
        with pytest.raises(IntegrityError, match="was changed, or stored under another key"):
            folder.result(job)
        path.write_bytes(path.read_bytes()[:-1] + b"8")
    digest = folder.put(b"weights")
    (tmp_path / "inputs" / digest).write_bytes(b"others")
    with pytest.raises(IntegrityError, match="changed"):
        folder.input(digest)
    with pytest.raises(IntegrityError):
        JobFolder(str(tmp_path), bytes(31) + b"1").result(JOB)


def test_a_folder_that_cannot_be_opened_is_named() -> None:
    with pytest.raises(InputError, match="--job-folder 'nowhere://jobs' cannot be opened"):
        JobFolder("nowhere://jobs", KEY).put(b"")


def test_inputs_that_no_job_needs_are_removed_and_the_others_stay(folder: JobFolder) -> None:
    first, second, third = (folder.put(content) for content in (b"one", b"two", b"three"))
    folder.remove_inputs(first, third, first)
    for digest in (first, third):
        with pytest.raises(IntegrityError, match=f"input {digest[:12]} of the job folder is missing"):
            folder.input(digest)
    folder.remove_inputs()
    assert folder.input(second) == b"two"
