"""Promotion, rollback, resume and verify on every store: only a PASS moves the champion, one promotion at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.crashing_store import Crash, crashing

from grmu_audit.errors import BreachError, GrmuAuditError, InconclusiveError, InputError, IntegrityError, NotFoundError
from grmu_audit.records import Audit, DataRecord, Decision, ForgetRecord, Group, ModelRef, RuleOutcome, Verdict
from grmu_audit.tracking import Actor, Author, Store, lineage_tags, promote, read_ledger, record_audit, resume, rollback, verify

_names = itertools.count(1)
EVERY = ["memory", "mlflow-sqlite", "mlflow-server"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The story runs on a server too; the whole battery there would cost a minute and test the same code."""
    stores = EVERY if metafunc.function is test_a_pass_moves_the_champion_and_is_entered else EVERY[:2]
    metafunc.parametrize("opened", stores, indirect=True, scope="module")


ALICE = Actor("alice", "release 7")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def name() -> str:
    return f"faces-{next(_names)}"


@pytest.fixture
def version(store: Store, name: str, tmp_path: Path) -> Callable[[], ModelRef]:
    def make() -> ModelRef:
        folder = tmp_path / f"v{next(_names)}"
        folder.mkdir()
        (folder / "state.safetensors").write_bytes(folder.name.encode())
        with store.run(name, "unlearn") as run:
            return store.register(run, name, folder, role="unlearned", tags=lineage_tags(ModelRef(name, "", method="miu")))

    return make


def rule(decision: Decision, **changes: Any) -> RuleOutcome:
    outcome = RuleOutcome(
        "equalized-odds", "EO", decision, "block", 0.1, (0.05, 0.2), {"max": 0.25}, "absolute", "EO is 0.1 of at most 0.25"
    )
    return replace(outcome, **changes)


def verdict(decision: Decision, *rules: RuleOutcome, **changes: Any) -> Verdict:
    return replace(Verdict(decision, "default", "p" * 64, rules or (rule(decision),)), **changes)


def audit_of(ref: ModelRef, judged: Verdict | None, **record: object) -> Audit:
    forget = ForgetRecord(10, "hmac-sha256:" + "f" * 64, (Group(1, 0),))
    data = DataRecord("d" * 64, {"retain": 90, "forget": 10, "val": 20, "test": 20})
    return Audit(ref, data, forget, (), record={"created": "2026-01-01T00:00:00+00:00", **record}, verdict=judged)


def audited(
    store: Store, ref: ModelRef, decision: Decision | None = Decision.PASS, judged: Verdict | None = None, **record: object
) -> str:
    with store.run(ref.name, "audit") as run:
        chosen = judged if judged is not None else (verdict(decision) if decision else None)
        record_audit(store, run, audit_of(ref, chosen, **record), author=Author("auditor"))
        return run.id


def kinds(store: Store, name: str) -> list[str]:
    """Of the entries after registration."""
    return [n.entry.kind for n in read_ledger(store, name).entries if n.entry.kind != "registration"]


def test_a_pass_moves_the_champion_and_is_entered(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    ref = version()
    audited(store, ref)
    done = promote(store, ref.label, ALICE, now=NOW)
    assert (done.ref, done.before, done.changed) == (ref, None, True)
    assert store.aliases(name) == {"champion": ref.version}
    assert kinds(store, name) == ["audit", "promote", "done"]
    entry = next(n.entry for n in read_ledger(store, name).entries if n.entry.kind == "promote")
    assert (entry.actor, entry.reason, entry.time, entry.decision) == ("alice", "release 7", "2026-06-01T12:00:00+00:00", "PASS")
    assert entry.manifest_sha256 == ref.manifest_sha256
    assert verify(store, name) == []
    assert promote(store, ref.label, ALICE).changed is False
    assert kinds(store, name) == ["audit", "promote", "done"]


@pytest.mark.parametrize(
    ("judged", "error", "said"),
    [
        (verdict(Decision.BREACH), BreachError, "breaches policy default@[0-9a-z]{12}: equalized-odds"),
        (verdict(Decision.INCONCLUSIVE), InconclusiveError, "does not decide"),
        (verdict(Decision.PASS, rule(Decision.BREACH)), IntegrityError, "forged"),
        (verdict(Decision.PASS, rule(Decision.INCONCLUSIVE)), IntegrityError, "forged"),
        (verdict(Decision.PASS, rule(Decision.PASS, severity="warn")), InconclusiveError, "no blocking rule"),
        (verdict(Decision.PASS, rule(Decision.PASS, applied=False)), InconclusiveError, "no blocking rule"),
    ],
)
def test_anything_but_a_pass_is_refused_and_the_refusal_entered(
    store: Store, name: str, version: Callable[[], ModelRef], judged: Verdict, error: type[GrmuAuditError], said: str
) -> None:
    ref = version()
    audited(store, ref, judged=judged)
    with pytest.raises(error, match=said):
        promote(store, ref.label, ALICE)
    assert store.aliases(name) == {}
    assert kinds(store, name) == ["audit", "refusal"]


def test_never_audited_and_never_judged(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    ref = version()
    with pytest.raises(InconclusiveError, match=f"grmu-audit audit --model {ref.label}"):
        promote(store, ref.label, ALICE)
    audited(store, ref, decision=None)
    with pytest.raises(InconclusiveError, match="not judged"):
        promote(store, ref.label, ALICE)
    assert store.aliases(name) == {}


def test_a_waived_breach_passes_until_the_waiver_expires(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    ref = version()
    waiver = {"rule": "equalized-odds", "reason": "GOV-112", "approved_by": "board", "expires": "2026-06-01"}
    audited(store, ref, judged=verdict(Decision.PASS, rule(Decision.BREACH, waived=True), waivers=(waiver,)))
    with pytest.raises(BreachError, match=r"waiver .* expired"):
        promote(store, ref.label, ALICE, now=datetime(2026, 6, 2, tzinfo=UTC))
    assert promote(store, ref.label, ALICE, now=NOW).changed
    assert [finding.check for finding in verify(store, name, now=datetime(2026, 6, 2, tzinfo=UTC))] == ["evidence"]


def test_an_expired_verdict_is_stale(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    ref = version()
    audited(store, ref, expires="2026-06-01T11:59:59+00:00")
    with pytest.raises(IntegrityError, match="expired"):
        promote(store, ref.label, ALICE, now=NOW)
    assert promote(store, ref.label, ALICE, now=datetime(2026, 6, 1, 11, tzinfo=UTC)).changed
    assert [finding.check for finding in verify(store, name, now=NOW)] == ["evidence"]


@pytest.mark.parametrize("deed", ["weights", "audit", "audit-and-tag", "older-audit", "other-subject", "audit-gone"])
def test_tampering_is_refused_at_promotion_and_found_by_verify(
    store: Store, stored: Callable[[str, str], Path], name: str, version: Callable[[], ModelRef], deed: str
) -> None:
    ref = version()
    audited(store, ref)
    promote(store, ref.label, ALICE)
    assert verify(store, name) == []
    tags = store.tags(ref)
    document = stored(tags["grmu.audit_run"], "audit.json")
    if deed == "weights":
        stored(str(ref.run_id), "model/state.safetensors").write_bytes(b"swapped")
    elif deed == "audit":
        document.write_bytes(document.read_bytes().replace(b'"retain":90', b'"retain":91'))
    elif deed == "audit-and-tag":
        from grmu_audit.utils import sha256_hex

        document.write_bytes(document.read_bytes().replace(b'"retain":90', b'"retain":91'))
        store.tag(ref, {"grmu.audit_sha256": sha256_hex(document.read_bytes())})
    elif deed == "older-audit":
        audited(store, ref, Decision.BREACH)
        store.tag(ref, tags)
    elif deed == "other-subject":
        other = version()
        audited(store, other)
        store.tag(ref, store.tags(other))
    else:
        document.unlink()
    before = store.aliases(name)
    with pytest.raises(IntegrityError):
        promote(store, ref.label, ALICE)
    assert store.aliases(name) == before
    assert [finding.check for finding in verify(store, name)] == ["evidence"]


@pytest.mark.parametrize("number", ["", "2"])
def test_an_audit_of_a_version_that_is_not_registered_is_not_recorded(
    store: Store, name: str, version: Callable[[], ModelRef], number: str
) -> None:
    ref = replace(version(), version=number)
    with store.run(name, "audit") as run, pytest.raises((InputError, NotFoundError), match="version"):
        record_audit(store, run, audit_of(ref, verdict(Decision.PASS)))
    assert store.run_artifact(run.id, "audit.json") is None
    assert kinds(store, name) == []


def test_an_alias_moved_by_hand_is_found_and_stops_promotion(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    one, two = version(), version()
    for ref in (one, two):
        audited(store, ref)
    promote(store, one.label, ALICE)
    store.set_alias(name, "champion", two.version)
    assert [finding.check for finding in verify(store, name)] == ["alias"]
    with pytest.raises(IntegrityError, match="moved by hand"):
        promote(store, two.label, ALICE)
    store.set_alias(name, "champion", one.version)
    assert promote(store, two.label, ALICE).before == one.version


def test_rollback_leads_to_an_earlier_champion_with_a_reason(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    one, two, three = version(), version(), version()
    for ref in (one, two, three):
        audited(store, ref)
    with pytest.raises(NotFoundError):
        rollback(store, name, ALICE)
    promote(store, one.label, ALICE)
    promote(store, two.label, ALICE)
    with pytest.raises(InputError, match="reason"):
        rollback(store, name, Actor("alice"))
    with pytest.raises(InputError, match="not an earlier champion"):
        rollback(store, three.label, ALICE)
    done = rollback(store, name, Actor("alice", "complaints"))
    assert (done.ref.version, done.before) == (one.version, two.version)
    assert store.aliases(name) == {"champion": one.version}
    assert rollback(store, name, Actor("alice", "back again")).ref.version == two.version
    assert verify(store, name) == []


def test_a_version_that_lost_its_pass_cannot_be_rolled_back_to(store: Store, name: str, version: Callable[[], ModelRef]) -> None:
    one, two = version(), version()
    for ref in (one, two):
        audited(store, ref)
        promote(store, ref.label, ALICE)
    audited(store, one, Decision.BREACH)
    with pytest.raises(BreachError):
        rollback(store, one.label, ALICE)
    assert store.aliases(name) == {"champion": two.version}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_crash_at_any_write_is_finished_by_resume(
    store: Store, name: str, version: Callable[[], ModelRef], at: int, after: bool
) -> None:
    one, two = version(), version()
    for ref in (one, two):
        audited(store, ref)
    promote(store, one.label, ALICE)
    with pytest.raises(Crash):
        promote(crashing(store, at, after=after), two.label, ALICE)
    assert store.aliases(name)["champion"] in (one.version, two.version)
    begun = (at, after) != (1, False)
    ended = (at, after) == (3, True)
    if begun and not ended:
        assert "promotion" in [finding.check for finding in verify(store, name)]
        with pytest.raises(IntegrityError, match="--resume"):
            promote(store, two.label, ALICE)
    finished = resume(store, name, ALICE)
    assert (finished is not None) == (begun and not ended)
    assert resume(store, name, ALICE) is None
    promote(store, two.label, ALICE)
    assert store.aliases(name) == {"champion": two.version}
    assert verify(store, name) == []


@pytest.mark.parametrize("at", [1, 2])
def test_resume_abandons_a_promotion_whose_evidence_no_longer_holds(
    store: Store, stored: Callable[[str, str], Path], name: str, version: Callable[[], ModelRef], at: int
) -> None:
    one, two = version(), version()
    for ref in (one, two):
        audited(store, ref)
    promote(store, one.label, ALICE)
    with pytest.raises(Crash):
        promote(crashing(store, at, after=True), two.label, ALICE)
    stored(str(two.run_id), "model/state.safetensors").write_bytes(b"swapped")
    with pytest.raises(IntegrityError, match="not those that were registered"):
        resume(store, name, ALICE)
    assert store.aliases(name) == {"champion": one.version}
    assert kinds(store, name)[-1] == "abandoned"
    assert [(f.check, f.message.split(" are ")[0]) for f in verify(store, name)] == [("evidence", f"the files of {two.label}")]


def test_of_eight_promotions_at_once_only_owners_move_the_champion(
    store: Store, name: str, version: Callable[[], ModelRef]
) -> None:
    refs = [version() for _ in range(8)]
    for ref in refs:
        audited(store, ref)

    def attempt(ref: ModelRef) -> str | GrmuAuditError:
        try:
            return promote(store, ref, Actor(ref.version)).ref.version
        except GrmuAuditError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, refs))
    winners = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert winners
    assert {type(outcome) for outcome in outcomes if not isinstance(outcome, str)} <= {IntegrityError}
    assert store.aliases(name)["champion"] == read_ledger(store, name).state.champion
    assert store.aliases(name)["champion"] in winners
    assert verify(store, name) == []


def edited(tags: Mapping[str, str], number: int) -> dict[str, str]:
    from grmu_audit.utils import sha256_hex

    text = tags["grmu.ledger.entry"].replace('"actor":"alice"', '"actor":"mallory"')
    assert text != tags["grmu.ledger.entry"], number
    return {**tags, "grmu.ledger.entry": text, "grmu.ledger.sha256": sha256_hex(text.encode())}


class Edited:
    """A store whose ledger somebody edited, digests and all."""

    def __init__(self, store: Store, number: int, *, drop: bool = False) -> None:
        self._store, self._number, self._drop = store, number, drop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def entries(self, log: str) -> list[Any]:
        found = self._store.entries(log)
        if self._drop:
            return [entry for entry in found if entry.number != self._number]
        return [replace(e, tags=edited(e.tags, e.number)) if e.number == self._number else e for e in found]


@pytest.mark.parametrize(("drop", "said"), [(False, "changed after it was written"), (True, "is missing")])
def test_an_edited_or_missing_ledger_entry_is_found(
    store: Store, name: str, version: Callable[[], ModelRef], drop: bool, said: str
) -> None:
    one, two = version(), version()
    for ref in (one, two):
        audited(store, ref)
        promote(store, ref.label, ALICE)
    number = next(n.number for n in read_ledger(store, name).entries if n.entry.kind == "promote")
    hurt: Any = Edited(store, number, drop=drop)
    findings = verify(hurt, name)
    assert {finding.check for finding in findings} == {"ledger"}
    assert said in findings[0].message
    with pytest.raises(IntegrityError, match=said):
        promote(hurt, one.label, ALICE)
