"""Precision and form of a network's passes, measured once for a network, an input size and a machine, and kept.

What is faster cannot be known before: bf16 training took a fifth to half of the time of fp32 on one processor with matrix
instructions, and four times as much on another one without.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.models.normalisation import normalises_by_batch
from grmu_audit.training.forms import compiler_is_there, forward_of
from grmu_audit.training.inference import batch_size
from grmu_audit.training.runtime import Inference, Runtime
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic
from grmu_audit.utils.files import cache_folder
from grmu_audit.utils.progress import SILENT, Observer

FORMAT = "grmu-audit/calibration/v2"
"""Part of every key: what is measured in another way is kept elsewhere."""
SMALLEST_NETWORK = 5e7
"""Floating-point operations of one forward pass of one sample; smaller networks are never measured: bf16 gains them nothing."""
SHORTEST_JOB = 4e12
"""Floating-point operations of a job that is worth a calibration: about a minute of one core in fp32."""
LONG_PASSES = 5e13
"""Floating-point operations without gradients that are worth trying the compiler, which takes 8 to 40 seconds a network, and
other batches, which takes 4."""
GAIN = 1.15
"""How many times faster bf16 must be than fp32 to be chosen; folding and compiling change no precision and need no margin."""
BATCH_GAIN = 1.05
"""How many times faster another batch must be than the usual one."""
SURPLUS = 1.5
"""How many times what compiling takes it must save."""
SAMPLES = (16, 32)
"""Samples of a measured batch of large and of small inputs; fewer would not show what matrix instructions gain."""
LARGE = 3 * 128 * 128
"""Numbers of a large input."""
ROUNDS = 2
"""Passes of each candidate, in turn; the fastest counts, since other work on the machine only ever slows down."""
FORWARD_SHARE = 3
"""A pass with gradients costs as much as three without."""


@dataclass(frozen=True)
class Job:
    """What a calibration has to pay for."""

    forward: int = 0
    """Samples that will go through the network without gradients."""
    gradient: int = 0
    """Samples that will go through it with gradients."""

    def operations(self, each: float) -> float:
        """Floating-point operations, of which one forward pass of one sample has ``each``."""
        return each * (self.forward + FORWARD_SHARE * self.gradient)


@dataclass(frozen=True)
class Calibration:
    """Samples per processor second (on a GPU per second) of each way, and what follows from them."""

    inference: dict[str, float]
    """By precision and form, such as ``bf16 folded``."""
    training: dict[str, float] = field(default_factory=dict)
    """By precision; empty where it was not measured."""
    fold_seconds: float = 0.0
    """What folding one network took."""
    compile_seconds: float | None = None
    """What compiling one network took; None where it was not tried."""
    batches: dict[str, float] = field(default_factory=dict)
    """Samples per second of the fastest way without the compiler, by samples that go through at once; empty where it was not
    measured."""
    usual_batch: int = 0
    """The usual number of them."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Machine and versions that this holds for."""

    @property
    def training_precision(self) -> str:
        """``bf16`` where it is faster by ``GAIN``."""
        return "bf16" if self.training and self.training["bf16"] >= GAIN * self.training["fp32"] else "fp32"

    def way(self, precision: str | None = None) -> Inference:
        """The fastest way without gradients.

        Args:
            precision: the only one that is allowed; None: whichever is faster, bf16 by ``GAIN``.
        """
        best = {name: max(self._rates(name).values()) for name in ("fp32", "bf16")}
        precision = precision or ("bf16" if best["bf16"] >= GAIN * best["fp32"] else "fp32")
        rates = self._rates(precision)
        compiled, form = rates.pop("compiled", 0.0), max(sorted(rates, reverse=True), key=lambda name: rates[name])
        way = Inference(precision, form, self._batch)
        if form == "folded" and self.fold_seconds:
            way = replace(way, fold_from=math.ceil(self.fold_seconds / (1.0 / rates["plain"] - 1.0 / rates[form])))
        if self.compile_seconds is None or compiled <= rates[form]:
            return way
        saved = 1.0 / rates[form] - 1.0 / compiled
        return replace(way, compile_from=math.ceil(SURPLUS * self.compile_seconds / saved))

    @property
    def _batch(self) -> int | None:
        """Samples at once that are faster than the usual number; None where none are, or it was not measured."""
        if not self.batches:
            return None
        fastest = max(self.batches, key=lambda size: self.batches[size])
        return int(fastest) if self.batches[fastest] >= BATCH_GAIN * self.batches.get(str(self.usual_batch), 0.0) else None

    def _rates(self, precision: str) -> dict[str, float]:
        """By form."""
        return {name.split()[1]: rate for name, rate in self.inference.items() if name.startswith(precision)}


def operations(model: Classifier) -> float:
    """Floating-point operations of one forward pass of one sample: matrix products and convolutions.

    Counted on a copy without values (PyTorch's device ``meta``): nothing is computed.
    """
    from torch.utils.flop_counter import FlopCounterMode

    hollow, counter = copy_model(model).to("meta").eval(), FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        hollow(random_inputs(model, 1, torch.device("meta")))
    return float(counter.get_total_flops())


def calibrate(model: Classifier, runtime: Runtime, job: Job, inference_precision: str | None = None) -> None:
    """Set precision and form of a runtime to the fastest ones, where the job is long enough to pay for measuring them.

    A job that is too short stays as it is, whatever is kept, so that its bytes do not depend on what ran before it.

    Args:
        model: a network of the kind, on the device; it is copied and not changed.
        runtime: its precision and form are set; its notes say what was measured.
        job: what will be computed.
        inference_precision: the only one allowed for passes without gradients, as recorded of the version's lineage.
    """
    if model.spec.kind == "text":  # token numbers have lengths, which nothing is measured for
        return
    each = operations(model)
    if each >= SMALLEST_NETWORK and job.operations(each) >= SHORTEST_JOB:
        long = each * job.forward >= LONG_PASSES
        wanted = Wanted(job.gradient > 0, long, long and normalises_by_batch(model) and compiler_is_there())
        was_training = model.training
        found = kept_or_measured(model.eval(), runtime.device, wanted, runtime.observer)
        runtime.precision = found.training_precision if job.gradient else runtime.precision
        runtime.inference = found.way(inference_precision)
        runtime.notes["calibration"] = {"training": found.training, "inference": found.inference}
        model.train(was_training)


@dataclass(frozen=True)
class Wanted:
    """What a job needs measured beside passes without gradients."""

    training: bool = False
    """Passes with gradients."""
    batches: bool = False
    """Smaller and larger batches."""
    compiling: bool = False
    """The compiler."""


def kept_or_measured(model: Classifier, device: torch.device, wanted: Wanted, observer: Observer = SILENT) -> Calibration:
    """The calibration of a network, an input size and a machine; what is missing of it is measured and kept."""
    facts = machine(device)
    spec = {"architecture": model.spec.architecture, "size": list(model.spec.image_size), "options": dict(model.spec.options)}
    path = cache_folder() / "calibration" / f"{sha256_hex(canonical_json({'format': FORMAT, **facts, **spec}))}.json"
    kept = found = _kept(path)
    if found is None:
        observer.note(f"measuring which precision is faster for {model.spec.architecture} here; kept in {path.parent}")
        found = Calibration(_inference(model, device), fold_seconds=_folding(model, device), facts=facts | spec)
    if wanted.training and not found.training:
        found = replace(found, training=_training(model, device))
    if wanted.batches and not found.batches:
        usual = batch_size(model, device)
        found = replace(found, batches=_batches(model, device, found.way(), usual), usual_batch=usual)
    if wanted.compiling and found.compile_seconds is None:
        found = _with_compiler(model, device, found)
    if found != kept:
        with contextlib.suppress(EnvironmentFailure):  # a cache that cannot be written is no reason to fail
            write_atomic(path, canonical_json(asdict(found)))
    return found


def _kept(path: Path) -> Calibration | None:
    """What was kept; a damaged file counts as none, since it can be measured again."""
    try:
        found = Calibration(**json.loads(path.read_bytes()))
        measured = (found.training, found.inference, found.batches)
        usable = found.fold_seconds >= 0 and all(rate > 0 for rates in measured for rate in rates.values())
        return found if usable and found.way() and found.training_precision else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None


def machine(device: torch.device) -> dict[str, Any]:
    """What rates depend on beside the network: processor, threads, PyTorch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def processor_name() -> str:
    """Model and instruction set of the processor, from the system where it says."""
    capability = torch.backends.cpu.get_cpu_capability()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        cells = [line.partition(":") for line in lines]
        facts = {key.strip(): value.strip() for key, colon, value in cells if colon}
        flags = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in facts.get("flags", "").split()]
        parts = [facts.get("model name", platform.processor()), facts.get("cpu family", ""), facts.get("model", ""), *flags]
        return " ".join([*(part for part in parts if part), capability])
    return f"{platform.processor() or platform.machine()} {capability}"


def _training(model: Classifier, device: torch.device) -> dict[str, float]:
    """Samples per second with gradients, by precision."""
    student = copy_model(model).train()
    inputs = random_inputs(model, _samples(model), device)
    target = torch.arange(len(inputs), device=device) % model.spec.classes
    return _rates({p: _training_step(student, p, inputs, target) for p in ("fp32", "bf16")}, device)


def _inference(model: Classifier, device: torch.device) -> dict[str, float]:
    """Samples per second without gradients, by precision and form."""
    inputs = random_inputs(model, _samples(model), device)
    forms = ("plain", "folded") if normalises_by_batch(model) else ("plain",)
    ways = {f"{p} {form}": Inference(p, form) for p in ("fp32", "bf16") for form in forms}
    return _rates({name: _forward_pass(model, way, inputs) for name, way in ways.items()}, device)


def _folding(model: Classifier, device: torch.device) -> float:
    """Seconds of folding a network; 0 where it has nothing to fold."""
    if not normalises_by_batch(model):
        return 0.0
    start = _seconds(device)
    forward_of(model, Inference("fp32", "folded"), device)
    return round(_seconds(device) - start, 3)


def _batches(model: Classifier, device: torch.device, way: Inference, usual: int) -> dict[str, float]:
    """Samples per second of a way by the size of a batch: the usual one, half of it and twice; without one that does not fit."""
    steps = {}
    for size in (usual, usual // 2, 2 * usual):
        with contextlib.suppress(torch.OutOfMemoryError):
            step = _forward_pass(model, way, random_inputs(model, size, device))
            step()
            steps[str(size)] = step
    return _rates(steps, device)


def _samples(model: Classifier) -> int:
    return SAMPLES[math.prod(model.spec.image_size) < LARGE]


def _with_compiler(model: Classifier, device: torch.device, found: Calibration) -> Calibration:
    """The calibration with the compiled form in the faster precision, and what compiling took."""
    precision, inputs = found.way().precision, random_inputs(model, batch_size(model, device), device)
    step, start = _forward_pass(model, Inference(precision, "compiled"), inputs), _seconds(device)
    step()
    seconds = _seconds(device) - start
    rates = _rates({f"{precision} compiled": step}, device)
    return replace(found, inference=found.inference | rates, compile_seconds=seconds)


def random_inputs(model: Classifier, count: int, device: torch.device) -> torch.Tensor:
    """[count, ...] inputs of a network's shape, uniform in [0, 1]."""
    return torch.rand(count, *model.spec.image_size, generator=torch.Generator().manual_seed(0)).to(device)


def _training_step(model: Classifier, precision: str, inputs: torch.Tensor, target: torch.Tensor) -> Callable[[], int]:
    def step() -> int:
        """Forward and backward."""
        model.zero_grad(set_to_none=True)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = functional.cross_entropy(model(inputs), target)
        loss.backward()  # type: ignore[no-untyped-call]
        return len(inputs)

    return step


def _forward_pass(model: Classifier, way: Inference, inputs: torch.Tensor) -> Callable[[], int]:
    forward = forward_of(model, way, inputs.device)

    @torch.no_grad()
    def step() -> int:
        """Forward."""
        return len(forward(inputs))

    return step


def _rates(steps: dict[str, Callable[[], int]], device: torch.device) -> dict[str, float]:
    """Samples per second of each step, measured in turn; the first pass of each is not counted."""
    best = dict.fromkeys(steps, 0.0)
    for number in range(ROUNDS + 1):
        for name, step in steps.items():
            start = _seconds(device)
            samples = step()
            spent = _seconds(device) - start
            if number:
                best[name] = max(best[name], samples / max(spent, 1e-9))
    return {name: round(rate, 3) for name, rate in best.items()}


def _seconds(device: torch.device) -> float:
    """A clock: processor time of this process and of compilers it ran on a CPU, where other work does not count; the wall's
    on a GPU, synchronised."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system
