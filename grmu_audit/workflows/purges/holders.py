"""Everything that still holds given rows: versions, stored outputs, runs, caches, bundles, and what the tool cannot reach."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from grmu_audit.errors import InputError
from grmu_audit.evidence.attestation import AUDIT_FILE, TABLES, tables_of
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.purges import purge_state
from grmu_audit.records import Audit, ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import CANDIDATE, KEPT_OF_PURGED, MODEL_FOLDER, PREDICTIONS, REFERENCE, START
from grmu_audit.tracking.requests import kept_table
from grmu_audit.tracking.store import RunFacts
from grmu_audit.utils import cache_folder
from grmu_audit.workflows.purges.selection import Selection, Trained, trained_on
from grmu_audit.workflows.session import Session

PURGED, KEPT, BLOCKS, OPEN = "purged", "kept", "blocks", "open"
"""What a purge does with a holder: deletes it, leaves it, is refused because of it, or cannot reach it."""
OWN_ALIASES = (CANDIDATE, REFERENCE)
"""Aliases that the tool sets itself and that serve nobody: a purge removes them."""
_RECORDS = ("audit", "request", "rekey", "purge", "evaluate")
"""Kinds of runs that hold no weights."""
Files = dict[str, dict[str, int]]
"""Size in bytes of files by path, by run."""


@dataclass(frozen=True)
class Holder:
    """One thing that holds the rows, or what was learned from them."""

    kind: str
    """``version``, ``descendant``, ``alias``, ``audit``, ``run``, ``outputs``, ``cache``, ``bundle``, ``elsewhere``."""
    name: str
    """What it is."""
    holds: str
    """What it holds of the rows."""
    action: str
    """``purged``, ``kept``, ``blocks`` or ``open``."""
    why: str = ""
    """Why it is not purged, or what to do."""
    size: int = 0
    """Bytes that go."""


@dataclass(frozen=True)
class Holders:
    """Everything that holds the rows of a selection."""

    session: Session
    """Store, key, folders."""
    selection: Selection
    """The rows."""
    descendants: bool = False
    """Whether versions that were derived from trained ones, without the rows, are purged too."""
    _audits: dict[str, Audit | None] = field(default_factory=dict, repr=False)

    @cached_property
    def ledger(self) -> Ledger:
        """The model's."""
        return read_ledger(self.session.store, self.selection.model)

    @cached_property
    def trained(self) -> Trained:
        """Its versions by what they have of the rows."""
        return trained_on(self.session, self.selection)

    @cached_property
    def versions(self) -> tuple[ModelRef, ...]:
        """The versions whose files a purge deletes."""
        champion = self.ledger.state.champion
        derived = [ref for ref in self.trained.derived if self.descendants and ref.version != champion]
        return tuple(sorted([*self.trained.on_rows, *derived], key=lambda ref: int(ref.version)))

    @cached_property
    def runs(self) -> list[RunFacts]:
        """Every run of the model."""
        return self.session.store.runs_of(self.selection.model)

    @cached_property
    def run_files(self) -> Files:
        """What each of them holds."""
        return {run.id: self.session.store.run_files(run.id) for run in self.runs}

    @cached_property
    def files(self) -> Files:
        """The files that a purge deletes: of the versions, of audits with them, and of runs that ended without a version."""
        found = dict[str, dict[str, int]]()
        for run in self.runs:
            deleted = {path: size for path, size in self.run_files[run.id].items() if self._is_deleted(run, path)}
            if deleted:
                found[run.id] = deleted
        return found

    def _is_deleted(self, run: RunFacts, path: str) -> bool:
        """Whether a file of a run is deleted."""
        labels = {ref.label for ref in self.versions}
        if run.id in self._registered:
            return self._registered[run.id] in labels and path not in KEPT_OF_PURGED
        if run.kind == "audit":
            return path in self._tables(run, labels)
        if run.kind == "purge":
            return path in self._left_tables(run)
        weights = path.startswith(f"{MODEL_FOLDER}/") or path in (PREDICTIONS, START)
        return run.ended and run.kind not in ("", *_RECORDS) and weights

    @cached_property
    def _registered(self) -> Mapping[str, str]:
        """Label of the version that a run created, by run."""
        return {str(ref.run_id): ref.label for ref in self.session.store.versions(self.selection.model)}

    def _tables(self, run: RunFacts, labels: set[str]) -> list[str]:
        """Tables of an audit that hold outputs of the versions: all where the audit is missing or cannot be read."""
        stored = [path for path in self.run_files[run.id] if path.startswith(f"{TABLES}/")]
        audit = self._audit(run) if stored else None
        if audit is None:
            return stored if run.ended else []
        roles = {name: name.removeprefix(f"{TABLES}/").removesuffix(".parquet") for name in tables_of(audit)}
        return [name for name, ref in tables_of(audit).items() if ref.label in labels and roles[name] not in audit.purged]

    def _audit(self, run: RunFacts) -> Audit | None:
        if run.id not in self._audits:
            content = self.session.store.run_artifact(run.id, AUDIT_FILE) if not run.deleted else None
            try:
                self._audits[run.id] = Audit.from_json(json.loads(content)) if content else None
            except (ValueError, InputError, RecursionError):
                self._audits[run.id] = None
        return self._audits[run.id]

    def _left_tables(self, run: RunFacts) -> list[str]:
        """Tables that an earlier purge kept: all where it took no effect, else those that the new purge writes again."""
        steps = {str(step.entry.run): step for step in purge_state(self.ledger).begun}
        stored = [path for path in self.run_files[run.id] if path.startswith(f"{TABLES}/")]
        if run.id not in steps:
            return stored if run.ended else []
        return [path for path in stored if path in {kept_table(version) for version in self.rewritten}]

    @cached_property
    def rewritten(self) -> dict[str, bool]:
        """Versions purged earlier whose kept outputs hold rows of this selection, or may; whether their key is an earlier one."""
        from grmu_audit.workflows.purges.kept import earlier_with

        return earlier_with(self.session, self.ledger, self.selection.rows)

    @cached_property
    def places(self) -> dict[str, Path]:
        """Where this session has caches, by name; absolute."""
        root, cache = self.session.root, cache_folder()
        jobs = self.session.jobs.folder
        places = {name: root / name for name in ("measured", "shadow", "checkpoints", "jobs")}
        places |= {name: cache / name for name in ("images", "tokens")}
        if jobs is not None and "://" not in jobs:
            places |= {name: Path(jobs) / part for name, part in JOB_PARTS.items()}
        return {name: Path(os.path.realpath(place.parent), place.name) for name, place in places.items()}

    @cached_property
    def folders(self) -> dict[str, tuple[Path, int]]:
        """Caches of this machine by name, with their bytes; those that hold nothing are left out.

        Raises:
            InputError: the folder of jobs that was given holds something else.
        """
        places = self.places
        for name in JOB_PARTS.keys() & places.keys():
            require_jobs(places[name])
        sizes = {name: sum(f.lstat().st_size for f in place.rglob("*") if not f.is_dir()) for name, place in places.items()}
        return {name: (place, sizes[name]) for name, place in places.items() if place.exists() and any(place.iterdir())}

    def listed(self) -> list[Holder]:
        """Everything, what is purged first."""
        found = [*self._versions(), *self._audit_runs(), *self._other_runs(), *self._caches(), *self._evidence(), *self._open()]
        order = {BLOCKS: 0, PURGED: 1, KEPT: 2, OPEN: 3}
        return sorted(found, key=lambda holder: order[holder.action])

    def _versions(self) -> Iterator[Holder]:
        state, aliases = purge_state(self.ledger), self.session.store.aliases(self.selection.model)
        for ref in self.trained.on_rows:
            size, gone = self._size(str(ref.run_id)), state.of(ref.version)
            if gone is not None and not size:
                yield Holder("version", ref.label, "nothing any more", KEPT, f"purged: ledger entry {gone.number}")
            else:
                yield Holder("version", ref.label, "weights and outputs, trained on the rows", PURGED, size=size)
        for ref in self.trained.derived:
            why = "an alias leads to it" if ref.version in aliases.values() else "created without the rows; --descendants"
            action = (PURGED, "") if ref in self.versions else (KEPT, why)
            holds = "weights derived from a version that was trained on the rows"
            yield Holder("descendant", ref.label, holds, *action, self._size(ref.run_id))
        for alias, version in sorted(aliases.items()):
            if any(ref.version == version for ref in self.versions):
                own = alias in OWN_ALIASES
                why = "" if own else "move it to a version that was created without the rows"
                yield Holder("alias", alias, f"leads to {self.selection.model}/{version}", PURGED if own else BLOCKS, why)

    def _size(self, run_id: str | None) -> int:
        return sum(self.files.get(str(run_id), {}).values())

    def _audit_runs(self) -> Iterator[Holder]:
        for run in self.runs:
            if run.kind == "audit" and run.id in self.files:
                holds = f"{len(self.files[run.id])} tables of outputs of these versions"
                yield Holder("audit", f"audit of {run.subject or run.id[:8]}", holds, PURGED, size=self._size(run.id))

    def _other_runs(self) -> Iterator[Holder]:
        for run in self.runs:
            if run.id in self._registered or run.kind == "audit":
                continue
            if run.id in self.files:
                what = "outputs of test rows" if run.kind == "purge" else "weights or outputs, no version"
                why = self._why_whole(run) if run.kind == "purge" else ""
                yield Holder("run", f"{run.kind or 'run'} {run.id[:8]}", what, PURGED, why, self._size(run.id))
            elif not run.ended and run.kind and run.kind not in _RECORDS:
                yield Holder("run", f"{run.kind} {run.id[:8]}", "may write weights", OPEN, "it is running: purge again after")

    def _why_whole(self, run: RunFacts) -> str:
        """Which tables of an earlier purge go as a whole, because nothing shows whether they hold the rows."""
        unknown = [version for version, earlier in self.rewritten.items() if earlier]
        labels = [f"{self.selection.model}/{version}" for version in unknown if kept_table(version) in self.files[run.id]]
        return f"what was kept of {', '.join(labels)} has pseudonyms of an earlier key: no row of it stays" if labels else ""

    def _caches(self) -> Iterator[Holder]:
        holds = {
            "measured": "features, answers and outputs of networks, of every model of this folder",
            "shadow": "shadow models and their outputs, of every model of this folder",
            "checkpoints": "weights of interrupted runs",
            "images": "decoded images, made again from the data when they are needed",
            "tokens": "texts as numbers, made again from the data when they are needed",
        }
        for name, (place, size) in self.folders.items():
            yield Holder("cache", f"{name} ({place})", holds.get(name, "rows, networks and results of jobs"), PURGED, size=size)

    def _evidence(self) -> Iterator[Holder]:
        for ref in self.session.store.versions(self.selection.model):
            if ref not in self.versions and PREDICTIONS in self.run_files.get(str(ref.run_id), {}):
                yield Holder("outputs", ref.label, "outputs on the rows, by pseudonym", KEPT, "evidence of its verdict")

    def _open(self) -> Iterator[Holder]:
        for numbered in self.ledger.entries:
            if numbered.entry.kind == "export":
                entry = numbered.entry
                digest = str(entry.record_sha256)[:16]
                yield Holder("bundle", entry.reason, f"outputs (SHA-256 {digest}...)", OPEN, "delete it where it lies")
        yield from self._other_models()
        place = tempfile.gettempdir()
        if left := sum(path.is_dir() and os.access(path, os.W_OK) for path in Path(place).glob("*grmu-audit-*")):
            yield Holder("elsewhere", f"{left} folders of stopped runs in {place}", "may hold weights", OPEN, "delete them")
        jobs = self.session.jobs.folder
        if jobs is not None and "://" in jobs:
            yield Holder("elsewhere", jobs, "rows, networks and results of jobs", OPEN, "delete what is in it")
        for name, why in _ELSEWHERE.items():
            yield Holder("elsewhere", name, "may hold the rows", OPEN, why)

    def _other_models(self) -> Iterator[Holder]:
        """Versions under other names: those of the same files, and those of the same data that were created with the rows."""
        runs, data = {ref.run_id for ref in self.versions}, {ref.data_digest for ref in self.versions}
        for name in self.session.store.models():
            for ref in self.session.store.versions(name) if name != self.selection.model else ():
                if ref.run_id in runs:
                    yield Holder("version", ref.label, "the same files", BLOCKS, "delete this version in the registry first")
                elif ref.data_digest in data and not ref.forget_digest:
                    yield Holder("version", ref.label, "weights, trained on the same data", OPEN, f"purge {name} too")


JOB_PARTS = {f"{part} of jobs": part for part in ("inputs", "results", "failures", "checkpoints")}
"""Subfolders of a folder of jobs that the user names, which may be the wrong folder by mistake."""
_JOB_FILE = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.[0-9a-f]{12}\.tmp")
"""Names of what a job stores, and of a file that was being written when its process died."""


def require_jobs(place: Path) -> None:
    """Return when a folder holds nothing that no job has stored there.

    Raises:
        InputError: it does.
    """
    others = sorted(path.name for path in place.iterdir() if not _JOB_FILE.fullmatch(path.name)) if place.is_dir() else []
    if others:
        raise InputError(
            f"--job-folder: {place} holds {others[0]!r}, which no job stored there: nothing in it is deleted; name the folder of"
            " the jobs, or move what is not theirs"
        )


_ELSEWHERE = {
    "the data itself": "delete the rows there",
    "backups of store, data and caches": "delete or overwrite them",
    "mlruns/ and caches of other machines": "purge there again: caches alone are deleted then",
    "files that 'audit --out' and 'evidence export' wrote": "reports hold no outputs; bundles do",
    "other systems": "see --systems of 'retrain' and 'unlearn'",
}
"""Where the tool cannot look, and what to do there."""
