"""Which architecture a file of weights probably belongs to, by the names and shapes of its tensors alone."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise

import torch

from grmu_audit.models.torchvision_models import torchvision_names

Shapes = dict[str, tuple[int, ...]]
_ENOUGH = 0.9
"""Share of tensors that an architecture must have in common with a file to be named."""
_MOST_BUILT = 12
"""Architectures of torchvision that are built (without memory), those of the nearest size first."""


def likely_architecture(state: Mapping[str, torch.Tensor]) -> str:
    """The options of a command that name the architecture of weights; empty where none is recognised.

    >>> shapes = [(8, 4), (8,), (2, 8), (2,)]
    >>> likely_architecture({f"{i // 2}.{('weight', 'bias')[i % 2]}": torch.zeros(shape) for i, shape in enumerate(shapes)})
    "--architecture mlp --architecture-option 'hidden=[8]' --architecture-option 'norm=none'"
    """
    shapes: Shapes = {name: tuple(value.shape) for name, value in state.items()}
    return _text(shapes) or _linear_chain(shapes) or _of_torchvision(shapes)


def _text(shapes: Shapes) -> str:
    """BERT with the sizes that its tensors have."""
    named = {re.sub(r"^.*?(?=embeddings\.|encoder\.layer\.)", "", name): shape for name, shape in shapes.items()}
    words, positions = named.get("embeddings.word_embeddings.weight"), named.get("embeddings.position_embeddings.weight")
    inner = named.get("encoder.layer.0.intermediate.dense.weight")
    if not (words and positions and inner):
        return ""
    layers = len({name.split(".")[2] for name in named if name.startswith("encoder.layer.")})
    sizes = {"hidden": words[1], "layers": layers, "intermediate": inner[0], "positions": positions[0]}
    return _options("bert", {**{key: str(value) for key, value in sizes.items()}, "heads": "H"}) + " (H: not in the weights)"


def _linear_chain(shapes: Shapes) -> str:
    """A multilayer perceptron: matrices whose sizes follow each other, vectors, and nothing else."""
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    chained = all(before[0] == after[1] for before, after in pairwise(matrices))
    if len(matrices) < 2 or not chained or any(len(shape) > 2 for shape in shapes.values()):
        return ""
    vectors = sum(len(shape) == 1 for shape in shapes.values())
    batch = any(name.endswith("running_mean") for name in shapes)
    norm = "batch" if batch else "none" if vectors <= len(matrices) else "layer"
    hidden = ",".join(str(shape[0]) for shape in matrices[:-1])
    return _options("mlp", {"hidden": f"[{hidden}]", "norm": norm})


def _of_torchvision(shapes: Shapes) -> str:
    """The classifier of torchvision with the most tensors in common."""
    named = {re.sub(r"^(module\.|_orig_mod\.|model\.|net\.|network\.|backbone\.|body\.)+", "", n): s for n, s in shapes.items()}
    size = sum(torch.Size(shape).numel() for name, shape in named.items() if "running" not in name)
    best, score = "", 0.0
    for name in list(_by_size(size))[:_MOST_BUILT]:
        expected = _shapes_of(name)
        same = sum(named.get(key) == shape for key, shape in expected.items())
        if same / max(len(expected), len(named)) > score:
            best, score = name, same / max(len(expected), len(named))
        if same >= len(expected) - 2:  # all but the head
            break
    if score < _ENOUGH:
        return ""
    small = "resnet" in best and named.get("conv1.weight", (0,))[-1] == 3
    return _options(best, {"stem": "cifar"} if small else {})


def _by_size(size: int) -> Iterator[str]:
    """Classifiers of torchvision, the nearest number of parameters first; the head of a file may be smaller than ImageNet's."""
    from torchvision.models import get_model_weights

    known = {name: int(next(iter(get_model_weights(name))).meta["num_params"]) for name in torchvision_names()}
    for name in sorted(known, key=lambda one: abs(known[one] - size)):
        if 0.4 * known[name] <= size <= 1.1 * known[name]:
            yield name


@cache
def _shapes_of(name: str) -> Shapes:
    from torchvision import models

    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = models.get_model(name, weights=None)
    except NotImplementedError:  # RegNets compute their widths with tensors
        network = models.get_model(name, weights=None)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def _options(name: str, options: Mapping[str, str]) -> str:
    parts = [f"--architecture-option {f'{key}={value}'!r}" for key, value in options.items()]
    return " ".join([f"--architecture {name}", *parts])
