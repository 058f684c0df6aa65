"""The same twenty jobs through every executor, one worker being killed in the middle."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from support.small_jobs import begun, jobs, perform

import grmu_audit
from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.evidence import load_key
from grmu_audit.jobs import JobFolder, JobOptions, JobRunner, make_executor

PATHS = os.pathsep.join([str(Path(grmu_audit.__file__).parents[1]), str(Path(__file__).parents[2])])


def run_twenty(root: Path, options: JobOptions) -> list[tuple[int, int]]:
    """Twenty results, none twice, though the worker of one dies; returns what was begun where."""
    log, folder = root / "log", JobFolder(str(root / "jobs"), load_key())
    some = jobs(20, log)
    some[7] = jobs(8, log, dies_once=str(root / "died"))[7]
    found = [(job.arguments["number"], content) for job, content in JobRunner(folder, make_executor(options), perform).run(some)]
    assert sorted(found) == [(number, str(number**2).encode()) for number in range(20)]
    assert (root / "died").exists()
    counted = Counter(number for number, _ in begun(log))
    assert counted == Counter({**dict.fromkeys(range(20), 1), 7: 2})
    return begun(log)


def test_slurm_through_submitit_s_local_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'grmu-audit[slurm]'")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    folder = JobFolder(str(tmp_path / "jobs"), load_key())
    options = JobOptions("slurm", 2, settings={"cluster": "local", "log_folder": str(tmp_path / "logs"), "timeout_min": 5})
    some = jobs(2, tmp_path / "log")
    some[1] = jobs(2, tmp_path / "log", dies_once=str(tmp_path / "died"))[1]
    found = [(job.arguments["number"], content) for job, content in JobRunner(folder, make_executor(options), perform).run(some)]
    assert sorted(found) == [(0, b"0"), (1, b"1")]
    assert Counter(number for number, _ in begun(tmp_path / "log")) == Counter({0: 1, 1: 2})


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray cluster of two nodes on this machine; yields its address."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'grmu-audit[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    cluster.add_node(**small)
    try:
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_ray_tasks_on_two_nodes(two_nodes: str, tmp_path: Path) -> None:
    where = run_twenty(tmp_path, JobOptions("ray", 2, settings={"address": two_nodes}))
    assert len({process for _, process in where}) >= 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (JobOptions("threads"), "--executor 'threads' is not known: use local, process, slurm, ray"),
        (JobOptions("process", 0), "0 workers run no job: give at least 1"),
        (JobOptions("process", 2, settings={"num_gpus": 1}), "--executor-option: executor 'process' has none"),
    ],
)
def test_what_does_not_exist_is_refused(options: JobOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_executor(options)


def test_a_package_of_an_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'grmu-audit\[slurm\]'"):
        make_executor(JobOptions("slurm"))


def test_a_caller_that_stops_early_ends_the_processes_that_still_work(tmp_path: Path) -> None:
    folder, log = JobFolder(str(tmp_path / "jobs"), load_key()), tmp_path / "log"
    some = [*jobs(1, log), *jobs(2, log, seconds=600)[1:]]
    results = JobRunner(folder, make_executor(JobOptions("process", 2)), perform).run(some)
    job, content = next(results)
    assert (job.arguments["number"], content) == (0, b"0")
    results.close()  # type: ignore[attr-defined]
    assert active_children() == []
    assert folder.result(some[1]) is None


def test_a_caller_that_stops_early_cancels_the_jobs_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'grmu-audit[slurm]'")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    settings = {"cluster": "local", "log_folder": str(tmp_path / "logs"), "timeout_min": 5}
    folder, log = JobFolder(str(tmp_path / "jobs"), load_key()), tmp_path / "log"
    some = [*jobs(1, log), *jobs(2, log, seconds=600)[1:]]
    results = JobRunner(folder, make_executor(JobOptions("slurm", 2, settings=settings)), perform).run(some)
    assert next(results)[1] == b"0"
    started = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 60, "nobody waits for the job that was cancelled"
    assert folder.result(some[1]) is None


class FakeRay(ModuleType):
    """Ray as far as the executor calls it: a task is done when it is waited for, unless it is the second one."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("ray")
        self.error = error
        self.address: object = "not begun"
        self.asked: list[dict[str, object]] = []
        self.cancelled: list[tuple[int, bool]] = []
        self.tasks: list[Callable[[], None]] = []

    def is_initialized(self) -> bool:
        return self.address != "not begun"

    def init(self, address: object, log_to_driver: bool) -> None:
        if self.error is not None:
            raise self.error
        assert not self.is_initialized()
        self.address = address

    def remote(self, function: Callable[[str], None]) -> SimpleNamespace:
        def begin(task: str) -> int:
            self.tasks.append(lambda: function(task))
            return len(self.tasks) - 1

        def options(**settings: object) -> SimpleNamespace:
            self.asked.append(settings)
            return SimpleNamespace(remote=begin)

        return SimpleNamespace(options=options)

    def wait(self, handles: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        self.tasks[handles[0]]()
        return handles[:num_returns], handles[num_returns:]

    def cancel(self, handle: int, force: bool) -> None:
        self.cancelled.append((handle, force))
        raise RuntimeError("the task has ended already")


def test_ray_is_begun_once_with_the_resources_of_a_task_and_what_is_left_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in: Ray is not installed everywhere, and takes a minute to start."""
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = JobFolder(str(tmp_path / "jobs"), load_key())
    options = JobOptions("ray", 2, settings={"address": "10.0.0.1:6379", "num_cpus": 3})
    results = JobRunner(folder, make_executor(options), perform).run(jobs(3, tmp_path / "log"))
    assert next(results)[1] == b"0"
    assert ray.address == "10.0.0.1:6379"
    assert ray.asked == [{"max_retries": 0, "num_cpus": 3, "scheduling_strategy": "SPREAD"}] * 2
    results.close()  # type: ignore[attr-defined]
    assert ray.cancelled == [(1, True)]
    assert [number for number, _ in begun(tmp_path / "log")] == [0]


def test_a_cluster_that_cannot_be_reached_is_a_failure_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay(ConnectionError("nobody answers at 10.0.0.1")))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    runner = JobRunner(JobFolder(str(tmp_path / "jobs"), load_key()), make_executor(JobOptions("ray")), perform)
    with pytest.raises(EnvironmentFailure, match=r"no Ray cluster could be used: nobody answers at 10.0.0.1"):
        list(runner.run(jobs(1, tmp_path / "log")))
