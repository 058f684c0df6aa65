"""The few files with which plain MLflow serves a version from its exported graph: no pickle, no torch, no inference run."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.utils import canonical_json

GRAPH_FILE = "model.pt2"
"""The exported graph (``torch.export.save``), at the top of the version's folder."""
SPEC_FILE = "model.json"
"""Architecture, classes and input size."""


def serving_files(folder: Path) -> dict[str, bytes]:
    """``MLmodel``, ``requirements.txt``, ``python_env.yaml``, ``conda.yaml`` for a folder that holds ``model.pt2``; else nothing.

    With them ``mlflow.pyfunc.load_model("models:/name/1").predict(pixels)`` maps float32 [b, c, h, w] to logits [b, classes], and
    ``mlflow models serve`` works.  The same folder gives the same bytes.

    Raises:
        InputError: ``model.json`` is missing or is not JSON.
    """
    if not (folder / GRAPH_FILE).is_file():
        return {}
    requirements = _requirements()
    lines = "".join(f"{line}\n" for line in requirements)
    python_env = {"python": platform.python_version(), "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": requirements}],
    }
    return {
        "MLmodel": _yaml(_mlmodel(_spec(folder))),
        "requirements.txt": lines.encode(),
        "python_env.yaml": _yaml(python_env),
        "conda.yaml": _yaml(conda),
    }


def _spec(folder: Path) -> dict[str, Any]:
    path = folder / SPEC_FILE
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): a version needs its model.json") from None
    return tree if isinstance(tree, dict) else {}


def _mlmodel(spec: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "flavors": {
            "python_function": {
                "config": {"device": "cpu"},
                "data": ".",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.pytorch",
                "python_version": platform.python_version(),
            },
            "pytorch": {"code": None, "model_data": ".", "pytorch_version": _torch_version()},
        },
        "mlflow_version": version("mlflow"),
    }
    shape, classes = spec.get("image_size"), spec.get("classes")
    if isinstance(shape, list) and isinstance(classes, int):
        inputs = "int64" if len(shape) == 1 and not spec.get("mean") else "float32"
        tree["signature"] = {"inputs": _tensor(shape, inputs), "outputs": _tensor([classes]), "params": None}
    return tree


def _tensor(shape: list[Any], dtype: str = "float32") -> str:
    spec = [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *(int(side) for side in shape)]}}]
    return canonical_json(spec).decode().rstrip("\n")


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "unknown"


def _requirements() -> list[str]:
    """Pinned by hand: letting MLflow infer them costs about 12 s, and a local build tag (``+cpu``) is on no public index."""
    pins = {"mlflow": version("mlflow"), "torch": _torch_version(), "numpy": version("numpy")}
    return [f"{name}=={pin.partition('+')[0]}" for name, pin in pins.items() if pin != "unknown"]


def _yaml(tree: dict[str, Any]) -> bytes:
    import yaml

    return yaml.safe_dump(tree, sort_keys=True, default_flow_style=False).encode()
