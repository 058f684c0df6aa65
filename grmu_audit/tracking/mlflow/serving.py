"""The few files with which plain MLflow serves a version from its exported graph: no pickle, no inference run."""

from __future__ import annotations

import inspect
import io
import json
import platform
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grmu_audit.errors import InputError
from grmu_audit.tracking.mlflow import class_scores
from grmu_audit.tracking.names import as_text

GRAPH_FILE = "model.pt2"
"""The exported graph (``torch.export.save``), at the top of the version's folder."""
SPEC_FILE = "model.json"
"""Architecture, classes and input size."""
CODE_FILE = "class_scores.zip"
"""The loader: ``class_scores.py``, not compressed."""
_LOADER = "grmu_audit_class_scores"
"""Name of the loader as a module, which must be free on every machine that serves."""
_MOST_NAMED = 50
README_FILE = "README.md"
"""How to serve the version, and what goes in and comes out."""
_README = """# A classifier for MLflow

    mlflow models serve -m "models:/NAME@champion" --env-manager local --port 5001
    curl http://127.0.0.1:5001/invocations -H "Content-Type: application/json" -d '{{"inputs": [...]}}'

or in Python: `mlflow.pyfunc.load_model("models:/NAME@champion").predict(inputs)`. Neither needs grmu-audit.

| | |
|---|---|
| architecture | {architecture} |
| inputs | {dtype}, [batch, {shape}]: {inputs} |
| outputs | one row for each input, one column for each class with its probability, 0 to 1: {classes} |

In JSON an answer is `{{"predictions": [{{"CLASS": PROBABILITY, ...}}, ...]}}`.
`mlflow.pytorch.load_model` gives the network itself, whose outputs are logits.

The files: `model.pt2`, the exported graph that is served; `state.safetensors`, the weights; `model.json`, architecture, classes
and sizes; `class_scores.zip`, the Python that names the classes; `requirements.txt`, what to install. No file is a pickle.
`grmu-audit verify --model NAME` compares all of them with the record; MLflow leaves `registered_model_meta` beside them.
"""
_INPUTS = {
    "image": "pixels from 0 to 1 (channels, height, width), resized and cropped as the training data; normalisation is inside",
    "table": "columns in the order of the training data, as numbers; standardisation is inside",
    "text": "token numbers",
}


def serving_files(folder: Path) -> dict[str, bytes]:
    """``MLmodel``, its requirements, the loader and a README for a folder that holds ``model.pt2``; else nothing.

    With them ``mlflow.pyfunc.load_model("models:/name/1").predict(pixels)`` maps float32 [b, c, h, w] to a data frame with a
    column of probabilities for each class, and ``mlflow models serve`` works.  The same folder gives the same bytes.

    Raises:
        InputError: ``model.json`` is missing or is not JSON.
    """
    if not (folder / GRAPH_FILE).is_file():
        return {}
    requirements = _requirements()
    python_env = {"python": platform.python_version(), "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": requirements}],
    }
    spec = _spec(folder)
    return {
        "MLmodel": _yaml(_mlmodel(spec)),
        CODE_FILE: _loader(),
        README_FILE: _readme(spec).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in requirements).encode(),
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
                "code": CODE_FILE,
                "data": ".",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": _LOADER,
                "python_version": platform.python_version(),
            },
            "pytorch": {"code": None, "model_data": ".", "pytorch_version": _torch_version()},
        },
        "mlflow_version": version("mlflow"),
    }
    shape, columns = _shape(spec), _columns(spec)
    if shape and columns:
        inputs = [{"type": "tensor", "tensor-spec": {"dtype": _dtype(spec), "shape": [-1, *shape]}}]
        outputs = [{"type": "float", "name": name, "required": True} for name in columns]
        tree["signature"] = {"inputs": as_text(inputs), "outputs": as_text(outputs), "params": None}
    return tree


def _columns(spec: dict[str, Any]) -> list[str]:
    classes, named = spec.get("classes"), spec.get("class_names", [])
    return class_scores.class_columns(classes, named) if isinstance(classes, int) and isinstance(named, list) else []


def _shape(spec: dict[str, Any]) -> list[int]:
    sides = spec.get("image_size")
    return [int(side) for side in sides] if isinstance(sides, list) else []


def _kind(spec: dict[str, Any]) -> str:
    """``image``, ``table`` or ``text``, as ``models.classifier.ModelSpec`` has it."""
    return "image" if len(_shape(spec)) == 3 else "table" if spec.get("mean") else "text"


def _dtype(spec: dict[str, Any]) -> str:
    return "int64" if _kind(spec) == "text" else "float32"


def _loader() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:  # the default date of an entry is 1980-01-01
        archive.writestr(zipfile.ZipInfo(f"{_LOADER}.py"), inspect.getsource(class_scores))
    return content.getvalue()


def _readme(spec: dict[str, Any]) -> str:
    kind, columns = _kind(spec), _columns(spec)
    names = ", ".join(f"`{_plain(name)}`" for name in columns[:_MOST_NAMED])
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    return _README.format(
        architecture=f"`{_plain(spec.get('architecture', 'unknown'))}`",
        dtype=_dtype(spec),
        shape=", ".join(map(str, _shape(spec))),
        inputs=_INPUTS[kind],
        classes=names + more,
    )


def _plain(name: object) -> str:
    """A name without the characters that Markdown interprets in code inside a table."""
    return "".join(char if char.isprintable() and char not in "`|" else "?" for char in str(name))[:100]


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
