"""Versions with requests in their records, as workflows store them, without any training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.judged_audits import audited, policy, predictions
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.evidence import KEY_FILE_VARIABLE, pseudonyms, set_digest
from grmu_audit.policy import Policy
from grmu_audit.records import ForgetRequest, ModelRef
from grmu_audit.tracking import Store, lineage_tags
from grmu_audit.tracking.names import ERASURE, REQUEST
from grmu_audit.utils import canonical_json
from grmu_audit.utils.files import CACHE_VARIABLE
from grmu_audit.workflows.erasure import erasure_artifact, erasure_records
from grmu_audit.workflows.session import Session

KEY = bytes(32)
CLAIMING = Policy.model_validate(
    {
        "schema": "grmu-audit/policy/v1",
        "name": "claiming",
        "minimum_group_size": 1,
        "null_control": "accept",
        "null_control_reason": "imagined models",
        "rules": [{"id": "unseen", "metric": "MIA_AUC", "within": [0.001, 0.999], "evidence": "point"}],
    }
)
"""A rule on forgetting that every model meets."""
_numbers = itertools.count()


def version_without(
    store: Store,
    name: str,
    rows: Sequence[str],
    parent: ModelRef | None = None,
    request_id: str = "",
    union: Sequence[str] | None = None,
    *,
    claims: bool = True,
    withheld: Sequence[str] = (),
) -> ModelRef:
    """A version with a PASS whose record leaves out ``union``.

    Args:
        store: where.
        name: model.
        rows: ids of its own request; none: a pretrain version.
        parent: what it was derived from.
        request_id: of all rows.
        union: what its record leaves out; the rows alone unless given.
        claims: whether the policy that it passes has a rule on forgetting.
        withheld: validation and test ids that no evaluation of it uses.
    """
    left_out = sorted(union if union is not None else rows)
    folder = Path(store.folder) / f"files-{name}-{next(_numbers)}"  # type: ignore[attr-defined]
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(folder.name.encode())
    described = ModelRef(
        name,
        "",
        method="miu",
        parent=parent.label if parent else None,
        forget_digest=set_digest(KEY, left_out) if rows else None,
        request_digest=set_digest(KEY, rows) if rows else None,
    )
    with store.run(name, "unlearn") as run:
        if rows:
            request = ForgetRequest(tuple(rows), set_digest(KEY, rows), {"request_id": (request_id,) * len(rows)})
            run.log_bytes(erasure_artifact(erasure_records(request, KEY)), ERASURE)
            tree = {"digest": set_digest(KEY, left_out), "pseudonyms": sorted(pseudonyms(KEY, left_out)), "made": {}}
            tree["withheld"] = sorted(pseudonyms(KEY, withheld))
            run.log_bytes(canonical_json({**tree, "dominant_groups": [], "groups": []}), REQUEST)
        ref = store.register(run, name, folder, role="unlearned" if rows else "pretrain", tags=lineage_tags(described))
    audited(store, ref, [predictions(100 * int(ref.version))], CLAIMING if claims else policy())
    return ref


def purgeable_session(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: Sequence[str]) -> Session:
    """A session with key, cache and store in a folder: ``m/1`` has all rows, ``m/2`` leaves out those of request R-1."""
    key = folder / "key"
    key.write_text("00" * 32)
    key.chmod(0o600)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(key))
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "cache"))
    (folder / "store").mkdir()
    store = MemoryStore(folder / "store")
    version_without(store, "m", rows, version_without(store, "m", ()), "R-1")
    return open_session(store, folder / "root")
