"""Which precision and form follow from rates, when they are measured, and that they are kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny import CPU, runtime, spec, tiny

from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training import calibration
from grmu_audit.training.calibration import Calibration, Job, Wanted, calibrate, kept_or_measured, operations
from grmu_audit.training.runtime import Inference

RATES = {
    "AMX, 224 px": ({"fp32": 8.3, "bf16": 21.4}, {"fp32 plain": 31, "fp32 folded": 30, "bf16 plain": 107, "bf16 folded": 123}),
    "AVX512-BF16, 64 px": ({"fp32": 70.0, "bf16": 15.0}, {"fp32 plain": 230, "bf16 plain": 440}),
    "no bf16": ({"fp32": 70.0, "bf16": 15.0}, {"fp32 plain": 100, "fp32 folded": 130, "bf16 plain": 20, "bf16 folded": 20}),
    "bf16 hardly faster": ({"fp32": 70.0, "bf16": 75.0}, {"fp32 plain": 100, "bf16 plain": 110}),
}
CHOICES = {
    "AMX, 224 px": ("bf16", Inference("bf16", "folded")),
    "AVX512-BF16, 64 px": ("fp32", Inference("bf16", "plain")),
    "no bf16": ("fp32", Inference("fp32", "folded")),
    "bf16 hardly faster": ("fp32", Inference("fp32", "plain")),
}


@pytest.mark.parametrize("name", RATES)
def test_the_faster_precision_is_chosen_for_training_and_inference_apart(name: str) -> None:
    training, inference = RATES[name]
    found = Calibration({key: float(rate) for key, rate in inference.items()}, training)
    assert (found.training_precision, found.way()) == CHOICES[name]


def test_a_recorded_precision_is_kept_in_its_fastest_form() -> None:
    training, inference = RATES["AMX, 224 px"]
    assert Calibration({k: float(v) for k, v in inference.items()}, training).way("fp32") == Inference("fp32", "plain")


def test_compiling_pays_where_it_saves_more_than_it_takes() -> None:
    """By hand: 1/100 - 1/200 = 5 ms an image are saved; 1.5 x 10 s are saved after 3,000 images."""
    way = Calibration({"fp32 plain": 10.0, "bf16 folded": 100.0, "bf16 compiled": 200.0}, compile_seconds=10.0).way()
    assert way == Inference("bf16", "folded", compile_from=3000)
    assert (way.for_rows(2999).form, way.for_rows(3000).form) == ("folded", "compiled")
    slower = Calibration({"fp32 plain": 10.0, "bf16 folded": 100.0, "bf16 compiled": 90.0}, compile_seconds=10.0).way()
    assert slower.compile_from is None


def test_folding_pays_where_it_saves_more_than_it_takes() -> None:
    """By hand: 1/100 - 1/125 = 2 ms an image are saved; 0.3 s are saved after 150 images."""
    way = Calibration({"fp32 plain": 100.0, "fp32 folded": 125.0, "bf16 plain": 1.0}, fold_seconds=0.3).way()
    assert way == Inference("fp32", "folded", fold_from=150)
    assert (way.for_rows(149).form, way.for_rows(150).form) == ("plain", "folded")
    assert Calibration({"bf16 plain": 1.0, "fp32 folded": 9.0, "fp32 plain": 9.0}, fold_seconds=0.3).way() == Inference()
    compiling = replace(way, compile_from=100)
    assert (compiling.for_rows(99).form, compiling.for_rows(100).form) == ("plain", "compiled")


@pytest.mark.parametrize(
    ("batches", "batch"),
    [
        ({}, None),
        ({"16": 100.0, "32": 100.0, "64": 104.9}, None),
        ({"16": 105.0, "32": 100.0, "64": 90.0}, 16),
        ({"16": 90.0, "32": 100.0, "64": 110.0}, 64),
        ({"16": 90.0, "32": 100.0}, None),
        ({"16": 90.0}, 16),
    ],
)
def test_another_batch_is_taken_where_it_is_faster_by_a_twentieth(batches: dict[str, float], batch: int | None) -> None:
    assert Calibration({"fp32 plain": 100.0, "bf16 plain": 1.0}, batches=batches, usual_batch=32).way().batch == batch


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Real measurements of a tiny network, counted, as if it were a large one."""
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "SMALLEST_NETWORK", 1.0)
    monkeypatch.setattr(calibration, "SAMPLES", (4, 4))
    calls: list[str] = []
    for name in ("_inference", "_training", "_batches"):
        real = getattr(calibration, name)
        monkeypatch.setattr(calibration, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1])
    return calls


def test_measured_once_and_kept(counted: list[str], tmp_path: Path) -> None:
    model = build(spec(), 0)
    first = kept_or_measured(model, CPU, Wanted())
    assert counted == ["_inference"]
    assert set(first.inference) == {"fp32 plain", "fp32 folded", "bf16 plain", "bf16 folded"}
    both = kept_or_measured(build(spec(), 1), CPU, Wanted(training=True))
    assert counted == ["_inference", "_training"]
    assert both.inference == first.inference
    assert kept_or_measured(model, CPU, Wanted(training=True)) == both
    assert counted == ["_inference", "_training"]
    (path,) = tmp_path.rglob("*.json")
    assert json.loads(path.read_bytes())["facts"]["torch"] == torch.__version__
    assert first.fold_seconds > 0


def test_batches_are_measured_once_where_passes_are_long(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "batch_size", lambda model, device: 4)
    monkeypatch.setattr(calibration, "compiler_is_there", lambda: False)
    run, model = runtime(), build(spec(), 0)
    long = Job(forward=math.ceil(calibration.LONG_PASSES / operations(model)))
    for _ in range(2):
        calibrate(model, run, long)
        assert counted == ["_inference", "_batches"]
    found = kept_or_measured(model, CPU, Wanted())
    assert set(found.batches) == {"2", "4", "8"}
    assert found.usual_batch == 4
    assert run.inference is not None
    assert run.inference.batch in (None, 2, 8)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"inference": {"fp32 plain": 0}}', b'{"inference": {"fp32 plain": 5}}']
)
def test_a_damaged_file_is_measured_again(counted: list[str], tmp_path: Path, content: bytes) -> None:
    kept_or_measured(build(spec(), 0), CPU, Wanted())
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content)
    kept_or_measured(build(spec(), 0), CPU, Wanted())
    assert counted == ["_inference", "_inference"]


def test_a_cache_that_cannot_be_written_is_no_failure(
    counted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "file"))
    assert kept_or_measured(build(spec(), 0), CPU, Wanted()).inference


def test_a_long_job_is_measured_and_a_short_one_stays_as_it_is(counted: list[str]) -> None:
    run, model = runtime(), build(spec(), 0).train()
    calibrate(model, run, Job(forward=100, gradient=100))
    assert (counted, run.inference, run.precision, model.training) == ([], None, "fp32", True)
    calibrate(model, run, Job(gradient=10**9), "fp32")
    assert counted == ["_inference", "_training"]
    assert run.inference is not None
    assert run.inference.precision == "fp32"
    assert set(run.notes["calibration"]) == {"training", "inference"}
    assert model.training


def test_small_networks_are_never_measured() -> None:
    run = runtime()
    calibrate(tiny().model, run, Job(gradient=10**12))
    assert run.inference is None


def test_operations_are_two_a_multiplication() -> None:
    """By hand, at 32 x 32: every 3x3 convolution and 1x1 shortcut, and the head; a multiplication and an addition each."""
    model = build(spec(), 0)
    counts: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        weight = module.weight
        positions = output[0, 0].numel() if isinstance(module, torch.nn.Conv2d) else 1
        counts.append(2 * weight.numel() * positions)

    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    found = operations(model)
    assert found == sum(counts) > 0


def test_texts_are_never_measured(counted: list[str], tmp_path: Path) -> None:
    """Token numbers have lengths, which nothing is measured for."""
    run = runtime()
    model = Classifier(torch.nn.Identity(), torch.nn.Linear(4, 2), ModelSpec("bert", 2, (12,), (), ()))
    calibrate(model, run, Job(forward=10**15, gradient=10**15))
    assert (counted, run.inference, run.notes, list(tmp_path.iterdir())) == ([], None, {}, [])


def test_a_network_without_batch_normalisation_has_nothing_to_fold(counted: list[str]) -> None:
    found = kept_or_measured(build(ModelSpec("mlp", 2, (5,), (0.0,) * 5, (1.0,) * 5), 0), CPU, Wanted())
    assert counted == ["_inference"]
    assert found.fold_seconds == 0.0
    assert found.inference["fp32 plain"] > 0
