"""Two hosts, as two network namespaces with a cable between them: the processes of one training find each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import grmu_audit

ONE_OF_TWO = """
import torch
from grmu_audit.training.distributed import current_world, join
join(torch.device("cpu"))
world = current_world()
print(world.share(b"a job" if world.rank == 0 else None).decode())
world.wait_for_all()
part = torch.arange(101.0)[world.part(101)]
print(len(part), bool((world.gathered(part, 101) == torch.arange(101.0)).all()))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Names of two namespaces, 10.77.9.1 and 10.77.9.2."""
    names = [f"grmu{os.getpid()}{letter}" for letter in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "cable0", "netns", names[0], "type", "veth", "peer", "name", "cable1", "netns", names[1])
        for number, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.9.{number + 1}/24", "dev", f"cable{number}")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", f"cable{number}", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        subprocess.run(["ip", "netns", "del", names[0]], check=False, capture_output=True)
        pytest.skip(f"network namespaces are not permitted here: {error}")
    yield names
    for name in names:
        ip("netns", "del", name)


def test_processes_on_two_hosts_exchange_a_job_and_share_samples(hosts: list[str], tmp_path: Path) -> None:
    places = {"MASTER_ADDR": "10.77.9.1", "MASTER_PORT": "29512", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    places["PYTHONPATH"] = str(Path(grmu_audit.__file__).parents[1])
    running = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", ONE_OF_TWO],
            env={**os.environ, **places, "RANK": str(rank), "GLOO_SOCKET_IFNAME": f"cable{rank}"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, name in enumerate(hosts)
    ]
    found = [process.communicate(timeout=600) for process in running]
    assert [out.splitlines() for out, _ in found] == [["a job", "50 True"], ["a job", "51 True"]], found
