"""The tutorial's method is taken from the page, installed as an entry point, and run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from support.distributions import lay_out
from support.tiny import runtime, tiny
from support.weights import weights_digest
from torch.nn import functional

from grmu_audit.errors import InputError
from grmu_audit.training.inference import infer
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.method import Method
from grmu_audit.utils.plugins import Registry

PAGE = Path(__file__).parents[3] / "docs" / "add-a-method.md"


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Method:
    """The method as a user gets it: from an installed distribution, by entry point."""
    group, line = block("toml").strip().splitlines()
    assert group == '[project.entry-points."grmu_audit.methods"]'
    modules = {"your_package/__init__.py": "", "your_package/quiet.py": block("python")}
    lay_out(tmp_path, "your_package", "grmu_audit.methods", [line], modules, monkeypatch)
    registry: Registry[Method] = Registry("method", "grmu_audit.methods")
    yield registry.get("quiet")  # type: ignore[misc]
    for name in [name for name in sys.modules if name.startswith("your_package")]:
        del sys.modules[name]


def test_a_package_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, "broken", "grmu_audit.methods", ["broken = nowhere.to_be_found:METHOD"], {}, monkeypatch)
    with pytest.raises(InputError, match=r"'broken' of an installed package cannot be loaded from nowhere\.to_be_found"):
        Registry[Method]("method", "grmu_audit.methods").names()


def confidence(model: object) -> float:
    """Mean distance of the two logits of forget samples."""
    logits = infer(model, tiny().source, tiny().data.forget, runtime())  # type: ignore[arg-type]
    return float((logits[:, 0] - logits[:, 1]).abs().mean())


def test_it_does_what_the_page_says(quiet: Method) -> None:
    problem = tiny()
    digest = weights_digest(problem.model)
    config = quiet.config(epochs=8, batch_size=16, pull=10.0, learning_rate=0.02)  # type: ignore[call-arg]
    results = [apply_method(quiet, problem.model, problem.data, config, runtime(seed)) for seed in (0, 0, 1)]
    assert weights_digest(problem.model) == digest
    digests = [weights_digest(model) for model in results]
    assert digests[0] == digests[1] != digests[2]
    free = apply_method(quiet, problem.model, problem.data, config.model_copy(update={"pull": 0.0}), runtime())
    assert confidence(results[0]) < 0.8 * confidence(free)
    target = problem.source.target[problem.data.retain]
    retained = infer(results[0], problem.source, problem.data.retain, runtime())
    assert float(functional.cross_entropy(retained, target)) < 1.0


def test_layers_reweight_and_penalty_compose_around_it(quiet: Method) -> None:
    problem = tiny()
    config = quiet.config(epochs=1, batch_size=16, layers="2", fairness_gap_weight=1.0)
    result = apply_method(quiet, problem.model, problem.data.reweighted(), config, runtime())
    assert torch.equal(result.body[0].weight, problem.model.body[0].weight)  # type: ignore[index]
    assert not torch.equal(result.head.weight, problem.model.head.weight)


def test_the_method_is_as_short_as_promised() -> None:
    code = [line for line in block("python").splitlines() if line.strip() and not line.startswith(("from", "import"))]
    assert len(code) <= 20
