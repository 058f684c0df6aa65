"""Serves an exported graph with the names of its classes; needs numpy, pandas and torch, and nothing of grmu-audit.

MLflow imports this file from ``class_scores.zip`` in a version's folder: Python writes no bytecode beside a module in an archive,
so that serving a version changes none of its files.
"""

from __future__ import annotations

import json
import os
from typing import Any


class ClassScores:
    """A classifier as MLflow serves it.

    Args:
        folder: of the version; it holds ``model.pt2`` and ``model.json``.
    """

    def __init__(self, folder: str) -> None:
        import torch

        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            spec = json.load(file)
        self.names = class_columns(int(spec["classes"]), spec.get("class_names", []))
        self._graph = torch.export.load(os.path.join(folder, "model.pt2")).module()  # noqa: PTH118

    def predict(self, inputs: Any, params: Any = None) -> Any:
        """One row for each input, one column for each class: the probability that the classifier gives it, 0 to 1.

        Args:
            inputs: array [b, ...] as ``model.json`` describes one input; a data frame of b rows for tables.
            params: not used; MLflow passes it.
        """
        import numpy as np
        import pandas as pd
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(getattr(inputs, "to_numpy", lambda: inputs)()))
        with torch.no_grad():
            scores = torch.softmax(self._graph(batch).float(), dim=1)
        return pd.DataFrame(scores.numpy(), columns=self.names, index=getattr(inputs, "index", None))


def class_columns(classes: int, names: list[str]) -> list[str]:
    """A name for each class, no two alike.

    >>> class_columns(3, ["cat", "cat"])
    ['cat', 'cat (1)', 'class 2']
    >>> class_columns(3, ["cat", "cat (2)", "cat"])
    ['cat', 'cat (2)', 'cat (2) (2)']
    """
    found = list[str]()
    for index in range(classes):
        name = names[index] if index < len(names) else f"class {index}"
        while name in found:
            name = f"{name} ({index})"
        found.append(name)
    return found


def _load_pyfunc(path: str) -> ClassScores:
    """What MLflow calls."""
    return ClassScores(path)
