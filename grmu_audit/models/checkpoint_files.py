"""Files of weights that others saved: told by their content, read without running code."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from grmu_audit.errors import InputError
from grmu_audit.utils.files import HEAD, content_kind, open_file

Tensors = dict[str, torch.Tensor]
_NESTED = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "net_state_dict",
    "network",
    "weights",
    "module",
    "params",
)
"""Keys under which checkpoints store their weights."""
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "params_ema", "ema")
"""Keys under which they store a moving average of them."""
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.", "_module.")
"""Prefixes that wrappers for several devices, compilation or privacy add to every name."""
_PREPARATION = ("preprocess", "pretrained_cfg", "default_cfg")
"""Keys under which checkpoints say how inputs are prepared."""
_COUNTERS = ("n_averaged", "initted", "step")
"""Numbers beside the weights that tools for averaging store."""
_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile)
"""Exceptions of reading a file that is not a checkpoint."""
_SHOWN = 3
_ADVICE = "Save the state dict alone (torch.save(model.state_dict(), ...)), or as safetensors"


class Checkpoint(Tensors):
    """Weights by name, with what was taken off their names and what was left aside."""

    prefix: str = ""
    """Prefix of wrappers that every name has in the file."""
    notes: tuple[str, ...] = ()
    """Which of several sets of weights was taken, and what was left out."""
    preprocess: object = None
    """How inputs are prepared, where the file says so: its entry or metadata ``preprocess``, or timm's ``pretrained_cfg``."""


def read_state(path: Path) -> Checkpoint:
    """The weights of a file, by name.

    safetensors, or what ``torch.save`` wrote, told by content and never by the ending, and read with ``weights_only``: a pickle
    that needs anything but tensors and plain containers is refused before any of it runs.  Weights may lie under ``state_dict``,
    ``model`` and the like; prefixes of wrappers (``module.``, ``_orig_mod.``), in any order, and counters of averaging are taken
    off.  Of weights and their moving average the weights are taken, which a note says.

    Raises:
        InputError: no such file, refused, damaged, something else by its content, or without weights.
    """
    try:
        with open_file(path) as stream:
            head = stream.read(HEAD)
    except FileNotFoundError:
        raise InputError(f"weights {path}: no such file") from None
    except OSError as error:
        raise InputError(f"weights {path} cannot be read: {error.strerror or error}") from None
    if content_kind(head) == "a safetensors file":
        tree, beside = _safetensors(path), _metadata(path)
    else:
        tree = _pickled(path, head)
        beside = tree if isinstance(tree, Mapping) else {}
    found = _without_wrappers(_unwrapped(path, tree))
    found.preprocess = next((beside[key] for key in _PREPARATION if isinstance(beside.get(key), Mapping)), None)
    return found


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"weights {path} are not a readable safetensors file: {error}") from None


def _metadata(path: Path) -> Mapping[str, Any]:
    """The metadata of a safetensors file, values that are JSON read as such."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found = file.metadata() or {}
    parsed = {}
    for key, text in found.items():
        with contextlib.suppress(ValueError, RecursionError):
            parsed[key] = json.loads(text)
    return parsed


def _pickled(path: Path, head: bytes) -> Any:
    kind = content_kind(head)
    if not head or (kind and not kind.startswith(("a zip archive", "a pickle"))):
        raise InputError(f"weights {path} cannot be read: {f'it is {kind}, not a checkpoint' if kind else 'the file is empty'}")
    if kind.startswith("a zip archive"):
        _refuse_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_file(path) as stream:  # with a path, torch would go by its ending
                return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(_refusal(path, str(error), kind)) from None
    except _DAMAGED as error:
        raise InputError(f"weights {path} cannot be read: the file is damaged or incomplete ({type(error).__name__})") from None


def _refusal(path: Path, reason: str, kind: str) -> str:
    """Why a pickle is not read, without torch's advice to trust it."""
    needs = re.search(r"GLOBAL ([\w.]+)", reason) or re.search(r"Unsupported (?:class|global): ([\w.]+)", reason)
    if needs is None and not kind:
        return (
            f"weights {path} cannot be read: it is not a checkpoint that torch.save or safetensors wrote (text, an index of "
            "several files, or another format): give the file of weights itself"
        )
    name = f" (it needs {needs[1]})" if needs else ""
    what = f"the pickle holds more than tensors{name}, and reading it could run code"
    return f"weights {path} are refused: {what}. {_ADVICE}"


def _refuse_archive(path: Path) -> None:
    """Return when a zip archive is what ``torch.save`` writes.

    Raises:
        InputError: it is a program, or an archive of something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        raise InputError(f"weights {path} cannot be read: the file is damaged or incomplete") from None
    if "constants.pkl" in parts or any(name.startswith("code/") for name in parts):
        raise InputError(f"weights {path} are refused: a TorchScript program, which is code. {_ADVICE}")
    if "data.pkl" not in parts:
        raise InputError(f"weights {path} cannot be read: a zip archive without a checkpoint of torch.save in it. {_ADVICE}")


def _unwrapped(path: Path, tree: Any) -> Checkpoint:
    """The mapping of names to tensors inside a checkpoint."""
    notes: list[str] = []
    for _ in range(4):
        if not isinstance(tree, Mapping):
            break
        key = next((key for key in (*_NESTED, *_AVERAGED) if isinstance(tree.get(key), Mapping)), None) or _only_set(path, tree)
        if key is None:
            break
        averages = [name for name in _AVERAGED if isinstance(tree.get(name), Mapping)]
        if averages:
            notes.append(f"the file holds a moving average of the weights under {averages[0]!r}; taken: {key!r}")
        tree = tree[key]
    found = {str(name): value for name, value in tree.items()} if isinstance(tree, Mapping) else {}
    tensors = Checkpoint({name: value for name, value in found.items() if isinstance(value, torch.Tensor)})
    if not tensors:
        shown = f"keys {', '.join(list(found)[:6]) or 'none'}" if isinstance(tree, Mapping) else type(tree).__name__
        raise InputError(f"weights {path} hold no weights: looked for tensors under {', '.join(_NESTED)}, found {shown}")
    if others := [name for name in found if name not in tensors and not isinstance(found[name], Mapping)]:
        notes.append(f"left out, since they are not tensors: {', '.join(others[:_SHOWN])}")
    tensors.notes = tuple(notes)
    return tensors


def _only_set(path: Path, tree: Mapping[Any, Any]) -> Any:
    """The key of the one mapping that holds tensors by name in a checkpoint without tensors of its own; None where there is none.

    Raises:
        InputError: there are several.
    """
    if any(isinstance(value, torch.Tensor) for value in tree.values()):
        return None
    found = [key for key, value in tree.items() if not str(key).lower().startswith("optim") and _holds_weights(value)]
    if len(found) > 1:
        shown = ", ".join(map(repr, found[:_SHOWN]))
        raise InputError(f"weights {path} hold {len(found)} sets of weights ({shown}): save the one that you mean by itself")
    return found[0] if found else None


def _holds_weights(value: Any, depth: int = 3) -> bool:
    """Whether a mapping holds tensors by name, at a depth that is looked at."""
    if depth == 0 or not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(inner, torch.Tensor) or _holds_weights(inner, depth - 1) for inner in value.values())


def _without_wrappers(state: Checkpoint) -> Checkpoint:
    """The same weights without counters of averaging and without prefixes that wrappers gave to every name."""
    notes, prefix = list(state.notes), ""
    counters = {name for name in state if re.fullmatch(rf"({'|'.join(map(re.escape, WRAPPERS))})*({'|'.join(_COUNTERS)})", name)}
    tensors = {name: value for name, value in state.items() if name not in counters}
    if averaged := next((name for name in counters if name.endswith("n_averaged")), None):
        notes.append(
            f"an average of {int(state[averaged].reshape(-1)[0])} states of the weights ({averaged}), as the file holds it"
        )
    while tensors and (shared := next((one for one in WRAPPERS if all(name.startswith(one) for name in tensors)), None)):
        tensors = {name.removeprefix(shared): value for name, value in tensors.items()}
        prefix += shared
    found = Checkpoint(tensors)
    found.prefix, found.notes = prefix, tuple(notes)
    return found
