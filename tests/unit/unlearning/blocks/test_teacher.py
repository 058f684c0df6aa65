"""A teacher that is asked once gives the answers of one that is asked in each step."""

from __future__ import annotations

import numpy as np
import torch
from support.tiny import runtime, tiny

from grmu_audit.training.config import TrainConfig
from grmu_audit.unlearning.blocks.teacher import OriginalFeatures, Teacher


def made(*, augment: bool) -> tuple[Teacher, list[int]]:
    problem, asked = tiny(), list[int]()
    rows = np.concatenate([problem.data.forget, problem.data.forget[:3]])
    teacher = Teacher(problem.model, problem.data, rows, TrainConfig(augment=augment), runtime())
    teacher.network.body.register_forward_hook(lambda module, inputs, output: asked.append(len(inputs[0])))
    return teacher, asked


def test_without_augmentation_no_step_asks_the_network() -> None:
    teacher, asked = made(augment=False)
    batch = tiny().source.take(torch.from_numpy(tiny().data.forget[4:9]))
    with torch.no_grad():
        expected = tiny().model.eval()(batch.pixels)
    assert torch.allclose(teacher(batch), expected, atol=1e-5)
    assert asked == []


def test_augmented_inputs_are_what_the_teacher_sees() -> None:
    teacher, asked = made(augment=True)
    batch = tiny().source.take(torch.from_numpy(tiny().data.forget[4:9]), torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = tiny().model.eval()(batch.pixels)
    assert torch.equal(teacher(batch), expected)
    assert asked == [5]
    assert not teacher(batch).requires_grad


def test_original_features_are_those_before_the_head() -> None:
    """Of the augmented inputs where these are augmented, so that MIU's target and estimate see the same pixels."""
    problem = tiny()
    batch = problem.source.take(torch.from_numpy(problem.data.forget[4:9]), torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = problem.model.eval().features(batch.pixels)
    asked = OriginalFeatures(problem.model, problem.data, problem.data.forget, TrainConfig(augment=True), runtime())
    assert torch.equal(asked(batch), expected)
