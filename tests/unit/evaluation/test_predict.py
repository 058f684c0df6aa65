from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tiny import runtime, spec, tiny

from grmu_audit.errors import DivergedError, IntegrityError
from grmu_audit.evaluation.predict import apply_request, from_parquet, predict_all, to_parquet
from grmu_audit.models.catalog import build

NAMES = ("digit 0-4", "digit 5-9")


def outputs():  # type: ignore[no-untyped-def]
    problem = tiny()
    names = [f"p{i:05d}" for i in range(len(problem.dataset))][::-1]
    return predict_all(problem.model, problem.source, runtime(), names)


def test_forward_covers_every_sample_once() -> None:
    out = outputs()
    assert out.forward_passes == 1
    assert out.logits.shape == (1797, 2)
    assert np.isfinite(out.logits).all()


def test_parquet_round_trip_is_sorted_by_pseudonym_and_costs_no_pass() -> None:
    out = outputs()
    again = from_parquet(to_parquet(out))
    assert again.forward_passes == 0
    assert again.ids.tolist() == sorted(out.ids.tolist())
    order = np.argsort(out.ids)
    assert np.allclose(again.logits, out.logits[order], atol=1e-6)
    assert (again.target == out.target[order]).all()


def test_no_raw_id_is_stored() -> None:
    data = to_parquet(outputs())
    assert b"digit-" not in data


def test_request_masks_the_training_rows() -> None:
    out = outputs()
    train = out.ids[out.split == "train"]
    p = apply_request(out, frozenset(train[:7].tolist()), NAMES, ("a", "b"))
    assert [int(p.mask(s).sum()) for s in ("retain", "forget", "val", "test")] == [1093, 7, 200, 497]
    assert set(p.ids[p.mask("forget")]) == set(train[:7])


@pytest.mark.parametrize("kind", ["unknown", "test"])
def test_a_pseudonym_that_is_no_training_row_is_an_integrity_error(kind: str) -> None:
    out = outputs()
    name = "nobody" if kind == "unknown" else str(out.ids[out.split == "test"][0])
    with pytest.raises(IntegrityError, match="1 of 1 forget samples are not in the stored predictions"):
        apply_request(out, frozenset([name]), NAMES, ("a", "b"))


def test_damaged_bytes_are_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        from_parquet(b"not parquet")


def test_logits_that_are_not_finite_are_refused() -> None:
    problem = tiny()
    model = build(spec(), 0)
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(DivergedError, match="not finite"):
        predict_all(model, problem.source, runtime(), [""] * len(problem.dataset))


def test_logits_that_no_working_network_gives_are_refused() -> None:
    problem = tiny()
    model = build(spec(), 0)
    with torch.no_grad():
        model.head.bias[0] = -3e6
    with pytest.raises(DivergedError, match=r"the model gives logits of 3e\+06: it diverged; nothing was registered"):
        predict_all(model, problem.source, runtime(), [""] * len(problem.dataset))


def test_rows_of_validation_and_test_that_a_request_names_are_left_out() -> None:
    out = outputs()
    train, val, test = (out.ids[out.split == split] for split in ("train", "val", "test"))
    named = frozenset([train[0], val[0], test[0], test[1]])
    p = apply_request(out, frozenset([train[0]]), NAMES, ("a", "b"), named)
    assert [int(p.mask(s).sum()) for s in ("retain", "forget", "val", "test")] == [1099, 1, 199, 495]
    assert set(out.ids) - set(p.ids) == {val[0], test[0], test[1]}
    assert p.ids[p.mask("forget")].tolist() == [train[0]]
