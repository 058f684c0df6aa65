"""Start weights and foreign checkpoints in the registry: what exact methods go back to, and the first evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.data_kinds import VIT
from support.memory_store import MemoryStore
from support.sessions import open_session
from support.weights import weights_digest

from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import ModelSpec
from grmu_audit.records import ModelRef
from grmu_audit.tracking import registration
from grmu_audit.tracking.names import BASELINE, START
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.training.config import TrainConfig
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice, load_network
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain, register
from grmu_audit.workflows.versions.unlearning import unlearn

DATA = DataSpec("photodigits", {"renders": 1})
SHORT = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ModelRef, Path]:
    """A version that started from a checkpoint with a head of ten classes, and a forget list."""
    root = tmp_path_factory.mktemp("lineage")
    session = open_session(MemoryStore(root / "store"), root)
    theirs = build(ModelSpec("small_vit", 10, (3, 32, 32), (0.5,) * 3, (0.5,) * 3, (), VIT), 77)
    torch.save({"state_dict": theirs.state_dict()}, root / "theirs.pth")
    network = NetworkChoice("small_vit", VIT, weights=root / "theirs.pth")
    ref = pretrain(session, "vit", DATA, network, TrainingOptions(SHORT))
    sample_forget_list(session.dataset_of(ref), root / "ids.csv", ForgetSampling(("1,0",)))
    return session, ref, root


def test_a_lineage_stores_the_weights_that_it_started_from(lineage: tuple[Session, ModelRef, Path]) -> None:
    session, ref, root = lineage
    output = ref.config["start"]
    assert isinstance(output, dict)
    assert output["source"] == "theirs.pth"
    assert output["notes"] == ["a head of 10 classes: a fresh one for 2 classes takes its place"]
    assert ref.config["architecture_options"] == VIT
    model = load_network(session, ref, torch.device("cpu"))
    assert model.spec.start == output["sha256"]
    assert model.start is not None
    theirs = torch.load(root / "theirs.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(value, theirs[name]) for name, value in model.start.tensors.items())


def test_retraining_starts_from_them_again(lineage: tuple[Session, ModelRef, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate of nearly nothing the retrained network is the start, not a fresh draw."""
    session, ref, root = lineage
    settings = {"epochs": 1, "batch_size": 512, "learning_rate": 1e-12, "weight_decay": 0.0, "keep_best": False}
    again = unlearn(session, ref.label, root / "ids.csv", UnlearnOptions("retrain", settings))
    start = torch.load(root / "theirs.pth", weights_only=True)["state_dict"]
    model = load_network(session, again, torch.device("cpu"))
    body = {k: v for k, v in model.state_dict().items() if k.startswith("body.")}
    assert all(torch.allclose(v, start[k], atol=1e-6) for k, v in body.items())
    assert model.start is not None, "a retrained version can be retrained again"


def test_without_them_exact_methods_refuse(lineage: tuple[Session, ModelRef, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    session, ref, root = lineage
    kept = session.store.run_artifact

    def lost(run_id: str, path: str) -> bytes | None:
        return None if path == START else kept(run_id, path)

    monkeypatch.setattr(session.store, "run_artifact", lost)
    with pytest.raises(IntegrityError, match=r"start\.safetensors of vit/1 is gone since it was registered"):
        unlearn(session, ref.label, root / "ids.csv", UnlearnOptions("retrain", SHORT))
    monkeypatch.setattr(registration, "registration_of", lambda ledger, ref: None)  # a run of before, which stored none
    with pytest.raises(InputError, match=r"started from weights of SHA-256 .* which are missing"):
        unlearn(session, ref.label, root / "ids.csv", UnlearnOptions("retrain", SHORT))
    assert unlearn(session, ref.label, root / "ids.csv", UnlearnOptions("gradient_ascent", SHORT)).method == "gradient_ascent"
    monkeypatch.setattr(session.store, "run_artifact", lambda run_id, path: b"x" if path == START else kept(run_id, path))
    with pytest.raises(IntegrityError, match=r"start.safetensors of vit/1 is damaged"):
        unlearn(session, ref.label, root / "ids.csv", UnlearnOptions("retrain", SHORT))


def test_a_checkpoint_becomes_a_version_and_is_evaluated(lineage: tuple[Session, ModelRef, Path], tmp_path: Path) -> None:
    session, ref, root = lineage
    model = load_network(session, ref, torch.device("cpu"))
    torch.save({"model": {f"module.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "trained.pth")
    network = NetworkChoice("small_vit", VIT, weights=root / "theirs.pth")
    done = register(session, "taken", tmp_path / "trained.pth", DATA, network, TrainingOptions(SHORT, 3))
    assert (done.ref.role, done.ref.method, done.ref.seed) == ("pretrain", "registered", 3)
    again = load_network(session, done.ref, torch.device("cpu"))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    value = {m.name: m for m in done.metrics if m.group is None}
    dataset = session.dataset(DATA)
    rows = dataset.rows("test")
    pixels = torch.from_numpy(dataset.pixels[rows]).float() / 255  # type: ignore[call-overload]
    right = again(pixels).argmax(1).numpy() == dataset.frame["target"].to_numpy()[rows]
    assert value["TA"].value == pytest.approx(right.mean())
    assert value["UA"].value is None
    assert value["UA"].why_missing
    logged = [session.store.run_artifact(run, BASELINE) for run in session.store.runs]  # type: ignore[attr-defined]
    assert [json.loads(tree)["subject"] for tree in logged if tree] == ["taken/1"]
    sample_forget_list(session.dataset_of(done.ref), tmp_path / "ids.csv", ForgetSampling(("1,0",)))
    assert unlearn(session, "taken", tmp_path / "ids.csv", UnlearnOptions("retrain")).config["settings"]["epochs"] == 1  # type: ignore[index]


def test_two_sources_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--weights and --pretrained exclude each other"):
        pretrain(
            open_session(MemoryStore(tmp_path / "store"), tmp_path),
            "m",
            DATA,
            NetworkChoice("resnet18", {}, tmp_path / "w.pth", "imagenet"),
            TrainingOptions(SHORT),
        )


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("exploded").touch, ())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--weights", "bomb.pth"], 2, "bomb.pth are refused: the pickle holds more than tensors"),
        (["--weights", "absent.pth"], 2, "weights absent.pth: no such file"),
        (["--architecture", "resnet181"], 2, "did you mean 'resnet18'?"),
        (["--architecture", "os:system"], 2, "GRMU_AUDIT_ALLOWED_ARCHITECTURES=os:system"),
        (
            ["--architecture", "mlp", "--architecture-option", "depth=3"],
            2,
            "mlp: unknown option(s) depth; known: hidden, dropout, norm",
        ),
        (
            ["--architecture", "resnet18", "--pretrained", "imagenet"],
            4,
            "resnet18-f37072fd.pth is not here and cannot be downloaded",
        ),
    ],
)
def test_the_command_line_says_one_thing(
    options: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    data = ["--name", "m", "--data-option", "renders=1"]
    assert execute(["pretrain", *data, *options]) == code
    if "--weights" in options:
        assert execute(["register", *data, *options]) == code
    output = capsys.readouterr().err
    assert message in output
    assert "Traceback" not in output
    assert not Path("exploded").exists()


def test_register_by_command_line(
    lineage: tuple[Session, ModelRef, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, ref, _ = lineage
    monkeypatch.chdir(tmp_path)
    model = load_network(session, ref, torch.device("cpu"))
    torch.save(model.state_dict(), tmp_path / "trained.pth")
    options = [f"--architecture-option={key}={value}" for key, value in VIT.items()]
    command = ["--quiet", "register", "--name", "taken", "--weights", "trained.pth", "--data-option", "renders=1"]
    assert execute([*command, "--architecture", "small_vit", *options]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("taken/1\nmetric")
    assert "digit 5-9" in output.out
    assert "grmu-audit forget sample --model taken/1" in output.err


def test_group_dro_is_recorded_and_retraining_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    clear = Checkpoints.clear
    monkeypatch.setattr(Checkpoints, "clear", lambda self: (keys.append(str(self.folder)), clear(self))[1])
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    settings = {**SHORT, "dro_step_size": 0.1}
    ref = pretrain(session, "dro", DATA, options=TrainingOptions(settings, group_dro=True))
    group_wise = ref.config["group_wise"]
    assert isinstance(group_wise, dict)
    assert group_wise["dro_step_size"] == 0.1
    assert (group_wise["group_dro"], group_wise["keep_best_by"]) == (True, "worst_group")
    assert set(ref.settings) == set(TrainConfig.model_fields)
    plain = pretrain(session, "plain", DATA, options=TrainingOptions(SHORT))
    assert len(set(keys)) == 2, "an interrupted run of one must not be continued by the other"
    one, other = (weights_digest(load_network(session, made, torch.device("cpu"))) for made in (ref, plain))
    assert one != other
    sample_forget_list(session.dataset_of(ref), tmp_path / "ids.csv", ForgetSampling(("1,0",)))
    again = unlearn(session, ref.label, tmp_path / "ids.csv", UnlearnOptions("retrain"))
    assert again.settings.items() >= {**SHORT, **group_wise}.items()


def test_the_papers_recipe_by_preset(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    ref = pretrain(session, "paper", DATA, options=TrainingOptions(SHORT, preset="paper:celeba"))
    assert (ref.settings["learning_rate"], ref.settings["epochs"]) == (0.01, 1)
    assert str(ref.config["preset"]).startswith("celeba resnet18")
    for options, message in (
        (TrainingOptions(preset="paper"), "the paper has no dataset 'photodigits'"),
        (TrainingOptions(preset="paper:multinli", group_dro=True), r"no row for pretrain\+group_dro"),
        (TrainingOptions({"dro_step_size": 0.1}), "dro_step_size"),
    ):
        with pytest.raises(InputError, match=message):
            pretrain(session, "none", DATA, options=options)
