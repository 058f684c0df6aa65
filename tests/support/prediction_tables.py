"""Prediction files with made-up scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grmu_audit.records import SPLITS


def table(n=120, seed=0, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"person-{i:04d}" for i in range(n)], "split": rng.choice(SPLITS, n, p=[0.5, 0.1, 0.1, 0.3])})
    frame["target"], frame["attribute"] = rng.integers(0, 2, n), rng.integers(0, 2, n)
    scores = np.stack([np.zeros(n), rng.normal(size=n) + frame["target"] - 0.5], axis=1)
    frame["logit_0"], frame["logit_1"] = scores[:, 0], scores[:, 1]
    return frame.assign(**columns)


def written(tmp_path: Path, frame: pd.DataFrame, name: str = "p.csv") -> Path:
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name
