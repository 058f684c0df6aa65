"""The host reads nothing from the device in a step: twice the steps, as many reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from support.tiny import runtime, tiny

from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods

READS = ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__")
METHODS = ("miu", "scrub", "salun", "l1_sparse", "ft", "rl", "gradient_ascent", "bad_teacher", "delete")


@contextmanager
def counted_reads() -> Iterator[list[str]]:
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in READS:
            real = getattr(torch.Tensor, name)

            def read(self: torch.Tensor, *args: object, name: str = name, real=real, **more: object):  # type: ignore[no-untyped-def]
                found.append(name)
                return real(self, *args, **more)

            patch.setattr(torch.Tensor, name, read)
        yield found


def reads_of_method(name: str, batch: int) -> list[str]:
    problem, method = tiny(), methods.get(name)
    config = method.config(epochs=1, batch_size=batch, optimizer="sgd")  # Adam counts its steps on the host
    with counted_reads() as found:
        apply_method(method, problem.model, problem.data, config, runtime())
    return found


@pytest.mark.parametrize("name", METHODS)
def test_no_step_of_a_method_waits_for_the_device(name: str) -> None:
    many, few = reads_of_method(name, 4), reads_of_method(name, 10)  # 5 and 2 forget batches, 55 and 22 retain batches
    assert sorted(many) == sorted(few)


def test_no_training_step_waits_for_the_device() -> None:
    def reads(batch: int) -> list[str]:
        from grmu_audit.models.classifier import copy_model

        rows = TrainingRows(tiny().data.retain, tiny().data.val)
        with counted_reads() as found:
            fit(copy_model(tiny().model), tiny().source, rows, TrainConfig(epochs=1, batch_size=batch), runtime())
        return found

    assert sorted(reads(10)) == sorted(reads(40))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_no_training_step_waits_for_a_gpu() -> None:
    from dataclasses import replace

    from grmu_audit.data.batches import BatchSource
    from grmu_audit.models.classifier import copy_model
    from grmu_audit.training.runtime import move_to

    device = torch.device("cuda")
    source = BatchSource(tiny().dataset, device)
    model = copy_model(tiny().model)
    move_to(model, device)
    run = replace(runtime(), device=device)
    steps = source.batches(tiny().data.retain, 40, run.generator("order"), augment=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=True)
    taken = 0
    torch.cuda.set_sync_debug_mode("error")  # raises where the processor waits
    try:
        for batch in steps:
            taken += len(batch.rows)
            torch.nn.functional.cross_entropy(model(batch.pixels), batch.target).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert taken == len(tiny().data.retain)
