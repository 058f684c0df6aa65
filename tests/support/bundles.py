"""Evidence bundles of audited and promoted versions."""

from __future__ import annotations

from pathlib import Path

from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.tracking import Author, promote, sign_off
from grmu_audit.workflows.audits.stored import export_bundle


def made(folder: Path, name: str, seeds: list[int], key: Path | None, bound: float = 0.3) -> bytes:
    store = MemoryStore(folder / f"{name}-store")
    ref = version(store, name, folder / f"{name}-v1")
    audited(store, ref, [predictions(seed, 100 + seed // 100) for seed in seeds], policy(bound), key)
    if bound < 0.9:
        promote(store, ref.label)
    sign_off(store, ref, "preparer", Author("ana"), "read it")
    export_bundle(store, ref.label, folder / f"{name}.zip")
    return (folder / f"{name}.zip").read_bytes()
