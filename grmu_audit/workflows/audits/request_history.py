"""Earlier requests of a version's lineage, with the versions before and after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.evidence.purges import purge_state
from grmu_audit.records import ModelRef, Predictions
from grmu_audit.records.inputs import EarlierRequest
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.requests import Lineages

if TYPE_CHECKING:
    from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class PastRequest:
    """A request that an ancestor was created for."""

    before: ModelRef
    """The version that the ancestor was made from."""
    served: ModelRef
    """The ancestor."""
    rows: frozenset[str]
    """Pseudonyms of the rows that it added to the forget set."""

    def measured(self, tables: Mapping[str, Predictions]) -> EarlierRequest:
        """The request with the predictions of both versions, by label."""
        return EarlierRequest(self.served.label, self.rows, tables[self.before.label], tables[self.served.label])


def past_requests(session: Session, version: ModelRef) -> list[PastRequest]:
    """Every request that an ancestor of a version was created for, oldest first.

    Left out are one whose parent was deleted, one whose versions were purged, and one that named no new training row: there is
    nothing to be forgotten of it.
    """
    lineages = Lineages(session.store)
    state = purge_state(read_ledger(session.store, version.name))
    named = [one for one in lineages.requests(version) if one.ref.label != version.label and one.rows]
    found = [(lineages.version(str(one.ref.parent)), one) for one in named]
    there = [(parent, one) for parent, one in found if parent is not None and not state.of(parent.version)]
    return [PastRequest(parent, one.ref, one.rows) for parent, one in there if not state.of(one.ref.version)]
