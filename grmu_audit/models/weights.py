"""Weights on disk: safetensors and JSON, never pickle.

A version's folder holds ``state.safetensors`` (parameters and buffers), ``model.json`` (the ``ModelSpec``) and
``model.pt2`` (the exported graph, for serving without this package).
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.errors import IntegrityError, first_line
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec, StartWeights, copy_model
from grmu_audit.models.foreign_weights import state_digest
from grmu_audit.utils import canonical_json, parse_json, read_file, write_atomic
from grmu_audit.utils.array_files import pack_arrays, unpack_arrays

STATE = "state.safetensors"
SPEC = "model.json"
GRAPH = "model.pt2"
_ROUNDING = 1e-7
_SLACK, _MOST_CLASSES, _LONGEST_SIDE = 4, 1_000_000, 1_000_000
SPEC_LIMIT = 1 << 20
"""Largest ``model.json`` that is read, in bytes."""


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
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / STATE, packed_tensors(model.state_dict()).tobytes())
    write_atomic(folder / SPEC, canonical_json(model.spec.to_json()))
    _export(model, folder / GRAPH)


def _export(model: Classifier, path: Path) -> None:
    """The graph for any batch size, traced on zeros, so that no sample travels with it."""
    plain = copy_model(model).cpu().eval().to(memory_format=torch.contiguous_format)
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
        logging.getLogger(__name__).warning("%s cannot be served from a graph: %s", plain.spec.architecture, first_line(error))
        return None


def packed_model(model: Classifier) -> bytes:
    """Spec, weights and start weights in one file, for a worker elsewhere; the same bytes for the same network."""
    start = model.start
    facts = {"spec": model.spec.to_json(), "source": start.source if start else "", "notes": list(start.notes) if start else []}
    arrays = {"state": packed_tensors(model.state_dict())}
    return pack_arrays(facts, arrays | ({"start": packed_tensors(start.tensors)} if start else {}))


def unpacked_model(content: bytes) -> Classifier:
    """Read what ``packed_model`` wrote: on the CPU, in eval mode.

    Raises:
        IntegrityError: it is no such file.
        NotFoundError: the architecture is not known here.
        InputError: it is the operator's own, and not allowed here.
    """
    try:
        facts, arrays = unpack_arrays(content)
        spec = spec_of(facts["spec"])
        model = build(spec, seed=0)
        model.load_state_dict(unpacked_tensors(arrays["state"]))
        if "start" in arrays:
            tensors = unpacked_tensors(arrays["start"])
            model.start = StartWeights(tensors, state_digest(tensors), str(facts["source"]), tuple(facts["notes"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise IntegrityError(f"this is not a packed network: {type(error).__name__}: {error}") from None
    return model.eval()


def packed_tensors(tensors: Mapping[str, torch.Tensor]) -> npt.NDArray[np.uint8]:
    """Tensors as the bytes of a safetensors file."""
    from safetensors.torch import save

    packed = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    return np.frombuffer(packed, dtype=np.uint8)


def unpacked_tensors(packed: npt.NDArray[np.uint8]) -> dict[str, torch.Tensor]:
    """Read what ``packed_tensors`` wrote.

    Raises:
        ValueError: these are not the bytes of a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors: dict[str, torch.Tensor] = load(packed.tobytes())
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    return tensors


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
    try:
        stored = (folder / STATE).stat().st_size
    except OSError as error:
        raise IntegrityError(f"{STATE} cannot be read: {error.strerror or error}") from None
    if (described := described_bytes(spec)) > _SLACK * stored + SPEC_LIMIT:
        raise IntegrityError(f"{SPEC} describes a network of {described:,} bytes, and {STATE} has {stored:,}: they do not fit")
    model = build(spec, seed=0)
    try:
        state = load_file(folder / STATE)
        model.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise IntegrityError(f"{STATE} does not hold the weights of a {spec.architecture}: {first_line(error)}") from None
    return model.eval()


def described_bytes(spec: ModelSpec) -> int:
    """Bytes of the parameters and buffers of the network that a spec describes; none of them is allocated.

    It is 0 for the operator's own architecture, and an ensemble of such members: its code may not run without memory.

    Raises:
        IntegrityError: the network cannot be built.
        InputError: an option is unknown or impossible.
    """
    if ":" in spec.architecture or ":" in str(spec.options.get("member", "")):
        return 0
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = build(spec, seed=0).state_dict()
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        reason = first_line(error)[:200]
        raise IntegrityError(f"{SPEC} describes a {spec.architecture} that cannot be built: {reason}") from None
    return sum(value.numel() * value.element_size() for value in state.values())


def read_spec(path: Path) -> ModelSpec:
    """Read ``model.json``.

    Raises:
        IntegrityError: missing, larger than ``SPEC_LIMIT``, or no model spec.
    """
    try:
        return spec_of(parse_json(read_file(path, SPEC_LIMIT)))
    except (OSError, KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise IntegrityError(f"{path.name} cannot be read as a model spec: {type(error).__name__}: {error}") from None


def spec_of(tree: Any) -> ModelSpec:
    """The spec that ``ModelSpec.to_json`` wrote.

    Raises:
        KeyError, TypeError, AttributeError, ValueError, OverflowError: it is none.
    """
    return _checked(
        ModelSpec(
            architecture=str(tree["architecture"]),
            classes=int(tree["classes"]),
            image_size=_shape(tree["image_size"]),
            mean=tuple(float(v) for v in tree["mean"]),
            std=tuple(float(v) for v in tree["std"]),
            class_names=tuple(str(v) for v in tree["class_names"]),
            options=dict(tree["options"]),
            start=str(tree.get("start", "")),
        )
    )


def _checked(spec: ModelSpec) -> ModelSpec:
    if not 1 <= spec.classes <= _MOST_CLASSES:
        raise ValueError(f"classes is {spec.classes}")
    if len(spec.class_names) > spec.classes:
        raise ValueError(f"{len(spec.class_names)} class_names for {spec.classes} classes")
    if len(spec.mean) != len(spec.std) or len(spec.mean) not in (0, spec.image_size[0]):
        raise ValueError(f"{len(spec.mean)} means and {len(spec.std)} deviations for inputs of {list(spec.image_size)}")
    if any(not math.isfinite(v) for v in spec.mean) or any(not (math.isfinite(v) and v > 0) for v in spec.std):
        raise ValueError("a mean or deviation is not a number, or a deviation is not above 0")
    return spec


def _shape(values: list[int]) -> tuple[int, ...]:
    shape = tuple(int(v) for v in values)
    if len(shape) not in (1, 3) or min(shape) < 1 or max(shape) > _LONGEST_SIDE:
        raise ValueError(f"image_size is {list(shape)}")
    return shape
