"""Sixteen processes promote different versions of one model at the same moment: one wins, the others change nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.judged_audits import audit_of, policy, policy_file, predictions, version
from support.racing import Outcome, Racers

from grmu_audit.records import Audit, ModelRef
from grmu_audit.tracking import Store, open_store, read_ledger, record_audit, verify

PROCESSES, ROUNDS, FREE_ROUNDS, ROUNDS_OF_A_MODEL = 16, 3, 1, 2
_names = itertools.count(1)


@pytest.fixture(scope="module")
def racers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Racers]:
    with Racers(PROCESSES, policy_file(policy(), tmp_path_factory.mktemp("policies"))) as pool:
        yield pool


@pytest.fixture(scope="module")
def passing() -> Audit:
    return audit_of(ModelRef("x", "1"), [predictions(100)], policy())


def contenders(store: Store, folder: Path, passing: Audit) -> tuple[str, list[ModelRef]]:
    """A model with one version more than there are processes, each with a PASS."""
    from dataclasses import replace

    name = f"raced-{next(_names)}"
    refs = [version(store, name, folder / f"{name}-{i}", str(i).encode()) for i in range(PROCESSES + 1)]
    for ref in refs:
        with store.run(name, "audit") as run:
            record_audit(store, run, replace(passing, subject=ref))
    return name, refs


def check_round(store: Store, name: str, before: int, outcomes: list[Outcome]) -> list[str]:
    """What must hold after any round; returns the winners in the order of their turns."""
    ledger = read_ledger(store, name)
    won = [n.entry for n in ledger.entries[before:] if n.entry.kind == "promote" and n.number in ledger.state.ended]
    winners = [str(entry.version) for entry in won]
    assert {outcome.code for outcome in outcomes} <= {0, 6}, [o for o in outcomes if o.code not in (0, 6)]
    assert sorted(winners) == sorted(outcome.version for outcome in outcomes if outcome.code == 0)
    assert all("nothing was changed" in o.said or "has begun and not ended" in o.said for o in outcomes if o.code == 6)
    assert [n.number for n in ledger.entries] == list(range(1, ledger.last + 1))
    assert store.aliases(name)["champion"] == ledger.state.champion == winners[-1]
    assert [entry.champion_before for entry in won[1:]] == winners[:-1]
    return winners


@pytest.mark.slow
def test_sixteen_promotions_at_once(backend: tuple[str, Path], racers: Racers, passing: Audit) -> None:
    uri, root = backend
    store = open_store(uri, root=root)
    champion: str | None = None
    for number in range(ROUNDS + FREE_ROUNDS):
        if number % ROUNDS_OF_A_MODEL == 0:
            name, refs = contenders(store, root, passing)
            champion = None
        forced = number < ROUNDS
        labels = [ref.label for ref in refs if ref.version != champion][:PROCESSES]
        before = read_ledger(store, name).last
        winners = check_round(store, name, before, racers.race(uri, labels, forced=forced))
        champion = winners[-1]
        if forced:
            assert len(winners) == 1
        if number % ROUNDS_OF_A_MODEL == ROUNDS_OF_A_MODEL - 1:
            assert verify(store, name) == []
