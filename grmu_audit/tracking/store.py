"""The protocol of a tracking store: what the rest of the package needs of one; ``tests/contract`` checks each implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grmu_audit.evidence.ledger import UNKNOWN_AUTHOR, Author
from grmu_audit.records import ModelRef


@dataclass(frozen=True)
class LogEntry:
    """One entry of an append-only log."""

    number: int
    """Position, from 1; given by the store, unique and without gaps."""
    tags: dict[str, str]
    """Content of the entry."""


@dataclass(frozen=True)
class RunFacts:
    """What a store says of one of its runs."""

    id: str
    """Its id."""
    kind: str
    """``request``, ``pretrain``, ``retrain``, ``unlearn``, ``audit``...; empty where another tool opened it."""
    subject: str
    """Of an audit or a first evaluation: the version that it is about."""
    ended: bool
    """False while it runs."""
    deleted: bool = False
    """Whether it was deleted in the store, which leaves its files."""


class Run(Protocol):
    """One run while it is open: a pretrain, retrain, unlearn or audit."""

    @property
    def id(self) -> str:
        """The run's id in the store."""
        ...

    def log_params(self, params: Mapping[str, object]) -> None:
        """Write parameters; a text too long for the store becomes its head, its length and its SHA-256."""
        ...

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Write numbers; one that is missing or not finite is left out and its name goes to the tag ``grmu.nonfinite``."""
        ...

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Write tags; a later value replaces an earlier one."""
        ...

    def log_file(self, path: Path, folder: str = "") -> None:
        """Store a copy of a plain file under its own name in ``folder`` of the run's artifacts."""
        ...

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """Store bytes as the artifact of that relative path."""
        ...

    @property
    def logged(self) -> Mapping[str, str]:
        """SHA-256 of each artifact that was stored so far, by path; without the files of a version."""
        ...

    def log_audit(self, ref: ModelRef, metrics: Mapping[str, float | None], data: tuple[str, str]) -> str:
        """Write an audit's metrics to the run and to a logged model of its own.

        Args:
            ref: the audited version, which the logged model names.
            metrics: as ``log_metrics`` takes them.
            data: name and SHA-256 of the dataset that they were measured on; each metric names it.

        Returns:
            Id of the logged model.
        """
        ...

    def log_dataset(self, name: str, digest: str, context: str = "training", facts: Mapping[str, object] | None = None) -> None:
        """Record that the run read this dataset: its name, SHA-256 over all of it, counts; never rows or paths."""
        ...


class Store(Protocol):
    """Runs, registered versions, aliases and append-only logs."""

    @property
    def uri(self) -> str:
        """Where it is, for messages; holds no secret."""
        ...

    @property
    def account(self) -> str:
        """Who writes: ``mlflow:NAME``, the user that the server authenticated, where it does; else ``os:NAME``, the account that
        this process runs under.
        """
        ...

    def run(
        self, model: str, kind: str, *, parent: str | None = None, tags: Mapping[str, object] | None = None
    ) -> AbstractContextManager[Run]:
        """Open a run in the experiment of ``model``: FINISHED at the end, FAILED on an exception, KILLED on an interrupt.

        After an exception or interrupt the versions registered in the run are deleted again.

        Args:
            model: registered model name.
            kind: ``request``, ``pretrain``, ``retrain``, ``unlearn``, ``audit``...
            parent: id of the run that this one belongs to.
            tags: tags that it has from the start.
        """
        ...

    def register(
        self,
        run: Run,
        model: str,
        folder: Path,
        *,
        role: str,
        tags: Mapping[str, object] | None = None,
        author: Author = UNKNOWN_AUTHOR,
    ) -> ModelRef:
        """Store the files of a folder under the run, check them by reading them back, and register the version as the last step.

        Its tags and what was logged to the run so far are bound by a registration record in the model's ledger, which is entered
        first and signed where the author has a key.

        Raises:
            InputError: invalid name or role, or an empty folder.
            IntegrityError: what was stored is not what was given, or the folder holds a symbolic link.
            EnvironmentFailure: the store cannot be reached or written; no version exists then.
        """
        ...

    def resolve(self, text: str) -> ModelRef:
        """The version that ``name``, ``name/3``, ``name@alias`` or ``models:/...`` means now.

        Raises:
            InputError: not a reference.
            NotFoundError: no such model, version or alias; the message lists what exists.
        """
        ...

    def models(self) -> list[str]:
        """Names of the registered models, and of those of which only the ledger is left, sorted."""
        ...

    def versions(self, name: str, role: str | None = None) -> list[ModelRef]:
        """The versions of a model, oldest first; empty for an unknown model."""
        ...

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version number; empty for an unknown model."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version; the last writer wins (``promotion`` orders concurrent promotions).

        Raises:
            InputError: an alias that the registry reserves or does not accept.
            NotFoundError: no such version.
        """
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; nothing happens when there is none."""
        ...

    def tags(self, ref: ModelRef) -> dict[str, str]:
        """All tags of a version, read now."""
        ...

    def tag(self, ref: ModelRef, tags: Mapping[str, object]) -> None:
        """Write tags of a version."""
        ...

    def describe(self, ref: ModelRef, text: str, *, run_id: str, artifact: str) -> None:
        """Write a version's description: Markdown in which names are escaped, then a link to an artifact of a run."""
        ...

    def described(self, ref: ModelRef, text: str, *, run_id: str, artifact: str) -> bool:
        """Whether a version's description, read now, is what ``describe`` writes for the same arguments."""
        ...

    def describe_model(self, name: str, text: str) -> None:
        """Write a model's description: Markdown in which names are escaped."""
        ...

    def model_description(self, name: str) -> str:
        """A model's description, read now; empty for an unknown model."""
        ...

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """The last value of every metric of a run, read now; empty when there is no such run."""
        ...

    def logged_metrics(self, logged_model: str) -> list[tuple[str, float]]:
        """Every metric value of a logged model, read now, sorted; empty when there is no such logged model."""
        ...

    def fetch(self, ref: ModelRef, into: Path) -> Path:
        """Put the version's files into a new or empty folder, checked against its manifest digest, and return the folder.

        Raises:
            InputError: the folder is not empty.
            IntegrityError: a link, a name that leads outside, an oversized ``model.json``, or other files than were registered.
        """
        ...

    def manifest_of(self, ref: ModelRef) -> str:
        """SHA-256 over the manifest of the version's files as they are stored now.

        Raises:
            IntegrityError: a link, a name that leads outside, or no files at all.
        """
        ...

    def run_artifact(self, run_id: str, path: str) -> bytes | None:
        """The bytes of one artifact of a run, or None when there is no such run or artifact."""
        ...

    def run_artifacts(self, run_id: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """Several artifacts of a run as ``run_artifact`` reads them; the run is looked up once."""
        ...

    def artifacts_of_runs(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, bytes | None]]]:
        """For each run its id and its artifacts as ``run_artifacts`` reads them, in order; the runs are looked up together."""
        ...

    def runs_of(self, model: str) -> list[RunFacts]:
        """Every run in the experiment of a model, deleted ones too; empty where there is none."""
        ...

    def run_files(self, run_id: str) -> dict[str, int]:
        """Path and size in bytes of every artifact of a run, deleted or not; empty where there is no such run."""
        ...

    def file_sha256(self, run_id: str, path: str) -> str:
        """SHA-256 of an artifact that ``run_files`` lists."""
        ...

    def remove_files(self, run_id: str, paths: Sequence[str]) -> None:
        """Delete artifacts of a run, deleted or not; those that are gone already are no failure.

        Raises:
            EnvironmentFailure: the store does not permit it, or something is still there.
        """
        ...

    def append(self, log: str, tags: Mapping[str, str], subject: ModelRef) -> int:
        """Append to a log (created on first use); returns the entry's number, unique and without gaps among all writers.

        Args:
            log: name of the log.
            tags: the entry.
            subject: the version that the entry is about, or its run where it is still to be registered (a server wants stored
                files behind each entry).
        """
        ...

    def entries(self, log: str) -> list[LogEntry]:
        """All entries by number; empty when the log does not exist."""
        ...
