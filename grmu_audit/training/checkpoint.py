"""Checkpoints: one safetensors file per stage and epoch, written whole or not at all, never pickle.

The file holds weights, optimiser state, the best epoch so far and what the method carries between epochs; its metadata is
the JSON of everything else.  Generators are not stored: each is derived from the seed and the epoch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from grmu_audit.errors import IntegrityError
from grmu_audit.utils import canonical_json, write_atomic

Tensors = dict[str, torch.Tensor]
_META = "progress"


class Stateful(Protocol):
    """What a method carries between epochs beside weights and optimiser, such as estimators or group weights."""

    def state_dict(self) -> Mapping[str, torch.Tensor]:
        """Everything that the next epoch depends on."""
        ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> object:
        """Continue from a stored state."""
        ...


@dataclass(frozen=True)
class Saved:
    """Content of a checkpoint."""

    tensors: Tensors
    """By ``part.name``; parts are ``model``, ``optimizer``, ``best``, ``state`` and ``read``."""
    progress: dict[str, Any]
    """Epochs done, steps done, history, counters and facts."""

    def part(self, name: str) -> Tensors:
        """The tensors of one part, by their own names."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        from safetensors.torch import save

        plain = {name: value.detach().cpu().contiguous().clone() for name, value in self.tensors.items()}
        content: bytes = save(plain, {_META: canonical_json(self.progress).decode()})
        return content

    @classmethod
    def from_bytes(cls, content: bytes) -> Saved:
        """Read what ``to_bytes`` wrote."""
        from safetensors.torch import load

        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return cls(load(content), dict(json.loads(header["__metadata__"][_META])))


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run.

    A file is only read for the run that wrote it: ``key`` is a digest over start weights, data, request, method,
    settings and seed.
    """

    folder: Path
    """Folder of the files."""
    key: str
    """Digest of what the run is."""
    resume: bool = False
    """Whether existing files are continued from; otherwise they are overwritten."""

    def path(self, stage: int) -> Path:
        """File of one stage (one call of ``run_epochs``)."""
        return self.folder / f"stage{stage}.safetensors"

    def save(self, stage: int, tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """Replace the stage's file.

        Raises:
            EnvironmentFailure: the folder cannot be written or the disk is full.
        """
        write_atomic(self.path(stage), Saved(dict(tensors), {"key": self.key, **progress}).to_bytes(), 0o600)

    def load(self, stage: int) -> Saved | None:
        """The stage's checkpoint, or None where there is none or the run starts afresh.

        Raises:
            IntegrityError: the file is damaged, or of another run.
        """
        if not self.resume or not self.path(stage).is_file():
            return None
        saved = _read(self.path(stage))
        if saved.progress.get("key") != self.key:
            raise IntegrityError(
                f"{self.path(stage)} belongs to another run (other weights, data, request, method, settings or seed): "
                "give the options of the interrupted run, or start without --resume"
            )
        return saved

    def found(self) -> bool:
        """Whether there is something to resume."""
        return any(self.folder.glob("stage*.safetensors"))

    def clear(self) -> None:
        """Remove the files: the run is over, or starts afresh."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path) -> Saved:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stream:
            progress = json.loads((stream.metadata() or {})[_META])
            return Saved({name: stream.get_tensor(name) for name in stream.keys()}, dict(progress))  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"checkpoint {path} cannot be read ({type(error).__name__}); start without --resume") from None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """Momentum and the like, as ``<parameter number>.<name>``."""
    return {f"{number}.{name}": value for number, name, value in _slots(optimizer)}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put momentum and the like back, in the memory layout of their parameters."""
    parameters = _parameters(optimizer)
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        slot = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][name] = slot.detach()


def _slots(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, str, torch.Tensor]]:
    for number, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                yield number, name, value


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def prefixed(part: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """``part.name`` for each name."""
    return {f"{part}.{name}": value for name, value in tensors.items()}
