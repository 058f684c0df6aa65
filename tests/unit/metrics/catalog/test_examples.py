"""The models of the examples on the pages of the metrics."""

from __future__ import annotations

import numpy as np
import pytest

from grmu_audit.errors import InputError
from grmu_audit.metrics.catalog.examples import KINDS, example


def test_the_models_of_the_examples_answer_for_the_same_samples_and_no_others_exist():
    first, *others = (example(kind) for kind in KINDS)
    for other in others:
        assert np.array_equal(first.ids, other.ids)
        assert np.array_equal(first.split, other.split)
        assert not np.array_equal(first.logits, other.logits)
    with pytest.raises(InputError, match="no example model 'retraind': known are unlearned, baseline, retrained"):
        example("retraind")
