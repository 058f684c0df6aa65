"""Runs, versions, aliases, ledger and promotion; the package ``mlflow`` inside is the only one that imports MLflow."""

from __future__ import annotations

from pathlib import Path

from grmu_audit.evidence.ledger import Author
from grmu_audit.tracking.audits import Evidence, read_evidence, record_audit, require_pass
from grmu_audit.tracking.ledger import read_ledger
from grmu_audit.tracking.names import lineage_tags
from grmu_audit.tracking.promotion import Actor, Promotion, promote, resume, rollback
from grmu_audit.tracking.references import Reference, parse_reference, require_model
from grmu_audit.tracking.requirements import NO_REQUIREMENTS, Requirements, check_attestation
from grmu_audit.tracking.sign_off import sign_off
from grmu_audit.tracking.store import LogEntry, Run, Store
from grmu_audit.tracking.verification import Finding, reversals, verify

__all__ = [
    "NO_REQUIREMENTS",
    "Actor",
    "Author",
    "Evidence",
    "Finding",
    "LogEntry",
    "Promotion",
    "Reference",
    "Requirements",
    "Run",
    "Store",
    "check_attestation",
    "lineage_tags",
    "open_store",
    "parse_reference",
    "promote",
    "read_evidence",
    "read_ledger",
    "record_audit",
    "require_model",
    "require_pass",
    "resume",
    "reversals",
    "rollback",
    "sign_off",
    "verify",
]


def open_store(
    tracking_uri: str | None = None, registry_uri: str | None = None, root: Path = Path("mlruns"), *, create: bool = True
) -> Store:
    """Open the tracking store: the options, else ``MLFLOW_TRACKING_URI`` / ``MLFLOW_REGISTRY_URI``, else SQLite under ``root``.

    MLflow takes seconds to import: a known embedded database is read without it, and MLflow is loaded before the first write;
    for a server it is loaded here, after an unreachable one was ruled out.

    Args:
        tracking_uri: server or database of the runs.
        registry_uri: server or database of the registered models; the tracking store when not given.
        root: folder of the embedded store.
        create: whether a database that does not exist is created.

    Raises:
        InputError: a URI of a kind that cannot hold a registry.
        NotFoundError: without ``create``, nothing is stored in the database.
        EnvironmentFailure: the server does not answer, or the database cannot be opened.
    """
    from grmu_audit.tracking.mlflow import environment

    location = environment.locate(tracking_uri, registry_uri, root)
    environment.prepare(location, create=create)
    from grmu_audit.tracking.mlflow.store import MlflowStore

    return MlflowStore(location)
