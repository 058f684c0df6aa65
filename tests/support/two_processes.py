"""A training and an evaluation that one process and two processes do alike."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors.torch import save_file
from support.tiny import CPU, dataset, spec
from torch.nn import functional

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training import distributed
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.inference import infer
from grmu_audit.training.loop import run_epochs, steps_of
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

SAMPLES = 101
SETTINGS = MappingProxyType({"epochs": 2, "batch_size": 30, "learning_rate": 0.02})


@cache
def problem() -> UnlearningData:
    """101 rows, of which 20 are to be forgotten."""
    train, val = dataset().rows("train")[:SAMPLES], dataset().rows("val")[:30]
    return UnlearningData(BatchSource(dataset(), CPU), train[20:], train[:20], val)


def work(root: Path) -> None:
    """Everything that is compared, written to ``root`` by each process."""
    rank = distributed.current_world().rank
    found = {f"{name}/{key}": value for name, model in trained(root).items() for key, value in model.state_dict().items()}
    taken: list[int] = []
    source = BatchSource(dataset(), CPU)
    take = source.take
    source.take = lambda rows, generator=None: (taken.extend(rows.tolist()), take(rows, generator))[1]  # type: ignore[method-assign]
    logits = infer(build(spec(), 0), source, np.arange(SAMPLES, dtype=np.int64), runtime(), size=16)
    found |= {"logits": logits, "taken": torch.tensor(taken)}
    save_file({name: value.contiguous() for name, value in found.items()}, root / f"rank{rank}.safetensors")


def runtime() -> Runtime:
    return Runtime(CPU, 3)


def trained(root: Path) -> dict[str, Classifier]:
    """Without normalisation over batches, with frozen statistics, interrupted and resumed, and by a method."""
    data, header = problem(), dataset().header
    rows = TrainingRows(np.concatenate([data.forget, data.retain]), data.val)
    options = {"dim": 16, "depth": 1, "heads": 2, "head_dim": 8, "mlp": 16, "patch": 8, "dropout": 0.0}
    vit = ModelSpec("small_vit", 2, header.image_size, header.mean, header.std, header.class_names, options)
    config = TrainConfig(**SETTINGS)
    return {
        "vit": fit(build(vit, 0), data.source, rows, config, runtime()),
        "frozen": frozen(rows, config),
        "resumed": resumed(root, rows, config),
        "miu": apply_method(
            methods.get("miu"),
            build(spec(), 0),
            data,
            methods.get("miu").config(epochs=1, forget_epochs=1, estimator_steps=2, estimator_steps_first=2),
            runtime(),
        ),
    }


def frozen(rows: TrainingRows, config: TrainConfig, at: Runtime | None = None, stop: int | None = None) -> Classifier:
    """Batch normalisation by its running statistics, which do not move."""
    own, model = at or runtime(), build(spec(), 1)

    def loss(batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(model.eval()(batch.pixels), batch.target)

    def plan(epoch: int) -> list[Phase]:
        generator = own.generator("train", epoch)
        batches = lambda: problem().source.batches(rows.train, config.batch_size, generator, augment=True)  # noqa: E731
        return [Phase("train", batches, loss, steps_of(rows.train, config.batch_size))]

    return run_epochs(model, plan, config, own, Hooks(stop=None if stop is None else lambda epoch: epoch == stop))


def resumed(root: Path, rows: TrainingRows, config: TrainConfig) -> Classifier:
    """Stopped after one epoch; only process 0 has the checkpoint."""
    place = Checkpoints(root / "checkpoints", "key", resume=True) if distributed.current_world().rank == 0 else None
    first, second = runtime(), runtime()
    first.checkpoints = second.checkpoints = place
    frozen(rows, config, first, stop=1)
    return frozen(rows, config, second)


def process(rank: int, root: Path) -> None:
    """One of two."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{root / 'store'}", rank=rank, world_size=2)
    work(root)
    torch.distributed.barrier()
