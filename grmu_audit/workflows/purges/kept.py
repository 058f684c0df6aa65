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
from grmu_audit.tracking.requests import Lineages, kept_outputs
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

    Args:
        session: store and key.
        name: registered model.
        refs: versions whose files go now.
        versions: versions purged earlier whose tables are written anew.
        union: pseudonyms that no table may hold.
    """
    from grmu_audit.evaluation.predict import from_parquet, to_parquet

    found: dict[str, bytes] = {}
    for ref in refs:
        outputs = _outputs(session, ref)
        if outputs is not None:
            found[ref.version] = to_parquet(outputs.only((outputs.split == "test") & ~np.isin(outputs.ids, list(union))))
    for version in set(versions) - {ref.version for ref in refs}:
        content = kept_outputs(session.store, read_ledger(session.store, name), version)
        if content is not None:
            table = from_parquet(content)
            found[version] = to_parquet(table.only(~np.isin(table.ids, list(union))))
    return found


def _outputs(session: Session, ref: ModelRef) -> ModelOutputs | None:
    """Outputs of a version that is to be purged: those stored, or that an earlier purge left."""
    from grmu_audit.evaluation.predict import from_parquet

    ledger = read_ledger(session.store, ref.name)
    if purge_state(ledger).of(ref.version) is not None:
        content = kept_outputs(session.store, ledger, ref.version)
        return from_parquet(content) if content is not None else None
    if not session.has_key_of(ref):  # one forward pass gives the outputs under the present key; not cached, or they would be left
        from grmu_audit.workflows.audits.collection import new_outputs

        return new_outputs(session, ref, session.dataset_of(ref))
    content = session.store.run_artifact(str(ref.run_id), PREDICTIONS)
    return from_parquet(content) if content is not None else None


def earlier_with(session: Session, ledger: Ledger, rows: Collection[str]) -> tuple[str, ...]:
    """Versions purged earlier whose kept outputs hold one of these rows."""
    from grmu_audit.evaluation.predict import from_parquet

    named = {version for step in purge_state(ledger).begun for version in step.entry.purged or ()}
    tables = {version: kept_outputs(session.store, ledger, version) for version in sorted(named, key=int)}
    return tuple(v for v, content in tables.items() if content and not set(rows).isdisjoint(from_parquet(content).ids.tolist()))
