"""Weights that others saved: read without running code, fitted to a network of this project by name and shape."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import FOREIGN_HEAD, FOREIGN_ROOT, Classifier, StartWeights
from grmu_audit.utils import canonical_json

Tensors = dict[str, torch.Tensor]
_NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
"""Keys under which checkpoints store their weights."""
_PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that wrappers for several devices or compilation add to every name."""
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.", "cls.")
"""Outputs that only training or pretraining used."""
_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile)
"""Exceptions of reading a file that is not a checkpoint."""
_SHOWN = 3


def read_state(path: Path) -> Tensors:
    """The weights of a file, by name.

    safetensors, or what ``torch.save`` wrote, read with ``weights_only``: a pickle that needs anything but tensors and
    plain containers is refused before any of it runs.  Weights may lie under ``state_dict``, ``model`` and the like; the
    prefix ``module.`` is taken off.

    Raises:
        InputError: no such file, refused, damaged, or without weights.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: no such file")
    tree = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    state = _unwrapped(path, tree)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"weights {path} are no readable safetensors file: {error}") from None


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        lines = str(error).strip().splitlines()
        detail = next((line.strip() for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0] if lines else "")
        raise InputError(
            f"weights {path} are refused: the pickle holds more than tensors ({detail}), and reading it could run code. "
            "Save the state dict alone (torch.save(model.state_dict(), ...)), or as safetensors"
        ) from None
    except _DAMAGED as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"weights {path} cannot be read: {reason}") from None


def _unwrapped(path: Path, tree: Any) -> Tensors:
    """The mapping of names to tensors inside a checkpoint."""
    for _ in range(3):
        if not isinstance(tree, Mapping):
            break
        if tree and all(isinstance(value, torch.Tensor) for value in tree.values()):
            return {str(name): value for name, value in tree.items()}
        key = next((key for key in _NESTED if isinstance(tree.get(key), Mapping)), None)
        if key is None:
            break
        tree = tree[key]
    found = f"keys {', '.join(map(str, list(tree)[:6])) or 'none'}" if isinstance(tree, Mapping) else type(tree).__name__
    raise InputError(f"weights {path} hold no weights: looked for tensors under {', '.join(_NESTED)}, found {found}")


def fit_state(model: Classifier, state: Mapping[str, torch.Tensor], source: str, *, need_head: bool = False) -> StartWeights:
    """Fit foreign weights to a network: names, head, type of numbers.

    Args:
        model: the network that they are for; it is not changed.
        state: weights by name, as ``read_state`` gives them: this project's names, or those of the network that the body
            was taken from.
        source: where they came from, in words.
        need_head: whether the head must fit too; otherwise a head of another size is left out, and said so.

    Raises:
        InputError: a tensor is missing, unknown, of another shape or kind of numbers, not plain (sparse, quantised, without
            data), or not finite.
    """
    expected = model.state_dict()
    notes: list[str] = []
    renamed = {own: value for name, value in state.items() if (own := _own_name(model, name)) is not None}
    _require_plain(renamed, expected, source)
    _fit_head(renamed, model, notes, need_head)
    _fit_positions(renamed, expected, notes)
    _require_same(renamed, expected, model, source)
    tensors = {name: value.detach().to(expected[name].dtype).contiguous() for name, value in renamed.items()}
    bad = next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
    if bad is not None:
        raise InputError(f"weights {source}: {bad} holds values that are not finite")
    return StartWeights(tensors, state_digest(tensors), source, tuple(notes))


def _own_name(model: Classifier, name: str) -> str | None:
    """The name here; None for what only training used."""
    if name.startswith(_AUXILIARY) or name.endswith(".position_ids"):
        return None
    if name.startswith(("body.", "head.")):
        return name
    head = getattr(model.body, FOREIGN_HEAD, None)
    if head and name.startswith(f"{head}."):
        return f"head.{name.removeprefix(f'{head}.')}"
    root = getattr(model.body, FOREIGN_ROOT, None)
    inside = dict(model.body.get_submodule(root).named_children()) if root else {}
    path = f"{root}.{name}" if name.partition(".")[0] in inside else name
    return "body." + path.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _fit_head(state: Tensors, model: Classifier, notes: list[str], need_head: bool) -> None:
    """Leave out a head of another size, and say so; a head without bias gets one of zeros."""
    weight = state.get("head.weight")
    if weight is not None and weight.shape == model.head.weight.shape:
        state.setdefault("head.bias", torch.zeros_like(model.head.bias))
        return
    found = "no head" if weight is None else f"a head of {len(weight)} classes"
    if need_head:
        raise InputError(f"the weights have {found}, but the data has {model.spec.classes} classes")
    for name in [name for name in state if name.startswith("head.")]:
        del state[name]
    notes.append(f"{found}: a fresh one for {model.spec.classes} classes takes its place")


def _fit_positions(state: Tensors, expected: Mapping[str, torch.Tensor], notes: list[str]) -> None:
    """Resample position embeddings that were learned for another image size (Dosovitskiy et al. 2021)."""
    for name, value in state.items():
        wanted = expected.get(name)
        if wanted is None or not name.endswith("pos_embedding") or value.shape == wanted.shape or value.dim() != 3:
            continue
        old, new = (round((len(tensor[0]) - 1) ** 0.5) for tensor in (value, wanted))
        if (old**2 + 1, new**2 + 1, value.shape[2]) == (value.shape[1], wanted.shape[1], wanted.shape[2]):
            grid = value[:, 1:].float().transpose(1, 2).reshape(1, -1, old, old)
            grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=True)
            state[name] = torch.cat([value[:, :1].float(), grid.flatten(2).transpose(1, 2)], 1)
            notes.append(f"position embedding resampled from {old} x {old} to {new} x {new} patches")


def _require_plain(state: Tensors, expected: Mapping[str, torch.Tensor], source: str) -> None:
    """Return unless a tensor holds something else than plain numbers of the kind that is expected: a cast would change them."""
    for name, value in state.items():
        plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
        kind = expected.get(name)
        if not plain or (kind is not None and value.is_floating_point() != kind.is_floating_point()):
            what = str(value.dtype).removeprefix("torch.") if plain else "sparse, quantised or without data"
            raise InputError(f"weights {source}: {name} is {what}: save plain floating-point weights (integers for counters)")


def _require_same(state: Tensors, expected: Mapping[str, torch.Tensor], model: Classifier, source: str) -> None:
    optional = {name for name in expected if name.endswith("num_batches_tracked") or name.startswith("head.")}
    defects = {
        "missing": [name for name in expected if name not in state and name not in optional],
        "unknown": [name for name in state if name not in expected],
        "of another shape": [
            f"{name} {list(value.shape)} instead of {list(expected[name].shape)}"
            for name, value in state.items()
            if name in expected and value.shape != expected[name].shape
        ],
    }
    shown_defects = [f"{len(names)} {what}: {', '.join(names[:_SHOWN])}" for what, names in defects.items() if names]
    if shown_defects:
        options = ", ".join(f"{key}={value}" for key, value in model.spec.options.items())
        shown = f"{model.spec.architecture}{f' ({options})' if options else ''}"
        raise InputError(f"weights {source} do not fit {shown}: {'; '.join(shown_defects)}")


def state_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, by name; the same on every device."""
    state = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        state.update(canonical_json([name, str(value.dtype), list(value.shape)]))
        state.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return state.hexdigest()
