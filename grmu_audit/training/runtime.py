"""Device, precision, seeds: where a run happens and where its random numbers come from."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.training.distributed import World, current_world
from grmu_audit.training.plan import LossTerm
from grmu_audit.utils.progress import SILENT, Observer

EpochLog = Callable[[int, Mapping[str, float]], None]
"""Receives the epoch number and its metrics."""


@dataclass(frozen=True)
class Inference:
    """How forward passes without gradients are computed."""

    precision: str = "fp32"
    """``fp32`` or ``bf16``; the head is computed in fp32 in both."""
    form: str = "plain"
    """``plain``, ``folded`` (batch normalisation folded into the convolutions), or ``compiled``."""
    batch: int | None = None
    """Samples that go through at once; None: by the size of an input (``inference.batch_size``)."""
    compile_from: int | None = None
    """Number of rows from which on compiling pays for itself; None: never."""
    fold_from: int = 0
    """Number of rows from which on folding pays for itself; passes of fewer rows are plain."""
    near_tie: float = 0.0
    """Rows whose two largest logits are nearer than this are computed again in fp32, so that bf16 decides no class."""

    def for_rows(self, count: int) -> Inference:
        """The way for one pass over so many rows."""
        if self.compile_from is not None and count >= self.compile_from:
            return replace(self, form="compiled")
        return replace(self, form="plain") if self.form == "folded" and count < self.fold_from else self


def _no_log(epoch: int, metrics: Mapping[str, float]) -> None:
    """Drop the metrics."""


@dataclass
class Runtime:
    """Settings of a run beside data and model."""

    device: torch.device
    """Device of the tensors."""
    seed: int
    """Root of every generator of the run."""
    precision: str = "fp32"
    """Of passes with gradients: ``fp32`` or ``bf16`` (autocast)."""
    inference: Inference | None = None
    """How passes without gradients are computed; None: plain, in ``precision``."""
    log: EpochLog = _no_log
    """Called after each epoch."""
    title: str = ""
    """Title of the progress of its epochs; empty: they show none."""
    observer: Observer = SILENT
    """Receiver of notes and progress."""
    sample_gradients: int = 0
    """Samples that a gradient was taken for, counted by the loop."""
    seconds_elsewhere: float = 0.0
    """Seconds that another process spent on the network."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts of the run that the record should hold (MINE estimates, stop reasons)."""
    checkpoints: Checkpoints | None = None
    """Where each epoch is stored; None stores none."""
    term: LossTerm | None = None
    """A penalty that is added to the loss of every step."""
    stage: int = 0
    """Number of the next ``run_epochs`` call of this run."""
    rows_read: torch.Tensor | None = None
    """[n] bool marks of the rows that were read, of a ``BatchSource`` that records them; stored with every checkpoint."""
    shard_rows: dict[int, torch.Tensor] = field(default_factory=dict)
    """The same for each member of an ensemble of shards that was trained, by its number."""
    secret: str = field(default="", repr=False)
    """What random terms that protect people depend on beside the seed, from the operator's key; never recorded."""
    world: World = field(default_factory=current_world)
    """The processes of this training."""
    micro_batch: int | None = None
    """Most samples that one backward pass takes; lowered when the GPU's memory is too small."""

    def generator(self, *names: object) -> torch.Generator:
        """A CPU generator for one purpose; the same purpose and seed give the same stream."""
        return torch.Generator().manual_seed(derive_seed(self.seed, *names))

    @property
    def without_gradients(self) -> Inference:
        """How passes without gradients are computed."""
        return self.inference if self.inference is not None else Inference(self.precision)

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Mixed precision where the run uses it."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            yield


def derive_seed(seed: int, *names: object) -> int:
    """An independent 63-bit seed for a named purpose.

    >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1) != derive_seed(0, "order", 2)
    True
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA where there is one, else the CPU.

    Raises:
        InputError: the name is no device, or one of another kind.
        EnvironmentFailure: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        kind, number = torch.device(name).type, torch.device(name).index or 0
    except RuntimeError:
        kind, number = "", 0
    if kind not in ("cpu", "cuda"):
        raise InputError(f"--device {name!r} is no device that is supported: use auto, cpu, cuda or cuda:0")
    if kind == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFailure("--device cuda: no CUDA device is available here; use --device cpu or auto")
    if kind == "cuda" and number >= torch.cuda.device_count():
        raise EnvironmentFailure(f"--device {name}: CUDA devices here are numbered from 0 to {torch.cuda.device_count() - 1}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` is bf16 on CUDA devices that have it, else fp32; what is faster on a CPU is measured (``calibration``)."""
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def move_to(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to the device, in channels_last memory format, which convolutions prefer on both kinds."""
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def hardware(device: torch.device) -> dict[str, str]:
    """Device, threads and library versions, for the record."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": device.type,
        "device_name": name,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "deterministic": "same seed, same bytes on this CPU" if device.type == "cpu" else "not guaranteed on CUDA",
    }
