"""Small networks that estimate the mutual information between features and group: a classifier of the group, and MINE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from grmu_audit.training.checkpoint import load_optimizer, optimizer_tensors


class Estimator(Protocol):
    """Fits a network that gives a lower bound of I(Z; G), and what it needs to be continued."""

    def fit(self, z: torch.Tensor, group: torch.Tensor, steps: int, size: int, generator: torch.Generator) -> int:
        """At most so many steps on random batches of [n, d] features and [n] groups; returns how many were taken."""
        ...

    def information(self, z: torch.Tensor, group: torch.Tensor, marginal: torch.Tensor) -> torch.Tensor:
        """The bound on a batch, in nats, with gradient in z.

        Args:
            z: [b, d] features.
            group: [b] their groups.
            marginal: [b] groups sampled independently of z; not every bound needs them.
        """
        ...

    def state_dict(self) -> Mapping[str, torch.Tensor]:
        """For a checkpoint."""
        ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        ...


class GroupClassifier(nn.Module):
    """q(g | z), and the bound E[log q(g | z) - log p(g)] <= I(Z; G) (Barber and Agakov 2003).

    Since G is discrete with known shares p, this is the Donsker-Varadhan bound of MINE with the statistics
    T(z, g) = log q(g | z) - log p(g), for which log E_p[exp T(z, g')] = log sum_g q(g | z) = 0 for every z: nothing is sampled
    for the second term, so that it adds neither bias nor variance on a small batch, and the bound is tight where q is the
    posterior.  A batch of one group g reads at most -log p(g).

    Args:
        features: width d of z.
        shares: [groups] counts or shares of the groups; a group without samples is never predicted.
        center: [d] mean of z, subtracted before the network.
        scale: [d] spread of z, divided by.
        generator: samples the initial weights.
        hidden: width of the hidden layer.
    """

    def __init__(
        self,
        features: int,
        shares: torch.Tensor,
        center: torch.Tensor,
        scale: torch.Tensor,
        generator: torch.Generator,
        hidden: int = 512,
    ) -> None:
        super().__init__()
        self.center: torch.Tensor
        self.scale: torch.Tensor
        self.prior: torch.Tensor
        self.first, self.second = _two_layers(features, hidden, len(shares), generator)
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.register_buffer("prior", (shares / shares.sum()).clamp_min(1e-12).log().float())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[b, d] features -> [b, groups] of log q; an untrained head gives about log p."""
        hidden = functional.relu(self.first((z - self.center) / self.scale))
        return functional.log_softmax(self.second(hidden) + self.prior, 1)

    def information(self, z: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
        """The bound on a batch, in nats."""
        bound: torch.Tensor = (self(z) - self.prior).gather(1, group[:, None]).mean()
        return bound


class ClassifierTrainer:
    """Fits a ``GroupClassifier`` by Adam until the bound of a held-out quarter stops rising, and keeps its best weights.

    Args:
        network: changed in place.
        learning_rate: of Adam.
    """

    _PATIENCE, _CHECK, _RISE = 3, 25, 1e-3
    """Checks without a rise before it stops; steps between checks; nats that count as a rise."""

    def __init__(self, network: GroupClassifier, learning_rate: float) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)

    def information(self, z: torch.Tensor, group: torch.Tensor, marginal: torch.Tensor) -> torch.Tensor:
        """The bound on a batch, in nats; ``marginal`` is not needed."""
        return self.network.information(z, group)

    def fit(self, z: torch.Tensor, group: torch.Tensor, steps: int, size: int, generator: torch.Generator) -> int:
        """Until the held-out bound stops rising, at most so many steps; returns how many were taken."""
        z, order = z.detach(), torch.randperm(len(z), generator=generator).to(z.device)
        held, own = order[: len(z) // 4], order[len(z) // 4 :]
        best, state, waited = -math.inf, self.network.state_dict(), 0
        for step in range(steps + 1):
            if len(held) and step % self._CHECK == 0:
                with torch.no_grad():
                    bound = float(self.network.information(z[held], group[held]))
                waited = 0 if bound > best + self._RISE else waited + 1
                if waited == 0:
                    best, state = bound, {name: value.clone() for name, value in self.network.state_dict().items()}
                if waited == self._PATIENCE:
                    break
            if step < steps:
                rows = own[torch.randint(len(own), (min(size, len(own)),), generator=generator).to(z.device)]
                self._step(z[rows], group[rows])
        if len(held):
            self.network.load_state_dict(state)
        return min(step, steps)

    def _step(self, z: torch.Tensor, group: torch.Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss = -self.network.information(z, group)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Network and moments, for a checkpoint."""
        return _state(self.network, self.optimiser)

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        _load(self.network, self.optimiser, state)


def _two_layers(inputs: int, hidden: int, outputs: int, generator: torch.Generator) -> tuple[nn.Linear, nn.Linear]:
    layers = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    for layer in layers:
        bound = 1.0 / math.sqrt(layer.in_features)
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layers


def _state(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    return state | {f"optimizer.{name}": value for name, value in optimizer_tensors(optimiser).items()}


def _load(network: nn.Module, optimiser: torch.optim.Optimizer, state: Mapping[str, torch.Tensor]) -> None:
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "optimizer": {}}
    for name, value in state.items():
        part, _, key = name.partition(".")
        if key:
            parts[part][key] = value
    network.load_state_dict(parts["network"])
    load_optimizer(optimiser, parts["optimizer"])


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
        self.first, self.second = _two_layers(features + groups, hidden, 1, generator)
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)

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
    """

    RATE = 0.01
    """Weight of the newest batch in the average."""

    def __init__(self, mine: Mine, learning_rate: float) -> None:
        self.mine = mine
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
        old, new = math.log1p(-self.RATE), math.log(self.RATE)
        self.log_average = torch.logaddexp(self.log_average + old, now + new)
        loss = torch.exp(current - self.log_average) - joint
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.mine.parameters(), 1.0)
        self.optimiser.step()

    def information(self, z: torch.Tensor, group: torch.Tensor, marginal: torch.Tensor) -> torch.Tensor:
        """The bound on a batch, in nats."""
        return self.mine.information(z, group, marginal)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Network, momentum and average, for a checkpoint."""
        state = _state(self.mine, self.optimiser)
        return state if self.log_average is None else {**state, "log_average": self.log_average}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        _load(self.mine, self.optimiser, state)
        self.log_average = state["log_average"].to(self.mine.center.device) if "log_average" in state else None

    def fit(self, z: torch.Tensor, group: torch.Tensor, steps: int, size: int, generator: torch.Generator) -> int:
        """Many steps on random batches of [n, d] features; g' is a permutation of each batch's groups."""
        for _ in range(steps):
            rows = torch.randint(len(z), (min(size, len(z)),), generator=generator).to(z.device)
            shuffled = rows[torch.randperm(len(rows), generator=generator).to(z.device)]
            self.step(z[rows], group[rows], group[shuffled])
        return steps
