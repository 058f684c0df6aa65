"""The cost of a network or an audit: time, processor time, forward passes, memory, and energy where the device reports it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.records import ModelRef

if TYPE_CHECKING:
    import torch

_POWERCAP = Path("/sys/class/powercap")
_MEBIBYTE = 1 << 20


@dataclass
class Cost:
    """Resources that some work took; filled in when it is done."""

    seconds: float = 0.0
    """Wall time."""
    processor_seconds: float = 0.0
    """Of all threads of the process, user and system."""
    forwards: int = 0
    """Samples that went through a network, every pass counted; after ``--resume`` those of the last process."""
    peak_memory_mib: float = 0.0
    """Largest memory in MiB: of the GPU where the work ran on one, else of the process."""
    energy_joules: float | None = None
    """By the counters of the GPU or of the processor packages, other programs included; None where there are none to read."""

    @property
    def resources(self) -> dict[str, float]:
        """What a version's record, and the run of an audit, hold beside ``seconds``, rounded."""
        found = {key: value for key, value in asdict(self).items() if key != "seconds" and value is not None}
        return {key: round(value, 1) for key, value in found.items()}


def recorded_seconds(ref: ModelRef) -> float | None:
    """Seconds that building a version's network took, by its record; None where it says nothing."""
    seconds = ref.config.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else None


@contextmanager
def measured_cost(device: torch.device | None) -> Iterator[Cost]:
    """Measure the work that is done while the context lasts.

    Args:
        device: where the networks are; None: nothing is known of them, passes are not counted, and PyTorch is not loaded.

    >>> import torch
    >>> with measured_cost(torch.device("cpu")) as cost:
    ...     _ = sum(range(1000))
    >>> cost.seconds > 0, cost.forwards, cost.peak_memory_mib > 1
    (True, 0, True)
    """
    cost, energy = Cost(), _energy(device)
    _reset_peak(device)
    start, processor = time.perf_counter(), time.process_time()
    with _forwards(cost) if device is not None else nullcontext():
        try:
            yield cost
        finally:
            cost.seconds, cost.processor_seconds = time.perf_counter() - start, time.process_time() - processor
            cost.peak_memory_mib = _peak(device) / _MEBIBYTE
            after = _energy(device)
            spent = None if energy is None or after is None else after - energy
            cost.energy_joules = spent if spent is not None and spent >= 0 else None  # a counter of a processor may overflow


@contextmanager
def _forwards(cost: Cost) -> Iterator[None]:
    from grmu_audit.models.classifier import counted_forwards

    with counted_forwards() as forwards:
        try:
            yield
        finally:
            cost.forwards = forwards.samples


def _reset_peak(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of the process starts again


def _peak(device: torch.device | None) -> float:
    """Bytes."""
    if device is not None and device.type == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _energy(device: torch.device | None) -> float | None:
    """Joules on the counter of the device; None where it has none that may be read."""
    if device is not None and device.type == "cuda":
        with suppress(Exception):  # the library that reads the counter is not installed, or the GPU has none
            nvml = import_module("pynvml")
            nvml.nvmlInit()
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByIndex(device.index or 0))) / 1e3
        return None
    packages = sorted(_POWERCAP.glob("intel-rapl:[0-9]*/energy_uj"))
    try:
        found = [int(path.read_text()) / 1e6 for path in packages if path.parent.name.count(":") == 1]
    except (OSError, ValueError):
        return None
    return sum(found) if found else None
