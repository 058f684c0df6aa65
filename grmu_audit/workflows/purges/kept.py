"""Outputs of a purged version that are kept, those of test rows that no request names: later audits still compare with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.purges import purge_state
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import PREDICTIONS
from grmu_audit.tracking.requests import Lineages, kept_outputs, kept_under_earlier_key
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.evaluation.predict import ModelOutputs


def union_of(session: Session, name: str, rows: Collection[str]) -> frozenset[str]:
    """Rows that no kept table may hold: those given, and those of every request that a version of the model was created for."""
    lineages = Lineages(session.store)
    named = (lineages.left_out(ref) | lineages.withheld(ref) for ref in session.store.versions(name))
    return frozenset(rows).union(*named)


def kept_tables(
    session: Session, name: str, refs: Sequence[ModelRef], versions: Collection[str], union: Collection[str]
) -> dict[str, bytes]:
    """The tables that stay, by version number; none of a version that stored no outputs.

    Of a table under an earlier key no row stays, because nothing shows which rows it holds.  The empty table is written: it takes
    the place of the one that goes.

    Args:
        session: store and key.
        name: registered model.
        refs: versions whose files go now.
        versions: versions purged earlier whose tables are written anew.
        union: pseudonyms that no table may hold.
    """
    from grmu_audit.evaluation.predict import to_parquet

    found: dict[str, bytes] = {}
    for ref in refs:
        outputs = _outputs(session, ref)
        if outputs is not None:
            found[ref.version] = to_parquet(outputs.only((outputs.split == "test") & ~np.isin(outputs.ids, list(union))))
    for version in set(versions) - {ref.version for ref in refs}:
        table = _left(session, read_ledger(session.store, name), version)
        if table is not None:
            found[version] = to_parquet(table.only(~np.isin(table.ids, list(union))))
    return found


def _outputs(session: Session, ref: ModelRef) -> ModelOutputs | None:
    """Outputs of a version that is to be purged: those stored, or that an earlier purge left."""
    from grmu_audit.evaluation.predict import from_parquet

    ledger = read_ledger(session.store, ref.name)
    if purge_state(ledger).of(ref.version) is not None:
        return _left(session, ledger, ref.version)
    if not session.has_key_of(ref):  # one forward pass gives the outputs under the present key; not cached, or they would be left
        from grmu_audit.workflows.audits.collection import new_outputs

        return new_outputs(session, ref, session.dataset_of(ref))
    content = session.store.run_artifact(str(ref.run_id), PREDICTIONS)
    return from_parquet(content) if content is not None else None


def _left(session: Session, ledger: Ledger, version: str) -> ModelOutputs | None:
    """What an earlier purge left of a version, and may stay: no row of a table under an earlier key."""
    from grmu_audit.evaluation.predict import from_parquet

    content = kept_outputs(session.store, ledger, version)
    if content is None:
        return None
    outputs = from_parquet(content)
    unknown = kept_under_earlier_key(session.store, ledger, version)
    return outputs.only(np.zeros(len(outputs.ids), dtype=np.bool_)) if unknown else outputs


def earlier_with(session: Session, ledger: Ledger, rows: Collection[str]) -> dict[str, bool]:
    """Versions purged earlier whose kept outputs hold one of these rows, or may hold one because they are under an earlier key.

    Returns:
        Whether the outputs are under an earlier key, by version.
    """
    from grmu_audit.evaluation.predict import from_parquet

    named, found = {version for step in purge_state(ledger).begun for version in step.entry.purged or ()}, dict[str, bool]()
    for version in sorted(named, key=int):
        content = kept_outputs(session.store, ledger, version)
        ids = from_parquet(content).ids.tolist() if content is not None else []
        unknown = bool(ids) and kept_under_earlier_key(session.store, ledger, version)
        if unknown or not set(rows).isdisjoint(ids):
            found[version] = unknown
    return found
