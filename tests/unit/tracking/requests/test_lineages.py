"""Served requests: a champion leaves out what earlier champions left out, however it came about."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import audited, policy, predictions
from support.memory_store import MemoryStore
from support.requests import version_without

from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.records import EARLIER_SCHEMA, ExactEvidence, ModelRef
from grmu_audit.tracking import Actor, Requirements, promote, read_ledger, requirements, resume, rollback, verify
from grmu_audit.tracking.requests import Lineages
from grmu_audit.workflows.audits.stored import newest_audit
from grmu_audit.workflows.erasure import open_requests

ALICE = Actor("alice", "release")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path)


@pytest.fixture
def line(store: MemoryStore) -> tuple[ModelRef, ModelRef, ModelRef]:
    """A pretrain version, a champion without request R-1, and one without R-1 and R-2, which replaced it."""
    base = version_without(store, "m", [])
    one = version_without(store, "m", ["a", "b"], base, "R-1")
    two = version_without(store, "m", ["c"], one, "R-2", union=["a", "b", "c"])
    promote(store, one, ALICE)
    promote(store, two, ALICE)
    return base, one, two


Made = Callable[[MemoryStore, ModelRef], ModelRef]
LACKING: dict[str, tuple[Made, str]] = {
    "branch from the first champion": (lambda s, base: version_without(s, "m", ["d"], base), "R-1"),
    "second pretrain": (lambda s, base: version_without(s, "m", []), "R-1"),
    "request of a second pretrain": (lambda s, base: version_without(s, "m", ["d"], version_without(s, "m", [])), "R-1"),
    "one row of the first request": (lambda s, base: version_without(s, "m", ["b", "c"], base), "R-1"),
    "branch from the second version": (
        lambda s, base: version_without(s, "m", ["d"], s.resolve("m/2"), union=["a", "b", "d"]),
        "R-2",
    ),
}


@pytest.mark.parametrize(("make", "named"), LACKING.values(), ids=LACKING.keys())
def test_a_version_that_lacks_a_served_request_is_refused(
    store: MemoryStore, line: tuple[ModelRef, ...], make: Made, named: str
) -> None:
    other = make(store, line[0])
    with pytest.raises(IntegrityError, match=rf"was not created without the rows of request {named}, hmac-sha256:"):
        promote(store, other, ALICE)
    assert store.aliases("m")["champion"] == line[2].version
    assert read_ledger(store, "m").entries[-1].entry.kind == "refusal"


def test_a_rollback_to_a_champion_that_lacks_a_later_request_is_refused(store: MemoryStore, line: tuple[ModelRef, ...]) -> None:
    with pytest.raises(IntegrityError, match="R-2"):
        rollback(store, "m", ALICE)
    assert verify(store, "m") == []


def test_another_line_that_leaves_the_same_rows_out_is_accepted(store: MemoryStore, line: tuple[ModelRef, ...]) -> None:
    fresh = version_without(store, "m", [])
    assert promote(store, version_without(store, "m", ["a", "b", "c", "d"], fresh), ALICE).changed
    assert verify(store, "m") == []


@pytest.mark.parametrize(("withheld", "accepted"), [([], False), (["v"], False), (["v", "t"], True)])
def test_rows_that_a_champion_took_out_of_evaluations_stay_out(store: MemoryStore, withheld: list[str], accepted: bool) -> None:
    base = version_without(store, "m", [])
    champion = version_without(store, "m", ["a"], base, "R-1", withheld=["t", "v"])
    promote(store, champion, ALICE)
    assert len(Lineages(store).forgotten(champion)) == 3
    other = version_without(store, "m", ["a"], base, withheld=withheld)
    if accepted:
        assert promote(store, other, ALICE).changed
    else:
        with pytest.raises(IntegrityError, match="R-1"):
            promote(store, other, ALICE)
    assert Lineages(store).reversed_by(other) == []


@pytest.mark.parametrize("named", ["R-2", "digest", "digits"])
def test_a_request_that_is_opened_again_is_open_until_a_champion_serves_it(
    store: MemoryStore, line: tuple[ModelRef, ...], named: str
) -> None:
    _, one, two = line
    digest = str(two.request_digest)
    name = {"R-2": "R-2", "digest": digest, "digits": digest.rpartition(":")[2][:8]}[named]
    with pytest.raises(InputError, match="--reason"):
        promote(store, one, Actor("alice", reopen=(name,)))
    rollback(store, "m", Actor("alice", "complaints", reopen=(name,)))
    entry = read_ledger(store, "m").entries[-2].entry
    assert (entry.kind, entry.reopened, entry.reason) == ("rollback", [digest], "complaints")
    states = {r.record.request_id: (r.served, r.reopened) for r in open_requests(store, "m")}
    assert states == {"R-1": (True, False), "R-2": (False, True)}
    assert verify(store, "m") == []
    promote(store, two, ALICE)
    assert all(r.served and not r.reopened for r in open_requests(store, "m"))
    with pytest.raises(IntegrityError, match="R-2"):
        rollback(store, one.label, ALICE)


@pytest.mark.parametrize("name", ["R-1", "R-9", "hmac-sha256:", "0000000"])
def test_only_a_lacking_request_can_be_opened_again(store: MemoryStore, line: tuple[ModelRef, ...], name: str) -> None:
    with pytest.raises(InputError, match=r"lacks no such request that was served; it lacks: request R-2, "):
        rollback(store, "m", Actor("alice", "why", reopen=(name,)))
    assert store.aliases("m")["champion"] == line[2].version


def test_a_crashed_promotion_is_resumed_with_the_requests_that_it_opens_again_and_refused_without(
    store: MemoryStore, line: tuple[ModelRef, ...]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        rollback(Dying(store), "m", Actor("alice", "complaints", reopen=("R-2",)))  # type: ignore[arg-type]
    assert resume(store, "m") is not None
    assert store.aliases("m")["champion"] == line[1].version
    branch = version_without(store, "m", ["d"], line[0])
    forced = Actor("mallory", "because", reopen=("R-1",))
    with pytest.raises(KeyboardInterrupt):
        promote(Dying(store), branch, forced)  # type: ignore[arg-type]
    tamper(store, branch, [])
    with pytest.raises(IntegrityError):
        resume(store, "m")
    assert store.aliases("m")["champion"] == line[1].version


def test_a_resumed_promotion_meets_what_promotion_requires(store: MemoryStore, line: tuple[ModelRef, ...]) -> None:
    three = version_without(store, "m", ["d"], line[2], union=["a", "b", "c", "d"])
    with pytest.raises(KeyboardInterrupt):
        promote(Dying(store), three, ALICE)  # type: ignore[arg-type]
    with pytest.raises(InconclusiveError, match="not signed off"):
        resume(store, "m", requirements=Requirements(sign_off=True))
    assert store.aliases("m")["champion"] == line[2].version
    assert promote(store, three, ALICE).changed


class Dying:
    """A store whose process dies when the alias is moved."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        if name == "set_alias":
            raise KeyboardInterrupt
        return getattr(self._store, name)


def tamper(store: MemoryStore, ref: ModelRef, rows: list[str]) -> None:
    path = store.folder / str(ref.run_id) / "request.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "pseudonyms": rows, "digest": "other"}))


def test_a_champion_s_record_that_was_edited_is_found(store: MemoryStore, line: tuple[ModelRef, ...]) -> None:
    path = store.folder / str(line[1].run_id) / "request.json"
    tree = json.loads(path.read_bytes())
    path.write_text(json.dumps({**tree, "pseudonyms": tree["pseudonyms"][:1]}))
    assert [f.error.exit_code for f in verify(store, "m")] == [6]
    with pytest.raises(IntegrityError, match=r"request.json of m/2 was changed since it was registered"):
        promote(store, line[2], ALICE)


def test_a_request_whose_version_was_deleted_still_binds_by_its_digest(store: MemoryStore, line: tuple[ModelRef, ...]) -> None:
    base, one, _ = line
    store._models["m"].pop("3")
    with pytest.raises(IntegrityError, match=r"of m/3, which a champion of m has served"):
        promote(store, one, ALICE)
    again = version_without(store, "m", ["c"], one, union=["a", "b", "c"])
    assert [r.title for r in Lineages(store).lacking(read_ledger(store, "m"), again)] == []
    assert Lineages(store).lacking(read_ledger(store, "m"), base)


def test_champions_of_older_ledgers_bind_too(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of before the list: the requests are read from the lineage of each champion."""
    base = version_without(store, "m", [])
    one = version_without(store, "m", ["a"], base, "R-1")
    with monkeypatch.context() as patch:
        patch.setattr(Lineages, "listed", lambda *_: None)
        promote(store, one, ALICE)
    assert read_ledger(store, "m").state.unlisted == ("2",)
    branch = version_without(store, "m", ["b"], base)
    with pytest.raises(IntegrityError, match="R-1"):
        promote(store, branch, ALICE)
    promote(store, branch, Actor("alice", "why", reopen=("R-1",)))
    assert [r.digest for r in Lineages(store).served(read_ledger(store, "m"))] == [branch.request_digest]
    assert verify(store, "m") == []


def test_a_version_of_an_old_chain_that_trained_on_an_earlier_request_is_found_and_refused(store: MemoryStore) -> None:
    """Before requests added up, the record of a version named its own request alone."""
    one = version_without(store, "m", ["a", "b"], version_without(store, "m", []), "R-1")
    two = version_without(store, "m", ["c"], one, "R-2")
    three = version_without(store, "m", ["d"], two, "R-3", union=["a", "b", "c", "d"])
    assert [r.names for r in Lineages(store).reversed_by(two)] == [("R-1",)]
    found = verify(store, "m")
    assert [(f.check, f.error.exit_code) for f in found] == [("request", 6)]
    assert "m/3 was trained on rows that its lineage had forgotten (request R-1, hmac-sha256:" in found[0].message
    with pytest.raises(IntegrityError, match=r"m/3 was trained on rows .*R-1"):
        promote(store, two, ALICE)
    assert promote(store, three, ALICE).changed
    assert [f.message for f in verify(store, "m")] == [f.message for f in found]


def test_a_lineage_by_edited_tags_is_refused(store: MemoryStore) -> None:
    one = version_without(store, "m", ["a"], version_without(store, "m", []))
    two = version_without(store, "m", ["b"], one, union=["a", "b"])
    store.tag(one, {"grmu.parent": two.label})
    with pytest.raises(IntegrityError, match="its own ancestor"):
        promote(store, two, ALICE)
    store.tag(one, {"grmu.parent": "m/99"})
    with pytest.raises(IntegrityError, match=r"tag 'grmu\.parent' of m/2 is not what it was at registration"):
        promote(store, two, ALICE)
    store.tag(one, {"grmu.parent": str(one.parent)})
    assert promote(store, two, ALICE).changed


REASON = "a pilot without a claim"


def test_a_verdict_that_claims_nothing_on_forgetting_promotes_only_with_a_reason(store: MemoryStore) -> None:
    ref = version_without(store, "m", ["a"], version_without(store, "m", []), "R-1", claims=False)
    with pytest.raises(InconclusiveError, match=r"claims nothing on forgetting: .* --without-forgetting-claim REASON"):
        promote(store, ref, ALICE)
    assert "champion" not in store.aliases("m")
    done = promote(store, ref, ALICE, requirements=Requirements(without_forgetting_claim=REASON))
    assert done.changed
    entry = next(n.entry for n in read_ledger(store, "m").entries if n.entry.kind == "promote")
    assert entry.without_forgetting_claim == REASON
    assert newest_audit(store, ref)[1]["without_forgetting_claim"] == REASON
    assert verify(store, "m") == []


def test_exact_evidence_is_a_claim_of_its_own(store: MemoryStore) -> None:
    ref = version_without(store, "m", ["a"], version_without(store, "m", []), "R-1", claims=False)
    audited(store, ref, [predictions(100 * int(ref.version))], policy(), exact=ExactEvidence(True, "m/2 read none of it."))
    assert promote(store, ref, ALICE).changed


def test_an_audit_of_the_earlier_schema_promotes_nothing_new_and_its_champion_stays(store: MemoryStore, monkeypatch) -> None:
    first, second = (version_without(store, "m", []) for _ in range(2))
    promote(store, first, ALICE)
    read = requirements.read_evidence
    earlier = lambda store, ref: replace(  # noqa: E731
        found := read(store, ref), audit=replace(found.audit, schema=EARLIER_SCHEMA, controls=())
    )
    monkeypatch.setattr(requirements, "read_evidence", earlier)
    assert verify(store, "m") == []
    assert not promote(store, first, ALICE).changed
    with pytest.raises(InconclusiveError, match="was audited before controls were measured: audit it again"):
        promote(store, second, ALICE)


def test_the_ledger_is_read_once_however_many_requests_there_are(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger grows with the requests: one look at it for each would cost their square."""
    newest = version_without(store, "m", [])
    for number in range(6):
        newest = version_without(
            store, "m", [f"row-{number}"], newest, f"R-{number}", union=[f"row-{i}" for i in range(number + 1)]
        )
    asked: list[str] = []
    entries = store.entries
    monkeypatch.setattr(store, "entries", lambda log: asked.append(log) or entries(log))
    assert len(Lineages(store).requests(newest)) == 6
    assert asked == ["m--ledger"]
    assert len(open_requests(store, "m")) == 6
    assert asked == ["m--ledger"] * 2
