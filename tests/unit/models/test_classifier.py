"""The classifier and its frozen copy."""

from __future__ import annotations

import torch
from support.tiny import spec

from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import frozen_copy


def test_a_frozen_teacher_is_not_the_student() -> None:
    model = build(spec(), 0)
    teacher = frozen_copy(model)
    with torch.no_grad():
        model.head.weight += 1.0
    assert not torch.equal(teacher.head.weight, model.head.weight)
    assert not any(p.requires_grad for p in teacher.parameters())
