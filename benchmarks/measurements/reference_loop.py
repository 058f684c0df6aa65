"""The loop that published unlearning code consists of, as a reference: files decoded for each access, four splits every epoch.

Pillow, torchvision transforms, a new DataLoader with two workers for each pass, batches of 32, NCHW, optional bf16 autocast,
three ``.item()`` a step.  The methods are written as their papers' code has them: teachers and original features are computed in
each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from grmu_audit.data.listing import Listing
from grmu_audit.unlearning.blocks.information import Mine, MineTrainer

BATCH, WORKERS = 32, 2
UNLEARNING_RATE = 1e-3
"""Learning rate of unlearning; MIU diverges at that of training on either side."""
TREES = (20, 50, 100)
"""Sizes of the forests of the membership attack, each with two criteria."""
Rows = npt.NDArray[np.int64]
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Model, pixels, target and group of a batch to its loss."""


class Files(TorchDataset[tuple[torch.Tensor, int, int]]):
    """Decode and transform on each access."""

    def __init__(self, listing: Listing, rows: Rows, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths = [Path(listing.root / listing.paths[row]) for row in rows]
        target, attribute = (listing.frame[name].to_numpy(dtype=np.int64)[rows] for name in ("target", "attribute"))
        self.target, self.group = target.tolist(), (2 * target + attribute).tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return self.transform(Image.open(self.paths[index]).convert("RGB")), self.target[index], self.group[index]


@dataclass
class ReferenceLoop:
    """Trains, unlearns and evaluates a torchvision ResNet-18."""

    listing: Listing
    splits: Mapping[str, Rows]
    """Rows of retain, forget, val and test."""
    size: int
    precision: str
    learning_rate: float = 0.01
    forwards: int = 0
    """Samples that were evaluated."""
    losses: list[float] = field(default_factory=list)

    def network(self) -> nn.Module:
        from torchvision import models

        torch.manual_seed(0)
        return models.resnet18(num_classes=2)  # type: ignore[no-any-return]

    def loader(self, rows: Rows, train: bool) -> DataLoader[Any]:
        from torchvision import transforms as T

        geometry = [T.RandomResizedCrop(self.size), T.RandomHorizontalFlip()] if train else [T.Resize((self.size, self.size))]
        chain = T.Compose([*geometry, T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)])
        return DataLoader(Files(self.listing, rows, chain), batch_size=BATCH, shuffle=train, num_workers=WORKERS)

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16")

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, npt.NDArray[np.float64]]:
        """Loss of every sample of the four splits, with accuracies by group on the way."""
        model.eval()
        found = {}
        for name, rows in self.splits.items():
            each: list[torch.Tensor] = []
            right, losses, groups = 0.0, [], [[0.0, 0.0] for _ in range(4)]
            for pixels, target, group in self.loader(rows, train=False):
                with self.autocast():
                    logits = model(pixels)
                loss = functional.cross_entropy(logits.float(), target, reduction="none")
                losses.append(loss.mean().item())
                correct = logits.argmax(1) == target
                right += correct.sum().item()
                for code in range(4):
                    groups[code][0] += correct[group == code].sum().item()
                    groups[code][1] += (group == code).sum().item()
                each.append(loss)
            self.forwards += len(rows)
            found[name] = torch.cat(each).double().numpy()
        return found

    @torch.no_grad()
    def equalised_odds(self, model: nn.Module) -> float:
        """A pass of its own in fp32, counted sample by sample."""
        hits: dict[tuple[int, int], list[int]] = {}
        for pixels, target, group in self.loader(self.splits["test"], train=False):
            predicted = model(pixels).argmax(1)
            for i in range(len(target)):
                cell = hits.setdefault((target[i].item(), group[i].item() % 2), [])
                cell.append(int(predicted[i].item() == 1))
        rates = {cell: float(np.mean(values)) for cell, values in hits.items()}
        return max(abs(rates.get((t, 0), 0.0) - rates.get((t, 1), 0.0)) for t in (0, 1))

    @staticmethod
    def membership(losses: Mapping[str, npt.NDArray[np.float64]]) -> list[float]:
        """Six random forests that tell training samples from test samples by their loss."""
        from sklearn.ensemble import RandomForestClassifier

        x = np.concatenate([losses["retain"], losses["test"]])[:, None]
        y = np.concatenate([np.ones(len(losses["retain"])), np.zeros(len(losses["test"]))])
        scores = []
        for criterion in ("gini", "entropy"):
            for trees in TREES:
                forest = RandomForestClassifier(trees, criterion=criterion, random_state=0).fit(x, y)
                scores.append(float(forest.predict(losses["forget"][:, None]).mean()))
        return scores

    def finish(self, model: nn.Module) -> None:
        """What is measured of a model at the end."""
        losses = self.evaluate(model)
        self.equalised_odds(model)
        self.membership(losses)

    def epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer, rows: Rows, loss: Loss, mask: Any = None) -> None:
        """One pass with gradients."""
        model.train()
        losses: list[float] = []
        for pixels, target, group in self.loader(rows, train=True):
            optimizer.zero_grad()
            with self.autocast():
                value = loss(model, pixels, target, group)
            value.backward()  # type: ignore[no-untyped-call]
            if mask is not None:
                for name, parameter in model.named_parameters():
                    if parameter.grad is not None:
                        parameter.grad *= mask[name]
            optimizer.step()
            losses.append(value.item())
            self.losses.append(value.detach().item())
            _ = (sum(losses) / len(losses), value.item())

    def train(self, rows: Rows, epochs: int) -> nn.Module:
        """From fresh weights, all splits evaluated after every epoch and at the end."""
        model = self.network()
        optimizer = self.optimizer(model)
        for _ in range(epochs):
            self.epoch(model, optimizer, rows, cross_entropy)
            self.evaluate(model)
        self.finish(model)
        return model

    def optimizer(self, model: nn.Module, learning_rate: float | None = None) -> torch.optim.Optimizer:
        rate = self.learning_rate if learning_rate is None else learning_rate
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)

    def unlearn(self, original: nn.Module, method: str, epochs: int) -> nn.Module:
        """By a method, all splits evaluated after every epoch, and the retrained model once more at the end."""
        model = self.network()
        model.load_state_dict(original.state_dict())
        optimizer, retain, forget = self.optimizer(model, UNLEARNING_RATE), self.splits["retain"], self.splits["forget"]
        run = METHODS[method](original.eval())
        for epoch in range(epochs):
            run.epoch(self, model, optimizer, retain, forget, epoch)
            self.evaluate(model)
        self.finish(model)
        self.evaluate(original)
        return model


def cross_entropy(model: nn.Module, pixels: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(pixels), target)


def features(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """[b, 512] before the last layer."""
    body = nn.Sequential(*list(model.children())[:-1])
    return body(pixels).flatten(1)  # type: ignore[no-any-return]


class Miu:
    """Forget features uninformative of the group, retain features as informative as the original's, which run in each step."""

    forget_epochs = 5

    def __init__(self, original: nn.Module) -> None:
        self.original = original
        nets = [Mine(512, 4, torch.zeros(512), torch.ones(512), torch.Generator().manual_seed(k)) for k in range(2)]
        self.now, self.before = (MineTrainer(net, 0.01) for net in nets)

    def unlearning(self, model: nn.Module, pixels: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
        z = features(model, pixels).float()
        other = group[torch.randperm(len(group))]
        self.now.step(z, group, other)
        return self.now.mine.information(z, group, other).clamp_min(0.0)

    def retaining(self, model: nn.Module, pixels: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
        z = features(model, pixels)
        with torch.no_grad():
            z0 = features(self.original, pixels).float()
        other = group[torch.randperm(len(group))]
        self.now.step(z.float(), group, other)
        self.before.step(z0, group, other)
        gap = self.now.mine.information(z.float(), group, other) - self.before.mine.information(z0, group, other).detach()
        return functional.cross_entropy(model.fc(z), target) + gap.square()  # type: ignore[operator]

    def epoch(
        self, loop: ReferenceLoop, model: nn.Module, optimizer: torch.optim.Optimizer, retain: Rows, forget: Rows, number: int
    ) -> None:
        if number < self.forget_epochs:
            loop.epoch(model, optimizer, forget, self.unlearning)
        loop.epoch(model, optimizer, retain, self.retaining)


class Scrub:
    """Away from the teacher on the forget set, near it on the retain set."""

    forget_epochs = 3

    def __init__(self, original: nn.Module) -> None:
        self.original = original

    def distance(self, model: nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(pixels)
        with torch.no_grad():
            teacher = self.original(pixels)
        student = functional.log_softmax(logits.float() / 4, 1)
        return logits, 16 * functional.kl_div(student, functional.softmax(teacher.float() / 4, 1), reduction="batchmean")

    def epoch(
        self, loop: ReferenceLoop, model: nn.Module, optimizer: torch.optim.Optimizer, retain: Rows, forget: Rows, number: int
    ) -> None:
        def near(model: nn.Module, pixels: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
            logits, distance = self.distance(model, pixels)
            return 0.99 * functional.cross_entropy(logits, target) + 0.1 * distance

        if number < self.forget_epochs:
            loop.epoch(model, optimizer, forget, lambda model, pixels, target, group: -self.distance(model, pixels)[1])
        loop.epoch(model, optimizer, retain, near)


class SalUn:
    """Random labels under a mask of the most salient half of the weights."""

    def __init__(self, original: nn.Module) -> None:
        self.original = original
        self.mask: dict[str, torch.Tensor] = {}

    def epoch(
        self, loop: ReferenceLoop, model: nn.Module, optimizer: torch.optim.Optimizer, retain: Rows, forget: Rows, number: int
    ) -> None:
        if not self.mask:
            for pixels, target, _ in loop.loader(forget, train=False):
                functional.cross_entropy(self.original(pixels), target).backward()  # type: ignore[no-untyped-call]
            slopes = {name: p.grad.abs() for name, p in self.original.named_parameters() if p.grad is not None}
            bound = torch.cat([slope.flatten() for slope in slopes.values()]).median()
            self.mask = {name: (slope >= bound).float() for name, slope in slopes.items()}
        loop.epoch(model, optimizer, forget, random_labels, self.mask)
        loop.epoch(model, optimizer, retain, cross_entropy, self.mask)


def random_labels(model: nn.Module, pixels: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(pixels), torch.randint(2, target.shape))


class L1Sparse:
    """Fine-tuning with an L1 penalty."""

    def __init__(self, original: nn.Module) -> None:
        pass

    def epoch(
        self, loop: ReferenceLoop, model: nn.Module, optimizer: torch.optim.Optimizer, retain: Rows, forget: Rows, number: int
    ) -> None:
        def sparse(model: nn.Module, pixels: torch.Tensor, target: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
            norm = torch.cat([p.view(-1) for p in model.parameters()]).norm(p=1)
            return functional.cross_entropy(model(pixels), target) + 5e-4 * norm  # type: ignore[no-any-return]

        loop.epoch(model, optimizer, retain, sparse)


METHODS: dict[str, Any] = {"miu": Miu, "scrub": Scrub, "salun": SalUn, "l1_sparse": L1Sparse}
