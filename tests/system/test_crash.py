"""Killed with signal 9 before every write and at random moments: the champion has a PASS, resume finishes, nothing lies.

Fifty kills in all; ``test_fifty_kills`` counts them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.crashing import Doomed, End, Task, moments
from support.judged_audits import audit_of, policy, predictions, version

from grmu_audit.errors import InconclusiveError
from grmu_audit.records import Decision, ModelRef
from grmu_audit.tracking import (
    Actor,
    Store,
    open_store,
    promote,
    read_evidence,
    read_ledger,
    record_audit,
    resume,
    rollback,
    verify,
)
from grmu_audit.utils import folder_manifest, manifest_sha256

KILLS: dict[str, int] = {}
RANDOM = {"promote": 14, "rollback": 14, "unlearn": 4}
TESTER = Actor("tester", "test")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def doomed() -> Doomed:
    return Doomed()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crash")


@pytest.fixture(scope="module")
def store(root: Path) -> Store:
    return open_store(f"sqlite:///{root}/mlflow.db", root=root)


@pytest.fixture(scope="module")
def two(store: Store, root: Path) -> list[ModelRef]:
    """Two versions with a PASS and one with a BREACH; the first two were champion in turn."""
    good = audit_of(ModelRef("x", "1"), [predictions(100)], policy())
    bad = audit_of(ModelRef("x", "1"), [predictions(100)], policy(0.999))
    refs = [version(store, "served", root / f"v{i}", str(i).encode()) for i in range(3)]
    for ref, audit in zip(refs, (good, good, bad), strict=True):
        with store.run("served", "audit") as run:
            record_audit(store, run, replace(audit, subject=ref))
    for ref in refs[:2]:
        promote(store, ref, TESTER)
    return refs[:2]


def champion_passes(store: Store, name: str) -> None:
    found = store.aliases(name).get("champion")
    assert found is not None
    verdict = read_evidence(store, store.resolve(f"{name}/{found}")).audit.verdict
    assert verdict is not None
    assert verdict.decision is Decision.PASS


def counted(deed: str, end: End) -> None:
    KILLS[deed] = KILLS.get(deed, 0) + end.killed


@pytest.mark.parametrize("deed", ["promote", "rollback"])
def test_a_killed_move_of_the_champion_is_finished(
    store: Store, root: Path, two: list[ModelRef], doomed: Doomed, deed: str
) -> None:
    def wanted() -> ModelRef:
        return next(ref for ref in two if ref.version != store.aliases("served")["champion"])

    whole = doomed.run(Task(root, deed, wanted().label))
    assert not whole.killed
    assert whole.writes.count("set_registered_model_alias") == 1
    trials: list[tuple[int | None, float | None]] = [(n, None) for n in range(1, len(whole.writes) + 1)]
    trials += [(None, moment) for moment in moments(whole.seconds, RANDOM[deed], 7)]
    for before_write, moment in trials:
        ref = wanted()
        last = read_ledger(store, "served").last
        end = doomed.run(Task(root, deed, ref.label, before_write), moment)
        counted(deed, end)
        assert end.killed or before_write is None
        if before_write is not None:
            assert end.writes == whole.writes[: before_write - 1]
        champion_passes(store, "served")
        begun = read_ledger(store, "served").state.open is not None
        finished = resume(store, "served", TESTER)
        assert (finished is not None) == begun
        assert finished is None or finished.ref == ref
        if store.aliases("served")["champion"] != ref.version:
            assert read_ledger(store, "served").last == last, "a promotion vanished without a trace"
            again = promote(store, ref, TESTER) if deed == "promote" else rollback(store, ref.label, TESTER)
            assert again.changed
        assert store.aliases("served")["champion"] == ref.version
        assert verify(store, "served") == []


def test_a_killed_unlearning_leaves_no_half_version(store: Store, root: Path, doomed: Doomed) -> None:
    made = doomed.run(Task(root, "pretrain", "digits"))
    assert made.writes.count("create_model_version") == 3, "the version, and the ledger's entries on the key and on what is bound"
    whole = doomed.run(Task(root, "unlearn", "digits/1"))
    assert whole.writes.count("create_model_version") == 2
    changes = [n for n, name in enumerate(whole.writes, 1) if n == 1 or name != whole.writes[n - 2]]  # not each of ten metrics
    trials: list[tuple[int | None, float | None]] = [(n, None) for n in changes]
    trials += [(None, moment) for moment in moments(whole.seconds, RANDOM["unlearn"], 8)]
    for before_write, moment in trials:
        known = len(store.versions("digits"))
        end = doomed.run(Task(root, "unlearn", "digits/1", before_write), moment)
        counted("unlearn", end)
        assert end.killed or before_write is None
        versions = store.versions("digits")
        assert len(versions) - known == ("create_model_version" in end.writes and _registered(store, known))
        for ref in versions[known:]:
            assert store.manifest_of(ref) == ref.manifest_sha256
            assert manifest_sha256(folder_manifest(store.fetch(ref, root / f"copy-{ref.version}"))) == ref.manifest_sha256
            with pytest.raises(InconclusiveError, match="never audited"):
                promote(store, ref, TESTER)
        candidate = store.aliases("digits").get("candidate")
        assert candidate in {ref.version for ref in versions}
        assert "champion" not in store.aliases("digits")
        assert verify(store, "digits") == []
    assert not doomed.run(Task(root, "unlearn", "digits/1")).killed
    assert store.aliases("digits")["candidate"] == store.versions("digits")[-1].version


def _registered(store: Store, known: int) -> bool:
    return len(store.versions("digits")) == known + 1


def test_fifty_kills() -> None:
    if set(KILLS) != set(RANDOM):
        pytest.skip("counts the kills of the tests above, which were not all selected")
    assert sum(KILLS.values()) >= 50, KILLS
    print(KILLS)
