"""Weights that others saved, fitted to a network of this project by name and shape."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from grmu_audit.errors import InputError
from grmu_audit.models.checkpoint_files import WRAPPERS, Tensors
from grmu_audit.models.classifier import FOREIGN_HEAD, FOREIGN_ROOT, Classifier, StartWeights
from grmu_audit.utils import canonical_json

_INNER_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Parts that wrappers of single layers put into the middle of names."""
_OUTER_MODULES = (*WRAPPERS, "model.", "net.", "network.", "online_model.")
"""Prefixes of networks that are an attribute of a training class, besides those of wrappers."""
_MOVING_AVERAGES = ("ema_model.", "model_ema.", "ema.", "ema_network.", "swa_model.", "averaged_model.", "average_model.")
"""Prefixes of a moving average of the weights beside them."""
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.", "cls.")
"""Outputs that only training or pretraining used."""
_PARTS = re.compile(r".*(\.weight_(g|v|orig|mask|u)|\.parametrizations\..*|\.lora_[AB]\..*)")
"""Names of what a weight is computed from, under weight normalisation, pruning and the like."""
_NORMALISATION = re.compile(r"(?:.*\.)?(?:mean|std)")
"""Names of what a network that normalises its own input keeps."""
_SHOWN = 3


class ArchitectureError(InputError):
    """Weights lack tensors of the network, or hold them in another shape: they may be another architecture's."""


class MissingHeadError(ArchitectureError):
    """No tensor of the weights is the head."""


def fit_state(model: Classifier, state: Mapping[str, torch.Tensor], source: str, *, need_head: bool = False) -> StartWeights:
    """Fit foreign weights to a network: names, head, type of numbers.

    Args:
        model: the network that they are for; it is not changed.
        state: weights by name, as ``read_state`` gives them: this project's names, or those of the network that the body
            was taken from.
        source: where they came from, in words.
        need_head: whether the head must fit too; otherwise a head of another size is left out, and said so.

    Raises:
        ArchitectureError: a tensor is missing or of another shape.
        InputError: a tensor is unknown, of another kind of numbers, not plain (sparse, quantised, without data), or not
            finite.
    """
    expected = model.state_dict()
    prefix, notes = getattr(state, "prefix", ""), list(getattr(state, "notes", ()))
    names = _matched_names(model, state, expected, source, notes)
    fit = _Fit(model, expected, source, {own: f"{prefix}{name}" for own, name in names.items()})
    renamed = {own: state[name] for own, name in names.items()}
    _require_plain(renamed, fit)
    _fit_head(renamed, fit, notes, need_head)
    _fit_positions(renamed, expected, notes)
    _require_same(renamed, fit)
    tensors = {name: value.detach().to(expected[name].dtype).contiguous() for name, value in renamed.items()}
    _require_possible(tensors, fit)
    return StartWeights(tensors, state_digest(tensors), source, tuple(notes))


@dataclass(frozen=True)
class _Fit:
    """What weights are fitted to, for messages."""

    model: Classifier
    """The network."""
    expected: Mapping[str, torch.Tensor]
    """Its own weights by name."""
    source: str
    """Where the weights come from."""
    in_file: Mapping[str, str]
    """Name in the file by the network's own name."""

    def shown(self, own: str) -> str:
        """A weight's name as the file has it, or as a file of these names would have it."""
        foreign = not any(name.startswith("body.") for name in self.in_file.values())
        return self.in_file.get(own) or (own.removeprefix("body.") if foreign else own)


def _matched_names(
    model: Classifier, state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], source: str, notes: list[str]
) -> dict[str, str]:
    """Name in the file by the network's own name, prefixes taken off one after the other until the network knows the rest.

    Raises:
        InputError: two tensors of the file would be the same weight.
    """
    averages = [name for name in state if name.startswith(_MOVING_AVERAGES)]
    if averages and len(averages) < len(state):
        notes.append(f"the file holds a moving average of the weights ({averages[0]}, ...); taken: the weights themselves")
    names: dict[str, str] = {}
    for name in state:
        if name.startswith(_MOVING_AVERAGES) and len(averages) < len(state):
            continue
        own = _matched_name(model, name, expected)
        if own is not None and own in names:
            raise InputError(f"weights {source}: {names[own]} and {name} would be the same weight: keep one of the two")
        if own is not None:
            names[own] = name
    return names


def _matched_name(model: Classifier, name: str, expected: Mapping[str, torch.Tensor]) -> str | None:
    """The network's own name of a tensor, or that of what is left of it when every known prefix is off; None as ``_own_name``."""
    rest = name
    while True:
        inner = "".join(part for part in re.split(r"(?<=\.)", rest) if part not in _INNER_WRAPPERS)
        for candidate in (rest, inner):
            own = _own_name(model, candidate)
            if own is None or own in expected:
                return own
        outer = next((one for one in (*_OUTER_MODULES, *_MOVING_AVERAGES) if rest.startswith(one)), None)
        if outer is None:
            return _own_name(model, inner)
        rest = rest.removeprefix(outer)


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


def _fit_head(state: Tensors, fit: _Fit, notes: list[str], need_head: bool) -> None:
    """Leave out a head of another size, and say so; a head without bias gets one of zeros."""
    model = fit.model
    weight = state.get("head.weight")
    if weight is not None and weight.shape == model.head.weight.shape:
        state.setdefault("head.bias", torch.zeros_like(model.head.bias))
        return
    found = "no head" if weight is None else f"a head of {len(weight)} classes"
    if need_head and weight is None:
        raise MissingHeadError(_no_head(fit))
    if need_head and weight is not None and len(weight) == model.spec.classes:
        return  # of another width, as ``_require_same`` says
    if need_head:
        raise ArchitectureError(
            f"{fit.source}: the weights have {found}, but the data has {model.spec.classes} classes ({fit.shown('head.weight')})"
        )
    for name in [name for name in state if name.startswith("head.")]:
        del state[name]
    notes.append(f"{found}: a fresh one for {model.spec.classes} classes takes its place")


def _no_head(fit: _Fit) -> str:
    """What is said where no tensor of a file is the head: the usual cause is a prefix before all names."""
    names = list(fit.in_file.values())
    head = getattr(fit.model.body, FOREIGN_HEAD, None)
    wanted = " or ".join(f"{name}.weight" for name in dict.fromkeys((head or "head", "head")))
    found = ", ".join(names[:_SHOWN])
    text = f"{fit.source}: no tensor is named {wanted}, as the head of {fit.model.spec.classes} classes is; found {found}, ..."
    first = {name.partition(".")[0] for name in names}
    if len(first) == 1 and all("." in name for name in names):
        text += f"; all names begin with {first.pop() + '.'!r}: take that prefix off, and save the network's own state dict"
    return text


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


def _require_plain(state: Tensors, fit: _Fit) -> None:
    """Return unless a tensor holds something else than plain numbers of the kind that is expected: a cast would change them."""
    for name, value in state.items():
        plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
        kind = fit.expected.get(name)
        if not plain or (kind is not None and value.is_floating_point() != kind.is_floating_point()):
            what = str(value.dtype).removeprefix("torch.") if plain else "sparse, quantised or without data"
            shown = fit.shown(name)
            raise InputError(
                f"weights {fit.source}: {shown} is {what}: save plain floating-point weights (integers for counters)"
            )


def _require_possible(tensors: Tensors, fit: _Fit) -> None:
    """Return unless a tensor holds numbers that no training gives.

    Raises:
        InputError: values that are not finite, or a running variance below 0.
    """
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"weights {fit.source}: {fit.shown(name)} holds values that are not finite")
        if name.endswith(("running_var", "num_batches_tracked")) and value.numel() and bool((value < 0).any()):
            raise InputError(
                f"weights {fit.source}: {fit.shown(name)} holds a number below 0, which is impossible: the file is damaged"
            )


def _require_same(state: Tensors, fit: _Fit) -> None:
    expected, model, source = fit.expected, fit.model, fit.source
    optional = {name for name in expected if name.endswith("num_batches_tracked") or name.startswith("head.")}
    defects = {
        "missing": [fit.shown(name) for name in expected if name not in state and name not in optional],
        "unknown": [fit.shown(name) for name in state if name not in expected],
        "of another shape": [
            f"{fit.shown(name)} {list(value.shape)} instead of {list(expected[name].shape)}"
            for name, value in state.items()
            if name in expected and value.shape != expected[name].shape
        ],
    }
    shown_defects = [f"{len(names)} {what}: {', '.join(names[:_SHOWN])}" for what, names in defects.items() if names]
    if shown_defects:
        options = ", ".join(f"{key}={value}" for key, value in model.spec.options.items())
        shown = f"{model.spec.architecture}{f' ({options})' if options else ''}"
        misfit = ArchitectureError if defects["missing"] or defects["of another shape"] else InputError
        hint = _advice(defects["unknown"])
        raise misfit(f"weights {source} do not fit {shown}: {'; '.join(shown_defects)}{hint}")


def _advice(unknown: list[str]) -> str:
    """What to do about tensors that the network does not have."""
    if any(map(_PARTS.fullmatch, unknown)):
        return "; the file holds parts from which weights are computed: merge them before saving"
    if unknown and all(map(_NORMALISATION.fullmatch, unknown)):
        return "; a network that normalises its own input has these: state them with --preprocess, and save the weights without"
    return ""


def state_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, by name; the same on every device."""
    state = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        state.update(canonical_json([name, str(value.dtype), list(value.shape)]))
        state.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return state.hexdigest()
