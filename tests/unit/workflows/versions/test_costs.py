"""What building a network cost: passes counted, memory seen, energy only where a counter can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from support.tiny import tiny

from grmu_audit.models.classifier import counted_forwards
from grmu_audit.tracking.names import COSTS
from grmu_audit.workflows.versions import costs
from grmu_audit.workflows.versions.costs import measured_cost

CPU = torch.device("cpu")


def test_every_sample_of_every_pass_is_counted_while_the_context_lasts() -> None:
    problem = tiny()
    batch = problem.source.take(torch.arange(7))
    with counted_forwards() as outer, torch.no_grad():
        problem.model(batch.pixels)
        with measured_cost(CPU) as cost:
            problem.model(batch.pixels)
            problem.model.features(batch.pixels[:3])
    problem.model(batch.pixels)
    assert (outer.samples, cost.forwards) == (17, 10)


MEASURED = """
import json, torch
from dataclasses import asdict
from grmu_audit.workflows.versions.costs import measured_cost
with measured_cost(torch.device("cpu")) as small:
    pass
with measured_cost(torch.device("cpu")) as large:
    torch.ones(64 << 20)  # 256 MiB
print(json.dumps([asdict(small), asdict(large)]))
"""


def test_time_and_memory_of_the_work_are_seen() -> None:
    """In a process of its own: where the kernel keeps the largest memory for good, earlier tests would hide the work's."""
    found = subprocess.run([sys.executable, "-c", MEASURED], check=True, capture_output=True, text=True).stdout
    small, large = json.loads(found)
    assert large["peak_memory_mib"] > small["peak_memory_mib"] + 200
    assert large["seconds"] > 0
    assert large["processor_seconds"] > 0


def test_energy_is_unknown_where_there_is_no_counter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(costs, "_POWERCAP", tmp_path)
    with measured_cost(CPU) as cost:
        pass
    assert cost.energy_joules is None
    assert set(cost.resources) == {"processor_seconds", "forwards", "peak_memory_mib"}


def test_what_a_failed_work_cost_is_known() -> None:
    with pytest.raises(ValueError, match="diverged"), measured_cost(CPU) as cost:
        raise ValueError("diverged")
    assert cost.seconds > 0


@pytest.mark.parametrize(("before", "after", "joules"), [(5_000_000, 7_500_000, 2.5), (7_000_000, 1_000_000, None)])
def test_energy_is_the_counters_difference_unless_it_overflowed(
    before: int, after: int, joules: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(costs, "_POWERCAP", tmp_path)
    for name, value in (("intel-rapl:0", before), ("intel-rapl:0:0", 1)):  # the second is a part of the first
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(str(value))
    with measured_cost(CPU) as cost:
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text(str(after))
    assert cost.energy_joules == joules


def test_the_registry_knows_the_names_of_all_costs() -> None:
    assert {field.name for field in fields(costs.Cost)} == set(COSTS)
