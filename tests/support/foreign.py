"""Seven checkpoints that somebody else trained: plain PyTorch, own transforms, own evaluation; nothing of the package."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE, RESIZE = 32, 36


@dataclass(frozen=True)
class Foreign:
    """What an owner hands over."""

    name: str
    """Name of the checkpoint."""
    weights: Path
    """Its file."""
    accuracy: float
    """Share of the test samples that the owner's own code gets right."""
    network: tuple[str, ...]
    """Options of ``register`` that name the network."""
    data: tuple[str, ...]
    """Options of ``register`` that name the data and how it is prepared."""


# ---- photographs: files of several sizes with a table of labels


def photographs(folder: Path) -> Path:
    """480 pictures of digits over crops of two photographs, 40 to 56 pixels a side; one group is rare."""
    from sklearn.datasets import load_digits
    from support.layouts import photograph

    digits = load_digits(n_class=6)

    backgrounds = [photograph(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    rows = []
    for index in range(480):
        split = "train" if index < 260 else "val" if index < 360 else "test"
        target = int(digits.target[index] >= 3)
        place = target if rng.random() < (0.8 if split == "train" else 0.5) else 1 - target
        width, height = (int(v) for v in rng.integers(40, 57, 2))
        x, y = (int(rng.integers(0, limit - 60)) for limit in backgrounds[place].size)
        picture = backgrounds[place].crop((x, y, x + width, y + height)).point(lambda value: int(value * 0.6))
        glyph = Image.fromarray((digits.images[index] * 15.9).astype(np.uint8)).resize((30, 30), Image.Resampling.BICUBIC)
        corner = ((width - 30) // 2, (height - 30) // 2)
        picture.paste((255, 255, 255), (*corner, corner[0] + 30, corner[1] + 30), glyph)
        name = f"{split}/{index:04d}.png"
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        picture.save(folder / "images" / name)
        rows.append([name, name, split, ("low", "high")[target], ("town", "garden")[place]])
    return _table(folder, ["id", "path", "split", "digit", "place"], rows)


def _table(folder: Path, header: list[str], rows: list[list[object]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


@cache
def _pictures(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The owner's loading: Pillow, torchvision's transforms, ImageNet's normalisation."""
    from torchvision import transforms

    prepare = transforms.Compose(
        [transforms.Resize(RESIZE), transforms.CenterCrop(SIDE), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    found: dict[str, tuple[list[torch.Tensor], list[int]]] = {"train": ([], []), "val": ([], []), "test": ([], [])}
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            with Image.open(folder / "images" / row["path"]) as image:
                found[row["split"]][0].append(prepare(image.convert("RGB")))
            found[row["split"]][1].append(("high", "low").index(row["digit"]))
    return {split: (torch.stack(images), torch.tensor(labels)) for split, (images, labels) in found.items()}


# ---- a table and texts


def table(folder: Path) -> Path:
    """The Wisconsin breast cancer measurements: 569 rows, 30 columns."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.target))
    splits = np.array(["train"] * 340 + ["val"] * 100 + ["test"] * 129)
    columns = [str(name).replace(" ", "_") for name in data.feature_names]
    median = np.median(data.data[:, 1])
    rows = [
        [f"p{i:03d}", splits[place], ("malignant", "benign")[data.target[i]], ("fine", "coarse")[int(data.data[i, 1] > median)],
         *(repr(float(v)) for v in data.data[i])]
        for place, i in enumerate(order)
    ]  # fmt: skip
    return _table(folder, ["id", "split", "finding", "texture", *columns], rows)


@cache
def _columns(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Raw floats; the owner scales by the training rows, and keeps the scaling in a file."""
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    names = list(rows[0])[4:]
    parts = {split: [row for row in rows if row["split"] == split] for split in ("train", "val", "test")}
    values = {split: torch.tensor([[float(row[name]) for name in names] for row in part]) for split, part in parts.items()}
    mean, std = values["train"].mean(0), values["train"].std(0)
    (folder / "scaling.json").write_text(json.dumps({"mean": mean.tolist(), "std": std.tolist()}))
    return {
        split: ((values[split] - mean) / std, torch.tensor([("benign", "malignant").index(row["finding"]) for row in part]))
        for split, part in parts.items()
    }


def _cells(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Token numbers as BERT's own tokenizer gives them, of the pairs that the metadata place in a split."""
    from tokenizers.implementations import BertWordPieceTokenizer

    base = folder / "multinli_1.0"
    tokenizer = BertWordPieceTokenizer(str(base / "vocab.txt"), lowercase=True)
    pairs = []
    for part in ("train", "dev_matched", "dev_mismatched"):
        lines = (base / f"multinli_1.0_{part}.jsonl").read_text().splitlines()
        pairs += [(tree["sentence1"], tree["sentence2"]) for tree in map(json.loads, lines)]
    found: dict[str, tuple[list[list[int]], list[int]]] = {"train": ([], []), "val": ([], []), "test": ([], [])}
    with (base / "metadata_random.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            split = ("train", "val", "test")[int(row["split"])]
            found[split][0].append(tokenizer.encode(*pairs[int(row[""])]).ids)
            found[split][1].append(int(row["gold_label"]))
    longest = max(len(ids) for ids, _ in found.values() for ids in ids)
    return {
        split: (torch.tensor([row + [0] * (longest - len(row)) for row in ids]), torch.tensor(labels))
        for split, (ids, labels) in found.items()
    }


# ---- networks: what `package.module:function` names is built again by the package from here


def cnn(norm: bool, classes: int = 2) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for width in (16, 32, 64):
        layers += [nn.Conv2d(inputs, width, 3, padding=1), *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Linear(64, classes))


def cnn_with_norm(spec: Any) -> nn.Module:
    return cnn(True, spec.classes)


def cnn_without_norm(spec: Any) -> nn.Module:
    return cnn(False, spec.classes)


def vit(spec: Any = None) -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(SIDE, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=2)


def resnet18() -> nn.Module:
    from torchvision import models

    return models.resnet18(num_classes=2)


def mlp() -> nn.Module:
    inner = [nn.Linear(30, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *inner, nn.Linear(32, 2))


def bert(words: int) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(vocab_size=words, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                   max_position_embeddings=64, num_labels=3)
    )  # fmt: skip


# ---- training and evaluation, as in any notebook

Answer = Callable[[nn.Module, torch.Tensor], torch.Tensor]


def _plain(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = network(inputs)
    return logits


def _text(network: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    ends = (tokens == 3).long()
    second = ((ends.cumsum(1) - ends) > 0) & (tokens != 0)
    logits: torch.Tensor = network(input_ids=tokens, token_type_ids=second.long(), attention_mask=(tokens != 0).long()).logits
    return logits


def train(network: nn.Module, data: dict[str, tuple[torch.Tensor, torch.Tensor]], optimizer: torch.optim.Optimizer, epochs: int,
          answer: Answer = _plain) -> float:  # fmt: skip
    """Train, and return the accuracy on the test samples."""
    inputs, labels = data["train"]
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(inputs), generator=generator).split(32):
            if len(rows) > 1:
                optimizer.zero_grad()
                nn.functional.cross_entropy(answer(network, inputs[rows]), labels[rows]).backward()
                optimizer.step()
    network.eval()
    with torch.no_grad():
        inputs, labels = data["test"]
        return float((answer(network, inputs).argmax(1) == labels).float().mean())


def _sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)


def _adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=1e-3)


CUSTOM = "GRMU_AUDIT_ALLOWED_ARCHITECTURES"
PICTURES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], torch.optim.Optimizer], int, str]] = {
    "resnet18-adamw": (resnet18, _adamw, 8, "resnet18"),
    "cnn-norm-sgd": (lambda: cnn(True), _sgd, 12, "support.foreign:cnn_with_norm"),
    "cnn-sgd": (lambda: cnn(False), _sgd, 25, "support.foreign:cnn_without_norm"),
    "cnn-adamw": (lambda: cnn(False), _adamw, 15, "support.foreign:cnn_without_norm"),
    "vit-adamw": (vit, _adamw, 30, "support.foreign:vit"),
}
NAMES = (*PICTURES, "mlp-adamw", "bert-adamw")
BERT_OPTIONS = {"hidden": 32, "layers": 2, "heads": 2, "intermediate": 64, "positions": 64}


def hand_over(name: str, root: Path) -> Foreign:
    """Train a checkpoint, and write what its owner has: weights, data, transforms."""
    torch.manual_seed(0)
    weights = root / f"{name}.pth"
    if name in PICTURES:
        build, optimizer, epochs, architecture = PICTURES[name]
        folder = root / "photographs"
        if not folder.exists():
            photographs(folder)
        network = build()
        accuracy = train(network, _pictures(folder), optimizer(network), epochs)
        preprocess = root / "preprocess.json"
        preprocess.write_text(json.dumps({"size": SIDE, "resize": RESIZE, "mean": MEAN, "std": STD}))
        torch.save({"state_dict": network.state_dict(), "epoch": epochs}, weights)
        data = ("--data", str(folder / "own.yaml"), "--preprocess", str(preprocess))
        return Foreign(name, weights, accuracy, ("--architecture", architecture), data)
    if name == "mlp-adamw":
        folder = root / "table"
        if not folder.exists():
            table(folder)
        network = mlp()
        accuracy = train(network, _columns(folder), _adamw(network), 20)
        torch.save(network.state_dict(), weights)
        options = ("--architecture", "mlp", "--architecture-option", "hidden=[32,32]")
        return Foreign(
            name, weights, accuracy, options, ("--data", str(folder / "own.yaml"), "--preprocess", str(folder / "scaling.json"))
        )
    from support import multinli

    folder = root / "texts"
    if not folder.exists():
        multinli.write(folder, 900)
    words = len((folder / "multinli_1.0" / "vocab.txt").read_text().splitlines())
    network = bert(words)
    accuracy = train(network, _cells(folder), torch.optim.AdamW(network.parameters(), lr=2e-3), 12, _text)
    torch.save(network.state_dict(), weights)
    options = ("--architecture", "bert", *(f"--architecture-option={key}={value}" for key, value in BERT_OPTIONS.items()))
    return Foreign(name, weights, accuracy, options, ("--data", "multinli", "--data-root", str(folder)))
