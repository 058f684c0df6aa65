"""One open MLflow run.

Written through the plain client, never the fluent API, so that a run carries only what the caller gives: MLflow adds no user
name, no command line, no git state and no environment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import artifacts, names
from grmu_audit.tracking.mlflow.errors import translated
from grmu_audit.tracking.names import MAX_PARAM, MAX_TAG, as_text, finite_part, shortened
from grmu_audit.utils import sha256_file, sha256_hex, write_atomic

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 90
_DATASET_DIGEST = 36
_MODEL_VERSIONS = "mlflow.modelVersions"
"""Tag of a logged model by which MLflow's pages link the registered version."""
_NOT_IN_NAMES = re.compile(r"[/:.%\"']")
"""What MLflow does not take in the name of a logged model."""


class MlflowRun:
    """See ``Run``.

    Args:
        client: connected client.
        uri: the store, for messages.
        run_id: the open run.
    """

    def __init__(self, client: MlflowClient, uri: str, run_id: str) -> None:
        self._client = client
        self._uri = uri
        self._id = run_id
        self._nonfinite: set[str] = set()
        self.made: list[tuple[str, str]] = []
        self._logged: dict[str, str] = {}

    @property
    def id(self) -> str:
        """See ``Run``."""
        return self._id

    @property
    def logged(self) -> Mapping[str, str]:
        """See ``Run``."""
        return dict(self._logged)

    def log_params(self, params: Mapping[str, object]) -> None:
        """See ``Run``."""
        from mlflow.entities import Param

        rows = [Param(key, shortened(as_text(value), MAX_PARAM)) for key, value in params.items()]
        self._batches("params", rows)

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """See ``Run``."""
        self._log_metrics(metrics, step)

    def log_audit(self, ref: ModelRef, metrics: Mapping[str, float | None], data: tuple[str, str]) -> str:
        """See ``Run``; MLflow lists logged models with their metrics by dataset under "Models" of the experiment."""
        shown = [{"name": ref.name, "version": ref.version}]
        tags = {_MODEL_VERSIONS: as_text(shown), names.TAG_SUBJECT: ref.label}
        with translated(self._uri, f"show the metrics of {ref.label}"):
            experiment = self._client.get_run(self._id).info.experiment_id
            name = f"{_NOT_IN_NAMES.sub('_', ref.name)}-{ref.version}"
            made = self._client.create_logged_model(experiment, name, self._id, tags)
            self._client.finalize_logged_model(made.model_id, "READY")
        self.log_dataset(*data, "audit")
        dataset = {"dataset_name": data[0][:500], "dataset_digest": _short(data[1])}
        self._log_metrics(metrics, 0, model_id=made.model_id, **dataset)
        return str(made.model_id)

    def _log_metrics(self, metrics: Mapping[str, float | None], step: int, **shown: str) -> None:
        from mlflow.entities import Metric

        finite, dropped = finite_part(metrics)
        now = int(time.time() * 1000)
        self._batches("metrics", [Metric(name, value, now, step, **shown) for name, value in finite.items()])
        if not set(dropped) <= self._nonfinite:
            self._nonfinite |= set(dropped)
            self.set_tags({names.TAG_NONFINITE: ",".join(sorted(self._nonfinite))})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """See ``Run``."""
        from mlflow.entities import RunTag

        self._batches("tags", [RunTag(key, shortened(as_text(value), MAX_TAG)) for key, value in tags.items()])

    def log_file(self, path: Path, folder: str = "") -> None:
        """See ``Run``."""
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{path} is not a plain file")
        name = artifacts.safe_artifact_path(f"{folder}/{path.name}" if folder else path.name)
        digest = sha256_file(path)
        with translated(self._uri, f"store {path.name}"):
            self._client.log_artifact(self._id, str(path), folder or None)
        self._logged[name] = digest

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """See ``Run``."""
        folder, _, name = artifacts.safe_artifact_path(artifact_path).rpartition("/")
        with artifacts.temporary_folder() as temporary:
            private = name in names.PRIVATE or folder in ("predictions", "rows")
            write_atomic(temporary / name, data, 0o600 if private else 0o644)  # the embedded store keeps the mode of a file
            self.log_file(temporary / name, folder)

    def log_folder(self, path: Path, folder: str) -> None:
        """Store the files of a folder below ``folder`` of the run's artifacts."""
        with translated(self._uri, f"store {folder}"):
            self._client.log_artifacts(self._id, str(path), folder)

    def log_dataset(self, name: str, digest: str, context: str = "training", facts: Mapping[str, object] | None = None) -> None:
        """See ``Run``."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name[:500],
            digest=_short(digest),
            source_type="grmu-audit",
            source=as_text({"name": name, "digest": digest}),
            profile=as_text(dict(facts or {})),
        )
        tags = [InputTag("mlflow.data.context", context), InputTag(names.TAG_DATA, digest)]
        with translated(self._uri, f"record the dataset {name}"):
            self._client.log_inputs(self._id, [DatasetInput(dataset, tags)])

    def _batches(self, kind: str, rows: list[Any]) -> None:
        for start in range(0, len(rows), _BATCH):
            with translated(self._uri, f"log {kind} of run {self._id}"):
                self._client.log_batch(self._id, **{kind: rows[start : start + _BATCH]})


def _short(digest: str) -> str:
    """A digest as long as MLflow stores that of a dataset."""
    return sha256_hex(digest.encode())[:_DATASET_DIGEST] if len(digest) > _DATASET_DIGEST else digest
