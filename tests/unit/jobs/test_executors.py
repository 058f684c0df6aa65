"""The same twenty jobs through every executor, one worker being killed in the middle."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_jobs import begun, jobs, perform

import grmu_audit
from grmu_audit.errors import InputError
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
        (JobOptions("process", 2, settings={"num_gpus": 1}), "--executor-option: executor 'process' has none"),
    ],
)
def test_what_does_not_exist_is_refused(options: JobOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_executor(options)


def test_a_package_of_an_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'grmu-audit\[slurm\]'"):
        make_executor(JobOptions("slurm"))
