"""Each job is done, and its result is handed over once, whatever happens to workers and writer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support.small_jobs import begun, jobs, perform

from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError
from grmu_audit.evidence import load_key
from grmu_audit.jobs import JobFolder, JobOptions, JobRunner, make_executor


@pytest.fixture
def runner(tmp_path: Path) -> JobRunner:
    return JobRunner(JobFolder(str(tmp_path / "jobs"), load_key()), make_executor(JobOptions()), perform)


def test_a_writer_that_stopped_goes_on_without_doing_anything_twice(runner: JobRunner, tmp_path: Path) -> None:
    some = jobs(5, tmp_path / "log")
    results = runner.run(some)
    first = [next(results), next(results)]
    assert [(job.arguments["number"], content) for job, content in first] == [(0, b"0"), (1, b"1")]
    del results
    runner.folder.forget(first[0][0])  # recorded; the second was not
    again = {job.arguments["number"]: content for job, content in runner.run([*some[1:], *some[1:]])}
    assert again == {number: str(number**2).encode() for number in (1, 2, 3, 4)}
    assert [number for number, _ in begun(tmp_path / "log")] == [0, 1, 2, 3, 4]


def test_jobs_are_drawn_when_a_worker_is_free_so_that_a_budget_can_end_them(runner: JobRunner, tmp_path: Path) -> None:
    drawn = []

    def wanted():  # type: ignore[no-untyped-def]
        for job in jobs(5, tmp_path / "log"):
            if len(drawn) == 2:
                return
            drawn.append(job)
            yield job

    assert len(list(runner.run(wanted()))) == 2
    assert len(begun(tmp_path / "log")) == 2


@pytest.mark.parametrize(
    ("fails", "error", "message", "times"),
    [
        ("diverged", DivergedError, "^as told$", 1),
        ("environment", EnvironmentFailure, "gave no result in 3 attempts: as told", 3),
        ("otherwise", EnvironmentFailure, "internal failure: ZeroDivisionError: as told", 3),
    ],
)
def test_failures_of_the_environment_are_tried_again_and_others_are_not(
    runner: JobRunner, tmp_path: Path, fails: str, error: type[Exception], message: str, times: int
) -> None:
    with pytest.raises(error, match=message):
        list(runner.run(jobs(1, tmp_path / "log", fails=fails)))
    assert len(begun(tmp_path / "log")) == times
    with pytest.raises(error):
        list(runner.run(jobs(1, tmp_path / "log", fails=fails)))


def test_a_worker_that_dies_costs_its_own_job_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    runner = JobRunner(JobFolder(str(tmp_path / "jobs"), load_key()), make_executor(JobOptions("process", 2)), perform)
    some = jobs(20, log)
    some[7] = jobs(8, log, dies_once=str(tmp_path / "died"))[7]
    found = [(job.arguments["number"], content) for job, content in runner.run(some)]
    assert sorted(found) == [(number, str(number**2).encode()) for number in range(20)]
    assert Counter(number for number, _ in begun(log)) == Counter({**dict.fromkeys(range(20), 1), 7: 2})
    assert len({process for _, process in begun(log)}) <= 4  # two, one in place of the dead one, one for its job


def test_results_that_are_there_before_anything_runs_are_all_handed_over(runner: JobRunner, tmp_path: Path) -> None:
    some = jobs(3, tmp_path / "log")
    for job in some:
        runner.folder.finish(job, b"before")
    assert sorted((job.arguments["number"], content) for job, content in runner.run(some)) == [(n, b"before") for n in range(3)]
    assert begun(tmp_path / "log") == []


def test_a_worker_does_nothing_twice_and_nothing_without_a_key(
    runner: JobRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs(1, tmp_path / "log")[0]
    task = json.dumps({"folder": runner.folder.url, "job": job.to_text()})
    perform(task)
    perform(task)
    assert len(begun(tmp_path / "log")) == 1
    assert runner.folder.result(job) == b"0"
    runner.folder.forget(job)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "no key"))
    with pytest.raises(
        InputError, match=r"a worker needs the operator's key in .*no key, or GRMU_AUDIT_HMAC_KEY_FILE that points at it"
    ):
        perform(task)
    assert len(begun(tmp_path / "log")) == 1
    assert not (tmp_path / "no key").exists()
