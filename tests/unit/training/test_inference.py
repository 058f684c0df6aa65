"""Passes that do not fit into the memory, and rows near a tie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tiny import runtime, tiny
from torch import nn

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Inference

ROWS = np.arange(40, dtype=np.int64)


class Small(nn.Module):
    """A body on a device whose memory holds so many samples."""

    def __init__(self, body: nn.Module, most: int) -> None:
        super().__init__()
        self.body, self.most = body, most
        self.taken: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.taken.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        found: torch.Tensor = self.body(x)
        return found


def on_small_device(most: int) -> tuple[Classifier, Small]:
    plain = copy_model(tiny().model)
    body = Small(plain.body, most)
    return Classifier(body, plain.head, plain.spec).train(), body


def test_a_pass_that_does_not_fit_is_repeated_with_half_the_batch() -> None:
    model, body = on_small_device(12)
    found = infer(model, tiny().source, ROWS, runtime(), size=32)
    assert torch.allclose(found, infer(tiny().model, tiny().source, ROWS, runtime()), atol=1e-5)
    assert body.taken == [32, 16, 8, 8, 8, 8, 8]
    assert model.training


def test_memory_that_holds_no_sample_is_an_environment_failure() -> None:
    model, body = on_small_device(0)
    with pytest.raises(EnvironmentFailure, match="out of GPU memory with a single sample: free the device, or use --device cpu"):
        infer(model, tiny().source, ROWS, runtime(), size=4)
    assert body.taken == [4, 2, 1]
    assert model.training


@pytest.mark.parametrize(("distance", "passes"), [(1e-9, 1), (1e9, 2)])
def test_only_rows_near_a_tie_go_through_the_network_again(distance: float, passes: int) -> None:
    model, body = on_small_device(100)
    run = runtime()
    run.inference = Inference("bf16", near_tie=distance)
    found = infer(model, tiny().source, ROWS, run)
    assert body.taken == [len(ROWS)] * passes
    exact = infer(tiny().model, tiny().source, ROWS, runtime())
    assert torch.allclose(found, exact, atol=1e-5) is (passes == 2)
