"""An in-memory store that behaves as the MLflow store does, for tests: no server; artifacts lie in a folder."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import UNKNOWN_AUTHOR, Author
from grmu_audit.records import ModelRef
from grmu_audit.tracking import artifacts, names, references
from grmu_audit.tracking.names import MAX_PARAM, MAX_TAG, as_text, finite_part, ref_from_tags, shortened, version_tags
from grmu_audit.tracking.registration import enter_registration
from grmu_audit.tracking.store import LogEntry, Run, RunFacts
from grmu_audit.utils import sha256_file, sha256_hex, write_atomic


@dataclass
class MemoryRun:
    """One run, as plain dictionaries that tests can read."""

    id: str
    """Its id."""
    root: Path
    """Folder of its artifacts."""
    params: dict[str, str] = field(default_factory=dict)
    """Parameters."""
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Metric name to (step, value)."""
    tags: dict[str, str] = field(default_factory=dict)
    """Tags."""
    datasets: list[dict[str, str]] = field(default_factory=list)
    """Datasets read."""
    status: str = "RUNNING"
    """RUNNING, FINISHED, FAILED or KILLED."""
    logged: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each artifact."""
    made: list[tuple[str, str]] = field(default_factory=list)
    """Model and number of the versions registered in it."""
    model: str = ""
    """Model whose experiment it is in."""
    audited: list[tuple[str, float]] = field(default_factory=list)
    """Metrics of its logged model."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """See ``Run``."""
        self.params.update({key: shortened(as_text(value), MAX_PARAM) for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """See ``Run``."""
        finite, dropped = finite_part(metrics)
        for name, value in finite.items():
            self.metrics.setdefault(name, []).append((step, value))
        if dropped:
            known = set(filter(None, self.tags.get(names.TAG_NONFINITE, "").split(",")))
            self.set_tags({names.TAG_NONFINITE: ",".join(sorted(known | set(dropped)))})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """See ``Run``."""
        self.tags.update({key: shortened(as_text(value), MAX_TAG) for key, value in tags.items()})

    def log_file(self, path: Path, folder: str = "") -> None:
        """See ``Run``."""
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{path} is not a plain file")
        self.log_bytes(path.read_bytes(), f"{folder}/{path.name}" if folder else path.name)

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """See ``Run``."""
        write_atomic(self.root / artifacts.safe_artifact_path(artifact_path), data)
        self.logged[artifact_path] = sha256_hex(data)

    def log_audit(self, ref: ModelRef, metrics: Mapping[str, float | None], data: tuple[str, str]) -> str:
        """See ``Run``."""
        self.log_metrics(metrics)
        self.log_dataset(*data, "audit")
        self.audited = sorted(finite_part(metrics)[0].items())
        return f"m-{self.id}"

    def log_dataset(self, name: str, digest: str, context: str = "training", facts: Mapping[str, object] | None = None) -> None:
        """See ``Run``."""
        self.datasets.append({"name": name, "digest": digest, "context": context, "facts": as_text(dict(facts or {}))})


@dataclass
class _Version:
    run_id: str
    tags: dict[str, str]
    description: str = ""


class MemoryStore:
    """Everything but the artifacts is lost when the process ends.

    Args:
        folder: where artifacts are put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account = "os:tester"
        self.runs: dict[str, MemoryRun] = {}
        self._models: dict[str, dict[str, _Version]] = {}
        self._last: dict[str, int] = {}
        self._aliases: dict[str, dict[str, str]] = {}
        self._descriptions: dict[str, str] = {}
        self._logs: dict[str, list[LogEntry]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        """See ``Store``."""
        return "memory"

    @contextmanager
    def run(self, model: str, kind: str, *, parent: str | None = None, tags: Mapping[str, object] | None = None) -> Iterator[Run]:
        """See ``Store``."""
        references.check_name(model)
        run_id = f"{next(self._numbers):032x}"
        run = self.runs[run_id] = MemoryRun(run_id, self.folder / run_id, model=model)
        run.set_tags({**(tags or {}), names.TAG_KIND: kind, **({"mlflow.parentRunId": parent} if parent else {})})
        status = "KILLED"
        try:
            yield run
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            run.status = status
            for made in run.made if status != "FINISHED" else ():
                self._models[made[0]].pop(made[1], None)

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
        """See ``Store``."""
        references.check_name(model)
        references.check_role(role)
        artifacts.check_folder(folder)
        place = self.folder / run.id / names.MODEL_FOLDER
        if place.exists():
            raise InputError(f"run {run.id} already created a version: open a new run for each")
        artifacts.copy_folder(folder, place)
        stored = artifacts.folder_digest(place, model)
        if stored != artifacts.folder_digest(folder, str(folder)):
            raise IntegrityError(f"what was stored for {model} is not what was given: register again")
        texts = version_tags({**(tags or {}), names.TAG_ROLE: role, names.TAG_MANIFEST: stored})
        described = ModelRef(model, "", run_id=run.id)
        texts[names.TAG_REGISTRATION] = enter_registration(self, described, texts, run.logged, author)
        with self._lock:
            versions = self._models.setdefault(model, {})
            self._last[model] = self._last.get(model, 0) + 1
            number = str(self._last[model])
            versions[number] = _Version(run.id, texts)
            self.runs[run.id].made.append((model, number))
        return ref_from_tags(model, number, run.id, texts)

    def resolve(self, text: str) -> ModelRef:
        """See ``Store``."""
        return references.resolve(self, text)

    def models(self) -> list[str]:
        """See ``Store``."""
        return sorted({*self._models, *(log.removesuffix(names.LEDGER_SUFFIX) for log in self._logs)})

    def versions(self, name: str, role: str | None = None) -> list[ModelRef]:
        """See ``Store``."""
        found = self._models.get(name, {})
        refs = [ref_from_tags(name, number, version.run_id, version.tags) for number, version in found.items()]
        return [ref for ref in refs if role is None or ref.role == role]

    def aliases(self, name: str) -> dict[str, str]:
        """See ``Store``."""
        return dict(self._aliases.get(name, {}))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """See ``Store``."""
        references.check_alias(alias)
        self._version(name, version)
        self._aliases.setdefault(name, {})[alias] = version

    def delete_alias(self, name: str, alias: str) -> None:
        """See ``Store``."""
        self._aliases.get(name, {}).pop(alias, None)

    def tags(self, ref: ModelRef) -> dict[str, str]:
        """See ``Store``."""
        return dict(self._version(ref.name, ref.version).tags)

    def tag(self, ref: ModelRef, tags: Mapping[str, object]) -> None:
        """See ``Store``."""
        self._version(ref.name, ref.version).tags.update(version_tags(tags))

    def describe(self, ref: ModelRef, text: str, *, run_id: str, artifact: str) -> None:
        """See ``Store``."""
        self._version(
            ref.name, ref.version
        ).description = f"{text} [{artifact}]({run_id}/{artifacts.safe_artifact_path(artifact)})"

    def described(self, ref: ModelRef, text: str, *, run_id: str, artifact: str) -> bool:
        """See ``Store``."""
        found = self._version(ref.name, ref.version).description
        return found == f"{text} [{artifact}]({run_id}/{artifacts.safe_artifact_path(artifact)})"

    def describe_model(self, name: str, text: str) -> None:
        """See ``Store``."""
        self._descriptions[name] = text

    def model_description(self, name: str) -> str:
        """See ``Store``."""
        return self._descriptions.get(name, "")

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """See ``Store``."""
        return {name: rows[-1][1] for name, rows in self.runs[run_id].metrics.items()} if run_id in self.runs else {}

    def logged_metrics(self, logged_model: str) -> list[tuple[str, float]]:
        """See ``Store``."""
        run = self.runs.get(logged_model.removeprefix("m-"))
        return list(run.audited) if run is not None else []

    def fetch(self, ref: ModelRef, into: Path) -> Path:
        """See ``Store``."""
        return artifacts.copy_checked(ref, into, lambda target: artifacts.copy_folder(self._place(ref), target))

    def manifest_of(self, ref: ModelRef) -> str:
        """See ``Store``."""
        return artifacts.folder_digest(self._place(ref), ref.label, ref)

    def run_artifact(self, run_id: str, path: str) -> bytes | None:
        """See ``Store``."""
        run = self.runs.get(run_id)
        place = run.root / artifacts.safe_artifact_path(path) if run else None
        if place is None or place.is_symlink() or not place.is_file():
            return None
        artifacts.check_size(path, place.stat().st_size, f"run {run_id}")
        return place.read_bytes()

    def run_artifacts(self, run_id: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """See ``Store``."""
        return {path: self.run_artifact(run_id, path) for path in paths}

    def artifacts_of_runs(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, bytes | None]]]:
        """See ``Store``."""
        for run_id, paths in wanted.items():
            yield run_id, self.run_artifacts(run_id, paths)

    def runs_of(self, model: str) -> list[RunFacts]:
        """See ``Store``."""
        found = [run for run in self.runs.values() if run.model == model]
        return [
            RunFacts(run.id, run.tags.get(names.TAG_KIND, ""), run.tags.get(names.TAG_SUBJECT, ""), run.status != "RUNNING")
            for run in found
        ]

    def run_files(self, run_id: str) -> dict[str, int]:
        """See ``Store``."""
        root = self.folder / run_id
        found = (path for path in sorted(root.rglob("*")) if path.is_file())
        return {path.relative_to(root).as_posix(): path.stat().st_size for path in found}

    def file_sha256(self, run_id: str, path: str) -> str:
        """See ``Store``."""
        return sha256_file(self.folder / run_id / artifacts.safe_artifact_path(path))

    def remove_files(self, run_id: str, paths: Sequence[str]) -> None:
        """See ``Store``."""
        for path in paths:
            (self.folder / run_id / artifacts.safe_artifact_path(path)).unlink(missing_ok=True)

    def append(self, log: str, tags: Mapping[str, str], subject: ModelRef) -> int:
        """See ``Store``."""
        if subject.version or subject.run_id not in self.runs:
            self._version(subject.name, subject.version)
        with self._lock:
            entries = self._logs.setdefault(log, [])
            entries.append(LogEntry(len(entries) + 1, version_tags(tags)))
            return len(entries)

    def entries(self, log: str) -> list[LogEntry]:
        """See ``Store``."""
        return list(self._logs.get(log, []))

    def _version(self, name: str, version: str) -> _Version:
        found = self._models.get(name, {}).get(version)
        if found is None:
            raise NotFoundError(f"no version {name}/{version} in {self.uri}")
        return found

    def _place(self, ref: ModelRef) -> Path:
        place = self.folder / self._version(ref.name, ref.version).run_id / names.MODEL_FOLDER
        if not place.is_dir():
            raise IntegrityError(f"the files of {ref.label} are gone from the store")
        return place
