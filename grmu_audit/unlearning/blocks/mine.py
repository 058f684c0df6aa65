"""MINE: a small network that estimates the mutual information between features and group."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from grmu_audit.training.checkpoint import load_optimizer, optimizer_tensors


class Mine(nn.Module):
    """Statistics network T(z, g) and its Donsker-Varadhan bound.

    I(Z; G) >= E_joint[T(z, g)] - log E_marginals[exp T(z, g')], with g' sampled independently of z (Belghazi et al. 2018).

    Args:
        features: width d of z.
        groups: number of groups.
        center: [d] mean of z, subtracted before the network.
        scale: [d] spread of z, divided by.
        generator: samples the initial weights.
        hidden: width of the hidden layer.
    """

    def __init__(
        self, features: int, groups: int, center: torch.Tensor, scale: torch.Tensor, generator: torch.Generator, hidden: int = 512
    ) -> None:
        super().__init__()
        self.center: torch.Tensor
        self.scale: torch.Tensor
        self.groups = groups
        self.first = nn.Linear(features + groups, hidden)
        self.second = nn.Linear(hidden, 1)
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        for layer in (self.first, self.second):
            bound = 1.0 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, z: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
        """[b, d] features and [b] group codes -> [b] scores."""
        encoded = functional.one_hot(group, self.groups).to(z.dtype)
        joint = torch.cat([(z - self.center) / self.scale, encoded], dim=1)
        score: torch.Tensor = self.second(functional.relu(self.first(joint))).squeeze(1)
        return score

    def information(self, z: torch.Tensor, group: torch.Tensor, marginal: torch.Tensor) -> torch.Tensor:
        """The bound on a batch, in nats; may be negative on few samples.

        Args:
            z: [b, d] features.
            group: [b] their groups.
            marginal: [b] groups sampled independently of z.
        """
        bound: torch.Tensor = self(z, group).mean() - log_mean_exp(self(z, marginal))
        return bound


def log_mean_exp(scores: torch.Tensor) -> torch.Tensor:
    """log((1/n) sum exp s), stable for large scores."""
    return torch.logsumexp(scores, 0) - math.log(len(scores))


class MineTrainer:
    """Fits a ``Mine`` by SGD with the bias-corrected gradient of its second term.

    d/dT log E[exp T] is estimated as E[exp T dT] / ema(E[exp T]) with an exponential moving average in the
    denominator (MINE, section 3.2); the average is held in log space, so that large scores do not overflow.

    Args:
        mine: the network, changed in place.
        learning_rate: SGD with momentum 0.9.
        rate: weight of the newest batch in the average.
    """

    def __init__(self, mine: Mine, learning_rate: float, rate: float = 0.01) -> None:
        self.mine = mine
        self.rate = rate
        self.log_average: torch.Tensor | None = None
        self.optimiser = torch.optim.SGD(mine.parameters(), lr=learning_rate, momentum=0.9)

    def step(self, z: torch.Tensor, group: torch.Tensor, marginal: torch.Tensor) -> None:
        """One step on a batch of [b, d] features; z gets no gradient."""
        z = z.detach()
        joint = self.mine(z, group).mean()
        current = log_mean_exp(self.mine(z, marginal))
        now = current.detach()
        if self.log_average is None:
            self.log_average = now
        old, new = math.log1p(-self.rate), math.log(self.rate)
        self.log_average = torch.logaddexp(self.log_average + old, now + new)
        loss = torch.exp(current - self.log_average) - joint
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.mine.parameters(), 1.0)
        self.optimiser.step()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Network, momentum and average, for a checkpoint."""
        state = {f"mine.{name}": value for name, value in self.mine.state_dict().items()}
        state |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimiser).items()}
        return state if self.log_average is None else {**state, "log_average": self.log_average}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        parts: dict[str, dict[str, torch.Tensor]] = {"mine": {}, "optimizer": {}}
        for name, value in state.items():
            part, _, key = name.partition(".")
            if key:
                parts[part][key] = value
        self.mine.load_state_dict(parts["mine"])
        load_optimizer(self.optimiser, parts["optimizer"])
        self.log_average = state["log_average"].to(self.mine.center.device) if "log_average" in state else None

    def fit(self, z: torch.Tensor, group: torch.Tensor, steps: int, size: int, generator: torch.Generator) -> None:
        """Many steps on random batches of [n, d] features; g' is a permutation of each batch's groups."""
        for _ in range(steps):
            rows = torch.randint(len(z), (min(size, len(z)),), generator=generator).to(z.device)
            shuffled = rows[torch.randperm(len(rows), generator=generator).to(z.device)]
            self.step(z[rows], group[rows], group[shuffled])
