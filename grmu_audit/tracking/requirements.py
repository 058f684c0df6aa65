"""What a version must meet to be champion: served requests, a PASS, and what an operator requires beyond it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence import attestation
from grmu_audit.evidence.attestation import ledger_head_of, subjects_of, tables_of
from grmu_audit.evidence.purges import purge_state, require_not_purged
from grmu_audit.evidence.sign_offs import require_two_people, sign_offs
from grmu_audit.evidence.signing import open_envelope, signed_by, trusted_keys
from grmu_audit.records import BASELINE, EARLIER_SCHEMA, ROOT, ModelRef
from grmu_audit.tracking import artifacts
from grmu_audit.tracking.audits import Evidence, present_versions, read_evidence, require_pass, shown_before
from grmu_audit.tracking.ledger import read_ledger
from grmu_audit.tracking.pages import check_page
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.registration import check_registrations
from grmu_audit.tracking.requests import Lineages, require_no_reversal, require_served
from grmu_audit.tracking.store import Store
from grmu_audit.utils import sha256_hex

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from grmu_audit.evidence.ledger import Entry, Ledger
    from grmu_audit.policy import Policy


@dataclass(frozen=True)
class Requirements:
    """Conditions on a verdict; none by default."""

    policy_sha256: str | None = None
    """Digest of the only policy whose verdict counts."""
    sign_off: bool = False
    """Whether a preparer and a reviewer, two people, must have signed off the audit."""
    keys: tuple[SSlibKey, ...] = ()
    """Trusted public keys; with any, unsigned attestations and sign-offs do not count."""
    without_forgetting_claim: str = ""
    """Why a verdict that claims nothing on forgetting is enough; empty: it is not."""
    listed_only: bool = False
    """Whether, where no policy is named, only those count that the operator listed (``policy.files.listed_policies``)."""
    repeat_outputs: Callable[[Evidence, ModelRef], object] | None = None
    """Compares what an audit read of a version with a new forward pass, for policies that ask.

    It raises where they differ, and where nothing can be compared.
    """

    @classmethod
    def read(cls, policy: Policy | None = None, sign_off: bool = False, key_files: Sequence[Path] = ()) -> Requirements:
        """The requirements as an operator states them; without a policy, only those count that the operator listed.

        Args:
            policy: the only policy whose verdict counts; None: those listed.
            sign_off: whether two people must have signed off.
            key_files: trusted public key files; none: those of ``$GRMU_AUDIT_PUBLIC_KEYS``.

        Raises:
            NotFoundError, InputError: a key file that cannot be used.
        """
        from grmu_audit.policy import policy_sha256  # loads pydantic, which the registry commands do without

        return cls(policy_sha256(policy) if policy else None, sign_off, trusted_keys(key_files), listed_only=policy is None)

    def recorded(self) -> dict[str, Any] | None:
        """What a ledger entry says of them; None where nothing is required."""
        stated = {"policy_sha256": self.policy_sha256, "sign_off": self.sign_off, "keys": [key.keyid for key in self.keys]}
        return {name: value for name, value in stated.items() if value} or None

    def joined(self, entry: Entry) -> Requirements:
        """These, and those that a promotion was begun with.

        Raises:
            InputError: it was begun with another policy, or with public keys none of which is given now.
        """
        begun = entry.required or {}
        policy, keys = begun.get("policy_sha256"), begun.get("keys", ())
        if policy and self.policy_sha256 not in (None, policy):
            raise InputError(
                f"the {entry.kind} of {entry.model}/{entry.version} was begun with another --policy ({str(policy)[:16]}...) than"
                f" the one given now ({str(self.policy_sha256)[:16]}...): it stays open; resume it without --policy, or with the"
                " policy of that SHA-256, which 'grmu-audit policy check' prints"
            )
        if keys and not any(key.keyid in keys for key in self.keys):
            raise InputError(
                f"the {entry.kind} of {entry.model}/{entry.version} was begun with --public-key: give the file of one of the keys"
                f" {', '.join(str(key)[:16] + '...' for key in keys)} again"
            )
        return replace(
            self,
            policy_sha256=policy or self.policy_sha256,
            listed_only=self.listed_only and not policy,
            sign_off=self.sign_off or begun.get("sign_off") is True,
            without_forgetting_claim=entry.without_forgetting_claim or self.without_forgetting_claim,
        )

    def require_readable(self) -> None:
        """Return when every policy that the operator listed can be read, where only those count.

        Raises:
            InputError, IntegrityError: one cannot, or is not the one that it is pinned to; this says nothing of any evidence.
        """
        if self.listed_only:
            from grmu_audit.policy.files import listed_policies  # loads pydantic

            listed_policies()

    def check(
        self, store: Store, ledger: Ledger, ref: ModelRef, now: datetime | None = None, reopened: Sequence[str] = ()
    ) -> Evidence:
        """The evidence of a version that may be champion: the one check of promotion, rollback, resume and ``verify``.

        Args:
            store: the tracking store.
            ledger: the model's.
            ref: the version.
            now: the time to judge expiry by; the clock when not given.
            reopened: digests of served requests that become open again with it.

        Raises:
            BreachError, InconclusiveError: there is no PASS, or a sign-off is missing.
            IntegrityError: the version lacks a request that was served or was trained on rows of an earlier one; the evidence
                does not hold; another policy, or no signature of a trusted key.
        """
        store = ReadOnce(store)
        champion = ledger.state.champion == ref.version
        require_not_purged(ledger, [ref.version])
        lineages = Lineages(store)
        require_served(lineages, ledger, ref, reopened)
        require_no_reversal(lineages, ref)
        check_registrations(store, lineages.line(ref), self.keys)
        evidence = read_evidence(store, ref)
        _check_files_of_inputs(store, evidence)
        _check_purged(store, evidence)
        require_pass(evidence, now)
        self._check_policy(evidence)
        if not champion:  # what follows is asked of a new champion only
            _check_bound(evidence)
            self._check_forgetting(evidence)
            self._check_listed(evidence, ledger)
        check_attestation(store, evidence, self.keys)
        if not champion:
            check_page(store, evidence)
            self._check_outputs(store, evidence)
        if self.sign_off or (not champion and policy_asks(store, evidence.run_id, "sign_off", "two_people")):
            signed = sign_offs(ledger, ref.version, evidence.sha256)
            require_two_people(signed, ref.label, self.keys, champion=champion)
        return evidence

    def _check_forgetting(self, evidence: Evidence) -> None:
        audit, label = evidence.audit, evidence.ref.label
        if audit.schema == EARLIER_SCHEMA:
            raise InconclusiveError(f"{label} was audited before controls were measured: audit it again")
        claims = audit.verdict is not None and audit.verdict.claims_forgetting
        if evidence.ref.forget_digest and not (claims or audit.exactly_verified or self.without_forgetting_claim):
            raise InconclusiveError(
                f"the policy that {label} was judged by claims nothing on forgetting: audit it with one that does, or give a "
                "reason with --without-forgetting-claim REASON, which goes into the ledger and on the first page of the report"
            )

    def _check_listed(self, evidence: Evidence, ledger: Ledger) -> None:
        """Refuse a policy that is not listed, but not that by which the version was champion before: a rollback goes on."""
        verdict, ended = evidence.audit.verdict, ledger.state.ended
        done = [n.entry for n in ledger.entries if n.number in ended and n.entry.version == evidence.ref.version]
        if not self.listed_only or verdict is None or verdict.policy_sha256 in {entry.policy_sha256 for entry in done}:
            return
        from grmu_audit.policy.files import require_listed

        require_listed(verdict.policy, verdict.policy_sha256, unclaimed=bool(self.without_forgetting_claim))

    def _check_outputs(self, store: Store, evidence: Evidence) -> None:
        """Where the policy asks for it, the networks give what is stored; the attestation has shown that it is that policy."""
        if not policy_asks(store, evidence.run_id, "outputs", "repeated"):
            return
        if self.repeat_outputs is None:
            raise InconclusiveError(
                f"the policy of {evidence.ref.label} asks for a new forward pass at promotion, which needs data and networks:"
                " promote with 'grmu-audit promote' where both are at hand"
            )
        for ref in present_versions(store, evidence.audit):
            if purge_state(read_ledger(store, ref.name)).of(ref.version) is None:
                self.repeat_outputs(evidence, ref)

    def _check_policy(self, evidence: Evidence) -> None:
        verdict = evidence.audit.verdict
        if self.policy_sha256 is not None and (verdict is None or verdict.policy_sha256 != self.policy_sha256):
            found = verdict.policy_label if verdict else "none"
            raise IntegrityError(
                f"{evidence.ref.label} was judged by another policy than the one required ({self.policy_sha256[:12]}...):"
                f" {found}; audit it again with that policy"
            )


def policy_asks(store: Store, run: str, key: str, value: str) -> bool:
    """Whether the policy that is stored with an audit has that value; whether it is the audit's policy is shown elsewhere."""
    content = store.run_artifact(run, attestation.POLICY_FILE)
    return content is not None and json.loads(content).get(key) == value


def sign_off_asked(store: Store, ledger: Ledger, before: int | None = None) -> str:
    """Who asks for two people before anything of a model is deleted, in words; empty where nobody does.

    Every promotion that required sign-offs asks for them, and so does every policy that a present or former champion was audited
    by: another audit or a rollback, which one person can do, does not take that back.

    Args:
        store: holds the policies.
        ledger: of the model.
        before: only entries with smaller numbers count; None: all.

    Raises:
        IntegrityError: such a policy is gone or was changed.
    """
    known = [n for n in ledger.entries if before is None or n.number < before]
    steps = [n.entry for n in known if n.number in ledger.state.ended]
    for entry in steps:
        if (entry.required or {}).get("sign_off") is True:
            return f"{ledger.model}/{entry.version} was promoted with --require-sign-off"
    champions = {entry.version for entry in steps}
    audits = [n.entry for n in known if n.entry.kind == "audit" and n.entry.version in champions]
    for entry in {(one.audit_run, one.policy_sha256): one for one in (*steps, *audits)}.values():
        label = f"{ledger.model}/{entry.version}"
        if not entry.audit_run or not entry.policy_sha256:
            continue
        content = store.run_artifact(entry.audit_run, attestation.POLICY_FILE)
        if content is None or sha256_hex(content) != entry.policy_sha256:
            raise IntegrityError(
                f"{attestation.POLICY_FILE} of the audit of {label} is gone or is not the policy that the ledger names"
            )
        policy = json.loads(content)
        if policy.get("sign_off") == "two_people":
            return f"the policy {policy.get('name')} of {label} asks for two people (sign_off: two_people)"
    return ""


def _check_files_of_inputs(store: Store, evidence: Evidence) -> None:
    """Baseline, references and root have the files that were registered; of one that was deleted or purged none is left."""
    state = purge_state(read_ledger(store, evidence.ref.name))
    for ref in present_versions(store, evidence.audit)[1:]:
        if ref.label not in evidence.unbound and state.of(ref.version) is None:
            artifacts.check_digest(ref, store.manifest_of(ref))


def _check_purged(store: Store, evidence: Evidence) -> None:
    """What an audit leaves out because it was purged had been, by the ledger, when it was made.

    Raises:
        IntegrityError: it had not.
    """
    audit, ledger = evidence.audit, read_ledger(store, evidence.ref.name)
    state = purge_state(ledger)
    for role in audit.purged:
        ref = {str(BASELINE): audit.baseline, str(ROOT): audit.root}.get(role)
        step = state.of(ref.version) if ref is not None and ref.name == evidence.ref.name else None
        if step is None or step.number > evidence.number:
            raise IntegrityError(f"the audit of {evidence.ref.label} says that its {role} was purged, and the ledger does not")
    if not audit.shown_before:
        return
    baseline = audit.baseline
    if baseline is None or audit.shown_before != shown_before(store, ledger, evidence.ref, baseline.version):
        raise IntegrityError(
            f"the audit of {evidence.ref.label} names an earlier one that showed forgetting; the ledger does not"
        )


def _check_bound(evidence: Evidence) -> None:
    if evidence.unbound:
        name, label = evidence.ref.name, evidence.ref.label
        raise InconclusiveError(
            f"nothing shows what the audit of {label} was computed from: {', '.join(evidence.unbound)} had no registration record"
            f" then; run 'grmu-audit register --bind --name {name}', then audit {label} again"
        )


NO_REQUIREMENTS = Requirements()
"""Nothing beyond a PASS and the served requests."""


def check_attestation(store: Store, evidence: Evidence, keys: tuple[SSlibKey, ...] = ()) -> None:
    """Compare the attestation with the ledger, and every file that it names with what is stored.

    Raises:
        IntegrityError: missing, edited, about other files, or not signed by one of the keys.
    """
    label = evidence.ref.label
    if evidence.attestation_sha256 is None:
        if keys:
            raise IntegrityError(f"the verdict of {label} was never attested, but a signature is required: audit it again")
        return
    content = store.run_artifact(evidence.run_id, attestation.ATTESTATION_FILE)
    if content is None or sha256_hex(content) != evidence.attestation_sha256:
        raise IntegrityError(f"the attestation of {label} is gone or was changed: it does not have the digest in the ledger")
    payload = open_envelope(content).payload
    _check_files(store, evidence, subjects_of(payload))
    head = ledger_head_of(payload)
    if head is not None and not read_ledger(store, evidence.ref.name).begins_with(head):
        raise IntegrityError(
            f"the ledger of {evidence.ref.name} does not begin with the {head.entries} entries that {label} was audited after:"
            " one of them was changed"
        )
    if keys and not signed_by(content, keys):
        raise IntegrityError(f"the verdict of {label} is not signed by any of the {len(keys)} trusted keys")


def _check_files(store: Store, evidence: Evidence, subjects: dict[str, str]) -> None:
    label = evidence.ref.label
    version = subjects.pop(f"models:/{label}", None)
    if version != evidence.ref.manifest_sha256 or subjects.get(attestation.AUDIT_FILE) != evidence.sha256:
        raise IntegrityError(f"the attestation of {label} is about other files or another audit")
    tables, state = tables_of(evidence.audit), purge_state(read_ledger(store, evidence.ref.name))
    for name, content in store.run_artifacts(evidence.run_id, list(subjects)).items():
        if content is None and name in tables and state.before(tables[name].version, evidence.number):
            continue
        if content is None:
            raise IntegrityError(f"{name} of the audit of {label} is gone from the store")
        if sha256_hex(content) != subjects[name]:
            raise IntegrityError(f"{name} of the audit of {label} was changed: it does not have the attested digest")
    verdict = evidence.audit.verdict
    if verdict is not None and subjects.get(attestation.POLICY_FILE, verdict.policy_sha256) != verdict.policy_sha256:
        raise IntegrityError(f"{attestation.POLICY_FILE} of the audit of {label} is not the policy that the verdict names")
