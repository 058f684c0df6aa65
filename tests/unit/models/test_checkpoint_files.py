"""Files of weights of common tools: told by content, names without what wrappers add, and what is said of the rest."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.checkpoint_files import WRAPPERS, read_state
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.foreign_weights import fit_state, state_digest

CASES = Path(__file__).parents[2] / "cases" / "checkpoint-prefixes"
SPEC = ModelSpec("mlp", 2, (3,), (0.0,) * 3, (1.0,) * 3, options={"hidden": [4]})


def network() -> Classifier:
    return build(SPEC, seed=3)


def own() -> dict[str, torch.Tensor]:
    """The network's weights by the names of a network without head and body."""
    return {name.removeprefix("body."): value for name, value in network().state_dict().items()}


def stored(tree: Any, path: Path) -> Path:
    torch.save(tree, path)
    return path


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in own().items()}


AVERAGE = {name: value + 1 for name, value in own().items()}
TOOLS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "plain": (own(), ()),
    "DataParallel": (prefixed("module."), ()),
    "torch.compile": (prefixed("_orig_mod."), ()),
    "compile over DDP": (prefixed("_orig_mod.module."), ()),
    "DDP over compile": (prefixed("module._orig_mod."), ()),
    "FSDP": (prefixed("_fsdp_wrapped_module."), ()),
    "Lightning": ({"state_dict": prefixed("model."), "epoch": 3, "callbacks": {}, "hparams_name": "x"}, ()),
    "Lightning with compile": ({"state_dict": prefixed("model._orig_mod.")}, ()),
    "Fabric": ({"model": prefixed("_forward_module.")}, ()),
    "Opacus": ({"model_state_dict": prefixed("_module.")}, ()),
    "net": ({"net": own(), "acc": 0.9}, ()),
    "DeepSpeed": ({"module": own()}, ()),
    "nested": ({"checkpoint": 1, "model": {"state_dict": prefixed("net.")}}, ()),
    "an OrderedDict": (OrderedDict(prefixed("network.")), ()),
    "epoch among the weights": ({**own(), "epoch": 3}, ("left out, since they are not tensors: epoch",)),
    "AveragedModel": (
        {**prefixed("module."), "n_averaged": torch.tensor(7)},
        ("an average of 7 states of the weights (n_averaged), as the file holds it",),
    ),
    "AveragedModel over DDP": (
        {**prefixed("module.module."), "module.n_averaged": torch.tensor(7)},
        ("an average of 7 states of the weights (module.n_averaged), as the file holds it",),
    ),
    "compile over AveragedModel": (
        {**prefixed("_orig_mod.module."), "_orig_mod.n_averaged": torch.tensor([7])},
        ("an average of 7 states of the weights (_orig_mod.n_averaged)",),
    ),
    "average by prefix": (
        {**prefixed("model."), **{f"swa_model.module.{k}": v for k, v in AVERAGE.items()}},
        ("(swa_model.module.1.weight, ...); taken: the weights themselves",),
    ),
    "another key": ({"generator": own(), "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, ()),
    "another key, nested": ({"state": {"classifier": prefixed("module.")}}, ()),
    "EMA beside the weights": (
        {"state_dict": own(), "state_dict_ema": AVERAGE},
        ("the file holds a moving average of the weights under 'state_dict_ema'; taken: 'state_dict'",),
    ),
    "EMA alone": ({"ema": own()}, ("the file holds a moving average of the weights under 'ema'; taken: 'ema'",)),
    "EMA by prefix": (
        {**prefixed("online_model."), **{f"ema_model.{k}": v for k, v in AVERAGE.items()}, "step": torch.tensor(1)},
        ("taken: the weights themselves",),
    ),
    "EMA by prefix alone": (prefixed("ema_model."), ()),
}


@pytest.mark.parametrize(("tree", "notes"), TOOLS.values(), ids=TOOLS)
def test_checkpoints_of_common_tools(tree: Any, notes: tuple[str, ...], tmp_path: Path) -> None:
    found = fit_state(network(), read_state(stored(tree, tmp_path / "w")), "w", need_head=True)
    assert found.digest == state_digest(network().state_dict())
    assert len(found.notes) == len(notes)
    for said, note in zip(found.notes, notes, strict=True):
        assert note in said


@given(st.lists(st.sampled_from([*WRAPPERS, "model.", "net."]), max_size=5))
def test_prefixes_in_any_order(tmp_path_factory: pytest.TempPathFactory, prefixes: list[str]) -> None:
    path = stored(prefixed("".join(prefixes)), tmp_path_factory.mktemp("w") / "w.pt")
    assert fit_state(network(), read_state(path), "w", need_head=True).digest == state_digest(network().state_dict())


@pytest.mark.parametrize("ending", [".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".txt", ""])
@pytest.mark.parametrize("form", ["torch", "old torch", "safetensors"])
def test_the_form_is_told_by_content_never_by_the_ending(form: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{ending}"
    if form == "safetensors":
        path.write_bytes(save(own()))
    else:
        torch.save(own(), path, _use_new_zipfile_serialization=form == "torch")
    assert state_digest(read_state(path)) == state_digest(own())


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def torch_file(tree: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


def tarred(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        part = tarfile.TarInfo("w.pth")
        part.size = len(content)
        archive.addfile(part, io.BytesIO(content))
    return buffer.getvalue()


NO_CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "LFS pointer": ((CASES / "lfs_pointer.pth").read_bytes(), "a Git LFS pointer in place of the file"),
    "HTML page": (b"<!DOCTYPE html><title>Sign in</title>", "it is an HTML page (a login or error page"),
    "XML error": (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "it is an XML document"),
    "gzip": (gzip.compress(torch_file(own())), "compressed with gzip (unpack it)"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "it is an HDF5 file"),
    "NumPy": (b"\x93NUMPY\x01\x00", "it is a NumPy array"),
    "GGUF": (b"GGUF\x03\x00\x00\x00", "it is a GGUF file"),
    "tar": (tarred(torch_file(own())), "it is a tar archive (unpack it)"),
    "git-annex pointer": (b"/annex/objects/SHA256E-s12--0.pth\n", "a git-annex pointer in place of the file"),
    "index of shards": (b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', "it is JSON, not a checkpoint"),
    "text": (b"weights go here", "it is not a checkpoint that torch.save or safetensors wrote (text, an index of several"),
    "zip of something": (zipped("model/weights.bin"), "a zip archive without a checkpoint of torch.save in it"),
    "TorchScript": (zipped("net/data.pkl", "net/code/net.py", "net/constants.pkl"), "a TorchScript program, which is code"),
    "cut off": (torch_file(own())[:-400], "the file is damaged or incomplete"),
    "NumPy scalar": (torch_file({"state_dict": own(), "best": np.float64(0.9)}), "more than tensors (it needs numpy."),
    "a whole network": (torch_file(torch.nn.Linear(2, 2)), "(it needs torch.nn.modules.linear.Linear)"),
    "a cut safetensors file": (save(own())[:-8], "not a readable safetensors file"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "says"), NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_what_is_no_checkpoint_is_said_without_advice_of_torch(content: bytes, says: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_state(path)
    assert says in str(caught.value)
    for advice in ("add_safe_globals", "weights_only", "torch.load", "serialization", "unsafe"):
        assert advice not in str(caught.value)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (prefixed("trainer."), "all names begin with 'trainer.': take that prefix off"),
        (prefixed("module.trainer."), "found module.trainer.1.weight"),
        ({**own(), "normalize.mean": torch.zeros(3)}, "1 unknown: normalize.mean"),
        ({**prefixed("model."), "criterion.weight": torch.zeros(2)}, "1 unknown: criterion.weight"),
        ({**own(), "1.weight": torch.zeros(5, 3)}, "1.weight [5, 3] instead of [4, 3]"),
        ({**prefixed("module."), "module.head.weight": torch.zeros(9, 4)}, "a head of 9 classes, but the data has 2"),
        ({**own(), "model.1.weight": own()["1.weight"]}, "1.weight and model.1.weight would be the same weight"),
        ({k: v for k, v in prefixed("module.").items() if not k.startswith("module.1.b")}, "1 missing: 1.bias"),
        ({**prefixed("module."), "module.1.bias": torch.full((4,), float("nan"))}, "module.1.bias holds values that are"),
    ],
)  # fmt: skip
def test_messages_name_the_tensors_as_the_file_does(tree: dict[str, torch.Tensor], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fit_state(network(), read_state(stored(tree, tmp_path / "w.pth")), "w.pth", need_head=True)
    assert says in str(caught.value)
    assert "w.pth" in str(caught.value)


@pytest.mark.parametrize("ending", ["_g", "_v", "_orig", "_mask", "_u"])
def test_weights_that_are_computed_from_parts_are_told(ending: str, tmp_path: Path) -> None:
    state = {k: v for k, v in own().items() if k != "1.weight"} | {f"1.weight{ending}": own()["1.weight"]}
    with pytest.raises(InputError) as caught:
        fit_state(network(), read_state(stored(state, tmp_path / "w.pth")), "w.pth", need_head=True)
    assert f"1 missing: 1.weight; 1 unknown: 1.weight{ending}; the file holds parts from which weights are" in str(caught.value)


@pytest.mark.parametrize("tree", [{"netG": own(), "netD": AVERAGE}, {"x": {"student": own(), "teacher": AVERAGE}}])
def test_one_of_several_sets_of_weights_is_not_guessed(tree: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hold 2 sets of weights \('(netG|student)', '(netD|teacher)'\): save the one"):
        read_state(stored(tree, tmp_path / "w.pth"))


@pytest.mark.parametrize(("name", "value"), [("running_var", -0.5), ("num_batches_tracked", -1)])
def test_impossible_statistics_are_refused(name: str, value: float) -> None:
    model = build(ModelSpec("small_resnet", 2, (3, 32, 32), (0.5,) * 3, (0.5,) * 3), 0)
    state = dict(model.state_dict())
    key = next(key for key in state if key.endswith(name))
    state[key] = torch.full_like(state[key], value)
    with pytest.raises(InputError, match=f"weights w.pth: {key} holds a number below 0, which is impossible"):
        fit_state(model, state, "w.pth")


@pytest.mark.parametrize("name", ["plain", "ddp_compiled", "compiled_ddp", "swa_averaged", "safetensors_inside"])
def test_cases_that_fit(name: str) -> None:
    model = build(ModelSpec("mlp", 2, (4,), (0.0,) * 4, (1.0,) * 4, options={"hidden": [4]}), 0)
    found = fit_state(model, read_state(CASES / f"{name}.pth"), name, need_head=True)
    assert set(found.tensors) <= set(model.state_dict())


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"format": "pt", "preprocess": '{"size": 64}'}, {"size": 64}),
        ({"format": "pt", "preprocess": "64"}, None),
        ({"format": "pt"}, None),
        (None, None),
    ],
)
def test_metadata_of_safetensors_may_say_how_inputs_are_prepared(
    metadata: dict[str, str] | None, wanted: object, tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(save(own(), metadata))
    found = read_state(tmp_path / "w")
    assert found.preprocess == wanted
    assert state_digest(found) == state_digest(own())


@pytest.mark.parametrize("depth", [4, 5])
def test_weights_are_looked_for_four_levels_deep(depth: int, tmp_path: Path) -> None:
    tree: dict[str, Any] = own()
    for name in ("net", "model", "state_dict", "model", "state_dict")[:depth]:
        tree = {name: tree}
    path = stored(tree, tmp_path / "w")
    if depth == 4:
        assert state_digest(read_state(path)) == state_digest(own())
    else:
        with pytest.raises(InputError, match=r"hold no weights: looked for tensors under .*, found keys net$"):
            read_state(path)


def test_metadata_that_is_nested_too_deeply_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(network().state_dict(), {"preprocess": "[" * 200_000}))
    assert read_state(path).preprocess is None
