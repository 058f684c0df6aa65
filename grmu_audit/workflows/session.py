"""What every workflow with a registry needs: the store, the operator's key, and where to compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_check, key_exists, key_path, load_key, pseudonyms
from grmu_audit.jobs import IN_THIS_PROCESS, JobFolder, JobOptions, JobRunner, make_executor
from grmu_audit.records import ModelRef
from grmu_audit.utils.progress import SILENT, Observer

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.rows import RowTable
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
    jobs: JobOptions = IN_THIS_PROCESS
    """Where independent trainings run."""
    _datasets: dict[str, Dataset] = field(default_factory=dict, repr=False)
    _pseudonyms: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @cached_property
    def store(self) -> Store:
        """The tracking store, which exists: only ``create_store`` makes one.

        Raises:
            NotFoundError: nothing is stored there; the message names the place that was looked at.
            EnvironmentFailure: it cannot be reached.
        """
        from grmu_audit.tracking import open_store

        return open_store(self.tracking_uri, self.registry_uri, root=self.root, create=False)

    def read_once(self) -> Session:
        """The same session for a part of a command that writes nothing: what it reads twice of the store is fetched once."""
        from grmu_audit.tracking.read_once import ReadOnce

        found = replace(self)
        found.store = ReadOnce(self.store)
        return found

    @property
    def store_exists(self) -> bool:
        """Whether something is stored there; nothing is created."""
        try:
            return self.store is not None
        except NotFoundError:
            return False

    def create_store(self) -> None:
        """Open the store, and create it where there is none: for commands that may come first."""
        from grmu_audit.tracking import open_store

        if "store" not in self.__dict__:
            self.store = open_store(self.tracking_uri, self.registry_uri, root=self.root)

    @cached_property
    def key(self) -> bytes:
        """The operator's key for pseudonyms; created on first use, where the store holds no pseudonyms yet.

        Raises:
            InputError: there is no key, but versions whose pseudonyms were created with one: a new one would match none of them.
        """
        made = None if key_exists() else next(self.owners_of_pseudonyms(), None)
        if made is not None:
            raise InputError(
                f"there is no key in {key_path()}, but {made} has pseudonyms that were created with one: put that key"
                f" there, or point {KEY_FILE_VARIABLE} at it; if it is lost, see 'grmu-audit keys rotate --help'"
            )
        return load_key()

    def owners_of_pseudonyms(self) -> Iterator[str]:
        """Versions of the store that have pseudonyms, and models whose requests wait for a first version."""
        from grmu_audit.tracking import read_ledger

        for name in self.store.models():
            versions = self.store.versions(name)
            yield from (ref.label for ref in versions if ref.key_check or ref.forget_digest)
            if not versions and read_ledger(self.store, name).key_check:
                yield name

    def dataset(self, spec: DataSpec) -> Dataset:
        """The dataset of a spec, read once per session."""
        from grmu_audit.utils import canonical_json

        name = canonical_json([spec.name, spec.options]).decode()
        if name not in self._datasets:
            self._datasets[name] = load_dataset(spec, self.observer)
        return self._datasets[name]

    def dataset_of(self, ref: ModelRef, forgotten: frozenset[str] | None = None) -> Dataset:
        """The dataset that a version was trained on, found through its tags.

        Data from which only rows were deleted that the version's lineage has forgotten counts as the same.

        Args:
            ref: the version.
            forgotten: pseudonyms of the rows that may be gone; None: those that the requests of its lineage named.

        Raises:
            InputError: the version names no dataset, or its rows were recorded under another key.
            IntegrityError: the dataset is not what it was at training time.
        """
        dataset = self.dataset(dataset_spec_of(ref))
        if ref.data_digest == dataset.digest:
            return dataset
        recorded = self.recorded_rows(ref)
        if recorded is None:
            raise IntegrityError(
                f"{ref.label} was trained on data of digest {ref.data_digest}, but {dataset.header.name!r} now has "
                f"{dataset.digest}: restore the data, or train a new version on it"
            )
        from grmu_audit.data.rows import without_deleted
        from grmu_audit.tracking.requests import Lineages

        forgotten = Lineages(self.store).forgotten(ref) if forgotten is None else forgotten
        found = without_deleted(dataset, recorded, self.key, forgotten, ref.label)
        return replace(found, counts_as=str(ref.data_digest))

    def recorded_rows(self, ref: ModelRef) -> RowTable | None:
        """The rows that a version was trained on, by the oldest record of its lineage under the present key; None without one.

        Raises:
            InputError: the version's pseudonyms were created with another key.
            IntegrityError: the record is damaged.
        """
        from grmu_audit.data.rows import RowTable
        from grmu_audit.tracking.names import ROWS
        from grmu_audit.tracking.registration import version_artifact
        from grmu_audit.tracking.requests import Lineages, rekeyed_rows
        from grmu_audit.utils.array_files import DamagedFileError

        self.require_key(ref)
        content = rekeyed_rows(self.store, ref, key_check(self.key))
        for version in Lineages(self.store).line(ref) if content is None else ():
            if version.data_digest == ref.data_digest and version.key_check == key_check(self.key) and version.run_id:
                content = content or version_artifact(self.store, version, ROWS)
        try:
            return RowTable.from_bytes(content) if content else None
        except DamagedFileError as error:
            raise IntegrityError(f"{ROWS} of the lineage of {ref.label} is damaged: {error}") from None

    def forget_key(self) -> None:
        """Read the key file again when the key is next used."""
        self.__dict__.pop("key", None)
        self._pseudonyms.clear()

    def pseudonyms_of(self, dataset: Dataset) -> list[str]:
        """Pseudonyms of all samples in manifest order, computed once per session."""
        if dataset.digest not in self._pseudonyms:
            self._pseudonyms[dataset.digest] = pseudonyms(self.key, dataset.frame["id"].tolist())
        return self._pseudonyms[dataset.digest]

    def has_key_of(self, ref: ModelRef) -> bool:
        """Whether a version's pseudonyms were created with the operator's key, or the version does not say with which."""
        return ref.key_check in (None, key_check(self.key))

    def require_key(self, *refs: ModelRef) -> None:
        """Return when the operator's key is the one that the versions' pseudonyms were created with, or they do not say.

        Args:
            refs: versions of one model, at least one.

        Raises:
            InputError: it is another key: no forgotten id would be recognised.
        """
        from grmu_audit.tracking import read_ledger
        from grmu_audit.tracking.requests import Lineages

        name, check = refs[0].name, key_check(self.key)
        present, rekeyed = read_ledger(self.store, name).key_check, Lineages(self.store).rekeyed(name)
        under_it = {version for version, one in rekeyed.items() if one.key_check == check}
        for ref in refs:
            bare = present == check and not ref.forget_digest  # its pseudonyms are of predictions alone, which are computed again
            if present not in (None, check) or not (self.has_key_of(ref) or bare or ref.version in under_it):
                raise InputError(
                    f"the pseudonyms of {ref.label} were created with another key than the one in {key_path()}: "
                    f"point {KEY_FILE_VARIABLE} at the key that they were created with; if it is lost, see"
                    " 'grmu-audit keys rotate --help'"
                )

    def job_runner(self) -> JobRunner | None:
        """Runs independent trainings elsewhere; None: they run here, one after the other.

        Raises:
            InputError: the executor cannot be used.
        """
        options = self.jobs
        if options.executor == "local" and options.folder is None:
            return None
        url = options.folder or str((self.root / "jobs").absolute())
        return JobRunner(JobFolder(url, self.key), make_executor(options))

    def runtime(self, seed: int, title: str = "", log: EpochLog | None = None) -> Runtime:
        """Device, precision and seed of one run; with a title its epochs show their progress."""
        from grmu_audit.training.runtime import Runtime, choose_device, choose_precision

        device = choose_device(self.device)
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
