"""The common battery: what every method must hold, whatever it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny import runtime, tiny

from grmu_audit.data.source import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.weights import weights_digest
from grmu_audit.training.runtime import place
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, unlearn
from grmu_audit.unlearning.catalog import methods

NAMES = methods.names()
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))]


def short(method: Method) -> MethodConfig:
    return method.config(epochs=2, batch_size=16)


def run(name: str, seed: int = 0, data: UnlearningData | None = None, model: Classifier | None = None) -> Classifier:
    method = methods.get(name)
    problem = tiny()
    return unlearn(method, model or problem.model, data or problem.data, short(method), runtime(seed))


@pytest.mark.parametrize("name", NAMES)
def test_input_model_is_unchanged_and_result_differs(name: str) -> None:
    before = weights_digest(tiny().model)
    result = run(name)
    assert weights_digest(tiny().model) == before
    assert weights_digest(result) != before
    shared = {p.data_ptr() for p in tiny().model.state_dict().values()} & {p.data_ptr() for p in result.state_dict().values()}
    assert not shared


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_weights_other_seed_other_weights(name: str) -> None:
    assert weights_digest(run(name, 0)) == weights_digest(run(name, 0)) != weights_digest(run(name, 1))


class Spy(BatchSource):
    """Records every row whose pixels are read."""

    def __init__(self, source: BatchSource) -> None:
        super().__init__(source.dataset, source.device)
        self.seen: set[int] = set()

    def take(self, rows: torch.Tensor):  # type: ignore[no-untyped-def]
        self.seen |= set(rows.tolist())
        return super().take(rows)


@pytest.mark.parametrize("name", NAMES)
def test_only_declared_data_is_read(name: str) -> None:
    problem = tiny()
    spy = Spy(problem.source)
    run(name, data=replace(problem.data, source=spy))
    needs = methods.get(name).needs
    for part, rows in (("retain", problem.data.retain), ("forget", problem.data.forget)):
        assert bool(spy.seen & set(rows.tolist())) is (part in needs), part
    test_rows = set(problem.dataset.rows("test").tolist())
    assert not spy.seen & test_rows


@pytest.mark.parametrize("name", NAMES)
def test_empty_forget_set_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="nothing to unlearn"):
        run(name, data=replace(tiny().data, forget=np.zeros(0, dtype=np.int64)))


@pytest.mark.parametrize("name", [n for n in NAMES if "retain" in methods.get(n).needs])
def test_empty_retain_set_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="needs retain data"):
        run(name, data=replace(tiny().data, retain=np.zeros(0, dtype=np.int64)))


@pytest.mark.parametrize("name", NAMES)
def test_reweighting_composes(name: str) -> None:
    weighted = run(name, data=tiny().data.reweighted())
    same = weights_digest(weighted) == weights_digest(run(name))
    assert same is ("retain" not in methods.get(name).needs)


@pytest.mark.parametrize("name", NAMES)
def test_global_generator_is_not_used(name: str) -> None:
    torch.manual_seed(1)
    first = weights_digest(run(name))
    torch.manual_seed(2)
    assert weights_digest(run(name)) == first


@pytest.mark.parametrize("name", NAMES)
def test_works_without_validation_rows(name: str) -> None:
    result = run(name, data=replace(tiny().data, val=np.zeros(0, dtype=np.int64)))
    assert all(bool(torch.isfinite(p).all()) for p in result.parameters())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_runs_in_bf16_on_each_device(name: str, device: str) -> None:
    problem = tiny()
    where = torch.device(device)
    low = runtime(device=where)
    low.precision = "bf16"
    data = replace(problem.data, source=BatchSource(problem.dataset, where))
    import copy

    method = methods.get(name)
    model = copy.deepcopy(problem.model)
    place(model, where)
    result = unlearn(method, model, data, short(method), low)
    assert all(bool(torch.isfinite(p).all()) for p in result.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_facts_for_the_catalogue(name: str) -> None:
    method = methods.get(name)
    assert method.name == name
    assert method.title
    assert method.reference
    assert method.needs <= {"retain", "forget"}
    assert method.exact is (method.needs == {"retain"} and name.startswith("retrain"))
