"""Finds what is audited: a version, its parent, retrained references, and the data and request that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import InputError
from grmu_audit.evidence.purges import purge_state, purged_words, require_not_purged
from grmu_audit.policy import Policy
from grmu_audit.policy.files import policy_label
from grmu_audit.records import ExactEvidence, MeasureOptions, ModelRef
from grmu_audit.tracking.ledger import read_ledger
from grmu_audit.tracking.registration import check_registration
from grmu_audit.tracking.requests import Lineages, StoredRequest
from grmu_audit.workflows.forget_requests import stored_request
from grmu_audit.workflows.rows_read import exact_evidence
from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class AuditTarget:
    """The audited version and the versions that it is compared with."""

    version: ModelRef
    """The audited version."""
    baseline: ModelRef | None
    """Its parent, the version before unlearning."""
    references: tuple[ModelRef, ...]
    """Retrained versions that count, those with REWEIGHT first."""
    left_out: tuple[str, ...]
    """Why other retrained versions of the same forget set do not count, one sentence each."""
    exact: ExactEvidence | None
    """What the record of a retrained version shows of itself."""
    dataset: Dataset
    """The data."""
    request: StoredRequest
    """The forget request."""
    root: ModelRef | None
    """The first version of the lineage, where it is another than the baseline."""
    without_root: str
    """Why the first version of the lineage is not known, where it is not; else empty."""
    purged: Mapping[str, str]
    """Purged versions of the lineage by label, with a sentence on each; only outputs of test rows are left of them."""

    @property
    def present(self) -> list[ModelRef]:
        """The versions whose networks and outputs are there: audited version, baseline, references."""
        baseline = [self.baseline] if self.baseline and self.baseline.label not in self.purged else []
        return [self.version, *baseline, *self.references]

    @property
    def why_purged(self) -> str:
        """Why no model is trained on rows of the audited request any more; empty where they were not purged."""
        return self.purged.get(self.baseline.label, "") if self.baseline else ""


def find_target(session: Session, model: str, references: Sequence[str]) -> AuditTarget:
    """The version, its parent, its references, and their data.

    Args:
        session: store and key.
        model: reference of an unlearned or retrained version.
        references: references of retrained versions; empty: all of the same forget set and data, those with REWEIGHT first.

    Raises:
        InputError: the version was not created for a forget request, or a reference for another one.
        InconclusiveError: the version was purged.
        IntegrityError: the dataset is not what it was at training time, or one of the versions not what it was at registration.
    """
    version = session.store.resolve(model)
    require_not_purged(read_ledger(session.store, version.name), [version.version])
    require_as_registered(session, version)
    session.require_key(version)
    request, dataset = stored_request(session, version), session.dataset_of(version)
    baseline = session.store.resolve(version.parent) if version.parent else None
    lineages = Lineages(session.store)
    found = _References(session, version, baseline, dataset, lineages)
    chosen, left_out = found.named(references) if references else found.all()
    root, why_no_root = _root(lineages, version)
    require_as_registered(session, *([baseline] if baseline else []), *chosen, *([root] if root else []))
    exact = exact_evidence(session, version, dataset)
    purged = _purged(session, lineages.line(version))
    return AuditTarget(version, baseline, chosen, left_out, exact, dataset, request, root, why_no_root, purged)


def _purged(session: Session, line: Sequence[ModelRef]) -> dict[str, str]:
    """Purged versions of a lineage by label, with a sentence on each."""
    found: dict[str, str] = {}
    for ref in line:
        step = purge_state(read_ledger(session.store, ref.name)).of(ref.version)
        if step is not None:
            found[ref.label] = purged_words(ref.name, ref.version, step)
    return found


def _root(lineages: Lineages, version: ModelRef) -> tuple[ModelRef | None, str]:
    """The first version of a lineage, where it is another than the parent; and why it is not known."""
    first = lineages.line(version)[0]
    if first.parent:
        return None, f"{first.parent} was deleted, so that the first version of the lineage is not known"
    return (None if first.label in (version.label, version.parent) else first), ""


def require_as_registered(session: Session, *refs: ModelRef) -> None:
    """Return when the versions are what they were at registration; one without a record is named in a note.

    Raises:
        IntegrityError: a tag, an artifact or the parent of one is another.
    """
    for ref in refs:
        if check_registration(session.store, read_ledger(session.store, ref.name), ref) is None:
            session.observer.note(
                f"{ref.label} is not bound: it has no registration record, so that nothing audited with it is promoted before"
                f" 'grmu-audit register --bind --name {ref.name}' has measured it again"
            )


def measure_options(policy: Policy, dataset: Dataset, seed: int) -> MeasureOptions:
    """The policy's options, for a dataset that agrees with them.

    Raises:
        InputError: the task has two classes, and the dataset names another positive class than the policy; or the policy names
            control attributes, which stored predictions do not keep apart.
    """
    if policy.control_attributes:
        raise InputError(
            f"policy {policy_label(policy)} names control attributes ({', '.join(policy.control_attributes)}): versions store one"
            " crossed attribute, so that only 'grmu-audit score', on files with a column for each attribute, measures within them"
        )
    header, positive = dataset.header, policy.positive_class
    if len(header.class_names) == 2 and header.positive_class != positive:
        raise InputError(
            f"dataset {header.name!r} has the positive class {header.positive_class}, policy {policy_label(policy)} has"
            f" {positive}: set 'positive_class: {header.positive_class}' in the policy, or correct the dataset's manifest"
        )
    return policy.measure_options(seed)


@dataclass(frozen=True)
class _References:
    """Which versions count as references of an audited version."""

    session: Session
    version: ModelRef
    baseline: ModelRef | None
    dataset: Dataset
    lineages: Lineages

    def named(self, names: Sequence[str]) -> tuple[tuple[ModelRef, ...], tuple[str, ...]]:
        """The versions that the operator names, each once.

        Raises:
            InputError: one does not count as a reference, with the reason.
        """
        chosen = [self.session.store.resolve(text) for text in names]
        for ref in chosen:
            if reason := self.obstacle(ref):
                raise InputError(f"{ref.label} does not count as a reference of {self.version.label}: {reason}")
        return tuple({ref.label: ref for ref in chosen}.values()), ()

    def all(self) -> tuple[tuple[ModelRef, ...], tuple[str, ...]]:
        """Every version of the same forget set and data that counts, and why others of these do not."""
        retrained = self.session.store.versions(self.version.name, "retrain")
        self.lineages.fetch(retrained)
        same = [ref for ref in retrained if self._same_request(ref) and ref.version != self.version.version]
        reasons = {ref.label: self.obstacle(ref) for ref in same}
        chosen = [ref for ref in same if not reasons[ref.label]]
        left_out = tuple(f"{label} does not count as a reference: {reason}" for label, reason in reasons.items() if reason)
        return tuple(sorted(chosen, key=lambda ref: not ref.reweight)), left_out

    def _same_request(self, ref: ModelRef) -> bool:
        same_data = ref.data_digest == self.version.data_digest
        return same_data and bool(ref.forget_digest) and self.lineages.same_forget_set(ref, self.version)

    def obstacle(self, ref: ModelRef) -> str:
        """Why a version does not count, or an empty string."""
        version = self.version
        if ref.label == version.label:
            return "it is the audited version itself"
        if purge_state(read_ledger(self.session.store, ref.name)).of(ref.version) is not None:
            return "it was purged"
        if ref.role != "retrain":
            return f"it was not retrained (it is of role {ref.role!r})"
        if not self._same_request(ref):
            return "it was created for another forget set, or on other data"
        if ref.manifest_sha256 in {version.manifest_sha256, self.baseline.manifest_sha256 if self.baseline else None}:
            return "it has the files of the audited version or of the version before"
        if version.role == "retrain" and ref.seed == version.seed:
            return f"it was retrained with the seed of the audited version ({ref.seed}): retrain with another --seed"
        found = exact_evidence(self.session, ref, self.dataset)
        return "" if found is not None and found.verified else found.reason if found else "it was not retrained"
