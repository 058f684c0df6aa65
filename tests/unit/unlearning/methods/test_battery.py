"""The common battery: what every method must hold, whatever it does."""

from __future__ import annotations

import copy
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from support.killed import KEY, Counted, killed_run, stored
from support.tiny import runtime, tiny
from support.weights import weights_digest
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.models.classifier import Classifier, frozen_copy
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.training.runtime import move_to
from grmu_audit.training.steps import microbatches
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.blocks import teacher as teacher_module
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.layers import leaf_modules, trainable_layers
from grmu_audit.unlearning.method import ForgetPassConfig, Method, MethodConfig
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.amun import joint_loss

NAMES = [name for name in methods.names() if not methods.get(name).requires]
"""Methods for any network; those for networks that are built for them are tested in ``unlearning.guaranteed``."""
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))]


OPTIONS: dict[str, dict[str, object]] = {"ssd": {"selection": 0.5}, "amun": {"attack_steps": 6}}
"""Options with which a method finds weights to change in the tiny network, or searches for a shorter time."""


@pytest.mark.parametrize("name", methods.names())
def test_a_weight_decay_without_end_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="weight_decay"):
        methods.get(name).config(weight_decay=float("inf"))


@pytest.mark.parametrize("name", [name for name in NAMES if methods.get(name).unused_options])
def test_idle_options_have_no_effect_and_the_others_of_training_do(name: str) -> None:
    problem, method = tiny(), methods.get(name)
    options = {**OPTIONS.get(name, {}), "as_published": True}
    other = {"epochs": 7, "learning_rate": 3.0, "optimizer": "adam", "momentum": 0.1, "weight_decay": 0.3, "schedule": "constant"}
    more = {"warmup": 0.7, "augment": False, "keep_best": True}
    assert {*other, *more} == method.unused_options
    digests = [
        weights_digest(apply_method(method, problem.model, problem.data, method.config(**options, **changed), runtime()))
        for changed in ({}, {**other, **more}, {"batch_size": 7})
    ]
    assert digests[0] == digests[1] != digests[2]


def short(method: Method) -> MethodConfig:
    return method.config(epochs=2, batch_size=16, **OPTIONS.get(method.name, {}))


def run(name: str, seed: int = 0, data: UnlearningData | None = None, model: Classifier | None = None) -> Classifier:
    method = methods.get(name)
    problem = tiny()
    return apply_method(method, model or problem.model, data or problem.data, short(method), runtime(seed))


@cache
def usual(name: str) -> str:
    """Digest of the method's result with seed 0."""
    return weights_digest(run(name))


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
    assert weights_digest(run(name, 0)) == usual(name)
    assert (weights_digest(run(name, 1)) == usual(name)) is not methods.get(name).seeded


class Spy(BatchSource):
    """Records every row whose pixels are read."""

    def __init__(self, source: BatchSource) -> None:
        super().__init__(source.dataset, source.device)
        self.seen: set[int] = set()

    def take(self, rows: torch.Tensor, generator: torch.Generator | None = None):  # type: ignore[no-untyped-def]
        self.seen |= set(rows.tolist())
        return super().take(rows, generator)


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
def test_reweighting_composes_or_is_refused(name: str) -> None:
    if "retain" not in methods.get(name).needs:
        with pytest.raises(InputError, match="reads no retain data"):
            run(name, data=tiny().data.reweighted())
        return
    assert weights_digest(run(name, data=tiny().data.reweighted())) != usual(name)


@pytest.mark.parametrize("name", NAMES)
def test_global_generator_is_not_used(name: str) -> None:
    torch.manual_seed(1)
    expected = usual(name)
    torch.manual_seed(2)
    assert weights_digest(run(name)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_works_without_validation_rows(name: str) -> None:
    data = replace(tiny().data, val=np.zeros(0, dtype=np.int64))
    if "val" in methods.get(name).needs:
        with pytest.raises(InputError, match="needs held-out rows"):
            run(name, data=data)
        return
    result = run(name, data=data)
    assert all(bool(torch.isfinite(p).all()) for p in result.parameters())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_runs_in_bf16_on_each_device(name: str, device: str) -> None:
    problem = tiny()
    where = torch.device(device)
    low = runtime(device=where)
    low.precision = "bf16"
    data = replace(problem.data, source=BatchSource(problem.dataset, where))
    method = methods.get(name)
    model = copy.deepcopy(problem.model)
    move_to(model, where)
    result = apply_method(method, model, data, short(method), low)
    assert all(bool(torch.isfinite(p).all()) for p in result.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_steps_split_where_memory_is_short_use_every_sample(name: str) -> None:
    """Parts of at most six samples in place of batches of sixteen; a rest of one joins a part, as do mixed-in retain samples."""
    problem, method, split = tiny(), methods.get(name), runtime()
    split.micro_batch = 6
    spy, largest = Spy(problem.source), 0

    def watch(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal largest
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.weight.requires_grad and torch.is_grad_enabled():
            largest = max(largest, len(inputs[0])) if module.training else largest

    hook = register_module_forward_pre_hook(watch)
    try:
        result = apply_method(method, problem.model, replace(problem.data, source=spy), short(method), split)
    finally:
        hook.remove()
    assert all(bool(torch.isfinite(value).all()) for value in result.state_dict().values())
    assert largest <= (
        8 if name in ("rl", "salun") else 7
    )  # four of the forget set and of the retain set, or six and the rest of one
    if "forget" in method.needs:
        assert set(problem.data.forget.tolist()) <= spy.seen


def test_memory_that_is_short_outside_of_steps_is_an_environment_failure() -> None:
    def greedy(*_: object) -> Classifier:
        raise torch.OutOfMemoryError("CUDA out of memory")

    method = replace(methods.get("ssd"), run=greedy)
    with pytest.raises(EnvironmentFailure, match="method 'ssd' that is not split: set batch_size below 64"):
        apply_method(method, tiny().model, tiny().data, method.config(), runtime())


def test_split_steps_of_amun_add_up_to_the_whole_steps() -> None:
    """The network has no statistics of a batch in evaluation mode, so that the two differ by rounding alone."""
    problem = tiny()
    rows = torch.from_numpy(np.concatenate([problem.data.retain[:9], problem.data.forget[:5]]))
    batch, extra = problem.source.take(rows), torch.arange(14) >= 9
    model = copy.deepcopy(problem.model)
    model.train = lambda mode=True: nn.Module.train(model, False)  # type: ignore[assignment, method-assign]
    whole = joint_loss(model, batch, extra, mixed=False)
    by_row = dict(zip(batch.rows.tolist(), extra.tolist(), strict=True))
    pieces = [
        joint_loss(model, piece, torch.tensor([by_row[r] for r in piece.rows.tolist()]), mixed=False) * (len(piece.rows) / 14)
        for piece in microbatches(batch, 4)
    ]
    assert len(pieces) > 2
    assert torch.stack(pieces).sum().item() == pytest.approx(whole.item(), rel=1e-5)


TEACHERS = ["amun", "bad_teacher", "boundary_shrink", "delete", "scrub"]
"""Methods with a frozen copy of the model; the test below fails for one that has none."""


@pytest.mark.parametrize("name", TEACHERS)
def test_teacher_is_not_student_and_does_not_move(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in its weights nor in its running statistics, although the student beside it does."""
    kept: list[tuple[Classifier, str]] = []

    def watched(model: Classifier) -> Classifier:
        teacher = frozen_copy(model)
        kept.append((teacher, weights_digest(teacher)))
        return teacher

    for module in (sys.modules[methods.get(name).run.__module__], teacher_module):
        monkeypatch.setattr(module, "frozen_copy", watched, raising=False)
    result = run(name)
    assert weights_digest(tiny().model) in {digest for _, digest in kept}
    for teacher, digest in kept:
        assert weights_digest(teacher) == digest != weights_digest(result)
        assert not any(module.training for module in teacher.modules())
        assert not {p.data_ptr() for p in teacher.state_dict().values()} & {p.data_ptr() for p in result.state_dict().values()}


APPROXIMATE = [name for name in NAMES if not methods.get(name).exact]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny problem's network as files."""
    return stored(tiny().model, tmp_path_factory.mktemp("start"))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_at_a_random_step_resumes_to_the_same_weights(name: str, start: Path, tmp_path: Path) -> None:
    problem, method = tiny(), methods.get(name)
    settings = {"epochs": 3, "batch_size": 16, **OPTIONS.get(name, {})}
    whole, counted = runtime(), Counted(problem.source)
    expected = apply_method(method, problem.model, replace(problem.data, source=counted), method.config(**settings), whole)
    last = int(np.random.default_rng(zlib.crc32(name.encode())).integers(counted.count))
    assert killed_run(name, settings, start, problem.data, last, tmp_path) == -9
    again = runtime()
    again.checkpoints = Checkpoints(tmp_path, KEY, resume=True)
    result = apply_method(method, problem.model, problem.data, method.config(**settings), again)
    assert weights_digest(result) == weights_digest(expected)
    assert again.sample_gradients == whole.sample_gradients


@pytest.mark.parametrize("name", APPROXIMATE)
def test_frozen_layers_do_not_move_at_all(name: str) -> None:
    """Neither by gradients, weight decay, momentum, batch statistics nor by writing weights directly."""
    problem, method = tiny(), methods.get(name)
    config = method.config(epochs=2, batch_size=16, layers="2", weight_decay=0.1, momentum=0.9, **OPTIONS.get(name, {}))
    result = apply_method(method, problem.model, problem.data, config, runtime())
    free = trainable_layers(problem.model, "2")
    before, after = problem.model.state_dict(), result.state_dict()
    held = [f"{leaf}.{key}" for leaf, module in leaf_modules(problem.model) if leaf not in free for key in module.state_dict()]
    assert held
    assert [key for key in held if not torch.equal(before[key], after[key])] == []
    assert weights_digest(result) != weights_digest(problem.model)


@pytest.mark.parametrize("name", NAMES)
def test_the_fairness_gap_penalty_acts_or_is_refused(name: str) -> None:
    problem, method = tiny(), methods.get(name)
    slow = {"learning_rate": 0.01} if name == "miu" else {}  # at its default rate the penalty of so small a batch diverges
    config = method.config(epochs=2, batch_size=16, fairness_gap_weight=1.0, **slow, **OPTIONS.get(name, {}))
    if method.exact or not method.trains:
        with pytest.raises(InputError, match=r"fairness_gap_weight|is exact"):
            apply_method(method, problem.model, problem.data, config, runtime())
        return
    counted = runtime()
    result = apply_method(method, problem.model, problem.data, config, counted)
    assert counted.notes["fairness_gap_steps"] > 0
    assert weights_digest(result) != usual(name)


def sample_keys() -> dict[bytes, str]:
    """Normalised pixels of each sample, as the first layer sees them, to the split that it is in."""
    problem = tiny()
    found = {}
    for part, rows in (("val", problem.data.val), ("retain", problem.data.retain), ("forget", problem.data.forget)):
        pixels = problem.source.take(torch.from_numpy(rows)).pixels
        found |= {x.numpy().tobytes(): part for x in (pixels - problem.model.mean) / problem.model.std}
    return found


def splits_of(pixels: torch.Tensor, keys: dict[bytes, str]) -> set[str]:
    """Splits of a batch; samples that cannot be looked at (mapped per-sample gradients) count as forget samples too."""
    try:
        return {keys.get(x.contiguous().numpy().tobytes(), "forget") for x in pixels}
    except RuntimeError:
        return {"forget"}


@pytest.mark.parametrize("name", NAMES)
def test_running_statistics_move_on_declared_samples_only(name: str) -> None:
    """Every sample that passes a normalisation layer in training mode; made-up samples count as forget samples."""
    problem, method = tiny(), methods.get(name)
    keys, now, moved = sample_keys(), set[str](), set[str]()

    def watch(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            now.clear()
            now.update(splits_of(inputs[0].detach(), keys))
        elif isinstance(module, nn.BatchNorm2d) and module.training and module.track_running_stats:
            moved.update(now)

    hook = register_module_forward_pre_hook(watch)
    try:
        result = apply_method(
            method,
            problem.model,
            problem.data,
            method.config(epochs=2, batch_size=16, augment=False, **OPTIONS.get(name, {})),
            runtime(),
        )
    finally:
        hook.remove()
    assert moved == method.moves_statistics
    if not moved:
        before, after = dict(problem.model.named_buffers()), dict(result.named_buffers())
        assert [key for key in before if not torch.equal(before[key], after[key])] == []


@pytest.mark.parametrize("name", [name for name in NAMES if issubclass(methods.get(name).config, ForgetPassConfig)])
def test_forget_batches_move_no_statistic_however_they_are_normalised(name: str) -> None:
    """Mixed with retain samples, by their own statistics or by the running ones: other weights, and statistics of D_r alone."""
    problem, method = tiny(), methods.get(name)
    seen: list[torch.Tensor] = []
    digests = set()
    for way in ("mixed", "own", "frozen"):
        config = method.config(epochs=1, batch_size=20, augment=False, forget_statistics=way)
        digests.add(weights_digest(apply_method(method, problem.model, problem.data, config, runtime())))
        still = method.config(epochs=1, batch_size=20, augment=False, forget_statistics=way, learning_rate=1e-12)
        moved = apply_method(method, problem.model, problem.data, still, runtime())
        seen.append(torch.cat([v.flatten() for k, v in sorted(moved.state_dict().items()) if "running" in k]))
    assert len(digests) == 3
    assert torch.allclose(seen[0], seen[1], atol=1e-6)
    assert torch.allclose(seen[0], seen[2], atol=1e-6)


FORMULAS: dict[str, Callable[[int, int, int], int]] = {
    "E R": lambda e, r, f: e * r,
    "E F": lambda e, r, f: e * f,
    "2 E F": lambda e, r, f: 2 * e * f,
    "E (R + F)": lambda e, r, f: e * (r + f),
    "F + E (R + 2 F)": lambda e, r, f: f + e * (r + 2 * f),
    "E (R + 2 F)": lambda e, r, f: e * (r + 2 * f),
    "2 F + E R": lambda e, r, f: 2 * f + e * r,
    "R + F": lambda e, r, f: r + f,
}
"""Costs that are exact, as the catalogue writes them."""


def formula(name: str) -> str:
    """The cost on the tiny network, which has batch normalisation."""
    first, _, rest = methods.get(name).cost.partition(", ")
    return rest.removeprefix("with batch normalisation ") if rest.startswith("with batch normalisation ") else first


@pytest.mark.parametrize("name", [name for name in NAMES if formula(name) in FORMULAS])
def test_the_stated_cost_is_what_the_run_counts(name: str) -> None:
    problem, method, counted = tiny(), methods.get(name), runtime()
    config = short(method)
    apply_method(method, problem.model, problem.data, config, counted)
    expected = FORMULAS[formula(name)](config.epochs, len(problem.data.retain), len(problem.data.forget))
    assert counted.sample_gradients == expected


@pytest.mark.parametrize("name", NAMES)
def test_facts_for_the_catalogue(name: str) -> None:
    method = methods.get(name)
    assert method.name == name
    assert method.title
    assert method.reference
    assert method.cost
    assert method.needs <= {"retain", "forget", "val"}
    assert method.moves_statistics <= {"retain", "forget"}
    assert set(method.search) <= set(method.config.model_fields) - method.unused_options
    assert method.exact is (method.needs == {"retain"} and name.startswith("retrain"))
