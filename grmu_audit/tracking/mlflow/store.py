"""The store on MLflow: embedded SQLite, or any server; the same code for both."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import UNKNOWN_AUTHOR, Author
from grmu_audit.records import ModelRef
from grmu_audit.tracking import artifacts, names, references
from grmu_audit.tracking.mlflow.accounts import account_of
from grmu_audit.tracking.mlflow.artifacts import download_folder, local_folder, read_artifacts, repository
from grmu_audit.tracking.mlflow.environment import Location, shown_uri
from grmu_audit.tracking.mlflow.errors import is_taken, translated
from grmu_audit.tracking.mlflow.processes import close_abandoned, this_process
from grmu_audit.tracking.mlflow.reading import ClientReader, Reader, TableReader, VersionRow
from grmu_audit.tracking.mlflow.removal import file_sha256, remove_files, run_files, runs_of
from grmu_audit.tracking.mlflow.run import MlflowRun
from grmu_audit.tracking.mlflow.serving import serving_files
from grmu_audit.tracking.names import ref_from_tags, version_tags
from grmu_audit.tracking.registration import enter_registration
from grmu_audit.tracking.store import LogEntry, Run, RunFacts
from grmu_audit.utils import folder_manifest, manifest_sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowStore:
    """See ``Store``; created by ``open_store``.

    Args:
        location: where it is; ``environment.prepare`` was called for it.

    Raises:
        EnvironmentFailure: the database or server cannot be opened.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._reads: Reader = TableReader.of(location) or ClientReader(self._client)

    @cached_property
    def _client(self) -> MlflowClient:
        """MLflow's client, which takes seconds to import: opened only where it is needed."""
        with self._doing("open the tracking store"):
            from mlflow import MlflowClient

            client = MlflowClient(self._location.tracking_uri, self._location.registry_uri)
            client.search_experiments(max_results=1)
            return client

    @property
    def uri(self) -> str:
        """See ``Store``."""
        return shown_uri(self._location.tracking_uri)

    @cached_property
    def account(self) -> str:
        """See ``Store``; by the server of the registry, which holds the ledger."""
        with self._doing("ask for the account"):
            return account_of(self._location.registry_uri)

    @contextmanager
    def run(self, model: str, kind: str, *, parent: str | None = None, tags: Mapping[str, object] | None = None) -> Iterator[Run]:
        """See ``Store``."""
        references.check_name(model)
        start = {
            names.TAG_KIND: kind,
            names.TAG_PROCESS: this_process(),
            "mlflow.source.name": "grmu-audit",
            "mlflow.source.type": "LOCAL",
        }
        with self._doing(f"open a run of {model}"):
            experiment = self._experiment(names.EXPERIMENT_PREFIX + model)
            deque(close_abandoned(self._client, experiment), maxlen=0)
            opened = self._client.create_run(
                experiment, tags=start | ({"mlflow.parentRunId": parent} if parent else {}), run_name=kind
            )
        run = MlflowRun(self._client, self.uri, opened.info.run_id)
        status = "KILLED"
        try:
            run.set_tags(tags or {})
            yield run
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            with self._doing(f"close run {run.id}"):
                for model_version in run.made if status != "FINISHED" else ():
                    self._client.delete_model_version(*model_version)
                self._client.set_terminated(run.id, status)

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
        """See ``Store``; an exported graph ``model.pt2`` gets the files with which plain MLflow serves it."""
        references.check_name(model)
        references.check_role(role)
        artifacts.check_folder(folder)
        source, local = self._model_folder(run.id)
        with self._doing(f"list the files of run {run.id}"):
            made = self._client.list_artifacts(run.id, names.MODEL_FOLDER)
        if made:
            raise InputError(f"run {run.id} already created a version: open a new run for each")
        digest = self._upload(MlflowRun(self._client, self.uri, run.id), folder)
        texts = version_tags({**(tags or {}), names.TAG_ROLE: role, names.TAG_MANIFEST: digest})
        artifacts.check_digest(ref_from_tags(model, "", run.id, texts), self._digest(run.id, local, model, None))
        described = ModelRef(model, "", run_id=run.id)
        texts[names.TAG_REGISTRATION] = enter_registration(self, described, texts, run.logged, author)
        version = self._create_version(model, source, run.id, texts)
        if isinstance(run, MlflowRun):
            run.made.append((model, version))
        return ref_from_tags(model, version, run.id, texts)

    def resolve(self, text: str) -> ModelRef:
        """See ``Store``."""
        return references.resolve(self, text)

    def models(self) -> list[str]:
        """See ``Store``."""
        with self._doing("list the registered models"):
            return sorted({name.removesuffix(names.LEDGER_SUFFIX) for name in self._reads.models()})

    def versions(self, name: str, role: str | None = None) -> list[ModelRef]:
        """See ``Store``."""
        references.check_name(name)
        refs = [ref_from_tags(name, str(row.number), row.run_id, row.tags) for row in self._versions_of(name)]
        return [ref for ref in refs if role is None or ref.role == role]

    def aliases(self, name: str) -> dict[str, str]:
        """See ``Store``."""
        with self._doing(f"read the aliases of {name}"):
            return self._reads.aliases(references.check_name(name))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """See ``Store``."""
        references.check_alias(alias)
        with self._doing(f"set the alias {alias} of {name} to version {version}"):
            self._client.set_registered_model_alias(references.check_name(name), alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """See ``Store``."""
        if alias in self.aliases(name):
            with self._doing(f"delete the alias {alias} of {name}"):
                self._client.delete_registered_model_alias(name, alias)

    def tags(self, ref: ModelRef) -> dict[str, str]:
        """See ``Store``."""
        with self._doing(f"read the tags of {ref.label}"):
            return self._reads.version(ref.name, ref.version).tags

    def tag(self, ref: ModelRef, tags: Mapping[str, object]) -> None:
        """See ``Store``."""
        for key, value in version_tags(tags).items():
            with self._doing(f"tag {ref.label}"):
                self._client.set_model_version_tag(ref.name, ref.version, key, value)

    def describe(self, ref: ModelRef, text: str, *, run_id: str, artifact: str) -> None:
        """See ``Store``; the link is relative to the server's own pages, so it works under any address."""
        with self._doing(f"describe {ref.label}"):
            self._client.update_model_version(ref.name, ref.version, self._description(text, run_id, artifact))

    def described(self, ref: ModelRef, text: str, *, run_id: str, artifact: str) -> bool:
        """See ``Store``."""
        with self._doing(f"read the description of {ref.label}"):
            found = self._reads.version(ref.name, ref.version).description
            return bool(found == self._description(text, run_id, artifact))

    def _description(self, text: str, run_id: str, artifact: str) -> str:
        experiment = self._reads.run(run_id).experiment
        link = f"#/experiments/{experiment}/runs/{run_id}/artifacts/{artifacts.safe_artifact_path(artifact)}"
        return f"{text.rstrip()}\n\n[{artifact}]({link})"

    def describe_model(self, name: str, text: str) -> None:
        """See ``Store``."""
        with self._doing(f"describe {name}"):
            self._client.update_registered_model(references.check_name(name), text)

    def model_description(self, name: str) -> str:
        """See ``Store``."""
        with self._doing(f"read the description of {name}"):
            return self._reads.model_description(references.check_name(name))

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """See ``Store``."""
        with self._doing(f"read the metrics of run {run_id}"):
            return self._reads.run_metrics(run_id)

    def logged_metrics(self, logged_model: str) -> list[tuple[str, float]]:
        """See ``Store``."""
        with self._doing(f"read the metrics of logged model {logged_model}"):
            return self._reads.logged_metrics(logged_model)

    def fetch(self, ref: ModelRef, into: Path) -> Path:
        """See ``Store``."""
        run_id, local = self._files_of(ref)
        return artifacts.copy_checked(ref, into, partial(self._copy, run_id, local, ref.label))

    def manifest_of(self, ref: ModelRef) -> str:
        """See ``Store``."""
        run_id, local = self._files_of(ref)
        return self._digest(run_id, local, ref.label, ref)

    def run_artifact(self, run_id: str, path: str) -> bytes | None:
        """See ``Store``."""
        return self.run_artifacts(run_id, (path,))[path]

    def run_artifacts(self, run_id: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """See ``Store``."""
        return dict(self.artifacts_of_runs({run_id: paths}))[run_id]

    def artifacts_of_runs(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, bytes | None]]]:
        """See ``Store``."""
        named = {run: [artifacts.safe_artifact_path(path) for path in paths] for run, paths in wanted.items()}
        with self._doing(f"look up {len(named)} runs" if len(named) > 1 else f"read run {next(iter(named), '')}"):
            rows = self._reads.runs_by_id(list(named))
        for run, paths in named.items():
            if run not in rows:
                yield run, dict.fromkeys(paths)
                continue
            with self._doing(f"read {', '.join(paths)} of run {run}"):
                found = read_artifacts(rows[run], self._location.tracking_uri, f"run {run}", paths)
            yield run, found

    def runs_of(self, model: str) -> list[RunFacts]:
        """See ``Store``."""
        with self._doing(f"list the runs of {model}"):
            return list(runs_of(self._client, names.EXPERIMENT_PREFIX + references.check_name(model)))

    def run_files(self, run_id: str) -> dict[str, int]:
        """See ``Store``."""
        try:
            with self._doing(f"list the files of run {run_id}"):
                return run_files(self._reads.run(run_id), self._location.tracking_uri)
        except NotFoundError:
            return {}

    def file_sha256(self, run_id: str, path: str) -> str:
        """See ``Store``."""
        with self._doing(f"read {path} of run {run_id}"):
            return file_sha256(self._reads.run(run_id), self._location.tracking_uri, path)

    def remove_files(self, run_id: str, paths: Sequence[str]) -> None:
        """See ``Store``."""
        with self._doing(f"delete files of run {run_id}"):
            remove_files(self._reads.run(run_id), self._location.tracking_uri, paths)

    def append(self, log: str, tags: Mapping[str, str], subject: ModelRef) -> int:
        """See ``Store``."""
        if not subject.version and subject.run_id:
            source, _ = self._model_folder(subject.run_id)
            return int(self._create_version(log, source, subject.run_id, version_tags(tags)))
        with self._doing(f"read {subject.label}"):
            version = self._reads.version(subject.name, subject.version)
        return int(self._create_version(log, version.source, version.run_id, version_tags(tags)))

    def entries(self, log: str) -> list[LogEntry]:
        """See ``Store``."""
        return [LogEntry(row.number, row.tags) for row in self._versions_of(log)]

    def _doing(self, what: str) -> Any:
        return translated(self._location.tracking_uri, what)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            root = self._location.artifacts
            place = (root / name).as_uri() if root is not None else None
            try:
                return str(self._client.create_experiment(name, place))
            except MlflowException as error:
                if not is_taken(error):
                    raise
                found = self._client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise InputError(
                f"the experiment {name!r} is deleted: restore it with 'mlflow experiments restore', or use another name"
            )
        return str(found.experiment_id)

    def _versions_of(self, name: str) -> list[VersionRow]:
        with self._doing(f"list the versions of {name}"):
            return self._reads.versions(name)

    def _model_folder(self, run_id: str) -> tuple[str, Path | None]:
        """URI of the run's model folder, and the folder itself where it is local."""
        with self._doing(f"read run {run_id}"):
            run = self._reads.run(run_id)
        if not run.active:
            raise IntegrityError(f"run {run_id} was deleted: restore it with 'mlflow runs restore'")
        uri = f"{run.artifact_uri.rstrip('/')}/{names.MODEL_FOLDER}"
        return uri, local_folder(uri)

    def _files_of(self, ref: ModelRef) -> tuple[str, Path | None]:
        """The run of a version and its local folder, where all by which MLflow's client finds files leads to just these.

        The client downloads ``models:/NAME/N`` from the address that the registry hands out, which need not be the source.
        """
        with self._doing(f"read {ref.label}"):
            version = self._reads.version(ref.name, ref.version)
            served = self._reads.served_from(ref.name, ref.version)
        if not version.run_id:
            raise IntegrityError(f"{ref.label} names no run: it was not registered by this tool")
        uri, local = self._model_folder(version.run_id)
        for found, what in ((version.source, "points at"), (served, "is served by MLflow from")):
            if found != uri:
                shown = shown_uri(str(found))[:200]
                raise IntegrityError(f"{ref.label} {what} {shown!r}, which are not the files of its run: refused")
        return version.run_id, local

    def _upload(self, run: MlflowRun, folder: Path) -> str:
        extra = serving_files(folder)
        with artifacts.temporary_folder() as temporary:
            for name, content in extra.items():
                (temporary / name).write_bytes(content)
            expected = folder_manifest(folder) | folder_manifest(temporary)
            run.log_folder(folder, names.MODEL_FOLDER)
            if extra:
                run.log_folder(temporary, names.MODEL_FOLDER)
        return manifest_sha256(expected)

    def _copy(self, run_id: str, local: Path | None, label: str, target: Path) -> None:
        if local is not None:
            if not local.is_dir():
                raise IntegrityError(f"the files of {label} are gone from the store")
            artifacts.copy_folder(local, target)
            return
        with self._doing(f"download the files of {label}"):
            remote = repository(self._reads.run(run_id).artifact_uri, self._location.tracking_uri)
            download_folder(remote, names.MODEL_FOLDER, target, label)

    def _digest(self, run_id: str, local: Path | None, label: str, ref: ModelRef | None) -> str:
        if local is not None:
            return artifacts.folder_digest(local, label, ref)
        with artifacts.temporary_folder() as temporary:
            self._copy(run_id, None, label, temporary / "files")
            return artifacts.folder_digest(temporary / "files", label, ref)

    def _create_version(self, model: str, source: str, run_id: str | None, tags: Mapping[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        with self._doing(f"register a version of {model}"):
            try:
                self._client.create_registered_model(model)
            except MlflowException as error:
                if not is_taken(error):
                    raise
            made = self._client.create_model_version(model, source, run_id, tags=dict(tags))
            return str(made.version)
