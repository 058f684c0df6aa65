"""The prediction files of ``grmu-audit score --demo``: one seed of the comparison of methods, before and after unlearning.

python -m benchmarks.pages.example --cache FOLDER

The cache folder is that of ``benchmarks.pages.comparison``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.measurements.comparison import REFERENCES
from benchmarks.measurements.gate import BEFORE, CELLS, FULL, Kind
from benchmarks.measurements.kept import ROOT
from benchmarks.measurements.population import Trial
from grmu_audit.records import SPLITS
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import write_atomic

CELL, SEED = CELLS["B"], 42
MODELS = {
    "unlearned": Kind("shrink", "method", methods.get("shrink"), reweight=True),
    "before": BEFORE,
    **{f"retrained-{number}": kind for number, kind in enumerate(REFERENCES, 1)},
}
"""Files by name: what unlearning gave, the model before the request, and three models retrained with REWEIGHT."""


def table(trial: Trial, kind: Kind) -> bytes:
    """Predictions of a model as a parquet file with the columns that ``score`` reads."""
    import pandas as pd

    found = trial.predictions(trial.once(kind)[1]["logits"])
    columns = {"id": found.ids, "split": np.array(SPLITS)[found.split], "target": found.target, "subject": found.subject}
    columns |= {"attribute_photograph": found.attribute}
    assert found.logits is not None
    columns |= {f"logit_{number}": found.logits[:, number].astype(np.float32) for number in range(found.logits.shape[1])}
    written: bytes = pd.DataFrame(columns).to_parquet(None, index=False, compression="zstd")
    return written


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, metavar="FOLDER")
    trial = Trial(CELL, SEED, FULL, parser.parse_args().cache, torch.device("cpu"))
    for name, kind in MODELS.items():
        write_atomic(ROOT / "grmu_audit" / "auditing" / "example" / f"{name}.parquet", table(trial, kind))


if __name__ == "__main__":
    main()
