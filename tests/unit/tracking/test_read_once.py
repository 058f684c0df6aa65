"""What one check reads: each entry, tag and artifact is fetched once, however often it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.memory_store import MemoryStore

from grmu_audit.errors import IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_once
from grmu_audit.tracking.ledger import read_ledger
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.references import lineage_root


class CountingStore(MemoryStore):
    """Counts what is read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: Counter[str] = Counter()

    def versions(self, name: str, role: str | None = None) -> list[ModelRef]:
        self.reads["versions"] += 1
        return super().versions(name, role)

    def entries(self, log: str) -> list[Any]:
        self.reads["entries"] += 1
        return super().entries(log)

    def artifacts_of_runs(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, bytes | None]]]:
        self.reads["runs"] += len(wanted)
        self.reads["artifacts"] += sum(map(len, wanted.values()))
        return super().artifacts_of_runs(wanted)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """A first version and five that were each created from the one before."""
    store = CountingStore(tmp_path / "store")
    for number in range(6):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "w").write_bytes(bytes([number]))
        role, tags = ("unlearned", {"grmu.parent": f"m/{number}"}) if number else ("pretrain", {})
        with store.run("m", role) as run:
            run.log_bytes(bytes([number]), "a.bin")
            run.log_bytes(b"x" * 100, "b.bin")
            store.register(run, "m", tmp_path / f"v{number}", role=role, tags=tags)
    store.reads.clear()
    return store


def test_what_is_read_again_is_not_fetched_again(store: CountingStore) -> None:
    once = ReadOnce(store)
    newest = once.resolve("m/6")
    for _ in range(3):
        assert once.resolve("m/6") == newest
        assert [ref.version for ref in once.versions("m", "pretrain")] == ["1"]
        assert len(read_ledger(once, "m").entries) == 6
    assert store.reads["versions"] <= 2  # the ledger of a store without an entry on unbound versions asks for the newest one
    assert store.reads["entries"] == 1


def test_artifacts_of_several_runs_are_those_of_each(store: CountingStore) -> None:
    runs = [str(ref.run_id) for ref in store.versions("m")]
    once = ReadOnce(store)
    assert once.run_artifact(runs[2], "a.bin") == b"\x02"
    wanted = {runs[4]: ("a.bin",), runs[2]: ("b.bin", "a.bin"), "none": ("a.bin",), runs[0]: ("c.bin",)}
    store.reads.clear()
    expected = [(run, store.run_artifacts(run, paths)) for run, paths in wanted.items()]
    assert list(once.artifacts_of_runs(wanted)) == expected
    assert (store.reads["runs"], store.reads["artifacts"]) == (4, 4)
    assert list(once.artifacts_of_runs(wanted)) == expected
    assert once.run_artifacts(runs[2], ("a.bin", "b.bin")) == {"a.bin": b"\x02", "b.bin": b"x" * 100}
    assert (store.reads["runs"], store.reads["artifacts"]) == (4, 4)


def test_a_large_artifact_is_fetched_again(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_once, "LARGEST_KEPT", 50)
    run, once = str(store.versions("m")[0].run_id), ReadOnce(store)
    for _ in range(2):
        assert once.run_artifacts(run, ("a.bin", "b.bin")) == {"a.bin": b"\x00", "b.bin": b"x" * 100}
    assert store.reads["artifacts"] == 3


def test_the_root_of_a_long_lineage_takes_one_list_of_versions(store: CountingStore) -> None:
    newest = store.versions("m")[-1]
    store.reads.clear()
    assert lineage_root(store, newest).version == "1"
    assert store.reads["versions"] == 1


def test_a_lineage_that_returns_to_itself_has_no_root(store: CountingStore) -> None:
    store.tag(store.resolve("m/2"), {"grmu.parent": "m/6"})
    with pytest.raises(IntegrityError, match="is its own ancestor by its tags"):
        lineage_root(store, store.versions("m")[-1])
