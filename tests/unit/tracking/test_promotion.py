"""Promotions, rollbacks and repairs while another process or a hand moves the alias at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from support.crashing_store import Crash, crashing
from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import GrmuAuditError, InconclusiveError, InputError, IntegrityError, NotFoundError
from grmu_audit.policy import policy_sha256
from grmu_audit.policy.files import POLICIES_VARIABLE
from grmu_audit.records import ModelRef
from grmu_audit.tracking import NO_REQUIREMENTS, Actor, Requirements, Store, promote, read_ledger, resume, rollback, verify
from grmu_audit.tracking.promotion import restore_alias

ALICE = Actor("alice", "release 7")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "store")


@pytest.fixture
def refs(store: MemoryStore, tmp_path: Path) -> list[ModelRef]:
    """Three versions with a PASS, of which none was promoted."""
    found = [version(store, "m", tmp_path / f"v{number}", str(number).encode()) for number in range(3)]
    for ref in found:
        audited(store, ref, [predictions(100)], policy())
    return found


class _Meanwhile:
    """A store on which something else happens just after a call, once."""

    def __init__(self, store: Store, call: str, deed: Callable[[], object]) -> None:
        self._store, self._call, self._deed = store, call, [deed]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name != self._call or not self._deed:
            return real

        def called(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            for deed in [self._deed.pop()] if self._deed else []:
                deed()
            return result

        return called


def meanwhile(store: Store, call: str, deed: Callable[[], object]) -> Store:
    return cast("Store", _Meanwhile(store, call, deed))


def kinds(store: Store) -> list[str]:
    return [numbered.entry.kind for numbered in read_ledger(store, "m").entries if numbered.entry.kind != "audit"]


def begun(store: MemoryStore, ref: ModelRef, required: Requirements = NO_REQUIREMENTS) -> None:
    """A promotion whose process died after its entry."""
    with pytest.raises(Crash):
        promote(crashing(store, 1, after=True), ref, ALICE, requirements=required)
    assert read_ledger(store, "m").state.open is not None


def test_the_first_champion_cannot_be_rolled_back(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    with pytest.raises(NotFoundError, match="m has no earlier champion to roll back to"):
        rollback(store, "m", ALICE)
    assert store.aliases("m") == {"champion": "1"}


def test_a_version_that_was_audited_again_is_not_promoted_by_a_resumption(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    begun(store, refs[1])
    audited(store, refs[1], [predictions(101)], policy())
    with pytest.raises(IntegrityError, match="m/2 was audited again since the promotion began"):
        resume(store, "m", ALICE)
    assert store.aliases("m") == {"champion": "1"}
    assert kinds(store)[-1] == "abandoned"


def test_a_promotion_of_a_version_that_was_deleted_meanwhile_is_abandoned(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    begun(store, refs[1])
    del store._models["m"]["2"]
    store.delete_alias("m", "champion")  # as MLflow does where the alias had been moved already
    with pytest.raises(IntegrityError, match="m/2 was deleted from the registry; its promotion is abandoned"):
        resume(store, "m", ALICE)
    assert store.aliases("m") == {"champion": "1"}
    assert kinds(store)[-1] == "abandoned"
    assert promote(store, refs[2], ALICE).before == "1"


def test_another_policy_than_the_one_it_was_begun_with_leaves_a_promotion_open(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    required, other = policy_sha256(policy()), policy_sha256(policy(0.4))
    begun(store, refs[1], Requirements(policy_sha256=required))
    said = rf"another --policy \({required[:16]}\.\.\.\) than .* \({other[:16]}\.\.\.\): it stays open; resume it without"
    with pytest.raises(InputError, match=said) as caught:
        resume(store, "m", ALICE, requirements=Requirements(policy_sha256=other))
    assert int(caught.value.exit_code) == 2
    assert kinds(store)[-1] == "promote"
    assert store.aliases("m") == {"champion": "1"}
    done = resume(store, "m", ALICE)
    assert done is not None
    assert store.aliases("m") == {"champion": "2"}


@pytest.mark.parametrize("listed", ["no-such-policy", "default@" + "0" * 64, "default@0", "folder/none.yaml"])
def test_a_listed_policy_that_cannot_be_read_leaves_a_promotion_open(
    store: MemoryStore, refs: list[ModelRef], monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    begun(store, refs[0])
    monkeypatch.setenv(POLICIES_VARIABLE, listed)
    with pytest.raises(GrmuAuditError, match="policy"):
        resume(store, "m", ALICE, requirements=Requirements.read())
    assert kinds(store)[-1] == "promote"
    assert resume(store, "m", ALICE) is not None


def test_a_resumption_that_another_process_ends_first_is_done(store: MemoryStore, refs: list[ModelRef]) -> None:
    begun(store, refs[0])
    done = resume(meanwhile(store, "aliases", lambda: resume(store, "m", Actor("ben"))), "m", ALICE)
    assert done is not None
    assert (done.ref.version, done.before, done.changed) == ("1", None, True)
    assert kinds(store)[-1] == "done", "one end alone"
    assert kinds(store).count("done") == 1
    assert verify(store, "m") == []


@pytest.mark.parametrize("call", ["aliases", "describe_model"])
def test_a_resumption_that_another_process_abandons_first_is_lost(store: MemoryStore, refs: list[ModelRef], call: str) -> None:
    def abandon() -> None:
        with pytest.raises(InconclusiveError, match="not signed off"):
            resume(store, "m", Actor("ben"), requirements=Requirements(sign_off=True))

    begun(store, refs[0])
    with pytest.raises(IntegrityError, match="came first"):
        resume(meanwhile(store, call, abandon), "m", ALICE)
    assert store.aliases("m") == {}
    assert read_ledger(store, "m").state.champion is None
    assert "abandoned" in kinds(store)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_alias_that_a_hand_moves_is_not_taken_for_the_end_of_a_promotion(
    store: MemoryStore, refs: list[ModelRef], after: bool
) -> None:
    promote(store, refs[0], ALICE)
    begun(store, refs[1])
    if not after:
        store.set_alias("m", "champion", "3")
    moving = meanwhile(store, "set_alias", lambda: store.set_alias("m", "champion", "3"))
    with pytest.raises(IntegrityError, match=r"champion.* m.*3"):
        resume(moving, "m", ALICE)
    assert store.aliases("m") == {"champion": "3"}
    assert kinds(store)[-1] == "promote", "it is open still"


def test_a_promotion_that_another_one_overtakes_moves_nothing(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    with pytest.raises(IntegrityError, match="came first"):
        promote(meanwhile(store, "entries", lambda: promote(store, refs[2], Actor("ben"))), refs[1], ALICE)
    assert store.aliases("m") == {"champion": "3"}
    assert verify(store, "m") == []


def test_an_alias_of_a_model_without_a_champion_is_taken_away(store: MemoryStore, refs: list[ModelRef]) -> None:
    store.set_alias("m", "champion", "2")
    number = restore_alias(store, "m", ALICE)
    assert store.aliases("m") == {}
    entry = read_ledger(store, "m").entries[-1]
    assert (entry.number, entry.entry.kind, entry.entry.version, entry.entry.champion_before) == (number, "restored", None, "2")


def test_an_alias_is_not_restored_while_a_promotion_is_open(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    begun(store, refs[1])
    with pytest.raises(IntegrityError, match="--resume"):
        restore_alias(store, "m", ALICE)
    assert store.aliases("m") == {"champion": "1"}
    assert "restored" not in kinds(store)


def test_an_alias_that_is_moved_again_during_its_repair_stays_where_it_is(store: MemoryStore, refs: list[ModelRef]) -> None:
    promote(store, refs[0], ALICE)
    store.set_alias("m", "champion", "2")
    with pytest.raises(IntegrityError, match="3"):
        restore_alias(meanwhile(store, "append", lambda: store.set_alias("m", "champion", "3")), "m", ALICE)
    assert store.aliases("m") == {"champion": "3"}
