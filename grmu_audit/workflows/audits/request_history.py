"""Earlier requests of a version's lineage, with the versions before and after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.evidence.purges import PurgeState, purge_state, purged_words
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
    why_purged: str
    """Why it cannot be measured, where one of the two versions was purged; else empty."""

    @property
    def versions(self) -> tuple[ModelRef, ...]:
        """The versions whose outputs are needed."""
        return () if self.why_purged else (self.before, self.served)

    def measured(self, tables: Mapping[str, Predictions]) -> EarlierRequest:
        """The request with the predictions of both versions, by label."""
        before, served = (None, None) if self.why_purged else (tables[self.before.label], tables[self.served.label])
        return EarlierRequest(self.served.label, self.rows, before, served, self.why_purged)


def past_requests(session: Session, version: ModelRef) -> list[PastRequest]:
    """Every request that an ancestor of a version was created for, oldest first.

    Left out are requests whose parent version was deleted, and those that named no new training row.
    """
    lineages = Lineages(session.store)
    state = purge_state(read_ledger(session.store, version.name))
    named = [one for one in lineages.requests(version) if one.ref.label != version.label and one.rows]
    found = [(lineages.version(str(one.ref.parent)), one) for one in named]
    return [
        PastRequest(parent, one.ref, one.rows, _why_purged(state, parent, one.ref)) for parent, one in found if parent is not None
    ]


def _why_purged(state: PurgeState, *refs: ModelRef) -> str:
    """A sentence on the first version that was purged; empty where none was."""
    steps = ((ref, state.of(ref.version)) for ref in refs)
    return next((purged_words(ref.name, ref.version, step) for ref, step in steps if step is not None), "")
