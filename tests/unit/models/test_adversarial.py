"""Attacks on inputs by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from grmu_audit.models.adversarial import fgsm, pgd_l2


class Line(nn.Module):
    """Logit 0 = -x, logit 1 = x, of the mean pixel about one half."""

    spec = SimpleNamespace(kind="image")

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - 0.5).mean((1, 2, 3))

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return torch.stack([-features, features], 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(pixels))


def test_fgsm_steps_by_its_radius_in_pixels_and_stays_in_range() -> None:
    pixels = torch.full((2, 1, 2, 2), 0.55)
    stepped = fgsm(Line(), pixels, torch.tensor([1, 0]), 0.1)  # type: ignore[arg-type]
    assert torch.allclose(stepped[0], torch.tensor(0.45))
    assert torch.allclose(stepped[1], torch.tensor(0.65))
    assert float(fgsm(Line(), torch.ones(1, 1, 2, 2), torch.tensor([0]), 0.3).max()) == 1.0  # type: ignore[arg-type]


def test_pgd_stays_in_its_ball_and_crosses_the_boundary_when_it_can() -> None:
    pixels = torch.full((1, 1, 2, 2), 0.55)  # the boundary is 0.05 * 2 = 0.1 away in L2
    near = pgd_l2(Line(), pixels, torch.tensor([1]), torch.tensor([0.09]), 50)  # type: ignore[arg-type]
    far = pgd_l2(Line(), pixels, torch.tensor([1]), torch.tensor([0.12]), 50)  # type: ignore[arg-type]
    assert float((near - pixels).norm()) == pytest.approx(0.09, abs=1e-5)
    assert int(Line()(near).argmax()) == 1
    assert int(Line()(far).argmax()) == 0
