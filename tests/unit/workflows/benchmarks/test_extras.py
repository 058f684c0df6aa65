"""What a benchmark measures on the network itself."""

from __future__ import annotations

import numpy as np
import pytest
from support.tiny import runtime, tiny

from grmu_audit.evaluation.layer_statistics import folds_of, layer_table
from grmu_audit.metrics.white_box.layer_gaps import gap_per_layer
from grmu_audit.workflows.benchmarks.extras import measure_extras


def test_the_gap_is_that_of_the_retain_set_at_the_output_of_the_layers() -> None:
    problem = tiny()
    found = measure_extras(problem.model, problem.data, {"white_box": True, "return_epochs": 0}, runtime())
    table = layer_table(problem.model, problem.source, problem.data.retain, folds_of(np.arange(len(problem.data.retain))))
    assert table is not None
    assert found["layers"] == list(table.layers)
    assert found["fairness_gap"] == pytest.approx(gap_per_layer(table, "class", ("var", "output"))[:, 0].tolist())
