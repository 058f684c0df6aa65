"""One training on several processes: each computes its part of every batch, and gradients are added up.

Every process draws the same global batches from the same seeds and takes a contiguous part of each: the samples of a step do
not depend on the number of processes.  Started by ``torchrun``; without it there is one process, and nothing here acts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import torch
from torch import distributed, nn

from grmu_audit.errors import EnvironmentFailure, first_line

TIMEOUT = timedelta(seconds=300)
"""How long a process waits for another one in a step before the training ends."""
PREPARATION = timedelta(hours=24)
"""How long processes wait until all have their data at hand: images may have to be decoded first."""
BATCHNORM = "statistics of each process's part of a batch; running statistics averaged after each epoch"
"""What batch normalisation does on several processes, for the record."""


@dataclass(frozen=True)
class World:
    """This process among those of one training."""

    rank: int = 0
    """Its number; number 0 alone talks to the tracking server and writes files."""
    size: int = 1
    """Number of processes."""

    def part(self, count: int) -> slice:
        """This process's contiguous share of ``count`` things; the shares are disjoint and leave nothing out.

        >>> [range(101)[World(rank, 2).part(101)] for rank in (0, 1)]
        [range(0, 50), range(50, 101)]
        """
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def gathered(self, part: torch.Tensor, count: int) -> torch.Tensor:
        """[count, ...] the rows of all processes in order, on every process, each once.

        Args:
            part: [n, ...] this process's rows, ``part(count)`` of all.
            count: rows of all processes.
        """
        shares = [World(rank, self.size).part(count) for rank in range(self.size)]
        longest = max(share.stop - share.start for share in shares)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        rows = [torch.empty_like(padded) for _ in shares]
        with _together():
            distributed.all_gather(rows, padded)
        return torch.cat([found[: share.stop - share.start] for found, share in zip(rows, shares, strict=True)])

    def add_gradients(self, model: nn.Module, loss: torch.Tensor, share: float) -> torch.Tensor:
        """Replace each gradient by the sum over processes, weighted by their shares of the batch; returns the loss likewise.

        A parameter that got no gradient on any process keeps none.

        Args:
            model: whose gradients are added up in place.
            loss: of this process's part.
            share: of the batch, in [0, 1]; the shares add up to 1.
        """
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        has = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=loss.device)
        with _together():
            distributed.all_reduce(has)
        moved = [parameter for parameter, count in zip(parameters, has.tolist(), strict=True) if count]
        for parameter in moved:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
        flat = torch.cat([loss.detach().float().reshape(1), *(gradient.reshape(-1) for gradient in gradients)]) * share
        with _together():
            distributed.all_reduce(flat)
        place = 1
        for gradient in gradients:
            gradient.copy_(flat[place : place + gradient.numel()].view(gradient.shape))
            place += gradient.numel()
        return flat[0]

    def average_statistics(self, model: nn.Module) -> None:
        """Replace running statistics, which each process has of its own samples, by their mean over the processes."""
        with _together():
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    distributed.all_reduce(buffer)
                    buffer.div_(self.size)

    def share(self, content: bytes | None) -> bytes | None:
        """What process 0 has, on every process; waits for as long as preparing data may take.

        Args:
            content: of process 0; that of the others is ignored.
        """
        size = torch.tensor([-1 if content is None or self.rank else len(content)])
        with _together():
            distributed.broadcast(size, 0, group=_patient_group())
        if int(size) < 0:
            return None
        buffer = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == 0 and content:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        with _together():
            distributed.broadcast(buffer, 0, group=_patient_group())
        return buffer.numpy().tobytes()

    def wait_for_all(self) -> None:
        """Wait until every process has come to the same place, for as long as preparing data may take."""
        with _together():
            distributed.barrier(group=_patient_group())

    def align(self, model: nn.Module) -> None:
        """Give every process the weights and running statistics of process 0."""
        with _together():
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, 0)


def current_world() -> World:
    """The processes of this training; one where none was started with others."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return World()
    return World(distributed.get_rank(), distributed.get_world_size())


def join(device: torch.device) -> torch.device:
    """Join the processes that ``torchrun`` started.

    Args:
        device: as the operator named it.

    Returns:
        The device of this process: with CUDA, each process of a machine has its own.

    Raises:
        EnvironmentFailure: the others cannot be reached.
    """
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        with _together():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
            _patient_group()
    return device


@cache
def _patient_group() -> distributed.ProcessGroup:
    """All processes, on the CPU, with the time that preparing data takes."""
    group = distributed.new_group(backend="gloo", timeout=PREPARATION)
    assert isinstance(group, distributed.ProcessGroup), "every process belongs to it"
    return group


@contextmanager
def _together() -> Iterator[None]:
    """Turn the end of another process into one clear error.

    Raises:
        EnvironmentFailure: in place of torch's own errors.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        raise EnvironmentFailure(
            f"the processes of this training lost each other ({first_line(error)[:200]}); nothing was registered: start all of "
            "them again with --resume, which goes on after the last whole epoch"
        ) from error
