"""What an owner states of a checkpoint, against what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.deletions import small_table
from support.memory_store import MemoryStore
from support.sessions import open_session
from support.tiny import spec, tiny

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.agreement import ExpectedAccuracy, expected_accuracy
from grmu_audit.workflows.versions.network import NetworkChoice, model_spec
from grmu_audit.workflows.versions.pretraining import TrainingOptions, register


@pytest.mark.parametrize("text", ["0.98", "98%", "98 %"])
def test_shares_as_people_write_them(text: str) -> None:
    found = expected_accuracy(text)
    assert (found.value, found.tolerance) == pytest.approx((0.98, 0.005))


@pytest.mark.parametrize("text", ["98", "1.2", "-0.5", "high", "", "101%", "1", "0"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a share"):
        expected_accuracy(text)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(MemoryStore(tmp_path / "store"), tmp_path)


def handed_over(tmp_path: Path, **beside: object) -> Path:
    """The tiny model, whose owner says nothing, or something, about its inputs."""
    names = {key.replace("body.", "", 1): value for key, value in tiny().model.state_dict().items()}
    torch.save({"state_dict": names, **beside}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


NETWORK = NetworkChoice("small_resnet", {"widths": [6, 12]})
DATA = DataSpec("photodigits", {"renders": 1})


def measured(session: Session, weights: Path, data: DataSpec = DATA, expected: ExpectedAccuracy | None = None) -> float:
    done = register(session, "m", weights, data, NETWORK, TrainingOptions(expected=expected))
    return next(metric.value for metric in done.metrics if metric.name == "TA" and metric.group is None) or 0.0


def test_a_disagreement_registers_nothing_and_names_the_nearest_preparation(session: Session, tmp_path: Path) -> None:
    assert spec().mean == (0.5, 0.5, 0.5)
    weights = handed_over(tmp_path)
    right = measured(session, weights)
    wrong = DataSpec("photodigits", {"renders": 1, "preprocess": {"mean": [0.0] * 3, "std": [0.1] * 3}})
    with pytest.raises(InputError) as caught:
        measured(session, weights, wrong, ExpectedAccuracy(right, 0.001))
    assert "nothing was registered" in str(caught.value)
    assert f"with {100 * right:.1f} %: --preprocess FILE with {{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}" in str(
        caught.value
    )
    assert len(session.store.versions("m")) == 1
    assert measured(session, weights, expected=ExpectedAccuracy(right, 0.001)) == right


def test_the_file_may_say_how_its_inputs_are_prepared(session: Session, tmp_path: Path) -> None:
    stated = {"mean": [0.25] * 3, "std": [0.25] * 3}
    measured(session, handed_over(tmp_path, preprocess=stated))
    ref = session.store.versions("m")[-1]
    assert ref.config["data"]["options"]["preprocess"] == stated  # type: ignore[index]
    assert session.dataset_of(ref).header.std == (0.25,) * 3
    measured(session, handed_over(tmp_path, preprocess=stated), DataSpec(DATA.name, {**DATA.options, "preprocess": {}}))
    assert session.dataset_of(session.store.versions("m")[-1]).header.std == (0.5,) * 3


def test_another_architecture_is_named(session: Session, tmp_path: Path) -> None:
    from torchvision import models

    torch.save(models.resnet18(num_classes=2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"Their names and shapes are those of: --architecture resnet18"):
        register(session, "m", tmp_path / "w.pth", DATA, NETWORK)


def test_tensors_that_are_one_too_many_do_not_point_to_another_architecture(session: Session, tmp_path: Path) -> None:
    """A network that normalises its own input has all that the architecture has, and its mean and standard deviation."""
    state = tiny().model.state_dict()
    torch.save({**state, "normalize.mean": torch.zeros(3), "normalize.std": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"2 unknown: normalize\.mean, normalize\.std; .* --preprocess, .* without$"):
        register(session, "m", tmp_path / "w.pth", DATA, NETWORK)


def test_for_a_table_the_advice_is_what_else_to_compare(session: Session, tmp_path: Path) -> None:
    small, choice = small_table(tmp_path / "data"), NetworkChoice("mlp")
    dataset = session.dataset(small.spec)
    network = build(model_spec(dataset, choice), 0)
    torch.save({key.replace("body.", "", 1): value for key, value in network.state_dict().items()}, tmp_path / "w.pth")
    options = TrainingOptions(expected=ExpectedAccuracy(1.0, 0.001))
    with pytest.raises(
        InputError, match=r"nothing was registered\. Compare the order of classes and columns, the rows of the split"
    ):
        register(session, "m", tmp_path / "w.pth", small.spec, choice, options)
    assert session.store.versions("m") == []
