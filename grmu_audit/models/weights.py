"""Weights on disk: safetensors and JSON, never pickle.

A version's folder holds ``state.safetensors`` (parameters and buffers), ``model.json`` (the ``ModelSpec``) and
``model.pt2`` (the exported graph, for serving without this package).
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch

from grmu_audit.errors import IntegrityError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.foreign_weights import state_digest
from grmu_audit.utils import canonical_json, parse_json, read_file, sha256_hex, write_atomic

STATE = "state.safetensors"
SPEC = "model.json"
GRAPH = "model.pt2"
_ROUNDING = 1e-7
SPEC_LIMIT = 1 << 20
"""Largest ``model.json`` that is read, in bytes."""


def weights_digest(model: Classifier) -> str:
    """SHA-256 over the spec and the bytes of all parameters and persistent buffers, by name.

    The same weights give the same digest on every device.
    """
    return sha256_hex(canonical_json([model.spec.to_json(), state_digest(model.state_dict())]))


def same_weights(one: Classifier, other: Classifier) -> bool:
    """Whether two networks of one architecture have the same parameters and buffers up to rounding."""
    a, b = one.state_dict(), other.state_dict()
    if a.keys() != b.keys():
        return False
    return all(
        a[name].shape == b[name].shape and torch.allclose(a[name].float(), b[name].float(), rtol=_ROUNDING, atol=_ROUNDING)
        for name in a
    )


def save_model(model: Classifier, folder: Path) -> None:
    """Write the three files of a version into ``folder``, which is created if needed.

    Raises:
        OSError: the folder cannot be written.
    """
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    write_atomic(folder / STATE, save(tensors))
    write_atomic(folder / SPEC, canonical_json(model.spec.to_json()))
    _export(model, folder / GRAPH)


def _export(model: Classifier, path: Path) -> None:
    """The graph for any batch size, traced on zeros, so that no sample travels with it."""
    import copy

    plain = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, *model.spec.image_size, dtype=torch.int64 if model.spec.kind == "text" else torch.float32)
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = _traced(plain, example)
        if program is None:
            return
        temporary = path.with_name(f".{path.name}.partial.pt2")
        torch.export.save(program, temporary)
    temporary.replace(path)


def _traced(plain: Classifier, example: torch.Tensor) -> torch.export.ExportedProgram | None:
    """The exported program; None, and a warning, for an operator's own architecture that cannot be traced."""
    try:
        return torch.export.export(plain, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
        if ":" not in plain.spec.architecture:
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        logging.getLogger(__name__).warning("%s cannot be served from a graph: %s", plain.spec.architecture, reason)
        return None


def load_model(folder: Path) -> Classifier:
    """Read a network from a version's folder, on the CPU, in eval mode.

    Raises:
        IntegrityError: a file is missing, damaged, too large, or weights and spec do not belong together.
        NotFoundError: the architecture is not known here.
        InputError: it is the operator's own, and not allowed here.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    spec = read_spec(folder / SPEC)
    model = build(spec, seed=0)
    try:
        state = load_file(folder / STATE)
        model.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise IntegrityError(f"{STATE} does not hold the weights of a {spec.architecture}: {first}") from None
    return model.eval()


def read_spec(path: Path) -> ModelSpec:
    """Read ``model.json``.

    Raises:
        IntegrityError: missing, larger than ``SPEC_LIMIT``, or no model spec.
    """
    try:
        tree = parse_json(read_file(path, SPEC_LIMIT))
        return ModelSpec(
            architecture=str(tree["architecture"]),
            classes=int(tree["classes"]),
            image_size=_shape(tree["image_size"]),
            mean=tuple(float(v) for v in tree["mean"]),
            std=tuple(float(v) for v in tree["std"]),
            class_names=tuple(str(v) for v in tree["class_names"]),
            options=dict(tree["options"]),
            start=str(tree.get("start", "")),
        )
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path.name} cannot be read as a model spec: {type(error).__name__}: {error}") from None


def _shape(values: list[int]) -> tuple[int, ...]:
    shape = tuple(int(v) for v in values)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(f"image_size is {list(shape)}")
    return shape
