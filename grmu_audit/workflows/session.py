"""What every workflow with a registry needs: the store, the operator's key, and where to compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_check, key_path, load_key, pseudonyms
from grmu_audit.records import ModelRef
from grmu_audit.utils.progress import SILENT, Observer

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.tracking import Store
    from grmu_audit.training.runtime import EpochLog, Runtime


@dataclass
class Session:
    """One invocation; nothing is opened before it is used."""

    tracking_uri: str | None = None
    """MLflow tracking server; None: ``MLFLOW_TRACKING_URI``, else SQLite under ``root``."""
    registry_uri: str | None = None
    """MLflow model registry; None: ``MLFLOW_REGISTRY_URI``, else the tracking server."""
    root: Path = Path("mlruns")
    """Folder of the embedded store."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``."""
    precision: str = "auto"
    """``auto``, ``fp32``, ``bf16``."""
    observer: Observer = SILENT
    """Receiver of notes and progress."""
    actor: str = "unknown"
    """Who acts, for the ledger."""
    _datasets: dict[str, Dataset] = field(default_factory=dict, repr=False)
    _pseudonyms: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @cached_property
    def store(self) -> Store:
        """The tracking store, which exists: only ``create_store`` makes one.

        Raises:
            InputError: nothing is stored there; the message names the place that was looked at.
            EnvironmentFailure: it cannot be reached.
        """
        from grmu_audit.tracking import open_store

        return open_store(self.tracking_uri, self.registry_uri, root=self.root, create=False)

    def create_store(self) -> None:
        """Open the store, and create it where there is none: for the commands that register a first version."""
        from grmu_audit.tracking import open_store

        if "store" not in self.__dict__:
            self.store = open_store(self.tracking_uri, self.registry_uri, root=self.root)

    @cached_property
    def key(self) -> bytes:
        """The operator's key for pseudonyms."""
        return load_key()

    def dataset(self, spec: DataSpec) -> Dataset:
        """The dataset of a spec, read once per session."""
        from grmu_audit.data.catalog import load_dataset
        from grmu_audit.utils import canonical_json

        name = canonical_json([spec.name, spec.options]).decode()
        if name not in self._datasets:
            self._datasets[name] = load_dataset(spec, self.observer)
        return self._datasets[name]

    def dataset_of(self, ref: ModelRef) -> Dataset:
        """The dataset that a version was trained on, found through its tags.

        Raises:
            InputError: the version names no dataset.
            IntegrityError: the dataset is not what it was at training time.
        """
        dataset = self.dataset(dataset_spec_of(ref))
        if ref.data_digest != dataset.digest:
            raise IntegrityError(
                f"{ref.label} was trained on data of digest {ref.data_digest}, but {dataset.header.name!r} now has "
                f"{dataset.digest}: restore the data, or train a new version on it"
            )
        return dataset

    def pseudonyms_of(self, dataset: Dataset) -> list[str]:
        """Pseudonyms of all samples in manifest order, computed once per session."""
        if dataset.digest not in self._pseudonyms:
            self._pseudonyms[dataset.digest] = pseudonyms(self.key, dataset.frame["id"].tolist())
        return self._pseudonyms[dataset.digest]

    def require_key(self, ref: ModelRef) -> None:
        """Return when the operator's key is the one that the version's pseudonyms were created with, or it does not say.

        Raises:
            InputError: it is another key: no forgotten id would be recognised.
        """
        if ref.key_check is not None and ref.key_check != key_check(self.key):
            raise InputError(
                f"the pseudonyms of {ref.label} were created with another key than the one in {key_path()}: "
                f"point {KEY_FILE_VARIABLE} at the key that they were created with"
            )

    def runtime(self, seed: int, title: str = "", log: EpochLog | None = None) -> Runtime:
        """Device, precision and seed of one run; with a title its epochs show their progress."""
        from grmu_audit.training.runtime import Runtime, choose_device, choose_precision

        device: torch.device = choose_device(self.device)
        runtime = Runtime(device, seed, choose_precision(self.precision, device), title=title, observer=self.observer)
        if log is not None:
            runtime.log = log
        return runtime


def dataset_spec_of(ref: ModelRef) -> DataSpec:
    """The data spec in a version's configuration.

    Raises:
        InputError: there is none.
    """
    tree = ref.config.get("data")
    if not isinstance(tree, dict) or "name" not in tree:
        raise InputError(f"{ref.label} does not say which dataset it was trained on: it was not registered by this tool")
    return DataSpec(name=str(tree["name"]), options=dict(tree.get("options", {})))
